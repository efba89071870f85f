//! Keys that change while the broker runs, in files and at addresses: P7 holds without a restart.

use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::bayeux::{Client, ok, only};
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Connection, Request};
use weft_tests::kept_file::KeptFile;
use weft_tests::key_server::KeyServer;
use weft_tests::tls::Pair;
use weft_tests::token::{Algorithm, Maker, auth, key_set, token};
use weft_tests::wait::{PATIENCE, until};
use weft_tests::websocket::{Socket, upgrade};

fn config(place: &str) -> String {
    format!(
        "[auth]\nmode = \"token\"\n[[auth.tokens]]\nname = \"i\"\nalgorithms = [\"ES256\"]\n{place}\n\
         [[auth.rules]]\nchannels = \"/**\"\n"
    )
}

/// A client by a token of this maker.
fn client<'b>(broker: &'b Broker, maker: &Maker) -> Client<'b> {
    let mut client = Client::new(broker);
    ok(&client.handshake_with(json!({"ext": {"token": maker.token("me", &[])}})));
    assert_eq!(client.connect().len(), 1);
    client
}

/// What comes of a handshake by a token of this maker: nothing, or an error.
fn error(broker: &Broker, maker: &Maker) -> Option<String> {
    let token = json!({"ext": {"token": maker.token("me", &[])}});
    let reply = Client::new(broker).handshake_with(token);
    reply["error"].as_str().map(str::to_owned)
}

#[test]
fn a_set_at_an_address_is_rotated_without_a_restart() {
    let (old, new) =
        (Maker::new(Algorithm::ES256).named("1"), Maker::new(Algorithm::ES256).named("2"));
    let server = KeyServer::start(&key_set(&[&old]));
    let place = format!("jwks = \"{}\"\nrefresh = \"1s\"", server.url());
    let broker = Broker::with(&config(&place));
    let mut by_old = client(&broker, &old);
    let mut held = by_old.held_connect();

    // Both for a while, as those do who rotate keys: the new one is known with its first token.
    server.serve(&key_set(&[&old, &new]));
    let mut by_new = client(&broker, &new);
    assert_eq!(error(&broker, &old), None);

    // The old one goes, and with it whoever came by it: the held poll is let go.
    server.serve(&key_set(&[&new]));
    let reply = only(held.answer());
    assert_eq!(reply["successful"], false, "{reply}");
    assert_eq!(error(&broker, &old).as_deref(), Some("401::token_invalid"));
    ok(&by_new.publish("/a", 1));
    assert_eq!(broker.metric("weft_sessions"), 1.0);

    // What cannot be had changes nothing, and is told.
    server.answer("500 Oh", b"");
    let failed = "weft_auth_keys_failed_total{from=\"url\"}";
    broker.wait_metric(failed, |count| count >= 2.0);
    assert_eq!(error(&broker, &new), None);
    ok(&by_new.publish("/a", 2));
    until("the log", PATIENCE, || broker.log().contains("the last ones hold").then_some(()));
}

#[test]
fn an_address_that_does_not_answer_does_not_keep_the_broker_from_starting() {
    let maker = Maker::new(Algorithm::ES256).named("1");
    let server = KeyServer::start("");
    server.answer("503 Later", b"");
    let broker = Broker::with(&config(&format!("jwks = \"{}\"", server.url())));
    assert_eq!(error(&broker, &maker).as_deref(), Some("401::token_keys_unavailable"));
    server.serve(&key_set(&[&maker]));
    until("keys", PATIENCE, || error(&broker, &maker).is_none().then_some(()));
}

#[test]
fn an_address_with_tls_must_be_who_it_says() {
    let maker = Maker::new(Algorithm::ES256).named("1");
    let pair = Pair::until(2999);
    let server = KeyServer::start_tls(&key_set(&[&maker]), &pair);
    let url = format!("https://localhost:{}/keys", server.address.port());
    let setup = || Setup::default().toml(&config(&format!("jwks = \"{url}\"")));
    let stranger = setup().start();
    assert_eq!(error(&stranger, &maker).as_deref(), Some("401::token_keys_unavailable"));
    assert_eq!(server.asked(), 0, "not even asked");
    let trusted = KeptFile::new(&pair.cert);
    let broker = setup().env("SSL_CERT_FILE", &trusted.path()).start();
    assert_eq!(error(&broker, &maker), None);
}

#[test]
fn strangers_cannot_have_an_address_asked_again_and_again() {
    let maker = Maker::new(Algorithm::ES256).named("1");
    let server = KeyServer::start(&key_set(&[&maker]));
    let broker = Broker::with(&config(&format!("jwks = \"{}\"", server.url())));
    assert_eq!(error(&broker, &maker), None);
    let asked = server.asked();
    server.delay(Duration::from_millis(100));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (broker, maker) = (&broker, &maker);
            scope.spawn(move || {
                for n in 0..10 {
                    let stranger = Maker::new(Algorithm::ES256).named(&format!("{thread}.{n}"));
                    assert!(error(broker, &stranger).is_some());
                    assert_eq!(error(broker, maker), None);
                }
            });
        }
    });
    assert!(server.asked() <= asked + 1, "{} after {asked}", server.asked());
}

#[test]
fn a_key_file_that_is_replaced_ends_the_sessions_of_the_old_key() {
    let (old, new) = (Maker::new(Algorithm::ES256), Maker::new(Algorithm::ES256));
    let file = KeptFile::new(old.pem());
    let broker = Broker::with(&config(&format!("pem = {:?}", file.path())));
    let mut by_old = client(&broker, &old);
    let mut held = by_old.held_connect();
    file.write("half a file");
    broker.wait_metric("weft_auth_keys_failed_total{from=\"file\"}", |count| count >= 1.0);
    assert_eq!(error(&broker, &old), None, "the last key holds");
    file.write(new.pem());
    let reply = only(held.answer());
    assert_eq!(reply["successful"], false, "{reply}");
    assert!(error(&broker, &old).is_some());
    assert_eq!(error(&broker, &new), None);
}

#[test]
fn an_api_key_that_is_taken_away_publishes_no_more() {
    // The SHA-256 of `abc`, an example of FIPS 180.
    let key = "[[auth.keys]]\nname = \"k\"\nsha256 = \
               \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";
    let rules = "[[auth.rules]]\nchannels = \"/a\"\n";
    let config = |key: &str| format!("{}{key}{rules}", auth(""));
    let broker = Broker::with(&config(key));
    let publish =
        || broker.exchange(&Request::post("/publish/a", "1").header("X-API-Key", "abc")).status;
    assert_eq!(publish(), 200);
    broker.reload(&config(""));
    until("the key is gone", PATIENCE, || (publish() == 401).then_some(()));
    broker.reload(&config(key));
    until("the key is back", PATIENCE, || (publish() == 200).then_some(()));
}

#[test]
fn a_socket_that_was_opened_with_a_token_is_worth_no_more_than_that() {
    let broker = Broker::with(&auth(""));
    let head = upgrade("/bayeux").header("Authorization", &format!("Bearer {}", token("me", &[])));
    let mut socket = Socket::upgraded(broker.listen, &head);
    let hello = json!([{
        "channel": "/meta/handshake", "version": "1.0", "id": "1",
        "supportedConnectionTypes": ["websocket"],
    }]);
    let mut handshake = || -> Value {
        socket.send_text(&hello.to_string());
        let text = socket.next_text();
        serde_json::from_str::<Vec<Value>>(&text).expect("JSON").remove(0)
    };
    assert_eq!(handshake()["successful"], true);
    broker.reload(&auth("denied = [\"me\"]"));
    broker.wait_sessions(0);
    let reply = handshake();
    assert_eq!(reply["error"], "401::token_denied", "what its head said is no good any more");
    assert_eq!(broker.metric("weft_sessions"), 0.0);
}

#[test]
fn who_is_denied_while_a_body_is_under_way_publishes_nothing() {
    let config = |more: &str| format!("{}[[auth.rules]]\nchannels = \"/a\"\n", auth(more));
    let broker = Broker::with(&config(""));
    let mut slow = broker.connect();
    let bearer = token("me", &[]);
    let head = format!(
        "POST /publish/a HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Length: 1\r\n\r\n",
        broker.listen
    );
    slow.send(head.as_bytes());
    broker.wait_metric("weft_auth_total{result=\"ok\"}", |count| count == 1.0);
    broker.reload(&config("denied = [\"me\"]"));
    until("the reload", PATIENCE, || broker.log().contains("reloaded").then_some(()));
    slow.send(b"1");
    assert_eq!(slow.read().expect("an answer").status, 401);
    assert_eq!(broker.metric("weft_messages_in_total"), 0.0);
}

#[test]
fn lines_that_go_on_are_refused_from_then_on() {
    let config = |more: &str| format!("{}[[auth.rules]]\nchannels = \"/a\"\n", auth(more));
    let broker = Broker::with(&config(""));
    let mut lines = broker.connect();
    let bearer = token("me", &[]);
    let head = format!(
        "POST /publish HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {bearer}\r\n\
         Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n",
        broker.listen
    );
    let line = "{\"channel\":\"/a\",\"data\":1}\n";
    let chunk = format!("{:x}\r\n{line}\r\n", line.len());
    lines.send(head.as_bytes());
    lines.send(chunk.as_bytes());
    assert_eq!(lines.read_head().expect("an answer").status, 200);
    let answer = |lines: &mut Connection| {
        let chunk = lines.read_chunk().expect("a chunk").expect("an answer");
        String::from_utf8(chunk).expect("text")
    };
    assert!(answer(&mut lines).contains("\"position\""));
    broker.reload(&config("denied = [\"me\"]"));
    until("the reload", PATIENCE, || broker.log().contains("reloaded").then_some(()));
    lines.send(chunk.as_bytes());
    let refusal = answer(&mut lines);
    assert!(refusal.contains("401::"), "{refusal}");
    assert_eq!(broker.metric("weft_messages_in_total"), 1.0);
}
