//! What a queue does.

use super::*;
use crate::core::frame::frame;

const WIDE: QueueLimits = QueueLimits { messages: 100, bytes: 1 << 20 };
const NARROW: QueueLimits = QueueLimits { messages: 3, bytes: 1 << 20 };
const ANY: ResponseLimits = ResponseLimits { messages: usize::MAX, bytes: 1 << 20 };

fn add(queue: &mut Queue, limits: QueueLimits, frame: Frame) -> usize {
    queue.push(frame, true);
    queue.drop_to(limits)
}

fn filled(limits: QueueLimits, positions: std::ops::RangeInclusive<i64>) -> Queue {
    let mut queue = Queue::default();
    for position in positions {
        add(&mut queue, limits, frame("/a", position));
    }
    queue
}

fn taken(queue: &mut Queue) -> Vec<i64> {
    positions(&queue.take(ANY))
}

fn positions(batch: &Batch) -> Vec<i64> {
    batch.frames.iter().map(Frame::position).collect()
}

fn confirm(queue: &mut Queue) {
    queue.confirm(queue.reach());
}

fn floors(list: &[(&str, i64)]) -> HashMap<Arc<str>, i64> {
    list.iter().map(|&(name, floor)| (Arc::from(name), floor)).collect()
}

#[test]
fn r24_what_waits_leaves_together_and_in_order() {
    let mut queue = filled(WIDE, 1..=3);
    assert_eq!(taken(&mut queue), [1, 2, 3]);
    assert!(!queue.has_news());
    assert_eq!(taken(&mut queue), [0; 0]);
}

#[test]
fn l12_a_lost_reply_goes_again_before_newer_ones() {
    let mut queue = filled(WIDE, 1..=2);
    taken(&mut queue);
    queue.push(frame("/a", 3), true);
    assert_eq!(queue.unsend(), 2);
    assert_eq!(taken(&mut queue), [1, 2, 3]);
    confirm(&mut queue);
    assert!(queue.is_empty());
    assert_eq!(queue.bytes(), 0);
}

#[test]
fn l12_proof_of_receipt_forgets_what_was_sent_and_nothing_else() {
    let mut queue = filled(WIDE, 1..=2);
    taken(&mut queue);
    queue.push(frame("/a", 3), true);
    confirm(&mut queue);
    assert_eq!(queue.unsend(), 0);
    assert_eq!(taken(&mut queue), [3]);
}

#[test]
fn x1_a_reply_that_is_acknowledged_late_proves_what_it_carried() {
    let mut queue = filled(WIDE, 1..=2);
    taken(&mut queue);
    let first = queue.reach();
    queue.push(frame("/a", 3), true);
    queue.unsend();
    assert_eq!(taken(&mut queue), [1, 2, 3]);
    queue.confirm(first);
    queue.unsend();
    assert_eq!(taken(&mut queue), [3]);
}

#[test]
fn p4_at_the_bound_the_oldest_go_and_the_loss_is_told_once() {
    let mut queue = filled(NARROW, 11..=15);
    let batch = queue.take(ANY);
    assert_eq!(positions(&batch), [13, 14, 15]);
    assert_eq!(batch.gaps, [Gap { channel: Arc::from("/a"), from: 10, to: 12 }]);
    assert!(queue.take(ANY).gaps.is_empty());
    queue.unsend();
    assert_eq!(queue.take(ANY).gaps.len(), 1, "told again if that reply was lost");
    confirm(&mut queue);
    assert!(!queue.has_news());
}

#[test]
fn p4_what_was_sent_and_dropped_is_a_gap_only_if_its_reply_was_lost() {
    for lost in [false, true] {
        let mut queue = filled(NARROW, 1..=3);
        taken(&mut queue);
        add(&mut queue, NARROW, frame("/a", 4));
        if lost {
            queue.unsend();
        } else {
            confirm(&mut queue);
        }
        let batch = queue.take(ANY);
        assert_eq!(batch.gaps.len(), usize::from(lost));
        assert_eq!(batch.frames.len(), if lost { 3 } else { 1 });
    }
}

#[test]
fn p5_gaps_are_bounded_too_past_the_bound_all_channels_are_named() {
    let mut queue = Queue::default();
    let limits = QueueLimits { messages: 1, bytes: 1 << 20 };
    for position in 1..=200 {
        add(&mut queue, limits, frame(&format!("/c/{position}"), position));
    }
    let gaps = queue.take(ANY).gaps;
    assert_eq!(gaps.len(), crate::core::gaps::GAP_CHANNELS_MAX);
    let last = gaps.last().expect("gaps");
    assert_eq!((&*last.channel, last.from, last.to), ("/**", 63, 199));
}

#[test]
fn p5_one_message_always_fits_an_empty_queue_and_an_empty_response() {
    let mut queue = Queue::default();
    let limits = QueueLimits { messages: 0, bytes: 1 };
    assert_eq!(add(&mut queue, limits, frame("/a", 1)), 0);
    assert_eq!(queue.take(ResponseLimits { messages: 0, bytes: 1 }).frames.len(), 1);
    assert_eq!(add(&mut queue, limits, frame("/a", 2)), 0, "the sent one goes for it");
    assert_eq!(queue.len(), 1);
}

#[test]
fn r24_a_response_takes_as_much_as_it_may_and_the_rest_stays() {
    let one = frame("/a", 1).text().len() + 1;
    let limits = [
        ResponseLimits { bytes: one * 2, messages: 9 },
        ResponseLimits { messages: 2, bytes: 1 << 20 },
    ];
    for limits in limits {
        let mut queue = filled(WIDE, 1..=4);
        assert_eq!(positions(&queue.take(limits)), [1, 2]);
        assert!(queue.has_news());
        confirm(&mut queue);
        assert_eq!(taken(&mut queue), [3, 4]);
    }
}

#[test]
fn p5_what_can_be_read_again_leaves_and_what_was_sent_or_is_below_the_floor_stays() {
    let mut queue = filled(WIDE, 1..=2);
    taken(&mut queue);
    queue.unsend();
    for (channel, position) in [("/a", 3), ("/b", 4), ("/none", 5), ("/a", 6), ("/b", 7)] {
        queue.push(frame(channel, position), channel != "/none");
    }
    assert!(queue.may_spill());
    assert_eq!(
        queue.spillable().iter().map(|name| &**name).collect::<Vec<_>>(),
        ["/a", "/b", "/none"]
    );
    let mut firsts = queue.spill(&floors(&[("/a", 0), ("/b", 4)]));
    firsts.sort();
    assert_eq!(firsts, [(Arc::from("/a"), 3), (Arc::from("/b"), 7)]);
    assert!(!queue.may_spill(), "what stays, stays");
    queue.push(frame("/a", 8), true);
    assert_eq!(queue.spill(&floors(&[("/a", 0)])), [(Arc::from("/a"), 8)]);
    assert_eq!(taken(&mut queue), [1, 2, 4, 5]);
    confirm(&mut queue);
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
}

#[test]
fn p5_places_are_accounted_for_and_given_back() {
    let mut queue = filled(QueueLimits { messages: 5_000, bytes: 1 << 20 }, 1..=1_000);
    assert!(queue.slot_bytes() >= 8_000);
    queue.drop_all();
    assert_eq!(queue.slot_bytes(), 0);
}
