//! The configuration: what can be set, its units, its defaults and why they are what they are.
//!
//! Values come from a TOML file, `WEFT_*` variables and flags, each overriding the one before
//! ([`load`]). Nothing here does anything else, and no other module reads a file or the environment
//! to find out what it should do. A mistake is an error that says where the value stands.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

mod args;
mod audit;
mod auth;
mod browsers;
mod channels;
mod check;
mod check_auth;
mod check_rules;
mod compression;
mod error;
mod hook;
mod load;
mod origin;
mod proxies;
mod rates;
mod rules;
mod sections;
mod store;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod units;

pub use args::{Args, Command, StoreAction};
pub use audit::Audit;
pub use auth::{Algorithm, ApiKey, Auth, AuthMode, KeyHash, Moment, Secret, TokenSource};
pub use browsers::{Browsers, CookieSecure, SameSite};
pub use channels::{BacklogSize, Channel, Durability};
pub use compression::Compression;
pub use error::ConfigError;
pub use hook::{Hook, HookEvent, HookServices, OnError};
pub use load::{Loaded, environment, load, of};
pub use origin::OriginPattern;
pub use proxies::{Forwarded, Network, Proxies};
pub use rates::{Amount, Limit, Per, Rate, Rates};
pub use rules::{AuthRule, Effect, RuleAction, Said};
pub use sections::{
    Bayeux, Demo, Http, Limits, Log, LogFormat, QueuePolicy, Sessions, UnkeptPolicy, WebSocket,
};
pub use store::{Publish, Store, StoreKind};
pub use streams::Streams;
pub use tls::Tls;
pub use units::{ByteSize, HumanDuration};

/// Everything that can be set. Each field's text names its unit, its default and the reason for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where clients connect: an IP address and a port; port 0 takes a free one. Default
    /// `127.0.0.1:8080`, so that a first start is reachable from this machine only.
    #[serde(deserialize_with = "units::address")]
    pub listen: SocketAddr,
    /// Where `/metrics`, `/healthz` and `/readyz` answer; never the same as `listen`. Default
    /// `127.0.0.1:8081`: operators' business is not clients' business.
    #[serde(deserialize_with = "units::address")]
    pub admin: SocketAddr,
    /// The directory for all that is kept over a restart. Default `./weft-data`: no rights needed.
    pub data: PathBuf,
    /// The foreign origins whose pages may use this broker, for all that a browser can be tricked
    /// into: CORS, POST, WebSocket, JSONP. Default none: a page's own origin always may.
    pub origins: Vec<OriginPattern>,
    /// Whether events may ride on every reply, as CometD has it, instead of on connect replies and
    /// streams alone. Default false: only so is the order of a channel's messages promised.
    pub deliver_on_any_reply: bool,
    /// Who may use the broker.
    pub auth: Auth,
    /// An HTTP service that decides, and answers calls.
    pub hook: Hook,
    /// Where and how Bayeux is spoken.
    pub bayeux: Bayeux,
    /// How WebSockets are treated.
    pub websocket: WebSocket,
    /// How long sessions and their held connects live.
    pub sessions: Sessions,
    /// Several sessions in one browser.
    pub browsers: Browsers,
    /// Bounds on what clients can make the broker hold.
    pub limits: Limits,
    /// Bounds on how much they may do in a time.
    pub rates: Rates,
    /// Deadlines of HTTP connections.
    pub http: Http,
    /// TLS without a proxy.
    pub tls: Tls,
    /// Proxies in front.
    pub proxies: Proxies,
    /// gzip of large replies.
    pub compression: Compression,
    /// What is logged and how.
    pub log: Log,
    /// The log of who was let in and what was changed.
    pub audit: Audit,
    /// The built-in demonstration.
    pub demo: Demo,
    /// What is kept over a restart.
    pub store: Store,
    /// Publishing and reading over plain HTTP.
    pub publish: Publish,
    /// Responses that go on.
    pub streams: Streams,
    /// What holds for which channels; the first rule that matches. Default none: the last 1,000
    /// messages of each channel or 24 hours, on disk within 100 ms.
    pub channels: Vec<Channel>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
            data: PathBuf::from("./weft-data"),
            origins: Vec::new(),
            deliver_on_any_reply: false,
            auth: Auth::default(),
            hook: Hook::default(),
            bayeux: Bayeux::default(),
            websocket: WebSocket::default(),
            sessions: Sessions::default(),
            browsers: Browsers::default(),
            limits: Limits::default(),
            rates: Rates::default(),
            http: Http::default(),
            tls: Tls::default(),
            proxies: Proxies::default(),
            compression: Compression::default(),
            log: Log::default(),
            audit: Audit::default(),
            demo: Demo::default(),
            store: Store::default(),
            publish: Publish::default(),
            streams: Streams::default(),
            channels: Vec::new(),
        }
    }
}
