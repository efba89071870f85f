//! A response's head as bytes, with what the library would add.

use std::cell::RefCell;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::{Response, StatusCode};

/// A response, ready to be written.
#[derive(Debug)]
pub(super) struct Spelled {
    /// The head, and the whole body behind it if that is so small that a copy costs less than a second
    /// piece in the write.
    pub(super) head: Vec<u8>,
    /// The body, which counts until it is written.
    pub(super) body: Bytes,
    /// The connection ends with it.
    pub(super) close: bool,
    copied: bool,
}

impl Spelled {
    /// What is to be written behind the head.
    pub(super) fn rest(&self) -> &[u8] {
        if self.copied { &[] } else { &self.body }
    }
}

/// Bodies up to here are copied.
const SMALL: usize = 4 << 10;

/// Spells a response that is sent so many seconds after 1970, and is the last one of its connection or
/// not.
pub(super) fn spell(response: Response<Bytes>, close: bool, wall_s: u64) -> Spelled {
    let (parts, body) = response.into_parts();
    let copied = body.len() <= SMALL;
    let mut out = Vec::with_capacity(384 + if copied { body.len() } else { 0 });
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(parts.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(parts.status.canonical_reason().unwrap_or("unnamed").as_bytes());
    out.extend_from_slice(b"\r\n");
    let told = close && !parts.headers.contains_key(http::header::CONNECTION);
    for (name, value) in &parts.headers {
        line(&mut out, name.as_str(), value.as_bytes());
    }
    if parts.status != StatusCode::NO_CONTENT {
        let mut digits = itoa::Buffer::new();
        line(&mut out, CONTENT_LENGTH.as_str(), digits.format(body.len()).as_bytes());
    }
    if told {
        line(&mut out, "connection", b"close");
    }
    DATED.with_borrow_mut(|dated| line(&mut out, DATE.as_str(), dated.at(wall_s).as_bytes()));
    out.extend_from_slice(b"\r\n");
    if copied {
        out.extend_from_slice(&body);
    }
    Spelled { head: out, body, close, copied }
}

/// A date as text, which holds for a second (RFC 9110 §6.6.1).
struct Dated {
    wall_s: u64,
    text: String,
}

impl Dated {
    fn at(&mut self, wall_s: u64) -> &str {
        if self.wall_s != wall_s || self.text.is_empty() {
            self.wall_s = wall_s;
            self.text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(wall_s));
        }
        &self.text
    }
}

thread_local! {
    static DATED: RefCell<Dated> = const { RefCell::new(Dated { wall_s: 0, text: String::new() }) };
}

fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::http::headers;

    fn spelled(response: Response<Bytes>, close: bool) -> (String, usize) {
        let spelled = spell(response, close, 784_111_777);
        let rest = spelled.rest().len();
        (String::from_utf8(spelled.head).unwrap(), rest)
    }

    #[test]
    fn a_response_is_a_head_and_its_body() {
        let response = headers::response(StatusCode::OK, headers::JSON, "[]");
        let expected = "HTTP/1.1 200 OK\r\ncache-control: no-cache, no-store\r\n\
            x-content-type-options: nosniff\r\ncontent-type: application/json\r\n\
            content-length: 2\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n[]";
        assert_eq!(spelled(response, false), (expected.to_owned(), 0));
    }

    #[test]
    fn the_last_one_says_so_once() {
        let (text, _) = spelled(headers::empty(StatusCode::BAD_REQUEST), true);
        assert!(text.contains("\r\nconnection: close\r\n") && text.contains("content-length: 0"));
        let mut response = headers::empty(StatusCode::NO_CONTENT);
        response.headers_mut().insert("connection", HeaderValue::from_static("close"));
        let (text, _) = spelled(response, true);
        assert_eq!(text.matches("connection").count(), 1);
        assert!(!text.contains("content-length"));
    }

    #[test]
    fn a_long_body_is_not_copied() {
        let body = vec![b'x'; 5_000];
        let response = headers::response(StatusCode::OK, headers::JSON, body);
        let (text, rest) = spelled(response, false);
        assert!(text.contains("content-length: 5000\r\n") && text.ends_with("\r\n\r\n"));
        assert_eq!(rest, 5_000);
    }
}
