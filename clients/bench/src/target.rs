//! Where to connect, and under which names channels are known there.

use std::net::{SocketAddr, ToSocketAddrs};
use std::rc::Rc;

use crate::args::{Common, Protocol, PublishBy};

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    /// `Host` and the headers that all requests have, as lines.
    pub(crate) headers: Rc<str>,
    /// With `{channel}` in it, if it is a template.
    pub(crate) path: Rc<str>,
}

impl Place {
    /// Reads an `http://` or `ws://` URL.
    fn read(url: &str, headers: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").ok_or_else(|| format!("{url}: no URL"))?;
        if !matches!(scheme, "http" | "ws") {
            return Err(format!("{url}: only http:// and ws:// are measured"));
        }
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let named = if host.rsplit(']').next().is_some_and(|end| end.contains(':')) {
            host.to_owned()
        } else {
            format!("{host}:80")
        };
        let mut found = named.to_socket_addrs().map_err(|error| format!("{url}: {error}"))?;
        let address = found.next().ok_or_else(|| format!("{url}: no address"))?;
        let path = if path.is_empty() { "/" } else { path };
        let headers = format!("Host: {host}\r\n{headers}").into();
        Ok(Self { address, headers, path: path.into() })
    }

    /// The same with that in place of `{channel}`.
    pub(crate) fn with_channel(&self, channel: &str) -> Self {
        Self { path: self.path.replace("{channel}", channel).into(), ..self.clone() }
    }
}

/// The server, as subscribers and publishers see it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) protocol: Protocol,
    pub(crate) publish: PublishBy,
    pub(crate) bayeux: Place,
    publish_place: Place,
    subscribe_place: Place,
    separator: String,
    /// Tells this run's channels from those of others.
    run: u32,
}

impl Target {
    /// Finds out what the command line leaves open.
    ///
    /// # Errors
    /// A text for whoever typed it.
    pub(crate) fn new(common: &Common, run: u32) -> Result<Self, String> {
        use Protocol::{LongPolling, Ndjson, Sse, Websocket};
        let mut headers = String::new();
        for line in &common.header {
            if !line.contains(": ") || line.contains(['\r', '\n']) {
                return Err(format!("--header {line:?} is not 'NAME: VALUE'"));
            }
            headers += &format!("{line}\r\n");
        }
        if let Some(key) = &common.key {
            headers += &format!("X-API-Key: {key}\r\n");
        }
        let (subscribe, publish, by) = match common.protocol {
            LongPolling | Websocket => ("/", "/publish/{channel}", PublishBy::Bayeux),
            Sse => ("/events/{channel}", "/publish/{channel}", PublishBy::Http),
            Ndjson => ("/stream/{channel}", "/publish/{channel}", PublishBy::Http),
            _ => ("/sub/{channel}", "/pub/{channel}", PublishBy::Http),
        };
        let after = common.url.find("://").map_or(0, |at| at + 3);
        let end = common.url[after..].find('/').map_or(common.url.len(), |at| after + at);
        let origin = &common.url[..end];
        let place = |given: &Option<String>, path: &str| {
            let url = given.clone().unwrap_or_else(|| format!("{origin}{path}"));
            Place::read(&url, &headers)
        };
        let target = Self {
            protocol: common.protocol,
            publish: common.publish.unwrap_or(by),
            bayeux: Place::read(&common.url, &headers)?,
            publish_place: place(&common.publish_url, publish)?,
            subscribe_place: place(&common.subscribe_url, subscribe)?,
            separator: common.channel_separator.clone(),
            run,
        };
        if common.source_addresses > 0 && !target.bayeux.address.ip().is_loopback() {
            return Err("--source-addresses is for servers on this machine".to_owned());
        }
        Ok(target)
    }

    /// A channel's name in Bayeux.
    pub(crate) fn channel(&self, index: usize) -> String {
        format!("/bench/{}/{index}", self.run)
    }

    /// Its name in paths.
    fn path_name(&self, index: usize) -> String {
        match self.protocol {
            Protocol::NchanLongPoll | Protocol::NchanMultipart | Protocol::NchanWebsocket => {
                format!("bench-{}-{index}", self.run)
            }
            _ => self.channel(index).trim_start_matches('/').to_owned(),
        }
    }

    /// Where to post a channel's messages.
    pub(crate) fn publish_place(&self, channel: usize) -> Place {
        self.publish_place.with_channel(&self.path_name(channel))
    }

    /// Where to read some channels, of which there is one at least.
    pub(crate) fn subscribe_place(&self, channels: &[usize]) -> Place {
        if matches!(self.protocol, Protocol::Sse | Protocol::Ndjson) {
            let (first, more) = channels.split_first().unwrap_or((&0, &[]));
            let mut place = self.subscribe_place.with_channel(&self.path_name(*first));
            let mut path = place.path.to_string();
            for channel in more {
                path.push(if path.contains('?') { '&' } else { '?' });
                path += &format!("channel={}", self.channel(*channel));
            }
            place.path = path.into();
            return place;
        }
        let names: Vec<String> = channels.iter().map(|&channel| self.path_name(channel)).collect();
        self.subscribe_place.with_channel(&names.join(&self.separator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(url: &str, protocol: Protocol) -> Common {
        Common {
            url: url.to_owned(),
            protocol,
            publish: None,
            publish_url: None,
            subscribe_url: None,
            channel_separator: ",".to_owned(),
            key: Some("k".to_owned()),
            header: vec!["A: b".to_owned()],
            server_pid: Vec::new(),
            source_addresses: 0,
            connect_concurrency: 1,
            settle: 0.0,
            drain: 0.0,
            limit_ms: 0.0,
            json: None,
            seed: 1,
        }
    }

    #[test]
    fn a_url_says_where_and_under_which_name() {
        let target =
            Target::new(&common("ws://127.0.0.1:81/cometd", Protocol::Websocket), 7).unwrap();
        assert_eq!(target.bayeux.address, "127.0.0.1:81".parse().unwrap());
        assert_eq!(&*target.bayeux.headers, "Host: 127.0.0.1:81\r\nA: b\r\nX-API-Key: k\r\n");
        assert_eq!(&*target.bayeux.path, "/cometd");
        assert_eq!(target.publish, PublishBy::Bayeux);
        assert_eq!(&*target.publish_place(3).path, "/publish/bench/7/3");
        let six = Target::new(&common("http://[::1]", Protocol::LongPolling), 7).unwrap();
        assert_eq!(six.bayeux.address, "[::1]:80".parse().unwrap());
        for wrong in ["127.0.0.1:80", "https://127.0.0.1/"] {
            assert!(Target::new(&common(wrong, Protocol::Sse), 7).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_protocol_has_its_paths() {
        let target = |protocol| Target::new(&common("http://127.0.0.1/x", protocol), 7).unwrap();
        let path = |protocol| target(protocol).subscribe_place(&[1, 2]).path.to_string();
        assert_eq!(path(Protocol::Sse), "/events/bench/7/1?channel=/bench/7/2");
        assert_eq!(path(Protocol::Ndjson), "/stream/bench/7/1?channel=/bench/7/2");
        assert_eq!(path(Protocol::NchanLongPoll), "/sub/bench-7-1,bench-7-2");
        assert_eq!(&*target(Protocol::NchanWebsocket).publish_place(0).path, "/pub/bench-7-0");
        let mut given = common("http://127.0.0.1/x", Protocol::NchanMultipart);
        given.publish_url = Some("http://127.0.0.1:9/p?id={channel}".to_owned());
        let place = Target::new(&given, 7).unwrap().publish_place(4);
        assert_eq!((place.address.port(), &*place.path), (9, "/p?id=bench-7-4"));
    }
}
