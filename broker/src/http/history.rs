//! `GET /history/<channel>`: what is kept of a channel, a page at a time.
//!
//! A page is memory until its reader has taken it, so it has its share of the memory for bodies.

use std::fmt::Write;
use std::num::NonZero;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use http::Response;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::Semaphore;
use weft_protocol::Error;

use super::accept::takes_gzip;
use super::api::{Api, Refusal, answer, channel_of};
use super::bayeux::Head;
use super::body::{FREE_BYTES, Share};
use super::gzip::Coding;
use crate::core::history::{History, Since};
use crate::core::past::Page;
use crate::limits::What;

const METHODS: &str = "GET, HEAD, OPTIONS";
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 10_000;
/// Bytes of messages in one answer, whatever the limit; one message always fits.
const BYTES: usize = 4 << 20;
/// Half of the processors make pages, each one after the other, so that others have their turn between
/// two of them.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    Semaphore::new(processors.div_ceil(2))
});

/// Answers a request below `/history`; `path` is what stands behind that.
pub async fn handle(api: Arc<Api>, head: Head, path: String) -> Response<Bytes> {
    if let Some(refused) = api.refuse(&head.method, &head.headers, METHODS) {
        return refused;
    }
    let mut response = match read(&api, &path, &head).await {
        Ok((page, coding)) => {
            let mut response = answer(page);
            coding.tell(&mut response);
            response
        }
        Err(refused) => refused.response(METHODS),
    };
    api.allow(&head.headers, &mut response);
    response
}

/// A page, and what it takes of the memory for bodies until it is written.
struct Spelled {
    page: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Spelled {
    fn as_ref(&self) -> &[u8] {
        &self.page
    }
}

async fn read(api: &Api, path: &str, head: &Head) -> Result<(Bytes, Coding), Refusal> {
    if !api.history {
        return Err(Refusal::new(404, "history is not served here"));
    }
    let channel = channel_of(path)?;
    let name = api.name(&channel).map_err(|error| match error {
        Error::PublishDenied(name) => Refusal::new(403, format!("403:{name}:history_denied")),
        error => error.into(),
    })?;
    let (since, limit) = asked(&head.query)?;
    let asker = api.admit(head, "history").await?;
    api.take(What::Messages, api.payer(head, &asker), 1)?;
    api.guard().may_look_back(&asker, &[&channel])?;
    let may = api.guard().hook_may_read(&asker, None, (&[&channel], true)).await;
    may.map_err(|error| match error {
        Error::SubscribeDenied(names) => Error::HistoryDenied(names),
        error => error,
    })?;
    let body = &api.endpoint.body;
    let share = tokio::time::timeout(body.time, body.budget.share(BYTES)).await;
    let Ok(Some(mut share)) = share else { return Err(Error::Overloaded.into()) };
    let page = Page { messages: limit, bytes: BYTES };
    let text = {
        let _turn = TURNS.acquire().await.map_err(|_| Error::Overloaded)?;
        // It may have waited for a while.
        api.guard().may_look_back(&asker, &[&channel])?;
        spell(&channel, &api.broker.history(name, since, page)?)
    };
    let (page, coding) = api.endpoint.gzip.code(takes_gzip(&head.headers), text.into_bytes()).await;
    if page.len() <= FREE_BYTES {
        return Ok((page.into(), coding));
    }
    share.shrink(page.len());
    Ok((Bytes::from_owner(Spelled { page, _share: share }), coding))
}

/// What a query asks for: from where on, and how many messages.
///
/// # Errors
/// 400 if `since` names no place.
pub fn asked(query: &str) -> Result<(Since, usize), Refusal> {
    let (mut since, mut limit) = (Since::All, LIMIT);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "since" => since = self::since(&value)?,
            "limit" => limit = self::limit(&value),
            _ => {}
        }
    }
    Ok((since, limit))
}

/// Never refused (decisions 2): what is no number is the default, what is out of bounds the bound.
fn limit(text: &str) -> usize {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return LIMIT;
    }
    if digits.len() < text.len() {
        return 1;
    }
    digits.parse().unwrap_or(LIMIT_MAX).clamp(1, LIMIT_MAX)
}

/// A position, -2 for all, or a time.
fn since(text: &str) -> Result<Since, Refusal> {
    match text.parse::<i64>() {
        Ok(-2) => return Ok(Since::All),
        Ok(position @ 0..) => return Ok(Since::Position(position)),
        Ok(_) => return Err(Refusal::new(400, "since is a position, -2 for all, or a time")),
        Err(_) => {}
    }
    let time = time_us(text);
    time.map(Since::Time)
        .ok_or_else(|| Refusal::new(400, "since is a position, -2 for all, or a time (RFC 3339)"))
}

/// A time of RFC 3339, in microseconds since 1970.
#[must_use]
pub fn time_us(text: &str) -> Option<i64> {
    // A plus sign in a query is a space, unless it was escaped.
    let time = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1_000).ok()
}

fn spell(channel: &str, history: &History) -> String {
    let bytes: usize = history.frames.iter().map(|frame| frame.text().len() + 80).sum();
    let mut out = String::with_capacity(bytes + 160);
    let _ = write!(out, r#"{{"channel":"{channel}","messages":["#);
    for (index, frame) in history.frames.iter().enumerate() {
        let (data, ext) = frame.parts();
        let time = crate::core::time::to_micros(frame.time_us());
        let comma = if index == 0 { "" } else { "," };
        let position = frame.position();
        let _ = write!(out, r#"{comma}{{"position":{position},"time":"{time}","data":{data}"#);
        if let Some(ext) = ext {
            let _ = write!(out, r#","ext":{ext}"#);
        }
        out.push('}');
    }
    let _ = write!(out, r#"],"next":{}"#, history.next);
    if let Some(gap) = &history.gap {
        let (from, to) = (gap.from, gap.to);
        let _ = write!(out, r#","gap":[{{"channel":"{channel}","from":{from},"to":{to}}}]"#);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_refused() {
        for (text, limit) in [
            ("1", 1),
            ("007", 7),
            ("0", 1),
            ("-5", 1),
            ("10001", 10_000),
            ("99999999999999999999999", 10_000),
            ("-99999999999999999999999", 1),
            ("", 100),
            ("-", 100),
            ("x", 100),
            ("1.5", 100),
            ("1e9", 100),
        ] {
            assert_eq!(self::limit(text), limit, "{text}");
        }
    }

    #[test]
    fn since_is_a_position_all_or_a_time() {
        assert_eq!(since("-2").ok(), Some(Since::All));
        assert_eq!(since("1800000000000000").ok(), Some(Since::Position(1_800_000_000_000_000)));
        let time = Some(Since::Time(1_763_856_000_500_000));
        for text in
            ["2025-11-23T00:00:00.5Z", "2025-11-23T01:00:00.5+01:00", "2025-11-23T01:00:00.5 01:00"]
        {
            assert_eq!(since(text).ok(), time, "{text}");
        }
        for text in ["", "-1", "-3", "x", "2025-11-23", "1.5"] {
            assert_eq!(since(text).map_err(|refused| refused.status), Err(400), "{text}");
        }
    }
}
