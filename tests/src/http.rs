//! HTTP/1.1 by hand: what is sent is what a test spells out.

mod dial;
mod message;

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

pub use dial::dial;
pub use message::{Request, Response};

use self::message::parse_head;
use crate::wait::{A_WHILE, PATIENCE};

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// In good order: FIN.
    Close,
    /// As by a peer that knows nothing of it any more: RST.
    Reset,
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
        Self::over(TcpStream::connect_timeout(&peer, PATIENCE).expect("a connection"), peer)
    }

    /// Talks over a socket that is connected.
    #[must_use]
    pub fn over(stream: TcpStream, peer: SocketAddr) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
        Self { peer, stream, buffer: Vec::new() }
    }

    /// Connects from another address of this machine, such as 127.0.0.2.
    #[must_use]
    pub fn open_from(local: IpAddr, peer: SocketAddr) -> Self {
        Self::over(dial(local, peer, None).expect("a connection"), peer)
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

    /// Writes as much as the socket takes at once.
    ///
    /// # Errors
    /// When it takes nothing.
    pub fn try_send_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let sent = self.stream.write(bytes);
        self.stream.set_nonblocking(false)?;
        sent
    }

    /// Writes the same bytes again and again, until the peer takes no more for a moment.
    pub fn send_until_stuck(&mut self, bytes: &[u8]) {
        self.stream.set_write_timeout(Some(A_WHILE)).expect("a write timeout");
        while self.try_send(bytes).is_ok() {}
        self.stream.set_write_timeout(Some(PATIENCE)).expect("a write timeout");
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
        self.set_patience(time);
        let silent = match self.fill() {
            Err(error) => is_timeout(&error),
            Ok(()) => false,
        };
        self.set_patience(PATIENCE);
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
        while let Some(mut chunk) = self.read_chunk()? {
            body.append(&mut chunk);
        }
        Ok(body)
    }

    /// Reads the next chunk of a chunked body, behind its head; `None` is the body's end.
    ///
    /// # Errors
    /// When the socket closes or stays silent before the chunk's end. What came of it is kept.
    pub fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                break at;
            }
            self.fill()?;
        };
        let size = std::str::from_utf8(&self.buffer[..end]).map_err(io::Error::other)?;
        let size = size.trim().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
        self.wait_for(end + 2 + size + 2)?;
        let chunk = self.buffer[end + 2..][..size].to_vec();
        self.buffer.drain(..end + 2 + size + 2);
        Ok(Some(chunk).filter(|_| size > 0))
    }

    /// Reads until so many bytes have come that nobody has taken, and shows all there are.
    ///
    /// # Errors
    /// When the socket closes or stays silent before that. What came is kept.
    pub fn wait_for(&mut self, length: usize) -> io::Result<&[u8]> {
        while self.buffer.len() < length {
            self.fill()?;
        }
        Ok(&self.buffer)
    }

    /// Takes bytes off, as many as asked for.
    ///
    /// # Errors
    /// When the socket closes or stays silent before that. What came is kept.
    pub fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.wait_for(length)?;
        Ok(self.buffer.drain(..length).collect())
    }

    /// How long reading waits for bytes before it is an error; [`PATIENCE`] until told otherwise.
    pub fn set_patience(&self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a read timeout");
    }

    /// Ends the connection, whatever is under way.
    pub fn cut(self, cut: Cut) {
        if cut == Cut::Reset {
            let nothing = Some(Duration::ZERO);
            rustix::net::sockopt::set_socket_linger(&self.stream, nothing).expect("SO_LINGER");
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.buffer.extend_from_slice(&bytes[..count]);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether reading only took too long.
#[must_use]
pub fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
