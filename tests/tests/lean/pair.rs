//! Two brokers that get the same bytes, and what each made of them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use weft_tests::bayeux::Client;
use weft_tests::broker::{Broker, Setup};
use weft_tests::wait::{A_WHILE, PATIENCE, now};

use crate::texts::LAST_POST;

/// One with the lean path, and one without.
pub(crate) struct Pair {
    pub(crate) lean: Broker,
    pub(crate) plain: Broker,
}

/// What is counted of all that a broker was asked.
const COUNTED: [&str; 7] = [
    "weft_messages_in_total",
    "weft_handshakes_total",
    "weft_sessions",
    "weft_subscriptions",
    "weft_responses_total{status=\"2xx\"}",
    "weft_responses_total{status=\"4xx\"}",
    "weft_responses_total{status=\"5xx\"}",
];

impl Pair {
    /// Both with this configuration: keys of `[http]`, and further sections.
    pub(crate) fn start(http: &str) -> Self {
        let start = |lean: bool| {
            // The preface of HTTP/2 is looked for before anything is read, which is not what is compared.
            let toml = format!("[http]\nhttp2 = false\n{http}");
            Setup::default().toml(&toml).env("WEFT_HTTP_LEAN", &lean.to_string()).start()
        };
        Self { lean: start(true), plain: start(false) }
    }

    pub(crate) fn both(&self) -> [&Broker; 2] {
        [&self.lean, &self.plain]
    }

    /// Sends the same bytes, in which `CLIENT` stands for a session, and reads to the end of both
    /// connections. What both made of them.
    ///
    /// # Errors
    /// When it is not the same.
    pub(crate) fn answers(&self, sessions: &Sessions, bytes: &[u8]) -> Result<Vec<Answer>, String> {
        let mut sockets: Vec<TcpStream> = Vec::new();
        for (broker, id) in self.both().iter().zip(&sessions.0) {
            let mut socket = dial(broker.listen);
            // It may have heard enough before all of it is sent.
            let _ = socket.write_all(&spelled(bytes, id));
            sockets.push(socket);
        }
        let [lean, plain] = [0, 1].map(|at| Answer::all(&read_to_end(&mut sockets[at])));
        if Answer::are_alike(&lean, &plain) {
            return Ok(lean);
        }
        let sent = String::from_utf8_lossy(bytes);
        Err(format!("sent: {sent:.600?}\nlean:  {lean:?}\nplain: {plain:?}"))
    }

    /// What both have done so far.
    ///
    /// # Errors
    /// When it is not the same.
    pub(crate) fn done(&self) -> Result<(), String> {
        // One look at each: looks are counted, too.
        let counted = |broker: &Broker| {
            let page = broker.admin_get("/metrics");
            let counted = page.text().lines().filter(|line| {
                line.rsplit_once(' ').is_some_and(|(name, _)| COUNTED.contains(&name))
            });
            counted.map(str::to_owned).collect::<Vec<_>>()
        };
        let both = || self.both().map(counted);
        // A response is counted a little before or after it is sent.
        let start = now();
        let mut seen = both();
        while seen[0] != seen[1] && start.elapsed() < A_WHILE * 4 {
            seen = both();
        }
        let [lean, plain] = &seen;
        assert_eq!(lean.len(), COUNTED.len());
        assert!(lean.iter().all(|line| !line.contains("5xx") || line.ends_with(" 0")), "{lean:?}");
        for broker in self.both() {
            assert!(broker.is_alive() && !broker.log().contains("panicked"), "{}", broker.log());
        }
        if lean == plain { Ok(()) } else { Err(format!("lean:  {lean:?}\nplain: {plain:?}")) }
    }
}

/// A session on each of the two.
pub(crate) struct Sessions(pub(crate) [String; 2]);

impl Sessions {
    /// Fresh ones, whose first connect is done.
    pub(crate) fn begin(pair: &Pair) -> Self {
        Self(pair.both().map(|broker| Client::without_cookies(broker).client_id))
    }
}

/// The bytes with this session's id.
pub(crate) fn spelled(bytes: &[u8], id: &str) -> Vec<u8> {
    let mut spelled = Vec::new();
    let mut rest = bytes;
    while let Some(at) = find(rest, CLIENT) {
        spelled.extend_from_slice(&rest[..at]);
        spelled.extend_from_slice(id.as_bytes());
        rest = &rest[at + CLIENT.len()..];
    }
    [spelled.as_slice(), rest].concat()
}

/// What stands for the session's id: as long as one is.
pub(crate) const CLIENT: &[u8] = b"CLIENTCLIENTCLIENTCLIENTCLIENTID";

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

/// A socket whose writes go out one by one.
pub(crate) fn dial(to: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect_timeout(&to, PATIENCE).expect("a connection");
    socket.set_nodelay(true).expect("TCP_NODELAY");
    socket.set_read_timeout(Some(PATIENCE)).expect("a read timeout");
    socket
}

/// All that comes until the other side closes, in whatever way.
pub(crate) fn read_to_end(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    if let Err(error) = socket.read_to_end(&mut all) {
        let open = weft_tests::http::is_timeout(&error);
        assert!(!open, "still open after {}", String::from_utf8_lossy(&all));
    }
    all
}

/// Closes our side.
pub(crate) fn half_close(socket: &TcpStream) {
    // Whoever was cut already has nothing to close.
    let _ = socket.shutdown(Shutdown::Write);
}

/// Waits until the broker has read what was sent to it: it takes its connections in the order in which they
/// come and have something to say, so whoever is answered after all of them came last. Should one of
/// its threads fall behind another all the same, less is shown, and nothing wrong.
pub(crate) fn wait_until_read(broker: &Broker) {
    for _ in 0..2 {
        let mut last = dial(broker.listen);
        last.write_all(LAST_POST.as_bytes()).expect("a socket that takes bytes");
        assert_eq!(statuses(&Answer::all(&read_to_end(&mut last))), [400]);
    }
}

/// One response: its status, its headers in no order, and its body; ids and dates are crossed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

impl Answer {
    /// All responses of a connection. What is no whole response at its end stands there as a body
    /// without a status. Leave to send a body is left out.
    pub(crate) fn all(bytes: &[u8]) -> Vec<Self> {
        let mut bytes = bytes.to_vec();
        for (before, after) in [
            (&b"\"clientId\":\""[..], &b"\""[..]),
            (b"\r\ndate: ", b"\r\n"),
            (b"\r\nset-cookie: ", b"\r\n"),
            (b"\"position\":", b"}"),
            (b"\"timestamp\":", b"}"),
            // When to come back is random: 0, or of four digits.
            (b"\"interval\":", b","),
        ] {
            cross_out(&mut bytes, before, after);
        }
        let (mut answers, mut rest) = (Vec::new(), &bytes[..]);
        while !rest.is_empty() {
            let (answer, length) = Self::first(rest).unwrap_or_else(|| {
                let body = String::from_utf8_lossy(rest).into_owned();
                (Self { status: 0, headers: Vec::new(), body }, rest.len())
            });
            rest = &rest[length..];
            if answer.status != 100 {
                answers.push(answer);
            }
        }
        answers
    }

    fn first(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = find(bytes, b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers: Vec<String> = lines.map(str::to_owned).collect();
        headers.sort();
        let told = |name: &str| headers.iter().find_map(|line| line.strip_prefix(name));
        let length = match told("content-length: ") {
            Some(length) => length.parse().ok()?,
            None if matches!(status, 100 | 204 | 304) => 0,
            // A stream, or whatever else ends with the connection.
            None => bytes.len() - end,
        };
        let body = bytes.get(end..end + length)?;
        let body = String::from_utf8_lossy(body).into_owned();
        Some((Self { status, headers, body }, end + length))
    }

    /// Whether both paths have answered the same. The lean path always says so if it closes behind an
    /// answer.
    pub(crate) fn are_alike(lean: &[Self], plain: &[Self]) -> bool {
        let mut lean = lean.to_vec();
        if let (Some(lean), Some(plain)) = (lean.last_mut(), plain.last())
            && !plain.closes()
        {
            lean.headers.retain(|line| line != CLOSE);
        }
        lean == plain
    }

    /// The answer without what depends on the clientId that stands in the place of JSON, of which each
    /// broker has its own: whether it begins a number, and what of it cannot be read.
    pub(crate) fn without_what_ids_spell(mut self) -> Self {
        let texts = ["not JSON at ", "not a message or "];
        if self.status == 400 && texts.iter().any(|text| self.body.starts_with(text)) {
            self.body = "unreadable".to_owned();
            self.headers.retain(|line| !line.starts_with("content-length:"));
        }
        self
    }

    fn closes(&self) -> bool {
        self.headers.iter().any(|line| line == CLOSE)
    }
}

const CLOSE: &str = "connection: close";

/// Crosses out whatever stands between the two, keeping its length.
fn cross_out(bytes: &mut [u8], before: &[u8], after: &[u8]) {
    let mut from = 0;
    while let Some(at) = find(&bytes[from..], before) {
        from += at + before.len();
        let length = find(&bytes[from..], after).unwrap_or(bytes.len() - from);
        bytes[from..from + length].fill(b'x');
        from += length;
    }
}

pub(crate) fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}
