//! Connections that die, in good order or not, with something under way or not (P2).

use weft_tests::api::publish;
use weft_tests::broker::Broker;
use weft_tests::http::Cut;
use weft_tests::transports::{NEW, Subscriber, Transport};

use crate::supply::{numbers, publish_at_once};

/// Three messages, of which the first has this number. What came just before the cut may come again:
/// nothing proved that it had arrived.
#[track_caller]
fn gets(subscriber: &mut dyn Subscriber, first: i64, cut: Cut) {
    let mut came = Vec::new();
    while came.last() != Some(&(first + 2)) {
        came.extend(numbers(&subscriber.take(1)));
    }
    came.retain(|n| *n >= first);
    assert_eq!(came, (first..=first + 2).collect::<Vec<_>>(), "{cut:?}");
}

pub(crate) fn l12_a_cut_while_nothing_comes_loses_nothing(on: Transport) {
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    publish(&broker, "/a", 0);
    assert_eq!(numbers(&subscriber.take(1)), [0]);
    let mut next = 1;
    for cut in [Cut::Close, Cut::Reset, Cut::Close, Cut::Reset] {
        subscriber.ready();
        subscriber.cut(cut);
        publish_at_once(&broker, "/a", next..=next + 2);
        subscriber.resume();
        gets(&mut *subscriber, next, cut);
        next += 3;
    }
    assert!(subscriber.is_silent());
}

pub(crate) fn l12_what_was_sent_into_a_dead_connection_comes_again(on: Transport) {
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    publish(&broker, "/a", 0);
    assert_eq!(numbers(&subscriber.take(1)), [0]);
    let mut next = 1;
    for cut in [Cut::Close, Cut::Reset, Cut::Close, Cut::Reset] {
        subscriber.ready();
        let out = broker.metric("weft_messages_out_total");
        publish_at_once(&broker, "/a", next..=next + 2);
        broker.wait_metric("weft_messages_out_total", |now| now >= out + 3.0);
        subscriber.cut(cut);
        subscriber.resume();
        gets(&mut *subscriber, next, cut);
        next += 3;
    }
    assert!(subscriber.is_silent());
}

pub(crate) fn l11_l12_nothing_is_lost_or_out_of_order_while_connections_die(on: Transport) {
    const COUNT: i64 = 400;
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=COUNT {
                publish(&broker, "/a", n);
            }
        });
        let mut last = 0;
        for round in 1.. {
            for event in subscriber.next().events {
                let n = event.number();
                assert!(n <= last + 1, "{} is lost, {n} came", last + 1);
                last = last.max(n);
            }
            if last == COUNT {
                break;
            }
            match round % 5 {
                1 => subscriber.cut(Cut::Close),
                3 => subscriber.cut(Cut::Reset),
                _ => continue,
            }
            subscriber.resume();
        }
    });
    publish(&broker, "/a", COUNT + 1);
    loop {
        let events = subscriber.take(1);
        if events.iter().any(|event| event.number() == COUNT + 1) {
            break;
        }
    }
    assert!(subscriber.is_silent());
}
