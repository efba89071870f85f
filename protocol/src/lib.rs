//! The Bayeux 1.0 wire: what the bytes of a request mean, and how an answer is spelled.
//!
//! The crate knows nothing of sockets, clocks or sessions. A [`Body`] is read from a POST or from
//! JSONP parameters and gives [`Message`]s that borrow from it; answers are [`Reply`]s and
//! [`event`]s, put together in an [`Array`].
//!
//! Two rules shape it. A publisher's `data` is carried as the text that was sent, never decoded
//! and encoded again (checklist L16), so every value is looked at as raw JSON. And a fault of one
//! message is an answer to that message ([`Error`]), while a fault of the JSON around it spoils the
//! whole request ([`BodyError`], checklist L10).

mod ack;
mod advice;
mod body;
mod body_error;
mod callback;
mod channel;
mod connection_type;
mod cursor;
mod decode;
mod depth;
mod encode;
mod error;
mod event;
mod ext;
mod json;
mod message;
mod publication;
mod query;
mod replay;
mod reply;
mod request;
mod service;
mod timesync;

pub use ack::{acknowledged, announces_ack};
pub use advice::{Advice, ClientAdvice, Reconnect};
pub use body::Body;
pub use body_error::BodyError;
pub use callback::{CallbackName, InvalidCallback, wrap};
pub use channel::{ChannelLimits, ChannelName, InvalidChannel, Pattern};
pub use connection_type::{ConnectionType, Offered};
pub use cursor::{CURSOR_BYTES_MAX, Cursor, InvalidCursor};
pub use decode::DecodeLimits;
pub use encode::{Array, event};
pub use error::Error;
pub use event::{ReplayForm, event_parts, salesforce_data};
pub use ext::{NoToken, publisher_ext, shown_ext, token};
pub use message::Message;
pub use publication::{
    Publication, PublicationError, publish_array, publish_channel, publish_data, publish_line,
    publish_status,
};
pub use query::{CallbackQuery, callback_query};
pub use replay::{InvalidKey, KEY_BYTES_MAX, Replay, Start, announces_replay, publish_key};
pub use reply::{Ack, Gap, Receipt, Reply, ReplyExt};
pub use request::Request;
/// A value as it was sent: the type of every echo in [`Message`] and [`Reply`].
pub use serde_json::value::RawValue;
pub use service::Answered;
pub use timesync::{TimesyncAnswer, TimesyncRequest, timesync};
