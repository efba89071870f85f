//! What a session's queue costs: a message in, a reply's worth out, the proof that it arrived.
//!
//! A queue alone, without the locks around it; `fanout.rs` has both.

mod common;

use std::sync::Arc;

use common::{ALL, DATA, name};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use weft_broker::core::frame::{Frame, FrameBytes};
use weft_broker::core::options::QueueLimits;
use weft_broker::core::queue::Queue;
use weft_protocol::event;

const CHANNEL: &str = "/stock/us/weft";

fn main() {
    divan::main();
}

fn frame(alive: &Arc<FrameBytes>) -> Frame {
    Frame::new(event(name(CHANNEL), DATA, None).into(), CHANNEL.len(), 1, 1, alive)
}

/// Makes a frame: once per publication.
#[divan::bench]
fn make_frame(bencher: Bencher<'_, '_>) {
    let alive = Arc::default();
    bencher.bench_local(|| frame(&alive));
}

/// So many messages in, and out with one reply.
#[divan::bench(args = [1, 10, 1_000])]
fn push_and_take(bencher: Bencher<'_, '_>, messages: usize) {
    let frame = frame(&Arc::default());
    let mut queue = Queue::default();
    bencher.counter(ItemsCount::new(messages)).bench_local(|| {
        (0..messages).for_each(|_| queue.push(frame.clone(), true));
        let taken = queue.take(ALL).frames.len();
        queue.unsend();
        queue.drop_all();
        taken
    });
}

/// A message comes into a queue at its bound, and the oldest leaves it.
#[divan::bench(args = [10, 10_000])]
fn push_at_the_bound(bencher: Bencher<'_, '_>, messages: usize) {
    let limits = QueueLimits { messages, bytes: usize::MAX };
    let frame = frame(&Arc::default());
    let mut queue = Queue::default();
    (0..messages).for_each(|_| queue.push(frame.clone(), false));
    bencher.bench_local(|| {
        queue.push(black_box(frame.clone()), false);
        queue.drop_to(limits)
    });
}
