//! What is lost is told, and nothing else is (P4).

use std::collections::HashSet;

use serde_json::json;
use weft_tests::api::kept_positions;
use weft_tests::broker::Broker;
use weft_tests::heard::Heard;
use weft_tests::transports::{NEW, Piece, Transport};

use crate::supply::{flood, leading};

/// More than the kernel takes for a socket.
const COUNT: i64 = 1_500;
const BYTES: usize = 16_000;

/// Reads nothing while far too much is published, then all that comes, until a message that is
/// published after it: all of it arrives or is told, and nothing is told that arrived.
fn behind(on: Transport, toml: &str) {
    let limits = "[limits]\nbody = \"128KiB\"\nqueue_bytes = \"128KiB\"\n";
    let broker = Broker::with(&format!("{limits}{toml}"));
    let mut subscriber = on.subscriber(&broker, &["/a"], NEW);
    subscriber.ready();
    let mut published = flood(&broker, "/a", 0..=COUNT - 1, BYTES);
    assert!(broker.metric("weft_messages_dropped_total") > 0.0);
    let mut heard = Heard::default();
    let mut hear = |piece: Piece| {
        for gap in piece.gaps {
            assert_eq!(gap["channel"], "/a");
            let end = |name: &str| gap[name].as_i64().expect("a position");
            heard.gaps.push((end("from"), end("to")));
        }
        for event in &piece.events {
            heard.hear(&json!({"data": [leading(event)]}));
        }
        piece.events.iter().any(|event| leading(event) == COUNT)
    };
    // The end of it may be what is dropped, so that there is one more when there is room.
    let mut pieces = 0;
    while !hear(subscriber.next()) {
        pieces += 1;
        if pieces == 1 {
            published.extend(flood(&broker, "/a", COUNT..=COUNT, 1));
        }
    }
    assert!(subscriber.is_silent());
    hear(Piece { gaps: subscriber.late_gaps(), ..Piece::default() });
    let kept = kept_positions(&broker, "/a");
    assert!(!heard.gaps.is_empty());
    if on == Transport::EventSource {
        return is_covered(&heard, &published);
    }
    heard.check("/a", &published, &kept);
}

/// Faye's clients hear of losses by the next heartbeat, of all since the last one in one: what lies
/// between two of them may have come. What did not come is told all the same.
fn is_covered(heard: &Heard, published: &[i64]) {
    let came: HashSet<usize> = heard.messages.iter().map(|(number, _)| *number).collect();
    assert!(heard.messages.is_sorted(), "out of order");
    for (number, position) in published.iter().enumerate() {
        let told = heard.gaps.iter().any(|(from, to)| from < position && position <= to);
        assert!(came.contains(&number) || told, "{number} is lost, told: {:?}", heard.gaps);
    }
}

pub(crate) fn p4_p5_what_no_backlog_holds_is_told_when_it_goes(on: Transport) {
    behind(on, "[[channels]]\npattern = \"/a\"\nbacklog = { messages = 0 }\n");
}

pub(crate) fn p4_p5_what_is_dropped_is_told(on: Transport) {
    let one = "[[channels]]\npattern = \"/a\"\nbacklog = { messages = 1 }\n";
    behind(on, &format!("queue_policy = \"drop_oldest\"\n{one}"));
}
