//! HTTP/2: many requests at once on one connection, by prior knowledge or over TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::HOST;
use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

use crate::http::{Request, Response};
use crate::tls;
use crate::wait::{A_WHILE, PATIENCE};

/// One connection. It closes when it and its streams are dropped.
#[derive(Debug)]
pub struct Http2 {
    runtime: Arc<Runtime>,
    send: SendRequest<Bytes>,
    driver: Option<JoinHandle<Result<(), h2::Error>>>,
    authority: String,
    scheme: &'static str,
}

/// How to connect.
#[derive(Debug, Clone)]
pub struct Way {
    /// With TLS, or without.
    pub tls: Option<Arc<ClientConfig>>,
    /// What of a response may come unasked.
    pub window: u32,
    /// What goes before all else.
    pub first: Vec<u8>,
}

impl Default for Way {
    fn default() -> Self {
        Self { tls: None, window: 1 << 20, first: Vec::new() }
    }
}

impl Http2 {
    /// Connects by prior knowledge.
    #[must_use]
    pub fn open(to: SocketAddr) -> Self {
        Self::by(to, &Way::default())
    }

    /// Connects.
    #[must_use]
    pub fn by(to: SocketAddr, way: &Way) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = Arc::new(runtime.expect("a runtime"));
        let window = way.window;
        let (send, driver) = runtime.block_on(async {
            let mut socket = TcpStream::connect(to).await.expect("a connection");
            socket.set_nodelay(true).expect("TCP_NODELAY");
            socket.write_all(&way.first).await.expect("a socket that takes bytes");
            match &way.tls {
                None => begin(socket, window).await,
                Some(config) => {
                    let connector = TlsConnector::from(Arc::clone(config));
                    let tls = connector.connect(tls::localhost(), socket).await;
                    let tls = tls.expect("a TLS handshake");
                    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                    begin(tls, window).await
                }
            }
        });
        let scheme = if way.tls.is_some() { "https" } else { "http" };
        Self { runtime, send, driver: Some(driver), authority: to.to_string(), scheme }
    }

    /// Sends a request, without waiting for the answer.
    #[must_use]
    pub fn start(&self, request: &Request) -> Stream {
        self.start_at(&self.authority, request)
    }

    /// Sends a request to another name, and reads its answer.
    #[must_use]
    pub fn exchange_at(&self, authority: &str, request: &Request) -> Response {
        self.start_at(authority, request).response()
    }

    fn start_at(&self, authority: &str, request: &Request) -> Stream {
        let uri = format!("{}://{authority}{}", self.scheme, request.target());
        let mut head = ::http::Request::builder().method(request.verb()).uri(uri);
        for (name, value) in request.headers() {
            head = head.header(name, value);
        }
        let body = Bytes::copy_from_slice(request.content());
        let head = head.body(()).expect("a request");
        assert!(!head.headers().contains_key(HOST), "HTTP/2 names the host elsewhere");
        let send = self.send.clone();
        let (response, body) = self.runtime.block_on(async {
            let mut send = timeout(PATIENCE, send.ready()).await.expect("room").expect("a stream");
            let (response, mut stream) =
                send.send_request(head, body.is_empty()).expect("a stream");
            if !body.is_empty() {
                // It may be answered already.
                let _ = stream.send_data(body, true);
            }
            (response, stream)
        });
        Stream { runtime: Arc::clone(&self.runtime), response, send: body, arrived: None }
    }

    /// Sends a request and reads its answer.
    #[must_use]
    pub fn exchange(&self, request: &Request) -> Response {
        self.start(request).response()
    }

    /// How many requests at once the broker lets be.
    #[must_use]
    pub fn streams_max(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// Waits for the connection's end; whether it came in good order.
    pub fn ended(&mut self) -> Result<(), h2::Error> {
        let driver = self.driver.take().expect("a connection that is not over");
        let ended = self.runtime.block_on(async { timeout(PATIENCE, driver).await });
        ended.expect("the connection's end").expect("a task")
    }

    /// Whether the connection lasts for so long.
    #[must_use]
    pub fn lasts(&mut self, time: Duration) -> bool {
        let driver = self.driver.as_mut().expect("a connection that is not over");
        self.runtime.block_on(async { timeout(time, driver).await }).is_err()
    }

    /// Breaks the connection off, whatever is under way.
    pub fn cut(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.abort();
            let _ = self.runtime.block_on(driver);
        }
    }
}

async fn begin<T>(io: T, window: u32) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = client::Builder::new();
    // A response that nobody has read yet takes nothing from the others.
    builder.initial_window_size(window).initial_connection_window_size(1 << 24);
    let (send, connection) = builder.handshake(io).await.expect("a connection");
    (send, tokio::spawn(connection))
}

/// A request that was sent.
#[derive(Debug)]
pub struct Stream {
    runtime: Arc<Runtime>,
    response: ResponseFuture,
    send: SendStream<Bytes>,
    arrived: Option<::http::Response<RecvStream>>,
}

impl Stream {
    /// The head of the answer has come, or is waited for.
    async fn head(
        response: &mut ResponseFuture,
        arrived: &mut Option<::http::Response<RecvStream>>,
    ) -> Result<(), h2::Error> {
        if arrived.is_none() {
            *arrived = Some(response.await?);
        }
        Ok(())
    }

    /// Whether no answer comes for a short while.
    #[must_use]
    pub fn is_waiting(&mut self) -> bool {
        let Self { runtime, response, arrived, .. } = self;
        runtime.block_on(async { timeout(A_WHILE, Self::head(response, arrived)).await.is_err() })
    }

    /// Waits until the answer has begun; nothing of its body is taken.
    pub fn begun(&mut self) {
        let Self { runtime, response, arrived, .. } = self;
        let head =
            runtime.block_on(async { timeout(PATIENCE, Self::head(response, arrived)).await });
        head.expect("an answer in time").expect("an answer");
    }

    /// The whole answer.
    #[must_use]
    pub fn response(&mut self) -> Response {
        self.try_response().expect("an answer")
    }

    /// The whole answer.
    ///
    /// # Errors
    /// When the stream or the connection ends before it.
    pub fn try_response(&mut self) -> Result<Response, h2::Error> {
        let Self { runtime, response, arrived, .. } = self;
        let mut body = Vec::new();
        let whole = async {
            Self::head(response, arrived).await?;
            let (head, mut stream) = arrived.take().expect("a head").into_parts();
            while let Some(data) = stream.data().await {
                let data = data?;
                body.extend_from_slice(&data);
                stream.flow_control().release_capacity(data.len())?;
            }
            let header = |(name, value): (&::http::HeaderName, &::http::HeaderValue)| {
                (name.to_string(), value.to_str().expect("a header in ASCII").to_owned())
            };
            Ok(Response {
                version: "HTTP/2".to_owned(),
                status: head.status.as_u16(),
                headers: head.headers.iter().map(header).collect(),
                body: Vec::new(),
            })
        };
        let whole = runtime.block_on(async { timeout(PATIENCE, whole).await });
        let whole =
            whole.unwrap_or_else(|_| panic!("an answer in time, {} bytes came", body.len()));
        whole.map(|response| Response { body, ..response })
    }

    /// Takes what comes and makes no room for more, until the stream breaks off: how many bytes that
    /// were, and what became of it.
    #[must_use]
    pub fn starve(&mut self) -> (usize, h2::Error) {
        let Self { runtime, arrived, .. } = self;
        let body = arrived.as_mut().expect("an answer that has begun").body_mut();
        let all = async {
            let mut count = 0;
            loop {
                match body.data().await.expect("no good end") {
                    Ok(data) => count += data.len(),
                    Err(error) => return (count, error),
                }
            }
        };
        runtime.block_on(async { timeout(PATIENCE, all).await }).expect("an end in time")
    }

    /// The answer's messages.
    #[must_use]
    pub fn answer(&mut self) -> Vec<Value> {
        self.response().messages()
    }

    /// Gives the request up, and no other.
    pub fn reset(mut self) {
        self.send.send_reset(Reason::CANCEL);
        // What is left of it would do the same, later.
        self.runtime.block_on(tokio::task::yield_now());
    }
}
