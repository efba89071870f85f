//! What review found in the running broker, one test each, so that it stays found.

use std::net::SocketAddr;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok};
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::Request;
use weft_tests::wait;

#[test]
fn p4_l11_with_events_on_any_reply_a_gap_waits_for_the_next_connect_reply() {
    let broker = Broker::with(
        "deliver_on_any_reply = true\n\
         [limits]\nqueue_messages = 5\nqueue_policy = \"drop_oldest\"\n",
    );
    let mut reader = Client::subscribed(&broker, "/x");
    let mut publisher = Client::connected(&broker);
    let batch: Vec<_> = (0..12).map(|n| publisher.message("/x", json!({"data": n}))).collect();
    publisher.send(&json!(batch)).iter().for_each(ok);
    let message = reader.message("/y", json!({"data": 1}));
    let mut messages = reader.send(&json!([message]));
    let reply = messages.pop().expect("a reply");
    assert_eq!(messages.len(), 5, "the newest five");
    assert!(reply.get("ext").is_none(), "{reply}");
    let (_, reply) = events_and_reply(reader.connect_with(json!({"advice": {"timeout": 0}})));
    assert_eq!(reply["ext"]["weft"]["gap"][0]["channel"], "/x", "{reply}");
}

#[test]
fn p2_l12_a_connect_whose_rest_comes_after_a_newer_reply_proves_nothing() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/k");
    let mut publisher = Client::connected(&broker);
    let stale = client.message("/meta/connect", json!({}));
    let whole = client.request(json!([stale]).to_string()).bytes(broker.listen);
    let (most, last) = whole.split_at(whole.len() - 1);
    let mut slow = broker.connect();
    slow.send(most);
    // Its head must be there first: another exchange on the same broker shows that time has passed.
    wait::until("the head has been read", wait::PATIENCE, || {
        (broker.metric("weft_connections") >= 3.0).then_some(())
    });
    let lost = json!({"advice": {"timeout": 1}});
    assert_eq!(client.connect_with(lost).len(), 1);
    ok(&publisher.publish("/k", "precious"));
    let mut gone = client.start_connect_with(json!({"advice": {"timeout": 0}}));
    assert_eq!(data(gone.answer()), ["precious"], "and nobody reads it, say");
    slow.send(last);
    let answer = slow.read().expect("an answer").messages();
    assert_eq!(answer.len(), 1, "a stale connect gets no events: {answer:?}");
    let again = client.connect_with(json!({"advice": {"timeout": 0}}));
    assert_eq!(data(again), ["precious"]);
}

/// Whether the other end of the broker's socket is closed: its state is CLOSE_WAIT, in the kernel's
/// table of addresses in hexadecimal numbers.
fn is_half_closed(broker: SocketAddr, client: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let port = |address: SocketAddr| format!(":{:04X}", address.port());
    table.lines().any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        matches!(fields[..], [_, local, remote, "08", ..]
            if local.ends_with(&port(broker)) && remote.ends_with(&port(client)))
    })
}

#[test]
fn p2_l12_r8_bytes_behind_a_held_poll_do_not_hide_that_its_socket_closed() {
    for tail in ["\r\n", "POST /bayeux HTTP/1.1\r\n"] {
        // On the lean path a poll is not held once more has come.
        let broker = Broker::with("[http]\nlean = false\n");
        let mut client = Client::subscribed(&broker, "/k");
        let connect = client.message("/meta/connect", json!({}));
        let mut bytes = client.request(json!([connect]).to_string()).bytes(broker.listen);
        bytes.extend_from_slice(tail.as_bytes());
        let mut connection = broker.connect();
        connection.send(&bytes);
        broker.wait_held(1);
        let ours = connection.local();
        drop(connection);
        wait::until("the broker's system knows of the end", wait::PATIENCE, || {
            is_half_closed(broker.listen, ours).then_some(())
        });
        let mut publisher = Client::connected(&broker);
        // A wake-up may come before the edge looks at the socket: publish until the poll is given up.
        let mut sent = 0;
        wait::until("the poll is given up", wait::PATIENCE, || {
            ok(&publisher.publish("/k", sent));
            sent += 1;
            (broker.metric("weft_held_connects") == 0.0).then_some(())
        });
        let all: Vec<Value> = (0..sent).map(Value::from).collect();
        assert_eq!(data(client.connect()), all);
    }
}

#[test]
fn r32_a_mapped_loopback_address_follows_the_loopback_rules() {
    let setup = Setup::default().without_flags().toml(
        "listen = \"[::ffff:127.0.0.1]:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"mapped-data\"\n",
    );
    // Where the machine has no IPv6 there is nothing to test.
    let Ok(broker) = setup.try_start() else { return };
    let body = r#"[{"channel":"/meta/handshake","version":"1.0"}]"#;
    let foreign = Request::post("/bayeux", body).header("Host", "evil.test");
    assert_eq!(broker.exchange(&foreign).status, 403);
    let near = Request::post("/bayeux", body).header("Origin", "http://localhost:9");
    assert_eq!(broker.exchange(&near).status, 200);
}

#[test]
fn l15_d7_who_keeps_no_cookie_where_one_is_required_is_told_to_take_its_time() {
    let broker = Broker::with("[sessions]\nrequire_cookie = true\n");
    let mut client = Client::without_cookies(&broker);
    ok(&client.handshake());
    let (_, reply) = events_and_reply(client.connect());
    assert_eq!(reply["error"], "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
    assert!(reply["advice"]["interval"].as_u64().is_some_and(|ms| ms >= 1_000), "{reply}");
}

#[test]
fn r36_l4_a_body_of_many_megabytes_is_told_413_while_it_is_being_sent() {
    let broker = Broker::start();
    for size in [9_500_000, 30_000_000] {
        let request = Request::post("/bayeux", vec![b'x'; size]);
        assert_eq!(broker.exchange(&request).status, 413, "{size}");
    }
}

#[test]
fn a_log_level_that_is_none_and_a_file_that_is_no_text_are_told_with_their_place() {
    let level = Setup::default().toml("[log]\nlevel = \"loud\"\n").try_start();
    let told = level.map(|_| ()).expect_err("refused").log;
    assert!(told.contains(".toml:2:9: log.level: "), "{told}");
    let broken = Setup::default().toml("[log]\nlevel = \"info,weft=blah=3\"\n").try_start();
    let told = broken.map(|_| ()).expect_err("refused").log;
    assert!(told.contains(".toml:2:9: log.level: "), "{told}");
}

#[test]
fn r36_pages_are_read_and_not_posted_to() {
    let broker = Setup::default().env("WEFT_DEMO_ENABLED", "true").start();
    for path in ["/", "/demo", "/demo/"] {
        let response = broker.exchange(&Request::post(path, "x"));
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")), "{path}");
    }
}
