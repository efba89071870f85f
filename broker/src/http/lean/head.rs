//! Which requests the lean path takes: those of the Bayeux endpoint, and publications, whose head leaves
//! no doubt. All others, and whatever is wrong, are left to the library that serves everything.

use std::mem::MaybeUninit;

use bytes::{Buf, BytesMut};
use http::header::{
    ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, DNT, EXPECT, HeaderName,
    PRAGMA, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::framing::Framing;
use crate::http::listener::HEAD_BYTES_MAX;
use crate::http::{event_source, headers, publish, routes};

/// As many as the library takes.
const HEADERS_MAX: usize = 100;

/// What the bytes at hand begin with.
#[derive(Debug)]
pub(super) enum Parsed {
    /// A request for the endpoint; its head is taken off.
    Ours(Box<Request>),
    /// Something else, which is left as it is.
    Other,
    /// A part of a head.
    Partial,
}

/// Whom a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// The Bayeux endpoint.
    Bayeux,
    /// `/publish`, and what stands behind it.
    Publish(Box<str>),
}

/// A request's head.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) route: Route,
    pub(super) method: Method,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) framing: Framing,
    /// The client waits for leave before it sends the body.
    pub(super) expects: bool,
    /// It is the last one of its connection.
    pub(super) close: bool,
}

/// Reads a head from the first bytes.
pub(super) fn parse(bytes: &mut BytesMut, mounts: &[String]) -> Parsed {
    // Most heads have few: what is not needed is not written to either.
    let mut slots = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut read = httparse::Request::new(&mut []);
    let length = match read.parse_with_uninit_headers(bytes, &mut slots) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Parsed::Partial,
        _ => return Parsed::Other,
    };
    let Some(request) = request(&read, mounts) else { return Parsed::Other };
    bytes.advance(length);
    Parsed::Ours(Box::new(request))
}

/// The request, if it is for the endpoint and there is no doubt about it.
fn request(read: &httparse::Request<'_, '_>, mounts: &[String]) -> Option<Request> {
    let method = match read.method? {
        "POST" => Method::POST,
        "GET" => Method::GET,
        "OPTIONS" => Method::OPTIONS,
        _ => return None,
    };
    let uri = Uri::try_from(read.path.filter(|path| path.starts_with('/'))?).ok()?;
    let route = route(&method, uri.path(), mounts).filter(|_| read.version == Some(1))?;
    let mut headers = HeaderMap::with_capacity(read.headers.len());
    let mut close = false;
    for header in &*read.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        let value = HeaderValue::from_bytes(header.value).ok()?;
        match name {
            UPGRADE => return None,
            CONNECTION => close |= closes(&value)?,
            ACCEPT if method == Method::GET => drop(headers.append(name, value)),
            _ if UNREAD.contains(&name) => {}
            _ => drop(headers.append(name, value)),
        }
    }
    let framing = framing(&headers)?;
    let has_body = !framing.is_over();
    let expects = match headers.get(EXPECT) {
        None => false,
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => true,
        Some(_) => return None,
    };
    let of_lines = matches!(&route, Route::Publish(rest) if publish::is_of_lines(rest, &headers));
    let doubtful = of_lines
        || method != Method::POST && (has_body || expects)
        || event_source::is_wanted(&method, &headers)
        || headers::refuse_head(Version::HTTP_11, &uri, &headers).is_some();
    let query = uri.query().unwrap_or_default().to_owned();
    (!doubtful).then_some(Request { route, method, query, headers, framing, expects, close })
}

fn route(method: &Method, path: &str, mounts: &[String]) -> Option<Route> {
    if routes::is_below(mounts, path) {
        return Some(Route::Bayeux);
    }
    let rest = routes::rest_below(path, "/publish").filter(|_| method == Method::POST)?;
    Some(Route::Publish(rest.into()))
}

/// What nobody here asks for, and every browser sends.
const UNREAD: [HeaderName; 6] = [ACCEPT, ACCEPT_LANGUAGE, CACHE_CONTROL, DNT, PRAGMA, USER_AGENT];

/// Whether the connection is to end with this request; `None` if that header says anything but how
/// long a connection lives.
fn closes(value: &HeaderValue) -> Option<bool> {
    let mut close = false;
    for word in value.to_str().ok()?.split(',').map(str::trim) {
        if word.eq_ignore_ascii_case("close") {
            close = true;
        } else if !word.eq_ignore_ascii_case("keep-alive") {
            return None;
        }
    }
    Some(close)
}

/// How the body comes; `None` where two could understand it differently (request smuggling).
fn framing(headers: &HeaderMap) -> Option<Framing> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let found = (codings.next(), lengths.next());
    if codings.next().is_some() || lengths.next().is_some() {
        return None;
    }
    match found {
        (None, None) => Some(Framing::NONE),
        (None, Some(length)) => {
            let digits = length.to_str().ok()?;
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            // Signed numbers end here, and with them what others on the way may count.
            let counts = |length: &u64| i64::try_from(*length).is_ok();
            plain.then(|| digits.parse().ok().filter(counts).map(Framing::length)).flatten()
        }
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked").then(Framing::chunked)
        }
        (Some(_), Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> [String; 1] {
        ["/bayeux".to_owned()]
    }

    fn parsed(text: &str) -> Parsed {
        parse(&mut BytesMut::from(text), &mounts())
    }

    fn ours(text: &str) -> Option<Request> {
        match parsed(text) {
            Parsed::Ours(request) => Some(*request),
            Parsed::Other | Parsed::Partial => None,
        }
    }

    const HEAD: &str = "POST /bayeux/connect?x=1 HTTP/1.1\r\nHost: a\r\n";

    #[test]
    fn a_request_for_the_endpoint_is_taken_off() {
        let text = format!("\r\n{HEAD}Content-Length: 2\r\nUser-Agent: x\r\n\r\n[]rest");
        let mut bytes = BytesMut::from(&*text);
        let Parsed::Ours(request) = parse(&mut bytes, &mounts()) else { panic!("{bytes:?}") };
        assert_eq!(&bytes[..], b"[]rest");
        assert_eq!((request.method, &*request.query), (Method::POST, "x=1"));
        assert!(!request.close && !request.expects && !request.framing.is_over());
        assert!(!request.headers.contains_key(USER_AGENT));
        for length in 0..text.len() - 6 {
            assert!(matches!(parsed(&text[..length]), Parsed::Partial), "{length}");
        }
    }

    #[test]
    fn r37_what_leaves_a_doubt_is_left_to_the_library() {
        for more in [
            "Content-Length: 2\r\nContent-Length: 2\r\n",
            "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Content-Length: +2\r\n",
            "Content-Length: 2, 2\r\n",
            "Content-Length: \r\n",
            "Content-Length: 9223372036854775808\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Content-Length: 2\r\n folded\r\n",
            "Content-Length : 2\r\n",
            "Upgrade: websocket\r\n",
            "Connection: upgrade\r\n",
            "Expect: more\r\n",
            "Host: b\r\n",
            "Bad Name: 2\r\n",
            "A: \u{1}\r\n",
        ] {
            assert!(matches!(parsed(&format!("{HEAD}{more}\r\n")), Parsed::Other), "{more}");
        }
        for head in [
            "PUT /bayeux HTTP/1.1\r\nHost: a\r\n",
            "POST /publisher HTTP/1.1\r\nHost: a\r\n",
            "OPTIONS /publish/a HTTP/1.1\r\nHost: a\r\n",
            "POST /publish HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\n",
            "POST /bayeuxes HTTP/1.1\r\nHost: a\r\n",
            "POST http://a/bayeux HTTP/1.1\r\nHost: a\r\n",
            "POST /bayeux HTTP/1.0\r\nHost: a\r\n",
            "POST /bayeux HTTP/1.1\r\n",
            "GET /bayeux HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n",
            "GET /bayeux/id HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n",
            "nonsense\r\n",
        ] {
            assert!(matches!(parsed(&format!("{head}\r\n")), Parsed::Other), "{head}");
        }
    }

    #[test]
    fn heads_have_an_end() {
        let long = format!("{HEAD}A: {}", "a".repeat(HEAD_BYTES_MAX));
        assert!(matches!(parsed(&long), Parsed::Other));
        assert!(matches!(parsed(&format!("{long}\r\n\r\n")), Parsed::Other));
        let many = "A: a\r\n".repeat(HEADERS_MAX);
        assert!(matches!(parsed(&format!("{HEAD}{many}\r\n")), Parsed::Other));
    }

    #[test]
    fn connections_end_when_they_are_told_to() {
        let close = |value: &str| ours(&format!("{HEAD}Connection: {value}\r\n\r\n"));
        assert!(close("close").is_some_and(|request| request.close));
        assert!(close("Keep-Alive, CLOSE").is_some_and(|request| request.close));
        assert!(close("keep-alive").is_some_and(|request| !request.close));
        assert!(
            ours(&format!("{HEAD}Expect: 100-Continue\r\nContent-Length: 9\r\n\r\n"))
                .is_some_and(|request| request.expects)
        );
    }
}
