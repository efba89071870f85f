//! Replies that are being written cost memory, too: readers that take nothing do not take all of it
//! (P5), and cost nobody a message (P2).

use std::borrow::Cow;
use std::sync::Arc;

use weft_broker::core::broker::{Broker, Origin, Wishes};
use weft_broker::core::clock::{Clock, SystemClock};
use weft_broker::core::connect::Connected;
use weft_broker::core::held::Wakes;
use weft_broker::core::id::SessionId;
use weft_broker::core::options::Options;
use weft_broker::core::proof::{Carrier, ConnectRequest};
use weft_broker::core::publishing::Publication;
use weft_broker::core::session::SessionHandle;
use weft_broker::core::stats::Stats;
use weft_broker::limits::Payer;
use weft_protocol::{ChannelLimits, ChannelName};

fn connect(broker: &Broker, session: &Arc<SessionHandle>, id: &str) -> Connected {
    let request = ConnectRequest {
        arrived: SystemClock.now(),
        id: Some(id),
        alone: true,
        advice: None,
        ack: None,
        carrier: Carrier::Poll,
        holds_up: true,
        payer: Payer::default(),
    };
    let received = broker.receive_connect(session, &request).expect("it lives");
    broker.answer_connect(session, received, Some(id), false)
}

/// A broker with such options, and a session that has subscribed to `/a` and connected.
fn subscribed(options: Options) -> (Arc<Broker>, Arc<SessionHandle>) {
    let stats = Stats::register(&prometheus::Registry::new()).expect("fresh registry");
    let broker = Broker::new(options, stats, Arc::new(SystemClock), Origin::default());
    let id = SessionId::random().expect("entropy");
    broker.handshake(id, Wishes::default()).expect("room");
    let session = broker.find(Some(id.as_str()), None, None).expect("it lives");
    let patterns = [Cow::Borrowed("/a")];
    broker.subscribe(&session, &patterns, None, &mut Wakes::default()).expect("room");
    connect(&broker, &session, "1");
    (broker, session)
}

fn publish(broker: &Broker, data: &str) {
    let name = ChannelName::parse("/a", &ChannelLimits::default()).expect("a name");
    broker.publish(&Publication::new(name, data), &mut Wakes::default()).expect("room");
}

#[test]
fn p5_a_large_event_fits_a_response_however_small_while_there_is_memory() {
    for response_bytes in [1, 16 << 10, 1 << 20] {
        let (broker, session) = subscribed(Options { response_bytes, ..Options::default() });
        publish(&broker, &format!("\"{}\"", "x".repeat(30_000)));
        assert_eq!(connect(&broker, &session, "2").batch.frames.len(), 1, "{response_bytes}");
    }
}

#[test]
fn p2_p5_where_slow_readers_take_the_memory_large_events_wait_and_small_ones_do_not() {
    let (broker, session) =
        subscribed(Options { response_bytes_total: 2 << 20, ..Options::default() });
    let large = format!("\"{}\"", "x".repeat(30_000));
    for data in ["1", "2", &large, "3"] {
        publish(&broker, data);
    }
    let stuck = broker.book_reply(3 << 20);
    assert_eq!(connect(&broker, &session, "2").batch.frames.len(), 2, "what is small goes");
    for id in ["3", "4"] {
        let reply = connect(&broker, &session, id);
        assert!(reply.batch.frames.is_empty());
        let interval = reply.advice.expect("advice").interval_ms;
        assert!(interval >= 1_000, "{interval}");
    }
    drop(stuck);
    assert_eq!(broker.reply_bytes(), 0);
    let reply = connect(&broker, &session, "5");
    assert_eq!(reply.batch.frames.len(), 2);
    assert_eq!(reply.advice.expect("the normal advice again").interval_ms, 0);
}
