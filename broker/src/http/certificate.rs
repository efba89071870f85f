//! Until when a certificate is valid: the one thing that is read of it here (RFC 5280 §4.1).

use time::{Date, Month, PrimitiveDateTime, Time};

/// The end of a certificate's validity, in seconds since 1970; `None` if the bytes (DER) are none.
#[must_use]
pub fn expires(der: &[u8]) -> Option<i64> {
    let (certificate, _) = element(der, SEQUENCE)?;
    let (mut fields, _) = element(certificate, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    for kind in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, fields) = element(fields, kind)?;
    }
    let (validity, _) = element(fields, SEQUENCE)?;
    let (_, until) = moment(validity)?;
    let (seconds, _) = moment(until)?;
    Some(seconds)
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The content of an element of this kind, and what follows it.
fn element(der: &[u8], kind: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, length], rest) = der.split_first_chunk()?;
    if found != kind {
        return None;
    }
    let (length, rest) = match length {
        ..=0x7f => (usize::from(length), rest),
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(length & 3))?;
            (length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time in seconds since 1970, and what follows it.
fn moment(der: &[u8]) -> Option<(i64, &[u8])> {
    let (digits, century, rest) = if let Some((text, rest)) = element(der, UTC_TIME) {
        let (year, rest_of_text) = text.split_at_checked(2)?;
        // Two digits mean 1950 to 2049.
        let year = number(year)?;
        (rest_of_text, if year < 50 { 2_000 + year } else { 1_900 + year }, rest)
    } else {
        let (text, rest) = element(der, GENERALIZED_TIME)?;
        let (year, rest_of_text) = text.split_at_checked(4)?;
        (rest_of_text, number(year)?, rest)
    };
    let digits: &[u8; 11] = digits.try_into().ok()?;
    let part = |at: usize| number(digits.get(at..at + 2)?).and_then(|part| u8::try_from(part).ok());
    let month = Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(i32::from(century), month, part(2)?).ok()?;
    let time = Time::from_hms(part(4)?, part(6)?, part(8)?).ok()?;
    let utc = digits.last() == Some(&b'Z');
    utc.then(|| (PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp(), rest))
}

fn number(digits: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        match u8::try_from(length) {
            Ok(short @ ..=0x7f) => [&[kind, short], content].concat(),
            _ => {
                let [.., high, low] = length.to_be_bytes();
                [&[kind, 0x82, high, low], content].concat()
            }
        }
    }

    fn certificate(version: bool, until: &[u8]) -> Vec<u8> {
        let version = if version { field(VERSION, &[2, 1, 2]) } else { Vec::new() };
        let from = field(UTC_TIME, b"200101000000Z");
        let issuer = field(SEQUENCE, &[0; 300]);
        let validity = field(SEQUENCE, &[from, until.to_vec()].concat());
        let fields = [version, field(INTEGER, &[1]), field(SEQUENCE, &[]), issuer, validity];
        field(SEQUENCE, &field(SEQUENCE, &fields.concat()))
    }

    #[test]
    fn the_end_of_validity_is_read_in_both_spellings() {
        let utc = certificate(true, &field(UTC_TIME, b"260102030405Z"));
        assert_eq!(expires(&utc), Some(1_767_323_045));
        let late = certificate(false, &field(GENERALIZED_TIME, b"20500101000000Z"));
        assert_eq!(expires(&late), Some(2_524_608_000));
        for length in 0..utc.len() {
            assert_eq!(expires(&utc[..length]), None);
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["2601020304Z", "260102030405+", "261302030405Z", "26010203040aZ", "+60102030405Z"]
        {
            let der = certificate(true, &field(UTC_TIME, text.as_bytes()));
            assert_eq!(expires(&der), None, "{text}");
        }
    }
}
