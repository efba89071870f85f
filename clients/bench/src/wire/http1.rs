//! Responses, and requests.

use std::borrow::Cow;

use super::{Fault, chunks::Chunks};

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(usize),
    Chunked,
}

/// A response's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) framing: Framing,
    /// The server closes the connection after it.
    pub(crate) close: bool,
    /// Its own length in bytes, the empty line included.
    pub(crate) length: usize,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Response<'a> {
    pub(crate) head: Head,
    /// The head's bytes, for [`header`].
    pub(crate) text: &'a [u8],
    pub(crate) body: Cow<'a, [u8]>,
    /// Of head and body together, in bytes.
    pub(crate) length: usize,
}

/// Reads a head, if all of it is there.
///
/// # Errors
/// If it is none, or says of its body nothing that can be followed.
pub(crate) fn head(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(|error| Fault::new(format!("HTTP: {error}")))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    let (mut framing, mut close) = (None, false);
    for header in response.headers.iter() {
        let says = |word: &str| header.value.eq_ignore_ascii_case(word.as_bytes());
        if header.name.eq_ignore_ascii_case("content-length") {
            let number = std::str::from_utf8(header.value).ok().and_then(|text| text.parse().ok());
            framing = framing.or_else(|| number.map(Framing::Length));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") && says("chunked") {
            framing = Some(Framing::Chunked);
        } else if header.name.eq_ignore_ascii_case("connection") {
            close = says("close");
        }
    }
    if matches!(status, 100..=199 | 204 | 304) {
        framing = Some(Framing::Length(0));
    }
    let framing = framing.ok_or_else(|| Fault::new("a response of unknown length"))?;
    Ok(Some(Head { status, framing, close, length }))
}

/// Reads a response, if all of it is there.
///
/// # Errors
/// As [`head`], or if the body's chunks are none.
pub(crate) fn response(bytes: &[u8]) -> Result<Option<Response<'_>>, Fault> {
    let Some(head) = head(bytes)? else { return Ok(None) };
    let (text, rest) = bytes.split_at(head.length);
    let (body, used) = match head.framing {
        Framing::Length(length) if rest.len() < length => return Ok(None),
        Framing::Length(length) => (Cow::Borrowed(&rest[..length]), length),
        Framing::Chunked => {
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            let used = chunks.feed(rest, |piece| body.extend_from_slice(piece))?;
            if !chunks.is_over() {
                return Ok(None);
            }
            (Cow::Owned(body), used)
        }
    };
    Ok(Some(Response { head, text, body, length: head.length + used }))
}

/// The values of a header in a head's bytes.
pub(crate) fn header<'a>(head: &'a [u8], name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
    head.split(|&byte| byte == b'\n').filter_map(move |line| {
        let (start, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        let named = start.eq_ignore_ascii_case(name.as_bytes());
        std::str::from_utf8(value).ok().filter(|_| named).map(str::trim)
    })
}

/// Writes a POST; `headers` are whole lines.
pub(crate) fn post(out: &mut Vec<u8>, path: &str, headers: &[&str], body: &[u8]) {
    start(out, "POST", path, headers);
    out.extend_from_slice(b"Content-Type: application/json\r\nContent-Length: ");
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// Writes a GET; `headers` are whole lines.
pub(crate) fn get(out: &mut Vec<u8>, path: &str, headers: &[&str]) {
    start(out, "GET", path, headers);
    out.extend_from_slice(b"\r\n");
}

fn start(out: &mut Vec<u8>, method: &str, path: &str, headers: &[&str]) {
    for part in [method, " ", path, " HTTP/1.1\r\n"].iter().chain(headers) {
        out.extend_from_slice(part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nEtag: 7\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
        3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";

    #[test]
    fn a_response_is_whole_with_its_last_byte_and_not_before() {
        for bytes in [PLAIN, CHUNKED] {
            for cut in 0..bytes.len() {
                assert!(response(&bytes[..cut]).unwrap().is_none(), "{cut}");
            }
            let two = [bytes, PLAIN].concat();
            for whole in [bytes, &two] {
                let response = response(whole).unwrap().unwrap();
                assert_eq!(&*response.body, b"hello");
                assert_eq!((response.head.status, response.length), (200, bytes.len()));
            }
        }
    }

    #[test]
    fn some_have_no_body_and_others_close() {
        let none = b"HTTP/1.1 304 Not Modified\r\nConnection: Close\r\n\r\n";
        let response = response(none).unwrap().unwrap();
        assert_eq!((response.length, response.head.close), (none.len(), true));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn headers_are_found_whatever_their_case() {
        let head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie:b=2\r\nX: \r\n\r\n";
        assert_eq!(header(head, "Set-Cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(header(head, "x").next(), Some(""));
        assert_eq!(header(head, "Y").next(), None);
    }

    #[test]
    fn requests_are_written_as_they_should_be() {
        let mut out = Vec::new();
        post(&mut out, "/p", &["Host: h\r\n"], b"[]");
        get(&mut out, "/g", &["Host: h\r\n", "A: b\r\n"]);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "POST /p HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\n\r\n[]GET /g HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"
        );
    }
}
