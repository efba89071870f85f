//! Limits of what somebody may do in a time and hold at once: each in each scope, what its client is
//! told, that others are not concerned, and that it passes (checklist R33, R35; decisions 3.6, 3.19).

mod held;
mod http;
mod messages;
mod principals;
mod sessions;
mod sockets;

use std::time::Duration;

use serde_json::Value;
use weft_tests::bayeux::{Client, ok, refused};
use weft_tests::broker::Broker;
use weft_tests::wait::{PATIENCE, now, until};

/// A broker for which loopback peers are peers like any others, with these rates.
fn limited(rates: &str) -> Broker {
    Broker::with(&format!("[limits]\nloopback = true\n[rates]\n{rates}\n"))
}

/// The same with other limits.
fn bounded(limits: &str) -> Broker {
    Broker::with(&format!("[limits]\nloopback = true\n{limits}\n"))
}

/// What a limit has counted.
fn count(broker: &Broker, what: &str, scope: &str) -> f64 {
    // The order of a page's labels.
    broker.metric(&format!("weft_limited_total{{scope=\"{scope}\",what=\"{what}\"}}"))
}

/// A client at another address, with a session whose first connect is answered.
fn at<'b>(broker: &'b Broker, address: &str) -> Client<'b> {
    let mut client = Client::new(broker).at(address);
    ok(&client.handshake());
    assert_eq!(client.connect().len(), 1);
    client
}

/// Stays away for so long, as a client does that does what it is told.
fn stay_away(time: Duration) {
    let start = now();
    until("the time to come again", time + PATIENCE, || (start.elapsed() >= time).then_some(()));
}

/// Asserts that a message was refused for now, with complete advice; the interval.
#[track_caller]
fn too_much(reply: &Value, reconnect: &str) -> u64 {
    refused(reply, "429::rate_limited");
    let advice = &reply["advice"];
    assert_eq!(advice["reconnect"], reconnect, "{reply}");
    assert!(advice["timeout"].is_u64(), "{reply}");
    let interval = advice["interval"].as_u64().expect("an interval");
    assert!((1_000..=60_000).contains(&interval), "{reply}");
    interval
}
