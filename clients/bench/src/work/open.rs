//! Open loop: messages go at their times, whatever comes back and when.

use crate::args::Common;
use crate::clock::micros;
use crate::process::Sample;
use crate::progress::Progress;
use crate::report::{Figures, Window};
use crate::rig::Rig;

/// How long repeats are waited for, once all has come; in microseconds.
const LINGER: u64 = 100_000;

/// Messages that may go without a look at what comes.
const BURST: u64 = 16;

/// Publishes at a rate (messages a second) for some seconds, and waits for the rest.
pub(super) fn measure(
    rig: &mut Rig,
    common: &Common,
    rate: f64,
    seconds: f64,
) -> Result<Figures, String> {
    let count = (rate * seconds).round().max(1.0) as u64;
    let step = 1e6 / rate.max(1e-3);
    let mut progress = Progress::new(&format!("{rate:.0} messages/s"), micros(seconds));
    let (before, own) = (rig.server()?, Sample::own());
    let begun = rig.engine.clock.now();
    let mut sent = begun;
    for n in 0..count {
        let due = begun + (step * n as f64) as u64;
        // What is overdue goes first; but what comes is read now and then, however late it is.
        while rig.engine.now() < due || n % BURST == 0 {
            rig.engine.turn(due)?;
            if rig.engine.cx.now >= due {
                break;
            }
        }
        sent = rig.engine.cx.now;
        let _ = rig.engine.cx.tally.lateness.record(sent - due);
        // Of one channel every publisher has its share; of many each is as likely as the others.
        let stream = match rig.channels() {
            1 => (n % rig.streams() as u64) as usize,
            _ => rig.chance.below(rig.streams()),
        };
        rig.publish(stream, due);
        rig.engine.cx.news.clear();
        progress.at(sent - begun, sent);
    }
    drain(rig, micros(common.drain))?;
    let ended = rig.engine.cx.tally.last.max(sent);
    let ended = if rig.engine.cx.tally.ledger.lost() > 0 { rig.engine.cx.now } else { ended };
    // A server that is gone by now has figures all the same.
    let (own, server) = ((own, Sample::own()), before.zip(rig.server().ok().flatten()));
    rig.wait("repeats", LINGER)?;
    let window = Window {
        seconds: (ended - begun) as f64 / 1e6,
        own,
        server,
        rate_intended: rate,
        rate_achieved: rig.engine.cx.tally.accepted as f64 / ((sent - begun) as f64 + step) * 1e6,
    };
    let (tally, crowd) = (&rig.engine.cx.tally, rig.subscribers());
    Ok(Figures::new(tally, &window, &rig.set_up, crowd, common.limit_ms))
}

/// Waits until all has come, no longer than so many microseconds.
pub(super) fn drain(rig: &mut Rig, limit: u64) -> Result<(), String> {
    let until = rig.engine.clock.now() + limit;
    while rig.engine.cx.tally.ledger.lost() > 0 && rig.engine.cx.now < until {
        rig.engine.turn(until)?;
        rig.engine.cx.news.clear();
    }
    Ok(())
}
