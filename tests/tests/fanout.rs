//! Many sessions, many messages, over long-polling: nothing is lost, repeated or out of order.
//!
//! The generator is one thread with a small parser of its own, so that what is measured is the
//! broker. The long form prints what a delivered message costs the broker in processor time, and
//! what a held poll costs it in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft_tests::broker::Broker;
use weft_tests::process::{memory, processor_time, raise_file_limit};
use weft_tests::siege::HANDSHAKE;

/// How much of what.
#[derive(Debug, Clone, Copy)]
struct Load {
    sessions: usize,
    messages: u64,
    per_second: u32,
}

/// What all readers together saw.
#[derive(Debug, Default)]
struct Seen {
    delivered: AtomicU64,
    responses: AtomicU64,
    waiting: AtomicUsize,
    finished: AtomicUsize,
}

/// A socket and what was read from it.
struct Socket {
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
    async fn post(&mut self, body: &str) -> String {
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
        let body = String::from_utf8(self.buffer[head..head + length].to_vec()).expect("UTF-8");
        self.buffer.drain(..head + length);
        body
    }

    async fn fill(&mut self) {
        let count = self.stream.read_buf(&mut self.buffer).await.expect("an open socket");
        assert!(count > 0, "closed by the broker");
    }
}

fn post(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("POST /bayeux HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
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
async fn session(address: SocketAddr) -> (Socket, String) {
    let mut socket = Socket::open(address).await;
    let reply = socket.post(HANDSHAKE).await;
    let (_, rest) = reply.split_once("\"clientId\":\"").expect("a clientId");
    let id = rest.split('"').next().expect("its end").to_owned();
    let connect = connect(&id);
    socket.post(&connect).await;
    (socket, id)
}

fn connect(id: &str) -> String {
    format!(
        r#"[{{"channel":"/meta/connect","clientId":"{id}","connectionType":"long-polling","id":"c"}}]"#
    )
}

/// Subscribes and polls until the last message is there; each must be the one after the last.
async fn read(address: SocketAddr, load: Load, seen: Arc<Seen>) {
    let (mut socket, id) = session(address).await;
    let subscribe = format!(
        r#"[{{"channel":"/meta/subscribe","clientId":"{id}","subscription":"/fan","id":"s"}}]"#
    );
    let reply = socket.post(&subscribe).await;
    assert!(reply.contains("\"successful\":true"), "{reply}");
    socket.request = post(&connect(&id));
    seen.waiting.fetch_add(1, Ordering::Relaxed);
    let mut next = 0;
    while next < load.messages {
        let body = socket.again().await;
        assert!(body.contains("\"successful\":true"), "{body}");
        for number in body.split("\"data\":{\"n\":").skip(1) {
            let number = number.split(',').next().and_then(|number| number.parse::<u64>().ok());
            assert_eq!(number, Some(next), "lost, repeated or out of order: {body}");
            next += 1;
        }
        seen.responses.fetch_add(1, Ordering::Relaxed);
    }
    seen.delivered.fetch_add(next, Ordering::Relaxed);
    seen.finished.fetch_add(1, Ordering::Relaxed);
}

/// Publishes at the rate, not waiting for anybody.
async fn publish(address: SocketAddr, load: Load) {
    let (mut socket, id) = session(address).await;
    let mut clock = tokio::time::interval(Duration::from_secs(1) / load.per_second);
    let padding = "x".repeat(80);
    for n in 0..load.messages {
        clock.tick().await;
        let message = format!(
            r#"[{{"channel":"/fan","clientId":"{id}","data":{{"n":{n},"p":"{padding}"}}}}]"#
        );
        let reply = socket.post(&message).await;
        assert!(reply.contains("\"successful\":true"), "{reply}");
    }
}

/// What a run came to.
struct Report {
    microseconds_per_message: f64,
    bytes_per_poll: f64,
    messages_per_response: f64,
    seconds: f64,
}

fn run(load: Load, patience: Duration) -> Report {
    raise_file_limit();
    let broker = Broker::start();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let idle = {
        // One session first, so that what the first of all costs is not put on the polls.
        let one = Load { sessions: 1, messages: 1, per_second: 1_000 };
        runtime.block_on(drive(&broker, one, patience));
        memory(broker.pid())
    };
    let started = weft_tests::wait::now();
    let (report, held, cpu) = runtime.block_on(drive(&broker, load, patience));
    let delivered = report.delivered.load(Ordering::Relaxed);
    assert_eq!(delivered, load.messages * load.sessions as u64);
    Report {
        microseconds_per_message: cpu.as_secs_f64() * 1e6 / delivered as f64,
        bytes_per_poll: held.saturating_sub(idle) as f64 / load.sessions as f64,
        messages_per_response: delivered as f64 / report.responses.load(Ordering::Relaxed) as f64,
        seconds: started.elapsed().as_secs_f64(),
    }
}

/// All readers, then the publisher; the memory with all polls held, and the processor time after it.
async fn drive(broker: &Broker, load: Load, patience: Duration) -> (Arc<Seen>, u64, Duration) {
    let seen = Arc::new(Seen::default());
    let address = broker.listen;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..load.sessions {
        readers.spawn(read(address, load, Arc::clone(&seen)));
    }
    let deadline = tokio::time::sleep(patience);
    tokio::pin!(deadline);
    let all_wait = async {
        while seen.waiting.load(Ordering::Relaxed) < load.sessions
            || broker.metric("weft_held_connects") < load.sessions as f64
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = all_wait => {}
        () = &mut deadline => panic!("not all readers got there: {seen:?}"),
    }
    let (held, before) = (memory(broker.pid()), processor_time(broker.pid()));
    let work = async {
        publish(address, load).await;
        while let Some(read) = readers.join_next().await {
            read.expect("a reader that saw every message once and in order");
        }
    };
    tokio::select! {
        () = work => {}
        () = &mut deadline => panic!("not all messages arrived: {seen:?}"),
    }
    (seen, held, processor_time(broker.pid()) - before)
}

fn show(load: Load, report: &Report) {
    println!(
        "{load:?}: {:.1} s, {:.1} us of the broker's processor time a delivered message \
         ({:.2} messages a response), {:.0} bytes a held poll",
        report.seconds,
        report.microseconds_per_message,
        report.messages_per_response,
        report.bytes_per_poll
    );
}

#[test]
fn f5_l11_r24_every_message_reaches_every_session_once_and_in_order() {
    let load = Load { sessions: 100, messages: 30, per_second: 10 };
    let report = run(load, Duration::from_secs(60));
    show(load, &report);
    assert!(report.bytes_per_poll < 64_000.0, "{}", report.bytes_per_poll);
}

#[test]
#[ignore = "long form: a minute and more"]
fn f5_l11_r24_every_message_reaches_a_thousand_sessions_for_a_minute() {
    let load = Load { sessions: 1_000, messages: 1_200, per_second: 20 };
    let report = run(load, Duration::from_secs(600));
    show(load, &report);
    assert!(report.bytes_per_poll < 64_000.0, "{}", report.bytes_per_poll);
}
