//! Why a message was not obeyed: the `error` field of a reply (checklist C12, L13).

use std::fmt;

/// A refusal. `Display` is the wire form `ddd:args:text` (Bayeux 1.0 §3.3; checklist C12), with
/// CometD's text where CometD has one (decisions 3.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Error {
    /// No `channel`, or `null` (checklist C1).
    ChannelMissing,
    /// A channel that is no string, no name, or a wildcard in a publish (checklist B4, L9).
    ChannelInvalid,
    /// An `id` that is neither string nor number, or too long to echo (checklist L3).
    MessageIdInvalid,
    /// A publish without `data` (checklist C17).
    DataMissing,
    /// No credentials, or none that are good (decisions 3.6); the text says what is wrong with them.
    Unauthorized(&'static str),
    /// The clientId is missing, unknown, or not this browser's (checklist L13).
    SessionUnknown,
    /// No `subscription`, or `null` (checklist C16).
    SubscriptionMissing,
    /// A `subscription` of another type, empty, or with a name that is none (checklist B5, L6).
    SubscriptionInvalid,
    /// Policy refuses these names, and with them the whole subscribe (checklist L6).
    SubscribeDenied(Vec<String>),
    /// Policy refuses to show what was published before to these names, so a replay, too.
    HistoryDenied(Vec<String>),
    /// Policy refuses a publish to this channel.
    PublishDenied(String),
    /// The hook refuses a handshake.
    HandshakeDenied,
    /// The hook refuses a call of this channel.
    ServiceDenied(String),
    /// The hook refuses, in its own words: 401 or 403.
    Refused {
        /// The code.
        code: u16,
        /// What is refused, if it has names.
        names: Vec<String>,
        /// Why.
        text: Box<str>,
    },
    /// The hook that has to decide on these names, if there are any, cannot be asked.
    HookUnavailable(Vec<String>),
    /// No connection type in common (checklist E7).
    ConnectionTypes,
    /// A `/meta` channel that Bayeux does not define.
    ChannelUnknown(String),
    /// A `/service` channel that nobody answers (decisions 3.9): a remote call fails at once.
    ServiceUnknown(String),
    /// The session has as many subscriptions as it may have.
    TooManySubscriptions,
    /// A pattern's replay would take more channels than one session may replay at once.
    ReplayTooWide,
    /// An idempotency key that is no string, empty or too long.
    KeyInvalid,
    /// An idempotency key that came with other data before (decisions 2).
    KeyReused,
    /// Too many messages in a time.
    RateLimited,
    /// The broker is beyond its bounds.
    Overloaded,
    /// The broker is about to stop.
    Draining,
    /// The backlog cannot be written, so the message was not accepted.
    StoreUnavailable,
}

impl Error {
    /// The three digits (checklist L13).
    pub fn code(&self) -> u16 {
        match self {
            Self::ConnectionTypes => 301,
            Self::ChannelMissing | Self::DataMissing | Self::KeyInvalid | Self::KeyReused => 400,
            Self::Unauthorized(_) => 401,
            Self::SessionUnknown => 402,
            Self::SubscriptionMissing
            | Self::SubscriptionInvalid
            | Self::SubscribeDenied(_)
            | Self::HistoryDenied(_)
            | Self::PublishDenied(_)
            | Self::HandshakeDenied
            | Self::ServiceDenied(_) => 403,
            Self::Refused { code, .. } => *code,
            Self::ChannelUnknown(_) | Self::ServiceUnknown(_) => 404,
            Self::ChannelInvalid | Self::MessageIdInvalid => 405,
            Self::TooManySubscriptions | Self::ReplayTooWide => 413,
            Self::RateLimited => 429,
            Self::HookUnavailable(_)
            | Self::Overloaded
            | Self::Draining
            | Self::StoreUnavailable => 503,
        }
    }

    fn args(&self) -> &[String] {
        match self {
            Self::SubscribeDenied(names)
            | Self::HistoryDenied(names)
            | Self::Refused { names, .. }
            | Self::HookUnavailable(names) => names,
            Self::PublishDenied(name)
            | Self::ServiceDenied(name)
            | Self::ChannelUnknown(name)
            | Self::ServiceUnknown(name) => std::slice::from_ref(name),
            _ => &[],
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::ChannelMissing => "channel_missing",
            Self::ChannelInvalid => "channel_invalid",
            Self::MessageIdInvalid => "message_id_invalid",
            Self::DataMissing => "data_missing",
            Self::Unauthorized(text) => text,
            Self::SessionUnknown => "session_unknown",
            Self::SubscriptionMissing => "subscription_missing",
            Self::SubscriptionInvalid => "subscription_invalid",
            Self::SubscribeDenied(_) => "subscribe_denied",
            Self::HistoryDenied(_) => "history_denied",
            Self::PublishDenied(_) => "publish_denied",
            Self::HandshakeDenied => "handshake_denied",
            Self::ServiceDenied(_) => "service_denied",
            Self::Refused { text, .. } => text,
            Self::HookUnavailable(_) => "hook_unavailable",
            Self::ConnectionTypes => "connection_types_not_supported",
            Self::ChannelUnknown(_) => "channel_unknown",
            Self::ServiceUnknown(_) => "service_unknown",
            Self::TooManySubscriptions => "too_many_subscriptions",
            Self::ReplayTooWide => "replay_too_wide",
            Self::KeyInvalid => "key_invalid",
            Self::KeyReused => "key_reused",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Draining => "draining",
            Self::StoreUnavailable => "store_unavailable",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.code())?;
        for (index, arg) in self.args().iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write_string(arg, f)?;
        }
        f.write_str(":")?;
        write_string(self.text(), f)
    }
}

impl std::error::Error for Error {}

fn write_string(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    text.chars().try_for_each(|character| fmt::Write::write_char(f, allowed(character)))
}

/// `string` of the grammar (checklist B2). Names that were parsed hold nothing else; this keeps
/// the field readable, and free of quotes, whatever a caller puts in.
fn allowed(character: char) -> char {
    let fits = character.is_ascii_alphanumeric() || "-_!~()$@ /*.".contains(character);
    if fits { character } else { '_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: &Error, wire: &str) {
        assert_eq!(error.to_string(), wire);
        assert_eq!(error.code().to_string(), wire[..3]);
    }

    #[test]
    fn c12_errors_are_digits_arguments_and_text() {
        check(&Error::ChannelMissing, "400::channel_missing");
        check(&Error::ChannelInvalid, "405::channel_invalid");
        check(&Error::MessageIdInvalid, "405::message_id_invalid");
        check(&Error::DataMissing, "400::data_missing");
        check(&Error::Unauthorized("token_expired"), "401::token_expired");
        check(&Error::SessionUnknown, "402::session_unknown");
        check(&Error::SubscriptionMissing, "403::subscription_missing");
        check(&Error::SubscriptionInvalid, "403::subscription_invalid");
        check(&Error::PublishDenied("/a".into()), "403:/a:publish_denied");
        check(&Error::HandshakeDenied, "403::handshake_denied");
        check(&Error::ServiceDenied("/service/a".into()), "403:/service/a:service_denied");
        check(&Error::HookUnavailable(vec!["/a".into()]), "503:/a:hook_unavailable");
        check(&Error::ConnectionTypes, "301::connection_types_not_supported");
        check(&Error::ChannelUnknown("/meta/foo".into()), "404:/meta/foo:channel_unknown");
        check(&Error::ServiceUnknown("/service/foo".into()), "404:/service/foo:service_unknown");
        check(&Error::TooManySubscriptions, "413::too_many_subscriptions");
        check(&Error::ReplayTooWide, "413::replay_too_wide");
        check(&Error::KeyInvalid, "400::key_invalid");
        check(&Error::KeyReused, "400::key_reused");
        check(&Error::RateLimited, "429::rate_limited");
        check(&Error::Overloaded, "503::overloaded");
        check(&Error::Draining, "503::draining");
        check(&Error::StoreUnavailable, "503::store_unavailable");
    }

    #[test]
    fn l6_every_refused_name_is_listed() {
        let names = vec!["/a".into(), "/b/**".into()];
        check(&Error::SubscribeDenied(names), "403:/a,/b/**:subscribe_denied");
        check(&Error::SubscribeDenied(Vec::new()), "403::subscribe_denied");
        check(&Error::HistoryDenied(vec!["/a".into()]), "403:/a:history_denied");
    }

    #[test]
    fn b2_arguments_never_break_the_grammar() {
        check(&Error::PublishDenied("/a:\"b,ü".into()), "403:/a__b__:publish_denied");
        let text = "no: \"credit\",\r\nsorry.".into();
        let refused = Error::Refused { code: 403, names: vec!["/a".into()], text };
        check(&refused, "403:/a:no_ _credit____sorry.");
    }
}
