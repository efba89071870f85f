//! Who may do what where: rules in their order, of which the first that fits decides (promise P7).
//!
//! A rule's channel may have wildcards anywhere and `{claims}` that stand for what is said of whoever
//! asks. Who asks for a pattern asks for every channel that it means: one rule must allow all of them,
//! and none before it may deny any.

use std::fmt;

use serde_json::Value;
use weft_protocol::{ChannelLimits, ChannelName};

use super::principal::{Kind, Principal};

const ANY: ChannelLimits = ChannelLimits { bytes: usize::MAX, segments: usize::MAX };

/// What somebody wants to do with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Get what is published from now on.
    Subscribe,
    /// Publish.
    Publish,
    /// Read what was published before.
    History,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Subscribe, Self::Publish, Self::History];

    /// Its name in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::History => "history",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Actions([bool; 3]);

impl Actions {
    /// Whether it holds this one.
    #[must_use]
    pub fn has(self, action: Action) -> bool {
        self.0[action as usize]
    }
}

impl FromIterator<Action> for Actions {
    fn from_iter<I: IntoIterator<Item = Action>>(actions: I) -> Self {
        let mut set = Self::default();
        for action in actions {
            set.0[action as usize] = true;
        }
        set
    }
}

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Which channels it is about.
    pub channels: Vec<Template>,
    /// What is done there.
    pub actions: Actions,
    /// Whom it is about: whoever has one of these roles; none = everybody.
    pub roles: Vec<String>,
    /// Whose claims are these, or hold them; none = everybody.
    pub claims: Vec<(String, Value)>,
    /// Who came by one of these API keys; none = everybody.
    pub keys: Vec<String>,
    /// Whether it allows or denies.
    pub allows: bool,
}

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// By which rule, counted from 0; `None` = none fits.
    pub rule: Option<usize>,
}

/// All rules.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    rules: Vec<Rule>,
    otherwise: Actions,
}

impl Policy {
    /// Rules in their order. What none of them fits is denied, but for the actions of `otherwise`.
    #[must_use]
    pub fn new(rules: Vec<Rule>, otherwise: Actions) -> Self {
        Self { rules, otherwise }
    }

    /// Whether there is no rule at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether somebody may do that with a channel, or with all that a pattern means.
    #[must_use]
    pub fn decide(&self, who: &Principal, action: Action, pattern: &str) -> Decision {
        let wanted = Wanted::of(pattern);
        for (index, rule) in self.rules.iter().enumerate() {
            if !rule.actions.has(action) || !rule.is_about(who) {
                continue;
            }
            let fits = |template: &Template| match rule.allows {
                true => template.covers(&wanted, who),
                false => template.overlaps(&wanted, who),
            };
            if rule.channels.iter().any(fits) {
                return Decision { allowed: rule.allows, rule: Some(index) };
            }
        }
        Decision { allowed: self.otherwise.has(action), rule: None }
    }
}

impl Rule {
    fn is_about(&self, who: &Principal) -> bool {
        let has_role = |role: &String| who.roles.iter().any(|mine| **mine == **role);
        let has_claim =
            |(path, wanted): &(String, Value)| claimed(who, path, |value| value == wanted);
        let by_key = |key: &String| who.kind == Kind::Key && *key == *who.subject;
        // What is for everybody is not for those who do not say who they are, nor for those of whom a
        // hook does not, unless that is meant.
        let nameless = who.kind == Kind::Anonymous || who.subject.is_empty();
        let named = !nameless || !self.allows || !self.roles.is_empty();
        named
            && (self.roles.is_empty() || self.roles.iter().any(has_role))
            && self.claims.iter().all(has_claim)
            && (self.keys.is_empty() || self.keys.iter().any(by_key))
    }
}

/// Whether a claim fits, or one of its values if it has several. `sub` is the subject, wherever that
/// came from.
fn claimed(who: &Principal, path: &str, fits: impl Fn(&Value) -> bool) -> bool {
    if path == "sub" {
        return who.kind != Kind::Anonymous && fits(&Value::from(&*who.subject));
    }
    match who.claim(path) {
        Some(Value::Array(values)) => values.iter().any(fits),
        Some(value) => fits(value),
        None => false,
    }
}

/// The channels that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
    /// Whether all below is meant.
    deep: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Named(Box<str>),
    /// What a claim says.
    Claim(Box<str>),
    Any,
}

/// The text is no template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidTemplate;

impl fmt::Display for InvalidTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a channel such as /news/today, /news/*, /news/** or /user/{sub}/**")
    }
}

impl std::error::Error for InvalidTemplate {}

/// What is asked for, in segments; the last may be a wildcard.
struct Wanted<'p> {
    segments: Vec<&'p str>,
    deep: bool,
}

impl<'p> Wanted<'p> {
    fn of(pattern: &'p str) -> Self {
        let (shallow, deep) = match pattern.strip_suffix("/**") {
            Some(parent) => (parent, true),
            None => (pattern, false),
        };
        let segments = shallow.split('/').skip(1).collect();
        Self { segments, deep }
    }

    /// A segment, as far as it is one name.
    fn name(&self, index: usize) -> Option<&'p str> {
        self.segments.get(index).copied().filter(|segment| *segment != "*")
    }
}

impl Template {
    /// Reads a channel with wildcards and claims.
    ///
    /// # Errors
    /// When a segment is none, or `**` does not stand last.
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        let (shallow, deep) = match text.strip_suffix("/**") {
            Some(parent) => (parent, true),
            None => (text, false),
        };
        if shallow.is_empty() && deep {
            return Ok(Self { segments: Vec::new(), deep });
        }
        let below = shallow.strip_prefix('/').ok_or(InvalidTemplate)?;
        let segments: Result<Vec<_>, _> = below.split('/').map(Segment::parse).collect();
        Ok(Self { segments: segments?, deep })
    }

    /// Whether every channel that is wanted is one of these.
    fn covers(&self, wanted: &Wanted<'_>, who: &Principal) -> bool {
        let reach = wanted.segments.len() + usize::from(wanted.deep);
        let long_enough = match (self.deep, wanted.deep) {
            (true, _) => reach > self.segments.len(),
            (false, true) => false,
            (false, false) => reach == self.segments.len(),
        };
        let covered = |(index, segment): (usize, &Segment)| match (segment, wanted.name(index)) {
            (Segment::Any, _) => true,
            (_, None) => false,
            (segment, Some(name)) => segment.is(name, who),
        };
        long_enough && self.segments.iter().enumerate().all(covered)
    }

    /// Whether any channel that is wanted may be one of these. A claim that says nothing of use might
    /// say anything: this is asked of what is denied.
    fn overlaps(&self, wanted: &Wanted<'_>, who: &Principal) -> bool {
        let (ours, theirs) = (self.segments.len(), wanted.segments.len());
        let lengths_meet = match (self.deep, wanted.deep) {
            (true, true) => true,
            (true, false) => theirs > ours,
            (false, true) => ours > theirs,
            (false, false) => ours == theirs,
        };
        let meets = |(index, segment): (usize, &Segment)| match wanted.name(index) {
            None => true,
            Some(name) => segment.says_nothing(who) || segment.is(name, who),
        };
        lengths_meet && self.segments.iter().enumerate().all(meets)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(path) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            let plain = !path.is_empty() && !path.contains(['{', '}']);
            return if plain { Ok(Self::Claim(path.into())) } else { Err(InvalidTemplate) };
        }
        if is_segment(text) { Ok(Self::Named(text.into())) } else { Err(InvalidTemplate) }
    }

    /// Whether it means this name, for somebody.
    fn is(&self, name: &str, who: &Principal) -> bool {
        match self {
            Self::Any => true,
            Self::Named(own) => **own == *name,
            Self::Claim(path) => claimed(who, path, |value| match value {
                Value::String(text) => text == name,
                Value::Number(number) => number.is_i64() && number.to_string() == name,
                _ => false,
            }),
        }
    }

    /// Whether it is a claim that names no segment at all.
    fn says_nothing(&self, who: &Principal) -> bool {
        let Self::Claim(path) = self else { return false };
        !claimed(who, path, |value| match value {
            Value::String(text) => is_segment(text),
            Value::Number(number) => number.is_i64(),
            _ => false,
        })
    }
}

fn is_segment(text: &str) -> bool {
    !text.contains('/') && ChannelName::parse(&format!("/{text}"), &ANY).is_ok()
}

#[cfg(test)]
mod tests;
