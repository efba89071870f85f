// What each fuzz target asserts: shared with `tests/corpus.rs`, so that plain `cargo test` runs the
// same over the saved corpus.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{ACCEPT_ENCODING, COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};
use weft_broker::auth::algorithm::Algorithm;
use weft_broker::auth::options::{AuthOptions, KeyPlace, SourceOptions};
use weft_broker::auth::{Access, Unidentified, json, token};
use weft_broker::config;
use weft_broker::core::history::Since;
use weft_broker::core::principal::Principal;
use weft_broker::core::reader::Beginning;
use weft_broker::http::api::{Refusal, channel_of};
use weft_broker::http::cookie::{CookieOptions, Cookies, Secure};
use weft_broker::http::lean::reading;
use weft_broker::http::origins::{AllowedOrigin, Origins, Verdict};
use weft_broker::http::proxies::Proxies;
use weft_broker::http::proxy_header::{self, Fault, Parsed};
use weft_broker::http::streams::{self, Asked};
use weft_broker::http::{accept, credentials, event_source, history};
use weft_broker::server;
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
    let body: Value = serde_json::from_slice(response.body()).expect("JSON");
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
        let options = CookieOptions {
            name: "B".to_owned(),
            same_site: "Lax",
            secure: Secure::Auto,
            http_only: true,
            partitioned: false,
        };
        let cookies = Cookies::open(options, &folder).expect("a key");
        std::fs::remove_dir_all(&folder).expect("nobody needs the folder");
        let line = cookies.issue(false).expect("entropy");
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
    let near = host == "localhost"
        || host.starts_with("127.")
        || (host.starts_with('[') && host.ends_with(']'));
    let asked = headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let same = asked.to_ascii_lowercase().starts_with(host);
    assert!(listed || same || (loopback && near), "{headers:?}");
    assert!(!authority.contains('@'));
}

/// Invariant: no bytes panic as a PROXY header; one that is complete says the same whatever follows it,
/// is incomplete as long as any of it is missing, and what begins none never will. As lines of
/// `X-Forwarded-For`, what a client puts to the left changes nothing, and no proxy is a client but
/// where all are proxies.
pub(crate) fn proxied(bytes: &[u8]) {
    match proxy_header::parse(bytes) {
        Ok(Parsed { length, source }) => {
            assert!(length <= proxy_header::MAX && length <= bytes.len());
            assert!(source.is_none_or(|source| source == source.to_canonical()));
            let (header, rest) = bytes.split_at(length);
            assert_eq!(proxy_header::parse(header), Ok(Parsed { length, source }));
            let more = [header, b"PROXY ", rest].concat();
            assert_eq!(proxy_header::parse(&more), Ok(Parsed { length, source }));
            for end in [0, 1, length / 2, length - 1] {
                assert_eq!(proxy_header::parse(&bytes[..end]), Err(Fault::Incomplete));
            }
        }
        Err(Fault::Incomplete) => assert!(bytes.len() < proxy_header::MAX),
        Err(Fault::Malformed) => {
            let more = [bytes, b"\r\nPROXY TCP4 192.0.2.1 192.0.2.2 1 1\r\n"].concat();
            assert_eq!(proxy_header::parse(&more), Err(Fault::Malformed));
        }
    }
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line.trim_ascii()) {
            headers.append("x-forwarded-for", value);
        }
    }
    let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|net| net.parse().expect("a network"));
    let proxies = Proxies { trusted: trusted.to_vec(), forwarded: true, protocol: false };
    let Some(client) = proxies.client(&headers) else { return };
    let said = IpAddr::from([192, 0, 2, 77]);
    let mut forged = HeaderMap::new();
    forged.append("x-forwarded-for", HeaderValue::from_static("192.0.2.77"));
    headers.get_all("x-forwarded-for").iter().for_each(|value| {
        forged.append("x-forwarded-for", value.clone());
    });
    let expected = if proxies.trusts(client) { said } else { client };
    assert_eq!(proxies.client(&forged), Some(expected));
}

/// Invariant: no text is a token but in one spelling, and none lets anybody in but by the right secret;
/// here a header and claims, a line each, are signed in the way that the third line says. Who is let in
/// is the subject, and not yet expired.
pub(crate) fn token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && token::peek(text).is_ok()
    {
        let parts: Vec<Vec<u8>> =
            text.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).expect("checked")).collect();
        let again: Vec<String> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        assert_eq!(again.join("."), text);
    }
    let mut lines = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (header, claims, how) = (line(), line(), line());
    strict(header);
    strict(claims);
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let right = sign(SECRET, &message);
    let signature = match how {
        b"" => right.clone(),
        b"public" => sign(SET, &message),
        other => other.to_vec(),
    };
    let text = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
    if let Ok(who) = identify(door(), &text) {
        assert_eq!(signature, right);
        let header = json::object(header).expect("a header");
        assert_eq!(header.get("alg"), Some(&Value::from("HS256")));
        assert!(!header.contains_key("crit"));
        let claims = json::object(claims).expect("claims");
        let subject = claims.get("sub").expect("a subject");
        assert_eq!(*who.subject, subject.as_str().map_or_else(|| subject.to_string(), Into::into));
        assert!(!who.subject.is_empty() && !who.subject.contains(char::is_control));
        assert!(who.expires.is_some_and(|until| until > 1_790_000_000));
        for other in [format!("{text}="), format!(" {text}"), format!("{text}.")] {
            assert_eq!(identify(door(), &other).err(), Some(Unidentified::Malformed));
        }
    }
}

/// JSON with no name twice is what `serde_json` makes of it, and nothing else is taken. What is refused is
/// taken once each name stands there once.
fn strict(bytes: &[u8]) {
    let lenient = serde_json::from_slice::<Map<String, Value>>(bytes).ok();
    let strict = json::object(bytes);
    if let (None, Some(lenient)) = (&strict, &lenient) {
        let once = serde_json::to_vec(lenient).expect("JSON");
        // Not equal to the first: large numbers may lose their last bit on the way.
        assert!(json::object(&once).is_some());
    } else {
        assert_eq!(strict, lenient);
    }
}

/// Invariant: whatever a file of keys holds (a JWK Set, or PEM behind a first zero byte), it is taken or
/// refused with a reason, and what it holds never serves as a secret.
pub(crate) fn keys(bytes: &[u8]) {
    let file = std::env::temp_dir().join(format!("weft-fuzz-keys-{}", std::process::id()));
    match bytes.strip_prefix(&[0]) {
        // There is one key in such a file, so the algorithms are of one kind.
        Some(pem) => {
            std::fs::write(&file, pem).expect("a file");
            serves(pem, &[Algorithm::Es256], KeyPlace::Pem(file.clone()));
            serves(pem, &[Algorithm::Rs256, Algorithm::Ps512], KeyPlace::Pem(file.clone()));
        }
        None => {
            std::fs::write(&file, bytes).expect("a file");
            serves(bytes, &Algorithm::ALL, KeyPlace::SetFile(file.clone()));
        }
    }
    std::fs::remove_file(file).expect("it was there");
}

fn serves(bytes: &[u8], algorithms: &[Algorithm], place: KeyPlace) {
    let options = AuthOptions {
        open: false,
        sources: vec![source("k", algorithms, place)],
        ..AuthOptions::default()
    };
    let access = match Access::from_options(options) {
        Ok(access) => access,
        Err(error) => return assert!(!error.is_empty()),
    };
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"a","exp":4102444800}"#);
    for name in ["HS256", "none", "ES256", "RS256"] {
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"{name}"}}"#));
        let message = format!("{header}.{claims}");
        for secret in [bytes, b"", bytes.trim_ascii()] {
            let signature = URL_SAFE_NO_PAD.encode(sign(secret, &message));
            assert!(identify(&access, &format!("{message}.{signature}")).is_err());
        }
    }
}

const SECRET: &[u8] = b"fuzzers do not guess this, or so we hope";
/// Two public keys: those of the examples in RFC 7515 and RFC 8037.
const SET: &[u8] = br#"{"keys":[
{"kty":"EC","crv":"P-256","kid":"1","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
{"kty":"OKP","crv":"Ed25519","kid":"2","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn source(name: &str, algorithms: &[Algorithm], place: KeyPlace) -> SourceOptions {
    SourceOptions {
        name: name.to_owned(),
        algorithms: algorithms.to_vec(),
        place,
        issuer: None,
        audience: Vec::new(),
        require_exp: true,
        max_age: None,
    }
}

/// Who lets in whoever has a token of [`SECRET`], or of a key in [`SET`].
fn door() -> &'static Access {
    static DOOR: OnceLock<Access> = OnceLock::new();
    DOOR.get_or_init(|| {
        let file = std::env::temp_dir().join(format!("weft-fuzz-set-{}", std::process::id()));
        std::fs::write(&file, SET).expect("a file");
        let public = [Algorithm::Es256, Algorithm::EdDsa];
        let options = AuthOptions {
            open: false,
            sources: vec![
                source("s", &[Algorithm::Hs256], KeyPlace::Secret(SECRET.to_vec())),
                source("p", &public, KeyPlace::SetFile(file.clone())),
            ],
            ..AuthOptions::default()
        };
        let access = Access::from_options(options).expect("keys");
        std::fs::remove_file(file).expect("it was read");
        access
    })
}

fn sign(secret: &[u8], message: &str) -> Vec<u8> {
    let mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("any length will do");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}

/// Keys that are here are not waited for.
fn identify(access: &Access, text: &str) -> Result<Arc<Principal>, Unidentified> {
    match pin!(access.identify(text)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("{text}: waits"),
    }
}

/// Invariant: no bytes panic on the lean path, wherever they are cut (the first byte says where); what is
/// read of them is the same, is a part of what came, and stays the same whatever follows.
pub(crate) fn lean(bytes: &[u8]) {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let mounts = ["/bayeux".to_owned()];
    let whole = reading::read(&[bytes], &mounts);
    assert!(bytes.ends_with(&whole.left));
    let bodies: usize = whole.requests.iter().map(|(_, body)| body.len()).sum();
    assert!(bodies + whole.left.len() <= bytes.len());
    let (first, second) = bytes.split_at(usize::from(*cut).min(bytes.len()));
    for mut cut in [
        reading::read(&[first, second], &mounts),
        reading::read(&bytes.chunks(1).collect::<Vec<_>>(), &mounts),
    ] {
        if whole.is_broken {
            // What came before the mistake may be taken by then, or not yet.
            cut.left.clone_from(&whole.left);
        }
        assert_eq!(cut, whole);
    }
    let more = reading::read(&[bytes, b"POST /bayeux HTTP/1.1\r\nHost: a\r\n\r\n"], &mounts);
    assert!(more.requests.starts_with(&whole.requests) && (more.is_broken || !whole.is_broken));
}

/// Invariant: whatever is written into a connection, it comes to an end soon after its other side has
/// ended (a stream behind which another request waits: when it is as old as streams become), nobody panics, and what is answered is HTTP that may not be kept or taken for something else.
pub(crate) fn wire(bytes: &[u8]) {
    let mut socket = TcpStream::connect(broker()).expect("the broker listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    // It may have heard enough before all of it is sent.
    let _ = socket.write_all(bytes).and_then(|()| socket.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    if let Err(error) = socket.take(8 << 20).read_to_end(&mut answer) {
        let gone = error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(gone, "{error}: {}", String::from_utf8_lossy(&answer));
    }
    if answer.is_empty() || bytes.starts_with(b"PRI ") {
        return;
    }
    let text = String::from_utf8_lossy(&answer);
    let head = text.split_once("\r\n\r\n").map_or(&*text, |(head, _)| head).to_ascii_lowercase();
    assert!(head.starts_with("http/1."), "{text}");
    let first = head.lines().next().unwrap_or_default();
    if !first.contains(" 1") {
        assert!(head.contains("\r\ncache-control: no-cache, no-store"), "{text}");
        assert!(head.contains("\r\nx-content-type-options: nosniff"), "{text}");
    }
}

/// A broker in this process, with little of everything, for as long as the process lives.
fn broker() -> SocketAddr {
    static BROKER: OnceLock<SocketAddr> = OnceLock::new();
    *BROKER.get_or_init(|| {
        let data = std::env::temp_dir().join(format!("weft-fuzz-data-{}", std::process::id()));
        let file = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = {data:?}\n\
             [sessions]\nmax = 500\nmax_interval = \"1s\"\ntimeout = \"100ms\"\n\
             [streams]\nmax_age = \"1s\"\n[store]\nkind = \"memory\"\n"
        );
        let config = config::of("wire.toml", file.into_bytes(), std::iter::empty());
        let config = config.expect("a configuration");
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let running = server::start(&config).await.expect("a broker");
                tell.send(running.listen).expect("somebody waits");
                std::future::pending::<()>().await;
            });
        });
        let address = told.recv().expect("it started");
        std::fs::remove_dir_all(data).expect("it has read its key");
        address
    })
}
