//! Stopping: nobody is left hanging, nothing new is taken on, and what is under way is finished.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::held::Held;
use weft_tests::http::Connection;
use weft_tests::wait::{PATIENCE, now, until};

/// A request of which the second half is yet to come.
struct Half(Connection, Vec<u8>);

impl Half {
    fn begin(client: &Client<'_>, message: &Value) -> Self {
        let mut connection = client.broker.connect();
        let mut bytes = client.request(json!([message]).to_string()).bytes(client.broker.listen);
        let rest = bytes.split_off(bytes.len() - 10);
        connection.send(&bytes);
        Self(connection, rest)
    }

    fn finish(mut self) -> Value {
        self.0.send(&self.1);
        only(self.0.read().expect("an answer").messages())
    }
}

fn nobody_listens(broker: &Broker) {
    until("no more listening", PATIENCE, || {
        std::net::TcpStream::connect(broker.listen).is_err().then_some(())
    });
}

#[test]
fn d10_r13_a_signal_answers_every_held_connect_with_advice_to_come_back() {
    for signal in [Signal::TERM, Signal::INT] {
        let broker = Broker::start();
        let mut clients: Vec<_> = (0..40).map(|_| Client::without_cookies(&broker)).collect();
        let mut polls: Vec<Held> = clients.iter_mut().map(Client::start_connect).collect();
        let mut idle = Client::connected(&broker);
        ok(&idle.publish("/a", 1));
        broker.wait_held(40);
        let started = now();
        broker.signal(signal);
        let mut intervals = Vec::new();
        for poll in &mut polls {
            let response = poll.response();
            let reply = only(response.messages());
            ok(&reply);
            assert_eq!(reply["advice"]["reconnect"], "retry");
            assert!(reply["advice"]["timeout"].is_u64(), "{reply}");
            intervals.push(reply["advice"]["interval"].as_u64().expect("an interval"));
        }
        assert!(intervals.iter().all(|&ms| ms >= 1_000), "{intervals:?}");
        intervals.sort_unstable();
        intervals.dedup();
        assert!(intervals.len() > 20, "they should not all come back at once: {intervals:?}");
        assert_eq!(broker.wait_exit(PATIENCE), Some(0), "{}", broker.log());
        assert!(started.elapsed() < Duration::from_secs(9), "nothing had to be waited for");
        until("its last word", PATIENCE, || broker.log().contains("stopped").then_some(()));
        nobody_listens(&broker);
    }
}

#[test]
fn a13_d11_while_it_stops_nothing_new_begins_and_what_is_under_way_is_finished() {
    let broker = Broker::with("[http]\ndrain_timeout = \"15s\"\n");
    assert_eq!(broker.admin_get("/readyz").status, 200);
    let mut reader = Client::subscribed(&broker, "/a");
    let mut writer = Client::connected(&broker);
    let publish = writer.message("/a", json!({"data": "under way"}));
    let connect = reader.message("/meta/connect", json!({}));
    let mut late = Client::new(&broker);
    let handshake =
        late.message("/meta/handshake", json!({"supportedConnectionTypes": ["long-polling"]}));
    let publish = Half::begin(&writer, &publish);
    let connect = Half::begin(&reader, &connect);
    let handshake = Half::begin(&late, &handshake);
    until("three requests under way", PATIENCE, || {
        Some(()).filter(|()| broker.metric("weft_connections") >= 5.0)
    });

    broker.signal(Signal::TERM);
    nobody_listens(&broker);
    let ready = until("an answer that says not to send more", PATIENCE, || {
        Some(broker.admin_get("/readyz")).filter(|response| response.status != 200)
    });
    assert_eq!((ready.status, ready.text().trim()), (503, "draining"));
    assert_eq!(broker.admin_get("/healthz").status, 200, "it is well, only on its way out");
    assert_eq!(broker.admin_get("/metrics").status, 200);

    ok(&publish.finish());
    let reply = handshake.finish();
    refused(&reply, "503::draining");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
    assert!(reply["advice"]["interval"].as_u64() >= Some(1_000), "{reply}");
    let Half(mut connection, rest) = connect;
    connection.send(&rest);
    let answer = connection.read().expect("an answer").messages();
    let (events, reply) = events_and_reply(answer);
    assert_eq!(only(events)["data"], "under way");
    ok(&reply);
    assert_eq!(reply["advice"]["reconnect"], "retry");
    assert!(reply["advice"]["interval"].as_u64() >= Some(1_000), "{reply}");
    assert_eq!(broker.wait_exit(PATIENCE), Some(0), "{}", broker.log());
}

#[test]
fn what_does_not_finish_is_cut_at_the_drain_timeout() {
    let broker = Broker::with("[http]\ndrain_timeout = \"500ms\"\n");
    let mut writer = Client::connected(&broker);
    let message = writer.message("/a", json!({"data": 1}));
    let mut stuck = Half::begin(&writer, &message);
    broker.wait_metric("weft_connections", |open| open >= 2.0);
    assert_eq!(broker.terminate(), Some(0));
    assert!(broker.log().contains("cut after the drain timeout"), "{}", broker.log());
    assert!(stuck.0.is_closed_by_peer());
}

#[test]
fn interrupting_twice_does_not_wait() {
    let broker = Broker::with("[http]\ndrain_timeout = \"1h\"\n");
    let mut writer = Client::connected(&broker);
    let message = writer.message("/a", json!({"data": 1}));
    let _stuck = Half::begin(&writer, &message);
    broker.wait_metric("weft_connections", |open| open >= 2.0);
    broker.signal(Signal::INT);
    until("draining", PATIENCE, || broker.log().contains("draining").then_some(()));
    broker.signal(Signal::INT);
    let code = broker.wait_exit(PATIENCE);
    assert!(code.is_some_and(|code| code != 0), "{code:?} {}", broker.log());
}

#[test]
fn a11_h1_after_a_restart_browsers_are_known_and_sessions_begin_anew() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    let cookie = client.cookie.clone();
    assert!(cookie.is_some());
    let mut poll = client.held_connect();
    broker.kill();
    assert!(poll.0.read().is_err(), "a crash says nothing");
    broker.restart();
    client.disconnect_socket();
    let reply = only(client.connect());
    refused(&reply, "402::session_unknown");
    assert_eq!(reply["advice"]["reconnect"], "handshake");
    client.keeps_cookies = true;
    ok(&client.handshake());
    assert_eq!(client.cookie, cookie, "the same browser as before");
    ok(&only(client.connect()));
    ok(&client.subscribe("/a"));
    ok(&client.publish("/a", "again"));
    assert_eq!(data(client.connect()), [json!("again")]);
}
