//! Many readers, many messages, by each way: nothing is lost, repeated or out of order.
//!
//! The generator is one thread with a small parser of its own, so that what is measured is the
//! broker. The long form prints what a delivered message costs the broker in processor time, and
//! what a held poll, or whatever stands in its place, costs it in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use weft_tests::broker::Broker;
use weft_tests::process::{memory, processor_time, raise_file_limit};

use self::ways::{Reader, Way, session};

#[path = "fanout/ways.rs"]
mod ways;

/// How much of what.
#[derive(Debug, Clone, Copy)]
struct Load {
    sessions: usize,
    messages: u64,
    per_second: u32,
}

/// What all readers together saw.
#[derive(Debug, Default)]
struct Seen {
    delivered: AtomicU64,
    responses: AtomicU64,
    waiting: AtomicUsize,
    finished: AtomicUsize,
}

/// Subscribes and reads until the last message is there; each must be the one after the last.
async fn read(address: SocketAddr, way: Way, load: Load, seen: Arc<Seen>) {
    let mut reader = Reader::start(address, way).await;
    seen.waiting.fetch_add(1, Ordering::Relaxed);
    let mut next = 0;
    while next < load.messages {
        let text = reader.next().await;
        let before = next;
        for number in text.split("\"data\":{\"n\":").skip(1) {
            let number = number.split(',').next().and_then(|number| number.parse::<u64>().ok());
            assert_eq!(number, Some(next), "lost, repeated or out of order: {text}");
            next += 1;
        }
        seen.responses.fetch_add(u64::from(next > before), Ordering::Relaxed);
    }
    seen.delivered.fetch_add(next, Ordering::Relaxed);
    seen.finished.fetch_add(1, Ordering::Relaxed);
}

/// Publishes at the rate, not waiting for anybody.
async fn publish(address: SocketAddr, load: Load) {
    let (mut socket, id) = session(address).await;
    let mut clock = tokio::time::interval(Duration::from_secs(1) / load.per_second);
    let padding = "x".repeat(80);
    for n in 0..load.messages {
        clock.tick().await;
        let message = format!(
            r#"[{{"channel":"/fan","clientId":"{id}","data":{{"n":{n},"p":"{padding}"}}}}]"#
        );
        let reply = socket.post(&message).await;
        assert!(reply.contains("\"successful\":true"), "{reply}");
    }
}

/// What a run came to.
struct Report {
    microseconds_per_message: f64,
    bytes_per_reader: f64,
    messages_per_response: f64,
    seconds: f64,
}

fn run(way: Way, load: Load, patience: Duration) -> Report {
    raise_file_limit();
    let broker = Broker::start();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let idle = {
        // One session first, so that what the first of all costs is not put on the polls.
        let one = Load { sessions: 1, messages: 1, per_second: 1_000 };
        runtime.block_on(drive(&broker, way, one, patience));
        memory(broker.pid())
    };
    let started = weft_tests::wait::now();
    let (report, held, cpu) = runtime.block_on(drive(&broker, way, load, patience));
    let delivered = report.delivered.load(Ordering::Relaxed);
    assert_eq!(delivered, load.messages * load.sessions as u64);
    Report {
        microseconds_per_message: cpu.as_secs_f64() * 1e6 / delivered as f64,
        bytes_per_reader: held.saturating_sub(idle) as f64 / load.sessions as f64,
        messages_per_response: delivered as f64 / report.responses.load(Ordering::Relaxed) as f64,
        seconds: started.elapsed().as_secs_f64(),
    }
}

/// All readers, then the publisher; the memory with all polls held, and the processor time after it.
async fn drive(
    broker: &Broker,
    way: Way,
    load: Load,
    patience: Duration,
) -> (Arc<Seen>, u64, Duration) {
    let seen = Arc::new(Seen::default());
    let address = broker.listen;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..load.sessions {
        readers.spawn(read(address, way, load, Arc::clone(&seen)));
    }
    let deadline = tokio::time::sleep(patience);
    tokio::pin!(deadline);
    let there = if way.holds() { "weft_held_connects" } else { "weft_subscriptions" };
    let all_wait = async {
        while seen.waiting.load(Ordering::Relaxed) < load.sessions
            || broker.metric(there) < load.sessions as f64
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = all_wait => {}
        () = &mut deadline => panic!("not all readers got there: {seen:?}"),
    }
    let (held, before) = (memory(broker.pid()), processor_time(broker.pid()));
    let work = async {
        publish(address, load).await;
        while let Some(read) = readers.join_next().await {
            read.expect("a reader that saw every message once and in order");
        }
    };
    tokio::select! {
        () = work => {}
        () = &mut deadline => panic!("not all messages arrived: {seen:?}"),
    }
    (seen, held, processor_time(broker.pid()) - before)
}

fn show(way: Way, load: Load, report: &Report) {
    println!(
        "{way:?} {load:?}: {:.1} s, {:.1} us of the broker's processor time a delivered message \
         ({:.2} messages a response), {:.0} bytes a reader",
        report.seconds,
        report.microseconds_per_message,
        report.messages_per_response,
        report.bytes_per_reader
    );
}

#[test]
fn f5_l11_r24_every_message_reaches_every_session_once_and_in_order() {
    let load = Load { sessions: 100, messages: 30, per_second: 10 };
    for way in Way::ALL {
        let report = run(way, load, Duration::from_secs(60));
        show(way, load, &report);
        assert!(report.bytes_per_reader < 64_000.0, "{}", report.bytes_per_reader);
    }
}

/// The ways side by side: a thousand readers, at a rate that leaves the machine some air.
#[test]
#[ignore = "long form: minutes"]
fn f5_l11_r24_every_message_reaches_a_thousand_sessions_for_a_minute() {
    let load = Load { sessions: 1_000, messages: 1_200, per_second: 20 };
    for way in Way::ALL {
        let report = run(way, load, Duration::from_secs(600));
        show(way, load, &report);
        assert!(report.bytes_per_reader < 64_000.0, "{}", report.bytes_per_reader);
    }
}
