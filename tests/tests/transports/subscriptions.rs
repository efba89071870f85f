//! Who gets what.

use serde_json::{Value, json};
use weft_tests::api::publish;
use weft_tests::bayeux::{ok, refused};
use weft_tests::broker::Broker;
use weft_tests::transports::{NEW, Session, Transport};

use crate::supply::numbers;

pub(crate) fn b6_b7_patterns_bring_what_they_match_and_nothing_else(on: Transport) {
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/one/*", "/more/**", "/name"], NEW);
    let published = [
        ("/one/a", 1),
        ("/one", 0),
        ("/one/a/b", 0),
        ("/more/a", 2),
        ("/more/a/b/c", 3),
        ("/more", 0),
        ("/moreover/a", 0),
        ("/name", 4),
        ("/name/a", 0),
        ("/one/-_!~()$@.", 5),
    ];
    for (channel, n) in published {
        publish(&broker, channel, n);
    }
    let events = subscriber.take(5);
    let mut came: Vec<_> = events.iter().map(|e| (e.channel.as_str(), e.number())).collect();
    came.sort_by_key(|(_, n)| *n);
    let matched: Vec<_> =
        published.into_iter().filter(|(_, n)| *n > 0).map(|(c, n)| (c, i64::from(n))).collect();
    assert_eq!(came, matched);
    assert!(subscriber.is_silent());
}

pub(crate) fn f10_l8_overlapping_subscriptions_bring_one_copy(on: Transport) {
    let broker = Broker::start();
    let names = ["/a/b", "/a/*", "/a/**", "/**"];
    let mut subscriber = on.subscriber(&broker, &names, NEW);
    for n in 1..=20 {
        publish(&broker, "/a/b", n);
    }
    assert_eq!(numbers(&subscriber.take(20)), (1..=20).collect::<Vec<_>>());
    assert!(subscriber.is_silent());
}

pub(crate) fn e22_e24_e25_nothing_comes_after_an_unsubscribe(on: Transport) {
    let broker = Broker::start();
    let mut session = on.session(&broker, &json!({}));
    session.subscribe("/a", NEW);
    publish(&broker, "/a", 1);
    assert_eq!(numbers(&session.take(1)), [1]);
    let reply = session.ask("/meta/unsubscribe", json!({"subscription": "/a"}));
    ok(&reply);
    assert_eq!(reply["subscription"], "/a");
    publish(&broker, "/a", 2);
    assert!(session.is_silent());
    session.subscribe("/a", NEW);
    publish(&broker, "/a", 3);
    assert_eq!(numbers(&session.take(1)), [3]);
}

pub(crate) fn l17_publishers_hear_themselves(on: Transport) {
    let broker = Broker::start();
    let mut session = on.session(&broker, &json!({}));
    session.subscribe("/a", NEW);
    session.ready();
    for n in 1..=10 {
        ok(&session.ask("/a", json!({"data": n})));
    }
    assert_eq!(numbers(&session.take(10)), (1..=10).collect::<Vec<_>>());
    assert!(session.is_silent());
}

/// What a session is told about everything but connects, without what differs from one to the next.
fn script(session: &mut dyn Session) -> Vec<Value> {
    let id = session.id();
    let messages = [
        ("/meta/subscribe", json!({"subscription": "/a"})),
        ("/meta/subscribe", json!({"subscription": ["/b", "/c/*"]})),
        ("/meta/subscribe", json!({"subscription": "/meta/*"})),
        ("/meta/subscribe", json!({"subscription": "/a/*/b"})),
        ("/meta/subscribe", json!({"subscription": []})),
        ("/meta/subscribe", json!({})),
        ("/meta/subscribe", json!({"subscription": "/service/x"})),
        ("/meta/unsubscribe", json!({"subscription": "/a"})),
        ("/meta/unsubscribe", json!({"subscription": "/never"})),
        ("/meta/unknown", json!({})),
        ("/service/unknown", json!({"data": 1})),
        ("/x", json!({"data": 1})),
        ("/x", json!({"data": 1, "id": 17})),
        ("/x", json!({"data": 1, "id": null})),
        ("/x", json!({})),
        ("/x/*", json!({"data": 1})),
        ("no channel", json!({"data": 1})),
        ("/x", json!({"data": 1, "clientId": "nobody"})),
        ("/meta/subscribe", json!({"subscription": "/a", "clientId": "nobody"})),
    ];
    let answered = |(channel, fields): (&str, Value)| session.ask(channel, fields);
    let mut replies: Vec<Value> = messages.into_iter().map(answered).collect();
    let batch = ["/meta/unsubscribe", "/y", "/meta/unsubscribe"];
    let batch = batch.map(|name| session.message(name, json!({"subscription": "/y", "data": 2})));
    replies.extend(session.send(&batch));
    assert!(!json!(replies).to_string().contains(&id), "a clientId goes out with handshakes only");
    replies
}

pub(crate) fn a2_meta_replies_are_those_of_long_polling(on: Transport) {
    let broker = Broker::start();
    let mut polling = Transport::LongPolling.session(&broker, &json!({}));
    let mut session = on.session(&broker, &json!({}));
    let expected = script(&mut *polling);
    ok(&expected[0]);
    refused(&expected[17], "402::session_unknown");
    let replies = script(&mut *session);
    for (reply, expected) in replies.iter().zip(&expected) {
        assert_eq!(reply, expected);
    }
    assert_eq!(replies.len(), expected.len());
    for session in [&mut polling, &mut session] {
        let (events, reply) = session.connect(json!({"advice": {"timeout": 0}}));
        assert!(events.is_empty(), "{events:?}");
        ok(&reply);
        assert_eq!(reply["advice"]["reconnect"], "retry", "{reply}");
    }
}
