//! Faster and faster, until the server does not keep up.

use super::{fanout, open, rooms};
use crate::args::{Common, Crowd, Pattern, Sweep};
use crate::clock::micros;
use crate::report::{self, Figures};
use crate::rig::Rig;

/// No sweep has more steps.
const STEPS: usize = 60;
/// So many may go down, where not even the first one keeps up.
const DOWN: usize = 8;

pub(super) fn measure(
    common: &Common,
    given: &Sweep,
) -> Result<(Rig, Figures, report::Sweep), String> {
    let plan = match given.work {
        Pattern::Rooms => rooms(common, &given.rooms)?,
        Pattern::Fanout => {
            fanout(&Crowd { subscribers: given.subscribers, publishers: given.rooms.publishers })
        }
    };
    let mut rig = Rig::new(common, &plan)?;
    let mut steps: Vec<Figures> = Vec::new();
    let mut step = |rate| {
        rig.wait("quiet", micros(common.settle))?;
        rig.fresh();
        open::measure(&mut rig, common, rate, given.seconds)
    };
    let mut rate = given.from;
    while steps.len() < STEPS && steps.last().is_none_or(|step| step.kept_up) {
        steps.push(step(rate)?);
        rate *= given.factor;
    }
    // One that began too high goes down until it keeps up.
    let mut rate = given.from;
    while steps.len() <= DOWN && !steps.iter().any(|step| step.kept_up) {
        rate /= given.factor;
        steps.push(step(rate)?);
    }
    steps.sort_by(|a, b| a.rate_intended.total_cmp(&b.rate_intended));
    let best = steps.iter().rev().find(|step| step.kept_up);
    let peak =
        steps.iter().max_by(|a, b| a.deliveries_per_second.total_cmp(&b.deliveries_per_second));
    let figures = best.or_else(|| steps.first()).cloned().ok_or("no step was made")?;
    let sweep = report::Sweep {
        highest_rate: best.map_or(0.0, |step| step.rate_intended),
        peak_deliveries_per_second: peak.map_or(0.0, |step| step.deliveries_per_second),
        peak_cpu_us_per_message: peak
            .and_then(|step| step.server.as_ref().map(|server| server.cpu_us_per_message)),
        steps,
    };
    Ok((rig, figures, sweep))
}
