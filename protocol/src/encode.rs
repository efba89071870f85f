//! Events, and the array that every answer is (checklist C2, F9).

use crate::{ChannelName, ReplayForm, Reply};

/// An event for subscribers: channel, data, and the ext that may go on (checklist F9, C9;
/// decisions 3.8). `data` and `ext` are JSON texts and are written as they are.
///
/// The text starts with `{"channel":"` and the name, so that it can be told by its head.
pub fn event(channel: ChannelName<'_>, data: &str, ext: Option<&str>) -> String {
    const CHANNEL: &str = r#"{"channel":""#;
    const DATA: &str = r#"","data":"#;
    const EXT: &str = r#","ext":"#;
    let name = channel.as_str();
    let ext_bytes = ext.map_or(0, |ext| EXT.len() + ext.len());
    let bytes = CHANNEL.len() + name.len() + DATA.len() + data.len() + ext_bytes + 1;
    let mut out = String::with_capacity(bytes);
    // A channel name needs no escaping, by its grammar.
    out.push_str(CHANNEL);
    out.push_str(name);
    out.push_str(DATA);
    out.push_str(data);
    if let Some(ext) = ext {
        out.push_str(EXT);
        out.push_str(ext);
    }
    out.push('}');
    out
}

/// The array of replies and events that answers a request (checklist C2), written as one text.
#[derive(Debug)]
pub struct Array {
    text: String,
    elements: usize,
}

impl Array {
    /// An empty array with room for `bytes` of text.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('[');
        Self { text, elements: 0 }
    }

    /// Appends a JSON text, an [`event`] as a rule.
    pub fn push_text(&mut self, text: &str) {
        self.separate();
        self.text.push_str(text);
    }

    /// Appends an [`event`] with its position, for a client that asked for replay.
    pub fn push_with_replay(&mut self, text: &str, form: ReplayForm, position: i64) {
        self.separate();
        form.write(text, position, &mut self.text);
    }

    /// Appends a reply.
    pub fn push(&mut self, reply: &Reply<'_>) {
        self.separate();
        reply.write(&mut self.text);
    }

    /// How many bytes the array is, its closing bracket included.
    pub fn len(&self) -> usize {
        self.text.len() + 1
    }

    /// How many replies and events are in it.
    pub fn count(&self) -> usize {
        self.elements
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.elements == 0
    }

    /// The text, closed.
    pub fn finish(mut self) -> String {
        self.text.push(']');
        self.text
    }

    fn separate(&mut self) {
        if self.elements > 0 {
            self.text.push(',');
        }
        self.elements += 1;
    }
}

impl Default for Array {
    fn default() -> Self {
        Self::with_capacity(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChannelLimits;

    fn check(data: &str, ext: Option<&str>, expected: &str) {
        let name = ChannelName::parse("/a/b", &ChannelLimits::default()).unwrap();
        let text = event(name, data, ext);
        assert_eq!(text, expected);
        assert_eq!(text.capacity(), text.len(), "the room is reserved exactly");
    }

    #[test]
    fn f9_an_event_has_channel_data_and_perhaps_ext() {
        check("1", None, r#"{"channel":"/a/b","data":1}"#);
        check(r#"{"x": 01e2}"#, None, r#"{"channel":"/a/b","data":{"x": 01e2}}"#);
        check("null", Some(r#"{"y":2}"#), r#"{"channel":"/a/b","data":null,"ext":{"y":2}}"#);
    }

    #[test]
    fn c2_answers_are_arrays() {
        let mut array = Array::with_capacity(16);
        assert!(array.is_empty());
        assert_eq!((array.len(), array.count()), (2, 0));
        array.push_text("1");
        array.push_text("{}");
        assert_eq!((array.len(), array.count()), (6, 2));
        assert_eq!(array.finish(), "[1,{}]");
        assert_eq!(Array::default().finish(), "[]");
    }
}
