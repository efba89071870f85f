//! The Bayeux endpoint: method, headers and body in, one response out. It names no framework, so
//! that the way in which bytes reach it can change under it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use http::header::{CONNECTION, ORIGIN, SET_COOKIE};
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
use crate::exchange::{Answer, Caller, Exchange, Exchanged, HeldConnect};
use crate::limits::Payer;
use crate::transport::callback_polling::Callback;
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
    /// The connection it came by, or the stream of one.
    pub peer: Arc<Peer>,
    /// The client's address, behind proxies that are believed, too.
    pub address: IpAddr,
    /// Whether a proxy told that.
    pub told_by_proxy: bool,
    /// Whether it came by HTTP/2, where one held request holds up no other.
    pub http2: bool,
}

impl Head {
    /// The head of a request from this peer.
    #[must_use]
    pub fn new(method: Method, query: String, headers: HeaderMap, peer: Arc<Peer>) -> Self {
        let (address, told_by_proxy) = peer.client(&headers);
        let http2 = peer.is_http2();
        Self { method, query, headers, peer, address, told_by_proxy, http2 }
    }
}

/// What a request comes to.
#[derive(Debug)]
pub enum Begun {
    /// Its response.
    Answered(Response<Bytes>),
    /// A connect that waits.
    Held(Box<Waiting>),
}

/// A connect that waits, and what its response needs: all that is left of a request.
#[derive(Debug)]
pub struct Waiting {
    /// The connect.
    pub connect: Box<HeldConnect>,
    /// The rest.
    pub asked: Asked,
}

/// How a request is to be answered, and to whom.
#[derive(Debug)]
pub struct Asked {
    spelling: Spelling,
    /// A browser without a cookie of ours: whether it asked over TLS.
    stranger: Option<bool>,
    /// The allowed origin of the page that asks.
    origin: Option<HeaderValue>,
    peer: Arc<Peer>,
}

#[derive(Debug)]
enum Spelling {
    Json { gzip: bool },
    Script(Callback),
}

impl Endpoint {
    /// Answers a request, however long it waits. Dropping the future means: the client went away.
    pub async fn handle<S, B, E>(&self, head: Head, body: S) -> Response<Bytes>
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
    {
        match self.begin(head, body).await {
            Begun::Answered(response) => response,
            Begun::Held(waiting) => {
                let Waiting { connect, asked } = *waiting;
                // Bytes of another request may hide that the socket is closed.
                let answer = connect.wait(&|| asked.peer.is_gone()).await;
                self.finish(asked, answer).await
            }
        }
    }

    /// Works off a request: answers it, unless it waits.
    pub async fn begin<S, B, E>(&self, head: Head, body: S) -> Begun
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
    {
        let arrived = self.exchange.now();
        if let Some(refusal) = self.refuse_stranger(&head.method, &head.headers, self.methods()) {
            return Begun::Answered(refusal);
        }
        let origin = match self.origins.judge(&head.headers) {
            Verdict::Allowed(origin) => own(origin),
            Verdict::None | Verdict::Foreign => None,
        };
        let exchanged = match head.method {
            Method::POST => self.post(head, body, arrived).await,
            Method::GET if self.callback_polling => self.get(head, arrived).await,
            _ => Err(headers::method_not_allowed(self.methods())),
        };
        match exchanged {
            Ok((exchanged, asked)) => {
                let asked = Asked { origin, ..asked };
                match exchanged {
                    Exchanged::Answer(answer) => Begun::Answered(self.finish(asked, answer).await),
                    Exchanged::Hold(connect) => Begun::Held(Box::new(Waiting { connect, asked })),
                }
            }
            Err(mut refusal) => {
                if let Some(origin) = origin {
                    headers::allow_origin(&mut refusal, &origin);
                }
                Begun::Answered(refusal)
            }
        }
    }

    /// Spells an answer as it was asked for.
    pub async fn finish(&self, asked: Asked, mut answer: Answer) -> Response<Bytes> {
        let Asked { spelling, stranger, origin, peer } = asked;
        let carried = answer.carries.take().map(Carried::from);
        let mut response = match spelling {
            Spelling::Json { gzip } => {
                let plain = std::mem::take(&mut answer.text).into_bytes();
                // The length of what holds a clientId shows nothing of it.
                let (body, coding) = if answer.handshaken.is_some() {
                    (plain, Coding::Plain)
                } else {
                    self.gzip.code(gzip, plain).await
                };
                answer.booked.shrink(body.len());
                let mut response = self.answer(stranger, answer, body, headers::JSON);
                coding.tell(&mut response);
                response
            }
            Spelling::Script(callback) => {
                callback.wrap(&self.exchange, &mut answer);
                let script = std::mem::take(&mut answer.text).into_bytes();
                let mut response = self.answer(stranger, answer, script, headers::SCRIPT);
                headers::as_download(&mut response);
                response
            }
        };
        if let Some(carried) = carried {
            peer.carries(carried);
        }
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
            Verdict::Foreign => Some(refuse_foreign(request)),
            Verdict::Allowed(origin) if method == Method::OPTIONS => {
                Some(headers::preflight(request, Some(origin), methods))
            }
            Verdict::None if method == Method::OPTIONS => {
                Some(headers::preflight(request, None, methods))
            }
            Verdict::None | Verdict::Allowed(_) => None,
        }
    }

    /// Lets a page of an allowed origin read the answer.
    pub fn allow(&self, request: &HeaderMap, response: &mut Response<Bytes>) {
        if let Verdict::Allowed(origin) = self.origins.judge(request) {
            headers::allow_origin(response, origin);
        }
    }

    /// The same for pages, which answer no preflights.
    #[must_use]
    pub fn refuse_reader(&self, request: &HeaderMap) -> Option<Response<Bytes>> {
        let foreign = || self.origins.judge(request) == Verdict::Foreign;
        self.refuse_host(request).or_else(|| foreign().then(|| refuse_foreign(request)))
    }

    async fn post<S, B, E>(&self, head: Head, body: S, arrived: Instant) -> Worked
    where
        S: Stream<Item = Result<B, E>>,
        B: Buf,
    {
        let body = body::read(&head.headers, body, &self.body).await.map_err(fail)?;
        let spelling = Spelling::Json { gzip: takes_gzip(&head.headers) };
        let (caller, asked) =
            self.asker(head, ConnectionType::LongPolling, arrived, spelling).await;
        let exchanged = long_polling::post(&self.exchange, caller, body).await;
        let exchanged =
            exchanged.map_err(|error| headers::text(status(error.status()), &error.to_string()))?;
        Ok((exchanged, asked))
    }

    async fn get(&self, mut head: Head, arrived: Instant) -> Worked {
        if !self.origins.script_is_welcome(&head.headers, head.address) {
            return Err(headers::text(StatusCode::FORBIDDEN, FOREIGN_PAGE));
        }
        let query = std::mem::take(&mut head.query);
        let spelling = Spelling::Json { gzip: false };
        let (caller, asked) =
            self.asker(head, ConnectionType::CallbackPolling, arrived, spelling).await;
        let worked = callback_polling::get(&self.exchange, caller, &query).await;
        let (exchanged, callback) =
            worked.map_err(|error| headers::text(status(error.status()), &error.to_string()))?;
        Ok((exchanged, Asked { spelling: Spelling::Script(callback), ..asked }))
    }

    async fn asker(
        &self,
        head: Head,
        transport: ConnectionType,
        arrived: Instant,
        spelling: Spelling,
    ) -> (Caller, Asked) {
        let over_tls = head.peer.is_over_tls(&head.headers);
        let (caller, peer) = self.caller(head, transport, arrived).await;
        let stranger = caller.browser.is_none().then_some(over_tls);
        (caller, Asked { spelling, stranger, origin: None, peer })
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
        let payer = self.payer(&head);
        let Head { address, http2, peer, .. } = head;
        (Caller { address, http2, payer, bytes: 0, who, browser, transport, arrived }, peer)
    }

    /// Whom a request counts for, as far as its head tells.
    #[must_use]
    pub fn payer(&self, head: &Head) -> Payer {
        self.exchange.broker().limits().at(head.address, head.told_by_proxy)
    }

    /// `stranger` is a browser without a cookie of ours: whether it asked over TLS.
    fn answer(
        &self,
        stranger: Option<bool>,
        answer: Answer,
        body: Vec<u8>,
        kind: HeaderValue,
    ) -> Response<Bytes> {
        let body = booked::bytes(body, answer.booked);
        let mut response = headers::response(StatusCode::OK, kind, body);
        if answer.handshaken.is_some()
            && let Some(over_tls) = stranger
            && let Some(cookie) = self.cookies.issue(over_tls)
        {
            response.headers_mut().insert(SET_COOKIE, cookie);
        }
        response
    }
}

/// What was asked comes to, or why nothing was done.
type Worked = Result<(Exchanged, Asked), Response<Bytes>>;

/// A copy that does not keep the whole head in memory.
fn own(value: &HeaderValue) -> Option<HeaderValue> {
    HeaderValue::from_bytes(value.as_bytes()).ok()
}

const FOREIGN_PAGE: &str =
    "this page may not load from here; name its origin in `origins` if it should";

fn refuse_foreign(request: &HeaderMap) -> Response<Bytes> {
    let text = if request.contains_key(ORIGIN) {
        "this Origin is not allowed; name it in `origins` if it should be"
    } else {
        FOREIGN_PAGE
    };
    headers::text(StatusCode::FORBIDDEN, text)
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
