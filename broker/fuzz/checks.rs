// What each fuzz target asserts: shared with `tests/corpus.rs`, so that plain `cargo test` runs the
// same over the saved corpus.

use std::sync::OnceLock;

use http::header::{ACCEPT_ENCODING, COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use weft_broker::config;
use weft_broker::core::history::Since;
use weft_broker::core::reader::Beginning;
use weft_broker::http::api::{Refusal, channel_of};
use weft_broker::http::cookie::{CookieOptions, Cookies};
use weft_broker::http::origins::{AllowedOrigin, Origins, Verdict};
use weft_broker::http::streams::{self, Asked};
use weft_broker::http::{accept, credentials, event_source, history};
use weft_protocol::{ChannelLimits, ChannelName, Pattern};

/// Invariant: whatever stands in a file (up to the first zero byte) and in variables (one a line, after
/// it), it is a configuration, which means the same once it is written down, or each mistake is
/// a line that says where it stands.
pub(crate) fn config(bytes: &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let file = parts.next().unwrap_or_default();
    let variables = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let pairs = variables.lines().filter_map(|line| line.split_once('='));
    let env = pairs.map(|(name, value)| (format!("WEFT_{name}"), value.to_owned()));
    match config::of("weft.toml", file.to_vec(), env) {
        Ok(config) => {
            let text = toml::to_string(&config).expect("it can be written down");
            let again = config::of("again.toml", text.into_bytes(), std::iter::empty());
            assert_eq!(again.expect("what was written down"), config);
        }
        Err(error) => {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            let text = error.to_string();
            assert!(!text.is_empty());
            text.lines().for_each(|line| assert!(is_placed(line, lines), "{text}"));
        }
    }
}

/// `weft.toml:LINE:COLUMN: …`, or the name of a variable or of a key.
fn is_placed(line: &str, lines: usize) -> bool {
    let Some((place, text)) = line.split_once(": ") else { return false };
    let known = |c: char| c.is_ascii_alphanumeric() || "_.[], ".contains(c);
    let place = match place.strip_prefix("weft.toml:") {
        Some(place) => place.split_once(':').is_some_and(|(row, column)| {
            let row = row.parse().is_ok_and(|row: usize| (1..=lines).contains(&row));
            row && column.parse().is_ok_and(|column: usize| column > 0)
        }),
        None => place.chars().all(known),
    };
    place && !text.is_empty()
}

/// Invariant: of three lines, a path, a query and a `Last-Event-ID`, none panics; what is accepted is
/// a channel, or a list of patterns, that clients may have; what is refused is said in JSON.
pub(crate) fn path(bytes: &[u8]) {
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (path, query, id) = (line(), line(), line());
    let (Ok(path), Ok(query)) = (std::str::from_utf8(path), std::str::from_utf8(query)) else {
        return;
    };
    let limits = ChannelLimits::default();
    if let Ok(name) = channel_of(path) {
        // Decoding makes no segments, and unmakes none.
        assert_eq!(name.matches('/').count(), path.matches('/').count());
        assert!(name.is_empty() || name.starts_with('/'));
        if ChannelName::parse(&name, &limits).is_ok() {
            assert_eq!(channel_of(&name).as_ref(), Ok(&name));
        }
    }
    let mut headers = HeaderMap::new();
    if let Ok(id) = HeaderValue::from_bytes(id) {
        headers.insert("last-event-id", id);
    }
    match streams::asked(&limits, path, query, &headers) {
        Ok(Asked { patterns, from, padding }) => {
            assert!(!patterns.is_empty());
            for text in &patterns {
                let pattern = Pattern::parse(text, &limits).expect("patterns are checked");
                assert!(!pattern.is_meta() && !pattern.is_service());
            }
            assert!(padding.is_none_or(|padding| padding <= 64 << 10));
            assert!(!matches!(from, Beginning::Position(..0)));
        }
        Err(refusal) => refused(&refusal),
    }
    match history::asked(query) {
        Ok((since, limit)) => {
            assert!((1..=10_000).contains(&limit));
            assert!(!matches!(since, Since::Position(..0)));
        }
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &Refusal) {
    assert!(matches!(refusal.status, 400 | 403 | 405), "{refusal:?}");
    let response = refusal.response("GET");
    assert_eq!(response.status().as_u16(), refusal.status);
    let body: serde_json::Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(body.get("error").and_then(|error| error.as_str()), Some(&*refusal.text));
}

/// Invariant: of a request's headers, one a line, none panics. Nobody is a browser but by a cookie of
/// ours (`@` stands for one), no page is welcome that is not in the list, of this host or of
/// loopback, and nothing is compressed for who refuses gzip.
pub(crate) fn head(bytes: &[u8]) {
    let cookie = ours().1.as_str();
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
        let value = parts.next().unwrap_or_default();
        let value: Vec<u8> = value
            .iter()
            .flat_map(
                |byte| if *byte == b'@' { cookie.as_bytes() } else { std::slice::from_ref(byte) },
            )
            .copied()
            .collect();
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.trim_ascii())) {
            headers.append(name, value);
        }
    }
    let holds = |name: HeaderName, text: &str| {
        headers.get_all(name).iter().any(|value| value.to_str().is_ok_and(|v| v.contains(text)))
    };
    if ours().0.browser(&headers).is_some() {
        assert!(holds(COOKIE, cookie));
    }
    for loopback in [false, true] {
        origins(&headers, loopback);
    }
    if let Ok(Some(shown)) = credentials::named(&headers) {
        assert_eq!(shown.trim(), shown);
        assert!(headers.values().any(|value| value.to_str().is_ok_and(|v| v.contains(shown))));
    }
    let _ = event_source::is_wanted(&Method::GET, &headers);
    if accept::takes_gzip(&headers) {
        assert!(holds(ACCEPT_ENCODING, "*") || holds(ACCEPT_ENCODING, "z"), "{headers:?}");
    }
    headers.append(ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0"));
    assert!(!accept::takes_gzip(&headers));
}

/// What signs cookies, and the value of one.
fn ours() -> &'static (Cookies, String) {
    static OURS: OnceLock<(Cookies, String)> = OnceLock::new();
    OURS.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("weft-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let options = CookieOptions { name: "B".to_owned(), same_site: "Lax", secure: false };
        let cookies = Cookies::open(options, &folder).expect("a key");
        std::fs::remove_dir_all(&folder).expect("nobody needs the folder");
        let line = cookies.issue().expect("entropy");
        let pair = line.to_str().expect("text").split(';').next().unwrap_or_default().to_owned();
        (cookies, pair.split_once('=').expect("a pair").1.to_owned())
    })
}

fn origins(headers: &HeaderMap, loopback: bool) {
    let entry = |host: &str, wildcard| AllowedOrigin {
        scheme: "https".to_owned(),
        host: host.to_owned(),
        port: 443,
        wildcard,
    };
    let allowed = vec![entry("app.test", false), entry("b.test", true)];
    let rule = Origins { allowed, loopback };
    let _ = rule.host_is_ours(headers);
    let far = [192, 0, 2, 1].into();
    if rule.script_is_welcome(headers, far) {
        assert!(headers.contains_key("referer") || headers.contains_key("sec-fetch-site"));
    }
    let Verdict::Allowed(origin) = rule.judge(headers) else { return };
    assert_eq!(headers.get_all("origin").iter().count(), 1);
    let origin = origin.to_str().expect("text").to_ascii_lowercase();
    let (scheme, rest) = origin.split_once("://").expect("a scheme");
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority
        .rsplit_once(':')
        .map_or(authority, |(host, port)| if port.contains(']') { authority } else { host });
    let listed = scheme == "https" && (host == "app.test" || host.ends_with(".b.test"));
    let near = host == "localhost" || host.starts_with("127.") || host.starts_with('[');
    let asked = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let same = asked.to_ascii_lowercase().starts_with(host);
    assert!(listed || same || (loopback && near), "{headers:?}");
    assert!(!authority.contains('@'));
}
