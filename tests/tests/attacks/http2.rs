//! What HTTP/2 makes cheap to send and dear to take (RFC 9113 §10.5), frame by frame.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use weft_tests::broker::Broker;
use weft_tests::http::dial;
use weft_tests::ordeal::Ordeal;
use weft_tests::paced::{attacker, paced};

const A_WHILE: Duration = Duration::from_secs(3);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The head of a GET, or of a POST, in HPACK.
fn head(method: u8) -> Vec<u8> {
    let mut block = vec![method, 0x86, 0x04, 7];
    block.extend(b"/bayeux");
    block.extend([0x01, 9]);
    block.extend(b"localhost");
    block
}

/// Connections that begin with HTTP/2 and are opened anew whenever they are cut.
struct Flood<'b> {
    broker: &'b Broker,
    streams: Vec<TcpStream>,
    cut: u32,
}

impl<'b> Flood<'b> {
    fn new(broker: &'b Broker, count: usize) -> Self {
        let mut flood = Self { broker, streams: Vec::new(), cut: 0 };
        flood.streams = (0..count).map(|_| flood.opened()).collect();
        flood
    }

    fn opened(&self) -> TcpStream {
        let mut stream = dial(attacker(0), self.broker.listen, None).expect("a connection");
        stream.write_all(PREFACE).expect("a preface");
        stream.set_nonblocking(true).expect("a socket");
        stream
    }

    /// Sends as much as one of them takes. `reads` says whether what comes back is read.
    fn send(&mut self, number: u32, bytes: &[u8], reads: bool) {
        let at = number as usize % self.streams.len();
        let mut scratch = [0; 16 << 10];
        let gone = loop {
            if !reads {
                break false;
            }
            match self.streams[at].read(&mut scratch) {
                Ok(1..) => {}
                Ok(0) => break true,
                Err(error) => break error.kind() != std::io::ErrorKind::WouldBlock,
            }
        };
        let sent = self.streams[at].write(bytes);
        let broken = sent.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock);
        if gone || broken {
            self.cut += 1;
            self.streams[at] = self.opened();
        }
    }
}

/// Streams of a connection that are opened and reset at once.
fn resets(first: u32) -> Vec<u8> {
    let one = |n: u32| {
        let stream = first + 2 * n;
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head(0x82));
        [head, frame(RESET, 0, stream, &8_u32.to_be_bytes())].concat()
    };
    (0..100).flat_map(one).collect()
}

#[test]
fn r37_rapid_resets_are_cut_and_cost_others_nothing() {
    Ordeal::new("HTTP/2 rapid reset", 48).run(|broker| {
        let mut flood = Flood::new(broker, 10);
        let bytes = resets(1);
        paced(200, A_WHILE, |number| flood.send(number, &bytes, true));
        assert!(flood.cut > 50, "{} were cut", flood.cut);
    });
}

#[test]
fn r37_heads_without_an_end_are_cut_and_cost_others_nothing() {
    let begun = frame(HEADERS, END_STREAM, 1, &head(0x82));
    // A field that is not to be kept, with a name of 10 and a value of 100 bytes.
    let field = [&[0x10, 10][..], b"x-flooding", &[100], &[b'y'; 100]].concat();
    let on = frame(CONTINUATION, 0, 1, &field.repeat(100)).repeat(10);
    let empty = frame(CONTINUATION, 0, 1, &[]).repeat(5_000);
    Ordeal::new("HTTP/2 CONTINUATION", 64).run(|broker| {
        let mut flood = Flood::new(broker, 10);
        for number in 0..10 {
            flood.send(number, &begun, true);
        }
        paced(100, A_WHILE, |number| {
            let bytes = if number % 2 == 0 { &on } else { &empty };
            flood.send(number, &[&begun[..], bytes].concat(), true);
        });
        assert!(flood.cut > 20, "{} were cut", flood.cut);
    });
}

#[test]
fn r37_frames_that_ask_for_an_answer_that_nobody_reads_cost_others_nothing() {
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(1_000);
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(1_000);
    Ordeal::new("HTTP/2 PING and SETTINGS", 64).run(|broker| {
        let mut flood = Flood::new(broker, 20);
        paced(100, A_WHILE, |number| {
            let bytes = if number % 2 == 0 { &pings } else { &settings };
            flood.send(number, bytes, false);
        });
    });
}

#[test]
fn r37_frames_that_say_nothing_cost_others_nothing() {
    let begun = frame(HEADERS, END_HEADERS, 1, &head(0x83));
    let nothing = frame(DATA, 0, 1, &[]).repeat(1_000);
    let padded = frame(DATA, 8, 1, &[0]).repeat(1_000);
    let updates = frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes()).repeat(1_000);
    Ordeal::new("HTTP/2 empty frames", 64).run(|broker| {
        let mut flood = Flood::new(broker, 20);
        for number in 0..20 {
            flood.send(number, &begun, true);
        }
        paced(100, A_WHILE, |number| {
            let bytes = [&nothing, &padded, &updates][number as usize % 3];
            flood.send(number, bytes, true);
        });
    });
}
