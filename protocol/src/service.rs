//! The answer to a call of `/service` (decisions 3.8; checklist G2, G4).

use serde_json::value::RawValue;

use crate::{ChannelName, json};

/// What answers a call, for the session that made it alone. Unlike any other event it carries the id
/// of the call, by which cometd.js finds that, and says whether the call succeeded, which its callers
/// look at.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The channel that was called.
    pub channel: ChannelName<'a>,
    /// The call's id as it was sent.
    pub id: Option<&'a RawValue>,
    /// Whether the call succeeded.
    pub successful: bool,
    /// The answer, a JSON text.
    pub data: &'a str,
}

impl Answered<'_> {
    /// The event. Like any other it begins with its channel, so that it can be told by its head.
    pub fn spell(&self) -> String {
        let Self { channel, id, successful, data } = self;
        let data = json::one_line(data);
        let name = channel.as_str();
        let id = id.map(|id| format!(r#""id":{id},"#)).unwrap_or_default();
        // A channel's name needs no escaping, by its grammar.
        format!(r#"{{"channel":"{name}",{id}"successful":{successful},"data":{data}}}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelLimits;

    #[test]
    fn g4_an_answer_carries_the_id_of_its_call_as_it_was_sent() {
        let channel = ChannelName::parse("/service/a", &ChannelLimits::default()).unwrap();
        let spell = |id: Option<&str>, successful, data| {
            let id: Option<&RawValue> = id.map(|id| serde_json::from_str(id).unwrap());
            Answered { channel, id, successful, data }.spell()
        };
        assert_eq!(
            spell(Some(r#""7""#), true, "{\"x\":\r\n01}"),
            r#"{"channel":"/service/a","id":"7","successful":true,"data":{"x":01}}"#
        );
        assert_eq!(
            spell(Some("7"), false, "null"),
            r#"{"channel":"/service/a","id":7,"successful":false,"data":null}"#
        );
        assert_eq!(
            spell(None, true, "[]"),
            r#"{"channel":"/service/a","successful":true,"data":[]}"#
        );
    }
}
