//! One message of a request, field by field.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::request::Request;
use crate::{DecodeLimits, Error, json};

/// A message as its sender meant it (Bayeux 1.0 §3; checklist 1.C).
///
/// Each field is read on its own: a wrong type in one spoils this message, never its neighbours
/// (checklist L10). What a reply echoes is kept as it was sent.
#[derive(Debug)]
pub struct Message<'a> {
    /// The channel as sent, for the echo; only a JSON string.
    pub channel: Option<&'a RawValue>,
    /// The id as sent, for the echo with its type (checklist C19, L3); only a string or a number
    /// within [`DecodeLimits::id_bytes`].
    pub id: Option<&'a RawValue>,
    /// The subscription as sent, for the echo (checklist C16); only on subscribe and unsubscribe.
    pub subscription: Option<&'a RawValue>,
    /// Who says it is speaking; `None` if missing or no string.
    pub client_id: Option<Cow<'a, str>>,
    /// The extensions; only an object (checklist C21).
    pub ext: Option<&'a RawValue>,
    /// What is asked for, or why it cannot be.
    pub request: Result<Request<'a>, Error>,
}

impl Message<'_> {
    /// Whether it was sent to `channel`, be the rest of it right or wrong.
    #[must_use]
    pub fn is_to(&self, channel: &str) -> bool {
        self.channel.and_then(json::string).is_some_and(|name| name == channel)
    }
}

/// The fields of Bayeux 1.0 §3; any other is ignored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Field {
    Channel,
    Id,
    ClientId,
    Subscription,
    Data,
    Ext,
    Advice,
    SupportedConnectionTypes,
    ConnectionType,
    Version,
    MinimumVersion,
}

impl Field {
    const COUNT: usize = Self::MinimumVersion as usize + 1;

    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "channel" => Self::Channel,
            "id" => Self::Id,
            "clientId" => Self::ClientId,
            "subscription" => Self::Subscription,
            "data" => Self::Data,
            "ext" => Self::Ext,
            "advice" => Self::Advice,
            "supportedConnectionTypes" => Self::SupportedConnectionTypes,
            // Never looked at (decisions 3.5, L2), but no more to be repeated than the others.
            "connectionType" => Self::ConnectionType,
            "version" => Self::Version,
            "minimumVersion" => Self::MinimumVersion,
            _ => return None,
        })
    }
}

/// The known fields of one object, undecoded.
#[derive(Default)]
pub(crate) struct Fields<'a>([Option<&'a RawValue>; Field::COUNT]);

impl<'a> Fields<'a> {
    /// `false` if the field was there already.
    pub(crate) fn set(&mut self, field: Field, value: &'a RawValue) -> bool {
        self.0[field as usize].replace(value).is_none()
    }

    /// The field as sent, `null` included.
    pub(crate) fn get(&self, field: Field) -> Option<&'a RawValue> {
        self.0[field as usize]
    }

    /// The field, `null` being the same as none.
    pub(crate) fn given(&self, field: Field) -> Option<&'a RawValue> {
        self.get(field).filter(|raw| !json::is_null(raw))
    }
}

impl<'a> Message<'a> {
    pub(crate) fn read(fields: &Fields<'a>, limits: &DecodeLimits) -> Self {
        let given = fields.given(Field::Channel);
        let channel = given.filter(|raw| json::is_string(raw));
        let name = match given {
            None => Err(Error::ChannelMissing),
            Some(raw) => json::string(raw).ok_or(Error::ChannelInvalid),
        };
        let id = id(fields, limits);
        let subscribing = matches!(name.as_deref(), Ok("/meta/subscribe" | "/meta/unsubscribe"));
        let subscription = fields.given(Field::Subscription).filter(|_| subscribing);
        let client_id = fields.get(Field::ClientId).and_then(json::string);
        let ext = fields.get(Field::Ext).filter(|raw| json::is_object(raw));
        let request = name.and_then(|name| {
            id.clone()?;
            Request::read(name, fields, &limits.channel)
        });
        Self { channel, id: id.unwrap_or_default(), subscription, client_id, ext, request }
    }
}

fn id<'a>(fields: &Fields<'a>, limits: &DecodeLimits) -> Result<Option<&'a RawValue>, Error> {
    let Some(raw) = fields.given(Field::Id) else { return Ok(None) };
    let has_type = json::is_string(raw) || json::number(raw).is_some();
    if has_type && raw.get().len() <= limits.id_bytes {
        return Ok(Some(raw));
    }
    Err(Error::MessageIdInvalid)
}

#[cfg(test)]
mod tests;
