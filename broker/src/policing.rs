//! From the configuration to the rules that hold, and what the rules come to: `weft explain`.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use weft_protocol::{ChannelLimits, Pattern};

use crate::auth::{Access, AuthOptions, AuthStats};
use crate::config::{self, Auth, AuthMode, AuthRule, Effect, RuleAction};
use crate::core::broker::Broker;
use crate::core::clock::{Clock, SystemClock};
use crate::core::policy::{Action, Decision, Policy, Rule, Template};
use crate::core::principal::Principal;
use crate::guard::{Guard, Places};

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// The rules of a configuration, which was found sound.
///
/// # Errors
/// When a channel is none after all.
pub fn policy(auth: &Auth) -> Result<Policy, String> {
    let rules: Result<Vec<Rule>, String> = auth.rules.iter().map(rule).collect();
    Ok(Policy::new(rules?, std::iter::empty().collect()))
}

fn rule(rule: &AuthRule) -> Result<Rule, String> {
    let template = |text: &String| {
        Template::parse(text).map_err(|error| format!("auth.rules: {text:?}: {error}"))
    };
    let said = |said: &config::Said| match said {
        config::Said::Text(text) => Value::from(text.as_str()),
        config::Said::Number(number) => Value::from(*number),
        config::Said::Flag(flag) => Value::from(*flag),
    };
    Ok(Rule {
        channels: rule.channels.iter().map(template).collect::<Result<_, _>>()?,
        actions: rule.actions.iter().copied().map(action).collect(),
        roles: rule.roles.clone(),
        claims: rule.claims.iter().map(|(name, value)| (name.clone(), said(value))).collect(),
        keys: rule.keys.clone(),
        allows: rule.effect == Effect::Allow,
    })
}

fn action(action: RuleAction) -> Action {
    match action {
        RuleAction::Subscribe => Action::Subscribe,
        RuleAction::Publish => Action::Publish,
        RuleAction::History => Action::History,
    }
}

/// What is asked of `weft explain`.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The token or API key; `None` = whoever shows nothing.
    pub credentials: Option<&'a str>,
    /// What they want to do.
    pub action: RuleAction,
    /// Where.
    pub channel: &'a str,
}

/// Says who somebody is and which rule decides, and whether it allows.
///
/// # Errors
/// When their credentials cannot be looked at: keys that cannot be read.
pub async fn explain(auth: &Auth, question: Question<'_>) -> Result<(String, bool), String> {
    let mut text = String::new();
    check(question)?;
    if auth.mode != AuthMode::Token {
        text.push_str("allowed: nobody is asked who they are (auth.mode)\n");
        return Ok((text, true));
    }
    let access = Access::from_options(AuthOptions::from(auth))?;
    let who = match question.credentials {
        Some(credentials) => access.identify(credentials).await.map_err(|why| why.to_string()),
        None => access.anonymous().ok_or_else(|| "no credentials are shown".to_owned()),
    };
    match who {
        Ok(who) => Ok(judged(auth, &who, question, text)?),
        Err(why) => Ok((format!("denied: not let in: {why}\n"), false)),
    }
}

/// Only what the broker would look at is worth an answer.
fn check(Question { action, channel, .. }: Question<'_>) -> Result<(), String> {
    let pattern = Pattern::parse(channel, &ANY);
    let pattern = pattern.map_err(|_| format!("{channel:?} is no channel and no pattern"))?;
    if pattern.is_meta() || pattern.is_service() {
        return Err(format!("{channel:?} is not a channel that rules decide on"));
    }
    if pattern.is_wild() && action == RuleAction::Publish {
        return Err(format!("{channel:?} is a pattern: nobody publishes to those"));
    }
    Ok(())
}

fn judged(
    auth: &Auth,
    who: &Principal,
    question: Question<'_>,
    mut text: String,
) -> Result<(String, bool), String> {
    let Question { action, channel, .. } = question;
    let action = self::action(action);
    let _ = writeln!(text, "who:  {:?} {:?}", who.kind, who.subject);
    let _ = writeln!(text, "      roles {:?}", who.roles);
    if let Some(expires) = who.expires {
        let left = expires.saturating_sub(SystemClock.wall_us().div_euclid(1_000_000));
        let _ = writeln!(text, "      expires in {left} s");
    }
    let Decision { allowed, rule } = policy(auth)?.decide(who, action, channel);
    let verdict = if allowed { "allowed" } else { "denied" };
    let _ = match rule.and_then(|index| Some((index, auth.rules.get(index)?))) {
        Some((index, rule)) => {
            let number = index + 1;
            writeln!(text, "{verdict}: {action} {channel}: by rule {number}: {}", shown(rule))
        }
        None => writeln!(text, "{verdict}: {action} {channel}: no rule allows all of it"),
    };
    Ok((text, allowed))
}

/// A rule on one line.
fn shown(rule: &AuthRule) -> String {
    let effect = if rule.effect == Effect::Allow { "allow" } else { "deny" };
    let mut text = format!("{effect} {:?}", rule.channels);
    for (name, list) in [("roles", &rule.roles), ("keys", &rule.keys)] {
        if !list.is_empty() {
            let _ = write!(text, " {name} {list:?}");
        }
    }
    for (name, value) in &rule.claims {
        let _ = write!(text, " {name} = {value}");
    }
    text
}

/// The guard of a configuration, which was found sound, and who knows whom, if that is asked.
///
/// # Errors
/// When keys cannot be read.
pub fn guard(
    auth: &Auth,
    stats: AuthStats,
    clock: &Arc<dyn Clock>,
) -> Result<(Guard, Option<Access>), String> {
    if auth.mode != AuthMode::Token {
        return Ok((Guard::open(Arc::clone(clock)), None));
    }
    let access = Access::new(AuthOptions::from(auth), stats, Arc::clone(clock))?;
    let places = Places {
        token_field: auth.token_field.clone(),
        cookie: Some(auth.cookie.clone()).filter(|name| !name.is_empty()),
    };
    let guard = Guard::asking(access.clone(), places, policy(auth)?, Arc::clone(clock));
    Ok((guard, Some(access)))
}

/// Whether whatever differs is taken by a reload.
#[must_use]
pub fn is_reloadable(before: &Auth, fresh: &Auth) -> bool {
    let Auth { mode, token_field, cookie, .. } = before;
    (mode, token_field, cookie) == (&fresh.mode, &fresh.token_field, &fresh.cookie)
}

/// Looks at all sessions whenever keys may have changed.
pub async fn police(
    broker: Arc<Broker>,
    guard: Arc<Guard>,
    mut changed: watch::Receiver<u64>,
    stop: CancellationToken,
) {
    while let Some(Ok(())) = stop.run_until_cancelled(changed.changed()).await {
        review(&broker, &guard);
    }
}

/// Ends the sessions of those who are not let in any more, or may not have what they subscribe to.
pub fn review(broker: &Broker, guard: &Guard) {
    let may = |who: &Principal, pattern: &Arc<str>| {
        Pattern::parse(pattern, &ANY).is_ok_and(|pattern| pattern.is_service())
            || guard.may(Some(who), Action::Subscribe, pattern)
    };
    let ended = broker.revoke(|who, patterns| {
        guard.would_admit(who) && patterns.iter().all(|pattern| may(who, pattern))
    });
    guard.changed("keys, subjects or rules", ended);
}
