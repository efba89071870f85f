//! Bounds: connections, sessions, subscriptions, queues, and the time that slow senders and slow
//! readers may take (checklist R33, R37, L4; decisions P4, P5, 3.12, 3.19).

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request};
use weft_tests::siege::{HANDSHAKE, Siege, is_text};
use weft_tests::wait::{PATIENCE, until};

/// Opens a connection and shows that it is served.
fn admitted(broker: &Broker) -> Connection {
    let mut connection = broker.connect();
    let response = connection.exchange(&Request::post("/bayeux", HANDSHAKE));
    assert_eq!(response.status, 200);
    connection
}

/// Opens a connection that is turned away: an answer by itself, and the end.
fn turned_away(broker: &Broker, status: u16, later: &str) {
    let mut connection = broker.connect();
    let response = connection.read().expect("an answer");
    assert_eq!(response.status, status);
    assert_eq!(response.header("Cache-Control"), Some("no-cache, no-store"));
    assert_eq!(response.header("Retry-After"), Some(later));
    assert!(connection.is_closed_by_peer());
}

#[test]
fn r33_one_address_has_a_bounded_number_of_connections() {
    let broker = Broker::with("[limits]\nloopback = true\nconnections_per_address = 8\n");
    let mut open: Vec<Connection> = (0..8).map(|_| admitted(&broker)).collect();
    (0..3).for_each(|_| turned_away(&broker, 429, "5"));
    assert_eq!(broker.metric("weft_connections_refused_total{limit=\"address\"}"), 3.0);
    assert_eq!(broker.metric("weft_connections_refused_total{limit=\"total\"}"), 0.0);
    open.pop();
    broker.wait_metric("weft_connections", |open| open <= 8.0);
    until("a place that is free again", PATIENCE, || {
        let mut connection = broker.connect();
        connection.start(&Request::post("/bayeux", HANDSHAKE));
        connection.read().ok().filter(|response| response.status == 200)
    });
    let served = open.iter_mut().map(|one| one.exchange(&Request::post("/bayeux", HANDSHAKE)));
    assert!(served.into_iter().all(|response| response.status == 200), "who is in stays in");
}

#[test]
fn r33_loopback_peers_are_not_bounded_unless_asked_for() {
    let broker = Broker::with("[limits]\nconnections_per_address = 2\n");
    let open: Vec<Connection> = (0..12).map(|_| admitted(&broker)).collect();
    assert_eq!(broker.metric("weft_connections_refused_total"), 0.0);
    drop(open);
}

#[test]
fn r33_r12_connections_in_all_are_bounded_and_operators_still_get_in() {
    let broker = Broker::with("[limits]\nconnections = 6\n");
    let mut client = Client::connected(&broker);
    let mut held = client.held_connect();
    let open: Vec<Connection> = (0..4).map(|_| admitted(&broker)).collect();
    turned_away(&broker, 503, "2");
    assert_eq!(broker.metric("weft_connections_refused_total{limit=\"total\"}"), 1.0);
    assert_eq!(broker.admin_get("/readyz").status, 200);
    assert!(held.is_waiting(), "a held poll is not what gives way");
    ok(&client.publish("/a", 1));
    drop(open);
    assert!(broker.log().contains("connections_max=6"), "{}", broker.log());
}

#[test]
fn p5_sessions_are_bounded_and_who_finds_no_room_is_told_to_come_back() {
    let broker = Broker::with("[sessions]\nmax = 3\n");
    let mut clients: Vec<_> = (0..3).map(|_| Client::connected(&broker)).collect();
    let mut late = Client::new(&broker);
    let reply = late.handshake();
    refused(&reply, "503::overloaded");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
    assert!(reply["advice"]["interval"].as_u64() >= Some(1_000), "{reply}");
    assert!(reply["advice"]["timeout"].is_u64() && reply.get("clientId").is_none(), "{reply}");
    assert_eq!(late.cookie, None, "no cookie without a session");
    ok(&clients[0].disconnect());
    ok(&late.handshake());
}

#[test]
fn p5_subscriptions_are_bounded_by_session_and_in_all() {
    let broker = Broker::with("[limits]\nsubscriptions_per_session = 4\nsubscriptions = 6\n");
    let (mut one, mut two) = (Client::connected(&broker), Client::connected(&broker));
    ok(&one.subscribe(json!(["/a/1", "/a/2", "/a/3", "/a/4"])));
    refused(&one.subscribe("/a/5"), "413::too_many_subscriptions");
    refused(&two.subscribe(json!(["/b/1", "/b/2", "/b/3"])), "413::too_many_subscriptions");
    ok(&two.subscribe(json!(["/b/1", "/b/2"])));
    ok(&one.disconnect());
    ok(&two.subscribe(json!(["/b/3", "/b/4"])));
    assert_eq!(broker.metric("weft_subscriptions"), 4.0);
}

#[test]
fn l4_names_depth_and_numbers_are_bounded_as_configured() {
    let broker = Broker::with(
        "[limits]\nmessages_per_request = 3\ndepth = 4\nchannel_bytes = 32\nchannel_segments = 3\n\
         body = \"300B\"\n",
    );
    let mut client = Client::connected(&broker);
    ok(&client.publish("/a/b/c", json!([[1]])));
    is_text(&client.post("[{},{},{},{}]"), 413, "too many messages in one request");
    is_text(&client.post("[{\"data\":[[[1]]]}]"), 400, "nested too deep");
    is_text(&client.post(" ".repeat(301)), 413, "the body is too large");
    refused(&client.publish("/a/b/c/d", 1), "405::channel_invalid");
    refused(&client.publish(&format!("/{}", "x".repeat(32)), 1), "405::channel_invalid");
    ok(&client.publish(&format!("/{}", "x".repeat(31)), 1));
    refused(&client.subscribe("/a/b/c/*"), "403::subscription_invalid");
}

/// The one gap that a connect reply tells.
fn gap(reply: &Value) -> (String, i64, i64) {
    let gap = only(reply["ext"]["weft"]["gap"].as_array().expect("a gap").clone());
    let number = |name: &str| gap[name].as_i64().expect("a position");
    (gap["channel"].as_str().expect("a channel").to_owned(), number("from"), number("to"))
}

#[test]
fn p4_p5_past_a_queues_bound_the_oldest_go_and_the_gap_is_told() {
    for bound in ["queue_messages = 5", "body = \"500B\"\nqueue_bytes = \"650B\""] {
        let policy = "queue_policy = \"drop_oldest\"";
        let broker = Broker::with(&format!("[limits]\n{bound}\n{policy}\n"));
        let mut reader = Client::subscribed(&broker, "/slow");
        let mut publisher = Client::connected(&broker);
        for n in 0..20 {
            ok(&publisher.publish("/slow", json!([n, "x".repeat(85)])));
        }
        let dropped = broker.metric("weft_messages_dropped_total");
        let (events, reply) = events_and_reply(reader.connect());
        let (channel, from, to) = gap(&reply);
        assert_eq!((channel.as_str(), from < to), ("/slow", true), "{reply}");
        let numbers: Vec<_> = events.iter().map(|event| event["data"][0].clone()).collect();
        let newest: Vec<_> = (20 - numbers.len()..20).map(|n| json!(n)).collect();
        assert_eq!((numbers.len(), numbers), (5, newest), "{bound}");
        assert_eq!(dropped, 15.0, "{bound}");
        ok(&publisher.publish("/slow", json!(["after"])));
        let (events, reply) = events_and_reply(reader.connect());
        assert_eq!((events.len(), reply.get("ext")), (1, None), "told once");
    }
}

#[test]
fn r24_p5_a_response_is_capped_and_the_rest_follows_in_order() {
    let broker = Broker::with("[limits]\nresponse_bytes = \"1KiB\"\n");
    let mut reader = Client::subscribed(&broker, "/many");
    let mut publisher = Client::connected(&broker);
    let batch: Value = (0..100).map(|n| publisher.message("/many", json!({"data": n}))).collect();
    assert_eq!(publisher.send(&batch).len(), 100);
    ok(&publisher.publish("/many", json!("x".repeat(4_000))));
    let (mut got, mut replies) = (Vec::new(), 0);
    while got.len() < 101 {
        let response = {
            let message = reader.message("/meta/connect", json!({}));
            reader.post(json!([message]).to_string())
        };
        let large = response.text().contains("xxx");
        assert!(response.body.len() < if large { 6_000 } else { 1_400 });
        got.extend(data(response.messages()));
        replies += 1;
    }
    assert!((4..=8).contains(&replies), "{replies} replies");
    let numbers: Vec<Value> = (0..100).map(|n| json!(n)).collect();
    assert_eq!(got[..100], numbers);
}

#[test]
fn p4_p5_when_memory_is_short_silent_sessions_lose_are_told_and_stop_nobody() {
    let broker = Broker::with(
        "[limits]\nbody = \"64KiB\"\nqueue_bytes = \"64KiB\"\nqueue_bytes_total = \"64KiB\"\n\
         [[channels]]\npattern = \"/**\"\nbacklog = { messages = 0 }\n",
    );
    let mut silent: Vec<_> =
        (0..4).map(|n| Client::subscribed(&broker, format!("/r/{n}"))).collect();
    let mut victim = Client::subscribed(&broker, "/victim");
    let mut publisher = Client::connected(&broker);
    let text = "x".repeat(30_000);
    for _ in 0..3 {
        for n in 0..4 {
            ok(&publisher.publish(&format!("/r/{n}"), text.clone()));
        }
        let mut held = victim.start_connect();
        ok(&publisher.publish("/victim", 1));
        assert_eq!(data(held.answer()), [1], "whoever polls is not concerned");
        assert!(broker.metric("weft_frame_bytes") < 160_000.0);
    }
    assert!(broker.metric("weft_messages_dropped_total") >= 8.0);
    for (n, reader) in silent.iter_mut().enumerate() {
        let messages = reader.connect();
        let reply = messages.last().expect("a reply");
        let gap = &reply["ext"]["weft"]["gap"][0];
        assert_eq!(gap["channel"], format!("/r/{n}"), "{reply}");
    }
}

#[test]
fn r37_large_bodies_share_a_bounded_memory_and_small_ones_pass_by() {
    let siege = Siege::with(
        "[http]\nbody_timeout = \"1s\"\n[limits]\nbody = \"64KiB\"\nbody_bytes_total = \"64KiB\"\n",
    );
    let mut greedy = siege.0.connect();
    let most = format!("[{}", " ".repeat(60_000));
    greedy.start(&Request::post("/bayeux", most).header("Content-Length", "65000"));
    siege.0.wait_metric("weft_body_bytes", |bytes| bytes >= 60_000.0);
    ok(&Client::new(&siege.0).handshake());
    let mut client = Client::connected(&siege.0);
    let large = "y".repeat(40_000);
    // It waits until the greedy one is cut, and then it is read.
    ok(&client.publish("/a", large));
    assert_eq!(greedy.read().expect("an answer").status, 400);
    siege.0.wait_metric("weft_body_bytes", |bytes| bytes == 0.0);
    ok(&client.disconnect());
    siege.over();
}

#[test]
fn r37_bodies_cut_short_or_stalled_get_400_and_hold_nothing() {
    let siege = Siege::with("[http]\nbody_timeout = \"400ms\"\n");
    let half = |more: &str| {
        let mut connection = siege.0.connect();
        connection.start(&Request::post("/bayeux", "[{\"chan").header("Content-Length", more));
        connection
    };
    let mut cut = half("500");
    cut.half_close();
    is_text(&cut.read().expect("an answer"), 400, "the body was cut short");
    let mut stalled = half("500");
    let answer = stalled.read().expect("an answer");
    is_text(&answer, 400, "the body did not come in time");
    assert_eq!(answer.header("Connection"), Some("close"));
    assert!(stalled.is_closed_by_peer());
    let mut gone: Vec<Connection> = (0..50).map(|_| half("500")).collect();
    gone.clear();
    let mut chunks = siege.0.connect();
    chunks.start(&Request::post("/bayeux", "zz\r\n").header("Transfer-Encoding", "chunked"));
    is_text(&chunks.read().expect("an answer"), 400, "the body was cut short");
    siege.0.wait_metric("weft_connections", |open| open <= 2.0);
    siege.over();
}

#[test]
fn r37_half_sent_heads_are_cut() {
    let siege = Siege::with("[http]\nhead_timeout = \"400ms\"\n");
    let head = b"POST /bayeux HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    let mut silent = siege.0.connect();
    silent.send(head);
    assert!(silent.is_closed_by_peer());
    // Slowly is no way around it: the time counts from the first byte.
    let mut slow = siege.0.connect();
    slow.send(head);
    let mut sent = 0;
    while slow.is_silent(Duration::from_millis(20)) && slow.try_send(b"a").is_ok() {
        sent += 1;
        assert!(sent < 1_000, "still not cut");
    }
    let many: Vec<Connection> = (0..200)
        .map(|_| {
            let mut connection = siege.0.connect();
            connection.send(head);
            connection
        })
        .collect();
    siege.0.wait_metric("weft_connections", |open| open <= 2.0);
    drop(many);
    siege.over();
}

#[test]
fn r37_connections_that_say_nothing_are_closed_like_late_heads_and_others_live_on() {
    let siege = Siege::with("[http]\nhead_timeout = \"400ms\"\n");
    let mut client = Client::connected(&siege.0);
    let mut silent: Vec<Connection> = (0..200).map(|_| siege.0.connect()).collect();
    siege.0.wait_metric("weft_connections", |open| open <= 2.0);
    assert!(silent.iter_mut().all(Connection::is_closed_by_peer));
    // Whoever has asked something may be silent for as long as an idle connection may.
    ok(&client.publish("/a", 1));
    ok(&client.disconnect());
    siege.over();
}

#[test]
fn r37_a_reader_that_takes_nothing_is_cut_and_loses_nothing() {
    let siege = Siege::with("[http]\nbody_timeout = \"500ms\"\n");
    let pages = vec![Request::get("/nothing").bytes(siege.0.listen); 100].concat();
    let mut greedy = siege.0.connect();
    // Asks on and on and reads nothing, until the broker has had enough.
    let cut = until("a cut connection", PATIENCE, || {
        (0..50).any(|_| greedy.try_send(&pages).is_err()).then_some(true)
    });
    assert!(cut);
    siege.0.wait_metric("weft_connections", |open| open <= 1.0);
    siege.over();
}

#[test]
fn r22_r37_idle_connections_are_closed_after_the_idle_time_and_not_before() {
    let broker = Broker::with(
        "[sessions]\ntimeout = \"3s\"\n[browsers]\ninterval = \"200ms\"\n[http]\nidle_timeout = \"1s\"\n",
    );
    let mut idle = admitted(&broker);
    let mut client = Client::connected(&broker);
    let mut held = client.held_connect();
    assert!(idle.is_silent(Duration::from_millis(300)), "open for a while");
    assert!(idle.is_closed_by_peer());
    ok(&only(held.answer()));
}
