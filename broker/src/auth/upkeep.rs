//! Keys change while weft runs: files are looked at every second, addresses are asked when it is
//! time, and at once for a key that is not known yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::access::Shared;
use super::files;
use super::source::{Fresh, Source};

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often tokens alone can make an address be asked again.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// The same while nothing has been had from there yet.
const ASK_AT_FIRST: Duration = Duration::from_secs(1);

/// Who is asking holds this.
type Turn = OwnedMutexGuard<Option<Instant>>;

/// Until `stop`.
pub(super) async fn keep(shared: Arc<Shared>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What was already said of a file that cannot be read.
    let mut told = Vec::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        for source in &shared.state.load_full().sources {
            let Some(remote) = source.remote.as_ref().filter(|remote| remote.take_turn()) else {
                continue;
            };
            // Whoever holds it is asking just now.
            if let Ok(turn) = Arc::clone(&remote.asked).try_lock_owned() {
                tokio::spawn(ask(Arc::clone(&shared), source.clone(), turn));
            }
        }
        let files = Arc::clone(&shared);
        let look = tokio::task::spawn_blocking(move || look(&files, &told));
        told = look.await.unwrap_or_default();
    }
}

/// Reads the files that have changed. What cannot be read is said once, and the keys stay. Returns
/// what was said of those that cannot.
fn look(shared: &Shared, told: &[String]) -> Vec<String> {
    let state = shared.state.load_full();
    let mut wrong = Vec::new();
    for source in &state.sources {
        let Some(path) = source.file() else { continue };
        let stamp = files::stamp(path);
        if stamp.is_some() && stamp == source.stamp {
            continue;
        }
        match source.read_file() {
            Ok(fresh) => {
                shared.swap(source, fresh);
            }
            Err(error) => {
                let name = &source.options.name;
                let text = format!("{name} {error} {stamp:?}");
                if !told.contains(&text) {
                    shared.stats.file_failures.inc();
                    tracing::warn!(
                        source = name,
                        error,
                        "the keys of a source cannot be read: the last ones hold"
                    );
                }
                wrong.push(text);
            }
        }
    }
    wrong
}

/// Asks an address because of a token that its keys do not fit, unless that was done a moment ago.
/// True if the keys are others now.
pub(super) async fn ask_again(shared: &Arc<Shared>, source: &Source) -> bool {
    let Some(remote) = &source.remote else { return false };
    let mut turn = Arc::clone(&remote.asked).lock_owned().await;
    if shared.has_changed(source) {
        return true;
    }
    let pause = if source.keys.is_some() { ASK_AGAIN } else { ASK_AT_FIRST };
    if turn.is_some_and(|at| at.elapsed() < pause) {
        return false;
    }
    *turn = Some(Instant::now());
    // In a task of its own: whoever brought the token may go away, and others wait for the answer.
    tokio::spawn(ask(Arc::clone(shared), source.clone(), turn)).await.unwrap_or(false)
}

async fn ask(shared: Arc<Shared>, source: Source, mut turn: Turn) -> bool {
    let Some(remote) = &source.remote else { return false };
    let answer: Result<Fresh, String> = remote.ask(|body| source.read(body, None)).await;
    let changed = match answer {
        Ok(fresh) => {
            // The first set was asked for because there was none: the next key may be new already.
            if source.keys.is_none() {
                *turn = None;
            }
            shared.swap(&source, fresh)
        }
        Err(error) => {
            // Those who wait in line for it need not wait for the same again.
            *turn = Some(Instant::now());
            shared.stats.fetch_failures.inc();
            let name = &source.options.name;
            if source.keys.is_some() {
                tracing::warn!(
                    source = name,
                    error,
                    "the keys of a source cannot be fetched: the last ones hold"
                );
            } else {
                tracing::warn!(
                    source = name,
                    error,
                    "the keys of a source cannot be fetched: its tokens wait"
                );
            }
            false
        }
    };
    drop(turn);
    changed
}
