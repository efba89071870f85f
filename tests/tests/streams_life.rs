//! How streams live and end: signs of life, age and size, restarts, slow readers, and those that are
//! gone.

use serde_json::{Value, json};
use weft_tests::api::{publish, publish_durably, publish_lines};
use weft_tests::broker::Broker;
use weft_tests::http::Request;
use weft_tests::stream::Stream;
use weft_tests::wait::{PATIENCE, now, until};

const FORMS: [&str; 2] = ["/events", "/stream"];

fn open(broker: &Broker, form: &str, target: &str) -> Stream {
    Stream::open(broker, &format!("{form}{target}"), None)
}

/// Reads messages that count up, on one stream after another, each from where the last one ended.
fn read_on(broker: &Broker, target: &str, last_id: Option<String>, up_to: i64) -> Vec<i64> {
    let (mut last_id, mut seen) = (last_id, Vec::new());
    while seen.last() != Some(&up_to) {
        let mut stream = Stream::open(broker, target, last_id.as_deref());
        while let Some(event) = stream.next_event() {
            seen.push(event.published().as_i64().expect("a number"));
            if seen.last() == Some(&up_to) {
                break;
            }
        }
        last_id.clone_from(&stream.last_id);
    }
    seen
}

#[test]
fn r26_t5_a_silent_stream_shows_that_it_lives_and_a_busy_one_need_not() {
    let broker = Broker::with("[streams]\nheartbeat = \"100ms\"\n");
    let mut events = open(&broker, "/events", "/a");
    let mut lines = open(&broker, "/stream", "/a");
    assert!(events.block().unwrap().starts_with("retry: "));
    for _ in 0..3 {
        let sign = events.block().unwrap();
        assert!(sign == ":\n\n" || sign.starts_with(":\nid: w"), "{sign:?}");
        assert_eq!(lines.block().unwrap(), "\n");
    }
    publish(&broker, "/a", 1);
    assert_eq!((events.data(1), lines.data(1)), (vec![json!(1)], vec![json!(1)]));
}

#[test]
fn t4_signs_of_life_move_the_place_to_go_on_from() {
    let broker = Broker::with("[streams]\nheartbeat = \"100ms\"\n");
    let mut stream = open(&broker, "/events", "/a/**");
    publish(&broker, "/a/x", 1);
    stream.data(1);
    let (first, begun) = (stream.last_id.clone(), now());
    // The place moves along with what is published anywhere, two seconds behind.
    until("a sign of life with another place", PATIENCE, || {
        publish(&broker, "/elsewhere", 0);
        assert!(stream.is_silent(), "signs of life are no events");
        (stream.last_id != first).then_some(())
    });
    assert!(begun.elapsed().as_secs() >= 1);
    let moved = stream.last_id.clone();
    publish(&broker, "/a/y", 2);
    drop(stream);
    let mut stream = Stream::open(&broker, "/events/a/**", moved.as_deref());
    assert_eq!(stream.data(1), [2]);
    assert!(stream.is_silent());
}

#[test]
fn r27_streams_end_by_size_and_by_age_and_nothing_is_lost_between_two() {
    let broker = Broker::with("[streams]\nmax_bytes = \"1KiB\"\n[http]\nidle_timeout = \"90s\"\n");
    publish_lines(&broker, "/a", 1..=200);
    for form in FORMS {
        let mut stream = open(&broker, form, "/a?since=-2");
        let text = stream.rest();
        // The piece that passes the bound is the last; one is at most 16 KiB and its last event.
        assert!((1 << 10..32 << 10).contains(&text.len()), "{} bytes", text.len());
        // It ended in good order, so its connection serves on.
        let connection = stream.connection();
        connection.start(&Request::get("/history/a?limit=1"));
        assert_eq!(connection.read().unwrap().status, 200);
        let target = format!("{form}/a");
        let begin = Stream::open(&broker, &format!("{target}?since=-2"), None).last_id;
        assert_eq!(read_on(&broker, &target, begin, 200), (1..=200).collect::<Vec<_>>());
    }
    let broker = Broker::with("[streams]\nmax_age = \"1s\"\nheartbeat = \"150ms\"\n");
    for form in FORMS {
        let begun = now();
        let mut stream = open(&broker, form, "/a");
        publish(&broker, "/a", 1);
        assert_eq!(stream.data(1), [1]);
        assert_eq!(stream.next_event(), None);
        let lived = begun.elapsed();
        assert!((800..15_000).contains(&lived.as_millis()), "{lived:?}");
    }
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
    broker.wait_sessions(0);
}

#[test]
fn r28_padding_goes_first_when_it_is_asked_for() {
    let broker = Broker::start();
    let padding = |broker: &Broker, form: &str, target: &str| {
        let mut stream = open(broker, form, target);
        publish(broker, "/a", 7);
        let mut before = 0;
        loop {
            let block = stream.block().unwrap();
            if block.contains("data") {
                return before;
            }
            before += block.len();
        }
    };
    for form in FORMS {
        assert!(padding(&broker, form, "/a") < 100);
        let asked = padding(&broker, form, "/a?padding=2048");
        assert!((2_048..2_200).contains(&asked), "{asked}");
        let most = padding(&broker, form, "/a?padding=99999999");
        assert!((65_536..66_000).contains(&most), "{most}");
    }
    let broker = Broker::with("[streams]\npadding = \"4KiB\"\n");
    for form in FORMS {
        assert!((4_096..4_300).contains(&padding(&broker, form, "/a")));
        assert!(padding(&broker, form, "/a?padding=0") < 100);
    }
    let text = Stream::open(&broker, "/events/a", None).block().unwrap();
    assert!(text.starts_with(":   ") && text.contains("\nretry: "), "a comment");
}

#[test]
fn t4_t5_readers_go_on_after_a_restart_and_after_a_kill() {
    let broker = Broker::start();
    for form in FORMS {
        let channel = format!("/k{form}");
        let target = format!("{form}{channel}/**?channel={channel}");
        let mut stream = Stream::open(&broker, &target, None);
        let publish = |n: i64| {
            publish_durably(&broker, &channel, n);
            publish_durably(&broker, &format!("{channel}/x"), n);
        };
        let mut last = None;
        let mut expect = |stream: &mut Stream, n: i64| {
            assert_eq!(stream.data(2), [n, n]);
            last.clone_from(&stream.last_id);
            last.clone()
        };
        publish(1);
        let last = expect(&mut stream, 1);
        assert_eq!(broker.terminate(), Some(0));
        broker.restart();
        publish(2);
        let mut stream = Stream::open(&broker, &target, last.as_deref());
        let last = expect(&mut stream, 2);
        publish(3);
        broker.kill();
        broker.restart();
        let mut stream = Stream::open(&broker, &target, last.as_deref());
        let (mut gaps, mut seen) = (0, Vec::new());
        while seen.len() < 2 {
            let event = stream.event();
            // What was not awaited on disk may have been lost: that is told, whatever it was.
            if event.kind == "gap" { gaps += 1 } else { seen.push(event.published()) }
        }
        assert_eq!(seen, [3, 3], "{gaps} gaps told");
        assert!(stream.is_silent(), "and nothing repeats");
    }
}

#[test]
fn p4_what_is_gone_is_told_in_the_stream() {
    let broker =
        Broker::with("[[channels]]\npattern = \"/short/**\"\nbacklog = { messages = 3 }\n");
    for form in FORMS {
        let channel = format!("/short{form}");
        let mut stream = open(&broker, form, &channel);
        let first = publish(&broker, &channel, 0);
        stream.data(1);
        let last = stream.last_id.clone();
        drop(stream);
        broker.wait_sessions(0);
        let positions: Vec<i64> = (1..=10).map(|n| publish(&broker, &channel, n)).collect();
        let target = format!("{form}{channel}");
        for pattern in [&*target, &format!("{form}/short/**"), &format!("{target}?channel=/x")] {
            let mut stream = Stream::open(&broker, pattern, last.as_deref());
            let gap = stream.event();
            assert_eq!(gap.kind, "gap", "{pattern}: {gap:?}");
            let told = json!([{"channel": channel, "from": first, "to": positions[6]}]);
            assert_eq!(gap.data, json!({"gap": told}), "{pattern}");
            assert_eq!(stream.data(3), [8, 9, 10], "{pattern}");
            // Told once: whoever has come this far goes on without.
            let next = stream.last_id.clone();
            assert!(Stream::open(&broker, pattern, next.as_deref()).is_silent());
        }
        let mut never = open(&broker, form, &format!("{channel}?since=5"));
        let gap = never.event();
        assert_eq!((&*gap.kind, &gap.data["gap"][0]["from"]), ("gap", &json!(5)));
        assert!(never.is_silent());
    }
}

#[test]
fn r25_t7_events_come_whole_however_they_are_cut() {
    let broker = Broker::start();
    let data = json!({"text": "zwölf Boxkämpfer\u{2028}😀 jagen\n\n", "list": [1, 2, 3]});
    publish(&broker, "/a", data.clone());
    for form in FORMS {
        // The bytes of the connection say where an event ends, whatever pieces they came in.
        let mut connection = broker.connect();
        connection.start(&Request::get(&format!("{form}/a?since=-2")).version("HTTP/1.0"));
        let head = connection.read_head().unwrap();
        assert_eq!(head.header("Transfer-Encoding"), None, "HTTP/1.0 knows no chunks");
        let mut text = Vec::new();
        let end = if form == "/events" { "}\n\n" } else { "}\n" };
        while !text.ends_with(end.as_bytes()) {
            text.extend(connection.take(1).unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        let json = text.lines().find(|line| line.contains("channel")).unwrap();
        let json: Value = serde_json::from_str(json.trim_start_matches("data: ")).unwrap();
        assert_eq!(json["data"], data);
    }
}

#[test]
fn a9_at_a_drain_streams_end_at_once_and_their_readers_come_again_at_different_times() {
    let broker = Broker::with("[http]\ndrain_timeout = \"15s\"\n");
    let mut streams: Vec<Stream> = FORMS
        .iter()
        .flat_map(|form| [open(&broker, form, "/a"), open(&broker, form, "/a")])
        .collect();
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    let begun = now();
    assert_eq!(broker.terminate(), Some(0));
    assert!(begun.elapsed().as_secs() < 10, "nobody waits for streams");
    let rests: Vec<String> = streams.iter_mut().map(Stream::rest).collect();
    let retry = |text: &str| -> Option<u64> {
        text.strip_prefix("retry: ")?.strip_suffix("\n\n")?.parse().ok()
    };
    for text in &rests[..2] {
        assert!(retry(text).is_some_and(|ms| (1_000..3_000).contains(&ms)), "{text:?}");
    }
    assert_eq!(rests[2..], ["", ""]);
}

#[test]
fn p5_who_reads_slowly_costs_disk_and_gets_everything() {
    let broker = Broker::with(
        "[limits]\nqueue_messages = 50\nqueue_bytes = \"1MiB\"\nresponse_bytes = \"64KiB\"\n\
         [[channels]]\npattern = \"/**\"\nbacklog = { messages = 10000, bytes = \"1GiB\" }\n",
    );
    let mut streams = FORMS.map(|form| open(&broker, form, "/a"));
    streams.iter_mut().for_each(|stream| drop(stream.block()));
    let filler = "x".repeat(16 << 10);
    for n in 0..1_500 {
        publish(&broker, "/a", json!({"n": n, "filler": filler}));
    }
    let queued = broker.metric("weft_queue_bytes");
    assert!(queued <= 2.0 * 2.0 * 1_048_576.0, "{queued} bytes wait");
    assert!(broker.metric("weft_spills_total") + broker.metric("weft_sessions_behind") >= 1.0);
    for stream in &mut streams {
        let seen: Vec<i64> =
            (0..1_500).map(|_| stream.event().published()["n"].as_i64().unwrap()).collect();
        assert_eq!(seen, (0..1_500).collect::<Vec<i64>>());
    }
}

#[test]
fn p5_who_takes_nothing_is_cut_and_leaves_nothing_behind() {
    let broker = Broker::with("[http]\nbody_timeout = \"500ms\"\n");
    let streams = FORMS.map(|form| open(&broker, form, "/a"));
    broker.wait_sessions(2);
    let filler = "x".repeat(512 << 10);
    // More than any socket's buffers take.
    for _ in 0..40 {
        publish(&broker, "/a", json!(filler));
    }
    broker.wait_sessions(0);
    broker.wait_metric("weft_streams", |streams| streams == 0.0);
    broker.wait_metric("weft_reply_bytes", |bytes| bytes == 0.0);
    drop(streams);
}

#[test]
fn r12_streams_are_counted_and_end_with_their_connections() {
    let broker = Broker::start();
    let [events, lines] = FORMS.map(|form| open(&broker, form, "/a/**"));
    broker.wait_sessions(2);
    let count = |kind: &str| format!("weft_streams{{kind=\"{kind}\"}}");
    for (kind, open) in [("events", 1.0), ("stream", 1.0), ("eventsource", 0.0)] {
        broker.wait_metric(&count(kind), |streams| streams == open);
    }
    broker.wait_metric("weft_subscriptions", |subscriptions| subscriptions == 2.0);
    drop(events);
    broker.wait_metric(&count("events"), |streams| streams == 0.0);
    drop(lines);
    broker.wait_sessions(0);
    broker.wait_metric("weft_subscriptions", |subscriptions| subscriptions == 0.0);
    broker.wait_metric("weft_connections", |connections| connections == 1.0);
}

#[test]
fn r15_no_other_deadline_cuts_a_stream() {
    let broker = Broker::with(
        "[http]\nhead_timeout = \"200ms\"\nbody_timeout = \"200ms\"\nidle_timeout = \"300ms\"\n\
         [sessions]\nmax_interval = \"200ms\"\ntimeout = \"100ms\"\n\
         [browsers]\ninterval = \"100ms\"\n",
    );
    for form in FORMS {
        let mut stream = open(&broker, form, "/a");
        stream.block();
        // The head of another request behind it, never finished.
        stream.connection().send(b"GET /events/a HT");
        for n in 0..4 {
            assert!(stream.is_silent());
            publish(&broker, "/a", n);
            assert_eq!(stream.data(1), [n]);
        }
    }
}

#[test]
fn where_there_is_no_room_event_source_is_asked_to_come_later() {
    let broker = Broker::with("[sessions]\nmax = 1\n");
    let _one = open(&broker, "/stream", "/a");
    let events = broker.exchange(&Request::get("/events/a"));
    assert_eq!((events.status, events.header("Content-Type")), (200, Some("text/event-stream")));
    assert_eq!(events.text(), ": 503::overloaded\nretry: 10000\n\n");
    let lines = broker.exchange(&Request::get("/stream/a"));
    assert_eq!((lines.status, lines.header("Retry-After")), (503, Some("1")));
}
