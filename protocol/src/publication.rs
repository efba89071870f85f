//! What is published over plain HTTP: data alone, or objects that name their channel (decisions 2).

use std::borrow::Cow;
use std::fmt;

use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::json::{self, Members};
use crate::{BodyError, ChannelName, DecodeLimits, Error, KEY_BYTES_MAX, depth, publisher_ext};

/// One message to publish, checked. Texts are on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication<'a> {
    /// A concrete channel, neither meta nor service.
    pub channel: Cow<'a, str>,
    /// The data's JSON text.
    pub data: Cow<'a, str>,
    /// What of `ext` goes on.
    pub ext: Option<Cow<'a, str>>,
    /// The idempotency key.
    pub key: Option<Cow<'a, str>>,
}

/// Why an object is no message to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicationError {
    /// The text cannot be read.
    Unreadable(BodyError),
    /// It is no object.
    NotAnObject,
    /// A member nobody knows: a slip of the pen that must not pass for something left out.
    UnknownMember(String),
    /// `ext` is no object.
    ExtInvalid,
    /// What Bayeux says of it.
    Refused(Error),
}

impl PublicationError {
    /// The HTTP status of a message that stands alone.
    pub fn status(&self) -> u16 {
        match self {
            Self::Refused(error) => publish_status(error),
            Self::Unreadable(error) => error.status(),
            _ => 400,
        }
    }
}

impl fmt::Display for PublicationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::NotAnObject => f.write_str("not an object"),
            Self::UnknownMember(name) => write!(f, "unknown member {name:?}"),
            Self::ExtInvalid => f.write_str("ext is not an object"),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublicationError {}

impl From<Error> for PublicationError {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

/// The HTTP status of a refused publish (decisions 2).
pub fn publish_status(error: &Error) -> u16 {
    match error {
        Error::Unauthorized(_) => 401,
        Error::SessionUnknown => 402,
        Error::KeyReused => 422,
        Error::ChannelInvalid => 405,
        Error::PublishDenied(_)
        | Error::SubscribeDenied(_)
        | Error::HistoryDenied(_)
        | Error::HandshakeDenied => 403,
        Error::Refused { code, .. } => *code,
        Error::RateLimited => 429,
        Error::HookUnavailable(_)
        | Error::StoreUnavailable
        | Error::Overloaded
        | Error::Draining => 503,
        _ => 400,
    }
}

/// A name that may be published to.
///
/// # Errors
/// 405 if it is none; 403 below `/meta` and `/service`.
pub fn publish_channel<'a>(name: &'a str, limits: &DecodeLimits) -> Result<ChannelName<'a>, Error> {
    let channel = ChannelName::parse(name, &limits.channel).map_err(|_| Error::ChannelInvalid)?;
    if channel.is_meta() || channel.is_service() {
        return Err(Error::PublishDenied(name.to_owned()));
    }
    Ok(channel)
}

/// A body that is the data itself: any JSON text.
///
/// # Errors
/// When it is none, or nests too deep.
pub fn publish_data<'a>(body: &'a [u8], limits: &DecodeLimits) -> Result<Cow<'a, str>, BodyError> {
    let raw: &RawValue = read(body, limits)?;
    Ok(json::one_line(raw.get()))
}

/// A body that is an array of messages: each is one or has its fault. No credentials in their `ext` go on.
///
/// # Errors
/// When it is no array, or has too many elements.
pub fn publish_array<'a>(
    body: &'a [u8],
    limits: &DecodeLimits,
    token_field: Option<&str>,
) -> Result<Vec<Result<Publication<'a>, PublicationError>>, BodyError> {
    let raw = parse(text(body)?)?;
    let mut found = Vec::new();
    let mut count = 0;
    let is_array = json::each_element(raw, |element| {
        count += 1;
        if count > limits.messages {
            return;
        }
        // The array is a level of its own.
        found.push(if depth::exceeds(element.get(), limits.depth.saturating_sub(1)) {
            Err(PublicationError::Unreadable(BodyError::TooDeep))
        } else {
            publication(element, limits, token_field)
        });
    });
    if !is_array {
        return Err(BodyError::NotMessages);
    }
    if count > limits.messages {
        return Err(BodyError::TooMany);
    }
    Ok(found)
}

/// A line that is one message.
///
/// # Errors
/// What is wrong with it.
pub fn publish_line<'a>(
    line: &'a [u8],
    limits: &DecodeLimits,
    token_field: Option<&str>,
) -> Result<Publication<'a>, PublicationError> {
    publication(read(line, limits).map_err(PublicationError::Unreadable)?, limits, token_field)
}

fn read<'a>(body: &'a [u8], limits: &DecodeLimits) -> Result<&'a RawValue, BodyError> {
    let text = text(body)?;
    if depth::exceeds(text, limits.depth) {
        return Err(BodyError::TooDeep);
    }
    parse(text)
}

fn text(body: &[u8]) -> Result<&str, BodyError> {
    std::str::from_utf8(body).map_err(|_| BodyError::NotUtf8)
}

/// Nothing is decoded, so depth does no harm here.
fn parse(text: &str) -> Result<&RawValue, BodyError> {
    if text.trim_ascii().is_empty() {
        return Err(BodyError::Empty);
    }
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Data => BodyError::NotMessages,
        Category::Syntax | Category::Eof | Category::Io => {
            BodyError::NotJson { line: error.line(), column: error.column() }
        }
    })
}

fn publication<'a>(
    raw: &'a RawValue,
    limits: &DecodeLimits,
    token_field: Option<&str>,
) -> Result<Publication<'a>, PublicationError> {
    let members = Members::of(raw).ok_or(PublicationError::NotAnObject)?;
    let (mut channel, mut data, mut ext, mut id) = (None, None, None, None);
    for (name, value) in members.0 {
        let field = match json::string(name).as_deref() {
            Some("channel") => &mut channel,
            Some("data") => &mut data,
            Some("ext") => &mut ext,
            Some("id") => &mut id,
            other => {
                let name = other.unwrap_or_default().chars().take(64).collect();
                return Err(PublicationError::UnknownMember(name));
            }
        };
        if field.replace(value).is_some() {
            return Err(PublicationError::Unreadable(BodyError::RepeatedField));
        }
    }
    let channel = channel.ok_or(Error::ChannelMissing)?;
    let channel = json::string(channel).ok_or(Error::ChannelInvalid)?;
    publish_channel(&channel, limits)?;
    let data = data.ok_or(Error::DataMissing)?;
    let ext = match ext {
        Some(ext) if !json::is_object(ext) => return Err(PublicationError::ExtInvalid),
        Some(ext) => publisher_ext(ext, token_field),
        None => None,
    };
    let key = id.map(key).transpose()?;
    Ok(Publication { channel, data: json::one_line(data.get()), ext, key })
}

/// A string, or a number as it is spelled.
fn key(raw: &RawValue) -> Result<Cow<'_, str>, Error> {
    let text = match json::string(raw) {
        Some(text) => text,
        None if json::number(raw).is_some() => Cow::Borrowed(raw.get()),
        None => return Err(Error::KeyInvalid),
    };
    if (1..=KEY_BYTES_MAX).contains(&text.len()) { Ok(text) } else { Err(Error::KeyInvalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Result<Publication<'_>, String> {
        publish_line(text.as_bytes(), &DecodeLimits::default(), None)
            .map_err(|error| format!("{} {error}", error.status()))
    }

    #[test]
    fn f2_a_message_has_channel_data_and_perhaps_ext_and_id() {
        let read =
            line(r#"{"channel":"/a","data":{"x": 1},"ext":{"y":1,"ack":2},"id":7}"#).unwrap();
        let expected = Publication {
            channel: "/a".into(),
            data: r#"{"x": 1}"#.into(),
            ext: Some(r#"{"y":1}"#.into()),
            key: Some("7".into()),
        };
        assert_eq!(read, expected);
        assert_eq!(line(r#" {"data":null,"channel":"/a"} "#).unwrap().data, "null");
    }

    #[test]
    fn f2_what_is_wrong_is_said() {
        for (text, fault) in [
            ("{", "400 not JSON at line 1 column 1"),
            ("", "400 no message"),
            ("[]", "400 not an object"),
            (r#"{"data":1}"#, "400 400::channel_missing"),
            (r#"{"channel":"/a"}"#, "400 400::data_missing"),
            (r#"{"channel":1,"data":1}"#, "405 405::channel_invalid"),
            (r#"{"channel":"/a/*","data":1}"#, "405 405::channel_invalid"),
            (r#"{"channel":"/meta/x","data":1}"#, "403 403:/meta/x:publish_denied"),
            (r#"{"channel":"/service/x","data":1}"#, "403 403:/service/x:publish_denied"),
            (r#"{"chanel":"/a","data":1}"#, "400 unknown member \"chanel\""),
            (r#"{"channel":"/a","data":1,"data":2}"#, "400 a field stands twice in one message"),
            (r#"{"channel":"/a","data":1,"ext":1}"#, "400 ext is not an object"),
            (r#"{"channel":"/a","data":1,"id":""}"#, "400 400::key_invalid"),
            (r#"{"channel":"/a","data":1,"id":{}}"#, "400 400::key_invalid"),
        ] {
            assert_eq!(line(text), Err(fault.to_owned()), "{text}");
        }
        assert_eq!(line(&"[".repeat(65)), Err("400 nested too deep".to_owned()));
    }

    #[test]
    fn f2_a_body_may_be_the_data_itself() {
        let limits = DecodeLimits::default();
        assert_eq!(publish_data(b" {\"x\":\n1} ", &limits).unwrap(), "{\"x\":1}");
        assert_eq!(publish_data(b"\xff", &limits), Err(BodyError::NotUtf8));
        assert_eq!(publish_data(b"  ", &limits), Err(BodyError::Empty));
        assert!(matches!(publish_data(b"1 2", &limits), Err(BodyError::NotJson { .. })));
    }

    #[test]
    fn f2_an_array_is_read_element_by_element_within_its_bound() {
        let limits = DecodeLimits { messages: 2, ..DecodeLimits::default() };
        let read = publish_array(br#"[{"channel":"/a","data":1},2]"#, &limits, None).unwrap();
        assert!(read[0].is_ok() && read[1] == Err(PublicationError::NotAnObject));
        assert_eq!(publish_array(b"[1,2,3]", &limits, None), Err(BodyError::TooMany));
        assert_eq!(publish_array(b"{}", &limits, None), Err(BodyError::NotMessages));
        assert_eq!(publish_array(b"[]", &limits, None), Ok(Vec::new()));
    }

    #[test]
    fn f2_a_too_deep_element_is_that_elements_fault() {
        let limits = DecodeLimits::default();
        let nested = |depth: usize| {
            let (open, close) = ("[".repeat(depth), "]".repeat(depth));
            format!(r#"[{{"channel":"/a","data":1}},{{"channel":"/a","data":{open}{close}}}]"#)
        };
        let too_deep = Err(PublicationError::Unreadable(BodyError::TooDeep));
        let text = nested(limits.depth - 2);
        assert!(publish_array(text.as_bytes(), &limits, None).unwrap()[1].is_ok());
        for depth in [limits.depth - 1, 200_000] {
            let text = nested(depth);
            let read = publish_array(text.as_bytes(), &limits, None).unwrap();
            assert!(read[0].is_ok() && read[1] == too_deep, "{depth}");
        }
    }
}
