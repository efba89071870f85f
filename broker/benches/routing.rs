//! What it costs to find who gets a message, with so many channels and subscriptions, and what it
//! costs to look up the pasts that a pattern means.

mod common;

use common::{Rig, name};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Channels, and subscriptions to each by as many sessions.
#[derive(Debug, Clone, Copy)]
struct Size(usize, usize);

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} channels, {} subscriptions", self.0, self.0 * self.1)
    }
}

const SIZES: [Size; 4] = [Size(1, 1), Size(1_000, 1), Size(100_000, 1), Size(100_000, 10)];

fn channel(n: usize) -> String {
    format!("/stock/{}/share{n}", n % 100)
}

/// A broker with so many subscriptions, by a thousand sessions.
fn subscribed(Size(channels, each): Size) -> Rig {
    let rig = Rig::keeping(0);
    let sessions = 1_000.min(channels * each);
    let of = |session: usize| {
        let all = (0..channels * each).skip(session).step_by(sessions);
        all.map(|n| channel((n + n / channels) % channels)).collect::<Vec<_>>()
    };
    for session in 0..sessions {
        let channels = of(session);
        rig.session(&channels.iter().map(String::as_str).collect::<Vec<_>>());
    }
    rig
}

/// Looks for subscribers of a channel that has none, and of one after the other that has some.
#[divan::bench(args = SIZES)]
fn find(bencher: Bencher<'_, '_>, size: Size) {
    let rig = subscribed(size);
    let names: Vec<String> = (0..size.0).map(channel).collect();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 7_919) % names.len();
        rig.broker.has_subscribers(name(black_box(&names[next])), "/")
    });
}

/// Publishes to one channel after the other.
#[divan::bench(args = SIZES)]
fn publish(bencher: Bencher<'_, '_>, size: Size) {
    let rig = subscribed(size);
    let names: Vec<String> = (0..size.0).map(channel).collect();
    let mut next = 0;
    bencher.bench_local(|| {
        next = (next + 7_919) % names.len();
        rig.publish(black_box(&names[next]))
    });
}

/// A subscription comes and goes beside so many.
#[divan::bench(args = SIZES)]
fn come_and_go(bencher: Bencher<'_, '_>, size: Size) {
    let rig = subscribed(size);
    let session = rig.session(&[]);
    let pattern = [std::borrow::Cow::Borrowed("/stock/7/another")];
    bencher.bench_local(|| {
        let wakes = &mut weft_broker::core::held::Wakes::default();
        rig.broker.subscribe(&session, &pattern, None, wakes).expect("room");
        rig.broker.unsubscribe(&session, &pattern);
    });
}

/// Somebody asks for the past of everything, which is refused beyond 10,000 channels.
#[divan::bench(args = [1_000, 9_000, 60_000], sample_count = 10, sample_size = 1)]
fn past_of_everything(bencher: Bencher<'_, '_>, channels: usize) {
    let rig = Rig::keeping(1);
    for n in 0..channels {
        rig.publish(&channel(n));
    }
    let subscribe = || {
        let session = rig.session(&[]);
        let id = session.id.as_str();
        format!(
            r#"[{{"channel":"/meta/subscribe","clientId":"{id}","subscription":"/**","ext":{{"replay":{{"/**":-2}}}}}}]"#
        )
    };
    bencher.with_inputs(subscribe).bench_local_refs(|text| drop(rig.request(text)));
}
