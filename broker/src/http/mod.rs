//! The edge: sockets, limits, deadlines, HTTP, and the URL space.

pub mod accept;
pub mod admin;
pub mod api;
pub mod bayeux;
pub mod body;
pub mod booked;
pub mod connection;
pub mod cookie;
pub mod credentials;
pub mod demo;
pub mod event_source;
pub mod gzip;
pub mod headers;
pub mod history;
pub mod incoming;
pub mod limits;
pub mod listener;
pub mod ndjson;
pub mod origins;
pub mod publish;
pub mod routes;
pub mod stats;
pub mod streams;
pub mod upgrade;
