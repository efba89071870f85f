//! Messages as they are written and read.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, value::RawValue};

/// A message to the server; what does not apply is left out.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outgoing<'a> {
    pub(crate) channel: &'a str,
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) supported_connection_types: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) connection_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advice: Option<AtOnce>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subscription: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<&'a RawValue>,
}

/// A client's advice that its connect be not held.
#[derive(Debug, Default, Serialize)]
pub(crate) struct AtOnce {
    timeout: u32,
}

impl Outgoing<'_> {
    /// As JSON, onto what is there already.
    pub(crate) fn write(&self, body: &mut String) {
        // Strings, numbers and JSON that was JSON before: there is nothing that could fail.
        body.push_str(&serde_json::to_string(self).unwrap_or_default());
    }
}

/// A message from the server. Fields of the wrong type make the whole answer unreadable.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Incoming {
    pub(crate) channel: String,
    id: Option<Box<RawValue>>,
    pub(crate) client_id: Option<String>,
    pub(crate) successful: Option<bool>,
    pub(crate) error: Option<String>,
    pub(crate) advice: Option<Value>,
    pub(crate) supported_connection_types: Option<Vec<String>>,
    #[serde(deserialize_with = "present")]
    pub(crate) data: Option<Box<RawValue>>,
    pub(crate) ext: Option<Box<RawValue>>,
}

impl Incoming {
    /// All messages of an answer.
    pub(crate) fn read(body: &[u8]) -> Result<Vec<Self>, String> {
        serde_json::from_slice(body).map_err(|error| format!("the answer is not Bayeux: {error}"))
    }

    /// Whether this answers the message that carried `id`; servers may return it as a number.
    pub(crate) fn answers(&self, id: &str) -> bool {
        self.successful.is_some()
            && self.id.as_ref().is_some_and(|raw| raw.get().trim_matches('"') == id)
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.successful == Some(true)
    }

    /// The server's words, or ours if it has none.
    pub(crate) fn error_text(&self) -> String {
        self.error.clone().unwrap_or_else(|| "the server gave no reason".to_owned())
    }

    /// Whether an unsuccessful reply says that the session is gone.
    pub(crate) fn wants_handshake(&self) -> bool {
        let word = self.advice.as_ref().and_then(|advice| advice.get("reconnect"));
        !self.succeeded() && word.and_then(Value::as_str) == Some("handshake")
    }

    /// The gaps told in `ext.weft.gap`.
    pub(crate) fn gaps(&self) -> Vec<Gap> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Ext {
            weft: Weft,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Weft {
            gap: Vec<Gap>,
        }
        let ext = self.ext.as_ref().filter(|ext| ext.get().contains("\"gap\""));
        let ext = ext.and_then(|ext| serde_json::from_str::<Ext>(ext.get()).ok());
        ext.unwrap_or_default().weft.gap
    }
}

/// A gap as the server writes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Gap {
    pub(crate) channel: String,
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Keeps a `null` apart from a field that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &str) -> Incoming {
        Incoming::read(format!("[{message}]").as_bytes()).unwrap().remove(0)
    }

    #[test]
    fn only_what_applies_is_written() {
        let mut body = String::new();
        let publish = RawValue::from_string("{\"a\":  1}".to_owned()).unwrap();
        Outgoing {
            channel: "/a\"",
            id: "7".to_owned(),
            data: Some(&publish),
            ..Outgoing::default()
        }
        .write(&mut body);
        assert_eq!(body, r#"{"channel":"/a\"","id":"7","data":{"a":  1}}"#);
        body.clear();
        Outgoing {
            advice: Some(AtOnce::default()),
            connection_type: Some("t"),
            ..Outgoing::default()
        }
        .write(&mut body);
        assert_eq!(body, r#"{"channel":"","id":"","connectionType":"t","advice":{"timeout":0}}"#);
    }

    #[test]
    fn replies_are_found_by_id_whatever_its_type() {
        assert!(read(r#"{"channel":"/a","id":"7","successful":true}"#).answers("7"));
        assert!(read(r#"{"channel":"/a","id":7,"successful":false}"#).answers("7"));
        assert!(!read(r#"{"channel":"/a","id":"70","successful":true}"#).answers("7"));
        assert!(!read(r#"{"channel":"/a","id":"7","data":1}"#).answers("7"), "an event");
    }

    #[test]
    fn data_of_null_is_data() {
        assert_eq!(read(r#"{"channel":"/a","data":null}"#).data.unwrap().get(), "null");
        assert!(read(r#"{"channel":"/a"}"#).data.is_none());
    }

    #[test]
    fn gaps_are_read_and_odd_ones_are_not() {
        let gaps = read(r#"{"ext":{"weft":{"gap":[{"channel":"/a","from":1,"to":9}]}}}"#).gaps();
        assert_eq!((gaps[0].channel.as_str(), gaps[0].from, gaps[0].to), ("/a", 1, 9));
        assert!(read(r#"{"ext":{"weft":{"gap":"x"}}}"#).gaps().is_empty());
        assert!(read(r#"{"ext":{"x":"gap"}}"#).gaps().is_empty());
    }

    #[test]
    fn an_answer_that_is_no_list_of_messages_is_an_error() {
        for body in ["", "{}", "[1]", "null", "<html>"] {
            assert!(Incoming::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
