//! WebSocket from its upgrade on: messages whole, pings answered.

use std::borrow::Cow;

use crate::target::Place;
use crate::wire::websocket::{self, Opcode, frame};
use crate::wire::{Fault, http1};

/// What came.
#[derive(Debug)]
pub(super) enum Heard<'a> {
    /// Not enough.
    Nothing,
    /// The answer to the upgrade, so many bytes.
    Upgraded(usize),
    Message(Cow<'a, [u8]>, usize),
    /// Nothing for anybody but the socket.
    Control(usize),
}

/// The state of one socket.
#[derive(Debug, Default)]
pub(super) struct Frames {
    upgraded: bool,
    /// The parts of a message so far.
    partial: Vec<u8>,
}

impl Frames {
    /// Asks for the upgrade, on a new connection.
    pub(super) fn open(&mut self, place: &Place, more: &str, out: &mut Vec<u8>) {
        *self = Self::default();
        http1::get(out, &place.path, &[&place.headers, websocket::UPGRADE, more]);
    }

    pub(super) fn is_open(&self) -> bool {
        self.upgraded
    }

    /// Reads one frame, or the answer to the upgrade.
    ///
    /// # Errors
    /// If there is no upgrade, no frame, or an end.
    pub(super) fn hear<'a>(
        &mut self,
        bytes: &'a [u8],
        out: &mut Vec<u8>,
    ) -> Result<Heard<'a>, Fault> {
        if !self.upgraded {
            let Some(head) = http1::head(bytes)? else { return Ok(Heard::Nothing) };
            if head.status != 101 {
                return Err(Fault::new(format!("no WebSocket: status {}", head.status)));
            }
            self.upgraded = true;
            return Ok(Heard::Upgraded(head.length));
        }
        let Some(frame) = frame(bytes)? else { return Ok(Heard::Nothing) };
        match frame.opcode {
            Opcode::Message if frame.last => {
                return Ok(Heard::Message(Cow::Borrowed(frame.payload), frame.length));
            }
            Opcode::Message | Opcode::Continuation => {
                self.partial.extend_from_slice(frame.payload);
                if frame.last {
                    let whole = std::mem::take(&mut self.partial);
                    return Ok(Heard::Message(Cow::Owned(whole), frame.length));
                }
            }
            Opcode::Ping => websocket::pong(out, frame.payload),
            Opcode::Pong => {}
            Opcode::Close => {
                let code = frame.payload.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                return Err(Fault::new(format!("closed with {code}")));
            }
        }
        Ok(Heard::Control(frame.length))
    }
}
