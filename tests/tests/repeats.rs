//! Publications with a key, many at once and while the store cannot write: one of them happens, and
//! all of them get its answer.

use serde_json::json;
use weft_tests::api::{history, kept, position};
use weft_tests::broker::{Broker, Setup};
use weft_tests::http::{Connection, Request, Response};

fn request(path: &str, key: &str) -> Request {
    Request::post(&format!("/publish{path}"), "1").header("Idempotency-Key", key)
}

/// The same publication over many sockets at the same moment.
fn at_once(broker: &Broker, path: &str, key: &str) -> Vec<Response> {
    const SOCKETS: usize = 16;
    let barrier = std::sync::Barrier::new(SOCKETS);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..SOCKETS)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Connection::open(broker.listen);
                    barrier.wait();
                    connection.exchange(&request(path, key))
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
    })
}

#[test]
fn f2_one_of_many_with_the_same_key_happens_and_all_get_its_answer() {
    let rules = "[[channels]]\npattern = \"/sync\"\ndurability = \"sync\"\n\
                 [[channels]]\npattern = \"/memory\"\ndurability = \"memory\"\n\
                 [[channels]]\npattern = \"/none\"\nbacklog = { messages = 0 }\n";
    for kind in ["sled", "memory"] {
        let broker = Broker::with(&format!("[store]\nkind = \"{kind}\"\n{rules}"));
        let stored = kind == "sled";
        for (path, durable) in [
            ("/sync", stored),
            ("/memory", false),
            ("/none", false),
            ("/plain", false),
            ("/plain?durable=1", stored),
            ("/memory?durable=1", false),
        ] {
            for round in 0..25 {
                let answers = at_once(&broker, path, &format!("{path}-{round}"));
                let first = position(&answers[0]);
                let mut originals = 0;
                for answer in &answers {
                    assert_eq!(position(answer), first, "{kind} {path}");
                    let said = answer.json();
                    assert_eq!(said["durable"], durable, "{kind} {path}: {said}");
                    originals += usize::from(said["repeat"] != true);
                }
                assert_eq!(originals, 1, "{kind} {path}");
            }
        }
        assert_eq!(kept(&broker, "/sync").len(), 25);
        assert_eq!(kept(&broker, "/plain").len(), 50);
    }
}

#[test]
fn f2_a_repeat_of_what_is_on_disk_is_answered_while_the_store_cannot_write() {
    let broker = Broker::start();
    let durably = |key| broker.exchange(&request("/a?durable=1", key));
    let first = durably("one");
    assert_eq!(first.json()["durable"], true);
    assert_eq!(broker.terminate(), Some(0));
    // No disk has so much room.
    let data = broker.data().display().to_string();
    let full = Setup::default()
        .toml("[store]\nreserve = \"4096GiB\"\n")
        .arg("--data")
        .arg(&data)
        .without_flags()
        .arg("--listen")
        .arg("127.0.0.1:0")
        .arg("--admin")
        .arg("127.0.0.1:0")
        .start();
    assert_eq!(full.exchange(&Request::post("/publish/b?durable=1", "1")).status, 503);
    full.wait_metric("weft_store_up", |up| up == 0.0);
    assert_eq!(full.exchange(&request("/a?durable=1", "two")).status, 503);
    let again = full.exchange(&request("/a?durable=1", "one"));
    assert_eq!((position(&again), &again.json()["repeat"]), (position(&first), &json!(true)));
    assert_eq!(history(&full, "/a", "")["messages"].as_array().map(Vec::len), Some(1));
}
