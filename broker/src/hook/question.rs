//! What the hook is asked.

use std::fmt::Write;
use std::net::IpAddr;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::core::id::SessionId;
use crate::core::principal::{Kind, Principal};
use crate::core::time::to_millis;

/// What a question is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants to come in.
    Handshake,
    /// Somebody wants to get messages.
    Subscribe,
    /// Somebody wants to publish one.
    Publish,
    /// Somebody calls a service.
    Service,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Handshake, Self::Subscribe, Self::Publish, Self::Service];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
            Self::Service => "service",
        }
    }
}

/// Who wants it.
#[derive(Debug, Clone, Copy)]
pub struct Party<'a> {
    /// Who they are, if that is known.
    pub principal: Option<&'a Principal>,
    /// Where they are.
    pub address: IpAddr,
    /// Their session, if they have one.
    pub session: Option<SessionId>,
}

/// What they want.
#[derive(Debug, Clone)]
pub(super) enum Matter<'a> {
    Handshake { token: Option<&'a str>, ext: Option<&'a str> },
    Subscribe { patterns: Vec<&'a str>, history: bool },
    Publish { channel: &'a str, data: &'a str },
    Service { channel: &'a str, data: &'a str },
}

impl Matter<'_> {
    pub(super) fn event(&self) -> Event {
        match self {
            Self::Handshake { .. } => Event::Handshake,
            Self::Subscribe { .. } => Event::Subscribe,
            Self::Publish { .. } => Event::Publish,
            Self::Service { .. } => Event::Service,
        }
    }

    /// The channels that it is about.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Handshake { .. } => Vec::new(),
            Self::Subscribe { patterns, .. } => patterns.iter().map(|&it| it.to_owned()).collect(),
            Self::Publish { channel, .. } | Self::Service { channel, .. } => {
                vec![(*channel).to_owned()]
            }
        }
    }
}

/// A question.
#[derive(Debug)]
pub(super) struct Question<'a> {
    /// No other has it.
    pub(super) id: String,
    pub(super) wall_us: i64,
    pub(super) party: &'a Party<'a>,
    pub(super) matter: &'a Matter<'a>,
}

impl Question<'_> {
    /// As JSON. `data` and `ext` stand in it as they were sent.
    pub(super) fn spell(&self) -> String {
        let Party { principal, address, session } = self.party;
        let mut out = String::with_capacity(320);
        let event = self.matter.event().name();
        let (id, time) = (&self.id, to_millis(self.wall_us));
        let _ = write!(
            out,
            r#"{{"event":"{event}","id":"{id}","time":"{time}","address":"{address}","principal":"#
        );
        let known = principal.filter(|principal| principal.kind != Kind::Anonymous);
        out.push_str(&known.map_or_else(|| "null".to_owned(), spell_principal));
        if let Some(session) = session {
            let _ = write!(out, r#","client":"{}""#, fingerprint(session));
        }
        match self.matter {
            Matter::Handshake { token, ext } => {
                let token = token.map_or(Value::Null, Value::from);
                let _ = write!(out, r#","token":{token},"ext":{}"#, ext.unwrap_or("null"));
            }
            Matter::Subscribe { patterns, history } => {
                let patterns: Value = patterns.iter().copied().collect();
                let _ = write!(out, r#","channels":{patterns},"history":{history}"#);
            }
            Matter::Publish { channel, data } | Matter::Service { channel, data } => {
                let _ = write!(out, r#","channel":{},"data":{data}"#, Value::from(*channel));
            }
        }
        out.push('}');
        out
    }
}

/// Somebody, as JSON.
pub(super) fn spell_principal(principal: &Principal) -> String {
    let Principal { kind, subject, roles, claims, .. } = principal;
    let kind = match kind {
        Kind::Token => "token",
        Kind::Key => "key",
        Kind::Hook => "hook",
        Kind::Anonymous => "anonymous",
    };
    let subject = Value::from(&**subject);
    let roles: Value = roles.iter().map(|role| Value::from(&**role)).collect();
    let claims = serde_json::to_string(claims).unwrap_or_else(|_| "{}".to_owned());
    format!(r#"{{"kind":"{kind}","sub":{subject},"roles":{roles},"claims":{claims}}}"#)
}

/// What tells sessions apart, and lets nobody speak for one: whoever knows a clientId may.
fn fingerprint(session: &SessionId) -> String {
    let digest = Sha256::digest(session.as_str());
    hex(digest.iter().take(16))
}

pub(super) fn hex<'a>(bytes: impl Iterator<Item = &'a u8>) -> String {
    bytes.fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
