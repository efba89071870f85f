//! What stands between sockets and requests on the public address: TLS, proxies, HTTP/2.

use std::sync::Arc;

use prometheus::Registry;
use tokio_util::sync::CancellationToken;

use super::{StartError, about};
use crate::config::{Config, Forwarded};
use crate::http::arrival::Entrance;
use crate::http::proxies::Proxies;
use crate::http::tls::{Tls, TlsOptions, TlsStats};

/// Reads what there is to be read for it.
pub(super) fn open(config: &Config, registry: &Registry) -> Result<Entrance, StartError> {
    let (tls, proxies, http2) = (&config.tls, &config.proxies, config.http.http2);
    let stats = TlsStats::register(registry).map_err(about("metrics"))?;
    let options = TlsOptions {
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        handshake: tls.handshake_timeout.get(),
        http2,
    };
    let open = || Tls::open(options, stats).map_err(|error| StartError(error.to_string()));
    Ok(Entrance {
        tls: tls.is_wanted().then(open).transpose()?,
        proxies: Arc::new(Proxies {
            trusted: proxies.trusted.iter().map(|network| network.0).collect(),
            forwarded: proxies.forwarded == Forwarded::XForwardedFor,
            protocol: proxies.protocol,
        }),
        http2,
    })
}

/// Keeps the certificate up to date until told to stop.
pub(super) fn watch(entrance: &Entrance, stop: &CancellationToken) {
    if let Some(tls) = &entrance.tls {
        tokio::spawn(Arc::clone(tls).watch(stop.clone()));
    }
}
