//! From HTTP to WebSocket (RFC 6455 §4.2): the opening handshake, and the task that a socket is.
//!
//! Not `warp::ws`, whose buffers cost 135 kB a connection.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weft_protocol::ConnectionType;

use super::bayeux::{Endpoint, Head};
use super::body::BodyLimits;
use super::connection::Peer;
use super::headers;
use super::incoming::Incoming;
use super::limited;
use super::socket::Watched;
use super::stats::{Counted, HttpStats};
use crate::exchange::Caller;
use crate::transport::websocket::{self, SocketOptions};

/// What sockets run by.
#[derive(Debug)]
pub struct Sockets {
    /// How they are treated.
    pub options: SocketOptions,
    /// Counts them.
    pub stats: HttpStats,
    /// Where they run.
    pub tasks: TaskTracker,
    /// Told when to say goodbye.
    pub stop: CancellationToken,
}

/// Whether a request asks for a WebSocket.
#[must_use]
pub fn is_wanted(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::GET && names(headers, &UPGRADE, "websocket")
}

/// Answers such a request: 101, and the socket runs by itself from then on. Strangers' pages are
/// refused as everywhere (decisions 3.15): browsers let any page open a socket.
#[must_use]
pub async fn answer(
    endpoint: &Arc<Endpoint>,
    sockets: &Arc<Sockets>,
    head: Head,
    upgrade: Option<OnUpgrade>,
) -> Response<Bytes> {
    let refusal = endpoint.refuse_stranger(&head.method, &head.headers, "GET, POST, OPTIONS");
    match refusal {
        Some(refusal) => refusal,
        None => open(endpoint, sockets, head, upgrade).await,
    }
}

async fn open(
    endpoint: &Arc<Endpoint>,
    sockets: &Arc<Sockets>,
    head: Head,
    upgrade: Option<OnUpgrade>,
) -> Response<Bytes> {
    let request = &head.headers;
    if request.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let text = "WebSocket version 13 is spoken here (RFC 6455)";
        let mut response = headers::text(StatusCode::UPGRADE_REQUIRED, text);
        let ours = response.headers_mut();
        ours.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        ours.insert(UPGRADE, HeaderValue::from_static("websocket"));
        ours.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        return response;
    }
    let accept = key(request).and_then(|key| HeaderValue::try_from(derive_accept_key(key)).ok());
    let (true, Some(accept), Some(upgrade)) =
        (names(request, &CONNECTION, "upgrade"), accept, upgrade)
    else {
        let text = "not a WebSocket's opening handshake (RFC 6455)";
        return headers::text(StatusCode::BAD_REQUEST, text);
    };
    // Its client goes back to polling.
    let place = match endpoint.exchange.broker().limits().hold(endpoint.payer(&head)) {
        Ok(place) => place,
        Err(limited) => return limited::refuse(limited),
    };
    let arrived = endpoint.exchange.now();
    let (caller, peer) = endpoint.caller(head, ConnectionType::WebSocket, arrived).await;
    // What comes from here on is no HTTP, whose deadlines do not hold for it.
    peer.streams(true);
    let (endpoint, at_work) = (Arc::clone(endpoint), Arc::clone(sockets));
    sockets.tasks.spawn(async move {
        let _place = place;
        match upgrade.await {
            Ok(upgraded) => run(&endpoint, &at_work, upgraded, caller, &peer).await,
            Err(error) => tracing::debug!(%error, "a socket broke off in its upgrade"),
        }
    });
    let mut response = headers::empty(StatusCode::SWITCHING_PROTOCOLS);
    let ours = response.headers_mut();
    ours.insert(UPGRADE, HeaderValue::from_static("websocket"));
    ours.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    ours.insert(SEC_WEBSOCKET_ACCEPT, accept);
    response
}

async fn run(
    endpoint: &Endpoint,
    sockets: &Sockets,
    upgraded: hyper::upgrade::Upgraded,
    caller: Caller,
    peer: &Peer,
) {
    let Some(mut line) = line(upgraded, &endpoint.body) else { return };
    let Sockets { options, stats, stop, .. } = sockets;
    let counted = Counted::new(&stats.sockets);
    websocket::serve(&endpoint.exchange, &mut line, &caller, options, stop).await;
    drop(counted);
    // Who is closed on may be sending still, and would not see why.
    peer.leaves_unread();
    let _ = line.shutdown().await;
}

/// What the HTTP server read with the request keeps all of its buffer, so it does not live on.
fn line(upgraded: hyper::upgrade::Upgraded, limits: &BodyLimits) -> Option<Incoming<'_, Watched>> {
    let parts = upgraded.downcast::<TokioIo<Watched>>().ok()?;
    Some(Incoming::new(parts.io.into_inner(), &parts.read_buf, limits))
}

/// The client's key, if it is one: 16 bytes in base64.
fn key(headers: &HeaderMap) -> Option<&[u8]> {
    let key = headers.get(SEC_WEBSOCKET_KEY)?.as_bytes();
    let (value, padding) = key.split_at_checked(22)?;
    let base64 = |&byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(&byte);
    (padding == b"==" && value.iter().all(base64)).then_some(key)
}

/// Whether a list of tokens holds this one, in whatever case.
fn names(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|word| word.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        let is_key = |text: &'static str| {
            let headers = [(SEC_WEBSOCKET_KEY, HeaderValue::from_static(text))];
            key(&headers.into_iter().collect()).is_some()
        };
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZ===", "short=="] {
            assert!(!is_key(bad), "{bad}");
        }
    }

    #[test]
    fn an_upgrade_is_a_token_among_others_in_any_case() {
        let upgrade = |value: &'static str| {
            is_wanted(
                &Method::GET,
                &[(UPGRADE, HeaderValue::from_static(value))].into_iter().collect(),
            )
        };
        assert!(upgrade("WebSocket") && upgrade("h2c, websocket"));
        assert!(!upgrade("websockets") && !upgrade(""));
    }
}
