//! Somebody who serves a JWK Set, on a port of this machine.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::tls::Pair;

/// Serves one answer to whoever asks, until it is dropped.
#[derive(Debug)]
pub struct KeyServer {
    /// Where it answers.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    answer: Mutex<(String, Vec<u8>)>,
    asked: AtomicUsize,
    ended: AtomicBool,
    delay: Mutex<Duration>,
}

impl KeyServer {
    /// Serves this set.
    #[must_use]
    pub fn start(set: &str) -> Self {
        Self::over(set, None)
    }

    /// Serves this set over TLS, as `localhost`.
    #[must_use]
    pub fn start_tls(set: &str, pair: &Pair) -> Self {
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![pair.der.clone()], key).expect("a pair");
        Self::over(set, Some(Arc::new(config)))
    }

    fn over(set: &str, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared::default());
        let own = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if own.ended.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), own, tls) = (stream, Arc::clone(&own), tls.clone()) else {
                    continue;
                };
                thread::spawn(move || match tls.map(ServerConnection::new) {
                    Some(Ok(tls)) => drop(own.serve(StreamOwned::new(tls, stream))),
                    Some(Err(_)) => {}
                    None => drop(own.serve(stream)),
                });
            }
        });
        let server = Self { address, shared, thread: Some(thread) };
        server.serve(set);
        server
    }

    /// The address of its set.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    /// Serves another set from now on.
    pub fn serve(&self, set: &str) {
        self.answer("200 OK", set.as_bytes());
    }

    /// Answers something else from now on.
    pub fn answer(&self, status: &str, body: &[u8]) {
        *self.shared.answer.lock() = (status.to_owned(), body.to_vec());
    }

    /// Takes so long for each answer from now on.
    pub fn delay(&self, delay: Duration) {
        *self.shared.delay.lock() = delay;
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn serve(&self, mut stream: impl Read + Write) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte)? == 0 {
                return Ok(());
            }
            head.push(byte[0]);
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let delay = *self.delay.lock();
        thread::sleep(delay);
        let (status, body) = self.answer.lock().clone();
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        stream.flush()
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
