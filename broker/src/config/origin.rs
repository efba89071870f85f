//! Which foreign origins a browser's request may come from: one entry of `origins`.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// An exact origin, `https://app.example.com` with an optional port, or all below a domain,
/// `https://*.example.com`. Lower case; a scheme's own port is left out, as browsers do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OriginPattern {
    /// `http` or `https`.
    pub scheme: String,
    /// The host, in brackets if it is an IPv6 address; without the `*.` of a wildcard.
    pub host: String,
    /// The port, unless it is the scheme's own.
    pub port: Option<u16>,
    /// Whether it stands for every host that has one or more labels before [`host`](Self::host),
    /// and not for that host itself.
    pub wildcard: bool,
}

impl FromStr for OriginPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |why: &str| {
            format!(
                "{text:?} is not an origin: {why}; write https://app.example.com, with a port if \
                 it has one, or https://*.example.com"
            )
        };
        let lower = text.to_ascii_lowercase();
        if lower == "*" || lower == "null" {
            return Err(bad("it would let every page in"));
        }
        let (scheme, authority) =
            lower.split_once("://").ok_or_else(|| bad("the scheme is missing"))?;
        let own_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(bad("the scheme must be http or https")),
        };
        let colon = authority.rfind(':').filter(|colon| !authority[*colon..].contains(']'));
        let (host, port) = match colon {
            Some(colon) => {
                let port = authority[colon + 1..].parse::<u16>().ok().filter(|port| *port > 0);
                (&authority[..colon], Some(port.ok_or_else(|| bad("the port is no port"))?))
            }
            None => (authority, None),
        };
        let (host, wildcard) = match host.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (host, false),
        };
        if !(is_name(host) || (!wildcard && is_ipv6(host))) {
            return Err(bad("the host is no host, or more than a host follows the scheme"));
        }
        Ok(Self {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: port.filter(|port| *port != own_port),
            wildcard,
        })
    }
}

/// A host name or an IPv4 address: labels of letters, digits, `-` and `_`, joined by dots.
fn is_name(host: &str) -> bool {
    host.len() <= 253
        && host.split('.').all(|label| {
            !label.is_empty()
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

/// An IPv6 address in brackets.
fn is_ipv6(host: &str) -> bool {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port, wildcard } = self;
        write!(f, "{scheme}://{}{host}", if *wildcard { "*." } else { "" })?;
        port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl Serialize for OriginPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for OriginPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_read_in_lower_case_and_without_the_schemes_own_port() {
        for (text, shown) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.COM:443", "https://app.example.com"),
            ("http://app.example.com:443", "http://app.example.com:443"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://127.0.0.1:80", "http://127.0.0.1"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(text.parse::<OriginPattern>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_not_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "null",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://*",
            "https://*.",
            "https://a.*.com",
            "https://*example.com",
            "https://example.com/",
            "https://example.com/path",
            "https://user@example.com",
            "https://example.com:0",
            "https://example.com:99999",
            "https://example.com:",
            "https://exa mple.com",
            "https://bücher.example",
            "https://[::1",
            "https://*.[::1]",
        ] {
            assert!(text.parse::<OriginPattern>().is_err(), "{text}");
        }
    }
}
