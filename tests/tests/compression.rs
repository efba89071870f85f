//! gzip of large replies: who gets it, for what, and what it leaves as it was.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use weft_tests::api::{post, publish};
use weft_tests::bayeux::{Client, data, ok};
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Connection, Request, Response};
use weft_tests::jsonp;
use weft_tests::process::processor_time;

/// Some events of a kind that compresses well, more than 1400 bytes together.
const EVENTS: i64 = 40;

fn publish_some(broker: &Broker, channel: &str) {
    for n in 0..EVENTS {
        publish(broker, channel, json!({"order": n, "state": "paid", "note": "as agreed"}));
    }
}

/// Connects with this `Accept-Encoding`; an empty one is none.
fn connect(client: &mut Client<'_>, accept: &str) -> Response {
    let message = client.message("/meta/connect", json!({}));
    let request = client.request(json!([message]).to_string());
    client.exchange(&request.header("Accept-Encoding", accept))
}

fn get(broker: &Broker, path: &str) -> Response {
    broker.exchange(&Request::get(path).header("Accept-Encoding", "gzip"))
}

/// A compressed response as it was before; panics if it is none.
#[track_caller]
fn unpacked(response: &Response) -> Response {
    assert_eq!(response.header("Content-Encoding"), Some("gzip"), "{:?}", response.headers);
    assert!(response.all("Vary").contains(&"Accept-Encoding"), "{:?}", response.headers);
    assert_eq!(response.header("Content-Length"), Some(&*response.body.len().to_string()));
    assert_eq!(response.header("Cache-Control"), Some("no-cache, no-store"));
    let mut body = Vec::new();
    GzDecoder::new(&*response.body).read_to_end(&mut body).expect("gzip");
    assert!(response.body.len() < body.len());
    Response { body, ..response.clone() }
}

/// The body stands as it is, and whether that could be otherwise for others is told.
#[track_caller]
fn plain(response: &Response, varies: bool) {
    assert_eq!(response.header("Content-Encoding"), None);
    assert_eq!(response.all("Vary").contains(&"Accept-Encoding"), varies, "{:?}", response.headers);
    assert!(response.text().is_ascii());
}

#[test]
fn r20_a_large_reply_is_compressed_for_a_client_that_takes_gzip() {
    let broker = Broker::start();
    let accepts =
        ["gzip", "deflate, GZIP;q=0.5, br", "*", "", "br", "gzip;q=0", "gzip;q=0.1, identity"];
    for (index, accept) in accepts.iter().enumerate() {
        let channel = format!("/large/{index}");
        let mut client = Client::subscribed(&broker, channel.clone());
        publish_some(&broker, &channel);
        let response = connect(&mut client, accept);
        let response = if index < 3 {
            let unpacked = unpacked(&response);
            assert!(response.body.len() < unpacked.body.len() / 3, "{}", response.body.len());
            unpacked
        } else {
            plain(&response, true);
            response
        };
        assert_eq!(response.header("Content-Type"), Some("application/json"));
        let events = data(response.messages());
        let orders = events.iter().map(|data| data["order"].as_i64().expect("a number"));
        assert_eq!(orders.collect::<Vec<_>>(), (0..EVENTS).collect::<Vec<_>>());
    }
}

#[test]
fn a_small_reply_is_not() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/small");
    publish(&broker, "/small", "x".repeat(1_200));
    let response = connect(&mut client, "gzip");
    plain(&response, false);
    assert_eq!(data(response.messages()).len(), 1);
}

#[test]
fn nothing_is_where_it_is_switched_off_and_the_least_size_can_be_set() {
    let off = Broker::with("[compression]\nenabled = false\n");
    let low = Broker::with("[compression]\nmin_bytes = \"64B\"\nlevel = 9\n");
    for broker in [&off, &low] {
        let mut client = Client::subscribed(broker, "/a");
        publish_some(broker, "/a");
        let large = connect(&mut client, "gzip");
        publish(broker, "/a", "abc".repeat(100));
        let small = connect(&mut client, "gzip");
        if std::ptr::eq(broker, &off) {
            for response in [large, small, get(broker, "/history/a"), get(broker, "/openapi.json")]
            {
                plain(&response, false);
            }
        } else {
            assert_eq!(data(unpacked(&large).messages()).len(), 40);
            assert_eq!(data(unpacked(&small).messages()), [json!("abc".repeat(100))]);
        }
    }
}

#[test]
fn what_holds_a_client_id_is_not() {
    let broker = Broker::with("[compression]\nmin_bytes = \"64B\"\n");
    let mut client = Client::new(&broker);
    let handshake = client.message(
        "/meta/handshake",
        json!({"version": "1.0", "supportedConnectionTypes": ["long-polling"], "id": "1"}),
    );
    let request = client.request(json!([handshake]).to_string()).header("Accept-Encoding", "gzip");
    let response = client.exchange(&request);
    plain(&response, false);
    let reply = response.messages().remove(0);
    ok(&reply);
    client.client_id = reply["clientId"].as_str().expect("a clientId").to_owned();
    // A refused one holds nothing of the kind.
    let refused = request.body(
        r#"[{"channel":"/meta/handshake","supportedConnectionTypes":["x"],"version":"1.0"}]"#,
    );
    assert_eq!(unpacked(&client.exchange(&refused)).messages()[0]["successful"], false);
    let channel = format!("/{}", "a".repeat(200));
    let subscribe = client.message("/meta/subscribe", json!({"subscription": channel}));
    let request = client.request(json!([subscribe]).to_string()).header("Accept-Encoding", "gzip");
    let found = unpacked(&client.exchange(&request));
    ok(&found.messages()[0]);
    assert!(!found.text().contains(&client.client_id));
}

#[test]
fn r29_r31_scripts_and_streams_are_not() {
    let broker = Broker::start();
    let mut client = Client::subscribed(&broker, "/a");
    publish_some(&broker, "/a");
    let message = client.message("/meta/connect", json!({"connectionType": "callback-polling"}));
    let request = client.script("callback", &[json!([message])]).header("Accept-Encoding", "gzip");
    let response = client.exchange(&request);
    plain(&response, false);
    assert_eq!(data(jsonp::answer(&response).1).len(), 40);

    let lines = "{\"channel\":\"/a\",\"data\":1}\n".repeat(200);
    let stream = Request::post("/publish", lines).header("Content-Type", "application/x-ndjson");
    let response = broker.exchange(&stream.header("Accept-Encoding", "gzip"));
    plain(&response, false);
    assert_eq!(response.text().lines().count(), 200);
}

#[test]
fn whatever_else_is_whole_and_large_is() {
    let broker = Setup::default().env("WEFT_DEMO_ENABLED", "true").start();
    publish_some(&broker, "/a");
    let page = unpacked(&get(&broker, "/history/a")).json();
    assert_eq!(page["messages"].as_array().map(Vec::len), Some(40));
    let described = unpacked(&get(&broker, "/openapi.json")).json();
    assert!(described["openapi"].is_string());
    assert!(unpacked(&get(&broker, "/demo/client/client.js")).text().contains("export"));
    assert!(get(&broker, "/demo/nothing").body.len() < 100);
    let array: Vec<_> = (0..100).map(|n| json!({"channel": "/a", "data": n})).collect();
    let request = Request::post("/publish", Value::from(array).to_string());
    let response = unpacked(&broker.exchange(&request.header("Accept-Encoding", "gzip")));
    assert_eq!(response.json().as_array().map(Vec::len), Some(100));
    let metrics = Request::get("/metrics").header("Accept-Encoding", "gzip");
    let metrics = unpacked(&Connection::open(broker.admin).exchange(&metrics));
    assert!(metrics.text().contains("weft_sessions 0"));
    // Refusals are small, and stay so.
    plain(&get(&broker, "/history/a?since=x"), false);
    assert_eq!(post(&broker, "/a", "", &json!(1)).header("Vary"), None);
}

#[test]
fn a_head_request_is_told_what_a_get_would_be() {
    let broker = Setup::default().env("WEFT_DEMO_ENABLED", "true").start();
    publish_some(&broker, "/a");
    for path in ["/history/a", "/openapi.json", "/demo/"] {
        let full = get(&broker, path);
        let mut connection = broker.connect();
        connection.start(&Request::new("HEAD", path).header("Accept-Encoding", "gzip"));
        let head = connection.read_head().expect("a head");
        for name in ["Content-Length", "Content-Encoding", "Content-Type", "Vary"] {
            assert_eq!(head.header(name), full.header(name), "{name} of {path}");
        }
        // Nothing follows: the next answer begins right here.
        assert_eq!(connection.exchange(&Request::get("/nothing")).status, 404);
    }
}

#[test]
fn r32_a_page_of_another_origin_is_told_both_that_it_varies_by() {
    let broker = Broker::with("origins = [\"https://app.example\"]\n");
    publish_some(&broker, "/a");
    let request = Request::get("/history/a").header("Origin", "https://app.example");
    let response = broker.exchange(&request.header("Accept-Encoding", "gzip"));
    assert_eq!(response.all("Vary"), ["Accept-Encoding", "Origin"]);
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some("https://app.example"));
    unpacked(&response);
}

/// Text that compresses to three quarters, as what is random in Base64 does.
fn base64(bytes: usize, seed: u64) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = seed;
    let digit = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(DIGITS[(state >> 58) as usize])
    };
    std::iter::repeat_with(digit).take(bytes).collect()
}

#[test]
fn p5_what_is_written_is_booked_and_goes_again_if_it_was_not_taken() {
    let broker = Broker::with(
        "[limits]\nbody = \"16MiB\"\nqueue_bytes = \"32MiB\"\n[compression]\nlevel = 2\n",
    );
    let mut client = Client::subscribed(&broker, "/a");
    let large = json!(base64(12 << 20, 7));
    assert_eq!(post(&broker, "/a", "", &large).status, 200);
    let message = client.message("/meta/connect", json!({}));
    let request = client.request(json!([message]).to_string()).header("Accept-Encoding", "gzip");
    // Its reader takes the head and nothing more.
    let mut reader = broker.connect();
    reader.start(&request);
    let head = reader.read_head().expect("a head");
    assert_eq!(head.header("Content-Encoding"), Some("gzip"));
    let length: f64 = head.header("Content-Length").expect("a length").parse().expect("a number");
    assert!(length < (10 << 20) as f64, "{length}");
    assert_eq!(broker.metric("weft_reply_bytes"), length);
    drop(reader);
    broker.wait_metric("weft_reply_bytes", |bytes| bytes == 0.0);
    let again = connect(&mut client, "gzip");
    assert_eq!(data(unpacked(&again).messages()), [large]);
    broker.wait_metric("weft_messages_resent_total", |resent| resent == 1.0);
}

#[test]
fn many_large_replies_take_turns_and_small_ones_pass_them() {
    let broker = Broker::with("[compression]\nlevel = 9\n");
    let mut clients: Vec<_> = (0..24).map(|_| Client::subscribed(&broker, "/a")).collect();
    let mut small = Client::subscribed(&broker, "/small");
    let large = json!(base64(900 << 10, 9));
    assert_eq!(post(&broker, "/a", "", &large).status, 200);
    let mut held: Vec<_> = clients
        .iter_mut()
        .map(|client| {
            let message = client.message("/meta/connect", json!({}));
            let request = client.request(json!([message]).to_string());
            let mut connection = broker.connect();
            connection.start(&request.header("Accept-Encoding", "gzip"));
            connection
        })
        .collect();
    publish(&broker, "/small", 1);
    assert_eq!(data(small.connect()), [json!(1)]);
    for connection in &mut held {
        let response = connection.read().expect("an answer");
        assert!(data(unpacked(&response).messages()) == *std::slice::from_ref(&large));
    }
}

/// What so many events cost the broker from publication to reply, in processor time, and the reply in
/// bytes.
fn cost(broker: &Broker, events: usize, accept: &str, rounds: u32) -> (f64, usize) {
    let channel = format!("/cost/{events}/{}", accept.len());
    let mut client = Client::subscribed(broker, channel.clone());
    let mut bytes = 0;
    let before = processor_time(broker.pid());
    for round in 0..rounds {
        let event = |n: usize| {
            let n = n + events * round as usize;
            let data = json!({"symbol": format!("S{}", n * 7 % 50), "bid": (n * 7_919 % 10_000) as f64 / 100.0,
                "ask": (n * 104_729 % 10_000) as f64 / 100.0, "note": &base64(12, n as u64 + 1)});
            json!({"channel": &channel, "data": data})
        };
        let array: Vec<_> = (0..events).map(event).collect();
        let request = Request::post("/publish", Value::from(array).to_string());
        assert_eq!(broker.exchange(&request).status, 200);
        bytes = connect(&mut client, accept).body.len();
    }
    let spent = (processor_time(broker.pid()) - before).as_secs_f64();
    (spent / f64::from(rounds) * 1e6, bytes)
}

#[test]
#[ignore = "the long form: WEFT_LONG"]
fn what_compression_costs_and_saves() {
    for level in [1, 2, 6] {
        let broker = Broker::with(&format!(
            "[compression]\nlevel = {level}\n[[channels]]\npattern = \"/**\"\ndurability = \"memory\"\n"
        ));
        for (events, rounds) in [(16, 3_000), (100, 2_000), (800, 500)] {
            let (without, plain) = cost(&broker, events, "", rounds);
            let (with, packed) = cost(&broker, events, "gzip", rounds);
            println!(
                "level {level}, {events} events: {plain} bytes, {:.1} µs of CPU an event; gzip {packed} bytes, \
                 {:.1} times less, {:.1} µs",
                without / events as f64,
                plain as f64 / packed as f64,
                with / events as f64,
            );
        }
    }
}
