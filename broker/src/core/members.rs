//! The sessions subscribed to one pattern, in the order of their keys: so a long visit can be broken
//! off and go on later, and of several patterns' sessions each is visited once (L8).

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::sync::Arc;

use parking_lot::RwLock;

use super::channels::blocking;
use super::session::SessionHandle;

/// How many sessions are visited before whoever comes or goes has a turn.
const AT_A_TIME: usize = 1_000;

/// So many sessions are fetched from memory at a time, all at once instead of one after the other: no
/// cache holds them all.
const NEAR: usize = 20;

/// One pattern's members.
#[derive(Debug)]
pub(super) struct Members {
    pub(super) pattern: Arc<str>,
    state: RwLock<State>,
}

/// Most patterns have one member, the others may have very many.
#[derive(Debug)]
enum State {
    /// Nobody has come yet.
    New,
    One(Arc<SessionHandle>),
    Many(BTreeMap<u64, Arc<SessionHandle>>),
    /// All have gone, and the pattern is about to leave its table: nobody may join any more.
    Dead,
}

/// What somebody's leaving has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// They had not been there.
    Nothing,
    Some,
    /// Nobody is left, and nobody can join any more.
    Dead,
}

impl Members {
    pub(super) fn new(pattern: &Arc<str>) -> Arc<Self> {
        Arc::new(Self { pattern: Arc::clone(pattern), state: RwLock::new(State::New) })
    }

    /// Whether the session is a member now: not if all have gone before.
    pub(super) fn join(&self, session: &Arc<SessionHandle>) -> bool {
        let mut state = self.state.write();
        match &mut *state {
            State::Dead => return false,
            State::New => *state = State::One(Arc::clone(session)),
            State::One(first) => {
                let both = [Arc::clone(first), Arc::clone(session)];
                *state = State::Many(both.map(|one| (one.key, one)).into());
            }
            State::Many(all) => drop(all.insert(session.key, Arc::clone(session))),
        }
        true
    }

    pub(super) fn leave(&self, key: u64) -> Left {
        let mut state = self.state.write();
        let (left, dead) = match &mut *state {
            State::New | State::Dead => (false, false),
            State::One(only) => (only.key == key, only.key == key),
            State::Many(all) => (all.remove(&key).is_some(), all.is_empty()),
        };
        if dead {
            *state = State::Dead;
        }
        match (left, dead) {
            (false, _) => Left::Nothing,
            (true, false) => Left::Some,
            (true, true) => Left::Dead,
        }
    }

    pub(super) fn len(&self) -> usize {
        match &*self.state.read() {
            State::New | State::Dead => 0,
            State::One(_) => 1,
            State::Many(all) => all.len(),
        }
    }
}

impl State {
    /// The members from this key on.
    fn onwards(&self, key: u64) -> impl Iterator<Item = (u64, &Arc<SessionHandle>)> {
        let (one, many) = match self {
            Self::New | Self::Dead => (None, None),
            Self::One(only) => (Some(only), None),
            Self::Many(all) => (None, Some(all)),
        };
        let one = one.map(|only| (only.key, only)).filter(move |(own, _)| *own >= key);
        let many = many.into_iter().flat_map(move |all| all.range(key..));
        one.into_iter().chain(many.map(|(key, session)| (*key, session)))
    }
}

/// Visits each session that is a member of any of these, once. Whoever comes or goes meanwhile may be
/// visited or not. What takes long does not keep the runtime from its work.
pub(super) fn visit(all: &[Arc<Members>], mut visit: impl FnMut(&Arc<SessionHandle>)) {
    if let Some(mut next) = visit_some(all, 0, &mut visit) {
        blocking(|| {
            while let Some(more) = visit_some(all, next, &mut visit) {
                next = more;
            }
        });
    }
}

/// Visits some from this key on; says where to go on.
///
/// All are locked at the same time, in the order of a channel's patterns, which is one order for all
/// channels; and whoever waits to write holds no other. So nobody waits for ever.
fn visit_some(
    all: &[Arc<Members>],
    from: u64,
    visit: &mut impl FnMut(&Arc<SessionHandle>),
) -> Option<u64> {
    if let [only] = all {
        let state = only.state.read();
        let mut members = state.onwards(from).peekable();
        let mut near = Vec::with_capacity(NEAR);
        for _ in 0..AT_A_TIME / NEAR {
            near.extend(members.by_ref().take(NEAR).map(|(_, session)| session));
            near.iter().for_each(|session| session.approach());
            near.drain(..).for_each(&mut *visit);
        }
        return members.peek().map(|(key, _)| *key);
    }
    let states: Vec<_> = all.iter().map(|members| members.state.read()).collect();
    let mut lists: Vec<_> = states.iter().map(|state| state.onwards(from).peekable()).collect();
    for _ in 0..AT_A_TIME {
        let key = lowest(&mut lists)?;
        let same = lists.iter_mut().filter_map(|list| list.next_if(|(own, _)| *own == key));
        // To the last, since each of them moves on.
        if let Some((_, session)) = same.last() {
            visit(session);
        }
    }
    lowest(&mut lists)
}

fn lowest<'s>(
    lists: &mut [Peekable<impl Iterator<Item = (u64, &'s Arc<SessionHandle>)>>],
) -> Option<u64> {
    lists.iter_mut().filter_map(|list| list.peek().map(|(key, _)| *key)).min()
}
