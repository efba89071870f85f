//! What a message asks for, by its channel (Bayeux 1.0 §4, §5).

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use crate::message::{Field, Fields};
use crate::{
    ChannelLimits, ChannelName, ClientAdvice, ConnectionType, Error, Offered, Pattern, json,
};

/// A message that is well formed. Whether its sender may ask for it is the broker's to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request<'a> {
    /// `/meta/handshake` (checklist E2). A missing or odd version is no fault (decisions 3.5).
    Handshake {
        /// The connection types it listed.
        offered: Offered,
    },
    /// `/meta/connect` (checklist E10).
    Connect {
        /// The client's advice, if it was an object (checklist D6).
        advice: Option<ClientAdvice>,
        /// The connection type it names; one that is missing or unknown is no fault (checklist L2).
        by: Option<ConnectionType>,
    },
    /// `/meta/subscribe` (checklist E22).
    Subscribe {
        /// At least one valid [`Pattern`], none twice, in the order sent.
        patterns: Vec<Cow<'a, str>>,
    },
    /// `/meta/unsubscribe` (checklist E24).
    Unsubscribe {
        /// At least one valid [`Pattern`], none twice, in the order sent.
        patterns: Vec<Cow<'a, str>>,
    },
    /// `/meta/disconnect` (checklist E21).
    Disconnect,
    /// A publish (checklist F3).
    Publish {
        /// A concrete [`ChannelName`], neither meta nor service.
        channel: Cow<'a, str>,
        /// The JSON text as sent, on one line (checklist L16, decisions 3.8).
        data: Cow<'a, str>,
    },
    /// A call of `/service` or something below it (checklist 1.G).
    Service {
        /// A concrete [`ChannelName`].
        channel: Cow<'a, str>,
        /// The JSON text as sent, on one line.
        data: Cow<'a, str>,
    },
}

impl<'a> Request<'a> {
    pub(crate) fn read(
        channel: Cow<'a, str>,
        fields: &Fields<'a>,
        limits: &ChannelLimits,
    ) -> Result<Self, Error> {
        Ok(match channel.as_ref() {
            "/meta/connect" => Self::Connect {
                advice: fields.get(Field::Advice).and_then(ClientAdvice::read),
                by: fields
                    .get(Field::ConnectionType)
                    .and_then(json::string)
                    .and_then(|name| ConnectionType::from_wire(&name)),
            },
            "/meta/handshake" => {
                let types = fields.get(Field::SupportedConnectionTypes);
                Self::Handshake { offered: Offered::read(types) }
            }
            "/meta/subscribe" => Self::Subscribe { patterns: patterns(fields, limits)? },
            "/meta/unsubscribe" => Self::Unsubscribe { patterns: patterns(fields, limits)? },
            "/meta/disconnect" => Self::Disconnect,
            _ => return Self::event(channel, fields, limits),
        })
    }

    fn event(
        channel: Cow<'a, str>,
        fields: &Fields<'a>,
        limits: &ChannelLimits,
    ) -> Result<Self, Error> {
        let name = ChannelName::parse(&channel, limits).map_err(|_| Error::ChannelInvalid)?;
        if name.is_meta() {
            return Err(Error::ChannelUnknown(channel.into_owned()));
        }
        let service = name.is_service();
        // An explicit null is data (checklist C17, L16).
        let data = fields.get(Field::Data).ok_or(Error::DataMissing)?;
        let data = json::one_line(data.get());
        Ok(if service { Self::Service { channel, data } } else { Self::Publish { channel, data } })
    }
}

/// The names of a subscribe or unsubscribe; one bad name refuses them all (checklist L6).
fn patterns<'a>(fields: &Fields<'a>, limits: &ChannelLimits) -> Result<Vec<Cow<'a, str>>, Error> {
    let raw = fields.given(Field::Subscription).ok_or(Error::SubscriptionMissing)?;
    let pattern =
        |raw: &'a RawValue| json::string(raw).filter(|text| Pattern::parse(text, limits).is_ok());
    if json::is_string(raw) {
        return pattern(raw).map(|text| vec![text]).ok_or(Error::SubscriptionInvalid);
    }
    let mut patterns = Vec::new();
    // A set, since an array may hold as many names as a body has room for.
    let mut seen = HashSet::new();
    let mut valid = true;
    let is_array = json::each_element(raw, |element| match pattern(element) {
        Some(text) if seen.insert(text.clone()) => patterns.push(text),
        Some(_) => {}
        None => valid = false,
    });
    if is_array && valid && !patterns.is_empty() {
        return Ok(patterns);
    }
    Err(Error::SubscriptionInvalid)
}
