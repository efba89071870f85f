//! `weft bench` against the real broker, in short, and against a server that makes mistakes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;
use weft_tests::broker::{Broker, binary};

/// All ways to listen to weft.
const PROTOCOLS: [&str; 4] = ["long-polling", "websocket", "sse", "ndjson"];

fn bench(to: SocketAddr, arguments: &str) -> Output {
    let mut command = Command::new(binary());
    command.arg("bench").args(arguments.split(' ')).args(["--json", "-", "--settle", "0.1"]);
    command.args(["--url", &format!("http://{to}/bayeux")]).output().expect("weft bench")
}

/// Runs it to its end; its figures.
fn figures(to: SocketAddr, arguments: &str) -> Value {
    let output = bench(to, arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments}: {error}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn number(figures: &Value, path: &str) -> f64 {
    let value = figures.pointer(path).and_then(Value::as_f64);
    value.unwrap_or_else(|| panic!("{path} of {figures:#}"))
}

/// Runs it for each protocol, and checks what must be so whatever was done.
fn each_protocol(arguments: &str, check: impl Fn(&str, &Value)) {
    for protocol in PROTOCOLS {
        // A new one: what it has freed before it would use again, and not grow.
        let broker = Broker::start();
        let pid = broker.pid();
        let arguments = format!("{arguments} --protocol {protocol} --server-pid {pid}");
        let figures = figures(broker.listen, &arguments);
        for mistake in ["/lost", "/repeated", "/reordered", "/foreign"] {
            assert_eq!(number(&figures, mistake), 0.0, "{arguments}: {mistake}");
        }
        assert_eq!(number(&figures, "/received"), number(&figures, "/expected"), "{arguments}");
        assert_eq!(figures["errors"], serde_json::json!({}), "{arguments}");
        assert!(number(&figures, "/server/cpu_seconds") > 0.0, "{arguments}");
        assert!(number(&figures, "/generator/core_share") > 0.0, "{arguments}");
        check(protocol, &figures);
        // All have said goodbye; streams end by themselves.
        broker.wait_sessions(0);
    }
}

/// Times in their order, and within what a test may take.
fn sane_latency(figures: &Value) {
    let of = |name: &str| number(figures, &format!("/latency_ms/{name}"));
    let all = ["p50", "p90", "p99", "p999", "max"].map(of);
    assert!(all.is_sorted() && all[0] > 0.0 && all[4] < 10_000.0, "{all:?}");
}

#[test]
fn a_fan_out_by_every_protocol() {
    each_protocol("fanout --subscribers 20 --rate 40 --seconds 0.5", |protocol, figures| {
        assert_eq!(number(figures, "/published"), 20.0, "{protocol}");
        assert_eq!(number(figures, "/received"), 400.0, "{protocol}");
        assert!(number(figures, "/server/cpu_us_per_message") > 0.0, "{protocol}");
        assert!(number(figures, "/messages_per_response") >= 1.0, "{protocol}");
        assert!(number(figures, "/wire_bytes_per_message") > 100.0, "{protocol}");
        assert!(number(figures, "/rate_achieved") > 1.0, "{protocol}");
        sane_latency(figures);
    });
}

#[test]
fn rooms_by_every_protocol() {
    let rooms = "rooms --clients 20 --rooms 8 --rooms-per-client 3 --rate 60 --seconds 0.5";
    each_protocol(rooms, |protocol, figures| {
        assert_eq!(number(figures, "/published"), 30.0, "{protocol}");
        // Three of eight rooms each, on the average.
        let received = number(figures, "/received");
        assert!((50.0..550.0).contains(&received), "{protocol}: {received}");
        sane_latency(figures);
    });
}

#[test]
fn idle_sessions_of_every_protocol() {
    each_protocol("idle --clients 50 --hold 0.3", |protocol, figures| {
        assert_eq!(number(figures, "/received"), 50.0, "{protocol}");
        assert!(number(figures, "/server/per_session_bytes") > 0.0, "{protocol}");
        assert!(number(figures, "/server/cpu_us_per_session") > 0.0, "{protocol}");
        assert!(number(figures, "/idle/set_up_per_second") > 0.0, "{protocol}");
        assert!(number(figures, "/idle/broadcast_ms") > 0.0, "{protocol}");
        assert!(number(figures, "/idle/idle_cpu_percent") >= 0.0, "{protocol}");
    });
}

#[test]
fn publishers_as_fast_as_they_can_by_every_protocol() {
    for way in ["http", "bayeux"] {
        let publish =
            format!("publish --publish {way} --publishers 2 --subscribers 2 --seconds 0.3");
        each_protocol(&publish, |protocol, figures| {
            let accepted = number(figures, "/publish/accepted");
            assert!(accepted > 20.0, "{protocol}: {accepted}");
            assert_eq!(number(figures, "/published"), accepted, "{protocol}");
            assert!(number(figures, "/publish/cpu_us_per_publish") > 0.0, "{protocol}");
            assert!(number(figures, "/ack_ms/p50") > 0.0, "{protocol}");
        });
    }
}

#[test]
fn a_sweep_by_every_protocol_says_how_far_it_came() {
    // No server answers within a microsecond.
    let sweep = "sweep --subscribers 10 --from 40 --seconds 0.2 --limit-ms 0.001";
    each_protocol(sweep, |protocol, figures| {
        assert_eq!(number(figures, "/sweep/highest_rate"), 0.0, "{protocol}");
        // Down from the first to the last it tries, and told in the order of their rates.
        let steps = figures["sweep"]["steps"].as_array().expect("steps");
        assert_eq!(steps.len(), 9, "{protocol}");
        assert_eq!(number(&steps[8], "/rate_intended"), 40.0, "{protocol}");
        assert!(number(&steps[0], "/rate_intended") < 40.0, "{protocol}");
        assert_eq!(figures["kept_up"], false, "{protocol}");
    });
    let broker = Broker::start();
    let sweep = "sweep --work rooms --clients 10 --rooms 4 --rooms-per-client 2 --from 20 \
                 --factor 30 --seconds 0.2 --limit-ms 2000 --protocol websocket --drain 0.3";
    let figures = figures(broker.listen, sweep);
    let steps = figures["sweep"]["steps"].as_array().expect("steps");
    assert!(steps.len() >= 2 && steps[0]["kept_up"] == true, "{figures:#}");
    assert!(number(&figures, "/sweep/peak_deliveries_per_second") > 0.0);
    assert_eq!(figures["server"], Value::Null, "no process was named");
}

#[test]
fn what_is_to_go_by_a_connection_that_was_closed_goes_by_the_next() {
    // Most publishers have nothing to say for so long.
    let broker = Broker::with("[http]\nhead_timeout = \"200ms\"\n");
    let idle = "fanout --subscribers 1 --publishers 20 --rate 20 --seconds 2 --protocol websocket \
                --publish http";
    let figures = figures(broker.listen, idle);
    assert!(number(&figures, "/errors/connection_lost") > 0.0, "{figures:#}");
    assert_eq!(number(&figures, "/expected"), 40.0);
    // One may have left when its connection was being closed.
    let unanswered = figures.pointer("/errors/publish_unanswered").and_then(Value::as_f64);
    assert!(number(&figures, "/lost") <= unanswered.unwrap_or(0.0), "{figures:#}");
}

#[test]
fn a_server_that_dies_meanwhile_is_accounted_for_whatever_way_messages_go() {
    for protocol in PROTOCOLS {
        let broker = Broker::start();
        let arguments = format!(
            "fanout --subscribers 5 --rate 50 --seconds 2 --drain 0.1 --protocol {protocol} \
             --server-pid {}",
            broker.pid()
        );
        let figures = std::thread::scope(|scope| {
            let run = scope.spawn(|| figures(broker.listen, &arguments));
            broker.wait_metric("weft_messages_in_total", |count| count >= 20.0);
            broker.kill();
            run.join().expect("figures")
        });
        let (accepted, lost) = (number(&figures, "/rate_achieved"), number(&figures, "/lost"));
        assert!(accepted < 45.0 && lost > 0.0, "{protocol}: {figures:#}");
        assert_eq!(number(&figures, "/published"), 100.0, "{protocol}: nobody was told no");
        assert!(figures["server"].is_null() && figures["kept_up"] == false, "{protocol}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    for (arguments, said) in [
        ("fanout --rate nan", "--rate"),
        ("fanout --rate inf", "--rate"),
        ("fanout --seconds 0", "--seconds"),
        ("fanout --drain=-1", "--drain"),
        ("sweep --factor nan", "--factor"),
        ("rooms --rooms 2 --rooms-per-client 3", "--rooms-per-client"),
    ] {
        let output = bench(nobody, arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{arguments}: {error}");
    }
}

#[test]
fn the_table_is_for_people() {
    let broker = Broker::start();
    let output = Command::new(binary())
        .args(["bench", "fanout", "--subscribers", "3", "--seconds", "0.2", "--settle", "0"])
        .args(["--protocol", "websocket", "--url", &format!("ws://{}/cometd", broker.listen)])
        .output()
        .expect("weft bench");
    let text = String::from_utf8_lossy(&output.stdout);
    for line in ["account                0 lost, 0 repeated, 0 reordered", "kept up", " ms ", "###"]
    {
        assert!(text.contains(line), "{line:?} in\n{text}");
    }
}

#[test]
fn whoever_is_not_there_or_says_no_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it");
    let keys = format!(
        "[auth]\nmode = \"token\"\n[[auth.keys]]\nname = \"k\"\nsha256 = \"{}\"\n",
        "0".repeat(64)
    );
    let keys = Broker::with(&keys);
    for (to, text) in [(nobody, "refused"), (keys.listen, "401::token_missing")] {
        let output = bench(to, "fanout --subscribers 1");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(text), "{error}");
    }
}

/// Event streams by a server that loses one message, repeats another and exchanges two.
struct Careless {
    streams: Mutex<Vec<TcpStream>>,
    published: Mutex<Vec<String>>,
}

impl Careless {
    /// Starts it; where it listens.
    fn start() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let server =
            Arc::new(Self { streams: Mutex::new(Vec::new()), published: Mutex::new(Vec::new()) });
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.serve(stream));
            }
        });
        address
    }

    fn serve(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().expect("the same socket"));
        loop {
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let start = head.len();
                if !matches!(reader.read_line(&mut head), Ok(1..)) {
                    return;
                }
                let value = head[start..].strip_prefix("Content-Length: ");
                length = value.map_or(length, |value| value.trim().parse().expect("a length"));
            }
            if head.starts_with("GET ") {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                stream.write_all(head.as_bytes()).expect("a reader");
                return self.streams.lock().push(stream);
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).expect("a body");
            self.publish(String::from_utf8(body).expect("text"), &mut stream);
        }
    }

    fn publish(&self, body: String, publisher: &mut TcpStream) {
        let mut published = self.published.lock();
        published.push(body);
        let number = published.len();
        let (status, sent): (u16, &[usize]) = match number {
            3 | 7 => (200, &[]),
            5 => (200, &[5, 5]),
            8 => (200, &[8, 7]),
            9 => (503, &[]),
            _ => (200, &[number]),
        };
        for &which in sent {
            let event = format!("data: {}\n\n", published[which - 1]);
            let chunk = format!("{:x}\r\n{event}\r\n", event.len());
            for stream in self.streams.lock().iter_mut() {
                stream.write_all(chunk.as_bytes()).expect("a reader");
            }
        }
        let answer = format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n");
        publisher.write_all(answer.as_bytes()).expect("a publisher");
    }
}

#[test]
fn what_a_careless_server_does_is_noticed_to_the_message() {
    let arguments = "fanout --protocol sse --subscribers 3 --publishers 1 --rate 50 \
                     --seconds 0.2 --drain 0.3";
    let figures = figures(Careless::start(), arguments);
    let counts = ["published", "expected", "received", "lost", "repeated", "reordered"]
        .map(|name| number(&figures, &format!("/{name}")));
    // Ten were sent, one was refused; each of three subscribers had eight of nine, and one twice.
    assert_eq!(counts, [9.0, 27.0, 27.0, 3.0, 3.0, 3.0]);
    assert_eq!(figures["kept_up"], false);
    assert_eq!(figures["errors"], serde_json::json!({"publish_refused": 1}));
}
