//! Requests as nobody would write them: good ones, changed at random in ways that a seed decides.

use std::io::Write;
use std::time::Duration;

use weft_tests::chance::Chance;
use weft_tests::paced::is_long;
use weft_tests::wait::now;

use crate::pair::{Answer, CLIENT, Pair, Sessions, dial, read_to_end, spelled};
use crate::texts::{
    BATCH, CONNECT, HANDSHAKE, LAST, LAST_POST, PUBLISH, chunked, post, publication, raw, script,
    with,
};

const SHORT: &str = "head_timeout = \"1s\"\nbody_timeout = \"1s\"\nidle_timeout = \"3s\"\n\
    [sessions]\ntimeout = \"100ms\"\n[limits]\nbody = \"2KiB\"\n[streams]\nmax_age = \"1s\"\n";
/// So many are under way at a time.
const BATCH_SIZE: usize = 128;
const SHORT_BATCHES: u64 = 8;
const LONG_TIME: Duration = Duration::from_secs(600);

/// What is put in between, or in the place of something.
const FRAGMENTS: [&str; 42] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    "\0",
    ":",
    ";",
    ",",
    "0",
    "1",
    "f",
    "-",
    "+",
    "x",
    "\u{ff}",
    "\r\n\r\n",
    "\r\n ",
    "0\r\n\r\n",
    "5;a=b\r\n",
    "Host: localhost\r\n",
    "Host: evil.test\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 2\r\n",
    "Content-Length: 88\r\n",
    "Content-Length: 100000\r\n",
    "content-length:7\r\n",
    "Content-Length : 88\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:\tCHUNKED\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "Origin: http://evil.test\r\n",
    "Origin: http://localhost:1\r\n",
    "Content-Type: text/plain\r\n",
    "Accept: text/event-stream\r\n",
    "HTTP/1.0",
    "OPTIONS /bayeux HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n1",
];

/// A good request.
fn good(chance: &mut Chance) -> String {
    let body = [PUBLISH, HANDSHAKE, CONNECT, BATCH, "[]"][chance.below(5)];
    match chance.below(9) {
        0 | 1 => post(body),
        2 | 3 => chunked(body),
        4 => script(body),
        5 => with("Accept: */*\r\nConnection: keep-alive\r\nX-Some: header\r\n", body),
        6 => publication("/publish/a", "", "{}"),
        7 => chunked(r#"[{"channel":"/a","data":1}]"#).replacen("/bayeux", "/publish", 1),
        _ => raw("", ""),
    }
}

/// A place in a text; often one where something begins.
fn place(chance: &mut Chance, bytes: &[u8]) -> usize {
    let any = chance.below(bytes.len() + 1);
    if chance.below(3) == 0 {
        return any;
    }
    let line = bytes[any..].iter().position(|byte| *byte == b'\n');
    line.map_or(any, |length| any + length + 1)
}

fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>) {
    let (one, other) = (place(chance, bytes), place(chance, bytes));
    let (from, to) = (one.min(other), one.max(other));
    // Long pieces are rare: little is left of what they hit.
    let to = if chance.below(4) == 0 { to } else { to.min(from + 1 + chance.below(12)) };
    let to = to.min(bytes.len());
    let fragment = FRAGMENTS[chance.below(FRAGMENTS.len())].as_bytes();
    match chance.below(6) {
        0 | 1 => drop(bytes.splice(from..from, fragment.iter().copied())),
        2 => drop(bytes.drain(from..to)),
        3 => drop(bytes.splice(from..to, fragment.iter().copied())),
        4 => {
            let piece = bytes[from..to].to_vec();
            drop(bytes.splice(to..to, piece));
        }
        _ => {
            if let Some(last) = to.checked_sub(1).filter(|last| *last > from) {
                bytes.swap(from, last);
            }
        }
    }
}

/// One to three requests, changed a little, and a last one.
fn mutant(chance: &mut Chance) -> Vec<u8> {
    loop {
        let mut bytes = Vec::new();
        for _ in 0..=chance.below(3) {
            bytes.extend_from_slice(good(chance).as_bytes());
        }
        for _ in 0..=chance.below(4) {
            mutate(chance, &mut bytes);
        }
        bytes.extend_from_slice([LAST, LAST_POST][chance.below(2)].as_bytes());
        if !is_lenient(&bytes) && !decodes_id(&bytes) {
            return bytes;
        }
    }
}

/// Whether the library may make more of it, on purpose: a bare LF among chunks and trailers.
fn is_lenient(bytes: &[u8]) -> bool {
    let chunked = bytes.windows(7).any(|part| part.eq_ignore_ascii_case(b"chunked"));
    let bare = bytes.windows(2).any(|pair| pair[1] == b'\n' && pair[0] != b'\r');
    chunked && bare
}

/// Whether an id, which is another on each broker, is read as a part of a percent-encoded byte.
fn decodes_id(bytes: &[u8]) -> bool {
    let mut near = bytes.windows(8).filter(|part| part.ends_with(b"CLIENT"));
    near.any(|part| part[..2].contains(&b'%'))
}

/// Whether an id, which is another on each broker, stands where no text has begun: read as JSON, it is
/// whatever its first letters spell.
fn begins_with_id(bytes: &[u8]) -> bool {
    let mut near = bytes.windows(CLIENT.len() + 1).filter(|part| part.ends_with(CLIENT));
    bytes.starts_with(CLIENT) || near.any(|part| part[0] != b'"')
}

/// Sends all at the same time, each for a session of its own, and compares one by one.
fn compare(pair: &Pair, sessions: &[Sessions], mutants: &[Vec<u8>]) -> Vec<String> {
    let mut sockets = [Vec::new(), Vec::new()];
    for (bytes, sessions) in mutants.iter().zip(sessions) {
        for ((broker, id), sockets) in pair.both().iter().zip(&sessions.0).zip(&mut sockets) {
            let mut socket = dial(broker.listen);
            // It may have heard enough before all of it is sent.
            let _ = socket.write_all(&spelled(bytes, id));
            sockets.push(socket);
        }
    }
    let [lean, plain] = sockets.map(|mut sockets| {
        sockets.iter_mut().map(|socket| Answer::all(&read_to_end(socket))).collect::<Vec<_>>()
    });
    let alike = lean.iter().zip(&plain).zip(mutants);
    let different = alike.filter(|((lean, plain), bytes)| {
        let [lean, plain] = [lean, plain].map(|answers| {
            let answers = answers.iter().cloned();
            match begins_with_id(bytes) {
                true => answers.map(Answer::without_what_ids_spell).collect::<Vec<_>>(),
                false => answers.collect(),
            }
        });
        !Answer::are_alike(&lean, &plain)
    });
    let complaint = |((lean, plain), bytes): ((_, _), &Vec<u8>)| {
        let sent = String::from_utf8_lossy(bytes);
        format!("sent: {sent:?}\nlean:  {lean:?}\nplain: {plain:?}")
    };
    different.map(complaint).collect()
}

fn sessions(pair: &Pair, count: usize) -> Vec<Sessions> {
    (0..count).map(|_| Sessions::begin(pair)).collect()
}

/// Which of them makes the brokers do something else, as those know that have seen nothing else.
fn blamed(mutants: &[Vec<u8>]) -> String {
    let pair = Pair::start(SHORT);
    for bytes in mutants {
        compare(&pair, &sessions(&pair, 1), std::slice::from_ref(bytes));
        if let Err(complaint) = pair.done() {
            return format!("sent: {:?}\n{complaint}", String::from_utf8_lossy(bytes));
        }
    }
    "none of them alone".to_owned()
}

#[test]
fn r36_whatever_is_sent_both_make_the_same_of_it() {
    let pair = Pair::start(SHORT);
    let start = now();
    let goes_on = |seed: u64| match is_long() {
        true => start.elapsed() < LONG_TIME,
        false => seed < SHORT_BATCHES,
    };
    let mut seed = 0;
    while goes_on(seed) {
        let mut chance = Chance::new(seed);
        let mutants: Vec<_> = (0..BATCH_SIZE).map(|_| mutant(&mut chance)).collect();
        // A mutant may have ended its session.
        let complaints = compare(&pair, &sessions(&pair, BATCH_SIZE), &mutants);
        assert!(complaints.is_empty(), "seed {seed}:\n{}", complaints.join("\n\n"));
        if let Err(complaint) = pair.done() {
            panic!("seed {seed}: {complaint}\n{}", blamed(&mutants));
        }
        seed += 1;
    }
    println!("{} connections in {:?}", seed as usize * BATCH_SIZE, start.elapsed());
}
