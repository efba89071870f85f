//! What a publication costs, and each delivery of it: into so many queues, and out of them.
//!
//! divan, for the reasons given in `protocol/benches/wire.rs`. Times are for reading; what must not
//! grow is counted in `instructions.rs`, and allocations in `tests/allocations.rs`.

mod common;

use common::Rig;
use divan::Bencher;
use divan::counter::ItemsCount;
use weft_broker::core::outlet::Push;

fn main() {
    divan::main();
}

/// Queues one message for so many sessions. Nobody takes it, so queues are at their bound.
#[divan::bench(args = [1, 1_000, 10_000, 100_000], sample_count = 20, sample_size = 1)]
fn publish(bencher: Bencher<'_, '_>, sessions: usize) {
    let rig = Rig::keeping(0);
    let _sessions = rig.sessions(sessions, &["/stock/us/weft"]);
    bencher.counter(ItemsCount::new(sessions)).bench_local(|| rig.publish("/stock/us/weft"));
}

/// The same for sessions that each match by two patterns.
#[divan::bench(args = [1_000, 10_000, 100_000], sample_count = 20, sample_size = 1)]
fn publish_to_overlapping(bencher: Bencher<'_, '_>, sessions: usize) {
    let rig = Rig::keeping(0);
    let _sessions = rig.sessions(sessions, &["/stock/us/weft", "/stock/**"]);
    bencher.counter(ItemsCount::new(sessions)).bench_local(|| rig.publish("/stock/us/weft"));
}

/// A message to so many held polls, each of which is answered, and comes again.
#[divan::bench(args = [1, 1_000, 10_000], sample_count = 20, sample_size = 1)]
fn poll_round(bencher: Bencher<'_, '_>, sessions: usize) {
    let rig = Rig::keeping(1_000);
    let polls: Vec<_> = (0..sessions).map(|_| rig.poller(&["/stock/us/weft"])).collect();
    let mut turn = 0;
    bencher.counter(ItemsCount::new(sessions)).bench_local(|| {
        turn = 1 - turn;
        let mut held: Vec<_> = polls.iter().map(|poll| rig.connect(&poll[turn])).collect();
        held.iter_mut().for_each(|held| assert!(held.poll().is_none()));
        rig.publish("/stock/us/weft");
        held.iter_mut().map(|held| held.poll().map_or(0, |answer| answer.text.len())).sum::<usize>()
    });
}

/// A message to so many sockets, each of which takes and confirms it.
#[divan::bench(args = [1, 1_000, 10_000], sample_count = 20, sample_size = 1)]
fn socket_round(bencher: Bencher<'_, '_>, sessions: usize) {
    let rig = Rig::keeping(1_000);
    let sessions = rig.sessions(sessions, &["/stock/us/weft"]);
    let mut sockets: Vec<_> = sessions.iter().map(|session| rig.socket(session)).collect();
    bencher.counter(ItemsCount::new(sessions.len())).bench_local(|| {
        rig.publish("/stock/us/weft");
        let now = rig.broker.clock().now();
        let mut bytes = 0;
        for socket in &mut sockets {
            let Some(Push::Events(pushed)) = socket.poll(now) else { unreachable!("it has one") };
            bytes += weft_broker::exchange::events(&rig.broker, &pushed.batch).text.len();
            socket.confirm(pushed.mark);
        }
        bytes
    });
}
