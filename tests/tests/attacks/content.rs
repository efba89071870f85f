//! Content that costs more than it weighs.

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::api;
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request, dial};
use weft_tests::jsonp;
use weft_tests::ordeal::Ordeal;
use weft_tests::paced::{attacker, paced};
use weft_tests::throng::Pipe;

const A_WHILE: Duration = Duration::from_secs(3);
const MEBIBYTE: usize = 1 << 20;

/// Sends bodies in turn, 20 a second by four connections, whatever they are answered.
fn send(broker: &Broker, path: &str, bodies: &[Vec<u8>]) {
    let mut connections: Vec<_> =
        (0..4).map(|_| Connection::open_from(attacker(0), broker.listen)).collect();
    paced(20, A_WHILE, |number| {
        let number = number as usize;
        let request = Request::post(path, bodies[number % bodies.len()].as_slice());
        let status = connections[number % 4].exchange(&request).status;
        assert!(matches!(status, 200 | 400 | 413 | 422), "{status}");
    });
}

/// As much of it as a body may hold, between `start` and `end`.
fn filled(start: &str, with: &str, end: &str) -> Vec<u8> {
    let room = MEBIBYTE - start.len() - end.len() - 1;
    let times = room / with.len();
    [start, &with.repeat(times), "0", end].concat().into_bytes()
}

#[test]
fn l4_giant_json_costs_others_nothing() {
    let bodies = [
        // Numbers, strings, escapes, many members, members of one name, many elements.
        filled("[{\"channel\":\"/giant\",\"data\":", "1", "}]"),
        filled("[{\"channel\":\"/giant\",\"data\":\"", "x", "\"}]"),
        filled("[{\"channel\":\"/giant\",\"data\":\"", "\\u0000", "\"}]"),
        filled("[{\"channel\":\"/giant\",\"data\":{\"a\":0", ",\"a\":1", "}}]"),
        filled("[{\"channel\":\"/giant\",\"data\":[0", ",1", "]}]"),
        filled("[{\"channel\":\"/giant\",\"id\":\"", "x", "\"}]"),
        filled("[{\"channel\":\"", "/a", "\"}]"),
        filled("[{\"channel\":\"/giant\",\"ext\":{\"a\":0", ",\"replay\":{\"/a\":1}", "}}]"),
        filled(
            "[{\"channel\":\"/meta/handshake\",\"supportedConnectionTypes\":[\"a\"",
            ",\"a\"",
            "]}]",
        ),
        filled("[{\"x\":0", ",\"x\":1", "}]"),
        filled("[{}", ",{}", "]"),
    ];
    let many = || (0..60_000).map(|n| (format!("k{n}"), json!(n))).collect::<Value>();
    let keys = json!([{"channel": "/giant", "data": many(), "ext": many()}]).to_string();
    let bodies = [&bodies[..], &[keys.into_bytes()]].concat();
    Ordeal::new("giant JSON", 96).run(|broker| send(broker, "/bayeux", &bodies));
}

#[test]
fn l4_deep_json_costs_others_nothing() {
    let deep = |start: &str, open: &str| filled(start, open, "");
    let bodies = [
        deep("", "["),
        deep("", "{\"a\":"),
        deep("[{\"channel\":\"/deep\",\"data\":", "["),
        deep("[{\"channel\":\"/deep\",\"ext\":", "{\"a\":"),
        // Deep again and again, and never too deep.
        filled("[", &format!("{}0{},", "[".repeat(60), "]".repeat(60)), "]"),
        filled(
            "[{\"channel\":\"/deep\",\"data\":[",
            &format!("{}{},", "[".repeat(60), "]".repeat(60)),
            "]}]",
        ),
    ];
    Ordeal::new("deep JSON", 64).run(|broker| {
        send(broker, "/bayeux", &bodies);
        send(broker, "/publish/deep", &bodies);
    });
}

#[test]
fn r30_p5_what_grows_in_a_script_is_counted_as_it_has_grown() {
    // Each of these is six characters in a script.
    let grows = "<".repeat(MEBIBYTE - 100);
    Ordeal::new("scripts that nobody reads", 160)
        .limits("response_bytes_total = \"32MiB\"\n")
        .toml("[http]\nbody_timeout = \"2s\"\n[browsers]\nheld_per_browser = -1\n")
        .run(|broker| {
            let mut pipe = Pipe::open(broker, attacker(0));
            let ids = pipe.handshakes(200);
            assert_eq!(pipe.subscribe(&ids, &json!("/grows")).len(), 200);
            let _ = api::publish(broker, "/grows", grows.clone());
            let streams: Vec<_> = ids
                .iter()
                .map(|id| {
                    use std::io::Write;
                    let message = json!([{"channel": "/meta/connect", "clientId": id,
                                          "connectionType": "callback-polling"}]);
                    let message = jsonp::encode(&message.to_string());
                    let get = Request::get(&format!("/bayeux?jsonp=a&message={message}"));
                    let stream = dial(attacker(0), broker.listen, Some(2_048));
                    let mut stream = stream.expect("a connection");
                    stream.write_all(&get.bytes(broker.listen)).expect("a request");
                    stream
                })
                .collect();
            paced(1, A_WHILE, |_| {});
            drop(streams);
        });
}
