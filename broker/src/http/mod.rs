//! The edge: sockets, limits, deadlines, HTTP, and the URL space.

pub mod accept;
pub mod admin;
pub mod api;
pub mod arrival;
pub mod bayeux;
pub mod body;
pub mod booked;
pub mod certificate;
pub mod connection;
pub mod cookie;
pub mod credentials;
pub mod demo;
pub mod event_source;
pub mod gzip;
pub mod headers;
pub mod history;
<<<<<<< HEAD
pub mod incoming;
=======
pub mod http2;
pub mod limited;
>>>>>>> main
pub mod limits;
pub mod listener;
pub mod ndjson;
pub mod origins;
pub mod proxies;
pub mod proxy_header;
pub mod publish;
pub mod routes;
pub mod socket;
pub mod stats;
pub mod streams;
pub mod tls;
pub mod upgrade;
