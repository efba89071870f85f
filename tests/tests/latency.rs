//! How long a message takes over long-polling when the way is long: three transits at most, since
//! what just misses a reply waits for that reply to arrive, for the next request, and goes with its
//! reply (checklist R21).

use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_tests::api::publish;
use weft_tests::bayeux::{Client, data, ok};
use weft_tests::broker::Broker;
use weft_tests::chance::Chance;
use weft_tests::delay::wire;
use weft_tests::http::{Connection, Request};
use weft_tests::process::raise_file_limit;
use weft_tests::wait::now;

/// One way over the wire: so long that what a busy machine adds is little beside it. Where it was too
/// busy for that, the next takes longer; a broker that needs more than three passes none of them.
const TRANSITS: [Duration; 3] =
    [Duration::from_millis(200), Duration::from_millis(400), Duration::from_millis(800)];
const CHANNELS: u32 = 20;
const CLIENTS: u32 = 200;
const MESSAGES: u32 = 1_000;
/// Messages in one transit, on average: of a client's own, one in 1.8 transits, so that some find it
/// waiting and some just miss a reply.
const PER_TRANSIT: u32 = 11;

/// What a busy machine may add to the worst case; to need another request takes two transits more.
fn slack(transit: Duration) -> Duration {
    transit * 3 / 2
}

/// Publishes straight to the broker; each message is the time of its departure.
fn publish_at_random(broker: &Broker, start: Instant, transit: Duration) {
    let mut chance = Chance::new(21);
    let mut channels: Vec<u32> = (0..MESSAGES).map(|n| n % CHANNELS).collect();
    for n in (1..MESSAGES).rev() {
        channels.swap(n as usize, chance.below(n as usize + 1));
    }
    let (mut connection, mut due) = (Connection::open(broker.listen), now());
    for channel in channels {
        let thousandths = u32::try_from(chance.below(2_001)).expect("a small number");
        due += transit / PER_TRANSIT * thousandths / 1_000;
        std::thread::sleep(due.saturating_duration_since(now()));
        let microseconds = start.elapsed().as_micros().to_string();
        let path = format!("/publish/latency/{channel}");
        assert_eq!(connection.exchange(&Request::post(&path, microseconds)).status, 200);
    }
}

/// A client at the other end of the wire that has subscribed.
fn client(broker: &Broker, far: SocketAddr, channel: u32) -> Client<'_> {
    let mut client = Client::new(broker);
    client.address = far;
    ok(&client.handshake());
    client.connect();
    ok(&client.subscribe(format!("/latency/{channel}")));
    client
}

/// Polls until every message of the channel is there; how long each took.
fn read(mut client: Client<'_>, start: Instant) -> Vec<Duration> {
    let mut took = Vec::new();
    while took.len() < (MESSAGES / CHANNELS) as usize {
        let departures = data(client.connect());
        let arrival = start.elapsed();
        let departure = |value: &Value| Duration::from_micros(value.as_u64().expect("a time"));
        took.extend(departures.iter().map(|value| arrival - departure(value)));
    }
    took
}

/// How long each of many deliveries took, shortest first.
fn measure(transit: Duration) -> Vec<Duration> {
    let broker = Broker::start();
    let far = wire(broker.listen, transit);
    let start = now();
    let ready = Barrier::new(CLIENTS as usize + 1);
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (broker, ready) = (&broker, &ready);
                scope.spawn(move || {
                    let client = client(broker, far, n % CHANNELS);
                    ready.wait();
                    read(client, start)
                })
            })
            .collect();
        ready.wait();
        broker.wait_held(CLIENTS as usize);
        publish_at_random(&broker, start, transit);
        readers.into_iter().flat_map(|reader| reader.join().expect("a reader")).collect()
    });
    took.sort_unstable();
    took
}

#[test]
fn r21_a_message_takes_three_transits_at_most() {
    raise_file_limit();
    for (attempt, transit) in TRANSITS.into_iter().enumerate() {
        let took = measure(transit);
        let transits = |time: Duration| time.as_secs_f64() / transit.as_secs_f64();
        let mean = transits(took.iter().sum::<Duration>()) / took.len() as f64;
        let [p50, p99, max] = [50, 99, 100].map(|percent| took[(took.len() - 1) * percent / 100]);
        println!(
            "{} deliveries, in transits of {transit:?}: mean {mean:.2}, median {:.2}, 99 % {:.2}, worst {:.2}",
            took.len(),
            transits(p50),
            transits(p99),
            transits(max)
        );
        assert_eq!(took.len(), (MESSAGES / CHANNELS * CLIENTS) as usize);
        assert!(took[0] >= transit, "the wire is shorter than it should be: {:?}", took[0]);
        let hard = took.iter().filter(|time| **time > 2 * transit + transit / 2).count();
        assert!(hard > took.len() / 50, "the worst case was hardly met: {hard} of {}", took.len());
        // Two is the mean of a client that never waits.
        if max <= 3 * transit + slack(transit) && mean < 2.25 {
            return;
        }
        assert!(attempt + 1 < TRANSITS.len(), "{max:?}");
    }
}

#[test]
fn r21_what_just_misses_a_reply_takes_three_transits() {
    for (attempt, transit) in TRANSITS.into_iter().enumerate() {
        let broker = Broker::start();
        let mut client = client(&broker, wire(broker.listen, transit), 0);
        let mut held = client.held_connect();
        publish(&broker, "/latency/0", 1);
        broker.wait_held(0);
        let begun = now();
        publish(&broker, "/latency/0", 2);
        assert_eq!(data(held.answer()), [json!(1)]);
        assert_eq!(data(client.connect()), [json!(2)]);
        let took = begun.elapsed();
        assert!(took > 2 * transit, "{took:?}");
        if took <= 3 * transit + slack(transit) {
            return;
        }
        assert!(attempt + 1 < TRANSITS.len(), "{took:?}");
    }
}
