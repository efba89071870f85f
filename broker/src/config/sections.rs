//! The sections of the configuration, one struct each.

use serde::{Deserialize, Serialize};

use super::{ByteSize, HumanDuration};

/// `[bayeux]`: where and how Bayeux is spoken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bayeux {
    /// The paths that speak Bayeux, with all that stands below each, since clients append
    /// `/handshake` and the like. Default `/bayeux`, and the names that CometD and Faye clients use.
    pub mounts: Vec<String>,
    /// Whether the callback-polling transport (JSONP) is offered. Default true: it follows the same
    /// rules of origin as everything else.
    pub callback_polling: bool,
    /// Whether the websocket transport is offered. Default true.
    pub websocket: bool,
    /// Whether Faye's `eventsource` transport is offered. Default true: it comes by the same mounts and
    /// under the same rules as long-polling.
    pub eventsource: bool,
}

impl Default for Bayeux {
    fn default() -> Self {
        let mounts = ["/bayeux", "/cometd", "/faye"].map(str::to_owned).into();
        Self { mounts, callback_polling: true, websocket: true, eventsource: true }
    }
}

/// `[websocket]`: how WebSockets are treated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebSocket {
    /// How long nothing is written before a ping is, 100ms to 1h; less than the time after which the
    /// proxies in between close what is idle. Default 20s: many close after 30s or 60s.
    pub ping_interval: HumanDuration,
    /// How long a peer may be silent while a ping is unanswered, 100ms to 1h; readers that are slow
    /// have a second more for each 4KB under way. Default 20s.
    pub pong_timeout: HumanDuration,
    /// The most events in one frame. Default 100: more of them make none cheaper.
    pub frame_messages: u64,
    /// The size, in bytes, from which a frame takes no further event; one always fits. Default 64KiB.
    pub frame_bytes: ByteSize,
}

impl Default for WebSocket {
    fn default() -> Self {
        Self {
            ping_interval: HumanDuration::secs(20),
            pong_timeout: HumanDuration::secs(20),
            frame_messages: 100,
            frame_bytes: ByteSize::kib(64),
        }
    }
}

/// `[sessions]`: how long sessions and their held connects live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// How long a connect is held when there is nothing to deliver, 100ms to 120s. Default 30s, and
    /// never more than 120s: the highest value that proxies were found to let live (RFC 6202).
    pub timeout: HumanDuration,
    /// The gap that clients are advised to leave between two connects, up to 1h. Default 0s.
    pub interval: HumanDuration,
    /// How long a session lives after its last contact, besides the advised gap; a held connect and
    /// an open socket are contact. 100ms to 24h. Default 30s.
    pub max_interval: HumanDuration,
    /// Whether a session's first message must bring back the cookie set at its handshake. Default
    /// false: many clients outside browsers keep no cookies, and are known by their clientId.
    pub require_cookie: bool,
    /// At most so many sessions in all; further handshakes are told to come back later. Default
    /// 250000: far above what one machine serves, and a bound for handshakes that nobody follows up.
    pub max: u64,
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            timeout: HumanDuration::secs(30),
            interval: HumanDuration::secs(0),
            max_interval: HumanDuration::secs(30),
            require_cookie: false,
            max: 250_000,
        }
    }
}

/// `[limits]`: bounds on what clients can make the broker hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections in all. Default 0: 80 % of the limit on open files, so that the process
    /// keeps some for itself.
    pub connections: u64,
    /// Open connections of one address, loopback excepted. Default 1024: offices and carriers put
    /// many people behind one address.
    pub connections_per_address: u64,
    /// Whether limits per address also hold for loopback peers. Default false: a proxy on the same
    /// machine is many clients.
    pub loopback: bool,
    /// Connects, streams and WebSockets held at once for one address; past it a connect is answered at
    /// once, and its client asked to poll. 0 is no bound, here and below. Default 0.
    pub held_per_address: u64,
    /// The same for one principal. Default 0.
    pub held_per_principal: u64,
    /// The same in all. Default 0.
    pub held: u64,
    /// Sessions of one address at once. Default 0.
    pub sessions_per_address: u64,
    /// Sessions of one principal at once. Default 0.
    pub sessions_per_principal: u64,
    /// How many addresses and principals the `rates` tell apart, 1024 to 10000000; 48 bytes each, and
    /// none where no rate needs them. Default 100000.
    pub rate_keys: u64,
    /// The largest request body, in bytes. Default 1MiB.
    pub body: ByteSize,
    /// Bytes of request bodies under way in all, no less than `body`; those past it wait for room, and
    /// the time they may take is running. Bodies up to 16KiB do not count. Default 256MiB.
    pub body_bytes_total: ByteSize,
    /// How deep JSON may be nested, 1 to 127, `data` included. Default 64.
    pub depth: u64,
    /// Messages in one request. Default 1000.
    pub messages_per_request: u64,
    /// The longest channel name, 32 to 65535 bytes. Default 255.
    pub channel_bytes: u64,
    /// Segments of a channel name, 2 to 255; each costs a look-up for every publish. Default 32.
    pub channel_segments: u64,
    /// Subscriptions of one session. Default 10000.
    pub subscriptions_per_session: u64,
    /// Subscriptions in all. Default 2000000: eight for each of the default number of sessions.
    pub subscriptions: u64,
    /// Messages that wait for one session. Default 10000.
    pub queue_messages: u64,
    /// Bytes that wait for one session, no less than `body`, so that every message fits an empty
    /// queue. Default 4MiB.
    pub queue_bytes: ByteSize,
    /// What happens at these bounds. Default `spill`: slow readers cost disk, not memory.
    pub queue_policy: QueuePolicy,
    /// What `spill` does with messages that no backlog holds. Default `drop_oldest`.
    pub queue_policy_unkept: UnkeptPolicy,
    /// What all that waits may cost in memory, in bytes and no less than `queue_bytes`; a message that
    /// waits for many counts once. Past it each session keeps what fits its fair share; past five
    /// quarters of it publishing is refused. Default 256MiB.
    pub queue_bytes_total: ByteSize,
    /// The size, in bytes, from which a response takes no further event; one always fits. Default
    /// 1MiB: batches stay cheap, and a slow reader gets something now and then.
    pub response_bytes: ByteSize,
    /// The most events in one response; the rest follows with the next. Default 1000: more of them
    /// make none cheaper, and the first would come late.
    pub response_messages: u64,
    /// Bytes of replies that are being written, in all and no less than `response_bytes`; replies up
    /// to 16KiB do not count. Past it replies carry no more than that, and an event that is larger
    /// waits. Default 256MiB: readers that take nothing are cut after `http.body_timeout`.
    pub response_bytes_total: ByteSize,
}

/// What happens to a session's queue at its bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QueuePolicy {
    /// What the backlog holds leaves memory, and is read from there when the session comes to it.
    Spill,
    /// The oldest messages go, and the gap is told.
    DropOldest,
    /// The session ends: its next connect is told what it missed, and to handshake.
    Disconnect,
}

/// What happens at these bounds to messages that no backlog holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnkeptPolicy {
    /// The oldest messages go, and the gap is told.
    DropOldest,
    /// The session ends: its next connect is told what it missed, and to handshake.
    Disconnect,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 0,
            connections_per_address: 1_024,
            loopback: false,
            held_per_address: 0,
            held_per_principal: 0,
            held: 0,
            sessions_per_address: 0,
            sessions_per_principal: 0,
            rate_keys: 100_000,
            body: ByteSize::mib(1),
            body_bytes_total: ByteSize::mib(256),
            depth: 64,
            messages_per_request: 1_000,
            channel_bytes: 255,
            channel_segments: 32,
            subscriptions_per_session: 10_000,
            subscriptions: 2_000_000,
            queue_messages: 10_000,
            queue_bytes: ByteSize::mib(4),
            queue_policy: QueuePolicy::Spill,
            queue_policy_unkept: UnkeptPolicy::DropOldest,
            queue_bytes_total: ByteSize::mib(256),
            response_bytes: ByteSize::mib(1),
            response_messages: 1_000,
            response_bytes_total: ByteSize::mib(256),
        }
    }
}

/// `[http]`: deadlines of HTTP connections. None of them cuts a held connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// How long a connection may take to its first request, and a request's head to arrive on an idle
    /// one; a head that begins behind another request has until `idle_timeout`. Default 10s: slow heads
    /// are an attack.
    pub head_timeout: HumanDuration,
    /// How long a request's body may take to arrive, and how long the reader of a response may take
    /// nothing of it. Default 30s: a phone needs some time for 1MiB.
    pub body_timeout: HumanDuration,
    /// How long a connection may stay open between two requests; more than the advised intervals.
    /// Default 75s, a little more than the proxies' usual 60s, so that it is they who close.
    pub idle_timeout: HumanDuration,
    /// How long a stop waits for responses under way. Default 10s: held connects are answered at
    /// once, and orchestrators kill after 30s.
    pub drain_timeout: HumanDuration,
    /// Whether HTTP/2 is spoken: over TLS with those who offer it, and without TLS with those who
    /// begin with it. Default true: its clients hold many connects on one connection.
    pub http2: bool,
    /// Whether plain HTTP/1.1 requests for the Bayeux mounts and `/publish` are read without the HTTP
    /// library and its buffers of 16 KiB a connection. Default true; false is a way back if a client
    /// should stumble.
    pub lean: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            head_timeout: HumanDuration::secs(10),
            body_timeout: HumanDuration::secs(30),
            idle_timeout: HumanDuration::secs(75),
            drain_timeout: HumanDuration::secs(10),
            http2: true,
            lean: true,
        }
    }
}

/// `[log]`: what is logged and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace` or a filter such as `info,weft_broker=debug`.
    /// Default `info`: what the operator should know, not what peers do wrong.
    pub level: String,
    /// How a line looks. Default `text`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// `[demo]`: the built-in demonstration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Demo {
    /// Whether `/demo/` is served. Default true: the first thing one wants to see; it publishes only
    /// while somebody watches.
    pub enabled: bool,
}

impl Default for Demo {
    fn default() -> Self {
        Self { enabled: true }
    }
}
