//! What `Accept-Encoding` says of gzip (RFC 9110 §12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// Whether a client takes gzip, and does not like a body better as it is. Who says nothing takes no
/// coding: the RFC would allow any, and clients that know none say nothing.
#[must_use]
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    for element in lines.flat_map(|line| line.split(',')) {
        let (coding, parameter) = match element.split_once(';') {
            Some((coding, parameter)) => (coding.trim(), Some(parameter)),
            None => (element.trim(), None),
        };
        let place = match coding {
            "*" => &mut any,
            _ if coding.eq_ignore_ascii_case("gzip") => &mut gzip,
            _ if coding.eq_ignore_ascii_case("x-gzip") => &mut gzip,
            _ if coding.eq_ignore_ascii_case("identity") => &mut identity,
            _ => continue,
        };
        // What cannot be read is no yes, and of two weights the lower one holds.
        let weight = parameter.map_or(Some(MOST), weight).unwrap_or(0);
        *place = Some(place.map_or(weight, |known: u16| known.min(weight)));
    }
    let gzip = gzip.or(any).unwrap_or(0);
    gzip > 0 && gzip >= identity.or(any).unwrap_or(0)
}

/// The weight of what is liked best.
const MOST: u16 = 1_000;

/// Reads `q=0.5`, in thousandths: at most three digits behind the point, and no more than 1.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    if !name.trim().eq_ignore_ascii_case("q") {
        return None;
    }
    let value = value.trim();
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || !matches!(whole, "0" | "1") {
        return None;
    }
    let part = part.bytes().chain(std::iter::repeat(b'0')).take(3);
    let part = part.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    let weight = if whole == "1" { MOST + part } else { part };
    (weight <= MOST).then_some(weight)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn taken(lines: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(line));
        }
        takes_gzip(&headers)
    }

    #[test]
    fn gzip_is_taken_by_its_names_or_a_star() {
        for line in [
            "gzip",
            "GZIP",
            "x-gzip",
            "deflate, gzip, br, zstd",
            " gzip ; q=0.001 ",
            "gzip;Q=1",
            "gzip;q=1.000",
            "gzip;q=0.5, identity;q=0.5",
            "gzip;q=0.5, identity;q=0.2, *;q=0",
            "identity;q=0, gzip;q=0.1",
            "*",
            "br, *;q=0.1",
            "*;q=0, gzip",
            ",,gzip,",
        ] {
            assert!(taken(&[line]), "{line}");
        }
        assert!(taken(&["br", "gzip"]), "several lines are one list");
    }

    #[test]
    fn it_is_not_where_it_is_refused_or_liked_less_or_cannot_be_read() {
        for line in [
            "",
            "identity",
            "br, deflate, zstd",
            "gzipped",
            "gzip;q=0",
            "gzip;q=0.000",
            "gzip; q=0, *",
            "gzip, gzip;q=0",
            "*;q=0",
            "gzip;q=0.4, identity;q=0.5",
            "gzip;q=0.4, *;q=0.5",
            "identity, *;q=0.5",
            "gzip;q=1.001",
            "gzip;q=2",
            "gzip;q=-1",
            "gzip;q=0.0001",
            "gzip;q=.5",
            "gzip;q=",
            "gzip;q",
            "gzip;level=1",
            "gzip;q=1;q=1",
            "gzip q=1",
        ] {
            assert!(!taken(&[line]), "{line}");
        }
        assert!(!taken(&[]), "who says nothing gets no coding");
        assert!(!taken(&["gzip", "gzip;q=0"]));
    }
}
