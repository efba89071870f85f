//! The reply to one message (checklist C14, E6, E8, E16, E21, E22, F4).

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::value::RawValue;

use crate::{Advice, ConnectionType, Error, TimesyncAnswer, json};

/// The answer to one message. `successful` always stands in it, `error` exactly when it is false
/// (checklist C13, C14).
#[derive(Debug, Clone)]
pub struct Reply<'a> {
    /// The request's channel as it was sent; absent if it had none.
    pub channel: Option<&'a RawValue>,
    /// The request's id as it was sent, type included (checklist C19).
    pub id: Option<&'a RawValue>,
    /// The request's subscription as it was sent (checklist C16).
    pub subscription: Option<&'a RawValue>,
    /// The session; never written on a failed handshake (checklist C8, E8).
    pub client_id: Option<&'a str>,
    /// Whether the request was obeyed.
    pub outcome: Result<(), Error>,
    /// What the client is to do next (checklist C11).
    pub advice: Option<Advice>,
    /// What our extensions have to say.
    pub ext: ReplyExt,
    /// The server's connection types on a handshake reply, which then also carries both versions
    /// (checklist C4, E6, E8).
    pub handshake: Option<&'a [ConnectionType]>,
}

/// The `ext` of a reply; an empty one is not written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplyExt {
    /// The answer to CometD's clock extension.
    pub timesync: Option<TimesyncAnswer>,
    /// Messages that may be missing (decisions 5).
    pub gaps: Vec<Gap>,
    /// Whether a handshake is told that replay is at hand.
    pub replay: bool,
    /// What the client is told of acknowledging.
    pub ack: Option<Ack>,
    /// What became of a publish that carried a key.
    pub receipt: Option<Receipt>,
}

/// What clients that acknowledge replies are told in `ext.ack` (checklist X1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ack {
    /// In a handshake reply: it is at hand.
    AtHand,
    /// In a connect reply: its number.
    Number(u64),
}

/// What a publisher that gave a key is told in `ext.weft` (decisions 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The message's position.
    pub position: i64,
    /// Whether it had been published before, and was not again.
    pub repeat: bool,
}

/// Messages of `channel` with `from` < position ≤ `to` may be missing (decisions 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// The channel's name.
    pub channel: Arc<str>,
    /// The last position before the gap.
    pub from: i64,
    /// The last position in the gap.
    pub to: i64,
}

impl Reply<'_> {
    pub(crate) fn write(&self, out: &mut String) {
        out.push('{');
        if let Some(channel) = self.channel {
            let _ = write!(out, r#""channel":{channel},"#);
        }
        if let Some(id) = self.id {
            let _ = write!(out, r#""id":{id},"#);
        }
        match &self.outcome {
            Ok(()) => out.push_str(r#""successful":true"#),
            Err(error) => {
                // Its grammar has no character that JSON escapes (checklist B2).
                let _ = write!(out, r#""successful":false,"error":"{error}""#);
            }
        }
        if let Some(subscription) = self.subscription {
            let _ = write!(out, r#","subscription":{subscription}"#);
        }
        if let Some(types) = self.handshake {
            write_versions(types, out);
        }
        let failed_handshake = self.handshake.is_some() && self.outcome.is_err();
        if let Some(client_id) = self.client_id.filter(|_| !failed_handshake) {
            out.push_str(r#","clientId":"#);
            json::push_string(out, client_id);
        }
        if let Some(advice) = &self.advice {
            out.push_str(r#","advice":"#);
            advice.write(out);
        }
        self.ext.write(out);
        out.push('}');
    }
}

fn write_versions(types: &[ConnectionType], out: &mut String) {
    out.push_str(r#","version":"1.0","minimumVersion":"1.0","supportedConnectionTypes":["#);
    for (index, supported) in types.iter().enumerate() {
        out.push_str(if index == 0 { "\"" } else { ",\"" });
        out.push_str(supported.wire_name());
        out.push('"');
    }
    out.push(']');
}

impl ReplyExt {
    fn write(&self, out: &mut String) {
        let mut lead = r#","ext":{"#;
        if let Some(timesync) = &self.timesync {
            out.push_str(lead);
            out.push_str(r#""timesync":"#);
            timesync.write(out);
            lead = ",";
        }
        if self.replay {
            out.push_str(lead);
            out.push_str(r#""replay":true"#);
            lead = ",";
        }
        if let Some(ack) = self.ack {
            let _ = match ack {
                Ack::AtHand => write!(out, r#"{lead}"ack":true"#),
                Ack::Number(number) => write!(out, r#"{lead}"ack":{number}"#),
            };
            lead = ",";
        }
        if let Some(Receipt { position, repeat }) = self.receipt {
            let repeat = if repeat { r#","repeat":true"# } else { "" };
            let _ = write!(out, r#"{lead}"weft":{{"position":{position}{repeat}}}"#);
            lead = ",";
        } else if !self.gaps.is_empty() {
            out.push_str(lead);
            out.push_str(r#""weft":{"gap":["#);
            for (index, gap) in self.gaps.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                gap.write(out);
            }
            out.push_str("]}");
            lead = ",";
        }
        if lead == "," {
            out.push('}');
        }
    }
}

impl Gap {
    fn write(&self, out: &mut String) {
        out.push_str(r#"{"channel":"#);
        json::push_string(out, &self.channel);
        let _ = write!(out, r#","from":{},"to":{}}}"#, self.from, self.to);
    }
}

#[cfg(test)]
mod tests;
