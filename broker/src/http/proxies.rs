//! What proxies say of clients' addresses: believed of those that the operator names, and of nobody
//! else (R33).

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// Whom to believe.
#[derive(Debug, Default)]
pub struct Proxies {
    /// The addresses that proxies connect from.
    pub trusted: Vec<IpNet>,
    /// Whether `X-Forwarded-For` counts.
    pub forwarded: bool,
    /// Whether each of their connections begins with a PROXY header.
    pub protocol: bool,
}

impl Proxies {
    /// Whether this is a proxy's address.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }

    /// Who asked the proxy, by `X-Forwarded-For`. Each proxy adds on the right whom it was asked by,
    /// so what it says is read from there: the first address that is no proxy's is the client's, and
    /// whatever stands to its left the client may have made up. If all are proxies', it is the first of
    /// them. `None` if there is no such header, or one that cannot be read.
    #[must_use]
    pub fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        if !self.forwarded {
            return None;
        }
        let mut first = None;
        for line in headers.get_all("x-forwarded-for").iter().rev() {
            for hop in line.to_str().ok()?.rsplit(',') {
                let address = address(hop.trim())?;
                if !self.trusts(address) {
                    return Some(address);
                }
                first = Some(address);
            }
        }
        first
    }
}

/// An address, with a port behind it or without: some proxies write one.
fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bracketed {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => text.parse::<std::net::SocketAddr>().ok()?.ip(),
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn client(lines: &[&'static str]) -> Option<String> {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|text| text.parse().unwrap());
        let proxies = Proxies { trusted: trusted.to_vec(), forwarded: true, protocol: false };
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", HeaderValue::from_str(line).unwrap());
        }
        proxies.client(&headers).map(|address| address.to_string())
    }

    #[test]
    fn r33_the_client_is_the_rightmost_address_that_is_no_proxys() {
        for (lines, expected) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
            (&["192.0.2.9, 192.0.2.1,10.0.0.1 , 10.9.9.9"], "192.0.2.1"),
            (&["192.0.2.9", "192.0.2.1", "10.0.0.1"], "192.0.2.1"),
            (&["garbage, 192.0.2.1"], "192.0.2.1"),
            (&["10.0.0.2, 10.0.0.1"], "10.0.0.2"),
            (&["192.0.2.1:4711"], "192.0.2.1"),
            (&["[2001:db9::1]:4711, [2001:db8::1]"], "2001:db9::1"),
            (&["2001:db9::1"], "2001:db9::1"),
            (&["::ffff:192.0.2.1, ::ffff:10.0.0.1"], "192.0.2.1"),
        ] {
            assert_eq!(client(lines).as_deref(), Some(expected), "{lines:?}");
        }
    }

    #[test]
    fn r33_what_cannot_be_read_says_nothing() {
        for lines in [
            &[][..],
            &[""],
            &["garbage"],
            &["192.0.2.1, garbage"],
            &["192.0.2.1, garbage, 10.0.0.1"],
            &["192.0.2.1,"],
            &["192.0.2.1", ""],
            &["192.0.2.1:99999"],
            &["[192.0.2.1]"],
            &["for=192.0.2.1"],
            &["unknown"],
        ] {
            assert_eq!(client(lines), None, "{lines:?}");
        }
    }
}
