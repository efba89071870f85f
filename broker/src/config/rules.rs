//! `[[auth.rules]]`: who may do what where.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

/// One rule of `[[auth.rules]]`. Of the rules that are about whoever asks, and about what they want
/// to do, the first whose channels fit decides; where none does, it is denied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthRule {
    /// The channels: names, with `*` for one segment, `**` at the end for all below, and `{claim}` for
    /// what a claim says. One text or a list.
    #[serde(deserialize_with = "one_or_many")]
    pub channels: Vec<String>,
    /// What is done there: `subscribe`, `publish`, `history`. One or a list. Default all three.
    #[serde(deserialize_with = "one_or_many")]
    pub actions: Vec<RuleAction>,
    /// Whom it is about: whoever has one of these roles. One or a list. Default everybody, but those
    /// who do not say who they are: these have the role `anonymous`.
    #[serde(deserialize_with = "one_or_many")]
    pub roles: Vec<String>,
    /// Whom it is about: whoever came by one of these API keys. One or a list. Default everybody.
    #[serde(deserialize_with = "one_or_many")]
    pub keys: Vec<String>,
    /// Whom it is about: whose claims say this, or hold it if they are lists. Default everybody.
    pub claims: BTreeMap<String, Said>,
    /// What comes of it. Default `allow`.
    pub effect: Effect,
}

impl Default for AuthRule {
    fn default() -> Self {
        Self {
            channels: Vec::new(),
            actions: vec![RuleAction::Subscribe, RuleAction::Publish, RuleAction::History],
            roles: Vec::new(),
            keys: Vec::new(),
            claims: BTreeMap::new(),
            effect: Effect::Allow,
        }
    }
}

/// What is done with a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum RuleAction {
    /// Get what is published from now on.
    Subscribe,
    /// Publish.
    Publish,
    /// Read what was published before: `/history`, a replay, a stream from the past.
    History,
}

/// What comes of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// It is allowed.
    Allow,
    /// It is denied.
    Deny,
}

/// What a claim must say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
        }
    }
}

/// A list of which one entry may stand by itself.
fn one_or_many<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text or a list of texts")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
            T::deserialize(de::value::StrDeserializer::new(text)).map(|one| vec![one])
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = items.next_element()? {
                all.push(item);
            }
            Ok(all)
        }
    }

    deserializer.deserialize_any(OneOrMany(std::marker::PhantomData))
}
