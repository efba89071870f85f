//! The Bayeux endpoint: method, headers and body in, one response out. It names no framework, so
//! that the way in which bytes reach it can change under it.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use tokio_stream::Stream;
use weft_protocol::ConnectionType;

use super::accept::takes_gzip;
use super::body::{self, BodyFailure, BodyLimits};
use super::booked;
use super::connection::{Carried, Peer};
use super::cookie::Cookies;
use super::credentials;
use super::gzip::{Coding, Gzip};
use super::headers;
use super::origins::{Origins, Verdict};
use crate::exchange::{Answer, BrowserId, Caller, Exchange};
use crate::transport::{callback_polling, long_polling};

/// All that the endpoint needs.
#[derive(Debug)]
pub struct Endpoint {
    /// Where requests are worked off.
    pub exchange: Exchange,
    /// Who may ask.
    pub origins: Origins,
    /// Browsers' identities.
    pub cookies: Cookies,
    /// Bounds of a POST's body.
    pub body: BodyLimits,
    /// How large replies are compressed.
    pub gzip: Arc<Gzip>,
    /// Whether GETs are answered by callback-polling.
    pub callback_polling: bool,
}

/// A request without its body.
#[derive(Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// The query as sent, without `?`.
    pub query: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The connection it came by.
    pub peer: Arc<Peer>,
}

impl Endpoint {
    /// Answers a request.
    pub async fn handle<S, B, E>(&self, head: Head, body: S) -> Response<Bytes>
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
    {
        let arrived = self.exchange.now();
        if let Some(refusal) = self.refuse_stranger(&head.method, &head.headers, self.methods()) {
            return refusal;
        }
        let origin = match self.origins.judge(&head.headers) {
            Verdict::Allowed(origin) => Some(origin.clone()),
            Verdict::None | Verdict::Foreign => None,
        };
        let mut response = match head.method {
            Method::POST => self.post(head, body, arrived).await,
            Method::GET if self.callback_polling => self.get(head, arrived).await,
            _ => headers::method_not_allowed(self.methods()),
        };
        if let Some(origin) = origin {
            headers::allow_origin(&mut response, &origin);
        }
        response
    }

    fn methods(&self) -> &'static str {
        if self.callback_polling { "GET, POST, OPTIONS" } else { "POST, OPTIONS" }
    }

    /// 403 if the `Host` asked for may not be asked of this listener (DNS rebinding).
    #[must_use]
    pub fn refuse_host(&self, headers: &HeaderMap) -> Option<Response<Bytes>> {
        let text = "this Host is not served here; name it in `origins` if it should be";
        let ours = self.origins.host_is_ours(headers);
        (!ours).then(|| headers::text(StatusCode::FORBIDDEN, text))
    }

    /// What is answered without a look at the body: strangers' origins, and preflights.
    #[must_use]
    pub fn refuse_stranger(
        &self,
        method: &Method,
        request: &HeaderMap,
        methods: &'static str,
    ) -> Option<Response<Bytes>> {
        if let Some(refusal) = self.refuse_host(request) {
            return Some(refusal);
        }
        match self.origins.judge(request) {
            Verdict::Foreign => {
                let text = "this Origin is not allowed; name it in `origins` if it should be";
                Some(headers::text(StatusCode::FORBIDDEN, text))
            }
            Verdict::Allowed(origin) if method == Method::OPTIONS => {
                Some(headers::preflight(Some(origin), methods))
            }
            Verdict::None if method == Method::OPTIONS => Some(headers::preflight(None, methods)),
            Verdict::None | Verdict::Allowed(_) => None,
        }
    }

    async fn post<S, B, E>(&self, head: Head, body: S, arrived: Instant) -> Response<Bytes>
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
    {
        let body = match body::read(&head.headers, body, &self.body).await {
            Ok(body) => body,
            Err(failure) => return fail(failure),
        };
        let taken = takes_gzip(&head.headers);
        let (caller, peer) = self.caller(head, ConnectionType::LongPolling, arrived).await;
        let browser = caller.browser;
        let gone = || peer.is_gone();
        match long_polling::post(&self.exchange, caller, body, &gone).await {
            Ok(mut answer) => {
                let carried = answer.carries.take().map(Carried::from);
                let plain = std::mem::take(&mut answer.text).into_bytes();
                // The length of what holds a clientId shows nothing of it.
                let (body, coding) = if answer.handshaken.is_some() {
                    (plain, Coding::Plain)
                } else {
                    self.gzip.code(taken, plain).await
                };
                answer.booked.shrink(body.len());
                if let Some(carried) = carried {
                    peer.carries(carried);
                }
                let mut response = self.answer(browser, answer, body, headers::JSON);
                coding.tell(&mut response);
                response
            }
            Err(error) => headers::text(status(error.status()), &error.to_string()),
        }
    }

    async fn get(&self, mut head: Head, arrived: Instant) -> Response<Bytes> {
        if !self.origins.script_is_welcome(&head.headers, head.peer.address.ip()) {
            let text = "scripts of this page may not load from here; \
                        name its origin in `origins` if they should";
            return headers::text(StatusCode::FORBIDDEN, text);
        }
        let query = std::mem::take(&mut head.query);
        let (caller, peer) = self.caller(head, ConnectionType::CallbackPolling, arrived).await;
        let browser = caller.browser;
        let gone = || peer.is_gone();
        match callback_polling::get(&self.exchange, caller, query, &gone).await {
            Ok(mut answer) => {
                if let Some(carried) = answer.carries.take() {
                    peer.carries(carried.into());
                }
                let script = std::mem::take(&mut answer.text).into_bytes();
                let mut response = self.answer(browser, answer, script, headers::SCRIPT);
                headers::as_download(&mut response);
                response
            }
            Err(error) => headers::text(status(error.status()), &error.to_string()),
        }
    }

    /// Who asks. The rest of the head is dropped here, before anything is held.
    pub(super) async fn caller(
        &self,
        head: Head,
        transport: ConnectionType,
        arrived: Instant,
    ) -> (Caller, Arc<Peer>) {
        let browser = self.cookies.browser(&head.headers);
        let who = credentials::shown(self.exchange.guard(), &head.headers).await;
        let address = head.peer.address.ip();
        (Caller { address, http2: false, who, browser, transport, arrived }, head.peer)
    }

    fn answer(
        &self,
        browser: Option<BrowserId>,
        answer: Answer,
        body: Vec<u8>,
        kind: HeaderValue,
    ) -> Response<Bytes> {
        let body = booked::bytes(body, answer.booked);
        let mut response = headers::response(StatusCode::OK, kind, body);
        if answer.handshaken.is_some()
            && browser.is_none()
            && let Some(cookie) = self.cookies.issue()
        {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }
}

fn fail(failure: BodyFailure) -> Response<Bytes> {
    let mut response = headers::text(failure.status(), failure.text());
    if failure == BodyFailure::TooSlow {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_REQUEST)
}
