//! Doing things at a rate: an attack that only takes the processor away from everybody, the tests
//! included, shows nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::wait::now;

/// Calls `act` so many times a second for so long, with its number; what falls behind is made up for.
/// The number of calls.
pub fn paced(per_second: u32, time: Duration, mut act: impl FnMut(u32)) -> u32 {
    let begun = now();
    let mut count = 0;
    while begun.elapsed() < time {
        let due = Duration::from_secs(1) / per_second * count;
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        act(count);
        count += 1;
    }
    count
}

/// Whether the long forms are to be run.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("WEFT_LONG").is_some()
}

/// One of the addresses that attackers come from: 127.0.1.0 to 127.0.255.255.
#[must_use]
pub fn attacker(number: usize) -> IpAddr {
    let [.., high, low] = (number % 0xff00).to_be_bytes();
    Ipv4Addr::new(127, 0, high + 1, low).into()
}
