//! CometD's acknowledgements, on every transport that its clients use.

use serde_json::{Value, json};
use weft_tests::api::publish;
use weft_tests::bayeux::ok;
use weft_tests::broker::Broker;
use weft_tests::http::Cut;
use weft_tests::transports::{NEW, Session, Transport};

use crate::supply::numbers;

/// Connects with the number last seen: the events' numbers, and the reply's.
fn take(session: &mut dyn Session, seen: u64) -> (Vec<i64>, u64) {
    let (events, reply) = session.connect(json!({"ext": {"ack": seen}}));
    ok(&reply);
    (numbers(&events), reply["ext"]["ack"].as_u64().expect("a number"))
}

fn acknowledging<'b>(on: Transport, broker: &'b Broker) -> Box<dyn Session + 'b> {
    let mut session = on.session(broker, &json!({"ack": true}));
    session.subscribe("/a", NEW);
    session
}

pub(crate) fn x1_every_connect_reply_has_the_next_number(on: Transport) {
    let broker = Broker::start();
    let mut session = acknowledging(on, &broker);
    for n in 1..=5_i64 {
        publish(&broker, "/a", n);
        // The first connect, without events, had number 1.
        let number = n.unsigned_abs();
        assert_eq!(take(&mut *session, number), (vec![n], number + 1));
    }
    let at_once: Value = json!({"advice": {"timeout": 0}, "ext": {"ack": 6}});
    let (events, reply) = session.connect(at_once);
    assert_eq!((events.len(), &reply["ext"]["ack"]), (0, &json!(7)));
}

pub(crate) fn x1_what_is_not_acknowledged_comes_again(on: Transport) {
    let broker = Broker::start();
    let mut session = acknowledging(on, &broker);
    publish(&broker, "/a", 1);
    assert_eq!(take(&mut *session, 1), (vec![1], 2));
    publish(&broker, "/a", 2);
    assert_eq!(take(&mut *session, 1), (vec![1, 2], 3), "on the same connection");
    for (n, cut) in [(3, Cut::Close), (4, Cut::Reset)] {
        session.cut(cut);
        publish(&broker, "/a", n);
        session.resume();
        let piece = session.next();
        assert_eq!(numbers(&piece.events), (1..=n).collect::<Vec<_>>(), "{cut:?}");
    }
}
