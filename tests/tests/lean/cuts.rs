//! Requests in pieces: however they are cut, they are the same; and connections that end where they
//! should not.

use std::io::Write;
use std::net::TcpStream;

use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::wait::A_WHILE;

use crate::pair::{
    Answer, Pair, Sessions, dial, find, half_close, read_to_end, spelled, statuses, wait_until_read,
};
use crate::texts::{
    BATCH, HANDSHAKE, LAST, LAST_POST, PUBLISH, chunked, post, publication, script, with,
};

/// Long enough for many pieces, one after the other.
const LONG: &str = "head_timeout = \"1m\"\nbody_timeout = \"1m\"\nidle_timeout = \"2m\"\n";

/// One of each kind.
fn requests() -> [String; 7] {
    [
        with("X-Some: header\r\n", PUBLISH),
        chunked(PUBLISH),
        script(HANDSHAKE),
        format!("\r\n{}\r\n", post(BATCH)),
        with("Origin: http://localhost:1\r\n", PUBLISH).replace("/bayeux", "/bayeux/connect"),
        publication("/publish/a?durable=1", "", "[1]"),
        // Something else first, then the endpoint: it stays with the library.
        format!("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n{}", post(PUBLISH)),
    ]
}

fn all(socket: &mut TcpStream) -> Vec<Answer> {
    Answer::all(&read_to_end(socket))
}

/// Sends each part on its connection, and waits until all of them are read.
fn send(broker: &Broker, sockets: &mut [TcpStream], parts: &[Vec<u8>]) {
    for (socket, part) in sockets.iter_mut().zip(parts) {
        socket.write_all(part).expect("a socket that takes bytes");
    }
    wait_until_read(broker);
}

/// What a broker makes of the request if it comes at once.
fn whole(broker: &Broker, bytes: &[u8]) -> Vec<Answer> {
    let mut socket = dial(broker.listen);
    socket.write_all(bytes).expect("a socket that takes bytes");
    all(&mut socket)
}

#[test]
fn r36_a_request_cut_anywhere_is_the_same() {
    let pair = Pair::start(LONG);
    let sessions = Sessions::begin(&pair);
    for request in requests() {
        for last in [LAST, LAST_POST] {
            let text = format!("{request}{last}");
            let mut seen = Vec::new();
            for (broker, id) in pair.both().into_iter().zip(&sessions.0) {
                let bytes = spelled(text.as_bytes(), id);
                let expected = whole(broker, &bytes);
                let cuts = 1..bytes.len() - last.len() + 4;
                let mut sockets: Vec<_> = cuts.clone().map(|_| dial(broker.listen)).collect();
                let first: Vec<_> = cuts.clone().map(|at| bytes[..at].to_vec()).collect();
                send(broker, &mut sockets, &first);
                let second: Vec<_> = cuts.clone().map(|at| bytes[at..].to_vec()).collect();
                for ((socket, part), at) in sockets.iter_mut().zip(&second).zip(cuts) {
                    socket.write_all(part).expect("a socket that takes bytes");
                    assert_eq!(all(socket), expected, "cut at {at}: {request:?}");
                }
                seen.push(expected);
            }
            assert_eq!(seen[0], seen[1], "{request:?}");
        }
    }
    pair.done().unwrap();
}

#[test]
fn r36_requests_byte_by_byte_are_the_same() {
    let pair = Pair::start(LONG);
    let sessions = Sessions::begin(&pair);
    let texts = requests().map(|request| format!("{request}{LAST_POST}"));
    for (broker, id) in pair.both().into_iter().zip(&sessions.0) {
        let texts: Vec<_> = texts.iter().map(|text| spelled(text.as_bytes(), id)).collect();
        let mut sockets: Vec<_> = texts.iter().map(|_| dial(broker.listen)).collect();
        // All at the same time, each until it has no more.
        for at in 0..texts.iter().map(Vec::len).max().unwrap_or_default() {
            let part = |text: &Vec<u8>| text.get(at..=at).unwrap_or_default().to_vec();
            send(broker, &mut sockets, &texts.iter().map(part).collect::<Vec<_>>());
        }
        for (socket, text) in sockets.iter_mut().zip(&texts) {
            assert_eq!(all(socket), whole(broker, text), "{}", String::from_utf8_lossy(text));
        }
    }
    pair.done().unwrap();
}

#[test]
fn r37_who_closes_his_side_amid_a_request_did_not_ask() {
    let pair = Pair::start(LONG);
    let sessions = Sessions::begin(&pair);
    for request in [post(PUBLISH), chunked(PUBLISH), script(HANDSHAKE)] {
        let mut seen = Vec::new();
        for (broker, id) in pair.both().into_iter().zip(&sessions.0) {
            let bytes = spelled(request.as_bytes(), id);
            let mut sockets: Vec<_> = (0..bytes.len()).map(|_| dial(broker.listen)).collect();
            let parts: Vec<_> = (0..bytes.len()).map(|at| bytes[..at].to_vec()).collect();
            send(broker, &mut sockets, &parts);
            sockets.iter().for_each(half_close);
            seen.push(sockets.iter_mut().map(all).collect::<Vec<_>>());
        }
        for (at, (lean, plain)) in seen[0].iter().zip(&seen[1]).enumerate() {
            let shown = &request[..at];
            assert!(Answer::are_alike(lean, plain), "{lean:?}\n{plain:?}\nto {shown:?}");
            assert!(lean.iter().all(|answer| answer.status == 400), "{lean:?} to {shown:?}");
        }
    }
    pair.done().unwrap();
    assert_eq!(pair.lean.metric("weft_messages_in_total"), 0.0);
}

#[test]
fn r37_who_closes_his_side_behind_requests_gets_all_answers() {
    let pair = Pair::start(LONG);
    let sessions = Sessions::begin(&pair);
    let text = [post(PUBLISH), chunked(PUBLISH), post(BATCH), post(HANDSHAKE)].concat();
    let mut socket = dial(pair.lean.listen);
    socket.write_all(&spelled(text.as_bytes(), &sessions.0[0])).unwrap();
    half_close(&socket);
    let answers = all(&mut socket);
    assert_eq!(statuses(&answers), [200; 4]);
    assert!(answers.iter().all(|answer| answer.body.contains("\"successful\":true")));
}

#[test]
fn leave_to_send_a_body_is_given_to_who_waits_for_it_and_to_nobody_later() {
    let broker = Broker::start();
    let mut connection = broker.connect();
    let expects = Request::post("/bayeux", HANDSHAKE).header("Expect", "100-continue");
    for _ in 0..2 {
        let (head, body) = split(&expects.bytes(broker.listen));
        connection.send(&head);
        assert_eq!(connection.read().expect("leave").status, 100);
        connection.send(&body);
        assert_eq!(connection.read().expect("an answer").status, 200);
    }
    // A body that comes along needs none, and nor does one that comes later without being asked for.
    assert_eq!(connection.exchange(&expects).status, 200);
    let (head, body) = split(&Request::post("/bayeux", HANDSHAKE).bytes(broker.listen));
    connection.send(&head);
    assert!(connection.is_silent(A_WHILE));
    connection.send(&body);
    assert_eq!(connection.read().expect("an answer").status, 200);
    // Who is refused gets no leave.
    let foreign = expects.header("Origin", "http://evil.test").bytes(broker.listen);
    connection.send(&split(&foreign).0);
    let answer = connection.read().expect("an answer");
    assert_eq!((answer.status, answer.header("Connection")), (403, Some("close")));
    assert!(connection.is_closed_by_peer());
}

/// A request's head and its body.
fn split(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let end = find(bytes, b"\r\n\r\n").expect("a head") + 4;
    (bytes[..end].to_vec(), bytes[end..].to_vec())
}
