//! What a message costs on the wire's side: reading it, and writing it out.
//!
//! `cargo bench -p weft-protocol` shows times; what must not grow is counted in instructions, by
//! `broker/benches/instructions.rs`. We use divan rather than criterion: its benchmarks are plain
//! functions with arguments, it brings a handful of crates, and all that criterion's
//! statistics would add is lost on a machine that others use as well.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use weft_protocol::{Array, Body, ChannelLimits, ChannelName, DecodeLimits, ReplayForm, event};

const DATA: &str = r#"{"symbol":"WEFT","price":101.25,"bid":101.2,"ask":101.3,"volume":12345}"#;

fn main() {
    divan::main();
}

fn name(text: &str) -> ChannelName<'_> {
    ChannelName::parse(text, &ChannelLimits::default()).expect("a name")
}

/// A request of `n` publications.
fn publications(n: usize) -> String {
    let one = format!(r#"{{"channel":"/stock/us/weft","clientId":"c","id":"17","data":{DATA}}}"#);
    format!("[{}]", vec![one; n].join(","))
}

/// Reads a request of so many publications.
#[divan::bench(args = [1, 10, 100])]
fn decode(bencher: Bencher<'_, '_>, n: usize) {
    let (text, limits) = (publications(n), DecodeLimits::default());
    bencher
        .counter(ItemsCount::new(n))
        .bench(|| Body::text(black_box(&text)).messages(&limits).expect("messages").len());
}

/// Visits the patterns that mean a channel of so many segments.
#[divan::bench(args = [1, 3, 8])]
fn patterns(bencher: Bencher<'_, '_>, segments: usize) {
    let text = "/segment".repeat(segments);
    bencher.bench(|| {
        let mut bytes = 0;
        name(black_box(&text)).patterns(|pattern| bytes += pattern.len());
        bytes
    });
}

/// Writes one event: once per publication.
#[divan::bench]
fn encode_event() -> String {
    event(name(black_box("/stock/us/weft")), black_box(DATA), None)
}

/// Puts so many events together: once per reply.
#[divan::bench(args = [1, 10, 100])]
fn encode_array(bencher: Bencher<'_, '_>, n: usize) {
    let text = event(name("/stock/us/weft"), DATA, None);
    bencher.counter(ItemsCount::new(n)).bench(|| {
        let mut array = Array::with_capacity(n * (text.len() + 1) + 2);
        (0..n).for_each(|_| array.push_text(black_box(&text)));
        array.finish()
    });
}

/// The same for a client that asked for positions.
#[divan::bench(args = [1, 100])]
fn encode_array_with_positions(bencher: Bencher<'_, '_>, n: usize) {
    let text = event(name("/stock/us/weft"), DATA, None);
    let form = ReplayForm::of(&text);
    bencher.counter(ItemsCount::new(n)).bench(|| {
        let mut array = Array::with_capacity(n * (text.len() + 50) + 2);
        (0..n).for_each(|_| array.push_with_replay(black_box(&text), form, 1_800_000_000_000_000));
        array.finish()
    });
}
