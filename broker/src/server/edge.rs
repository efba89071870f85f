//! The edge's options, out of the configuration.

use super::size;
use crate::config::Config;
use crate::exchange::FrameLimits;
use crate::http::connection::Deadlines;
use crate::http::lean::Lean;
use crate::http::listener::ListenerOptions;
use crate::http::routes::Site;
use crate::transport::streaming::StreamOptions;
use crate::transport::websocket::SocketOptions;

pub(super) fn listener_options(config: &Config) -> ListenerOptions {
    ListenerOptions {
        deadlines: Deadlines {
            head: config.http.head_timeout.get(),
            write: config.http.body_timeout.get(),
        },
        idle: config.http.idle_timeout.get(),
    }
}

pub(super) fn stream_options(config: &Config) -> StreamOptions {
    let streams = &config.streams;
    StreamOptions {
        heartbeat: streams.heartbeat.get(),
        max_age: streams.max_age.get(),
        max_bytes: streams.max_bytes.get(),
        retry: streams.retry.get(),
        padding: size(streams.padding.get()),
    }
}

pub(super) fn socket_options(config: &Config) -> SocketOptions {
    let socket = &config.websocket;
    SocketOptions {
        ping_interval: socket.ping_interval.get(),
        pong_timeout: socket.pong_timeout.get(),
        frame: FrameLimits {
            messages: size(socket.frame_messages),
            bytes: size(socket.frame_bytes.get()),
        },
        message_bytes: size(config.limits.body.get()),
        idle: config.sessions.max_interval.get(),
    }
}

/// What of a site goes by the lean path.
pub(super) fn lean(site: &Site) -> Lean {
    let Site { endpoint, mounts, api, .. } = site.clone();
    Lean { endpoint, mounts, api }
}
