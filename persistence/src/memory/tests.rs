//! What memory adds to the contract: its bounds.

use super::*;
use crate::conformance::record;

crate::conformance!((Memory::new(MemoryLimits { channels: usize::MAX, bytes: u64::MAX }), ()));

fn memory(channels: usize, bytes: u64) -> Memory {
    Memory::new(MemoryLimits { channels, bytes })
}

fn positions(memory: &Memory, channel: &str) -> Vec<i64> {
    memory.read_after(channel, 0, Page::ALL).unwrap().iter().map(|r| r.position).collect()
}

/// The cost recounted from scratch, and every invariant that ties the fields together.
fn assert_sound(memory: &Memory) {
    let state = memory.state.lock();
    let mut bytes = 0;
    for (name, channel) in &state.channels {
        assert_eq!(state.by_turn.get(&channel.turn), Some(name));
        assert!(channel.floor <= channel.head);
        let text: usize = channel.records.iter().map(|record| record.value.len()).sum();
        assert_eq!(channel.text_bytes, text as u64);
        bytes += channel.cost() + channel.records.iter().map(cost).sum::<u64>();
    }
    assert_eq!(state.by_turn.len(), state.channels.len());
    assert_eq!(state.bytes, bytes);
    assert!(state.channels.len() <= memory.limits.channels);
    let empty = state.channels.values().all(|channel| channel.records.is_empty());
    assert!(state.bytes <= memory.limits.bytes || empty);
}

#[test]
fn the_least_recently_appended_channel_goes_first_and_raises_the_shared_floor() {
    let memory = memory(2, u64::MAX);
    memory.append(&[record("/a", 10, "a"), record("/b", 11, "b"), record("/a", 12, "a")]).unwrap();
    memory.append(&[record("/c", 13, "c")]).unwrap();
    assert_eq!(memory.head("/b"), Ok(None));
    assert_eq!(memory.floor("/b"), Ok(11));
    assert_eq!(memory.floor("/never/seen"), Ok(11));
    assert_eq!(memory.floor("/a"), Ok(0));
    assert_eq!(positions(&memory, "/a"), [10, 12]);
    assert_sound(&memory);
}

#[test]
fn a_channel_that_comes_back_has_the_shared_floor() {
    let memory = memory(1, u64::MAX);
    memory.append(&[record("/a", 10, "a")]).unwrap();
    memory.append(&[record("/b", 20, "b")]).unwrap();
    memory.append(&[record("/a", 30, "a")]).unwrap();
    assert_eq!(memory.floor("/a"), Ok(10), "/b was dropped after /a had come back");
    assert_eq!(memory.floor("/b"), Ok(20));
    assert_eq!(positions(&memory, "/a"), [30]);
}

#[test]
fn a_record_numbered_just_before_another_channel_was_dropped_stays_readable() {
    let memory = memory(1, u64::MAX);
    memory.append(&[record("/b", 101, "b"), record("/a", 100, "a")]).unwrap();
    assert_eq!(memory.floor("/b"), Ok(101));
    assert_eq!(memory.floor("/a"), Ok(0), "the batch is applied before anything is dropped");
    memory.append(&[record("/c", 99, "c")]).unwrap();
    assert_eq!(memory.floor("/c"), Ok(98));
    assert_eq!(positions(&memory, "/c"), [99]);
}

#[test]
fn the_last_channel_left_loses_its_oldest_records() {
    let room = CHANNEL_OVERHEAD + 2 + 2 * (RECORD_OVERHEAD + 100);
    let memory = memory(10, room);
    let text = "x".repeat(100);
    memory.append(&[record("/a", 1, &text), record("/a", 2, &text)]).unwrap();
    assert_eq!(positions(&memory, "/a"), [1, 2]);
    memory.append(&[record("/a", 3, &text)]).unwrap();
    assert_eq!(positions(&memory, "/a"), [2, 3]);
    assert_eq!(memory.floor("/a"), Ok(1));
    assert_sound(&memory);
}

#[test]
fn a_record_larger_than_the_whole_bound_is_a_gap_and_not_an_error() {
    let memory = memory(10, 1000);
    memory.append(&[record("/a", 7, &"x".repeat(2000))]).unwrap();
    assert_eq!(positions(&memory, "/a"), []);
    assert_eq!((memory.floor("/a"), memory.head("/a")), (Ok(7), Ok(Some(7))));
}

#[test]
fn marks_outlive_the_channel_they_came_with() {
    let memory = memory(1, u64::MAX);
    let mark = Some(Mark { key: [1; 16], print: [2; 16], subscribers: 3 });
    memory.append(&[Record { mark, ..record("/a", 10, "a") }]).unwrap();
    memory.append(&[record("/b", 11, "b")]).unwrap();
    assert_eq!(memory.head("/a"), Ok(None));
    assert_eq!(memory.marks(0).unwrap().len(), 1);
}

#[test]
fn debug_output_holds_no_text_of_users() {
    let memory = memory(10, 10_000);
    memory.append(&[record("/secret", 1, "hush")]).unwrap();
    let text = format!("{memory:?}");
    assert!(!text.contains("secret") && !text.contains("hush"), "{text}");
}

#[test]
fn random_appends_and_trims_never_break_the_bounds_or_the_order() {
    for seed in 0..50 {
        let mut random = crate::model::Random::new(seed);
        let memory = memory(1 + random.below(6) as usize, 200 + random.below(4000));
        let mut head = 0;
        for _ in 0..400 {
            head += 1 + i64::from(random.below(3) == 0);
            let name = format!("/{}", random.below(10));
            let text = "x".repeat(random.below(300) as usize);
            memory.append(&[record(&name, head, &text)]).unwrap();
            if random.below(4) == 0 {
                let keep = Retention { messages: random.below(5), ..Retention::ALL };
                memory.trim(&name, &keep, 0).unwrap();
            }
            let floor = memory.floor(&name).unwrap();
            assert!(positions(&memory, &name).is_sorted());
            assert!(positions(&memory, &name).iter().all(|position| *position > floor));
            assert!(memory.head(&name).unwrap().is_none_or(|newest| newest == head));
            assert_sound(&memory);
        }
    }
}
