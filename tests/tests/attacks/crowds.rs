//! Those who come in numbers and say nothing.

use std::net::TcpStream;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use weft_tests::broker::Broker;
use weft_tests::http::dial;
use weft_tests::ordeal::Ordeal;
use weft_tests::paced::{attacker, is_long, paced};

/// Opens connections at a rate, 1,000 from each address.
fn opened(broker: &Broker, count: u32, per_second: u32) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    while streams.len() < count as usize {
        paced(per_second, Duration::from_millis(250), |_| {
            let source = attacker(streams.len() / 1_000);
            streams.extend(dial(source, broker.listen, None));
        });
    }
    streams
}

#[test]
fn r33_r37_ten_thousand_half_open_connections_are_memory_and_nothing_else() {
    let hold = if is_long() { Duration::from_secs(60) } else { Duration::from_secs(3) };
    let broker = Ordeal::new("10,000 half-open connections", 192).run(|broker| {
        let streams = opened(broker, 10_000, 4_000);
        broker.wait_metric("weft_connections", |open| open >= 9_990.0);
        paced(1, hold, |_| {});
        drop(streams);
        broker.wait_metric("weft_connections", |open| open < 100.0);
    });
    assert_eq!(broker.metric("weft_connections_refused_total"), 0.0);
}

#[test]
fn r37_connections_that_are_reset_at_once_leave_nothing() {
    let broker = Ordeal::new("connect and reset", 32).run(|broker| {
        paced(2_000, Duration::from_secs(3), |number| {
            let stream = dial(attacker(number as usize / 1_000), broker.listen, None);
            let stream = stream.expect("a connection");
            set_socket_linger(&stream, Some(Duration::ZERO)).expect("SO_LINGER");
        });
        broker.wait_metric("weft_connections", |open| open < 100.0);
    });
    assert_eq!(broker.metric("weft_responses_total{status=\"5xx\"}"), 0.0);
}

#[test]
fn r33_an_address_that_takes_all_it_may_takes_nothing_from_others() {
    let broker = Ordeal::new("connections of one address", 48).run(|broker| {
        let mut streams = Vec::new();
        paced(2_000, Duration::from_secs(3), |_| {
            streams.extend(dial(attacker(0), broker.listen, None));
        });
        let open = broker.metric("weft_connections");
        assert!((1_024.0..1_100.0).contains(&open), "{open}");
    });
    assert!(broker.metric("weft_connections_refused_total{limit=\"address\"}") > 1_000.0);
}
