//! Sessions that move: between long-polling and sockets, and between sockets (X5).

use serde_json::{Value, json};
use weft_tests::api::publish;
use weft_tests::bayeux::{Client, data, events_and_reply, ok, only, refused};
use weft_tests::broker::Broker;
use weft_tests::wait::A_WHILE;
use weft_tests::websocket::{Came, Socket};

use crate::talker::{Talker, values};

/// A session that came about by long-polling, is known by its clientId, and is subscribed.
fn polling<'b>(broker: &'b Broker, channel: &str) -> Client<'b> {
    let mut client = Client::without_cookies(broker);
    ok(&client.subscribe(channel));
    client
}

#[test]
fn x5_a_session_moves_between_long_polling_and_sockets_without_a_handshake() {
    let broker = Broker::start();
    let mut client = polling(&broker, "/a");
    publish(&broker, "/a", 1);
    assert_eq!(data(client.connect()), values([1]));
    publish(&broker, "/a", 2);
    // To a socket, which gets what waits.
    let mut talker = Talker::over(client);
    talker.begin_connect();
    assert_eq!(talker.events(1), values([2]));
    publish(&broker, "/a", 3);
    assert_eq!(talker.events(1), values([3]));
    // Back, while the socket is open: what it did not prove comes again, and it gets no more.
    let Talker { mut client, socket: mut old } = talker;
    let polled = data(client.connect_with(json!({"advice": {"timeout": 0}})));
    assert!([values([]), values([3]), values([2, 3])].contains(&polled), "{polled:?}");
    publish(&broker, "/a", 4);
    let mut last = Vec::new();
    while last.last() != Some(&json!(4)) {
        last.extend(data(client.connect()));
    }
    assert!(last == values([4]) || last == values([3, 4]) || last == values([2, 3, 4]), "{last:?}");
    no_events(&mut old);
    // And to another socket.
    let mut talker = Talker::over(client);
    talker.begin_connect();
    publish(&broker, "/a", 5);
    let mut came = talker.events(1);
    while came.last() != Some(&json!(5)) {
        came.extend(talker.events(1));
    }
    assert!(came == values([5]) || came == values([4, 5]), "{came:?}");
    no_events(&mut old);
    assert_eq!(broker.metric("weft_sessions"), 1.0);
}

/// Replies may come to what was asked here, but nothing that was published.
fn no_events(socket: &mut Socket) {
    while let Came::Text(text) = socket.next_within(A_WHILE) {
        assert!(!text.contains("\"data\""), "{text}");
    }
}

#[test]
fn x5_of_two_sockets_the_one_with_the_newest_connect_has_the_session() {
    let broker = Broker::start();
    let mut talker = Talker::subscribed(&broker, "/a");
    broker.wait_held(1);
    let held = talker.client.last_id;
    let mut first = talker.another_socket();
    talker.begin_connect();
    // The first one's connect is answered, and the socket stays.
    let replies: Vec<Value> = serde_json::from_str(&first.next_text()).expect("replies");
    let reply = only(replies);
    ok(&reply);
    assert_eq!(reply["id"], held.to_string());
    for n in 1..=50 {
        publish(&broker, "/a", n);
    }
    assert_eq!(talker.events(50), values(1..=50));
    no_events(&mut first);
    // Whoever connects there takes it back.
    let second = std::mem::replace(&mut talker.socket, first);
    talker.begin_connect();
    publish(&broker, "/a", 51);
    let mut came = talker.events(1);
    while came.last() != Some(&json!(51)) {
        came.extend(talker.events(1));
    }
    assert!(came.is_sorted_by_key(|n| n.as_i64()), "{came:?}");
    drop(second);
    publish(&broker, "/a", 52);
    assert_eq!(talker.events(1), values([52]), "the end of the other socket means nothing");
}

#[test]
fn x5_a_message_that_is_no_connect_does_not_take_a_session_from_its_socket() {
    let broker = Broker::start();
    let mut talker = Talker::subscribed(&broker, "/a");
    let mut first = talker.another_socket();
    ok(&talker.ask("/b", json!({"data": 1})));
    publish(&broker, "/a", 1);
    assert!(first.next_text().contains("\"data\":1"));
    no_events(&mut talker.socket);
}

#[test]
fn x5_a_second_handshake_replaces_the_session_on_its_socket() {
    let broker = Broker::start();
    let mut talker = Talker::subscribed(&broker, "/old");
    broker.wait_held(1);
    let old = talker.client.client_id.clone();
    talker.client.client_id.clear();
    let fields = json!({"version": "1.0", "supportedConnectionTypes": ["websocket"]});
    let handshake = talker.message("/meta/handshake", fields);
    talker.say(&[handshake]);
    let mut reply = talker.hear().remove(0);
    if reply["channel"] == "/meta/connect" {
        reply = talker.hear().remove(0);
    }
    ok(&reply);
    talker.client.client_id = reply["clientId"].as_str().expect("a clientId").to_owned();
    let fields = json!({"clientId": old, "subscription": "/x"});
    refused(&talker.ask("/meta/subscribe", fields), "402::session_unknown");
    publish(&broker, "/old", 1);
    ok(&talker.ask("/meta/connect", json!({})));
    ok(&talker.ask("/meta/subscribe", json!({"subscription": "/new"})));
    publish(&broker, "/new", 2);
    assert_eq!(talker.events(1), values([2]));
    assert!(talker.is_silent());
    // Elsewhere the old one is alive, with all that came for it.
    let mut elsewhere = Talker::over(talker.client);
    elsewhere.client.client_id = old;
    elsewhere.begin_connect();
    assert_eq!(elsewhere.events(1), values([1]));
}

#[test]
fn x5_l15_a_socket_speaks_for_one_session() {
    let broker = Broker::start();
    let mut one = Talker::subscribed(&broker, "/a");
    let mut two = Talker::subscribed(&broker, "/a");
    broker.wait_held(2);
    let fields = json!({"clientId": two.client.client_id, "subscription": "/b", "data": 1});
    for channel in ["/meta/subscribe", "/meta/disconnect", "/b"] {
        refused(&one.ask(channel, fields.clone()), "402::session_unknown");
    }
    let reply = one.ask("/meta/connect", json!({"clientId": two.client.client_id}));
    assert_eq!(reply["successful"], false, "{reply}");
    publish(&broker, "/a", 1);
    assert_eq!((one.events(1), two.events(1)), (values([1]), values([1])));
    assert_eq!(broker.metric("weft_sessions"), 2.0);
}

#[test]
fn x1_x5_acknowledgements_go_along_from_one_transport_to_the_other() {
    let broker = Broker::start();
    let mut client = Client::new(&broker);
    client.keeps_cookies = false;
    let fields = json!({"ext": {"ack": true}});
    ok(&client.handshake_with(fields));
    let (_, first) = events_and_reply(client.connect_with(json!({"ext": {"ack": 0}})));
    ok(&client.subscribe("/a"));
    publish(&broker, "/a", 2);
    let seen = json!({"ext": {"ack": first["ext"]["ack"]}});
    assert_eq!(data(client.connect_with(seen.clone())), values([2]));
    let mut talker = Talker::over(client);
    let mut connect = |seen: &Value| {
        let connect = talker.message("/meta/connect", seen.clone());
        talker.say(&[connect]);
        let mut all = talker.hear();
        while all.last().is_none_or(|last| last["channel"] != "/meta/connect") {
            all.extend(talker.hear());
        }
        all
    };
    let again = connect(&seen);
    assert_eq!(data(again.clone()), values([2]), "not acknowledged");
    let last = again.last().expect("a reply")["ext"]["ack"].clone();
    publish(&broker, "/a", 3);
    assert_eq!(data(connect(&json!({"ext": {"ack": last}}))), values([3]));
    let Talker { mut client, .. } = talker;
    let polled = client.connect_with(json!({"ext": {"ack": last}}));
    assert_eq!(data(polled), values([3]), "nor is that");
}
