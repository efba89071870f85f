//! The one place that wires everything together, and takes it down again in order.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weft_protocol::{ChannelLimits, ConnectionType, DecodeLimits};

use crate::config::{Config, SameSite};
use crate::core::broker::Broker;
use crate::core::clock::SystemClock;
use crate::core::id::SystemIds;
use crate::core::options::{Options, QueueLimits};
use crate::core::stats::Stats;
use crate::exchange::Exchange;
use crate::http::admin::Admin;
use crate::http::bayeux::Endpoint;
use crate::http::body::{BodyBudget, BodyLimits};
use crate::http::connection::Deadlines;
use crate::http::cookie::{CookieOptions, Cookies};
use crate::http::limits::{ConnectionLimits, Gate};
use crate::http::listener::{Listener, ListenerOptions};
use crate::http::origins::{AllowedOrigin, Origins};
use crate::http::routes::{self, Site};
use crate::http::stats::HttpStats;
use crate::ticker;

/// Connections that the admin address keeps for itself.
const ADMIN_CONNECTIONS: usize = 64;

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
    public_tasks: TaskTracker,
    stop: CancellationToken,
    stop_admin: CancellationToken,
    drain_timeout: Duration,
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
    let public = bind("listen", config.listen).await?;
    let private = bind("admin", config.admin).await?;
    let registry = Registry::new();
    let stats = Stats::register(&registry).map_err(about("metrics"))?;
    let http_stats = HttpStats::register(&registry).map_err(about("metrics"))?;
    let broker = Broker::new(core_options(config), stats, Arc::new(SystemClock), None);
    let bodies = BodyBudget::new(size(config.limits.body_bytes_total.get()));
    let admin_origins = origins(config, config.admin);
    let admin = Admin::new(Arc::clone(&broker), Arc::clone(&bodies), admin_origins, registry)
        .map_err(about("metrics"))?;

    let running = Running {
        listen: public.local_addr().map_err(about("listen"))?,
        admin: private.local_addr().map_err(about("admin"))?,
        broker: Arc::clone(&broker),
        public_tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        stop_admin: CancellationToken::new(),
        drain_timeout: config.http.drain_timeout.get(),
    };
    let connections = connection_limits(config);
    let listener = |socket, limits, tasks, stop: &CancellationToken| Listener {
        socket,
        options: listener_options(config),
        gate: Gate::new(limits),
        stats: http_stats.clone(),
        tasks,
        stop: stop.clone(),
    };
    let site = Site {
        endpoint: Arc::new(endpoint(config, &broker, cookies, Arc::clone(&bodies))),
        mounts: config.bayeux.mounts.clone().into(),
        demo: config.demo.enabled,
    };
    let public = listener(public, connections, running.public_tasks.clone(), &running.stop);
    tokio::spawn(public.serve(routes::public(site)));
    let few = ConnectionLimits {
        total: ADMIN_CONNECTIONS,
        per_address: ADMIN_CONNECTIONS,
        loopback: false,
    };
    let private = listener(private, few, TaskTracker::new(), &running.stop_admin);
    tokio::spawn(private.serve(routes::admin(Arc::new(admin))));
    tokio::spawn(expire(Arc::clone(&broker), running.stop_admin.clone()));
    if config.demo.enabled {
        tokio::spawn(ticker::run(broker, running.stop.clone()));
    }
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

impl Running {
    /// Accepts no more, answers held connects with advice to come back, lets what is under way
    /// finish, and is done: within the drain timeout. True if nothing had to be cut.
    pub async fn stop(self) -> bool {
        tracing::info!("draining");
        self.broker.drain();
        self.stop.cancel();
        self.public_tasks.close();
        let finished = tokio::time::timeout(self.drain_timeout, self.public_tasks.wait()).await;
        self.stop_admin.cancel();
        if finished.is_err() {
            tracing::warn!(connections = self.public_tasks.len(), "cut after the drain timeout");
        }
        tracing::info!("stopped");
        finished.is_ok()
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

async fn bind(what: &str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(about(format!("{what} address {address}")))
}

fn endpoint(
    config: &Config,
    broker: &Arc<Broker>,
    cookies: Cookies,
    budget: Arc<BodyBudget>,
) -> Endpoint {
    let mut offered = vec![ConnectionType::LongPolling, ConnectionType::CrossOriginLongPolling];
    if config.bayeux.callback_polling {
        offered.push(ConnectionType::CallbackPolling);
    }
    let limits = DecodeLimits {
        depth: size(config.limits.depth),
        messages: size(config.limits.messages_per_request),
        channel: ChannelLimits {
            bytes: size(config.limits.channel_bytes),
            segments: size(config.limits.channel_segments),
        },
        ..DecodeLimits::default()
    };
    Endpoint {
        exchange: Exchange::new(Arc::clone(broker), Arc::new(SystemIds), limits, offered),
        origins: origins(config, config.listen),
        cookies,
        body: BodyLimits {
            bytes: size(config.limits.body.get()),
            time: config.http.body_timeout.get(),
            budget,
        },
        callback_polling: config.bayeux.callback_polling,
    }
}

fn core_options(config: &Config) -> Options {
    let limits = &config.limits;
    Options {
        timeout: config.sessions.timeout.get(),
        interval: config.sessions.interval.get(),
        max_interval: config.sessions.max_interval.get(),
        require_cookie: config.sessions.require_cookie,
        sessions_max: size(config.sessions.max),
        held_per_browser: usize::try_from(config.browsers.held_per_browser).ok(),
        browser_interval: config.browsers.interval.get(),
        queue: QueueLimits {
            messages: size(limits.queue_messages),
            bytes: size(limits.queue_bytes.get()),
        },
        queue_bytes_total: size(limits.queue_bytes_total.get()),
        response_bytes: size(limits.response_bytes.get()),
        subscriptions_per_session: size(limits.subscriptions_per_session),
        subscriptions_total: size(limits.subscriptions),
        deliver_on_any_reply: config.deliver_on_any_reply,
    }
}

fn listener_options(config: &Config) -> ListenerOptions {
    ListenerOptions {
        deadlines: Deadlines {
            head: config.http.head_timeout.get(),
            write: config.http.body_timeout.get(),
        },
        idle: config.http.idle_timeout.get(),
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
        secure: config.browsers.secure,
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
