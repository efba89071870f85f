//! TLS in front of HTTP: the certificate, read again whenever its files change, and the handshake.
//!
//! Only TLS 1.2 and 1.3 are spoken. Sessions are resumed by tickets, which cost no memory here; the
//! key of the tickets changes with the certificate, so that who comes again sees the new one.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::NoServerSessionStorage;
use tokio_util::sync::CancellationToken;

use super::certificate;
use super::connection::Connection;
use super::socket::{Raw, Secured};

/// How often the files are looked at. A change counts once they have stood still for as long.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What a connection keeps of what the socket does not take yet.
const BUFFER: usize = 16 << 10;
/// No certificate or key is that large.
const FILE_MAX: u64 = 1 << 20;

/// Where certificate and key are, and how clients are treated.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// The certificate's file.
    pub cert: PathBuf,
    /// The key's.
    pub key: PathBuf,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

/// What is counted.
#[derive(Debug, Clone)]
pub struct TlsStats {
    reloaded: IntCounter,
    reload_failed: IntCounter,
    handshake_failed: IntCounter,
    expires: IntGauge,
}

impl TlsStats {
    /// Makes the handles and registers them.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let reloads = IntCounterVec::new(
            Opts::new("weft_tls_reloads_total", "Changed certificates, by what became of them."),
            &["outcome"],
        )?;
        let handshake_failed = IntCounter::new(
            "weft_tls_handshakes_failed_total",
            "TLS handshakes that failed or took too long.",
        )?;
        let expires = IntGauge::new(
            "weft_tls_certificate_expires_seconds",
            "When the certificate in use ends, in seconds since 1970; 0 without TLS.",
        )?;
        registry.register(Box::new(reloads.clone()))?;
        registry.register(Box::new(handshake_failed.clone()))?;
        registry.register(Box::new(expires.clone()))?;
        Ok(Self {
            reloaded: reloads.with_label_values(&["ok"]),
            reload_failed: reloads.with_label_values(&["failed"]),
            handshake_failed,
            expires,
        })
    }
}

/// TLS with the certificate as it is now.
pub struct Tls {
    options: TlsOptions,
    current: ArcSwap<ServerConfig>,
    /// The files as they were when they were first read.
    opened: Stamps,
    stats: TlsStats,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Why a certificate cannot be used, with the configuration's key and the file that it is about.
#[derive(Debug)]
pub struct BadCertificate(String);

impl fmt::Display for BadCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadCertificate {}

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn open(options: TlsOptions, stats: TlsStats) -> Result<Arc<Self>, BadCertificate> {
        // Before they are read: what changes meanwhile is a change.
        let opened = stamps(&options);
        let (config, expires) = load(&options)?;
        stats.expires.set(expires);
        Ok(Arc::new(Self { options, current: ArcSwap::new(config), opened, stats }))
    }

    /// Reads certificate and key again; new connections get the new ones. If they cannot be used, the
    /// old ones stay.
    pub fn reload(&self) {
        match load(&self.options) {
            Ok((config, expires)) => {
                self.current.store(config);
                self.stats.expires.set(expires);
                self.stats.reloaded.inc();
                tracing::info!(cert = %self.options.cert.display(), expires, "certificate read again");
            }
            Err(error) => {
                self.stats.reload_failed.inc();
                tracing::warn!(%error, "the certificate cannot be used; the last good one stays");
            }
        }
    }

    /// Reads them again whenever their files have changed, until told to stop.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut known = self.opened;
        let mut last = known;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let tls = Arc::clone(&self);
            let looking = tokio::task::spawn_blocking(move || stamps(&tls.options));
            let Ok(now) = looking.await else { return };
            let still = std::mem::replace(&mut last, now) == now;
            if still && now != known {
                known = now;
                let tls = Arc::clone(&self);
                if tokio::task::spawn_blocking(move || tls.reload()).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Performs the handshake; the connection, and whether it speaks HTTP/2.
    pub async fn accept(&self, connection: &Arc<Connection>) -> io::Result<(Box<Secured>, bool)> {
        let acceptor = TlsAcceptor::from(self.current.load_full());
        let raw = Raw::new(Arc::clone(connection));
        let accepting = acceptor.accept_with(raw, |tls| tls.set_buffer_limit(Some(BUFFER)));
        let accepted = match timeout(self.options.handshake, accepting).await {
            Ok(accepted) => accepted,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the handshake took too long")),
        };
        // Who goes away before, as checks of health do, has failed in nothing.
        let failed = [io::ErrorKind::InvalidData, io::ErrorKind::TimedOut];
        if accepted.as_ref().is_err_and(|error| failed.contains(&error.kind())) {
            self.stats.handshake_failed.inc();
        }
        let tls = Box::new(accepted?);
        let http2 = tls.get_ref().1.alpn_protocol() == Some(HTTP2);
        Ok((tls, http2))
    }
}

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What shows that a file has changed, be it written to, replaced, or behind a link that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

type Stamps = [Option<Stamp>; 2];

fn stamps(options: &TlsOptions) -> Stamps {
    [&options.cert, &options.key].map(|path| Stamp::of(path))
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let about = fs::metadata(path).ok()?;
        Some(Self {
            device: about.dev(),
            inode: about.ino(),
            length: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
        })
    }
}

/// What TLS is spoken by, and when its certificate ends.
fn load(options: &TlsOptions) -> Result<(Arc<ServerConfig>, i64), BadCertificate> {
    let about = |key: &str, path: &Path, what: String| {
        BadCertificate(format!("{key}: {}: {what}", path.display()))
    };
    let bad_cert = |what: String| about("tls.cert", &options.cert, what);
    let bad_key = |what: String| about("tls.key", &options.key, what);
    let text = read(&options.cert).map_err(|error| bad_cert(error.to_string()))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| bad_cert(format!("this is no PEM: {error}")))?;
    let first =
        chain.first().ok_or_else(|| bad_cert("there is no certificate in it".to_owned()))?;
    let expires = certificate::expires(first)
        .ok_or_else(|| bad_cert("its first certificate cannot be read".to_owned()))?;
    let text = read(&options.key).map_err(|error| bad_key(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&text)
        .map_err(|error| bad_key(format!("there is no private key in it: {error}")))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad_cert(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| bad_key(format!("it does not go with tls.cert: {error}")))?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = Ticketer::new().map_err(|error| bad_key(error.to_string()))?;
    config.alpn_protocols = match options.http2 {
        true => vec![HTTP2.to_vec(), HTTP1.to_vec()],
        false => vec![HTTP1.to_vec()],
    };
    Ok((Arc::new(config), expires))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.len() > FILE_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 1MiB"));
    }
    fs::read(path)
}
