//! A small Bayeux client over long-polling, for Rust programs and for load tests.
//!
//! ```no_run
//! # async fn example() -> Result<(), weft_client::ClientError> {
//! use weft_client::{Client, Event};
//!
//! let mut client = Client::connect("http://127.0.0.1:8080/bayeux").await?;
//! client.subscribe("/stock/*").await?;
//! client.publish("/stock/ACME", &42).await?;
//! while let Some(event) = client.next_event().await {
//!     if let Event::Message(message) = event {
//!         println!("{}: {}", message.channel, message.data);
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A client is one session, one task and at most two sockets, of which one holds a connect. It
//! follows the server's advice, comes back by itself after a failure (with a delay that grows and
//! is random, so that a thousand clients do not return as one), and subscribes again where it has
//! to begin anew. It does not remember positions: what was published while a session did not live
//! is not seen.
//!
//! Only `http` URLs; whoever needs TLS puts a proxy in front.

mod advice;
mod client;
mod cookies;
mod driver;
mod error;
mod event;
mod http;
mod options;
mod outbox;
mod session;
mod wire;

pub use client::{Client, Events, Handle};
pub use error::ClientError;
pub use event::{Event, Message, State};
pub use options::Options;
