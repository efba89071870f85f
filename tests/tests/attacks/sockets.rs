//! WebSockets in the wrong hands.

use std::time::Duration;

use weft_tests::broker::Broker;
use weft_tests::http::{Connection, Request};
use weft_tests::ordeal::Ordeal;
use weft_tests::paced::{attacker, paced};
use weft_tests::siege::{HANDSHAKE, Siege};
use weft_tests::websocket::{Frame, Kind, Socket, upgrade};

const A_WHILE: Duration = Duration::from_secs(3);

/// A socket from the attacker's address.
fn opened(broker: &Broker, number: usize) -> Socket {
    let mut connection = Connection::open_from(attacker(number), broker.listen);
    assert_eq!(connection.exchange(&upgrade("/bayeux")).status, 101);
    Socket { connection, answers_pings: false }
}

#[test]
fn l4_messages_that_never_end_take_bounded_memory_and_time() {
    let toml = "[http]\nbody_timeout = \"2s\"\n";
    Ordeal::new("unfinished WebSocket messages", 128)
        .limits("body_bytes_total = \"32MiB\"\n")
        .toml(toml)
        .run(|broker| {
            // With sessions, so that they are not idle.
            let mut sockets: Vec<_> = (0..300).map(|_| opened(broker, 0)).collect();
            for socket in &mut sockets {
                socket.send_text(HANDSHAKE);
            }
            let begun = Frame::new(Kind::Text, vec![b' '; 500_000]).unfinished().bytes();
            let more = Frame::new(Kind::Continuation, vec![b' '; 400_000]).unfinished().bytes();
            paced(200, A_WHILE, |number| {
                let socket = &mut sockets[number as usize % 300];
                let part = if number < 300 { &begun } else { &more };
                let _ = socket.connection.try_send_now(part);
            });
            broker.wait_metric("weft_websockets", |open| open == 0.0);
        });
}

#[test]
fn l4_p5_what_a_large_message_took_is_given_back_while_its_socket_lives() {
    Ordeal::new("sockets that once sent a large message", 64).run(|broker| {
        let mut sockets: Vec<_> = (0..200).map(|_| opened(broker, 0)).collect();
        // Whole, and nothing that weft would keep: Faye's clients keep a socket busy so.
        let large = Frame::new(Kind::Text, vec![b' '; 1_000_000]).bytes();
        paced(80, A_WHILE, |number| {
            let socket = &mut sockets[number as usize % 200];
            let _ = socket.connection.try_send(&large);
        });
        assert_eq!(broker.metric("weft_websockets"), 200.0);
    });
}

#[test]
fn pings_by_the_thousand_are_answered_and_cost_others_nothing() {
    Ordeal::new("WebSocket pings", 32).run(|broker| {
        let mut sockets: Vec<_> = (0..20).map(|_| opened(broker, 0)).collect();
        let pings = Frame::new(Kind::Ping, vec![b'p'; 125]).bytes().repeat(100);
        paced(200, A_WHILE, |number| {
            let socket = &mut sockets[number as usize % 20];
            // Its pongs are not read.
            let _ = socket.connection.try_send_now(&pings);
        });
    });
}

#[test]
fn frames_of_one_byte_by_the_ten_thousand_cost_others_nothing() {
    Ordeal::new("WebSocket messages of one byte a frame", 32).run(|broker| {
        let mut sockets: Vec<_> = (0..20).map(|_| opened(broker, 0)).collect();
        let start = Frame::new(Kind::Text, " ").unfinished().bytes();
        let bytes = Frame::new(Kind::Continuation, " ").unfinished().bytes().repeat(500);
        sockets.iter_mut().for_each(|socket| socket.connection.send(&start));
        paced(100, A_WHILE, |number| {
            let _ = sockets[number as usize % 20].connection.try_send_now(&bytes);
        });
    });
}

#[test]
fn frames_that_no_client_may_send_close_the_socket_before_they_are_read() {
    let siege = Siege::begin();
    let text = Frame::new(Kind::Text, HANDSHAKE).bytes();
    let mut unmasked = vec![0x81, HANDSHAKE.len() as u8];
    unmasked.extend(HANDSHAKE.as_bytes());
    let huge = [&[0x81, 0xff][..], &(1_u64 << 62).to_be_bytes(), &[0; 4]].concat();
    let above = [&[0x81, 0xff][..], &(2_u64 << 20).to_be_bytes(), &[0; 4]].concat();
    let long_ping = Frame::new(Kind::Ping, vec![0; 126]).bytes();
    let compressed = [&[text[0] | 0x40], &text[1..]].concat();
    let unknown = [&[0x83], &text[1..]].concat();
    let lone = Frame::new(Kind::Continuation, "[]").bytes();
    let parted_ping = Frame::new(Kind::Ping, "x").unfinished().bytes();
    for (bytes, code) in [
        (unmasked, 1002),
        (huge, 1009),
        (above, 1009),
        (long_ping, 1002),
        (compressed, 1002),
        (unknown, 1002),
        (lone, 1002),
        (parted_ping, 1002),
        (Frame::new(Kind::Text, [0xff, 0xfe]).bytes(), 1007),
        (Frame::new(Kind::Binary, HANDSHAKE).bytes(), 1003),
    ] {
        let mut socket = opened(&siege.0, 0);
        socket.connection.send(&bytes);
        let shown = &bytes[..bytes.len().min(12)];
        assert_eq!(socket.closed().0, code, "{shown:?}");
    }
    assert_eq!(siege.0.metric("weft_handshakes_total"), 0.0);
    siege.over();
}

#[test]
fn compression_is_not_negotiated_so_no_frame_is_a_bomb() {
    let siege = Siege::begin();
    let mut connection = siege.0.connect();
    let offer = "permessage-deflate; client_max_window_bits";
    let response =
        connection.exchange(&upgrade("/bayeux").header("Sec-WebSocket-Extensions", offer));
    assert_eq!(response.status, 101);
    assert_eq!(response.header("Sec-WebSocket-Extensions"), None);
    drop(connection);
    // Neither does anybody unpack what a request's body is said to be packed with.
    for coding in ["gzip", "deflate", "br", "gzip, gzip", "zstd"] {
        let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\x8b\x8e\x05\x00\x29\xbb\x4c\x0d\x02\x00\x00\x00";
        let request =
            Request::post("/bayeux", packed.as_slice()).header("Content-Encoding", coding);
        assert_eq!(siege.0.exchange(&request).status, 400, "{coding}");
        let request = Request::post("/publish/a", packed.as_slice());
        let request = request.header("Content-Encoding", coding);
        assert_eq!(siege.0.exchange(&request).status, 400, "{coding}");
    }
    siege.over();
}
