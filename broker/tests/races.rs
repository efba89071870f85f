//! What must hold when many threads are in the core at once, and at the moments in between.

use std::borrow::Cow;
use std::sync::Arc;
use std::thread;

use weft_broker::core::broker::{Broker, Origin, Wishes};
use weft_broker::core::clock::{Clock, SystemClock};
use weft_broker::core::held::Wakes;
use weft_broker::core::id::SessionId;
use weft_broker::core::options::Options;
use weft_broker::core::proof::{Carrier, ConnectRequest};
use weft_broker::core::publishing::Publication;
use weft_broker::core::rules::{Rule, Rules};
use weft_broker::core::session::SessionHandle;
use weft_broker::core::stats::Stats;
use weft_broker::limits::Payer;
use weft_persistence::Retention;
use weft_protocol::{ChannelLimits, ChannelName};

fn broker() -> Arc<Broker> {
    let stats = Stats::register(&prometheus::Registry::new()).expect("fresh registry");
    let keep = Retention { messages: 0, ..Retention::ALL };
    let options = Options {
        held_per_browser: None,
        response_bytes: usize::MAX,
        rules: Rules::new([], Rule { keep, ..Rule::default() }),
        ..Options::default()
    };
    Broker::new(options, stats, Arc::new(SystemClock), Origin::default())
}

fn session(broker: &Broker, patterns: &[&'static str]) -> Arc<SessionHandle> {
    let id = SessionId::random().expect("entropy");
    broker.handshake(id, Wishes::default()).expect("room");
    let session = broker.find(Some(id.as_str()), None, None).expect("it lives");
    let patterns: Vec<Cow<'_, str>> = patterns.iter().map(|&text| text.into()).collect();
    broker.subscribe(&session, &patterns, None, &mut Wakes::default()).expect("room");
    session
}

fn name(text: &str) -> ChannelName<'_> {
    ChannelName::parse(text, &ChannelLimits::default()).expect("a name")
}

fn connect(id: &str) -> ConnectRequest<'_> {
    ConnectRequest {
        arrived: SystemClock.now(),
        id: Some(id),
        alone: true,
        advice: None,
        ack: None,
        carrier: Carrier::Poll,
        holds_up: true,
        payer: Payer::default(),
    }
}

#[test]
fn l11_f5_publishers_in_many_threads_are_seen_by_all_in_one_order() {
    const EACH: usize = 2_000;
    let broker = broker();
    let sessions =
        [&["/a/b"][..], &["/a/*", "/**"], &["/a/**"]].map(|patterns| session(&broker, patterns));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let mut wakes = Wakes::default();
                    broker.publish(&Publication::new(name("/a/b"), "1"), &mut wakes).expect("room");
                }
            });
        }
    });
    for session in &sessions {
        let mut frames = Vec::new();
        for n in 1..=4 * EACH {
            let id = n.to_string();
            let received = broker.receive_connect(session, &connect(&id)).expect("it lives");
            let more = broker.answer_connect(session, received, Some(&id), false).batch.frames;
            if more.is_empty() {
                break;
            }
            frames.extend(more);
        }
        assert_eq!(frames.len(), 4 * EACH);
        assert!(frames.is_sorted_by(|a, b| a.position() < b.position()), "out of order");
    }
}

#[test]
fn l12_a_connect_that_is_dropped_while_events_wait_takes_none() {
    let broker = broker();
    let session = session(&broker, &["/a"]);
    let received = broker.receive_connect(&session, &connect("1")).expect("it lives");
    broker.answer_connect(&session, received, Some("1"), false);
    for id in ["2", "3"] {
        let received = broker.receive_connect(&session, &connect(id)).expect("it lives");
        let held = broker.hold_connect(&session, &connect(id), received);
        broker.publish(&Publication::new(name("/a"), id), &mut Wakes::default()).expect("room");
        drop(held);
    }
    let received = broker.receive_connect(&session, &connect("4")).expect("it lives");
    let mut held = broker.hold_connect(&session, &connect("4"), received);
    let answer = held.poll(broker.clock().now()).expect("events wait");
    assert_eq!(answer.batch.frames.len(), 2);
    assert_eq!(broker.census().held, 0);
}

#[test]
fn e17_e18_sessions_that_end_while_they_are_used_leave_nothing_behind() {
    let broker = broker();
    for _ in 0..200 {
        let session = session(&broker, &["/a"]);
        thread::scope(|scope| {
            let (broker, session) = (&broker, &session);
            scope.spawn(move || broker.disconnect(session));
            scope.spawn(move || {
                let patterns: Vec<Cow<'_, str>> = ["/b", "/c/**"].map(Into::into).into();
                let _ = broker.subscribe(session, &patterns, None, &mut Wakes::default());
                broker.unsubscribe(session, &patterns);
                let _ = broker.subscribe(session, &patterns, None, &mut Wakes::default());
            });
            scope.spawn(move || {
                if let Ok(received) = broker.receive_connect(session, &connect("1")) {
                    drop(broker.hold_connect(session, &connect("1"), received));
                }
            });
            scope.spawn(move || {
                let mut wakes = Wakes::default();
                for channel in ["/a", "/b", "/c/d"] {
                    broker
                        .publish(&Publication::new(name(channel), "1"), &mut wakes)
                        .expect("room");
                }
            });
        });
    }
    broker.audit().expect("sound");
    assert_eq!(broker.census(), weft_broker::core::broker::Census::default());
    assert_eq!(broker.frame_bytes(), 0);
}
