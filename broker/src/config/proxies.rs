//! `[proxies]`: whose word about clients' addresses counts.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// `[proxies]`: the proxies in front of the broker, by the addresses that they connect from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
pub struct Proxies {
    /// Addresses and networks of proxies: what they say of a client's address is believed. Default
    /// none: anybody could say anything.
    pub trusted: Vec<Network>,
    /// In which header they say it. Default `x-forwarded-for`.
    pub forwarded: Forwarded,
    /// Whether they begin each connection with a PROXY header (versions 1 and 2). Then they must, and
    /// nobody else may. Default false: it has to be switched on at both ends.
    pub protocol: bool,
}

/// The header that names a request's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Forwarded {
    /// `X-Forwarded-For`.
    #[default]
    #[serde(rename = "x-forwarded-for")]
    XForwardedFor,
    /// None: whoever connects is the client, or the one whom a PROXY header names.
    #[serde(rename = "none")]
    None,
}

/// A network, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address = || text.parse::<IpAddr>().map(IpNet::from).ok();
        let network = text.parse::<IpNet>().ok().or_else(address).ok_or_else(|| {
            format!("{text:?} is neither an address nor a network such as \"10.0.0.0/8\"")
        })?;
        if network.prefix_len() == 0 {
            return Err(format!("{text:?} is everybody: then anybody could pass for anybody"));
        }
        Ok(Self(network))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_single_addresses_are_read() {
        for (text, shown) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), shown);
        }
        for text in ["", "10.0.0.0/33", "localhost", "0.0.0.0/0", "::/0", "10.0.0/8"] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
