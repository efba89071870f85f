//! What would be read off bytes, without a connection and without answers: for the fuzzer.

use std::mem;

use bytes::BytesMut;

use super::framing::Framing;
use super::head::{Parsed, parse};

/// What was read, and how it ended.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The requests that were read to their end: method, query and body.
    pub requests: Vec<(String, Vec<u8>)>,
    /// What was not taken, from the head on that is another's business.
    pub left: Vec<u8>,
    /// A body's framing is broken: nothing is read behind it.
    pub is_broken: bool,
}

/// Reads bytes that come in these parts.
#[must_use]
pub fn read(parts: &[&[u8]], mounts: &[String]) -> Reading {
    let mut reading = Reading::default();
    let mut ahead = BytesMut::new();
    let mut under_way: Option<(String, Vec<u8>, Framing)> = None;
    let mut others = false;
    for part in parts {
        ahead.extend_from_slice(part);
        while !others && !reading.is_broken {
            let Some((_, body, framing)) = &mut under_way else {
                match parse(&mut ahead, mounts) {
                    Parsed::Ours(request) => {
                        let named = format!("{} {}", request.method, request.query);
                        under_way = Some((named, Vec::new(), request.framing));
                        continue;
                    }
                    Parsed::Other => others = true,
                    Parsed::Partial => {}
                }
                break;
            };
            match framing.take(&mut ahead) {
                Ok(Some(piece)) => body.extend_from_slice(&piece),
                Ok(None) if framing.is_over() => {
                    let whole = under_way.take().map(|(named, body, _)| (named, body));
                    reading.requests.extend(whole);
                }
                Ok(None) => break,
                Err(_) => reading.is_broken = true,
            }
        }
    }
    reading.left = mem::take(&mut ahead).to_vec();
    reading
}
