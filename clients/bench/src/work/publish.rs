//! Closed loop: whoever has an answer publishes the next.

use super::open;
use crate::args::{Common, Protocol, Publish, PublishBy};
use crate::clock::micros;
use crate::engine::News;
use crate::process::Sample;
use crate::progress::Progress;
use crate::report::{self, Figures, Window};
use crate::rig::{Plan, Rig};

pub(super) fn measure(
    common: &Common,
    given: &Publish,
) -> Result<(Rig, Figures, report::Publish), String> {
    let plan = Plan {
        hears: vec![vec![0]; given.subscribers as usize],
        channels: 1,
        publishers: given.publishers.publishers as usize,
        in_flight: given.in_flight as usize,
        payload: given.publishers.payload as usize,
    };
    let mut rig = Rig::new(common, &plan)?;
    // A socket takes all of its messages; a connection by HTTP one.
    let socket = common.protocol == Protocol::Websocket && common.publish != Some(PublishBy::Http);
    let each = if socket { plan.in_flight } else { 1 };
    let (before, own) = (rig.server()?, Sample::own());
    let begun = rig.engine.clock.now();
    let until = begun + micros(given.seconds);
    let mut progress = Progress::new("publishing", until - begun);
    let mut under_way = 0_u64;
    for stream in (0..rig.streams()).flat_map(|stream| std::iter::repeat_n(stream, each)) {
        rig.publish(stream, rig.engine.clock.now());
        under_way += 1;
    }
    let patience = until + micros(common.drain);
    let mut answered = begun;
    while under_way > 0 && rig.engine.cx.now < patience {
        rig.engine.turn(patience)?;
        let now = rig.engine.cx.now;
        while let Some(news) = rig.engine.cx.news.pop_front() {
            let News::Acked(who) = news else { continue };
            under_way -= 1;
            answered = now;
            let stream = rig.streams_of(who).next();
            if let Some(stream) = stream.filter(|_| now < until) {
                rig.publish(stream, now);
                under_way += 1;
            }
        }
        progress.at(now - begun, now);
    }
    // A server that is gone by now has figures all the same.
    let after = rig.server().ok().flatten();
    open::drain(&mut rig, micros(common.drain))?;
    let ended = answered.max(rig.engine.cx.tally.last);
    let seconds = (ended - begun) as f64 / 1e6;
    let accepted = rig.engine.cx.tally.accepted;
    let rate = accepted as f64 / ((answered - begun).max(1) as f64 / 1e6);
    let window = Window {
        seconds,
        own: (own, Sample::own()),
        server: before.clone().zip(rig.server().ok().flatten()),
        rate_intended: 0.0,
        rate_achieved: rate,
    };
    let (tally, crowd) = (&rig.engine.cx.tally, rig.subscribers());
    let figures = Figures::new(tally, &window, &rig.set_up, crowd, common.limit_ms);
    let spent = before.zip(after).map(|(before, after)| after.cpu_since(&before));
    let publish = report::Publish {
        accepted,
        accepted_per_second: rate,
        cpu_us_per_publish: spent.map(|spent| spent * 1e6 / accepted.max(1) as f64),
    };
    Ok((rig, figures, publish))
}
