//! The edge: sockets, limits, deadlines, HTTP, and the URL space.

pub mod admin;
pub mod bayeux;
pub mod body;
pub mod connection;
pub mod cookie;
pub mod demo;
pub mod headers;
pub mod limits;
pub mod listener;
pub mod origins;
pub mod routes;
pub mod stats;
