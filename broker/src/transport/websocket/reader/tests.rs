//! The library reads the same bytes and has to come to the same.

use std::io::{Read, Write};

use proptest::prelude::*;
use tokio_tungstenite::tungstenite::error::Error;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self};

use super::*;

const MOST: usize = 300;

/// Bytes to read, and nowhere to write to.
struct Bytes<'a>(&'a [u8]);

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Messages up to a close, a fault or the end.
type Heard = (Vec<Message>, Option<Fault>);

fn by_the_library(bytes: &[u8]) -> Heard {
    let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
    let mut socket = WebSocket::from_raw_socket(Bytes(bytes), Role::Server, Some(config));
    let mut heard = Vec::new();
    loop {
        heard.push(match socket.read() {
            Ok(tungstenite::Message::Text(text)) => Message::Text(text.to_string()),
            Ok(tungstenite::Message::Ping(payload)) => Message::Ping(payload.to_vec()),
            Ok(tungstenite::Message::Pong(payload)) => Message::Pong(payload.to_vec()),
            Ok(tungstenite::Message::Close(close)) => {
                heard.push(Message::Close(close.map(|close| close.code)));
                return (heard, None);
            }
            Ok(tungstenite::Message::Binary(_)) => return (heard, Some(Fault::Binary)),
            Ok(tungstenite::Message::Frame(_)) => unreachable!("frames are for writing"),
            Err(Error::Capacity(_)) => return (heard, Some(Fault::TooLong)),
            Err(Error::Utf8(_)) => return (heard, Some(Fault::NotUtf8)),
            Err(Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => return (heard, None),
            Err(Error::Protocol(_)) => return (heard, Some(Fault::Protocol)),
            Err(error) => panic!("{error}"),
        });
    }
}

fn by_the_reader<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let mut reader = Reader::new(MOST);
    let mut heard = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.take(&mut piece) {
                Ok(None) => break,
                Ok(Some(message)) => {
                    let over = matches!(message, Message::Close(_));
                    heard.push(message);
                    if over {
                        return (heard, None);
                    }
                }
                Err(fault) => return (heard, Some(fault)),
            }
        }
        assert!(piece.is_empty(), "all that came is taken");
    }
    (heard, None)
}

/// A frame of a client.
fn frame(first: u8, masked: bool, mask: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let flag = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match payload.len() {
        short @ 0..126 => bytes.push(flag | short as u8),
        long => {
            bytes.push(flag | 126);
            bytes.extend((long as u16).to_be_bytes());
        }
    }
    if masked {
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    } else {
        bytes.extend(payload);
    }
    bytes
}

fn payloads() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "\\PC{0,20}".prop_map(String::into_bytes),
        // Characters cut in two.
        2 => Just("é€𝄞".as_bytes()[..1].to_vec()),
        2 => Just("é€𝄞".as_bytes()[1..].to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        2 => prop::collection::vec(b'a'..=b'z', 100..320),
        1 => (0_u16..5_100).prop_map(|code| code.to_be_bytes().to_vec()),
    ]
}

/// Most are as they have to be: else nothing would be read far.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        4 => Just(0x81_u8),
        4 => Just(0x01),
        4 => Just(0x00),
        4 => Just(0x80),
        3 => Just(0x89),
        3 => Just(0x8a),
        1 => Just(0x88),
        1 => Just(0x82),
        1 => any::<u8>().prop_filter("binary in fragments", |first| first & 0x8f != 0x02),
    ];
    let masked = prop::bool::weighted(0.98);
    (first, masked, any::<[u8; 4]>(), payloads()).prop_map(|(first, masked, mask, payload)| {
        // Of what lacks its mask no more is read, not even that it is too long besides.
        frame(first, masked || payload.len() > 125, mask, &payload)
    })
}

/// Fragments in order, with control frames between them.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let parts = prop::collection::vec(("\\PC{0,30}", any::<[u8; 4]>(), any::<bool>()), 1..5);
    parts.prop_map(|parts| {
        let last = parts.len() - 1;
        let mut bytes = Vec::new();
        for (n, (text, mask, pinged)) in parts.iter().enumerate() {
            let first = if n == 0 { 0x01 } else { 0x00 } | if n == last { 0x80 } else { 0 };
            bytes.extend(frame(first, true, *mask, text.as_bytes()));
            if *pinged {
                bytes.extend(frame(0x89, true, *mask, b"between"));
            }
        }
        bytes
    })
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![2 => message(), 1 => frames()];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn x5_it_reads_what_the_library_reads_however_the_bytes_come(
        bytes in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        prop_assert_eq!(by_the_reader(pieces), by_the_library(&bytes));
        prop_assert_eq!(by_the_reader(bytes.chunks(1)), by_the_library(&bytes));
    }
}

#[test]
fn x5_lengths_of_every_form_are_read() {
    for length in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
        let mut reader = Reader::new(100_000);
        let payload = vec![b'x'; length];
        let mut bytes = if length < 65_536 {
            frame(0x81, true, *b"mask", &payload)
        } else {
            let mut bytes = vec![0x81, 0xff];
            bytes.extend((length as u64).to_be_bytes());
            bytes.extend(&frame(0x81, true, *b"mask", &payload[..125])[2..6]);
            bytes.extend(payload.iter().zip(b"mask".iter().cycle()).map(|(a, b)| a ^ b));
            bytes
        };
        bytes.extend(frame(0x8a, true, *b"next", b"pong"));
        let mut rest = &*bytes;
        let text = Message::Text("x".repeat(length));
        assert!(reader.take(&mut rest) == Ok(Some(text)), "{length}");
        assert!(!reader.is_amid());
        assert_eq!(reader.take(&mut rest), Ok(Some(Message::Pong(b"pong".to_vec()))));
        assert_eq!((reader.take(&mut rest), reader.is_amid()), (Ok(None), false));
    }
}

#[test]
fn l4_what_is_announced_takes_no_room_before_it_comes() {
    let mut reader = Reader::new(1 << 20);
    let announced = [0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 1, 2, 3, 4, 5];
    assert_eq!(reader.take(&mut &announced[..]), Ok(None));
    assert!(reader.is_amid() && reader.held() == 1);
    assert!(reader.text.capacity() < 100);
    // What is too long is seen by its header, and so is what the rest of a message comes to.
    let mut reader = Reader::new(1_000);
    let long = frame(0x81, true, [0; 4], &[b'x'; 1_001]);
    assert_eq!(reader.take(&mut &long[..8]), Err(Fault::TooLong));
    let mut reader = Reader::new(1_000);
    let half = frame(0x01, true, [0; 4], &[b'x'; 600]);
    let rest = frame(0x80, true, [0; 4], &[b'x'; 401]);
    assert_eq!(reader.take(&mut &*half), Ok(None));
    assert_eq!(reader.take(&mut &rest[..8]), Err(Fault::TooLong));
}
