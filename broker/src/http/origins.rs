//! One list rules everything that a browser can be tricked into (decisions 3.15): CORS, POSTs from
//! foreign pages, JSONP, and, on a loopback listener, names that rebind to it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::header::{HOST, ORIGIN, REFERER};
use http::{HeaderMap, HeaderValue};

/// One entry of the list: `https://app.example.com`, or `https://*.example.com` for whole labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedOrigin {
    /// `http` or `https`, lower case.
    pub scheme: String,
    /// The host, lower case; of a wildcard entry what stands after `*.`.
    pub host: String,
    /// The port; the scheme's own if none was written.
    pub port: u16,
    /// Whether any name below `host` is meant instead of `host` itself.
    pub wildcard: bool,
}

impl AllowedOrigin {
    fn names_host(&self, host: &str) -> bool {
        if self.wildcard {
            host.strip_suffix(&self.host).is_some_and(|below| {
                below.strip_suffix('.').is_some_and(|labels| !labels.is_empty())
            })
        } else {
            host == self.host
        }
    }

    fn matches(&self, origin: &Origin) -> bool {
        self.scheme == origin.scheme && self.port == origin.port && self.names_host(&origin.host)
    }
}

/// The rule.
#[derive(Debug, Clone)]
pub struct Origins {
    /// The list.
    pub allowed: Vec<AllowedOrigin>,
    /// Whether the broker listens on loopback without authentication: then pages of any loopback
    /// port are welcome, and only loopback names may be asked for (DNS rebinding).
    pub loopback: bool,
}

/// What is to be thought of a request's origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// No `Origin`, nor any other sign that a foreign page asks.
    None,
    /// Allowed, to be echoed.
    Allowed(&'a HeaderValue),
    /// Not allowed.
    Foreign,
}

/// Scheme, host and port, as a browser states them.
#[derive(Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads `scheme://host[:port]` with anything behind it, as in `Referer`.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let authority = rest.get(..end)?;
        if authority.contains('@') {
            return None;
        }
        let scheme = scheme.to_ascii_lowercase();
        let default = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let (host, port) = split_port(authority)?;
        Some(Self { scheme, host, port: port.unwrap_or(default) })
    }
}

/// Splits `host[:port]`, lower-cased; `[…]` of an IPv6 address stays with the host.
fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.rfind(':') {
        Some(colon) if authority.get(colon..)?.contains(']') => (authority, None),
        Some(colon) => (authority.get(..colon)?, Some(authority.get(colon + 1..)?)),
        None => (authority, None),
    };
    let port = port.map(str::parse).transpose().ok()?;
    (!host.is_empty()).then(|| (host.to_ascii_lowercase(), port))
}

/// Whether a host name can only mean this machine.
fn is_loopback(host: &str) -> bool {
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let address = match bracketed {
        Some(bare) => bare.parse::<Ipv6Addr>().map(IpAddr::from),
        None => host.parse::<Ipv4Addr>().map(IpAddr::from),
    };
    host == "localhost" || address.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn text(headers: &HeaderMap, name: impl http::header::AsHeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

impl Origins {
    /// Whether the `Host` asked for may be asked of this listener.
    #[must_use]
    pub fn host_is_ours(&self, headers: &HeaderMap) -> bool {
        if !self.loopback {
            return true;
        }
        let host = text(headers, HOST).and_then(split_port);
        host.is_some_and(|(host, _)| {
            is_loopback(&host) || self.allowed.iter().any(|entry| entry.names_host(&host))
        })
    }

    /// Judges a request by its `Origin`, or, where there is none, by what else browsers say of it.
    #[must_use]
    pub fn judge<'a>(&self, headers: &'a HeaderMap) -> Verdict<'a> {
        let Some(value) = headers.get(ORIGIN) else {
            let foreign = is_embedding(headers) && !self.knows_referer(headers).unwrap_or(false);
            return if foreign { Verdict::Foreign } else { Verdict::None };
        };
        let several = headers.get_all(ORIGIN).iter().nth(1).is_some();
        let origin = value.to_str().ok().and_then(Origin::parse).filter(|_| !several);
        if origin.is_some_and(|origin| self.allows(&origin, headers)) {
            Verdict::Allowed(value)
        } else {
            Verdict::Foreign
        }
    }

    /// Whether a script element may load from here (JSONP): the page's origin shows in
    /// `Sec-Fetch-Site` or `Referer`; without either only one on this machine may.
    #[must_use]
    pub fn script_is_welcome(&self, headers: &HeaderMap, peer: IpAddr) -> bool {
        let site = text(headers, "sec-fetch-site");
        if matches!(site, Some("same-origin" | "none")) {
            return true;
        }
        if let Some(known) = self.knows_referer(headers) {
            return known;
        }
        let host = text(headers, HOST).and_then(split_port);
        site.is_none()
            && peer.to_canonical().is_loopback()
            && host.is_some_and(|(host, _)| is_loopback(&host))
    }

    /// Whether the page that `Referer` names is allowed; `None` without that header.
    fn knows_referer(&self, headers: &HeaderMap) -> Option<bool> {
        let origin = headers.get(REFERER)?.to_str().ok().and_then(Origin::parse);
        Some(origin.is_some_and(|origin| self.allows(&origin, headers)))
    }

    fn allows(&self, origin: &Origin, headers: &HeaderMap) -> bool {
        same_origin(origin, headers)
            || self.allowed.iter().any(|entry| entry.matches(origin))
            || (self.loopback && is_loopback(&origin.host))
    }
}

/// Whether a browser says that a page of another origin loads this into itself, as a script, an image,
/// a frame or by `fetch` without CORS: such loads have no `Origin`. To follow a link is none of them.
fn is_embedding(headers: &HeaderMap) -> bool {
    let elsewhere = matches!(text(headers, "sec-fetch-site"), Some("cross-site" | "same-site"));
    let followed = text(headers, "sec-fetch-mode") == Some("navigate")
        && text(headers, "sec-fetch-dest") == Some("document");
    elsewhere && !followed
}

/// Host and port equal `Host`; the scheme is not compared, since TLS may end in front of us.
fn same_origin(origin: &Origin, headers: &HeaderMap) -> bool {
    let Some((host, port)) = text(headers, HOST).and_then(split_port) else { return false };
    let default = if origin.scheme == "https" { 443 } else { 80 };
    host == origin.host && port.unwrap_or(default) == origin.port
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;

    fn rule(loopback: bool) -> Origins {
        let entry = |host: &str, wildcard| AllowedOrigin {
            scheme: "https".to_owned(),
            host: host.to_owned(),
            port: 443,
            wildcard,
        };
        Origins { allowed: vec![entry("app.example.com", false), entry("b.test", true)], loopback }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a header"))
            })
            .collect()
    }

    fn allowed(loopback: bool, host: &str, origin: &str) -> bool {
        let headers = headers(&[("host", host), ("origin", origin)]);
        matches!(rule(loopback).judge(&headers), Verdict::Allowed(_))
    }

    #[test]
    fn listed_origins_match_exactly_and_wildcards_by_whole_labels() {
        for good in [
            "https://app.example.com",
            "https://APP.example.com:443",
            "https://x.b.test",
            "https://x.y.b.test",
        ] {
            assert!(allowed(false, "weft.test", good), "{good}");
        }
        for bad in [
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://app.example.com.evil.test",
            "https://evilapp.example.com",
            "https://b.test",
            "https://xb.test",
            "https://.b.test",
            "null",
            "https://app.example.com@evil.test",
            "https://evil.test#.b.test",
            "https://evil.test\\.b.test",
            "file://app.example.com",
            "",
            "http://127.0.0.1:3000",
        ] {
            assert!(!allowed(false, "weft.test", bad), "{bad}");
        }
    }

    #[test]
    fn the_same_origin_needs_no_entry_and_its_scheme_is_not_compared() {
        for (host, origin) in [
            ("weft.test", "https://weft.test"),
            ("weft.test", "http://weft.test"),
            ("weft.test:8080", "http://weft.test:8080"),
            ("weft.test:443", "https://weft.test"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert!(allowed(false, host, origin), "{host} {origin}");
        }
        assert!(!allowed(false, "weft.test:8080", "http://weft.test"));
    }

    #[test]
    fn on_loopback_any_loopback_port_is_welcome_and_names_must_be_loopback() {
        for origin in ["http://127.0.0.1:3000", "http://localhost:1", "http://[::1]:9"] {
            assert!(allowed(true, "127.0.0.1:8080", origin), "{origin}");
        }
        assert!(!allowed(true, "127.0.0.1:8080", "http://127.0.0.1.evil.test"));
        let ours = |host: &str| rule(true).host_is_ours(&headers(&[("host", host)]));
        for host in ["localhost", "127.0.0.1:8080", "127.9.9.9", "[::1]:80", "app.example.com"] {
            assert!(ours(host), "{host}");
        }
        for host in ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test", "0x7f.1", ""] {
            assert!(!ours(host), "{host}");
        }
        for host in ["::1]", "[::1", "[[::1]]", "127.0.0.1]", "[127.0.0.1]"] {
            assert!(!ours(host), "half an address: {host}");
        }
        assert!(!rule(true).host_is_ours(&HeaderMap::new()));
        assert!(rule(false).host_is_ours(&headers(&[("host", "any.test")])));
    }

    #[test]
    fn r32_a_script_needs_a_known_page_or_a_loopback_peer() {
        let near: IpAddr = [127, 0, 0, 1].into();
        let far: IpAddr = [192, 0, 2, 1].into();
        let ok = |pairs: &[(&'static str, &str)], peer| {
            rule(true).script_is_welcome(&headers(pairs), peer)
        };
        let host = ("host", "127.0.0.1:8080");
        assert!(ok(&[host], near));
        assert!(!ok(&[host], far));
        assert!(!ok(&[("host", "app.example.com")], near));
        assert!(ok(&[host, ("sec-fetch-site", "same-origin")], far));
        assert!(ok(&[host, ("sec-fetch-site", "none")], far));
        assert!(!ok(&[host, ("sec-fetch-site", "cross-site")], near));
        let from = |page| ("referer", page);
        assert!(ok(&[host, ("sec-fetch-site", "same-site"), from("http://127.0.0.1:9/x")], near));
        assert!(ok(&[host, from("https://app.example.com/page?x#y")], far));
        assert!(!ok(&[host, from("https://evil.test/")], near));
        assert!(!ok(&[host, from("about:blank")], near));
    }
    #[test]
    fn what_a_foreign_page_embeds_is_foreign_and_a_link_is_not() {
        let judged = |pairs: &[(&'static str, &str)]| {
            let mut all = vec![("host", "weft.test")];
            all.extend(pairs);
            rule(false).judge(&headers(&all)) == Verdict::Foreign
        };
        let (cross, same) = (("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"));
        let (known, unknown) =
            (("referer", "https://app.example.com/"), ("referer", "https://e.test"));
        assert!(judged(&[cross]) && judged(&[same]) && judged(&[cross, unknown]));
        assert!(!judged(&[cross, known]) && !judged(&[same, ("referer", "http://weft.test/a")]));
        let navigate = ("sec-fetch-mode", "navigate");
        assert!(!judged(&[cross, unknown, navigate, ("sec-fetch-dest", "document")]));
        assert!(judged(&[cross, unknown, navigate, ("sec-fetch-dest", "iframe")]));
        assert!(judged(&[cross, unknown, ("sec-fetch-dest", "document")]));
        assert!(!judged(&[unknown]), "a link from there, by a browser that says no more");
        assert!(
            !judged(&[("sec-fetch-site", "same-origin")]) && !judged(&[("sec-fetch-site", "none")])
        );
    }
}
