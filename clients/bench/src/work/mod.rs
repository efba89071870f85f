//! The works: who is set up, what is published, and what is made of it.

mod idle;
mod open;
mod publish;
mod sweep;

use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{Common, Crowd, Rooms, Work};
use crate::chance::Chance;
use crate::report::{Figures, Report};
use crate::rig::{Plan, Rig};

/// Does the work.
///
/// # Errors
/// A text, if the server is not there or does not speak as it should.
pub(crate) fn run(work: &Work) -> Result<Report, String> {
    match work {
        Work::Fanout { common, crowd, load } => {
            let options = options(common, &(crowd, load));
            let mut rig = Rig::new(common, &fanout(crowd))?;
            let rate = load.rate.unwrap_or(20.0);
            let figures = open::measure(&mut rig, common, rate, load.seconds)?;
            finish("fanout", options, rig, figures)
        }
        Work::Rooms { common, rooms: given, load } => {
            let options = options(common, &(given, load));
            let mut rig = Rig::new(common, &rooms(common, given)?)?;
            let rate = load.rate.unwrap_or(50.0);
            let figures = open::measure(&mut rig, common, rate, load.seconds)?;
            finish("rooms", options, rig, figures)
        }
        Work::Idle { common, idle: given } => {
            let (rig, figures, idle) = idle::measure(common, given)?;
            let report = finish("idle", options(common, &(given,)), rig, figures)?;
            Ok(Report { idle: Some(idle), ..report })
        }
        Work::Publish { common, publish: given } => {
            let (rig, figures, publish) = publish::measure(common, given)?;
            let report = finish("publish", options(common, &(given,)), rig, figures)?;
            Ok(Report { publish: Some(publish), ..report })
        }
        Work::Sweep { common, sweep: given } => {
            let (rig, figures, sweep) = sweep::measure(common, given)?;
            let report = finish("sweep", options(common, &(given,)), rig, figures)?;
            Ok(Report { sweep: Some(sweep), ..report })
        }
    }
}

fn finish(
    command: &'static str,
    options: Value,
    rig: Rig,
    figures: Figures,
) -> Result<Report, String> {
    let (seed, subscribers) = (rig.seed, rig.subscribers());
    rig.leave()?;
    let tool_version = env!("CARGO_PKG_VERSION");
    let (idle, publish, sweep) = (None, None, None);
    Ok(Report { tool_version, command, options, seed, subscribers, figures, idle, publish, sweep })
}

/// All options in one object.
fn options(common: &Common, more: &impl Serialize) -> Value {
    let mut all = json!(common);
    let Value::Array(parts) = json!(more) else { return all };
    for part in parts {
        if let (Some(all), Value::Object(part)) = (all.as_object_mut(), part) {
            all.extend(part);
        }
    }
    all
}

/// Everybody hears the one channel.
fn fanout(crowd: &Crowd) -> Plan {
    Plan {
        hears: vec![vec![0]; crowd.subscribers as usize],
        channels: 1,
        publishers: crowd.publishers.publishers as usize,
        in_flight: 1,
        payload: crowd.publishers.payload as usize,
    }
}

/// Everybody hears some channels, chosen at random.
fn rooms(common: &Common, rooms: &Rooms) -> Result<Plan, String> {
    if rooms.rooms_per_client > rooms.rooms {
        return Err("--rooms-per-client must not be more than --rooms".to_owned());
    }
    let mut chance = Chance::new(common.seed);
    let (each, all) = (rooms.rooms_per_client.max(1) as usize, rooms.rooms as usize);
    Ok(Plan {
        hears: (0..rooms.clients).map(|_| chance.some(each, all)).collect(),
        channels: all,
        publishers: rooms.publishers.publishers as usize,
        in_flight: 1,
        payload: rooms.publishers.payload as usize,
    })
}
