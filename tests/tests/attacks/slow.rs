//! Those who take their time: with heads, with bodies, with reading.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use weft_tests::api;
use weft_tests::broker::Broker;
use weft_tests::http::{Request, dial};
use weft_tests::ordeal::Ordeal;
use weft_tests::paced::{attacker, is_long, paced};

/// How long an attack lasts.
fn a_while() -> Duration {
    Duration::from_secs(if is_long() { 60 } else { 4 })
}

/// Opens so many connections, 1,000 from each address, with these bytes on each.
fn opened(broker: &Broker, count: usize, window: Option<usize>, bytes: &[u8]) -> Vec<TcpStream> {
    let open = |number: usize| {
        let mut stream = dial(attacker(number / 1_000), broker.listen, window).expect("a socket");
        stream.set_nonblocking(true).expect("a socket");
        let _ = stream.write(bytes);
        stream
    };
    (0..count).map(open).collect()
}

/// Sends one byte after the other, round and round.
fn drip(streams: &mut [TcpStream], per_second: u32, byte: u8) {
    let count = streams.len();
    paced(per_second, a_while(), |number| {
        let _ = streams[number as usize % count].write(&[byte]);
    });
}

#[test]
fn r37_slowloris_takes_places_until_the_heads_are_due_and_nothing_else() {
    const HEAD: &[u8] = b"POST /bayeux HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let broker =
        Ordeal::new("slow heads", 48).toml("[http]\nhead_timeout = \"2s\"\n").run(|broker| {
            let mut streams = opened(broker, 2_000, None, HEAD);
            drip(&mut streams, 1_000, b'a');
            // All were cut meanwhile, though each went on sending.
            broker.wait_metric("weft_connections", |open| open < 100.0);
        });
    assert_eq!(broker.metric("weft_responses_total{status=\"5xx\"}"), 0.0);
}

#[test]
fn r37_slow_bodies_take_bounded_memory_and_time() {
    let broker =
        Ordeal::new("slow bodies", 160).toml("[http]\nbody_timeout = \"2s\"\n").run(|broker| {
            let head =
                Request::post("/bayeux", vec![b' '; 20_000]).header("Content-Length", "1000000");
            let mut streams = opened(broker, 1_000, None, &head.bytes(broker.listen));
            drip(&mut streams, 1_000, b' ');
            broker.wait_metric("weft_body_bytes", |bytes| bytes == 0.0);
        });
    assert_eq!(broker.metric("weft_responses_total{status=\"5xx\"}"), 0.0);
}

#[test]
fn r37_readers_that_read_nothing_take_bounded_memory_and_time() {
    let budget = "body_bytes_total = \"64MiB\"\n";
    Ordeal::new("slow reading", 160).limits(budget).toml("[http]\nbody_timeout = \"2s\"\n").run(
        |broker| {
            for _ in 0..8 {
                let _ = api::publish(broker, "/large", "x".repeat(500_000));
            }
            let page = Request::get("/history/large?limit=10000").bytes(broker.listen).repeat(20);
            let mut streams = opened(broker, 500, Some(2_048), &page);
            drip(&mut streams, 200, b'G');
            broker.wait_metric("weft_connections", |open| open < 100.0);
            broker.wait_metric("weft_body_bytes", |bytes| bytes == 0.0);
        },
    );
}
