//! The whole URL space, as warp filters. The hot path stands first.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use warp::Filter;
use warp::Reply;
use warp::path::FullPath;

use super::accept::takes_gzip;
use super::admin::Admin;
use super::api::{self, Api};
use super::bayeux::{Endpoint, Head};
use super::connection::Peer;
use super::gzip::{Fixed, Gzip};
use super::listener::Routes;
use super::publish::{self, Answered};
use super::streams::{self, Streams};
use super::upgrade::{self, Sockets};
use super::{demo, event_source, headers, history};
use crate::transport::spelling::Spelling;

/// What the public address serves.
#[derive(Debug, Clone)]
pub struct Site {
    /// The Bayeux endpoint.
    pub endpoint: Arc<Endpoint>,
    /// What WebSockets run by, where there are any.
    pub sockets: Option<Arc<Sockets>>,
    /// The paths it is mounted at; whatever stands below a mount is the same endpoint (X6).
    pub mounts: Arc<[String]>,
    /// Whether `/demo/` is served.
    pub demo: bool,
    /// Publishing and history.
    pub api: Arc<Api>,
    /// Responses that go on.
    pub streams: Arc<Streams>,
    /// Whether sessions may have such a one (Faye's eventsource).
    pub event_source: bool,
}

/// The public address.
#[must_use]
pub fn public(site: Site) -> Routes {
    let Site { endpoint, sockets, mounts, demo, api, streams, event_source } = site;
    let guard = Arc::clone(&endpoint);
    let sessions = event_source.then(|| Arc::clone(&streams));
    let bayeux = mounted(mounts)
        .and(warp::path::full())
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arc<Peer>>())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::body::stream())
        .then(move |path: FullPath, method, query, headers, peer, on_upgrade, body| {
            let (endpoint, sockets) = (Arc::clone(&endpoint), sockets.clone());
            let streams = sessions.clone();
            let head = Head::new(method, query, headers, peer);
            async move {
                if let Some(streams) = &streams
                    && event_source::is_wanted(&head.method, &head.headers)
                {
                    let answer = event_source::answer(&endpoint, streams, &head, path.as_str());
                    return match answer.await {
                        (head, Some(pieces)) => streamed(head, pieces),
                        (response, None) => reply(response),
                    };
                }
                let wanted = upgrade::is_wanted(&head.method, &head.headers);
                reply(match sockets.filter(|_| wanted) {
                    Some(sockets) => upgrade::answer(&endpoint, &sockets, head, on_upgrade).await,
                    None => endpoint.handle(head, body).await,
                })
            }
        });
    let pages = warp::method().and(warp::path::full()).and(warp::header::headers_cloned()).map(
        move |method, path: FullPath, headers: HeaderMap| {
            let refusal = guard.refuse_reader(&headers);
            let page = || page(&method, path.as_str(), demo, &guard.gzip, &headers);
            reply(refusal.unwrap_or_else(page))
        },
    );
    bayeux
        .or(publishing(Arc::clone(&api)))
        .unify()
        .or(reading("/events", Spelling::Events, Arc::clone(&streams)))
        .unify()
        .or(reading("/stream", Spelling::Lines, streams))
        .unify()
        .or(past(Arc::clone(&api)))
        .unify()
        .or(described(api))
        .unify()
        .or(pages)
        .unify()
        .boxed()
}

/// `/publish` and what stands below it.
fn publishing(
    api: Arc<Api>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone {
    below("/publish")
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arc<Peer>>())
        .and(warp::body::stream())
        .then(move |path, method, query, headers, peer, body| {
            let api = Arc::clone(&api);
            let head = Head::new(method, query, headers, peer);
            async move {
                match publish::handle(api, head, path, Box::pin(body)).await {
                    Answered::Whole(response) => reply(response),
                    Answered::Stream(head, pieces) => {
                        streamed(head, ReceiverStream::new(pieces).map(Ok))
                    }
                }
            }
        })
}

/// Responses that go on, below a prefix of the path.
fn reading(
    prefix: &'static str,
    spelling: Spelling,
    streams: Arc<Streams>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone {
    below(prefix)
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arc<Peer>>())
        .then(move |path: String, method, query, headers, peer| {
            let streams = Arc::clone(&streams);
            let head = Head::new(method, query, headers, peer);
            async move {
                match streams::handle(&streams, spelling, &head, &path).await {
                    streams::Answered::Whole(response) => reply(response),
                    streams::Answered::Stream(head, pieces) => streamed(head, pieces),
                }
            }
        })
}

/// `/history` and what stands below it.
fn past(
    api: Arc<Api>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone {
    below("/history")
        .and(warp::method())
        .and(query())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<Arc<Peer>>())
        .then(move |path, method, query, headers, peer| {
            let (api, head) = (Arc::clone(&api), Head::new(method, query, headers, peer));
            async move { reply(history::handle(api, head, path).await) }
        })
}

/// The description of publishing and history.
fn described(
    api: Arc<Api>,
) -> impl Filter<Extract = (warp::reply::Response,), Error = warp::Rejection> + Clone {
    warp::path!("openapi.json").and(warp::method()).and(warp::header::headers_cloned()).map(
        move |method, headers: HeaderMap| {
            reply(api.refuse(&method, &headers, "GET, HEAD, OPTIONS").unwrap_or_else(|| {
                let (body, coding) = api.endpoint.gzip.code_fixed(takes_gzip(&headers), &OPENAPI);
                let mut response = api::answer(body);
                coding.tell(&mut response);
                api.allow(&headers, &mut response);
                response
            }))
        },
    )
}

static OPENAPI: Fixed = Fixed::new(include_str!("openapi.json"));

/// What stands behind a prefix of the path, from the slash on.
fn below(
    prefix: &'static str,
) -> impl Filter<Extract = (String,), Error = warp::Rejection> + Clone {
    warp::path::full().and_then(move |path: FullPath| {
        let rest = rest_below(path.as_str(), prefix);
        std::future::ready(rest.map(str::to_owned).ok_or_else(warp::reject::not_found))
    })
}

/// A body that comes in pieces.
fn streamed<S>(head: Response<Bytes>, pieces: S) -> warp::reply::Response
where
    S: Stream<Item = Result<Bytes, Infallible>> + Send + Sync + 'static,
{
    let mut response = warp::reply::stream(pieces).into_response();
    *response.status_mut() = head.status();
    *response.headers_mut() = head.into_parts().0.headers;
    response
}

/// The admin address.
#[must_use]
pub fn admin(admin: Arc<Admin>) -> Routes {
    warp::method()
        .and(warp::path::full())
        .and(warp::header::headers_cloned())
        .then(move |method, path: FullPath, headers: HeaderMap| {
            let admin = Arc::clone(&admin);
            async move { reply(admin.handle(&method, path.as_str(), &headers).await) }
        })
        .boxed()
}

/// Lets through what lies at or below a mount.
fn mounted(mounts: Arc<[String]>) -> impl Filter<Extract = (), Error = warp::Rejection> + Clone {
    warp::path::full()
        .and_then(move |path: FullPath| {
            let found = is_below(&mounts, path.as_str());
            std::future::ready(if found { Ok(()) } else { Err(warp::reject::not_found()) })
        })
        .untuple_one()
}

/// What stands in a path behind a prefix, from the slash on.
pub(super) fn rest_below<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    path.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a path lies at or below a mount.
pub(super) fn is_below(mounts: &[String], path: &str) -> bool {
    mounts.iter().any(|mount| {
        let rest = path.strip_prefix(mount.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ';']))
    })
}

fn query() -> impl Filter<Extract = (String,), Error = Infallible> + Clone {
    warp::query::raw().or_else(|_| std::future::ready(Ok((String::new(),))))
}

fn reply(response: Response<Bytes>) -> warp::reply::Response {
    response.map(Into::into)
}

fn page(
    method: &Method,
    path: &str,
    demo: bool,
    gzip: &Gzip,
    request: &HeaderMap,
) -> Response<Bytes> {
    let file = if demo { demo::file(path) } else { None };
    match (file, method) {
        (Some(file), &Method::GET | &Method::HEAD) => file.response(gzip, takes_gzip(request)),
        (Some(_), _) => headers::method_not_allowed("GET, HEAD"),
        (None, &Method::GET | &Method::HEAD) if demo && matches!(path, "/" | "/demo") => to_demo(),
        (None, _) if demo && matches!(path, "/" | "/demo") => {
            headers::method_not_allowed("GET, HEAD")
        }
        (None, _) => headers::text(StatusCode::NOT_FOUND, "nothing is served here"),
    }
}

fn to_demo() -> Response<Bytes> {
    let mut response = headers::text(StatusCode::FOUND, "the demo is at /demo/");
    response.headers_mut().insert(LOCATION, HeaderValue::from_static("/demo/"));
    response
}
