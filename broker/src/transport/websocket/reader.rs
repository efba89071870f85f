//! What a client writes, as messages (RFC 6455 §5): bytes in as they come, messages out. No I/O.
//!
//! Between messages it holds nothing. What a header announces is not made room for before it comes,
//! so a client has to send what it makes the broker keep.

use std::io::Cursor;
use std::str::from_utf8;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The longest payload of a control frame.
const CONTROL_MAX: u64 = 125;
/// The longest header of a frame.
const HEADER_MAX: usize = 14;
const MASK: usize = 4;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    /// Text, whole.
    Text(String),
    /// To be answered by a pong that carries the same.
    Ping(Vec<u8>),
    /// What a pong carries.
    Pong(Vec<u8>),
    /// The client closes, and may say why.
    Close(Option<CloseCode>),
}

/// Why nothing more can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There is nothing more to read, or it does not come.
    Gone,
    /// Not as RFC 6455 has it.
    Protocol,
    /// A binary message.
    Binary,
    /// Longer than a message may be.
    TooLong,
    /// Text that is not UTF-8.
    NotUtf8,
}

/// Reads one client's frames.
#[derive(Debug)]
pub struct Reader {
    /// The longest message.
    most: usize,
    /// A header, as far as it has come.
    header: [u8; HEADER_MAX],
    header_len: u8,
    /// The frame whose header has come.
    frame: Option<Frame>,
    /// Whether a text has begun, and its last fragment has not.
    amid_text: bool,
    text: Vec<u8>,
    /// How much of the text is known to be UTF-8.
    checked: usize,
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    /// `None` is text.
    control: Option<Control>,
    last: bool,
    /// Turned so that it begins with what the next byte is masked by.
    mask: [u8; MASK],
    left: usize,
}

impl Reader {
    /// Takes texts up to so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            most,
            header: [0; HEADER_MAX],
            header_len: 0,
            frame: None,
            amid_text: false,
            text: Vec::new(),
            checked: 0,
            control: Vec::new(),
        }
    }

    /// Whether something has begun that has not ended.
    #[must_use]
    pub fn is_amid(&self) -> bool {
        self.header_len > 0 || self.frame.is_some() || self.amid_text
    }

    /// How many bytes of a text have come that is not whole.
    #[must_use]
    pub fn held(&self) -> usize {
        self.text.len()
    }

    /// Takes bytes off the front, as many as there are up to the end of a message.
    ///
    /// # Errors
    /// When they are no such thing; nothing more is to be read then.
    pub fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<Message>, Fault> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.take_header(bytes)? {
                    Some(frame) => frame,
                    None => return Ok(None),
                },
            };
            let left = self.take_payload(bytes, frame);
            self.frame = Some(left).filter(|frame| frame.left > 0);
            if self.frame.is_some() {
                return Ok(None);
            }
            if let Some(message) = self.finish(frame)? {
                return Ok(Some(message));
            }
        }
    }

    fn take_header(&mut self, bytes: &mut &[u8]) -> Result<Option<Frame>, Fault> {
        loop {
            let have = usize::from(self.header_len);
            let wanted = match self.header[1] & 0x7f {
                _ if have < 2 => 2,
                126 => 4 + MASK,
                127 => 10 + MASK,
                _ => 2 + MASK,
            };
            // One that lacks its mask is as good as whole, and wrong.
            if have >= 2 && (have == wanted || self.header[1] & 0x80 == 0) {
                break;
            }
            let part = wanted.saturating_sub(have).min(bytes.len());
            let Some((now, rest)) = bytes.split_at_checked(part).filter(|_| part > 0) else {
                return Ok(None);
            };
            self.header[have..have + part].copy_from_slice(now);
            self.header_len += part as u8;
            *bytes = rest;
        }
        let parsed = FrameHeader::parse(&mut Cursor::new(&self.header));
        self.header_len = 0;
        let (header, length) = parsed.ok().flatten().ok_or(Fault::Protocol)?;
        self.judge(&header, length).map(Some)
    }

    /// Whether a frame may come now, and be that long.
    fn judge(&mut self, header: &FrameHeader, length: u64) -> Result<Frame, Fault> {
        let left = usize::try_from(length).ok().filter(|length| *length <= self.most);
        let left = left.ok_or(Fault::TooLong)?;
        let mask = header.mask.ok_or(Fault::Protocol)?;
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Fault::Protocol);
        }
        let control = match header.opcode {
            OpCode::Control(_) if !header.is_final || length > CONTROL_MAX => {
                return Err(Fault::Protocol);
            }
            OpCode::Control(control) => Some(control),
            OpCode::Data(data) => {
                if (data == Data::Continue) != self.amid_text {
                    return Err(Fault::Protocol);
                }
                if data == Data::Binary {
                    return Err(Fault::Binary);
                }
                self.amid_text = true;
                None
            }
        };
        if control.is_none() && left > self.most - self.text.len() {
            return Err(Fault::TooLong);
        }
        Ok(Frame { control, last: header.is_final, mask, left })
    }

    /// Takes what has come of a payload; says what is left of the frame.
    fn take_payload(&mut self, bytes: &mut &[u8], mut frame: Frame) -> Frame {
        let part = frame.left.min(bytes.len());
        let (now, rest) = bytes.split_at(part);
        let payload = if frame.control.is_some() { &mut self.control } else { &mut self.text };
        let begin = payload.len();
        payload.extend_from_slice(now);
        unmask(&mut payload[begin..], frame.mask);
        frame.mask.rotate_left(part % MASK);
        frame.left -= part;
        *bytes = rest;
        frame
    }

    /// A frame has come to its end: perhaps a message has.
    fn finish(&mut self, frame: Frame) -> Result<Option<Message>, Fault> {
        let Some(control) = frame.control else {
            if !frame.last {
                return self.check().map(|()| None);
            }
            (self.amid_text, self.checked) = (false, 0);
            let text = String::from_utf8(std::mem::take(&mut self.text));
            return text.map(|text| Some(Message::Text(text))).map_err(|_| Fault::NotUtf8);
        };
        let payload = std::mem::take(&mut self.control);
        Ok(Some(match control {
            Control::Ping => Message::Ping(payload),
            Control::Pong => Message::Pong(payload),
            _ => Message::Close(close_code(&payload)?),
        }))
    }

    /// A fragment may end within a character, but not behind what is none.
    fn check(&mut self) -> Result<(), Fault> {
        let fresh = self.text.get(self.checked..).unwrap_or_default();
        match from_utf8(fresh) {
            Ok(_) => self.checked = self.text.len(),
            Err(error) if error.error_len().is_none() => self.checked += error.valid_up_to(),
            Err(_) => return Err(Fault::NotUtf8),
        }
        Ok(())
    }
}

fn unmask(payload: &mut [u8], mask: [u8; MASK]) {
    let (words, rest) = payload.as_chunks_mut::<MASK>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(mask)).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Why a client closes. What nobody may say is answered as what it is.
fn close_code(payload: &[u8]) -> Result<Option<CloseCode>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault::Protocol) };
    };
    from_utf8(reason).map_err(|_| Fault::NotUtf8)?;
    let code = CloseCode::from(u16::from_be_bytes(*code));
    Ok(Some(if code.is_allowed() { code } else { CloseCode::Protocol }))
}

#[cfg(test)]
mod tests;
