//! Who speaks on a connection, and what. A speaker sees bytes and writes bytes; the engine connects,
//! reads, sends, and connects anew what was cut.

mod bayeux;
mod frames;
mod nchan;
mod poll;
mod poster;
mod socket;
mod stream;

use std::fmt::Debug;
use std::net::SocketAddr;

pub(crate) use bayeux::{Identity, Session};
pub(crate) use nchan::{NchanPoll, NchanSocket};
pub(crate) use poll::LongPoll;
pub(crate) use poster::{Poster, Way};
pub(crate) use socket::{Channels, Socket};
pub(crate) use stream::Stream;

use crate::engine::Context;
use crate::marker::Marker;
use crate::wire::Fault;

/// A message to publish.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) marker: Marker,
    /// The channel's index.
    pub(crate) channel: usize,
}

/// One end of a connection. What it writes to `out` is sent when it returns.
pub(crate) trait Speaker: Debug {
    /// Where to connect to.
    fn address(&self) -> SocketAddr;

    /// The connection stands, for the first time or again.
    fn opened(&mut self, out: &mut Vec<u8>, cx: &mut Context);

    /// Bytes came; says how many it is done with. The others come again, with more behind them.
    ///
    /// # Errors
    /// If they make no sense. The connection is cut then, and made anew.
    fn heard(&mut self, bytes: &[u8], out: &mut Vec<u8>, cx: &mut Context) -> Result<usize, Fault>;

    /// What it asked to be woken for; or nothing any more.
    fn alarm(&mut self, _out: &mut Vec<u8>, _cx: &mut Context) {}

    /// A message to publish, when it may.
    fn offer(&mut self, _due: Due, _out: &mut Vec<u8>, _cx: &mut Context) {}

    /// The connection is gone; true if that was to be expected, and nothing is to follow.
    fn ended(&mut self, _cx: &mut Context) -> bool {
        false
    }

    /// Whether it wants another connection instead of this one, as the server will close it.
    fn wants_anew(&mut self) -> bool {
        false
    }

    /// Says goodbye on its next connection; false if there is nobody to say it to.
    fn leave(&mut self) -> bool {
        false
    }

    /// Its Bayeux session, once it has one.
    fn identity(&self) -> Option<Identity> {
        None
    }
}
