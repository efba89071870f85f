//! Black-box tests: the real binary, real sockets, and every byte that a client would see.
//!
//! [`broker::Broker`] starts the binary, [`http::Connection`] speaks HTTP/1.1 by hand, and
//! [`bayeux::Client`] keeps what a Bayeux client keeps. Each test has a broker of its own. Nothing
//! here sleeps to be on the safe side: what must happen is waited for with a generous deadline, and
//! only what must *not* happen is watched for a short while.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

pub mod api;
pub mod bayeux;
pub mod broker;
pub mod bystander;
pub mod chance;
pub mod claims;
pub mod delay;
pub mod heard;
pub mod held;
pub mod hook;
pub mod http;
pub mod http2;
pub mod jsonp;
pub mod kept_file;
pub mod key_server;
pub mod lines;
pub mod ordeal;
pub mod paced;
pub mod process;
pub mod replies;
pub mod schema;
pub mod siege;
pub mod stream;
pub mod throng;
pub mod tls;
pub mod token;
pub mod transports;
pub mod wait;
pub mod websocket;
