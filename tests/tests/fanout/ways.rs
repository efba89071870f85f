//! The ways in which events reach the readers, each over one plain socket.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_tests::jsonp::encode;
use weft_tests::siege::HANDSHAKE;

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Connects, one after another.
    LongPolling,
    /// The same, as scripts (JSONP).
    CallbackPolling,
    /// Frames.
    WebSocket,
    /// Faye's stream beside the posts.
    EventSource,
    /// Server-sent events, from `/events`.
    Events,
    /// Lines, from `/stream`.
    Stream,
}

impl Way {
    /// Each of them.
    pub(crate) const ALL: [Self; 6] = [
        Self::LongPolling,
        Self::CallbackPolling,
        Self::WebSocket,
        Self::EventSource,
        Self::Events,
        Self::Stream,
    ];

    /// Whether each reader holds a connect.
    pub(crate) fn holds(self) -> bool {
        matches!(self, Self::LongPolling | Self::CallbackPolling | Self::WebSocket)
    }
}

/// A socket and what was read from it.
pub(crate) struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
    request: Vec<u8>,
}

impl Socket {
    async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self { stream, buffer: Vec::with_capacity(2_048), request: Vec::new() }
    }

    /// Posts a body; the answer's body, which must come with 200.
    pub(crate) async fn post(&mut self, body: &str) -> String {
        self.request = post(body);
        self.again().await
    }

    /// Posts the same once more.
    async fn again(&mut self) -> String {
        self.stream.write_all(&self.request).await.expect("a socket that takes bytes");
        let (head, length) = loop {
            if let Some(found) = head_and_length(&self.buffer) {
                break found;
            }
            self.fill().await;
        };
        while self.buffer.len() < head + length {
            self.fill().await;
        }
        let body = text(&self.buffer[head..head + length]);
        self.buffer.drain(..head + length);
        body
    }

    async fn fill(&mut self) {
        let count = self.stream.read_buf(&mut self.buffer).await.expect("an open socket");
        assert!(count > 0, "closed by the broker");
    }

    /// Asks for something else than a whole answer, which must be granted.
    async fn get(&mut self, path: &str, headers: &str, status: &str) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
        self.stream.write_all(request.as_bytes()).await.expect("a socket that takes bytes");
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await;
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        assert!(head.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", text(&head));
    }

    /// Sends a frame, masked with nothing.
    async fn send(&mut self, kind: u8, payload: &[u8]) {
        let mut frame = vec![0x80 | kind, 0x80];
        match u8::try_from(payload.len()) {
            Ok(short @ 0..126) => frame[1] |= short,
            _ => {
                frame[1] |= 126;
                frame.extend(u16::try_from(payload.len()).expect("a short message").to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        self.stream.write_all(&frame).await.expect("a socket that takes bytes");
    }

    /// The next text frame; pings are answered.
    async fn frame(&mut self) -> String {
        loop {
            let Some((kind, from, to)) = frame(&self.buffer) else {
                self.fill().await;
                continue;
            };
            let payload = self.buffer[from..to].to_vec();
            self.buffer.drain(..to);
            match kind {
                1 => return text(&payload),
                9 => self.send(10, &payload).await,
                other => panic!("a frame of kind {other}: {}", text(&payload)),
            }
        }
    }

    /// All whole lines that are there, at least one.
    async fn lines(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.iter().rposition(|&byte| byte == b'\n') {
                let lines = text(&self.buffer[..end]);
                self.buffer.drain(..=end);
                return lines;
            }
            self.fill().await;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// The first frame: what it is, and where its payload stands.
fn frame(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (&kind, &length) = (bytes.first()?, bytes.get(1)?);
    let (from, length) = match length {
        126 => (4, u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (2, u64::from(short)),
    };
    let to = from + usize::try_from(length).ok()?;
    (bytes.len() >= to).then_some((kind & 0x0f, from, to))
}

fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /bayeux HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

fn script(message: &str) -> Vec<u8> {
    let message = encode(message);
    format!("GET /bayeux?jsonp=f&message={message} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .into_bytes()
}

/// Where the body begins and how long it is.
fn head_and_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let (_, rest) = head.split_once("content-length: ").expect("a length");
    let length = rest.split('\r').next().and_then(|text| text.parse().ok()).expect("a number");
    Some((end, length))
}

/// A session on a socket of its own that has done its first connect.
pub(crate) async fn session(address: SocketAddr) -> (Socket, String) {
    let mut socket = Socket::open(address).await;
    let id = client_id(&socket.post(HANDSHAKE).await);
    let connect = connect(&id);
    socket.post(&connect).await;
    (socket, id)
}

fn client_id(reply: &str) -> String {
    let (_, rest) = reply.split_once("\"clientId\":\"").expect("a clientId");
    rest.split('"').next().expect("its end").to_owned()
}

fn connect(id: &str) -> String {
    format!(
        r#"[{{"channel":"/meta/connect","clientId":"{id}","connectionType":"long-polling","id":"c"}}]"#
    )
}

fn subscribe(id: &str) -> String {
    format!(r#"[{{"channel":"/meta/subscribe","clientId":"{id}","subscription":"/fan","id":"s"}}]"#)
}

/// A reader of `/fan`.
pub(crate) struct Reader {
    socket: Socket,
    way: Way,
}

impl Reader {
    /// Subscribes.
    pub(crate) async fn start(address: SocketAddr, way: Way) -> Self {
        let socket = match way {
            Way::LongPolling | Way::CallbackPolling | Way::EventSource => {
                let (mut socket, id) = session(address).await;
                let reply = socket.post(&subscribe(&id)).await;
                assert!(reply.contains("\"successful\":true"), "{reply}");
                match way {
                    Way::LongPolling => socket.request = post(&connect(&id)),
                    Way::CallbackPolling => socket.request = script(&connect(&id)),
                    _ => {
                        let accept = "Accept: text/event-stream\r\n";
                        socket.get(&format!("/bayeux/{id}"), accept, "200").await;
                    }
                }
                socket
            }
            Way::WebSocket => {
                let mut socket = Socket::open(address).await;
                let key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
                socket.get("/bayeux", key, "101").await;
                socket.send(1, HANDSHAKE.replace("long-polling", "websocket").as_bytes()).await;
                let id = client_id(&socket.frame().await);
                for message in [connect(&id), subscribe(&id)] {
                    socket.send(1, message.as_bytes()).await;
                    let reply = socket.frame().await;
                    assert!(reply.contains("\"successful\":true"), "{reply}");
                }
                socket.send(1, connect(&id).as_bytes()).await;
                socket
            }
            Way::Events | Way::Stream => {
                let mut socket = Socket::open(address).await;
                let path = if way == Way::Events { "/events/fan" } else { "/stream/fan" };
                socket.get(path, "", "200").await;
                socket
            }
        };
        Self { socket, way }
    }

    /// What comes next, as text.
    pub(crate) async fn next(&mut self) -> String {
        match self.way {
            Way::LongPolling | Way::CallbackPolling => {
                let body = self.socket.again().await;
                assert!(body.contains("\"successful\":true"), "{body}");
                body
            }
            Way::WebSocket => self.socket.frame().await,
            Way::EventSource | Way::Events | Way::Stream => self.socket.lines().await,
        }
    }
}
