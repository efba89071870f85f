//! HTTP/1.1 by hand: what is sent is what a test spells out.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use crate::wait::PATIENCE;

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

/// One socket to the broker.
#[derive(Debug)]
pub struct Connection {
    peer: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects.
    #[must_use]
    pub fn open(peer: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&peer, PATIENCE).expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { peer, stream, buffer: Vec::new() }
    }

    /// Our own address, which tells two connections apart.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        self.stream.local_addr().expect("an address")
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// When the socket takes no more.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Writes bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).expect("a socket that takes bytes");
    }

    /// Writes a request, without waiting for the answer.
    pub fn start(&mut self, request: &Request) {
        self.send(&request.bytes(self.peer));
    }

    /// Writes a request and reads its answer.
    pub fn exchange(&mut self, request: &Request) -> Response {
        self.start(request);
        self.read().expect("an answer")
    }

    /// Says that nothing more will be sent; answers can still be read.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("a half-close");
    }

    /// Reads one whole response.
    ///
    /// # Errors
    /// When the socket closes or stays silent before its end.
    pub fn read(&mut self) -> io::Result<Response> {
        let mut response = self.read_head()?;
        response.body = self.read_body(&response)?;
        Ok(response)
    }

    /// Reads the head of a response that has no body, as the answer to a HEAD.
    ///
    /// # Errors
    /// When the socket closes or stays silent before its end.
    pub fn read_head(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            self.fill()?;
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        parse_head(&String::from_utf8(head).map_err(io::Error::other)?)
    }

    /// Whether nothing at all arrives for so long; the socket stays usable.
    #[must_use]
    pub fn is_silent(&mut self, time: Duration) -> bool {
        if !self.buffer.is_empty() {
            return false;
        }
        self.stream.set_read_timeout(Some(time)).expect("a read timeout");
        let silent = match self.fill() {
            Err(error) => is_timeout(&error),
            Ok(()) => false,
        };
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        silent
    }

    /// Whether the broker closes the connection without another byte, within [`PATIENCE`].
    #[must_use]
    pub fn is_closed_by_peer(&mut self) -> bool {
        self.buffer.is_empty() && self.fill().is_err_and(|error| !is_timeout(&error))
    }

    fn read_body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        let chunked = response.header("Transfer-Encoding") == Some("chunked");
        if chunked {
            return self.read_chunks();
        }
        if matches!(response.status, 100..200 | 204 | 304) {
            return Ok(Vec::new());
        }
        if let Some(length) = response.header("Content-Length") {
            let length = length.parse().map_err(io::Error::other)?;
            return self.take(length);
        }
        loop {
            if let Err(error) = self.fill() {
                let ended = error.kind() == io::ErrorKind::UnexpectedEof;
                return if ended { Ok(std::mem::take(&mut self.buffer)) } else { Err(error) };
            }
        }
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                    break at;
                }
                self.fill()?;
            };
            let line = self.take(end + 2)?;
            let size = std::str::from_utf8(&line).map_err(io::Error::other)?;
            let size = size.trim().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            let mut chunk = self.take(size + 2)?;
            if size == 0 {
                return Ok(body);
            }
            chunk.truncate(size);
            body.append(&mut chunk);
        }
    }

    fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn parse_head(head: &str) -> io::Result<Response> {
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
