//! Certificates for tests, TLS clients, and a way for clients that know no TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned,
};

use crate::broker::Setup;
use crate::wait::PATIENCE;

/// A certificate for localhost, and its key.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate in PEM.
    pub cert: String,
    /// The key in PEM.
    pub key: String,
    /// The certificate as it goes over the wire.
    pub der: CertificateDer<'static>,
}

impl Pair {
    /// A fresh one that ends with this year's beginning.
    #[must_use]
    pub fn until(year: i32) -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let cert = params.self_signed(&key).expect("a certificate");
        Self { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().clone() }
    }
}

/// The files that a broker reads its certificate from; they go when this is dropped.
#[derive(Debug)]
pub struct Files {
    /// Where they are.
    pub directory: PathBuf,
}

impl Files {
    /// Files with this pair.
    #[must_use]
    pub fn with(pair: &Pair) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("weft-tls-{}-{count}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(&directory).expect("a directory");
        let files = Self { directory };
        files.write(&pair.cert, &pair.key);
        files
    }

    /// Replaces them: each by a new file under the same name.
    pub fn write(&self, cert: &str, key: &str) {
        for (name, text) in [("cert.pem", cert), ("key.pem", key)] {
            let fresh = self.directory.join("fresh");
            std::fs::write(&fresh, text).expect("a file");
            std::fs::rename(fresh, self.directory.join(name)).expect("a rename");
        }
    }

    /// The section of the configuration.
    #[must_use]
    pub fn toml(&self) -> String {
        let file = |name: &str| self.directory.join(name).display().to_string();
        format!("[tls]\ncert = {:?}\nkey = {:?}\n", file("cert.pem"), file("key.pem"))
    }

    /// A broker that uses them, with this configuration besides.
    #[must_use]
    pub fn setup(&self, more: &str) -> Setup {
        Setup::default().toml(&format!("{}{more}", self.toml()))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// How a client speaks TLS: whom it trusts, and which protocols it offers in it.
#[must_use]
pub fn client(trusted: &[&Pair], protocols: &[&str]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for pair in trusted {
        roots.add(pair.der.clone()).expect("a certificate to trust");
    }
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// The name that certificates are for.
#[must_use]
pub fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").expect("a name")
}

/// A connection with TLS on it.
pub type Line = StreamOwned<ClientConnection, TcpStream>;

/// Connects and shakes hands.
///
/// # Errors
/// When the handshake fails.
pub fn connect(to: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Line> {
    let mut socket = TcpStream::connect_timeout(&to, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_nodelay(true)?;
    let mut tls =
        ClientConnection::new(Arc::clone(config), localhost()).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(tls, socket))
}

/// What a handshake came to.
#[derive(Debug)]
pub struct Hello {
    /// The protocol that both sides speak in TLS.
    pub protocol: Option<String>,
    /// The version of TLS.
    pub version: Option<ProtocolVersion>,
    /// The broker's certificate.
    pub certificate: Option<CertificateDer<'static>>,
}

/// Connects, shakes hands, and says what came of it.
///
/// # Errors
/// When the handshake fails.
pub fn hello(to: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Hello> {
    let line = connect(to, config)?;
    let protocol = line.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
    let certificate = line.conn.peer_certificates().and_then(|chain| chain.first()).cloned();
    Ok(Hello { protocol, version: line.conn.protocol_version(), certificate })
}

/// Takes connections without TLS and carries each to the broker with TLS on it, so that all that
/// speaks HTTP/1.1 here can be used over TLS. It ends with the process.
#[must_use]
pub fn tunnel(to: SocketAddr, config: Arc<ClientConfig>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                if let Ok(far) = connect(to, &config) {
                    let _ = carry(near, far);
                }
            });
        }
    });
    address
}

/// Carries bytes both ways, one thread for both: TLS has one state.
fn carry(mut near: TcpStream, mut far: Line) -> io::Result<()> {
    let mut bytes = [0; 16 << 10];
    far.sock.set_nonblocking(true)?;
    near.set_nonblocking(true)?;
    loop {
        let mut idle = true;
        match near.read(&mut bytes) {
            Ok(0) => {
                far.conn.send_close_notify();
                let _ = far.flush();
                return Ok(());
            }
            Ok(count) => {
                far.sock.set_nonblocking(false)?;
                far.write_all(&bytes[..count])?;
                far.flush()?;
                far.sock.set_nonblocking(true)?;
                idle = false;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        match far.read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                near.set_nonblocking(false)?;
                near.write_all(&bytes[..count])?;
                near.set_nonblocking(true)?;
                idle = false;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        if idle {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}
