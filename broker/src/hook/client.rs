//! How the hook is asked: one POST a question, over connections that are kept for the next.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Response, StatusCode, Url};
use sha2::Sha256;

use super::HookOptions;
use super::answer::Answer;
use super::question::{Question, hex};
use super::stats::Outcome;

/// How long a connection may be idle and still be used: less than the five seconds after which node's
/// servers close theirs, so that no question meets a closing one.
const IDLE: Duration = Duration::from_secs(4);
/// The headers of a signed question.
const SIGNATURE: &str = "x-weft-signature";
const TIMESTAMP: &str = "x-weft-timestamp";

/// What keeps the hook from being asked at all.
#[derive(Debug)]
pub struct InvalidHook(String);

impl fmt::Display for InvalidHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidHook {}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// No place was free in time.
    Busy,
    /// It took too long.
    TooSlow,
    /// There is no connection, or it broke.
    Unreachable(String),
    /// It says that it cannot, or it is elsewhere.
    Status(StatusCode),
    /// The answer is too large.
    TooLarge,
    /// The answer is none.
    Garbage(String),
}

impl Trouble {
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Busy => Outcome::Busy,
            Self::TooSlow => Outcome::Timeout,
            Self::Unreachable(_) => Outcome::Unreachable,
            Self::Status(_) | Self::TooLarge | Self::Garbage(_) => Outcome::Invalid,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => {
                f.write_str("hook.concurrent calls are in flight, and none ended in time")
            }
            Self::TooSlow => f.write_str("no answer within hook.timeout"),
            Self::Unreachable(why) => write!(f, "not to be reached: {why}"),
            Self::Status(status) if status.is_redirection() => {
                write!(f, "it answers with {status}: redirects are not followed")
            }
            Self::Status(status) => write!(f, "it answers with {status}"),
            Self::TooLarge => f.write_str("the answer is larger than hook.body_max"),
            Self::Garbage(why) => write!(f, "the answer is none: {why}"),
        }
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        // Its own text has the URL, which may have a password in it.
        let mut text = String::new();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text = cause.to_string();
            source = cause.source();
        }
        Self::Unreachable(if text.is_empty() { error.without_url().to_string() } else { text })
    }
}

/// The client.
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    /// Host and port, for those who read the log.
    name: String,
    mac: Option<Hmac<Sha256>>,
    body_max: usize,
    start: u64,
    asked: AtomicU64,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.name)
    }
}

impl Client {
    pub(super) fn new(options: &HookOptions) -> Result<Self, InvalidHook> {
        let invalid = |what: &str, why: &dyn fmt::Display| InvalidHook(format!("{what}: {why}"));
        let url = Url::parse(&options.url).map_err(|error| invalid("hook.url", &error))?;
        let Some(host) = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https")) else {
            return Err(InvalidHook("hook.url: no http:// or https:// URL".to_owned()));
        };
        let name = match url.port_or_known_default() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .http1_only()
            .connect_timeout(options.timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.concurrent.saturating_mul(2));
        if let Some(pem) = &options.certificates {
            let certificates = Certificate::from_pem_bundle(pem)
                .ok()
                .filter(|certificates| !certificates.is_empty())
                .ok_or_else(|| InvalidHook("hook.ca: no certificates in PEM".to_owned()))?;
            builder = builder.tls_certs_only(certificates);
        } else if url.scheme() == "http" {
            // The system's certificates are not asked for, and may be lacking.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| invalid("hook", &error))?;
        let mac = options.secret.as_ref().map(|secret| Hmac::new_from_slice(secret.as_bytes()));
        let mac = mac.transpose().map_err(|error| invalid("hook.secret", &error))?;
        let mut start = [0; 8];
        getrandom::fill(&mut start).map_err(|error| invalid("hook", &error))?;
        let (asked, start) = (AtomicU64::new(0), u64::from_le_bytes(start));
        Ok(Self { http, url, name, mac, body_max: options.body_max, start, asked })
    }

    /// Whom it asks.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// An id for a question.
    pub(super) fn next_id(&self) -> String {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{number}", self.start)
    }

    /// Asks. A question whose connection broke before any answer came is asked once more, under the
    /// same id, if it may be: a decision is no deed.
    pub(super) async fn ask(
        &self,
        question: &Question<'_>,
        again: bool,
    ) -> Result<Answer, Trouble> {
        let now = question.wall_us / 1_000_000;
        let body = question.spell();
        let sent = match self.post(body.clone(), now).await {
            Err(error) if again && !error.is_connect() && !error.is_timeout() => {
                self.post(body, now).await
            }
            sent => sent,
        };
        let mut response = sent?;
        let status = response.status();
        if status != StatusCode::OK && !status.is_client_error() {
            return Err(Trouble::Status(status));
        }
        let body = self.read(&mut response).await;
        if status.is_client_error() {
            return Ok(Answer::refusal(status.as_u16(), &body.unwrap_or_default()));
        }
        Answer::read(&body?, now).map_err(|error| Trouble::Garbage(error.to_string()))
    }

    async fn post(&self, body: String, now: i64) -> Result<Response, reqwest::Error> {
        let json = HeaderValue::from_static("application/json");
        let mut request = self.http.post(self.url.clone()).header(CONTENT_TYPE, json);
        if let Some(mac) = &self.mac {
            let mut mac = mac.clone();
            mac.update(format!("{now}.").as_bytes());
            mac.update(body.as_bytes());
            let code = hex(mac.finalize().into_bytes().iter());
            request = request.header(TIMESTAMP, now).header(SIGNATURE, format!("sha256={code}"));
        }
        request.body(body).send().await
    }

    /// The body, as far as it may be.
    async fn read(&self, response: &mut Response) -> Result<Vec<u8>, Trouble> {
        let announced = response.content_length().unwrap_or(0);
        if usize::try_from(announced).map_or(true, |bytes| bytes > self.body_max) {
            return Err(Trouble::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > self.body_max {
                return Err(Trouble::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
