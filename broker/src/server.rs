//! The one place that wires everything together, and takes it down again in order.

mod edge;
mod entrance;
mod hooked;
mod limits;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weft_protocol::{ChannelLimits, ConnectionType, DecodeLimits};

use self::edge::{lean, listener_options, socket_options, stream_options};
use crate::auth::{Access, AuthOptions, AuthStats};
use crate::config::{self, Config, CookieSecure, SameSite};
use crate::core::broker::Broker;
use crate::core::channels::PastLimits;
use crate::core::clock::{Clock, SystemClock};
use crate::core::id::SystemIds;
use crate::core::options::{Options, QueueLimits, QueuePolicy, UnkeptPolicy};
use crate::core::stats::Stats;
use crate::exchange::Exchange;
use crate::guard::Guard;
use crate::http::admin::Admin;
use crate::http::api::Api;
use crate::http::arrival::Entrance;
use crate::http::bayeux::Endpoint;
use crate::http::body::{BodyBudget, BodyLimits};
use crate::http::cookie::{CookieOptions, Cookies, Secure};
use crate::http::gzip::{Gzip, GzipOptions};
use crate::http::limits::{ConnectionLimits, Gate};
use crate::http::listener::Listener;
use crate::http::origins::{AllowedOrigin, Origins};
use crate::http::routes::{self, Site};
use crate::http::stats::HttpStats;
use crate::http::streams::Streams;
use crate::http::upgrade::Sockets;
use crate::kept::{rules, storage_options};
use crate::policing;
use crate::storage::Storage;
use crate::ticker;

/// Connections that the admin address keeps for itself.
const ADMIN_CONNECTIONS: usize = 64;
const ADMIN_LIMITS: ConnectionLimits =
    ConnectionLimits { total: ADMIN_CONNECTIONS, per_address: ADMIN_CONNECTIONS, loopback: false };

/// What keeps a broker from starting, with what it was about.
#[derive(Debug)]
pub struct StartError(String);

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

fn about<E: fmt::Display>(what: impl fmt::Display) -> impl FnOnce(E) -> StartError {
    move |error| StartError(format!("{what}: {error}"))
}

/// A broker at work.
#[derive(Debug)]
pub struct Running {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where operators look.
    pub admin: SocketAddr,
    broker: Arc<Broker>,
    guard: Arc<Guard>,
    access: Option<Access>,
    config: Config,
    public_tasks: TaskTracker,
    stop: CancellationToken,
    stop_admin: CancellationToken,
    drain_timeout: Duration,
    storage: Storage,
}

/// Starts a broker.
///
/// # Errors
/// When an address, the data directory or an entropy source cannot be had.
pub async fn start(config: &Config) -> Result<Running, StartError> {
    let data = &config.data;
    std::fs::create_dir_all(data).map_err(about(format!("data directory {}", data.display())))?;
    let cookies = Cookies::open(cookie_options(config), data)
        .map_err(about(format!("browser key in {}", data.display())))?;
    let public = bind("listen", config.listen)?;
    let private = bind("admin", config.admin)?;
    let registry = Registry::new();
    let stats = Stats::register(&registry).map_err(about("metrics"))?;
    let http_stats = HttpStats::register(&registry).map_err(about("metrics"))?;
    let entrance = entrance::open(config, &registry)?;
    let (broker, storage) = open_broker(config, stats).await?;
    let (guard, access) = open_guard(config, &registry, broker.clock())?;
    let bodies = BodyBudget::new(size(config.limits.body_bytes_total.get()));
    let admin_origins = origins(config, config.admin);
    let gzip = Arc::new(gzip(config));
    let (core, budget) = (Arc::clone(&broker), Arc::clone(&bodies));
    let admin = Admin::new(core, budget, admin_origins, Arc::clone(&gzip), registry)
        .map_err(about("metrics"))?;

    let running = Running {
        listen: public.local_addr().map_err(about("listen"))?,
        admin: private.local_addr().map_err(about("admin"))?,
        broker: Arc::clone(&broker),
        guard: Arc::clone(&guard),
        access,
        config: config.clone(),
        public_tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        stop_admin: CancellationToken::new(),
        drain_timeout: config.http.drain_timeout.get(),
        storage,
    };
    running.storage.keep_ceiling(Arc::clone(&broker), running.stop_admin.clone());
    let connections = connection_limits(config);
    entrance::watch(&entrance, &running.stop);
    let listener = |socket, limits, entrance, tasks, stop: &CancellationToken| Listener {
        socket,
        entrance,
        lean: None,
        options: listener_options(config),
        gate: Gate::new(limits),
        stats: http_stats.clone(),
        tasks,
        stop: stop.clone(),
    };
    let sockets = running.sockets(&http_stats);
    let endpoint = endpoint(config, &broker, cookies, bodies, gzip, guard);
    let site = site(config, endpoint, sockets, &broker, &http_stats);
    let tasks = running.public_tasks.clone();
    let mut public = listener(public, connections, entrance, tasks, &running.stop);
    public.lean = config.http.lean.then(|| lean(&site));
    tokio::spawn(public.serve(routes::public(site)));
    let plain = Entrance::default();
    let private = listener(private, ADMIN_LIMITS, plain, TaskTracker::new(), &running.stop_admin);
    tokio::spawn(private.serve(routes::admin(Arc::new(admin))));
    running.tend();
    tracing::info!(
        addr = %running.listen,
        admin = %running.admin,
        connections_max = connections.total,
        data = %data.display(),
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    Ok(running)
}

/// Who is asked who they are, and by whom.
fn open_guard(
    config: &Config,
    registry: &Registry,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<Guard>, Option<Access>), StartError> {
    let stats = AuthStats::register(registry).map_err(about("metrics"))?;
    let (guard, access) = policing::guard(&config.auth, stats, clock).map_err(about("auth"))?;
    Ok((Arc::new(hooked::with_hook(guard, config, registry, clock)?), access))
}

/// The core, with what is kept from before.
async fn open_broker(config: &Config, stats: Stats) -> Result<(Arc<Broker>, Storage), StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let options = core_options(config);
    let storage = storage_options(config, &options);
    let (data, opener) = (config.data.clone(), Arc::clone(&clock));
    let what = || about(format!("store in {}", config.data.display()));
    let (mut storage, origin) =
        tokio::task::spawn_blocking(move || Storage::open(&data, storage, &opener))
            .await
            .map_err(about("store"))?
            .map_err(what())?;
    let broker = Broker::new(options, stats, clock, origin);
    storage.attach(&broker).map_err(about(format!("positions in {}", config.data.display())))?;
    Ok((broker, storage))
}

fn site(
    config: &Config,
    endpoint: Endpoint,
    sockets: Option<Arc<Sockets>>,
    broker: &Arc<Broker>,
    stats: &HttpStats,
) -> Site {
    let endpoint = Arc::new(endpoint);
    let api = Arc::new(Api {
        broker: Arc::clone(broker),
        endpoint: Arc::clone(&endpoint),
        limits: decode_limits(config),
        publish: config.publish.enabled,
        history: config.publish.history,
    });
    let streams = Streams {
        api: Arc::clone(&api),
        ids: Arc::new(SystemIds),
        enabled: config.streams.enabled,
        options: stream_options(config),
        stats: stats.streams.clone(),
    };
    Site {
        api,
        streams: Arc::new(streams),
        event_source: config.bayeux.eventsource,
        endpoint,
        sockets,
        mounts: config.bayeux.mounts.clone().into(),
        demo: config.demo.enabled,
    }
}

impl Running {
    /// What WebSockets run by, where there are any.
    fn sockets(&self, stats: &HttpStats) -> Option<Arc<Sockets>> {
        self.config.bayeux.websocket.then(|| {
            Arc::new(Sockets {
                options: socket_options(&self.config),
                stats: stats.clone(),
                tasks: self.public_tasks.clone(),
                stop: self.stop.clone(),
            })
        })
    }

    /// Sees to what goes on beside requests.
    fn tend(&self) {
        let stop = &self.stop_admin;
        if let Some(access) = &self.access {
            let (broker, guard) = (Arc::clone(&self.broker), Arc::clone(&self.guard));
            tokio::spawn(policing::police(broker, guard, access.changed(), stop.clone()));
            tokio::spawn(access.clone().keep(stop.clone()));
        }
        tokio::spawn(expire(Arc::clone(&self.broker), stop.clone()));
        if self.config.demo.enabled {
            tokio::spawn(ticker::run(Arc::clone(&self.broker), self.stop.clone()));
        }
    }

    /// Takes other keys, subjects and rules, and ends the sessions of those who are not let in by them;
    /// whatever else has changed waits for a restart, which is said.
    ///
    /// # Errors
    /// When they cannot be taken; then everything stays as it is.
    pub fn reload(&self, fresh: &Config) -> Result<(), String> {
        let others = Config { auth: self.config.auth.clone(), ..fresh.clone() };
        if others != self.config || !policing::is_reloadable(&self.config.auth, &fresh.auth) {
            tracing::warn!("some of what has changed is only taken at the next start");
        }
        if fresh.auth.mode != self.config.auth.mode {
            return Err("auth.mode is only taken at the next start".to_owned());
        }
        let Some(access) = &self.access else { return Ok(()) };
        let policy = policing::policy(&fresh.auth)?;
        access.reload(AuthOptions::from(&fresh.auth))?;
        self.guard.follow(policy);
        policing::review(&self.broker, &self.guard);
        Ok(())
    }

    /// Accepts no more, answers held connects with advice to come back, lets what is under way
    /// finish, and is done: within the drain timeout. True if nothing had to be cut.
    pub async fn stop(self) -> bool {
        tracing::info!("draining");
        self.broker.drain();
        self.stop.cancel();
        self.public_tasks.close();
        let finished = tokio::time::timeout(self.drain_timeout, self.public_tasks.wait()).await;
        self.stop_admin.cancel();
        let closed = self.close_storage();
        if finished.is_err() {
            tracing::warn!(connections = self.public_tasks.len(), "cut after the drain timeout");
        }
        tracing::info!("stopped");
        finished.is_ok() && closed
    }

    fn close_storage(&self) -> bool {
        let Self { storage, broker, .. } = self;
        let closed = tokio::task::block_in_place(|| storage.close(broker));
        if let Err(error) = &closed {
            tracing::error!(%error, "the store could not be closed in order");
        }
        closed.is_ok()
    }
}

/// Ends sessions when they are due: sleeps until the next one is.
async fn expire(broker: Arc<Broker>, stop: CancellationToken) {
    loop {
        let next = broker.expire();
        let due = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = broker.earlier_deadline() => {}
            () = due => {}
        }
    }
}

/// As many wait to be accepted as the system lets wait: all clients come back at once after a restart.
const BACKLOG: u32 = 65_535;

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn bind(what: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    listen(address).map_err(about(format!("{what} address {address}")))
}

fn endpoint(
    config: &Config,
    broker: &Arc<Broker>,
    cookies: Cookies,
    budget: Arc<BodyBudget>,
    gzip: Arc<Gzip>,
    guard: Arc<Guard>,
) -> Endpoint {
    let mut offered = Vec::new();
    if config.bayeux.websocket {
        offered.push(ConnectionType::WebSocket);
    }
    offered.extend([ConnectionType::LongPolling, ConnectionType::CrossOriginLongPolling]);
    if config.bayeux.callback_polling {
        offered.push(ConnectionType::CallbackPolling);
    }
    if config.bayeux.eventsource {
        offered.push(ConnectionType::EventSource);
    }
    let limits = decode_limits(config);
    Endpoint {
        exchange: Exchange::new(Arc::clone(broker), guard, Arc::new(SystemIds), limits, offered),
        origins: origins(config, config.listen),
        cookies,
        body: BodyLimits {
            bytes: size(config.limits.body.get()),
            time: config.http.body_timeout.get(),
            budget,
        },
        gzip,
        callback_polling: config.bayeux.callback_polling,
    }
}

fn gzip(config: &Config) -> Gzip {
    let compression = &config.compression;
    let options = GzipOptions {
        enabled: compression.enabled,
        min_bytes: size(compression.min_bytes.get()),
        level: compression.level,
    };
    Gzip::new(options, std::thread::available_parallelism().map_or(1, Into::into))
}

fn decode_limits(config: &Config) -> DecodeLimits {
    DecodeLimits {
        depth: size(config.limits.depth),
        messages: size(config.limits.messages_per_request),
        channel: ChannelLimits {
            bytes: size(config.limits.channel_bytes),
            segments: size(config.limits.channel_segments),
        },
        ..DecodeLimits::default()
    }
}

fn core_options(config: &Config) -> Options {
    let bounds = &config.limits;
    Options {
        timeout: config.sessions.timeout.get(),
        interval: config.sessions.interval.get(),
        max_interval: config.sessions.max_interval.get(),
        require_cookie: config.sessions.require_cookie,
        sessions_max: size(config.sessions.max),
        held_per_browser: usize::try_from(config.browsers.held_per_browser).ok(),
        browser_interval: config.browsers.interval.get(),
        queue: QueueLimits {
            messages: size(bounds.queue_messages),
            bytes: size(bounds.queue_bytes.get()),
        },
        queue_policy: match bounds.queue_policy {
            config::QueuePolicy::Spill => QueuePolicy::Spill,
            config::QueuePolicy::DropOldest => QueuePolicy::DropOldest,
            config::QueuePolicy::Disconnect => QueuePolicy::Disconnect,
        },
        unkept_policy: match bounds.queue_policy_unkept {
            config::UnkeptPolicy::DropOldest => UnkeptPolicy::DropOldest,
            config::UnkeptPolicy::Disconnect => UnkeptPolicy::Disconnect,
        },
        queue_bytes_total: size(bounds.queue_bytes_total.get()),
        response_bytes: size(bounds.response_bytes.get()),
        response_messages: size(bounds.response_messages),
        response_bytes_total: size(bounds.response_bytes_total.get()),
        subscriptions_per_session: size(bounds.subscriptions_per_session),
        subscriptions_total: size(bounds.subscriptions),
        deliver_on_any_reply: config.deliver_on_any_reply,
        rules: rules(config),
        past: PastLimits {
            bytes: size(config.store.memory.get()),
            channels: size(config.store.channels),
        },
        repeat_window: config.publish.repeat_window.get(),
        repeat_keys: size(config.publish.repeat_keys),
        limits: limits::options(config),
    }
}

fn cookie_options(config: &Config) -> CookieOptions {
    CookieOptions {
        name: config.browsers.cookie.clone(),
        same_site: match config.browsers.same_site {
            SameSite::Lax => "Lax",
            SameSite::Strict => "Strict",
            SameSite::None => "None",
        },
        secure: match config.browsers.secure {
            CookieSecure::Auto => Secure::Auto,
            CookieSecure::Always => Secure::Always,
            CookieSecure::Never => Secure::Never,
        },
        http_only: config.browsers.http_only,
        partitioned: config.browsers.partitioned,
    }
}

fn origins(config: &Config, address: SocketAddr) -> Origins {
    let allowed = config.origins.iter().map(|entry| AllowedOrigin {
        scheme: entry.scheme.clone(),
        host: entry.host.clone(),
        port: entry.port.unwrap_or(if entry.scheme == "https" { 443 } else { 80 }),
        wildcard: entry.wildcard,
    });
    Origins { allowed: allowed.collect(), loopback: address.ip().to_canonical().is_loopback() }
}

/// Takes all the open files that the process may have, and four fifths of them for connections.
fn connection_limits(config: &Config) -> ConnectionLimits {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let files = if raised.is_ok() { maximum } else { current }.unwrap_or(1 << 20);
    let room = files / 5 * 4;
    let asked = config.limits.connections;
    if asked > room {
        tracing::warn!(asked, files, "limits.connections is more than the open files allow");
    }
    ConnectionLimits {
        total: size(if asked == 0 { room } else { asked }),
        per_address: size(config.limits.connections_per_address),
        loopback: config.limits.loopback,
    }
}

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
