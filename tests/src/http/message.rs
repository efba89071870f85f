//! Requests as they are spelled, responses as they are read.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;

/// A request in pieces, spelled by [`Request::bytes`].
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    version: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST of JSON.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).header("Content-Type", "application/json").body(body)
    }

    /// Gives it a body; its length is told unless a header says otherwise.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a header; one of the same name is replaced, and an empty value takes it away.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        method.clone_into(&mut self.method);
        self
    }

    /// Sets the version, such as `HTTP/1.0`.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// The method.
    #[must_use]
    pub fn verb(&self) -> &str {
        &self.method
    }

    /// What is asked for.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The headers that were set.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.body
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The request as it goes over the wire to `host`.
    #[must_use]
    pub fn bytes(&self, host: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} {}\r\n", self.method, self.target, self.version);
        if !self.has("Host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        let wants_length = !self.body.is_empty() || self.method == "POST";
        if wants_length && !self.has("Content-Length") && !self.has("Transfer-Encoding") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        for (name, value) in self.headers.iter().filter(|(_, value)| !value.is_empty()) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub struct Response {
    /// The version, such as `HTTP/1.1`.
    pub version: String,
    /// The status.
    pub status: u16,
    /// All headers in their order.
    pub headers: Vec<(String, String)>,
    /// The body, without any framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Every header of that name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body in UTF-8")
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.text())
            .unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    /// The messages of a Bayeux answer: 200, JSON, an array.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        match self.json() {
            Value::Array(messages) => messages,
            other => panic!("not an array: {other}"),
        }
    }
}

pub(super) fn parse_head(head: &str) -> io::Result<Response> {
    let bad = || io::Error::other(format!("not a response: {head}"));
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next().ok_or_else(bad)?.splitn(3, ' ');
    let version = first.next().ok_or_else(bad)?.to_owned();
    let status = first.next().and_then(|status| status.parse().ok()).ok_or_else(bad)?;
    let header = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    let headers = lines.map(|line| header(line).ok_or_else(bad)).collect::<io::Result<_>>()?;
    Ok(Response { version, status, headers, body: Vec::new() })
}
