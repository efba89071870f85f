//! Whether a request came over TLS, as far as weft can know.

use http::HeaderMap;

use super::connection::Peer;

/// Whether it did: weft speaks no TLS itself, and trusts no proxy that says it does.
#[must_use]
pub fn over_tls(_peer: &Peer, _headers: &HeaderMap) -> bool {
    false
}
