//! HTTP/2 without TLS and with it: one connection with many requests, each as good as one of its own
//! (R6b, R37; decisions section 4).

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only};
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request};
use weft_tests::http2::{Http2, Stream, Way};
use weft_tests::siege::HANDSHAKE;
use weft_tests::tls::{Files, Pair, client};
use weft_tests::websocket::Socket;

/// Sends messages by HTTP/2 on behalf of a client, cookie and all.
fn send(line: &Http2, client: &mut Client<'_>, messages: &Value) -> Vec<Value> {
    let response = line.exchange(&client.request(messages.to_string()));
    client.keep_cookie(&response);
    response.messages()
}

/// A session of which nothing came by HTTP/1.1, and whose first connect is done.
fn session<'b>(line: &Http2, broker: &'b Broker, cookie: Option<&str>) -> Client<'b> {
    let mut client = Client::new(broker);
    client.cookie = cookie.map(str::to_owned);
    let fields = json!({"version": "1.0", "supportedConnectionTypes": ["long-polling"]});
    let message = client.message("/meta/handshake", fields);
    let reply = only(send(line, &mut client, &json!([message])));
    client.client_id = reply["clientId"].as_str().expect("a clientId").to_owned();
    let connect = client.message("/meta/connect", json!({}));
    assert_eq!(send(line, &mut client, &json!([connect])).len(), 1);
    client
}

fn subscribe(line: &Http2, client: &mut Client<'_>, channel: &str) {
    let message = client.message("/meta/subscribe", json!({"subscription": channel}));
    ok(&only(send(line, client, &json!([message]))));
}

fn connect(line: &Http2, client: &mut Client<'_>) -> Stream {
    let message = client.message("/meta/connect", json!({}));
    line.start(&client.request(json!([message]).to_string()))
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

/// A frame as it goes over the wire.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The kind and the payload of the next frame.
fn read_frame(connection: &mut Connection) -> std::io::Result<(u8, Vec<u8>)> {
    let head = connection.take(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    Ok((head[3], connection.take(length as usize)?))
}

#[test]
fn whole_sessions_work_by_prior_knowledge_and_over_tls() {
    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    let (plain, secured) = (Broker::start(), files.setup("").start());
    let tls = Way { tls: Some(client(&[&pair], &["h2"])), ..Way::default() };
    for (broker, way) in [(&plain, Way::default()), (&secured, tls)] {
        let line = Http2::by(broker.listen, &way);
        let mut client = session(&line, broker, None);
        assert!(client.cookie.is_some(), "a browser's cookie comes along");
        subscribe(&line, &mut client, "/a");
        let mut held = connect(&line, &mut client);
        broker.wait_held(1);
        let text = "x".repeat(200_000);
        let body = Value::from(text.as_str()).to_string();
        let published = line.exchange(&Request::post("/publish/a", body));
        assert_eq!(published.status, 200, "{}", published.text());
        let response = held.response();
        assert_eq!(response.header("cache-control"), Some("no-cache, no-store"));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(data(response.messages()), [json!(text)]);
        assert_eq!(line.exchange(&Request::get("/nothing")).status, 404);
    }
}

#[test]
fn the_name_that_is_asked_for_is_judged_as_by_http_1() {
    let broker = Broker::start();
    let line = Http2::open(broker.listen);
    let asked = line.exchange_at("evil.test", &Request::get("/"));
    assert_eq!(asked.status, 403, "{}", asked.text());
    let foreign = Request::post("/bayeux", "[]").header("origin", "https://evil.test");
    assert_eq!(line.exchange(&foreign).status, 403);
}

#[test]
fn r6b_fifty_tabs_of_one_browser_hold_their_polls_on_one_connection() {
    let broker = Broker::start();
    let line = Http2::open(broker.listen);
    let first = session(&line, &broker, None);
    let cookie = first.cookie.clone();
    let mut tabs: Vec<_> = (0..49).map(|_| session(&line, &broker, cookie.as_deref())).collect();
    tabs.push(first);
    for tab in &mut tabs {
        subscribe(&line, tab, "/a");
    }
    let mut held: Vec<_> = tabs.iter_mut().map(|tab| connect(&line, tab)).collect();
    broker.wait_held(50);
    assert_eq!(broker.metric("weft_connects_demoted_total"), 0.0);
    // And the one that asks for metrics.
    broker.wait_metric("weft_connections", |open| open <= 2.0);
    let published = line.exchange(&Request::post("/publish/a", "1"));
    assert_eq!(published.status, 200);
    for held in &mut held {
        let (events, reply) = events_and_reply(held.answer());
        assert_eq!(events.len(), 1);
        assert!(reply.get("advice").is_none(), "{reply}");
    }
}

#[test]
fn r6b_r5_a_tab_on_http_2_takes_no_place_from_those_on_http_1() {
    let broker = Broker::start();
    let mut one = Client::connected(&broker);
    let mut held = one.held_connect();
    let line = Http2::open(broker.listen);
    let mut two = session(&line, &broker, one.cookie.as_deref());
    let mut other = connect(&line, &mut two);
    broker.wait_held(2);
    assert!(held.is_waiting() && other.is_waiting());
    // Two on HTTP/1.1 still have one place between them.
    let mut three = one.tab();
    let _third = three.start_connect();
    let (_, reply) = events_and_reply(held.answer());
    assert_eq!(reply["advice"]["multiple-clients"], true);
    assert!(other.is_waiting());
    assert_eq!(broker.metric("weft_connects_demoted_total"), 1.0);
    // Who was asked to poll may wait as soon as it comes by HTTP/2.
    let mut held = connect(&line, &mut one);
    broker.wait_held(3);
    assert!(held.is_waiting());
}

#[test]
fn p2_a_held_poll_that_is_given_up_loses_nothing_and_disturbs_nobody() {
    let broker = Broker::start();
    let line = Http2::open(broker.listen);
    let (mut one, mut two) = (session(&line, &broker, None), session(&line, &broker, None));
    subscribe(&line, &mut one, "/a");
    subscribe(&line, &mut two, "/a");
    let (given_up, mut other) = (connect(&line, &mut one), connect(&line, &mut two));
    broker.wait_held(2);
    given_up.reset();
    broker.wait_held(1);
    assert_eq!(broker.metric("weft_connects_abandoned_total"), 1.0);
    assert_eq!(line.exchange(&Request::post("/publish/a", "7")).status, 200);
    assert_eq!(data(other.answer()), [json!(7)]);
    assert_eq!(data(connect(&line, &mut one).answer()), [json!(7)]);
}

#[test]
fn p2_what_a_client_makes_no_room_for_goes_again() {
    let broker = Broker::with("[http]\nbody_timeout = \"500ms\"\n");
    // Enough for small answers.
    let line = Http2::by(broker.listen, &Way { window: 4_096, ..Way::default() });
    let mut client = session(&line, &broker, None);
    subscribe(&line, &mut client, "/a");
    let text = "x".repeat(100_000);
    let mut held = connect(&line, &mut client);
    broker.wait_held(1);
    let mut publisher = Client::connected(&broker);
    ok(&publisher.publish("/a", text.as_str()));
    // It has begun, its reader takes nothing, and after a while it is over.
    held.begun();
    let fine = line.exchange(&Request::get("/nothing"));
    assert_eq!(fine.status, 404, "other streams have their own room");
    let (came, error) = held.starve();
    assert!(came <= 4_096 && error.is_reset(), "{came} bytes, then {error}");
    assert_eq!(data(connect(&line, &mut client).answer()), [json!(text)]);

    // So it is when the client resets it, or breaks the connection off.
    for reset in [true, false] {
        let mut line = Http2::by(broker.listen, &Way { window: 4_096, ..Way::default() });
        let mut held = connect(&line, &mut client);
        broker.wait_held(1);
        ok(&publisher.publish("/a", text.as_str()));
        held.begun();
        if reset {
            held.reset();
        } else {
            line.cut();
            drop((held, line));
        }
        // A connect that came before the loss is seen would prove receipt, as by HTTP/1.1.
        broker.wait_metric("weft_reply_bytes", |bytes| bytes == 0.0);
        let line = Http2::open(broker.listen);
        assert_eq!(data(connect(&line, &mut client).answer()), [json!(text)], "{reset}");
    }
}

#[test]
fn r13_a_stop_answers_what_is_held_and_ends_the_connection() {
    let broker = Broker::start();
    let mut line = Http2::open(broker.listen);
    let mut clients: Vec<_> = (0..10).map(|_| session(&line, &broker, None)).collect();
    let mut held: Vec<_> = clients.iter_mut().map(|client| connect(&line, client)).collect();
    let mut idle = Http2::open(broker.listen);
    assert_eq!(idle.exchange(&Request::get("/nothing")).status, 404);
    broker.wait_held(10);
    let stopping = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| broker.terminate());
        for held in &mut held {
            let reply = only(held.answer());
            ok(&reply);
            assert_eq!(reply["advice"]["reconnect"], "retry");
            assert!(reply["advice"]["interval"].as_u64() >= Some(1_000));
        }
        line.ended().expect("a goodbye");
        idle.ended().expect("a goodbye");
        stopping.join().expect("an end")
    });
    assert_eq!(stopping, Some(0), "{}", broker.log());
}

#[test]
fn r15_a_connection_without_streams_ends_and_one_with_a_held_poll_does_not() {
    let broker = Broker::with(
        "[browsers]\ninterval = \"100ms\"\n[http]\nidle_timeout = \"500ms\"\nhead_timeout = \"300ms\"\n",
    );
    let mut idle = Http2::open(broker.listen);
    let mut line = Http2::open(broker.listen);
    let mut client = session(&line, &broker, None);
    let mut held = connect(&line, &mut client);
    broker.wait_held(1);
    idle.ended().expect("a goodbye");
    assert!(line.lasts(Duration::from_millis(1_200)));
    assert!(held.is_waiting());
    // Half a preface is half a head, and what only begins like one is none.
    let mut half = broker.connect();
    half.send(b"PRI * HTTP/2.0\r\n\r\nSM");
    assert!(half.is_closed_by_peer());
    let mut other = broker.connect();
    other.send(b"P");
    assert!(other.is_silent(Duration::from_millis(50)));
    other.send(&Request::post("/bayeux", HANDSHAKE).bytes(broker.listen)[1..]);
    assert_eq!(other.read().expect("an answer").status, 200);
}

#[test]
fn r37_streams_and_heads_are_bounded() {
    let broker = Broker::start();
    let line = Http2::open(broker.listen);
    assert_eq!(line.exchange(&Request::get("/nothing")).status, 404);
    assert_eq!(line.streams_max(), 128);
    let large = Request::get("/nothing").header("x-large", &"x".repeat(20_000));
    assert_eq!(line.exchange(&large).status, 431);
    assert_eq!(line.exchange(&Request::get("/nothing")).status, 404, "and the line lives on");
}

#[test]
fn r37_a_client_that_only_resets_is_thrown_out_and_others_are_served() {
    let broker = Broker::start();
    let bystander = Http2::open(broker.listen);
    let mut client = session(&bystander, &broker, None);
    let mut held = connect(&bystander, &mut client);
    broker.wait_held(1);
    let mut flood = broker.connect();
    flood.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    flood.send(&frame(SETTINGS, 0, 0, &[]));
    // `GET /` of localhost, and at once: never mind.
    let head = [&[0x82, 0x86, 0x84, 0x41, 9][..], b"localhost"].concat();
    let both = |stream| {
        [frame(HEADERS, 5, stream, &head), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat()
    };
    let streams = (0..5_000).map(|n| 2 * n + 1);
    let _ = flood.try_send(&streams.flat_map(both).collect::<Vec<u8>>());
    let mut last = (0, Vec::new());
    while let Ok(frame) = read_frame(&mut flood) {
        last = frame;
    }
    let code = last.1.get(4..8);
    assert_eq!((last.0, code), (GOAWAY, Some(&[0, 0, 0, 11][..])), "enhance your calm");
    assert!(held.is_waiting());
    assert_eq!(bystander.exchange(&Request::get("/nothing")).status, 404);
}

#[test]
fn sockets_stay_on_http_1_beside_it() {
    let broker = Broker::start();
    let line = Http2::open(broker.listen);
    let mut client = session(&line, &broker, None);
    let mut held = connect(&line, &mut client);
    broker.wait_held(1);
    let mut socket = Socket::open(broker.listen);
    socket.send_text(r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket"]}]"#);
    assert!(socket.next_text().contains(r#""successful":true"#));
    assert!(held.is_waiting());
}

#[test]
fn without_it_the_preface_is_no_request() {
    let broker = Broker::with("[http]\nhttp2 = false\n");
    let mut connection = broker.connect();
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    let refused = connection.read();
    assert!(refused.is_err() || refused.is_ok_and(|response| response.status >= 400));
}
