//! `[rates]`: how much of something there may be in a time, written as people say it: `"50/s"`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

use super::ByteSize;

/// So many of something in a second, a minute or an hour, and perhaps how many at once: `"50/s"`,
/// `"100/m burst 500"`, or `"off"`. Without a burst it is what one of that time has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate<N>(Option<Limit<N>>);

/// A rate that is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit<N> {
    /// How many.
    pub amount: N,
    /// In how long.
    pub per: Per,
    /// How many at once, if that is said.
    pub burst: Option<N>,
}

/// A second, a minute or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Per {
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
}

impl Per {
    /// How long it is.
    #[must_use]
    pub fn get(self) -> Duration {
        Duration::from_secs(match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
        })
    }
}

/// What a rate is of.
pub trait Amount: Copy + fmt::Display + FromStr {
    /// What an example of a rate looks like.
    const EXAMPLE: &'static str;

    /// As a number.
    fn number(self) -> u64;
}

impl Amount for u64 {
    const EXAMPLE: &'static str = "\"50/s\", \"100/m burst 500\"";

    fn number(self) -> u64 {
        self
    }
}

impl Amount for ByteSize {
    const EXAMPLE: &'static str = "\"1MiB/s\", \"64KiB/s burst 1MiB\"";

    fn number(self) -> u64 {
        self.get()
    }
}

impl<N> Rate<N> {
    /// No limit.
    pub const OFF: Self = Self(None);
}

impl<N> Default for Rate<N> {
    fn default() -> Self {
        Self::OFF
    }
}

impl<N: Copy> Rate<N> {
    /// The limit, if there is one.
    #[must_use]
    pub fn get(self) -> Option<Limit<N>> {
        self.0
    }
}

impl<N: Amount> fmt::Display for Rate<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(Limit { amount, per, burst }) = &self.0 else { return f.write_str("off") };
        let per = match per {
            Per::Second => "s",
            Per::Minute => "m",
            Per::Hour => "h",
        };
        write!(f, "{amount}/{per}")?;
        burst.map_or(Ok(()), |burst| write!(f, " burst {burst}"))
    }
}

impl<N: Amount> FromStr for Rate<N> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = || {
            let example = N::EXAMPLE;
            format!(
                "{text:?} is not a rate: write how much in a s, m or h, such as {example}, or \"off\""
            )
        };
        let trimmed = text.trim();
        if matches!(trimmed, "off" | "0") {
            return Ok(Self::OFF);
        }
        let (rate, burst) = match trimmed.split_once(" burst ") {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (trimmed, None),
        };
        let (amount, per) = rate.split_once('/').ok_or_else(help)?;
        let per = match per.trim() {
            "s" => Per::Second,
            "m" => Per::Minute,
            "h" => Per::Hour,
            _ => return Err(help()),
        };
        let number = |text: &str| text.trim().parse::<N>().map_err(|_| help());
        let burst = burst.map(number).transpose()?;
        let amount = number(amount)?;
        if amount.number() == 0 {
            return Err(format!("{text:?} lets nothing through; no limit is \"off\""));
        }
        if burst.is_some_and(|burst| burst.number() == 0) {
            return Err(format!("{text:?} lets nothing through: a burst is at least 1"));
        }
        Ok(Self(Some(Limit { amount, per, burst })))
    }
}

impl<N: Amount> Serialize for Rate<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, N: Amount> Deserialize<'de> for Rate<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text<N>(std::marker::PhantomData<N>);
        impl<N: Amount> Visitor<'_> for Text<N> {
            type Value = Rate<N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a rate such as {}", N::EXAMPLE)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Rate<N>, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Rate<N>, E> {
                match number {
                    0 => Ok(Rate::OFF),
                    _ => Err(E::custom(format_args!(
                        "{number} says nothing of time: write \"{number}/s\" or \"{number}/m\""
                    ))),
                }
            }
        }
        deserializer.deserialize_any(Text(std::marker::PhantomData))
    }
}

/// `[rates]`: bounds on how much clients may do in a time. All off by default: what is much depends on
/// who the clients are. Rates per address do not hold for loopback peers (`limits.loopback`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// Handshakes of one address.
    pub handshakes_per_address: Rate<u64>,
    /// Handshakes of one principal.
    pub handshakes_per_principal: Rate<u64>,
    /// Handshakes in all.
    pub handshakes: Rate<u64>,
    /// Messages of one address: each Bayeux message that is no handshake, each message published over
    /// HTTP, each look at the history and each stream that is opened.
    pub messages_per_address: Rate<u64>,
    /// Messages of one principal.
    pub messages_per_principal: Rate<u64>,
    /// Messages of one session.
    pub messages_per_session: Rate<u64>,
    /// Messages in all.
    pub messages: Rate<u64>,
    /// Bytes of bodies and frames that come from one address. A burst of bytes is no less than
    /// `limits.body`, and is that where none is given and a period has less.
    pub bytes_per_address: Rate<ByteSize>,
    /// Bytes of one principal.
    pub bytes_per_principal: Rate<ByteSize>,
    /// Bytes of one session.
    pub bytes_per_session: Rate<ByteSize>,
    /// Bytes in all.
    pub bytes: Rate<ByteSize>,
    /// Channels and patterns that one address subscribes to, streams included.
    pub subscriptions_per_address: Rate<u64>,
    /// The same of one principal.
    pub subscriptions_per_principal: Rate<u64>,
    /// The same of one session.
    pub subscriptions_per_session: Rate<u64>,
    /// The same in all.
    pub subscriptions: Rate<u64>,
}

impl Rates {
    /// The rates of bytes, with their keys.
    pub(super) fn bytes(&self) -> [(&'static str, Rate<ByteSize>); 4] {
        [
            ("rates.bytes_per_address", self.bytes_per_address),
            ("rates.bytes_per_principal", self.bytes_per_principal),
            ("rates.bytes_per_session", self.bytes_per_session),
            ("rates.bytes", self.bytes),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<N: Amount>(text: &str) -> String {
        text.parse::<Rate<N>>().map_or_else(|error| error, |rate| rate.to_string())
    }

    #[test]
    fn r35_rates_are_read_as_people_write_them() {
        for (text, same) in [
            ("50/s", "50/s"),
            (" 50 / m ", "50/m"),
            ("1/h burst 10", "1/h burst 10"),
            ("off", "off"),
            ("0", "off"),
        ] {
            assert_eq!(shown::<u64>(text), same, "{text}");
            assert_eq!(shown::<u64>(same), same, "{text}");
        }
        for (text, same) in [("1024KiB/s", "1MiB/s"), ("100/s burst 1MiB", "100B/s burst 1MiB")] {
            assert_eq!(shown::<ByteSize>(text), same, "{text}");
        }
    }

    #[test]
    fn r35_what_is_no_rate_is_refused_with_an_example() {
        for text in [
            "",
            "50",
            "/s",
            "50/",
            "50/d",
            "50/sec",
            "-1/s",
            "1.5/s",
            "5/s burst",
            "5/s burst x",
            "x/s",
            "1MiB/s",
        ] {
            assert!(shown::<u64>(text).contains("such as \"50/s\""), "{text}");
        }
        assert!(shown::<u64>("0/s").contains("lets nothing through"));
        assert!(shown::<u64>("5/s burst 0").contains("at least 1"));
        assert!(shown::<ByteSize>("1MB/s").contains("64KiB/s burst 1MiB"));
    }
}
