//! A message to very many sessions must not keep everybody else waiting: those who publish and wait
//! on other channels see their messages as soon as ever.
//!
//! The many hold no connect, so that a fan-out is all that the broker does for them, and none
//! of the machine's time goes to reading what they would get.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use serde_json::json;
use weft_tests::broker::Setup;
use weft_tests::bystander::Bystanders;
use weft_tests::http::{Connection, Request};
use weft_tests::paced::{is_long, paced};
use weft_tests::process::raise_file_limit;
use weft_tests::throng::Pipe;

/// Messages a second to all of them.
const PER_SECOND: u32 = 20;
/// How much longer the slowest of a hundred may take …
const TIMES: u32 = 2;
/// … or how long, where what is usual is so little that a busy machine adds more.
const FLOOR: Duration = Duration::from_millis(60);
/// It is measured again where the machine was too busy with other things.
const ATTEMPTS: usize = 4;

#[test]
fn a_message_to_very_many_sessions_keeps_nobody_else_waiting() {
    raise_file_limit();
    let (crowd, seconds) = if is_long() { (100_000, 12) } else { (10_000, 3) };
    let a_while = Duration::from_secs(seconds);
    // Whoever does not connect is not to expire meanwhile.
    let toml = "[sessions]\nmax_interval = \"10m\"\n";
    let broker = Setup::default().toml(toml).start();
    let mut pipe = Pipe::open(&broker, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let ids = pipe.handshakes(crowd);
    assert_eq!(ids.len(), crowd);
    let subscribed = pipe.subscribe(&ids, &json!(["/crowd/all", "/crowd/**"]));
    assert!(subscribed.iter().all(|response| response.text().contains("\"successful\":true")));

    let bystanders = Bystanders::of(&broker);
    for attempt in 1.. {
        let (quiet, _) = bystanders.during(|| paced(PER_SECOND, a_while, |_| ()));
        let mut connection = Connection::open(broker.listen);
        let (busy, _) = bystanders.during(|| {
            paced(PER_SECOND, a_while, |n| {
                let response =
                    connection.exchange(&Request::post("/publish/crowd/all", n.to_string()));
                let text = response.text();
                assert!(text.contains(&format!("\"subscribers\":{crowd}")), "{text}");
            });
        });
        let (usual, now) = (quiet.deliveries, busy.deliveries);
        println!(
            "deliveries beside {PER_SECOND} fan-outs a second to {crowd}: {:?} and {:?} (99 %), \
             without: {:?} and {:?}",
            now.p50, now.p99, usual.p50, usual.p99
        );
        if now.p99 <= FLOOR.max(usual.p99 * TIMES) {
            break;
        }
        assert!(attempt < ATTEMPTS, "{:?} instead of {:?}", now.p99, usual.p99);
    }
    bystanders.leave();
}
