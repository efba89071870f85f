//! The headers that every response has, and plain answers made of them.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONNECTION,
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderName, REFERRER_POLICY,
    TRANSFER_ENCODING, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, Version};

/// JSON, as Bayeux replies are sent (I5, R31).
pub const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// A script, as JSONP replies are sent (R31).
pub const SCRIPT: HeaderValue = HeaderValue::from_static("text/javascript;charset=UTF-8");
/// Text for people.
pub const TEXT: HeaderValue = HeaderValue::from_static("text/plain;charset=UTF-8");

/// Request headers that pages of allowed origins may send (decisions 3.15).
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "content-type, pragma, cache-control, x-requested-with, authorization, last-event-id, \
     idempotency-key",
);

/// A response that no cache keeps and no browser second-guesses (RFC 6202 §5.6; R17, R31).
#[must_use]
pub fn response(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = bare(status, body);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// The same without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response<Bytes> {
    bare(status, Bytes::new())
}

fn bare(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A short text for whoever reads the answer. A browser may show it as a document of ours, in which
/// nothing is to run.
#[must_use]
pub fn text(status: StatusCode, text: &str) -> Response<Bytes> {
    let mut response = response(status, TEXT, format!("{text}\n"));
    let nothing = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    as_document(&mut response, HeaderValue::from_static(nothing));
    response
}

/// What browsers are told of all that they may show as a page: this policy holds in it, no other page
/// frames it, embeds it or has a hand on its window, and where it links to is not told from whom.
///
/// JSON and streams go without: they are no documents (`nosniff`), polls of them are many, and
/// whoever loads them into a foreign page is refused by `Origin` or `Sec-Fetch-Site`.
pub fn as_document(response: &mut Response<Bytes>, policy: HeaderValue) {
    const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // JSONP of a page of ours is known by its Referer, where there is no Sec-Fetch-Site.
    headers.insert(REFERRER_POLICY, SAME_ORIGIN);
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), SAME_ORIGIN);
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), SAME_ORIGIN);
}

/// 405, naming what is allowed.
#[must_use]
pub fn method_not_allowed(allow: &'static str) -> Response<Bytes> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("use one of: {allow}"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// What no route is asked about: a target without a path (CONNECT's), a head that does not name one
/// host (RFC 9112 §3.2), and one whose body somebody on the way may see end elsewhere.
#[must_use]
pub fn refuse_head(version: Version, uri: &Uri, head: &HeaderMap) -> Option<Response<Bytes>> {
    if uri.path().is_empty() {
        return Some(method_not_allowed("GET, POST, OPTIONS"));
    }
    if !is_coded_once(head) {
        let mut response = text(StatusCode::BAD_REQUEST, "chunked is the only coding, once");
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Some(response);
    }
    let hosts = head.get_all(HOST).iter().count();
    let needed = version >= Version::HTTP_11;
    (hosts > 1 || (needed && hosts == 0))
        .then(|| text(StatusCode::BAD_REQUEST, "a request names one Host"))
}

/// Whether a body comes in chunks and is coded in no other way, if in any.
fn is_coded_once(head: &HeaderMap) -> bool {
    let mut codings = head.get_all(TRANSFER_ENCODING).iter();
    let known = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    codings.next().is_none_or(known) && codings.next().is_none()
}

/// Marks a JSONP reply as a download, so that opened by itself it runs nowhere (R31).
pub fn as_download(response: &mut Response<Bytes>) {
    let value = HeaderValue::from_static("attachment; filename=f.txt");
    response.headers_mut().insert(CONTENT_DISPOSITION, value);
}

/// Lets a page of an allowed origin read the response (CORS).
pub fn allow_origin(response: &mut Response<Bytes>, origin: &HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

/// The answer to a preflight from an allowed origin, if the page has one. That a page on the Internet
/// asks for what stands in a private network (Private Network Access) is allowed by the same list.
#[must_use]
pub fn preflight(
    request: &HeaderMap,
    origin: Option<&HeaderValue>,
    methods: &'static str,
) -> Response<Bytes> {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    if let Some(origin) = origin {
        allow_origin(&mut response, origin);
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        if request.contains_key("access-control-request-private-network") {
            let name = HeaderName::from_static("access-control-allow-private-network");
            headers.insert(name, HeaderValue::from_static("true"));
        }
    }
    response
}
