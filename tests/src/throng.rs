//! Many sessions of one attacker, made with few connections.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

use crate::broker::Broker;
use crate::http::{Connection, Request, Response};
use crate::siege::HANDSHAKE;

/// Requests under way at a time.
const AT_ONCE: usize = 50;

/// A connection that sends many requests before it reads an answer.
#[derive(Debug)]
pub struct Pipe {
    connection: Connection,
    peer: SocketAddr,
}

impl Pipe {
    /// From this address.
    #[must_use]
    pub fn open(broker: &Broker, source: IpAddr) -> Self {
        let peer = broker.listen;
        Self { connection: Connection::open_from(source, peer), peer }
    }

    /// Sends requests and reads their answers; those that are missing at the end were cut off.
    pub fn exchange(&mut self, requests: &[Request]) -> Vec<Response> {
        let mut responses = Vec::with_capacity(requests.len());
        for some in requests.chunks(AT_ONCE) {
            let bytes: Vec<u8> = some.iter().flat_map(|request| request.bytes(self.peer)).collect();
            if self.connection.try_send(&bytes).is_err() {
                break;
            }
            responses.extend(some.iter().map_while(|_| self.connection.read().ok()));
        }
        responses
    }

    /// Shakes hands so many times; the clientIds that came of it.
    pub fn handshakes(&mut self, count: usize) -> Vec<String> {
        let requests = vec![Request::post("/bayeux", HANDSHAKE); count];
        let replies = self.exchange(&requests);
        let id = |response: &Response| {
            if response.status != 200 {
                return None;
            }
            Some(response.messages().first()?["clientId"].as_str()?.to_owned())
        };
        replies.iter().filter_map(id).collect()
    }

    /// Subscribes each of these sessions.
    pub fn subscribe(&mut self, ids: &[String], subscription: &Value) -> Vec<Response> {
        let request = |id: &String| {
            let message = json!([{"channel": "/meta/subscribe", "clientId": id,
                                  "subscription": subscription}]);
            Request::post("/bayeux", message.to_string())
        };
        self.exchange(&ids.iter().map(request).collect::<Vec<_>>())
    }
}
