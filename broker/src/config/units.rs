//! Values with a unit, as people write them: `"30s"`, `"1MiB"`. The unit is part of the text, so
//! that no key has to be guessed to be in seconds or in milliseconds.

use std::{fmt, net::SocketAddr, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

/// A length of time, written as a whole number and `ms`, `s`, `m` or `h`. A bare number is refused:
/// half of all readers would take it for seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(Duration);

/// The units of time, largest first, in milliseconds.
const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Ten years in milliseconds: more is a mistake, and far from overflowing any clock.
const TIME_MAX_MS: u64 = 10 * 365 * 24 * 3_600_000;

impl HumanDuration {
    /// So many milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// So many seconds.
    #[must_use]
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// As the standard library's duration.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }

    /// In whole milliseconds, as Bayeux advice gives it.
    #[must_use]
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl From<HumanDuration> for Duration {
    fn from(duration: HumanDuration) -> Self {
        duration.0
    }
}

impl fmt::Display for HumanDuration {
    /// In the largest unit that gives a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        write_in_unit(f, millis, &TIME_UNITS)
    }
}

impl FromStr for HumanDuration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let help = || {
            format!(
                "{text:?} is not a length of time: write a whole number and ms, s, m or h, \
                 such as \"30s\" or \"250ms\""
            )
        };
        let (_, millis) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(help)?;
        let number: u64 = number.parse().map_err(|_| help())?;
        match number.checked_mul(*millis) {
            Some(total) if total <= TIME_MAX_MS => Ok(Self::millis(total)),
            _ => Err(format!("{text:?} is longer than ten years")),
        }
    }
}

/// A number of bytes, written as a whole number and `B`, `KiB`, `MiB` or `GiB`, or as a bare number
/// of bytes. `kB` and `MB` are refused, since people do not agree on what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

/// The units of size, largest first, in bytes.
const SIZE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    /// So many bytes.
    #[must_use]
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1,024 bytes.
    #[must_use]
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many times 1,048,576 bytes.
    #[must_use]
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// In bytes.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In bytes, as lengths in memory are counted.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that gives a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0B");
        }
        write_in_unit(f, self.0, &SIZE_UNITS)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = split(text);
        let help = || {
            format!(
                "{text:?} is not a number of bytes: write a whole number and B, KiB, MiB or GiB, \
                 such as \"1MiB\", or a bare number of bytes"
            )
        };
        let unit = if unit.is_empty() { "B" } else { unit };
        let (_, bytes) = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(help)?;
        let number: u64 = number.parse().map_err(|_| help())?;
        number.checked_mul(*bytes).map(Self).ok_or_else(|| format!("{text:?} is too large"))
    }
}

/// The digits at the start, and the rest without blanks around it.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// Writes `value`, which is not 0, in the first unit that divides it. The last unit is 1.
fn write_in_unit(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    for (name, size) in units {
        if value.is_multiple_of(*size) {
            return write!(f, "{}{name}", value / size);
        }
    }
    Ok(())
}

impl Serialize for HumanDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a length of time such as \"30s\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<HumanDuration, E> {
                Err(E::custom(format_args!(
                    "{number} has no unit: write \"{number}s\" for seconds or \"{number}ms\" for \
                     milliseconds"
                )))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes such as \"1MiB\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<ByteSize, E> {
                let bytes = u64::try_from(number);
                bytes.map(ByteSize).map_err(|_| E::custom("a number of bytes cannot be negative"))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

/// Reads an address with a text that helps: names are not resolved, since what a name means may
/// change between two starts.
///
/// # Errors
/// Anything but an IP address and a port.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| {
        D::Error::custom(format_args!(
            "{text:?} is not an address: write IP:PORT, such as 127.0.0.1:8080 or [::1]:8080"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = String> + fmt::Display>(cases: &[(&str, &str)]) {
        for (text, shown) in cases {
            let value = text.parse::<T>().map_err(|error| format!("{text}: {error}")).unwrap();
            assert_eq!(value.to_string(), *shown);
            assert_eq!(shown.parse::<T>().unwrap().to_string(), *shown);
        }
    }

    #[test]
    fn durations_are_read_and_shown_in_their_largest_whole_unit() {
        check::<HumanDuration>(&[
            ("250ms", "250ms"),
            ("30s", "30s"),
            ("120s", "2m"),
            ("90m", "90m"),
            ("24h", "24h"),
            ("0ms", "0s"),
            (" 5 s ", "5s"),
        ]);
        assert_eq!("2m".parse(), Ok(HumanDuration::secs(120)));
        assert_eq!(HumanDuration::secs(2).as_millis(), 2_000);
    }

    #[test]
    fn durations_without_a_known_unit_or_too_long_are_refused() {
        for text in
            ["", "30", "s", "1.5s", "-1s", "30 sec", "1d", "99999999h", "9999999999999999999h"]
        {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_shown_in_their_largest_whole_unit() {
        check::<ByteSize>(&[
            ("1MiB", "1MiB"),
            ("1024KiB", "1MiB"),
            ("64KiB", "64KiB"),
            ("4096B", "4KiB"),
            ("1000", "1000B"),
            ("0", "0B"),
            ("3 GiB", "3GiB"),
        ]);
        assert_eq!("1MiB".parse(), Ok(ByteSize::mib(1)));
        assert_eq!(ByteSize::kib(4), ByteSize::bytes(4096));
    }

    #[test]
    fn sizes_with_other_units_or_too_large_are_refused() {
        for text in ["", "MiB", "1MB", "1k", "-1B", "1.5MiB", "99999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
