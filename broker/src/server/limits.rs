//! The limits of the configuration, as those who keep them want them.

use crate::config::{Amount, Config, Rate as Written};
use crate::limits::rate::Rate;
use crate::limits::tally::Bounds;
use crate::limits::{LimitOptions, Rates};

/// What somebody may do in a time, and hold at once.
pub(super) fn options(config: &Config) -> LimitOptions {
    let (limits, rates) = (&config.limits, &config.rates);
    let body = limits.body.get();
    LimitOptions {
        rates: [
            Rates {
                address: rate(rates.handshakes_per_address, 1),
                principal: rate(rates.handshakes_per_principal, 1),
                session: None,
                all: rate(rates.handshakes, 1),
            },
            Rates {
                address: rate(rates.messages_per_address, 1),
                principal: rate(rates.messages_per_principal, 1),
                session: rate(rates.messages_per_session, 1),
                all: rate(rates.messages, 1),
            },
            Rates {
                address: rate(rates.bytes_per_address, body),
                principal: rate(rates.bytes_per_principal, body),
                session: rate(rates.bytes_per_session, body),
                all: rate(rates.bytes, body),
            },
            Rates {
                address: rate(rates.subscriptions_per_address, 1),
                principal: rate(rates.subscriptions_per_principal, 1),
                session: rate(rates.subscriptions_per_session, 1),
                all: rate(rates.subscriptions, 1),
            },
        ],
        keys: size(limits.rate_keys),
        held: Bounds {
            per_address: count(limits.held_per_address),
            per_principal: count(limits.held_per_principal),
            total: count(limits.held),
        },
        sessions: Bounds {
            per_address: count(limits.sessions_per_address),
            per_principal: count(limits.sessions_per_principal),
            // In all they are bounded where they are kept.
            total: usize::MAX,
        },
        loopback: limits.loopback,
    }
}

/// 0 is no bound.
fn count(most: u64) -> usize {
    if most == 0 { usize::MAX } else { size(most) }
}

fn size(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// A rate whose burst, if none is given, is what one period has, and `least` at least.
fn rate<N: Amount>(written: Written<N>, least: u64) -> Option<Rate> {
    let limit = written.get()?;
    let amount = limit.amount.number();
    let burst = limit.burst.map_or_else(|| amount.max(least), Amount::number);
    Some(Rate { amount, per: limit.per.get(), burst })
}
