//! The numbers that operators see: each moves when its cause is provoked, and none is left over
//! that no test moves.

use std::collections::BTreeSet;

use serde_json::json;
use weft_tests::bayeux::{Client, data, ok, only};
use weft_tests::broker::{Broker, Setup};
use weft_tests::held::Held;
use weft_tests::http::{Connection, Request};

/// Every metric that these tests move, or that is moved where its own are.
const NAMES: &[&str] = &[
    "weft_auth_keys_failed_total",
    "weft_auth_total",
    "weft_batch_messages",
    "weft_body_bytes",
    "weft_connections",
    "weft_connections_refused_total",
    "weft_connections_total",
    "weft_connects_abandoned_total",
    "weft_connects_demoted_total",
    "weft_connects_superseded_total",
    "weft_frame_bytes",
    "weft_gaps_told_total",
    "weft_handshakes_total",
    "weft_held_connects",
    "weft_hold_seconds",
    "weft_hook_seconds",
    "weft_hook_total",
    "weft_limited_total",
    "weft_messages_dropped_total",
    "weft_messages_in_total",
    "weft_messages_out_total",
    "weft_messages_replayed_total",
    "weft_messages_resent_total",
    "weft_past_bytes",
    "weft_past_channels",
    "weft_publish_keys",
    "weft_publish_refused_total",
    "weft_publish_repeats_total",
    "weft_queue_bytes",
    "weft_queue_messages",
    "weft_rate_keys_shared_total",
    "weft_replays_total",
    "weft_reply_bytes",
    "weft_responses_total",
    "weft_sessions",
    "weft_sessions_behind",
    "weft_sessions_ended_total",
    "weft_sessions_lapsed_total",
    "weft_sessions_renewed_total",
    "weft_spills_total",
    "weft_store_batch_records",
    "weft_store_bytes",
    "weft_store_channels",
    "weft_store_channels_lost_total",
    "weft_store_disk_bytes",
    "weft_store_ends_lost_total",
    "weft_store_errors_total",
    "weft_store_flush_seconds",
    "weft_store_moved_aside_total",
    "weft_store_outages_total",
    "weft_store_queued_records",
    "weft_store_records",
    "weft_store_up",
    "weft_streams",
    "weft_subscriptions",
    "weft_tls_certificate_expires_seconds",
    "weft_tls_handshakes_failed_total",
    "weft_tls_reloads_total",
    "weft_websockets",
];

fn page(broker: &Broker) -> String {
    broker.admin_get("/metrics").text().to_owned()
}

#[test]
fn r12_r23_the_page_has_each_metric_with_its_type_and_an_explanation() {
    let broker = Broker::start();
    let response = broker.admin_get("/metrics");
    assert_eq!(response.status, 200);
    let kind = response.header("Content-Type");
    assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
    let named = |word: &str| -> BTreeSet<String> {
        let lines = response.text().lines();
        let words = lines.filter_map(|line| line.strip_prefix(word)?.split(' ').next());
        words.map(str::to_owned).collect()
    };
    let expected: BTreeSet<String> = NAMES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(named("# TYPE "), expected);
    assert_eq!(named("# HELP "), expected);
}

#[test]
fn r12_sessions_polls_and_queues_are_counted_as_they_are() {
    // Nothing of the past is kept, so that all frames alive are those that wait.
    let broker = Broker::with("[[channels]]\npattern = \"/**\"\nbacklog = { messages = 0 }\n");
    let expect = |wanted: &[(&str, f64)]| {
        for (name, value) in wanted {
            broker.wait_metric(name, |now| now == *value);
        }
    };
    let sum = [("weft_sessions", 0.0), ("weft_held_connects", 0.0), ("weft_subscriptions", 0.0)];
    expect(&sum);
    let mut one = Client::subscribed(&broker, "/a");
    let mut two = Client::subscribed(&broker, "/a");
    ok(&two.subscribe(json!(["/b/*", "/c/**"])));
    expect(&[("weft_sessions", 2.0), ("weft_handshakes_total", 2.0), ("weft_subscriptions", 4.0)]);
    let mut held = one.held_connect();
    expect(&[("weft_held_connects", 1.0)]);
    ok(&two.publish("/a", "12345"));
    assert_eq!(data(held.answer()), [json!("12345")]);
    let frame = r#"{"channel":"/a","data":"12345"}"#.len() as f64;
    expect(&[
        ("weft_held_connects", 0.0),
        ("weft_messages_in_total", 1.0),
        ("weft_messages_out_total", 1.0),
        // One that waits, and one that lacks proof of receipt; one text in memory for both.
        ("weft_queue_messages", 2.0),
        ("weft_queue_bytes", 2.0 * frame),
    ]);
    // What it costs besides its text is less than another would.
    broker.wait_metric("weft_frame_bytes", |cost| cost > frame && cost < 2.0 * (frame + 136.0));
    assert_eq!(data(two.connect()), [json!("12345")]);
    expect(&[("weft_messages_out_total", 2.0), ("weft_messages_resent_total", 0.0)]);
    // After an ordinary connect this one means that the reply was lost.
    assert_eq!(data(two.connect_with(json!({"advice": {"timeout": 0}}))), [json!("12345")]);
    expect(&[("weft_messages_out_total", 3.0), ("weft_messages_resent_total", 1.0)]);
    ok(&two.disconnect());
    ok(&one.disconnect());
    expect(&sum);
    expect(&[
        ("weft_queue_messages", 0.0),
        ("weft_queue_bytes", 0.0),
        ("weft_frame_bytes", 0.0),
        ("weft_sessions_ended_total{cause=\"disconnected\"}", 2.0),
        ("weft_messages_dropped_total", 0.0),
    ]);
}

#[test]
fn e17_r12_the_ends_of_sessions_and_polls_are_counted_by_cause() {
    let broker = Broker::with(
        "[sessions]\nmax_interval = \"1s\"\n[browsers]\nheld_per_browser = 1\ninterval = \"500ms\"\n",
    );
    let connections = broker.metric("weft_connections_total");
    let mut tab = Client::connected(&broker);
    let mut other = tab.tab();
    let mut first = tab.held_connect();
    let mut second = other.start_connect();
    assert_eq!(only(first.answer())["advice"]["multiple-clients"], true);
    assert_eq!(broker.metric("weft_connects_demoted_total"), 1.0);
    let third = other.held_connect_again(&mut second);
    assert_eq!(broker.metric("weft_connects_superseded_total"), 1.0);
    third.abort();
    broker.wait_metric("weft_connects_abandoned_total", |count| count == 1.0);
    let never = Client::handshaken(&broker);
    assert!(broker.metric("weft_connections") >= 3.0);
    assert!(broker.metric("weft_connections_total") > connections);
    broker.wait_sessions(0);
    assert_eq!(broker.metric("weft_sessions_ended_total{cause=\"expired\"}"), 2.0);
    assert_eq!(broker.metric("weft_sessions_ended_total{cause=\"never_connected\"}"), 1.0);
    drop((tab, other, never, first, second));
    broker.wait_metric("weft_connections", |open| open <= 1.0);
}

/// A newer connect while one is held, which the older one's answer proves.
trait HeldAgain {
    fn held_connect_again(&mut self, older: &mut Held) -> Held;
}

impl HeldAgain for Client<'_> {
    fn held_connect_again(&mut self, older: &mut Held) -> Held {
        self.broker.wait_held(1);
        let newer = self.start_connect();
        ok(&only(older.answer()));
        self.broker.wait_held(1);
        newer
    }
}

#[test]
fn r24_batches_and_drops_are_counted() {
    let broker = Broker::with("[limits]\nqueue_messages = 16\nqueue_policy = \"drop_oldest\"\n");
    let mut reader = Client::subscribed(&broker, "/a");
    let mut publisher = Client::connected(&broker);
    let batch: Vec<_> = (0..20).map(|n| publisher.message("/a", json!({"data": n}))).collect();
    assert_eq!(publisher.send(&json!(batch)).len(), 20);
    assert_eq!(broker.metric("weft_messages_dropped_total"), 4.0);
    let count = broker.metric("weft_batch_messages_count");
    let sum = broker.metric("weft_batch_messages_sum");
    assert_eq!(data(reader.connect()).len(), 16);
    assert_eq!(broker.metric("weft_batch_messages_count"), count + 1.0);
    assert_eq!(broker.metric("weft_batch_messages_sum"), sum + 16.0);
    assert_eq!(broker.metric("weft_batch_messages_bucket{le=\"8\"}"), count);
}

#[test]
fn r2_r16_without_traffic_every_poll_is_held_to_the_timeout() {
    const POLLS: f64 = 24.0;
    let broker = Broker::with("[sessions]\ntimeout = \"2s\"\n");
    let mut clients: Vec<_> = (0..8).map(|_| Client::without_cookies(&broker)).collect();
    for _ in 0..3 {
        let mut polls: Vec<Held> = clients.iter_mut().map(Client::start_connect).collect();
        for poll in &mut polls {
            ok(&only(poll.answer()));
        }
    }
    assert_eq!(broker.metric("weft_hold_seconds_count"), POLLS);
    let below = broker.metric("weft_hold_seconds_bucket{le=\"1\"}");
    assert_eq!(below, 0.0, "{}", page(&broker));
    let sum = broker.metric("weft_hold_seconds_sum");
    assert!((1.9 * POLLS..4.0 * POLLS).contains(&sum), "one peak at two seconds: {sum}");
    assert_eq!(broker.metric("weft_batch_messages_sum"), 0.0);
}

#[test]
fn responses_are_counted_by_class() {
    let broker = Setup::default().env("WEFT_DEMO_ENABLED", "true").start();
    let class = |class: &str| broker.metric(&format!("weft_responses_total{{status=\"{class}\"}}"));
    let before = (class("2xx"), class("3xx"), class("4xx"));
    assert_eq!(broker.exchange(&Request::get("/")).status, 302);
    assert_eq!(broker.exchange(&Request::get("/nothing")).status, 404);
    assert_eq!(broker.exchange(&Request::post("/bayeux", "[]")).status, 400);
    assert_eq!(broker.exchange(&Request::get("/demo/")).status, 200);
    assert_eq!((class("3xx"), class("4xx")), (before.1 + 1.0, before.2 + 2.0));
    assert!(class("2xx") > before.0);
    assert_eq!((class("1xx"), class("5xx")), (0.0, 0.0));
}

#[test]
fn the_admin_address_serves_three_paths_and_reads_only() {
    let broker = Broker::start();
    for path in ["/healthz", "/readyz"] {
        let response = broker.admin_get(path);
        assert_eq!((response.status, response.text().trim()), (200, "ok"));
    }
    for path in ["/", "/bayeux", "/metrics/", "/admin", "/demo/", "/debug/pprof"] {
        assert_eq!(broker.admin_get(path).status, 404, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let request = Request::new(method, "/metrics");
        let response = Connection::open(broker.admin).exchange(&request);
        assert_eq!((response.status, response.header("Allow")), (405, Some("GET, HEAD")));
    }
    let mut connection = Connection::open(broker.admin);
    connection.start(&Request::new("HEAD", "/metrics"));
    assert_eq!(connection.read_head().expect("an answer").status, 200);
}

#[test]
fn p3_what_is_kept_written_and_replayed_is_counted() {
    let broker = Broker::start();
    for n in 0..3 {
        let path = format!("/publish/kept/{n}?durable=1");
        let request = Request::post(&path, "1").header("Idempotency-Key", "k");
        assert_eq!(broker.exchange(&request).status, 200);
    }
    for (name, value) in [
        ("weft_store_records", 3.0),
        ("weft_store_channels", 3.0),
        ("weft_past_channels", 3.0),
        ("weft_publish_keys", 3.0),
        ("weft_store_batch_records_sum", 3.0),
        ("weft_store_batch_records_count", 3.0),
        ("weft_store_flush_seconds_count", 3.0),
        ("weft_store_errors_total", 0.0),
        ("weft_store_outages_total", 0.0),
    ] {
        assert_eq!(broker.metric(name), value, "{name}");
    }
    assert!(broker.metric("weft_store_flush_seconds_sum") > 0.0);
    assert!(broker.metric("weft_store_bytes") > 3.0 * 20.0);
    let mut client = Client::connected(&broker);
    let fields = json!({"subscription": "/kept/*", "ext": {"replay": {"/kept/*": -2}}});
    ok(&client.ask("/meta/subscribe", fields));
    assert_eq!(data(client.connect()), [json!(1), json!(1), json!(1)]);
    assert_eq!(broker.metric("weft_messages_replayed_total"), 3.0);
    assert_eq!(broker.metric("weft_replays_total{result=\"complete\"}"), 3.0);
}
