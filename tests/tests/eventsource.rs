//! Faye's eventsource transport: messages by POST, events by a stream of the session's own.

use serde_json::{Value, json};
use weft_tests::api::publish;
use weft_tests::bayeux::{Client, data, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::stream::Stream;

fn request(client: &Client<'_>, last: Option<&str>) -> Request {
    let request = Request::get(&format!("/faye/{}", client.client_id))
        .header("Accept", "text/event-stream")
        .header("Last-Event-ID", last.unwrap_or_default());
    match &client.cookie {
        Some(cookie) => request.header("Cookie", cookie),
        None => request,
    }
}

/// A subscribed client with its stream, after its first connect.
fn streaming<'b>(broker: &'b Broker, channel: &str) -> (Client<'b>, Stream) {
    let mut client = Client::handshaken(broker);
    let stream = Stream::ask(broker, &request(&client, None));
    heartbeat(&mut client);
    ok(&client.subscribe(channel));
    (client, stream)
}

/// A connect, as Faye's client sends it beside its stream; the answer.
fn heartbeat(client: &mut Client<'_>) -> Value {
    let reply = only(client.connect_with(json!({"connectionType": "eventsource"})));
    ok(&reply);
    reply
}

/// The data of the events that come next, until there are so many.
fn events(stream: &mut Stream, count: usize) -> Vec<Value> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let array = stream.event().data;
        let events = array.as_array().expect("an array").iter();
        seen.extend(events.map(|event| event["data"].clone()));
    }
    seen
}

#[test]
fn events_come_by_the_stream_and_connects_are_answered_at_once() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    let reply = client.handshake_with(json!({"supportedConnectionTypes": ["eventsource"]}));
    ok(&reply);
    assert!(reply["supportedConnectionTypes"].as_array().unwrap().contains(&"eventsource".into()));
    let mut stream = Stream::ask(&broker, &request(&client, None));
    let header = |name| stream.head.header(name);
    assert_eq!(header("Content-Type"), Some("text/event-stream"));
    assert_eq!(header("Cache-Control"), Some("no-cache, no-store"));
    assert_eq!(header("X-Accel-Buffering"), Some("no"));
    assert_eq!(stream.block().unwrap(), "retry: 2000\nid: 0\n\n");
    let advice = json!({"reconnect": "retry", "interval": 30_000, "timeout": 0});
    for _ in 0..2 {
        assert_eq!(heartbeat(&mut client)["advice"], advice);
    }
    ok(&client.subscribe("/a/*"));
    publish(&broker, "/a/x", json!({"n": 1}));
    assert_eq!(
        stream.block().unwrap(),
        "id: 1\ndata: [{\"channel\":\"/a/x\",\"data\":{\"n\":1}}]\n\n"
    );
    // The reply to its own message carries no event.
    ok(&client.publish("/a/y", 2));
    assert_eq!(events(&mut stream, 1), [2]);
    assert!(stream.is_silent());
    broker.wait_metric("weft_streams{kind=\"eventsource\"}", |streams| streams == 1.0);
    ok(&client.disconnect());
    assert_eq!(stream.rest(), "");
    broker.wait_sessions(0);
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
}

#[test]
fn t4_whoever_comes_again_says_how_far_it_came_and_gets_the_rest() {
    let broker = Broker::start();
    let (client, mut stream) = streaming(&broker, "/a");
    for n in 1..=3 {
        publish(&broker, "/a", n);
    }
    assert_eq!(events(&mut stream, 3), [1, 2, 3]);
    drop(stream);
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
    publish(&broker, "/a", 4);
    let mut stream = Stream::ask(&broker, &request(&client, Some("2")));
    assert!(stream.block().unwrap().ends_with("id: 2\n\n"));
    assert_eq!(events(&mut stream, 2), [3, 4], "what it had is forgotten, the rest goes again");
    assert_eq!(stream.last_id.as_deref(), Some("4"));
    drop(stream);
    // A number that never was, or is none, loses nothing.
    for (last, wanted) in [("0", [3, 4]), ("x", [3, 4])] {
        let mut stream = Stream::ask(&broker, &request(&client, Some(last)));
        assert_eq!(events(&mut stream, 2), wanted);
    }
    let mut stream = Stream::ask(&broker, &request(&client, Some("4")));
    assert!(stream.is_silent());
    drop(stream);
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
    publish(&broker, "/a", 5);
    let mut stream = Stream::ask(&broker, &request(&client, Some("1000000")));
    assert_eq!(events(&mut stream, 1), [5]);
}

#[test]
fn p2_a_heartbeat_proves_what_was_written_before_the_one_before_it_and_no_more() {
    let broker = Broker::start();
    let (mut client, mut stream) = streaming(&broker, "/a");
    let unproven = |wanted: f64| {
        broker.wait_metric("weft_queue_messages", |queued| queued == wanted);
    };
    publish(&broker, "/a", 1);
    assert_eq!(events(&mut stream, 1), [1]);
    unproven(1.0);
    heartbeat(&mut client);
    unproven(1.0);
    publish(&broker, "/a", 2);
    assert_eq!(events(&mut stream, 1), [2]);
    heartbeat(&mut client);
    unproven(1.0);
    drop(stream);
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
    // A client that never heard of numbers gets again what is not proven.
    let mut stream = Stream::ask(&broker, &request(&client, None));
    assert_eq!(events(&mut stream, 1), [2]);
    assert_eq!(broker.metric("weft_messages_resent_total"), 1.0);
}

#[test]
fn x5_a_session_moves_between_its_stream_and_polls() {
    let broker = Broker::start();
    let (mut client, mut stream) = streaming(&broker, "/a");
    publish(&broker, "/a", 1);
    assert_eq!(events(&mut stream, 1), [1]);
    // A poll takes the session over, with what is not proven.
    assert_eq!(data(client.connect()), [1]);
    assert_eq!(stream.rest(), "");
    let mut held = client.held_connect();
    publish(&broker, "/a", 2);
    assert_eq!(data(held.answer()), [2]);
    let mut stream = Stream::ask(&broker, &request(&client, None));
    publish(&broker, "/a", 3);
    let seen = events(&mut stream, 1);
    assert!(seen == [3] || seen == [2], "{seen:?}");
    // Without a stream a connect is held, as by long-polling.
    drop(stream);
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
    client.connect_with(json!({"connectionType": "eventsource"}));
    let mut held = client.held_connect_with(json!({"connectionType": "eventsource"}));
    publish(&broker, "/a", 4);
    assert_eq!(data(held.answer()), [4]);
}

#[test]
fn x5_the_first_connect_leaves_a_stream_that_came_before_it() {
    let broker = Broker::start();
    let mut client = Client::handshaken(&broker);
    let mut stream = Stream::ask(&broker, &request(&client, None));
    let reply = only(client.connect());
    ok(&reply);
    ok(&client.subscribe("/a"));
    publish(&broker, "/a", 1);
    assert_eq!(events(&mut stream, 1), [1]);
    assert_eq!(heartbeat(&mut client)["advice"]["timeout"], 0);
    assert!(stream.is_silent());
}

#[test]
fn x5_a_poll_that_left_before_the_stream_was_open_leaves_it_and_a_second_one_ends_it() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut stream = Stream::ask(&broker, &request(&client, None));
    stream.block();
    // It may be that the client does not know yet: whether it does is asked soon.
    let doubted = json!({"reconnect": "retry", "interval": 1_000, "timeout": 0});
    assert_eq!(only(client.connect())["advice"], doubted);
    publish(&broker, "/a", 1);
    assert_eq!(events(&mut stream, 1), [1]);
    assert_eq!(heartbeat(&mut client)["advice"]["interval"], 30_000);
    assert!(stream.is_silent());
    drop(stream);
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
    // And it may be that it does without the stream.
    let mut stream = Stream::ask(&broker, &request(&client, Some("1")));
    stream.block();
    assert_eq!(only(client.connect())["advice"], doubted);
    publish(&broker, "/a", 2);
    assert_eq!(events(&mut stream, 1), [2]);
    let replies = client.connect();
    let polls = json!({"reconnect": "retry", "interval": 0, "timeout": 30_000});
    assert_eq!(replies.last().expect("a reply")["advice"], polls);
    assert_eq!(data(replies), [2]);
    assert_eq!(stream.rest(), "");
}

#[test]
fn x5_a_connect_that_was_held_for_want_of_a_stream_is_answered_when_there_is_one() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let mut held = client.held_connect_with(json!({"connectionType": "eventsource"}));
    let mut stream = Stream::ask(&broker, &request(&client, None));
    let reply = only(held.answer());
    ok(&reply);
    assert_eq!(reply["advice"], json!({"reconnect": "retry", "interval": 30_000, "timeout": 0}));
    publish(&broker, "/a", 1);
    assert_eq!(events(&mut stream, 1), [1]);
}

#[test]
fn l15_a_stream_needs_a_session_of_this_browser() {
    let broker = Broker::start();
    let client = Client::connected(&broker);
    let ask = |request: &Request| {
        let response = broker.exchange(request);
        (response.status, response.text().trim().to_owned())
    };
    let nobody = (404, "402::session_unknown".to_owned());
    assert_eq!(ask(&request(&client, None).header("Cookie", "")), nobody);
    let mut unknown = Client::new(&broker);
    unknown.client_id = "x".repeat(32);
    assert_eq!(ask(&request(&unknown, None)), nobody);
    // It had a stream, so it is told what to do: EventSource would take a 404 for good.
    let (status, text) = ask(&request(&unknown, Some("7")));
    assert_eq!(status, 200);
    let told: Value = serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap();
    refused(&told[0], "402::session_unknown");
    assert_eq!(told[0]["channel"], "/meta/connect");
    assert_eq!(told[0]["advice"]["reconnect"], "handshake");
    assert_eq!(ask(&request(&client, None).header("Origin", "https://evil.example")).0, 403);
    let stream = Stream::ask(&broker, &request(&client, None).header("Origin", "http://localhost"));
    assert_eq!(stream.head.header("Access-Control-Allow-Origin"), Some("http://localhost"));
}

#[test]
fn e17_an_open_stream_is_contact_and_its_end_is_not() {
    let broker = Broker::with(
        "[sessions]\nmax_interval = \"300ms\"\n[streams]\nheartbeat = \"100ms\"\nretry = \"1s\"\n",
    );
    let (client, mut stream) = streaming(&broker, "/a");
    assert_eq!(stream.block().unwrap(), "retry: 1000\nid: 0\n\n");
    for n in 0..5 {
        assert!(stream.is_silent());
        assert_eq!(stream.block().unwrap(), ":\n\n");
        publish(&broker, "/a", n);
        assert_eq!(events(&mut stream, 1), [n]);
    }
    drop(stream);
    broker.wait_sessions(0);
    assert_eq!(broker.metric("weft_sessions_ended_total{cause=\"expired\"}"), 1.0);
    assert!(!broker.log().contains(&client.client_id), "a clientId is never logged whole");
}

#[test]
fn d10_at_a_drain_a_stream_ends_with_the_time_to_come_again() {
    let broker = Broker::start();
    let (_client, mut stream) = streaming(&broker, "/a");
    stream.block();
    assert_eq!(broker.terminate(), Some(0));
    let rest = stream.rest();
    let retry = rest.strip_prefix("retry: ").and_then(|rest| rest.strip_suffix("\n\n"));
    let retry: u64 = retry.and_then(|ms| ms.parse().ok()).unwrap_or_else(|| panic!("{rest:?}"));
    assert!((1_000..3_000).contains(&retry));
}

#[test]
fn c6_eventsource_can_be_turned_off() {
    let broker = Broker::with("[bayeux]\neventsource = false\n");
    let mut client = Client::new(&broker);
    let reply = client.handshake();
    assert!(!reply["supportedConnectionTypes"].as_array().unwrap().contains(&"eventsource".into()));
    let response = broker.exchange(&request(&client, None));
    assert_eq!(response.status, 400, "{}", response.text());
}

#[test]
fn p5_a_fast_reader_does_not_wait_for_its_heartbeats() {
    let broker = Broker::with("[limits]\nqueue_messages = 20\n");
    let (mut client, mut stream) = streaming(&broker, "/a");
    for n in 0..200 {
        publish(&broker, "/a", n);
    }
    assert_eq!(events(&mut stream, 200), (0..200).map(Value::from).collect::<Vec<_>>());
    assert!(heartbeat(&mut client).get("ext").is_none(), "nothing was lost");
    assert!(broker.metric("weft_queue_messages") <= 20.0);
}

#[test]
fn p4_p5_a_stream_that_nobody_takes_from_is_cut_and_what_it_carried_goes_again_or_is_told() {
    let broker = Broker::with("[http]\nbody_timeout = \"500ms\"\n");
    let (mut client, stuck) = streaming(&broker, "/a");
    let filler = "x".repeat(256 << 10);
    let positions: Vec<i64> =
        (0..40).map(|n| publish(&broker, "/a", json!({"n": n, "filler": filler}))).collect();
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
    let mut stream = Stream::ask(&broker, &request(&client, None));
    let mut seen: Vec<i64> = Vec::new();
    while seen.last() != Some(&39) {
        let data = events(&mut stream, 1);
        seen.extend(data.iter().map(|data| data["n"].as_i64().expect("a number")));
    }
    // More than a queue holds was unproven: what had to go for that is told, and the rest is there.
    let first = seen[0];
    assert_eq!(seen, (first..40).collect::<Vec<_>>());
    let told = heartbeat(&mut client)["ext"]["weft"]["gap"].clone();
    assert_eq!(first > 0, told.is_array(), "from {first} on: {told}");
    if first > 0 {
        assert!(told[0]["to"].as_i64() >= Some(positions[first as usize - 1]), "{told}");
    }
    drop(stuck);
}
