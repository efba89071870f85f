//! POSTs to one server, a connection for each lane, kept open between requests and never
//! pipelined: a lane sends its next request when it has the whole answer of the last (checklist
//! A10, R22).

use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, HOST},
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    body::Incoming as Body,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{net::TcpStream, time::timeout};

use crate::{ClientError, Options, cookies::Jar, wire::Incoming};

/// Where one client's requests go, and the cookies that go with them.
#[derive(Debug)]
pub(crate) struct Server {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: Uri,
    jar: Mutex<Jar>,
    connect_timeout: Duration,
    answer_bytes: usize,
}

impl Server {
    /// Of an `http` URL.
    pub(crate) fn new(url: &str, options: &Options) -> Result<Self, ClientError> {
        let bad = |why: &str| ClientError::Url(format!("{url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|_| bad("it is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(bad("only http:// is spoken"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("it holds a user's name"));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::try_from(authority.as_str()).map_err(|_| bad("odd host"))?,
            path: path.parse().map_err(|_| bad("odd path"))?,
            jar: Mutex::default(),
            connect_timeout: options.network_delay,
            answer_bytes: options.answer_bytes,
        })
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, self.authority.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if let Some(cookies) = self.jar.lock().header() {
            headers.insert(COOKIE, cookies);
        }
        request
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let open = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        };
        let stream = timeout(self.connect_timeout, open)
            .await
            .map_err(|_| "the server cannot be reached in time".to_owned())?
            .map_err(|error| format!("the server cannot be reached: {error}"))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|error| with_cause(&error))?;
        // It ends with the sender, or when the server closes; the sender tells of errors.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// One lane's connection, opened when needed. Dropping it, as a request given up does, closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    server: Arc<Server>,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// A connection that is not open yet.
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, sender: None }
    }

    /// Sends messages and reads the answer, all within `within`.
    ///
    /// # Errors
    /// [`ClientError::Refused`] for a status other than 200, and [`ClientError::Lost`].
    pub(crate) async fn post(
        &mut self,
        body: String,
        within: Duration,
    ) -> Result<Vec<Incoming>, ClientError> {
        match timeout(within, self.exchange(body.into())).await {
            Ok(answer) => answer,
            Err(_) => {
                self.sender = None;
                Err(ClientError::Lost("no answer in time".to_owned()))
            }
        }
    }

    async fn exchange(&mut self, body: Bytes) -> Result<Vec<Incoming>, ClientError> {
        let response = self.send(body).await.map_err(ClientError::Lost)?;
        let status = response.status();
        self.server.jar.lock().store(response.headers());
        let body = Limited::new(response.into_body(), self.server.answer_bytes);
        let body = body.collect().await.map_err(|error| {
            self.sender = None;
            ClientError::Lost(format!("the answer broke off: {error}"))
        })?;
        let body = body.to_bytes();
        if status != http::StatusCode::OK {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            return Err(ClientError::Refused(format!("HTTP {status}: {text}")));
        }
        Incoming::read(&body).map_err(ClientError::Lost)
    }

    /// Sends on the open connection or, if the server has closed that, on a new one. A request of
    /// which anything may have left is not sent twice.
    async fn send(&mut self, body: Bytes) -> Result<Response<Body>, String> {
        let mut request = self.server.request(body);
        if let Some(mut sender) = self.sender.take()
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.sender = Some(sender);
                    return Ok(response);
                }
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(with_cause(&error.into_error())),
                },
            }
        }
        let mut sender = self.server.connect().await?;
        let response = sender.send_request(request).await.map_err(|error| with_cause(&error))?;
        self.sender = Some(sender);
        Ok(response)
    }
}

/// The error's text and that of its cause, which says more.
fn with_cause(error: &hyper::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

#[cfg(test)]
mod tests;
