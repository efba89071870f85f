//! How often the hot path asks for memory: stated here and in `docs/costs.md`, and held to.
//!
//! Counted on this thread, after some rounds that leave rooms as large as they are needed.

#[path = "../benches/common/mod.rs"]
mod common;

use allocation_counter::measure;

use self::common::{DATA, Rig};

const CHANNEL: &str = "/stock/us/weft";
const SESSIONS: usize = 100;

/// Allocations of the last of some rounds.
fn counted(mut round: impl FnMut()) -> u64 {
    (0..8).for_each(|_| round());
    measure(round).count_total
}

/// At most so many, and not far fewer: else what is stated is out of date.
#[track_caller]
fn stated(what: &str, counted: f64, stated: f64) {
    println!("{what}: {counted} allocations");
    assert!(counted <= stated, "{what}: {counted} allocations, not {stated}");
    assert!(counted > stated - 1.0, "{what}: {counted} allocations: say so, not {stated}");
}

fn per_session(count: u64) -> f64 {
    count as f64 / SESSIONS as f64
}

#[test]
fn a_publication_asks_for_memory_a_few_times_and_a_delivery_not_at_all() {
    let rig = Rig::keeping(1_000);
    let nobody = counted(|| _ = rig.publish("/nobody/is/there"));
    stated("a publication to nobody", nobody as f64, 5.0);
    let _sessions = rig.sessions(SESSIONS, &[CHANNEL]);
    // Its queue has more room than it needs now: that doubles whenever it is used up.
    for _ in 0..40 {
        rig.publish(CHANNEL);
    }
    let all = counted(|| _ = rig.publish(CHANNEL));
    stated("queueing it for a session", per_session(all - nobody), 0.05);
}

#[test]
fn a_poll_asks_for_memory_so_often() {
    let rig = Rig::keeping(1_000);
    let polls: Vec<_> = (0..SESSIONS).map(|_| rig.poller(&[CHANNEL])).collect();
    let mut held = Vec::with_capacity(SESSIONS);
    let mut turn = 0;
    let round = || {
        turn = 1 - turn;
        held.extend(polls.iter().map(|poll| rig.connect(&poll[turn])));
        held.iter_mut().for_each(|held| assert!(held.poll().is_none()));
        rig.publish(CHANNEL);
        held.drain(..).for_each(|mut held| drop(held.poll().expect("an answer")));
    };
    stated("a connect, held and answered with a message", per_session(counted(round)), 11.5);
}

#[test]
fn a_socket_asks_for_memory_so_often() {
    let rig = Rig::keeping(1_000);
    let sessions = rig.sessions(SESSIONS, &[CHANNEL]);
    let mut sockets: Vec<_> = sessions.iter().map(|session| rig.socket(session)).collect();
    let round = || rig.publish_to(CHANNEL, &mut sockets);
    stated("a message by a socket", per_session(counted(round)), 2.5);
}

#[test]
fn a_request_of_publications_asks_for_memory_so_often() {
    let rig = Rig::keeping(1_000);
    let session = rig.session(&[]);
    let id = session.id.as_str();
    let one = format!(r#"{{"channel":"{CHANNEL}","clientId":"{id}","id":"17","data":{DATA}}}"#);
    let text = format!("[{}]", vec![one; 100].join(","));
    let count = counted(|| drop(rig.request(&text)));
    stated("a publication in a request of a hundred", count as f64 / 100.0, 4.5);
}
