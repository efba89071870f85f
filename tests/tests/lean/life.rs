//! What a connection on the lean path lives through (checklist A10, F5, L12, R8, R8a, R15, R22, R37).

use std::io::Write;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only};
use weft_tests::broker::{Broker, Setup};
use weft_tests::held::Held;
use weft_tests::http::{Connection, Cut, Request};
use weft_tests::siege::HANDSHAKE;
use weft_tests::tls::{Files, Pair, client, tunnel};
use weft_tests::wait::{A_WHILE, PATIENCE};

use crate::pair::{Answer, dial, half_close, read_to_end, statuses};

/// A hold that no test waits for.
const HOLD: &str = "[sessions]\ntimeout = \"1m\"\n";

/// A POST of one message with a fresh id.
fn bytes(client: &mut Client<'_>, channel: &str, fields: Value) -> Vec<u8> {
    let message = client.message(channel, fields);
    client.request(json!([message]).to_string()).bytes(client.broker.listen)
}

#[test]
fn f5_l12_nothing_is_lost_with_a_held_poll_whose_client_goes() {
    let broker = Broker::with(HOLD);
    let mut reader = Client::subscribed(&broker, "/a");
    let mut writer = Client::connected(&broker);
    for n in 0..20 {
        let Held(connection) = reader.held_connect();
        connection.cut(if n % 2 == 0 { Cut::Close } else { Cut::Reset });
        // At once: whether the broker has seen the end by then is a matter of luck.
        ok(&writer.publish("/a", n));
        assert_eq!(data(reader.connect()), [json!(n)]);
    }
    broker.wait_held(0);
}

#[test]
fn a10_r8_what_follows_a_held_poll_does_not_wait_for_it() {
    let broker = Broker::with(HOLD);
    let mut reader = Client::subscribed(&broker, "/a");
    // In one write, and behind a poll that is held for a while.
    for at_once in [true, false] {
        let connect = bytes(&mut reader, "/meta/connect", json!({}));
        let publish = bytes(&mut reader, "/a", json!({"data": at_once}));
        let mut connection = broker.connect();
        if at_once {
            connection.send(&[connect, publish].concat());
        } else {
            connection.send(&connect);
            broker.wait_held(1);
            connection.send(&publish);
        }
        let reply = only(connection.read().expect("an answer to the poll").messages());
        assert_eq!(
            (&reply["channel"], &reply["successful"]),
            (&json!("/meta/connect"), &json!(true))
        );
        ok(&only(connection.read().expect("an answer to the message").messages()));
        // What was published is for the next poll, on the same connection.
        connection.send(&bytes(&mut reader, "/meta/connect", json!({})));
        let answer = connection.read().expect("an answer to the next poll");
        assert_eq!(data(answer.messages()), [json!(at_once)]);
    }
    // A part of a head is enough, and so is a request for something else. Empty lines are nothing.
    for (more, waits) in
        [("\r\n", true), ("\n", true), ("\r", true), ("P", false), ("GET / HTTP/1.1\r\n", false)]
    {
        let mut held = reader.held_connect();
        held.0.send(more.as_bytes());
        if waits {
            assert!(held.is_waiting(), "{more:?}");
            ok(&reader.publish("/a", 1));
            assert_eq!(data(held.answer()), [json!(1)]);
        } else {
            ok(&only(held.answer()));
        }
    }
}

#[test]
fn r8_no_answer_takes_the_place_of_one_that_is_missing() {
    let broker = Broker::with(HOLD);
    let mut reader = Client::connected(&broker);
    for n in 0..50 {
        let connect = bytes(&mut reader, "/meta/connect", json!({}));
        let publish = bytes(&mut reader, "/a", json!({"data": n}));
        let mut socket = dial(broker.listen);
        socket.write_all(&[connect, publish].concat()).expect("a socket that takes bytes");
        half_close(&socket);
        // The end is seen before the first answer, or after it.
        let answers = Answer::all(&read_to_end(&mut socket));
        assert!(statuses(&answers).is_empty() || statuses(&answers) == [200, 200], "{answers:?}");
        // What was sent is heard all the same.
        broker.wait_metric("weft_messages_in_total", |count| count == f64::from(n + 1));
    }
}

#[test]
fn f5_l12_what_was_sent_before_an_answer_does_not_prove_that_it_was_read() {
    let broker = Broker::with(HOLD);
    let mut reader = Client::subscribed(&broker, "/a");
    let mut writer = Client::connected(&broker);
    let page = Request::get("/nowhere").bytes(broker.listen);
    for (n, more) in [writer.request("[]").bytes(broker.listen), page].iter().enumerate() {
        ok(&writer.publish("/a", n));
        let connect = bytes(&mut reader, "/meta/connect", json!({}));
        let mut connection = broker.connect();
        connection.send(&[connect, more.clone()].concat());
        // Both are answered, and neither answer is read.
        broker.wait_metric("weft_responses_total{status=\"4xx\"}", |count| count == n as f64 + 1.0);
        connection.cut(Cut::Reset);
        broker.wait_metric("weft_connections", |open| open <= 3.0);
        assert_eq!(data(reader.connect()), [json!(n)], "behind it: {}", more.len());
    }
}

#[test]
fn r15_r37_late_heads_are_cut_and_held_polls_are_not() {
    let broker = Broker::with(
        "[http]\nhead_timeout = \"300ms\"\nidle_timeout = \"600ms\"\nbody_timeout = \"300ms\"\n\
         [browsers]\ninterval = \"100ms\"\n[sessions]\ntimeout = \"2s\"\n",
    );
    let mut reader = Client::connected(&broker);
    let mut held = reader.held_connect();
    // The first head, and one behind another request.
    let head = &HEAD[..HEAD.len() - 4];
    let mut first = broker.connect();
    first.send(head.as_bytes());
    assert!(first.is_closed_by_peer());
    let mut second = broker.connect();
    assert_eq!(second.exchange(&Request::post("/bayeux", HANDSHAKE)).status, 200);
    second.send(head.as_bytes());
    assert!(second.is_closed_by_peer());
    // A connection that is idle, and one whose body does not come.
    let mut idle = broker.connect();
    assert_eq!(idle.exchange(&Request::post("/bayeux", HANDSHAKE)).status, 200);
    assert!(idle.is_silent(A_WHILE));
    assert!(idle.is_closed_by_peer());
    let mut late = broker.connect();
    late.send(HEAD.as_bytes());
    let answer = late.read().expect("an answer");
    assert_eq!((answer.status, answer.header("Connection")), (400, Some("close")));
    assert!(late.is_closed_by_peer());
    // Its time is long over, but not the poll's.
    ok(&only(held.answer()));
    assert_eq!(held.0.exchange(&Request::post("/bayeux", HANDSHAKE)).status, 200);
}

const HEAD: &str = "POST /bayeux HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";

#[test]
fn r13_a_stop_answers_held_polls_and_closes_the_rest() {
    let broker = Broker::with(HOLD);
    let mut clients: Vec<_> = (0..10).map(|_| Client::without_cookies(&broker)).collect();
    let mut polls: Vec<Held> = clients.iter_mut().map(Client::start_connect).collect();
    broker.wait_held(10);
    let mut idle = broker.connect();
    assert_eq!(idle.exchange(&Request::post("/bayeux", HANDSHAKE)).status, 200);
    let mut amid = broker.connect();
    amid.send(&HEAD.as_bytes()[..30]);
    broker.signal(Signal::TERM);
    for poll in &mut polls {
        let response = poll.response();
        assert_eq!(response.header("Connection"), Some("close"));
        assert_eq!(only(response.messages())["advice"]["reconnect"], "retry");
        assert!(poll.0.is_closed_by_peer());
    }
    assert!(idle.is_closed_by_peer() && amid.is_closed_by_peer());
    assert_eq!(broker.wait_exit(PATIENCE), Some(0), "{}", broker.log());
}

/// Polls, asks for something else, and polls again: all on one connection.
fn mixed(broker: &Broker, mut client: Client<'_>) {
    ok(&client.handshake());
    ok(&only(client.connect()));
    ok(&client.subscribe("/a"));
    let accepted = broker.metric("weft_connections_total");
    ok(&client.publish("/a", 1));
    assert_eq!(data(client.connect()), [json!(1)]);
    let page = client.exchange(&Request::get("/demo/"));
    assert_eq!((page.status, page.header("Content-Type")), (200, Some("text/html;charset=UTF-8")));
    ok(&client.publish("/a", 2));
    assert_eq!(data(client.connect()), [json!(2)]);
    assert_eq!(client.exchange(&Request::get("/nowhere")).status, 404);
    assert_eq!(client.exchange(&Request::post("/publish/a", "3")).status, 200);
    assert_eq!(data(client.connect()), [json!(3)]);
    // Each look at the metrics is a connection too.
    assert_eq!(broker.metric("weft_connections_total"), accepted + 1.0);
}

#[test]
fn r22_a_connection_may_ask_for_other_things_between_two_polls() {
    let broker = Setup::default().env("WEFT_DEMO_ENABLED", "true").start();
    mixed(&broker, Client::new(&broker));
    // A held poll on a connection that was handed over, and whose client goes.
    let mut client = Client::subscribed(&broker, "/a");
    let mut connection = broker.connect();
    assert_eq!(connection.exchange(&Request::get("/demo/")).status, 200);
    connection.send(&bytes(&mut client, "/meta/connect", json!({})));
    broker.wait_held(1);
    connection.cut(Cut::Reset);
    broker.wait_held(0);
    ok(&client.publish("/a", 4));
    assert_eq!(data(client.connect()), [json!(4)]);
}

#[test]
fn r22_f5_the_same_over_tls() {
    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    let broker = files.setup(HOLD).env("WEFT_DEMO_ENABLED", "true").start();
    let near = tunnel(broker.listen, client(&[&pair], &["http/1.1"]));
    let over_tls = || {
        let mut client = Client::new(&broker);
        client.address = near;
        client
    };
    mixed(&broker, over_tls());
    let mut reader = over_tls();
    ok(&reader.handshake());
    ok(&only(reader.connect()));
    ok(&reader.subscribe("/b"));
    // What follows a poll, in the same record or later; a client that goes.
    let connect = bytes(&mut reader, "/meta/connect", json!({}));
    let publish = bytes(&mut reader, "/b", json!({"data": "x".repeat(100_000)}));
    let mut connection = Connection::open(near);
    connection.send(&[connect, publish].concat());
    ok(&only(connection.read().expect("an answer to the poll").messages()));
    ok(&only(connection.read().expect("an answer to the message").messages()));
    assert_eq!(data(reader.connect()).len(), 1);
    reader.held_connect().abort();
    // The tunnel has to pass that on first.
    broker.wait_held(0);
    ok(&reader.publish("/b", 2));
    assert_eq!(data(reader.connect()), [json!(2)]);
}

#[test]
fn l4_r24_bodies_in_many_pieces_and_too_large_ones_leave_the_connection_as_it_was() {
    let broker = Broker::with("[limits]\nbody = \"256KiB\"\n");
    let mut client = Client::subscribed(&broker, "/a");
    let text = "y".repeat(200_000);
    let publish = bytes(&mut client, "/a", json!({"data": text}));
    let mut connection = broker.connect();
    for part in publish.chunks(997) {
        connection.send(part);
    }
    ok(&only(connection.read().expect("an answer").messages()));
    let (events, _) = events_and_reply(client.connect());
    assert_eq!(only(events)["data"], text);
    // Chunks of one byte.
    let message = client.message("/a", json!({"data": 1}));
    let body: String = json!([message]).to_string();
    let body: String =
        body.chars().map(|c| format!("1\r\n{c}\r\n")).collect::<String>() + "0\r\n\r\n";
    let request = client.request(body).header("Transfer-Encoding", "chunked");
    ok(&only(connection.exchange(&request).messages()));
    let many = Request::post("/bayeux", " ".repeat(300_000));
    for request in [many.clone(), many.header("Transfer-Encoding", "chunked").body(large())] {
        assert_eq!(connection.exchange(&request).status, 413);
    }
    assert_eq!(connection.exchange(&Request::post("/bayeux", "[]")).status, 400);
    assert!(connection.is_silent(Duration::from_millis(50)), "it lives on");
    ok(&client.disconnect());
}

fn large() -> String {
    let chunk = format!("2710\r\n{}\r\n", " ".repeat(10_000));
    chunk.repeat(30) + "0\r\n\r\n"
}
