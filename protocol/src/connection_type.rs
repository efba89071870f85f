//! Connection types and what a handshake offers of them (checklist C6, E7).

use std::fmt;

use serde_json::value::RawValue;

use crate::json;

/// A transport, by the name that handshakes negotiate (Bayeux 1.0 §3.4; checklist C6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectionType {
    /// Frames of message arrays over WebSocket, as CometD and Faye speak it.
    WebSocket,
    /// Held POSTs: the one type every client and server must have.
    LongPolling,
    /// Faye's name for long-polling from another origin.
    CrossOriginLongPolling,
    /// Faye's event stream.
    EventSource,
    /// JSONP, for browsers without CORS.
    CallbackPolling,
}

impl ConnectionType {
    /// Every type, in the order of preference that a handshake reply lists.
    pub const ALL: [Self; 5] = [
        Self::WebSocket,
        Self::LongPolling,
        Self::CrossOriginLongPolling,
        Self::EventSource,
        Self::CallbackPolling,
    ];

    /// The name in `supportedConnectionTypes` and `connectionType`.
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::LongPolling => "long-polling",
            Self::CrossOriginLongPolling => "cross-origin-long-polling",
            Self::EventSource => "eventsource",
            Self::CallbackPolling => "callback-polling",
        }
    }

    /// The type of that name; names are compared exactly.
    pub fn from_wire(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.wire_name() == name)
    }

    fn bit(self) -> u8 {
        1 << (self as u8)
    }
}

/// What a handshake listed as `supportedConnectionTypes`.
///
/// Only what weft knows is kept. Real clients leave the field out or send odd types, and CometD
/// takes them all (cometd-wire 2.2), so "nothing listed" differs from "nothing in common".
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Offered {
    listed: bool,
    types: u8,
}

impl Offered {
    pub(crate) fn read(field: Option<&RawValue>) -> Self {
        let Some(raw) = field else { return Self::default() };
        let mut types = 0;
        let mut add = |entry| {
            let name = json::string(entry);
            let known = name.and_then(|name| ConnectionType::from_wire(&name));
            types |= known.map_or(0, ConnectionType::bit);
        };
        let listed = if json::is_string(raw) {
            add(raw);
            true
        } else {
            json::each_element(raw, add)
        };
        Self { listed, types }
    }

    /// Whether the handshake had a list at all; a plain string is a list of one.
    pub fn is_listed(self) -> bool {
        self.listed
    }

    /// Whether this type stood in the list.
    pub fn contains(self, wanted: ConnectionType) -> bool {
        self.types & wanted.bit() != 0
    }

    /// Whether a handshake may succeed (checklist E7): some type is in common, or none was listed.
    pub fn shares_with(self, supported: &[ConnectionType]) -> bool {
        !self.listed || supported.iter().any(|known| self.contains(*known))
    }
}

impl fmt::Debug for Offered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.listed {
            return f.write_str("nothing");
        }
        let types = ConnectionType::ALL.into_iter().filter(|known| self.contains(*known));
        f.debug_list().entries(types).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(field: &str) -> Offered {
        Offered::read(Some(serde_json::from_str(field).unwrap()))
    }

    fn check(field: &str, listed: bool, shares: bool) {
        let supported = [ConnectionType::LongPolling, ConnectionType::CallbackPolling];
        let offered = offered(field);
        assert_eq!(offered.is_listed(), listed, "{field}");
        assert_eq!(offered.shares_with(&supported), shares, "{field}");
    }

    #[test]
    fn every_type_is_found_by_its_wire_name() {
        for known in ConnectionType::ALL {
            assert_eq!(ConnectionType::from_wire(known.wire_name()), Some(known));
        }
        assert_eq!(ConnectionType::from_wire("Long-Polling"), None);
    }

    #[test]
    fn e7_a_list_with_nothing_in_common_shares_nothing() {
        check(r#"["long-polling"]"#, true, true);
        check(r#"["carrier-pigeon","callback-polling"]"#, true, true);
        check(r#"["carrier-pigeon"]"#, true, false);
        check(r#"["websocket"]"#, true, false);
        check("[]", true, false);
        check("[1,null]", true, false);
        check(r#"["long\u002dpolling"]"#, true, true);
    }

    #[test]
    fn e7_a_plain_string_is_a_list_of_one() {
        check(r#""long-polling""#, true, true);
        check(r#""carrier-pigeon""#, true, false);
        assert!(offered(r#""websocket""#).contains(ConnectionType::WebSocket));
    }

    #[test]
    fn e7_a_missing_or_odd_list_is_taken_leniently() {
        check("null", false, true);
        check("17", false, true);
        check(r#"{"a":1}"#, false, true);
        assert!(Offered::default().shares_with(&[]));
    }
}
