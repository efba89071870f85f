//! What a rule of `[[auth.rules]]` must be to mean anything.

use super::check::Problems;
use super::{AuthMode, Config};

/// First segments that no rule decides on.
const TAKEN: [&str; 2] = ["meta", "service"];

pub(super) fn check(config: &Config, problems: &mut Problems) {
    let auth = &config.auth;
    problems.unless(
        auth.rules.is_empty() || auth.mode == AuthMode::Token,
        &["auth.rules", "auth.mode"],
        "rules hold for those who say who they are: set auth.mode = \"token\"",
    );
    for (index, rule) in auth.rules.iter().enumerate() {
        let mut complain = |holds: bool, key: &str, text: String| {
            problems.item(holds, ("auth.rules", index), key, text);
        };
        complain(!rule.channels.is_empty(), "channels", "names no channel".to_owned());
        complain(!rule.actions.is_empty(), "actions", "names nothing that is done".to_owned());
        for channel in &rule.channels {
            if let Some(fault) = fault(channel) {
                complain(false, "channels", format!("{channel:?} {fault}"));
            }
        }
        for key in &rule.keys {
            let known = auth.keys.iter().any(|known| known.name == *key);
            complain(known, "keys", format!("{key:?} is the name of no API key (auth.keys)"));
        }
    }
}

/// What is wrong with a rule's channel, if anything.
fn fault(channel: &str) -> Option<&'static str> {
    const HELP: &str = "is no channel such as /news/today, /news/*, /news/** or /user/{sub}/**";
    let Some(rest) = channel.strip_prefix('/') else { return Some(HELP) };
    let segments: Vec<&str> = rest.split('/').collect();
    let last = segments.len() - 1;
    let fits = |(index, segment): (usize, &&str)| match *segment {
        "**" => index == last,
        "*" => true,
        segment => match segment.strip_prefix('{') {
            Some(claim) => claim
                .strip_suffix('}')
                .is_some_and(|claim| !claim.is_empty() && !claim.contains(['{', '}'])),
            None => {
                super::channels::fault(&format!("/x/{segment}")).is_none() && !segment.contains('*')
            }
        },
    };
    if !segments.iter().enumerate().all(fits) {
        return Some(HELP);
    }
    let taken = segments.first().is_some_and(|first| TAKEN.contains(first));
    taken.then_some("is not a channel that rules decide on")
}
