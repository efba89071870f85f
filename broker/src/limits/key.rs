//! Whom a limit counts: addresses by the group that one customer has, principals by kind and subject.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU128;

/// Somebody, as tables know them: small, and compared in no time. Its upper half says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(NonZeroU128);

const V4: u128 = 1 << 64;
const V6: u128 = 2 << 64;
const PRINCIPAL: u128 = 3 << 64;

/// The addresses that count as one: an IPv6 customer has a /64, and an IPv4 address is the same one
/// however it is written.
#[must_use]
pub fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        other => other,
    }
}

impl Key {
    fn new(kind: u128, value: u128) -> Self {
        // No kind is 0.
        Self(NonZeroU128::MIN.saturating_add((kind | value) - 1))
    }

    /// Of an address's group.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        match group(address) {
            IpAddr::V4(v4) => Self::new(V4, u128::from(u32::from(v4))),
            IpAddr::V6(v6) if v6.is_loopback() => Self::new(V6, 0),
            IpAddr::V6(v6) => Self::new(V6, u128::from(v6) >> 64),
        }
    }

    /// A number to divide keys by.
    pub(super) fn spread(self) -> usize {
        let both = self.0.get() ^ (self.0.get() >> 64);
        #[expect(clippy::cast_possible_truncation, reason = "any of its bits will do")]
        let low = (both as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        low as usize
    }

    /// Of a principal, by its kind and subject: 64 bits that nobody outside can foresee, so that nobody
    /// can choose a subject to share another's limits.
    #[must_use]
    pub fn principal(hasher: &RandomState, kind: u8, subject: &str) -> Self {
        Self::new(PRINCIPAL, u128::from(hasher.hash_one((kind, subject))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        Key::address(text.parse().unwrap())
    }

    #[test]
    fn r33_an_ipv6_customer_is_a_slash_64_and_ipv4_is_itself() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        let all = ["0.0.0.0", "0.0.0.1", "::1", "::2:0:0:0:1", "fe80::1"].map(key);
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{one:?} is there twice");
        }
    }

    #[test]
    fn r35_principals_differ_by_kind_and_subject() {
        let hasher = RandomState::new();
        let of = |kind, subject| Key::principal(&hasher, kind, subject);
        assert_eq!(of(1, "ann"), of(1, "ann"));
        assert_ne!(of(1, "ann"), of(2, "ann"));
        assert_ne!(of(1, "ann"), of(1, "bob"));
    }
}
