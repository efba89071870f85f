//! TLS on the address that clients connect to (docs/tls.md): who is let in, by which protocol, and
//! how the certificate changes under way.

use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::json;
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion, RootCertStore, version};
use weft_tests::bayeux::{Client, data, ok};
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Connection, Cut, Request};
use weft_tests::tls::{Files, Pair, client, hello, tunnel};
use weft_tests::wait::{PATIENCE, until};
use weft_tests::websocket::Socket;

/// A client that speaks HTTP/1.1 over TLS.
fn over_tls<'b>(broker: &'b Broker, pair: &Pair) -> Client<'b> {
    let mut client = Client::new(broker);
    client.address = tunnel(broker.listen, weft_tests::tls::client(&[pair], &["http/1.1"]));
    ok(&client.handshake());
    assert_eq!(client.connect().len(), 1);
    client
}

#[test]
fn both_protocols_are_agreed_on_in_tls_and_old_clients_need_none() {
    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    let broker = files.setup("").start();
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let hello = hello(broker.listen, &client(&[&pair], offered)).expect("a handshake");
        assert_eq!(hello.protocol.as_deref(), agreed, "{offered:?}");
        assert_eq!(hello.version, Some(ProtocolVersion::TLSv1_3));
        assert_eq!(hello.certificate.as_ref(), Some(&pair.der));
    }
    assert!(hello(broker.listen, &client(&[&pair], &["spdy/3"])).is_err(), "none in common");
    let broker = files.setup("[http]\nhttp2 = false\n").start();
    let hello = hello(broker.listen, &client(&[&pair], &["h2", "http/1.1"])).expect("a handshake");
    assert_eq!(hello.protocol.as_deref(), Some("http/1.1"));
}

#[test]
fn tls_1_2_is_spoken_and_nothing_older() {
    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    let broker = files.setup("").start();
    let mut roots = RootCertStore::empty();
    roots.add(pair.der.clone()).unwrap();
    let older = ClientConfig::builder_with_protocol_versions(&[&version::TLS12]);
    let older = older.with_root_certificates(roots).with_no_client_auth();
    let hello = hello(broker.listen, &older.into()).expect("a handshake");
    assert_eq!(hello.version, Some(ProtocolVersion::TLSv1_2));
    // A ClientHello of TLS 1.1, with ciphers of its time, and what it signs by.
    let ciphers = [0, 4, 0xc0, 0x13, 0, 0x2f];
    let extensions = [0, 8, 0, 13, 0, 4, 0, 2, 4, 3];
    let body = [&[3, 2][..], &[7; 32], &[0], &ciphers, &[1, 0], &extensions].concat();
    let length = u16::try_from(body.len()).unwrap();
    let message = [&[1, 0][..], &length.to_be_bytes(), &body].concat();
    let length = u16::try_from(message.len()).unwrap();
    let record = [&[22, 3, 1][..], &length.to_be_bytes(), &message].concat();
    let mut connection = broker.connect();
    connection.send(&record);
    let alert = connection.take(7).expect("an alert");
    assert_eq!((alert[0], alert[5], alert[6]), (21, 2, 70), "protocol_version: {alert:?}");
    broker.wait_metric("weft_tls_handshakes_failed_total", |failed| failed == 1.0);
}

#[test]
fn sessions_polls_and_sockets_work_over_tls() {
    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    let broker = files.setup("").start();
    let mut client = over_tls(&broker, &pair);
    ok(&client.subscribe("/a"));
    let mut held = client.held_connect();
    let text = "x".repeat(300_000);
    ok(&client.publish("/a", text.as_str()));
    assert_eq!(data(held.answer()), [json!(text)]);
    let held = client.held_connect();
    held.abort();
    broker.wait_held(0);
    ok(&client.publish("/a", 2));
    assert_eq!(data(client.connect()), [json!(2)], "nothing is lost with a socket that closes");
    let mut socket = Socket::open(client.address);
    socket.send_text(r#"[{"channel":"/meta/handshake","version":"1.0","supportedConnectionTypes":["websocket"]}]"#);
    assert!(socket.next_text().contains(r#""successful":true"#));
}

#[test]
fn a_new_certificate_is_used_without_dropping_anybody() {
    let (old, new) = (Pair::until(2040), Pair::until(2041));
    let files = Files::with(&old);
    let broker = files.setup("").start();
    let expires = "weft_tls_certificate_expires_seconds";
    assert_eq!(broker.metric(expires), 2_208_988_800.0);
    let mut client = over_tls(&broker, &old);
    ok(&client.subscribe("/a"));
    let mut held = client.held_connect();
    let both = weft_tests::tls::client(&[&old, &new], &["http/1.1"]);
    let shown = || hello(broker.listen, &both).expect("a handshake").certificate;
    assert_eq!(shown().as_ref(), Some(&old.der));

    files.write(&new.cert, &new.key);
    broker.wait_metric("weft_tls_reloads_total{outcome=\"ok\"}", |reloads| reloads == 1.0);
    assert_eq!(shown().as_ref(), Some(&new.der));
    assert_eq!(broker.metric(expires), 2_240_611_200.0);
    assert!(held.is_waiting());
    ok(&client.publish("/a", 1));
    assert_eq!(data(held.answer()), [json!(1)]);
    assert_eq!(broker.metric("weft_sessions"), 1.0);

    // Who is known by a ticket of before sees the new one all the same, and not a stale session.
    for (cert, key) in
        [(&old.cert, "no key"), (&"no certificate".to_owned(), &old.key), (&old.cert, &new.key)]
    {
        let failed = "weft_tls_reloads_total{outcome=\"failed\"}";
        let before = broker.metric(failed);
        files.write(cert, key);
        broker.wait_metric(failed, |failed| failed > before);
        assert_eq!(shown().as_ref(), Some(&new.der), "the last good one stays");
    }
    assert!(broker.log().contains("the last good one stays"), "{}", broker.log());
    assert_eq!(broker.metric(expires), 2_240_611_200.0);
    files.write(&old.cert, &old.key);
    broker.wait_metric("weft_tls_reloads_total{outcome=\"ok\"}", |reloads| reloads == 2.0);
    assert_eq!(shown().as_ref(), Some(&old.der));
}

#[test]
fn a_link_that_points_elsewhere_is_a_change_too() {
    let (old, new) = (Pair::until(2040), Pair::until(2041));
    let files = Files::with(&old);
    for (name, pair) in [("one", &old), ("two", &new)] {
        let directory = files.directory.join(name);
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("cert.pem"), &pair.cert).unwrap();
        std::fs::write(directory.join("key.pem"), &pair.key).unwrap();
    }
    let now = files.directory.join("now");
    symlink("one", &now).unwrap();
    let file = |name: &str| now.join(name).display().to_string();
    let toml = format!("[tls]\ncert = {:?}\nkey = {:?}\n", file("cert.pem"), file("key.pem"));
    let broker = Broker::with(&toml);
    let next = files.directory.join("next");
    symlink("two", &next).unwrap();
    std::fs::rename(next, &now).unwrap();
    broker.wait_metric("weft_tls_reloads_total{outcome=\"ok\"}", |reloads| reloads == 1.0);
    let shown = hello(broker.listen, &client(&[&new], &[])).expect("a handshake");
    assert_eq!(shown.certificate.as_ref(), Some(&new.der));
}

#[test]
fn what_cannot_be_used_is_named_before_anything_starts() {
    let (one, other) = (Pair::until(2040), Pair::until(2041));
    for (cert, key, name, text) in [
        ("", &one.key, "tls.cert: /", "cert.pem: there is no certificate in it"),
        (&one.cert, &"nothing".to_owned(), "tls.key: /", "key.pem: there is no private key in it"),
        (&one.cert, &other.key, "tls.key: /", "key.pem: it does not go with tls.cert"),
    ] {
        let files = Files::with(&one);
        files.write(cert, key);
        let failure = files.setup("").try_start().expect_err("a refusal");
        assert_eq!(failure.code, Some(1));
        let log = &failure.log;
        assert!(log.starts_with(&format!("weft: {name}")) && log.contains(text), "{log}");
    }
    let toml = "[tls]\ncert = \"/nowhere/cert.pem\"\nkey = \"/nowhere/key.pem\"\n";
    let failure = Setup::default().toml(toml).try_start().expect_err("a refusal");
    assert!(failure.log.starts_with("weft: tls.cert: /nowhere/cert.pem: "), "{}", failure.log);
}

#[test]
fn r37_a_handshake_has_a_deadline_and_a_place_among_connections() {
    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    let setup = files.setup("handshake_timeout = \"500ms\"\n[limits]\nconnections = 8\n");
    let broker = setup.start();
    let mut silent: Vec<Connection> = (0..8).map(|_| broker.connect()).collect();
    // Half a record, and what is no TLS at all.
    silent[0].send(&[22, 3, 1, 2, 0, 1, 0]);
    broker.wait_metric("weft_connections", |open| open >= 8.0);
    let mut refused = TcpStream::connect(broker.listen).unwrap();
    refused.set_read_timeout(Some(PATIENCE)).unwrap();
    let told = refused.read(&mut [0; 16]);
    assert!(matches!(told, Ok(0) | Err(_)), "plain text would be no TLS: {told:?}");
    for connection in &mut silent {
        assert!(connection.is_closed_by_peer());
    }
    broker.wait_metric("weft_tls_handshakes_failed_total", |failed| failed == 8.0);
    let mut plain = broker.connect();
    plain.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let _ = until("the end of what is no TLS", PATIENCE, || plain.wait_for(1 << 20).err());
    hello(broker.listen, &client(&[&pair], &["h2"])).expect("a handshake, once there is room");
}

#[test]
fn r37_slow_heads_and_slow_readers_are_cut_over_tls_too() {
    let pair = Pair::until(2040);
    let files = Files::with(&pair);
    let more = "[http]\nhead_timeout = \"300ms\"\nbody_timeout = \"1s\"\n";
    let broker = files.setup(more).start();
    let address = tunnel(broker.listen, client(&[&pair], &["http/1.1"]));
    let mut slow = Connection::open(address);
    slow.send(b"POST /bayeux HTTP/1.1\r\nHost: local");
    assert!(slow.is_closed_by_peer());
    let mut idle = Connection::open(address);
    assert_eq!(idle.exchange(&Request::get("/nothing")).status, 404);
    assert!(idle.is_silent(Duration::from_millis(900)), "between two requests nobody is late");
    assert_eq!(idle.exchange(&Request::get("/nothing")).status, 404);
    idle.cut(Cut::Close);
}
