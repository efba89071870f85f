//! The demo's files, embedded in the binary. Nothing of third parties is among them.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};

use super::gzip::{Fixed, Gzip};
use super::headers;

const HTML: &str = "text/html;charset=UTF-8";
const CSS: &str = "text/css;charset=UTF-8";
const MODULE: &str = "text/javascript;charset=UTF-8";

/// One of the files.
#[derive(Debug)]
pub struct File {
    /// The path that the page's own imports name.
    path: &'static str,
    kind: &'static str,
    text: Fixed,
}

macro_rules! files {
    ($($path:literal $kind:ident $file:literal;)*) => {
        [$(File {
            path: $path,
            kind: $kind,
            text: Fixed::new(include_str!(concat!("../../../clients/", $file))),
        }),*]
    };
}

static FILES: [File; 11] = files! {
    "/demo/" HTML "pages/demo/index.html";
    "/demo/demo.css" CSS "pages/demo/demo.css";
    "/demo/demo.js" MODULE "pages/demo/demo.js";
    "/demo/client/weft.js" MODULE "js/weft.js";
    "/demo/client/advice.js" MODULE "js/advice.js";
    "/demo/client/client.js" MODULE "js/client.js";
    "/demo/client/outbox.js" MODULE "js/outbox.js";
    "/demo/client/session.js" MODULE "js/session.js";
    "/demo/client/subscriptions.js" MODULE "js/subscriptions.js";
    "/demo/client/transports/long_polling.js" MODULE "js/transports/long_polling.js";
    "/demo/client/transports/callback_polling.js" MODULE "js/transports/callback_polling.js";
};

/// The file at a path.
#[must_use]
pub fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}

impl File {
    /// The response, for a client that takes gzip, or does not.
    #[must_use]
    pub fn response(&'static self, gzip: &Gzip, taken: bool) -> Response<Bytes> {
        let (body, coding) = gzip.code_fixed(taken, &self.text);
        let kind = HeaderValue::from_static(self.kind);
        let mut response = headers::response(StatusCode::OK, kind, body);
        coding.tell(&mut response);
        let policy = HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        );
        headers::as_document(&mut response, policy);
        response
    }
}
