//! Many clients that hear nothing, and then one message to all.

use super::open;
use crate::args::{Common, Idle};
use crate::clock::micros;
use crate::report::{self, Figures};
use crate::rig::{Plan, Rig};

pub(super) fn measure(
    common: &Common,
    given: &Idle,
) -> Result<(Rig, Figures, report::Idle), String> {
    let plan = Plan {
        hears: vec![vec![0]; given.clients as usize],
        channels: 1,
        publishers: 1,
        in_flight: 1,
        payload: given.payload as usize,
    };
    let mut rig = Rig::new(common, &plan)?;
    let before = rig.server()?;
    rig.wait("nothing happens", micros(given.hold))?;
    let idle = before.zip(rig.server()?).map(|(before, after)| after.cpu_since(&before));
    rig.fresh();
    let figures = open::measure(&mut rig, common, 1.0, 0.0)?;
    let seconds = rig.set_up.seconds;
    let idle = report::Idle {
        set_up_seconds: seconds,
        set_up_per_second: f64::from(given.clients) / seconds.max(1e-6),
        set_up_generator_share: rig.set_up.generator_share,
        hold_seconds: given.hold,
        idle_cpu_percent: idle.map(|cpu| cpu / given.hold.max(1e-3) * 100.0),
        broadcast_ms: figures.latency_ms.max,
    };
    Ok((rig, figures, idle))
}
