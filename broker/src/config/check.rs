//! The rules that one value's own type cannot hold: ranges, and values that must fit each other.
//!
//! All problems are found at once; each names the keys it is about, the likeliest culprit first.

use std::{borrow::Cow, fmt::Display, net::SocketAddr};

use tracing_subscriber::EnvFilter;

use super::channels::{covers, fault};
use super::hook;
use super::{
    AuthMode, ByteSize, Config, CookieSecure, HumanDuration, SameSite, check_auth, check_rules,
};

/// First segments of paths that mean something else.
const RESERVED: [&str; 6] = ["publish", "history", "events", "stream", "demo", "openapi.json"];
/// The longest gap that a client can sensibly be advised to leave.
const INTERVAL_MAX: HumanDuration = HumanDuration::secs(3_600);
/// The shortest time worth a timer.
const SHORT: HumanDuration = HumanDuration::millis(100);

/// Something that must be changed before the broker starts.
#[derive(Debug)]
pub(super) struct Problem {
    /// The keys it is about.
    pub(super) keys: Vec<Cow<'static, str>>,
    /// What is wrong and what would be right.
    pub(super) text: String,
}

/// All that is wrong with a configuration.
pub(super) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Problems(Vec::new());
    addresses(config, &mut problems);
    check_auth::check(config, &mut problems);
    check_rules::check(config, &mut problems);
    hook::check(config, &mut problems);
    mounts(config, &mut problems);
    websocket(config, &mut problems);
    sessions(config, &mut problems);
    browsers(config, &mut problems);
    limits(config, &mut problems);
    rates(config, &mut problems);
    http(config, &mut problems);
    tls(config, &mut problems);
    proxies(config, &mut problems);
    compression(config, &mut problems);
    log(config, &mut problems);
    store(config, &mut problems);
    streams(config, &mut problems);
    channels(config, &mut problems);
    problems.0
}

pub(super) struct Problems(Vec<Problem>);

impl Problems {
    /// Notes a problem unless `holds`.
    pub(super) fn unless(&mut self, holds: bool, keys: &[&'static str], text: impl Into<String>) {
        if !holds {
            let keys = keys.iter().map(|&key| key.into()).collect();
            self.0.push(Problem { keys, text: text.into() });
        }
    }

    /// Notes a problem of one entry of a list unless `holds`. Where the key is not given, the entry is
    /// the place; a problem of all of it has no key.
    pub(super) fn item(
        &mut self,
        holds: bool,
        (list, index): (&'static str, usize),
        key: &str,
        text: impl Into<String>,
    ) {
        if !holds {
            let entry = format!("{list}[{index}]");
            let mut keys = vec![entry.clone().into(), list.into()];
            if !key.is_empty() {
                keys.insert(0, format!("{entry}.{key}").into());
            }
            self.0.push(Problem { keys, text: text.into() });
        }
    }

    /// Notes a problem of one channel rule unless `holds`.
    fn rule(&mut self, holds: bool, index: usize, key: &str, text: impl Into<String>) {
        if !holds {
            // Where the key is not given, the rule is the place.
            let rule = format!("channels[{index}]");
            let keys = vec![format!("{rule}.{key}").into(), rule.into(), "channels".into()];
            self.0.push(Problem { keys, text: text.into() });
        }
    }

    pub(super) fn range<T: Copy + PartialOrd + Display>(
        &mut self,
        key: &'static str,
        value: T,
        (low, high): (T, T),
    ) {
        let text = format!("{value} is not between {low} and {high}");
        self.unless(low <= value && value <= high, &[key], text);
    }

    pub(super) fn positive(&mut self, key: &'static str, value: u64) {
        self.unless(value > 0, &[key], "must be at least 1");
    }
}

fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

fn addresses(config: &Config, problems: &mut Problems) {
    let Config { listen, admin, auth, .. } = config;
    problems.unless(
        is_loopback(*listen) || auth.mode != AuthMode::Unset,
        &["listen", "auth.mode"],
        format!(
            "{listen} can be reached from other machines, and nothing says who may use the \
             broker: set auth.mode = \"open\" (or WEFT_AUTH_MODE=open) if everybody may publish \
             and subscribe, or listen on 127.0.0.1"
        ),
    );
    problems.unless(
        listen != admin || listen.port() == 0,
        &["admin", "listen"],
        format!("{admin} is also the address that clients connect to: choose another"),
    );
}

fn mounts(config: &Config, problems: &mut Problems) {
    const KEY: &str = "bayeux.mounts";
    let mounts = &config.bayeux.mounts;
    problems.unless(!mounts.is_empty(), &[KEY], "at least one path has to speak Bayeux");
    for (index, mount) in mounts.iter().enumerate() {
        let segments = mount.strip_prefix('/').unwrap_or_default();
        let plain = segments.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@".contains(&b))
        });
        problems.unless(
            plain,
            &[KEY],
            format!("{mount:?} is not a path such as /bayeux, without a slash at its end"),
        );
        let first = segments.split('/').next().unwrap_or_default();
        problems.unless(
            !RESERVED.contains(&first),
            &[KEY],
            format!("{mount:?} is taken: /{first} is a path of weft's own"),
        );
        problems.unless(
            !mounts[..index].contains(mount),
            &[KEY],
            format!("{mount:?} is there twice"),
        );
    }
}

fn websocket(config: &Config, problems: &mut Problems) {
    let websocket = &config.websocket;
    let long = HumanDuration::secs(3_600);
    problems.range("websocket.ping_interval", websocket.ping_interval, (SHORT, long));
    problems.range("websocket.pong_timeout", websocket.pong_timeout, (SHORT, long));
    problems.positive("websocket.frame_messages", websocket.frame_messages);
    problems.positive("websocket.frame_bytes", websocket.frame_bytes.get());
}

fn sessions(config: &Config, problems: &mut Problems) {
    let sessions = &config.sessions;
    let (none, hold_max) = (HumanDuration::secs(0), HumanDuration::secs(120));
    problems.range("sessions.timeout", sessions.timeout, (SHORT, hold_max));
    problems.range("sessions.interval", sessions.interval, (none, INTERVAL_MAX));
    let day = HumanDuration::secs(24 * 3_600);
    problems.range("sessions.max_interval", sessions.max_interval, (SHORT, day));
    problems.positive("sessions.max", sessions.max);
}

fn browsers(config: &Config, problems: &mut Problems) {
    let browsers = &config.browsers;
    let cookie = &browsers.cookie;
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    problems.unless(
        (1..=64).contains(&cookie.len()) && cookie.bytes().all(token),
        &["browsers.cookie"],
        format!("{cookie:?} is not a cookie's name: 1 to 64 letters, digits, `-` or `_`"),
    );
    // Browsers drop a cookie that breaks one of these rules without a word. The rest of what
    // `__Host-` asks for, that path and that there is no domain, always holds.
    let prefixed = ["__Secure-", "__Host-"].iter().any(|prefix| {
        cookie.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    });
    let may_be_secure = browsers.secure != CookieSecure::Never;
    problems.unless(
        may_be_secure || !prefixed,
        &["browsers.cookie", "browsers.secure"],
        format!("browsers refuse a cookie named {cookie:?} where browsers.secure is false"),
    );
    problems.unless(
        may_be_secure || browsers.same_site != SameSite::None,
        &["browsers.same_site", "browsers.secure"],
        "browsers refuse a cookie with SameSite=None where browsers.secure is false",
    );
    problems.unless(
        may_be_secure || !browsers.partitioned,
        &["browsers.partitioned", "browsers.secure"],
        "browsers refuse a partitioned cookie where browsers.secure is false",
    );
    problems.unless(
        !browsers.partitioned || browsers.same_site == SameSite::None,
        &["browsers.partitioned", "browsers.same_site"],
        "a partitioned cookie is for frames of foreign sites, which never send it unless \
         browsers.same_site is \"None\"",
    );
    problems.unless(
        browsers.held_per_browser == -1 || browsers.held_per_browser >= 1,
        &["browsers.held_per_browser"],
        "must be at least 1, or -1 for no rule",
    );
    problems.range("browsers.interval", browsers.interval, (SHORT, INTERVAL_MAX));
}

fn limits(config: &Config, problems: &mut Problems) {
    let limits = &config.limits;
    problems.positive("limits.connections_per_address", limits.connections_per_address);
    problems.positive("limits.body", limits.body.get());
    problems.range("limits.depth", limits.depth, (1, 127));
    problems.positive("limits.messages_per_request", limits.messages_per_request);
    problems.range("limits.channel_bytes", limits.channel_bytes, (32, 65_535));
    problems.range("limits.channel_segments", limits.channel_segments, (2, 255));
    problems.positive("limits.subscriptions_per_session", limits.subscriptions_per_session);
    problems.positive("limits.subscriptions", limits.subscriptions);
    problems.positive("limits.queue_messages", limits.queue_messages);
    problems.positive("limits.response_bytes", limits.response_bytes.get());
    problems.positive("limits.response_messages", limits.response_messages);
    problems.unless(
        limits.response_bytes_total >= limits.response_bytes,
        &["limits.response_bytes_total", "limits.response_bytes"],
        format!(
            "limits.response_bytes_total ({}) is less than limits.response_bytes ({}), which one \
             reply may take",
            limits.response_bytes_total, limits.response_bytes
        ),
    );
    problems.unless(
        limits.body_bytes_total >= limits.body,
        &["limits.body_bytes_total", "limits.body"],
        format!(
            "limits.body_bytes_total ({}) is less than limits.body ({}), which one request may take",
            limits.body_bytes_total, limits.body
        ),
    );
    problems.unless(
        limits.queue_bytes >= limits.body,
        &["limits.queue_bytes", "limits.body"],
        format!(
            "limits.queue_bytes ({}) is less than limits.body ({}): what is accepted must fit an \
             empty queue",
            limits.queue_bytes, limits.body
        ),
    );
    problems.unless(
        limits.queue_bytes_total >= limits.queue_bytes,
        &["limits.queue_bytes_total", "limits.queue_bytes"],
        format!(
            "limits.queue_bytes_total ({}) is less than limits.queue_bytes ({}), which one session \
             may use",
            limits.queue_bytes_total, limits.queue_bytes
        ),
    );
}

/// A body that is let in must fit a burst, or it never would be.
fn rates(config: &Config, problems: &mut Problems) {
    let limits = &config.limits;
    problems.range("limits.rate_keys", limits.rate_keys, (1_024, 10_000_000));
    for (key, rate) in config.rates.bytes() {
        let burst = rate.get().and_then(|limit| limit.burst);
        problems.unless(
            burst.is_none_or(|burst| burst >= limits.body),
            &[key, "limits.body"],
            format!("a burst of {rate} has no room for limits.body ({})", limits.body),
        );
    }
}

fn http(config: &Config, problems: &mut Problems) {
    let http = &config.http;
    let long = HumanDuration::secs(3_600);
    problems.range("http.head_timeout", http.head_timeout, (SHORT, long));
    problems.range("http.body_timeout", http.body_timeout, (SHORT, long));
    problems.range(
        "http.idle_timeout",
        http.idle_timeout,
        (SHORT, HumanDuration::secs(24 * 3_600)),
    );
    problems.range("http.drain_timeout", http.drain_timeout, (HumanDuration::secs(0), long));
    for (key, interval) in [
        ("sessions.interval", config.sessions.interval),
        ("browsers.interval", config.browsers.interval),
    ] {
        problems.unless(
            http.idle_timeout > interval,
            &["http.idle_timeout", key],
            format!(
                "http.idle_timeout ({}) is not more than {key} ({interval}): connections would close \
                 between two polls",
                http.idle_timeout
            ),
        );
    }
}

fn tls(config: &Config, problems: &mut Problems) {
    let tls = &config.tls;
    let long = HumanDuration::secs(3_600);
    problems.range("tls.handshake_timeout", tls.handshake_timeout, (SHORT, long));
    let empty = |path: &std::path::Path| path.as_os_str().is_empty();
    problems.unless(
        empty(&tls.cert) == empty(&tls.key),
        &["tls.cert", "tls.key"],
        "a certificate needs its key, and a key its certificate: set both, or neither",
    );
}

fn proxies(config: &Config, problems: &mut Problems) {
    let proxies = &config.proxies;
    problems.unless(
        !proxies.protocol || !proxies.trusted.is_empty(),
        &["proxies.protocol", "proxies.trusted"],
        "PROXY headers are only read from proxies that proxies.trusted names, and it names none",
    );
}

fn compression(config: &Config, problems: &mut Problems) {
    let compression = &config.compression;
    let (least, most) = (ByteSize::bytes(64), ByteSize::mib(1_024));
    problems.range("compression.min_bytes", compression.min_bytes, (least, most));
    problems.range("compression.level", compression.level, (1, 9));
}

/// A bare word that is no level would silence everything, the line that says where weft listens
/// included.
fn log(config: &Config, problems: &mut Problems) {
    let level = &config.log.level;
    let known = |word: &str| {
        ["off", "error", "warn", "info", "debug", "trace"]
            .iter()
            .any(|level| level.eq_ignore_ascii_case(word))
    };
    let bare = level.split(',').map(str::trim).filter(|part| !part.contains(['=', '[']));
    let unknown: Vec<&str> = bare.filter(|part| !known(part)).collect();
    problems.unless(
        unknown.is_empty(),
        &["log.level"],
        format!("{unknown:?} is no level: error, warn, info, debug, trace or off"),
    );
    if let (true, Err(error)) = (unknown.is_empty(), EnvFilter::try_new(level)) {
        problems.unless(false, &["log.level"], error.to_string());
    }
}

fn store(config: &Config, problems: &mut Problems) {
    let store = &config.store;
    problems.positive("store.bytes", store.bytes.get());
    problems.positive("store.channels", store.channels);
    problems.positive("store.memory", store.memory.get());
    problems.range("store.cache", store.cache, (ByteSize::mib(1), ByteSize::mib(1_024)));
    let (soon, late) = (HumanDuration::millis(1), HumanDuration::secs(10));
    problems.range("store.interval", store.interval, (soon, late));
    let (short, long) = (HumanDuration::secs(1), HumanDuration::secs(24 * 3_600));
    problems.range("publish.repeat_window", config.publish.repeat_window, (short, long));
    problems.positive("publish.repeat_keys", config.publish.repeat_keys);
}

fn streams(config: &Config, problems: &mut Problems) {
    let streams = &config.streams;
    let (second, hour) = (HumanDuration::secs(1), HumanDuration::secs(3_600));
    problems.range("streams.heartbeat", streams.heartbeat, (SHORT, hour));
    let day = HumanDuration::secs(24 * 3_600);
    problems.range("streams.max_age", streams.max_age, (second, day));
    problems.range("streams.retry", streams.retry, (HumanDuration::secs(0), hour));
    problems.unless(
        streams.max_bytes >= ByteSize::kib(1),
        &["streams.max_bytes"],
        format!("{} is less than 1KiB: every event would end its stream", streams.max_bytes),
    );
    let padding = (ByteSize::bytes(0), ByteSize::kib(64));
    problems.range("streams.padding", streams.padding, padding);
}

/// Every rule must be able to match something.
fn channels(config: &Config, problems: &mut Problems) {
    for (index, rule) in config.channels.iter().enumerate() {
        let pattern = &rule.pattern;
        if let Some(fault) = fault(pattern) {
            problems.rule(false, index, "pattern", format!("{pattern:?} {fault}"));
        }
        let before = config.channels[..index].iter().find(|other| covers(&other.pattern, pattern));
        if let Some(before) = before {
            let before = &before.pattern;
            let text = format!("{pattern:?} can never match: {before:?} stands before it");
            problems.rule(false, index, "pattern", text);
        }
        let age = rule.backlog.age;
        let text = format!("{age} is not between 1s and 10 years");
        let range = HumanDuration::secs(1)..=HumanDuration::secs(10 * 366 * 24 * 3_600);
        problems.rule(range.contains(&age), index, "backlog.age", text);
        let text = format!("{} is more than 1h", rule.lazy);
        problems.rule(rule.lazy <= INTERVAL_MAX, index, "lazy", text);
    }
}
