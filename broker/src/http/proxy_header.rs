//! The PROXY header (haproxy's `proxy-protocol.txt`, versions 1 and 2), by which a proxy that passes
//! bytes on says whom it does it for. Pure: bytes in, what they say out.
//!
//! Our own, since all that is needed of it is its length and one address; crates read TLVs besides.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// No longer header is read: version 1 has at most 107 bytes, version 2 addresses and whatever a
/// proxy adds, of which an issuer's certificate would be the largest part.
pub const MAX: usize = 2_048;

/// A header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// How many bytes it has; what follows is the client's.
    pub length: usize,
    /// Who connected to the proxy. `None`: the proxy speaks for itself, or does not know.
    pub source: Option<IpAddr>,
}

/// Why there is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// There may be one once more has come.
    Incomplete,
    /// These bytes begin none.
    Malformed,
}

const SIGNATURE_1: &[u8] = b"PROXY ";
const SIGNATURE_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// A line of version 1, with its end.
const LINE_MAX: usize = 107;
/// What of version 2 is always there.
const FIXED: usize = 16;

/// Reads the header that bytes begin with.
///
/// # Errors
/// See [`Fault`].
pub fn parse(bytes: &[u8]) -> Result<Parsed, Fault> {
    if begins(bytes, SIGNATURE_1)? {
        return version_1(bytes);
    }
    if begins(bytes, SIGNATURE_2)? {
        return version_2(bytes);
    }
    Err(Fault::Malformed)
}

/// Whether there is this signature; an error as long as it may yet come.
fn begins(bytes: &[u8], signature: &[u8]) -> Result<bool, Fault> {
    if bytes.len() < signature.len() && signature.starts_with(bytes) {
        return Err(Fault::Incomplete);
    }
    Ok(bytes.starts_with(signature))
}

fn version_1(bytes: &[u8]) -> Result<Parsed, Fault> {
    let within = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(end) = within.windows(2).position(|window| window == b"\r\n") else {
        return Err(if bytes.len() < LINE_MAX { Fault::Incomplete } else { Fault::Malformed });
    };
    let length = end + 2;
    let line = bytes.get(SIGNATURE_1.len()..end).and_then(|line| std::str::from_utf8(line).ok());
    let mut words = line.ok_or(Fault::Malformed)?.split(' ');
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        return Ok(Parsed { length, source: None });
    }
    let (Some(source), Some(target), Some(from), Some(to), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Fault::Malformed);
    };
    let read = |text: &str| match family {
        "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        _ => None,
    };
    let port = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits && text.parse::<u16>().is_ok()
    };
    match (read(source), read(target)) {
        (Some(source), Some(_)) if port(from) && port(to) => {
            Ok(Parsed { length, source: Some(source.to_canonical()) })
        }
        _ => Err(Fault::Malformed),
    }
}

fn version_2(bytes: &[u8]) -> Result<Parsed, Fault> {
    let Some(&[command, family, high, low]) =
        bytes.get(SIGNATURE_2.len()..).and_then(|rest| rest.first_chunk())
    else {
        return Err(Fault::Incomplete);
    };
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX || !matches!(command, 0x20 | 0x21) {
        return Err(Fault::Malformed);
    }
    let rest = bytes.get(FIXED..length).ok_or(Fault::Incomplete)?;
    if command == 0x20 {
        return Ok(Parsed { length, source: None });
    }
    let source = match family >> 4 {
        1 => rest.first_chunk::<12>().and_then(|_| rest.first_chunk::<4>()).map(|&b| b.into()),
        2 => rest.first_chunk::<36>().and_then(|_| rest.first_chunk::<16>()).map(|&b| b.into()),
        0 | 3 => return Ok(Parsed { length, source: None }),
        _ => None,
    };
    let source: IpAddr = source.ok_or(Fault::Malformed)?;
    Ok(Parsed { length, source: Some(source.to_canonical()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE_2, &[command, family], &length, rest].concat()
    }

    fn says(bytes: &[u8], source: Option<&str>) {
        let parsed = parse(&[bytes, b"GET / HTTP/1.1\r\n"].concat());
        let source = source.map(|text| text.parse().unwrap());
        assert_eq!(parsed, Ok(Parsed { length: bytes.len(), source }), "{bytes:?}");
        for length in 0..bytes.len() {
            assert_eq!(parse(&bytes[..length]), Err(Fault::Incomplete), "{bytes:?} {length}");
        }
    }

    #[test]
    fn both_versions_name_the_source_however_much_of_them_has_come() {
        says(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n", Some("192.0.2.1"));
        says(b"PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", Some("2001:db8::1"));
        says(b"PROXY UNKNOWN\r\n", None);
        says(b"PROXY UNKNOWN ffff:f...f:ffff whatever\r\n", None);
        let four = [192, 0, 2, 1, 10, 0, 0, 1, 1, 2, 3, 4];
        says(&version_2(0x21, 0x11, &four), Some("192.0.2.1"));
        says(&version_2(0x21, 0x11, &[&four[..], &[4, 0, 1, 7]].concat()), Some("192.0.2.1"));
        let mut six = [0; 36];
        six[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        says(&version_2(0x21, 0x21, &six), Some("2001:db8::1"));
        six[..16].copy_from_slice(&"::ffff:192.0.2.1".parse::<Ipv6Addr>().unwrap().octets());
        says(&version_2(0x21, 0x21, &six), Some("192.0.2.1"));
        says(&version_2(0x20, 0, &[]), None);
        says(&version_2(0x20, 0x11, &four), None);
        says(&version_2(0x21, 0x31, &[0; 216]), None);
    }

    #[test]
    fn all_else_is_refused_as_soon_as_it_can_be() {
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 100]].concat();
        for bytes in [
            b"GET / HTTP/1.1\r\n".as_slice(),
            b"PRI * HTTP/2.0\r\n",
            b"proxy TCP4 ",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443 1\r\n",
            b"PROXY TCP4 192.0.2.1  10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 +443\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 65536\r\n",
            b"PROXY TCP4 ::1 ::1 1 1\r\n",
            b"PROXY TCP6 192.0.2.1 192.0.2.1 1 1\r\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.1 1 1\r\n",
            b"PROXY \xff\r\n",
            b"PROXY \r\n",
            &long,
            &version_2(0x11, 0x11, &[0; 12]),
            &version_2(0x22, 0x11, &[0; 12]),
            &version_2(0x21, 0x11, &[0; 11]),
            &version_2(0x21, 0x21, &[0; 35]),
            &version_2(0x21, 0x41, &[0; 36]),
            &[SIGNATURE_2, &[0x21, 0x11, 0xff, 0xff]].concat(),
        ] {
            assert_eq!(parse(bytes), Err(Fault::Malformed), "{bytes:?}");
        }
    }
}
