//! Much at a time: order, batches, and readers that fall behind.

use weft_tests::api::publish;
use weft_tests::broker::Broker;
use weft_tests::transports::{NEW, Transport};

use crate::supply::{flood, leading, publish_at_once};

pub(crate) fn l11_p1_each_channel_keeps_its_order_while_several_publish(on: Transport) {
    const EACH: i64 = 300;
    const CHANNELS: [&str; 3] = ["/o/a", "/o/b", "/o/c"];
    let broker = Broker::start();
    let mut subscriber = on.subscriber(&broker, &["/o/*"], NEW);
    std::thread::scope(|scope| {
        for channel in CHANNELS {
            let broker = &broker;
            scope.spawn(move || {
                for n in 1..=EACH {
                    publish(broker, channel, n);
                }
            });
        }
        let mut last = CHANNELS.map(|_| 0);
        for event in subscriber.take(CHANNELS.len() * 300) {
            let of = CHANNELS.iter().position(|channel| *channel == event.channel);
            let last = &mut last[of.expect("a channel")];
            assert_eq!(event.number(), *last + 1, "{}", event.channel);
            *last += 1;
        }
        assert_eq!(last, CHANNELS.map(|_| EACH));
    });
    assert!(subscriber.is_silent());
}

pub(crate) fn r24_a_burst_comes_whole_and_in_order(on: Transport) {
    // As many as one request may carry, several times.
    const AT_ONCE: i64 = 1_000;
    const TIMES: i64 = 5;
    let broker = Broker::with("[[channels]]\npattern = \"/a\"\nbacklog = { messages = 10000 }\n");
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    for time in 0..TIMES {
        publish_at_once(&broker, "/a", time * AT_ONCE + 1..=(time + 1) * AT_ONCE);
    }
    let (mut last, mut pieces) = (0, 0);
    while last < AT_ONCE * TIMES {
        let piece = subscriber.next();
        assert!(piece.gaps.is_empty(), "{piece:?}");
        for event in piece.events {
            assert_eq!(event.number(), last + 1);
            last += 1;
        }
        pieces += 1;
    }
    if on.has_batches() {
        assert!(pieces <= AT_ONCE * TIMES / 20, "{pieces} pieces for {last} events");
    }
    assert!(subscriber.is_silent());
}

pub(crate) fn p2_p5_who_does_not_read_costs_no_memory_and_misses_nothing(on: Transport) {
    // More than the kernel takes for a socket.
    const COUNT: i64 = 1_500;
    const BYTES: usize = 16_000;
    const QUEUE: f64 = 256.0 * 1_024.0;
    let broker = Broker::with(
        "[limits]\nbody = \"256KiB\"\nqueue_bytes = \"256KiB\"\n[store]\nmemory = \"1MiB\"\n\
         [[channels]]\npattern = \"/a\"\nbacklog = { messages = 10000 }\n",
    );
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    subscriber.ready();
    flood(&broker, "/a", 1..=COUNT, BYTES);
    assert!(broker.metric("weft_queue_bytes") <= QUEUE);
    assert_eq!(broker.metric("weft_sessions_behind"), 1.0);
    let held = broker.metric("weft_frame_bytes") - broker.metric("weft_past_bytes");
    assert!(held <= 2.0 * QUEUE + 1_048_576.0, "{held} bytes are held for one who does not read");
    let events = subscriber.take(1_500);
    assert!(events.iter().map(leading).eq(1..=COUNT), "{:?}", events.len());
    assert!(subscriber.is_silent());
    broker.wait_metric("weft_sessions_behind", |behind| behind == 0.0);
    assert_eq!(broker.metric("weft_messages_dropped_total"), 0.0);
}
