use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_800_000_000_000_000;

fn text(cursor: &Cursor) -> String {
    let text = cursor.to_string();
    assert!(text.len() <= CURSOR_BYTES_MAX, "{} bytes", text.len());
    text
}

fn same(cursor: &Cursor) {
    let text = text(cursor);
    assert_eq!(Cursor::parse(&text).as_ref(), Ok(cursor), "{text}");
}

#[test]
fn a_cursor_comes_back_as_it_was_written() {
    for start in [Start::New, Start::All, Start::After(0), Start::After(NOW)] {
        let mut cursor = Cursor::new(start);
        same(&cursor);
        cursor.see("/news/today", NOW + 5);
        cursor.see("/news/tomorrow", NOW - 7);
        cursor.see("/a", 1);
        same(&cursor);
    }
}

#[test]
fn it_is_short_and_needs_no_escaping() {
    let mut cursor = Cursor::new(Start::After(NOW));
    assert_eq!(text(&cursor).len(), 16);
    cursor.see("/news/today", NOW + 1_234_567);
    cursor.see("/news/tomorrow-(!~$@.)_", NOW + 2_345_678);
    let text = text(&cursor);
    assert_eq!(text, "whq1ol1dkw0,0:/news/today=qglj,8:morrow-(!~$@.)_=ntc7~gvpm");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b",:=~/-(!$@.)_".contains(&byte);
    assert!(text.bytes().all(plain), "{text}");
}

#[test]
fn what_is_no_cursor_is_told_apart() {
    for foreign in ["", "x", "1800000000000000", "-1", "2026-11-23T00:00:00Z", "é", "W1~1"] {
        assert_eq!(Cursor::parse(foreign), Err(InvalidCursor::Foreign), "{foreign}");
    }
    for damaged in ["w", "w1", "wN", "w~", "wN~", "wN~0", "wN~-", "w~~~", "wé~1", "wN,~1"] {
        assert_eq!(Cursor::parse(damaged), Err(InvalidCursor::Damaged), "{damaged}");
    }
    let long = format!("w{}", "1".repeat(CURSOR_BYTES_MAX));
    assert_eq!(Cursor::parse(&long), Err(InvalidCursor::TooLong));
    let cursor = Cursor::new(Start::New);
    assert_eq!(Cursor::parse(&format!(" {cursor}\t")), Ok(cursor));
}

#[test]
fn right_sums_of_wrong_texts_do_not_help() {
    for text in [
        "w",
        "w-1",
        "wZ",
        "wN,",
        "wN,0",
        "wN,0:/a",
        "wN,0:/a=",
        "wN,0:a=1",
        "wN,0:/a=-1",
        "wN,1:/a=1",
        "wN,0:/a*=1",
        "wN,0:/*=1",
        "wN,-1:/a=1",
        "wN,0:/a=1,9:/b=1",
        "wN,0:/a=1y2p0ij32e8e7,0:/b=1y2p0ij32e8e7",
        "w1y2p0ij32e8e8",
        "wN,0:/a= 1",
        "w+1",
    ] {
        let mut sum = String::new();
        write_number(check(text), &mut sum);
        let text = format!("{text}~{sum}");
        assert_eq!(Cursor::parse(&text), Err(InvalidCursor::Damaged), "{text}");
    }
}

#[test]
fn no_channel_goes_back_and_the_others_never_do() {
    let mut cursor = Cursor::new(Start::After(NOW));
    cursor.see("/a", NOW + 2);
    cursor.see("/a", NOW + 1);
    assert_eq!(cursor.seen("/a"), Some(NOW + 2));
    cursor.see_all(NOW - 1);
    assert_eq!(cursor.others(), Start::After(NOW));
    for start in [Start::New, Start::All] {
        let mut cursor = Cursor::new(start);
        cursor.see_all(NOW);
        assert_eq!(cursor.others(), Start::After(NOW));
    }
}

#[test]
fn channels_are_named_while_they_are_ahead_of_the_others() {
    let mut cursor = Cursor::new(Start::After(NOW));
    cursor.see("/a", NOW + 1);
    cursor.see("/b", NOW + 3);
    cursor.see_all(NOW + 1);
    assert_eq!(cursor.channels().collect::<Vec<_>>(), [("/b", NOW + 3)]);
    cursor.see_all(NOW + 9);
    assert_eq!(cursor, Cursor::new(Start::After(NOW + 9)), "as if it had begun there");
}

#[test]
fn beyond_64_channels_those_count_among_the_others_that_were_seen_least_far() {
    let mut cursor = Cursor::new(Start::After(NOW));
    for n in 0..100 {
        cursor.see(&format!("/c/{n}"), NOW + 1_000 - n);
    }
    assert_eq!(cursor.channels().count(), 64);
    assert!(cursor.channels().all(|(_, position)| position > NOW + 1_000 - 64));
    assert_eq!(cursor.others(), Start::After(NOW), "they may repeat, and lose nothing");
    same(&cursor);
}

#[test]
fn long_names_find_no_place_for_64_and_the_longest_for_none() {
    let mut cursor = Cursor::new(Start::New);
    for n in 0..64 {
        cursor.see(&format!("/{n}{}", "x".repeat(250)), NOW + n);
    }
    assert!((10..16).contains(&cursor.channels().count()), "{}", cursor.channels().count());
    same(&cursor);
    let longest = format!("/{}", "y".repeat(CURSOR_BYTES_MAX));
    cursor.see(&longest, NOW * 2);
    assert_eq!(cursor.seen(&longest), None);
    text(&cursor);
}

fn starts() -> impl Strategy<Value = Start> {
    prop_oneof![Just(Start::New), Just(Start::All), (0..i64::MAX).prop_map(Start::After)]
}

fn cursors() -> impl Strategy<Value = Cursor> {
    let names = "(/[a-zA-Z0-9_!~()$@.-]{1,9}[a-z]){1,4}";
    (starts(), proptest::collection::vec((names, 0..i64::MAX), 0..80)).prop_map(|(start, seen)| {
        let mut cursor = Cursor::new(start);
        seen.iter().for_each(|(name, position)| cursor.see(name, *position));
        cursor
    })
}

proptest! {
    #[test]
    fn any_cursor_comes_back(cursor in cursors()) {
        let text = cursor.to_string();
        prop_assert!(text.len() <= CURSOR_BYTES_MAX);
        prop_assert_eq!(Cursor::parse(&text), Ok(cursor));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        let _ = Cursor::parse(&text);
        let _ = Cursor::parse(&format!("w{text}"));
    }

    #[test]
    fn no_part_of_a_cursor_is_taken_for_one(cursor in cursors(), cut in any::<prop::sample::Index>()) {
        let text = cursor.to_string();
        let cut = cut.index(text.len());
        prop_assert!(Cursor::parse(&text[..cut]).is_err(), "{}", &text[..cut]);
    }

    #[test]
    fn what_is_forgotten_may_repeat_and_is_never_lost(
        start in starts(),
        steps in proptest::collection::vec((0..90_u8, 0..1_000_000_i64, proptest::bool::weighted(0.1)), 0..200),
    ) {
        let mut cursor = Cursor::new(start);
        let mut seen = BTreeMap::new();
        let mut all = None;
        for (channel, position, level) in steps {
            if level {
                cursor.see_all(position);
                all = all.max(Some(position));
            } else {
                let name = format!("/c/{channel}");
                cursor.see(&name, position);
                let known = seen.entry(name).or_insert(position);
                *known = position.max(*known);
            }
        }
        for (name, seen) in &seen {
            let from = match (cursor.seen(name), cursor.others()) {
                (Some(position), _) | (None, Start::After(position)) => Some(position),
                (None, Start::New | Start::All) => None,
            };
            // Never beyond what was seen of it, or of all, or where it all began.
            let began = if let Start::After(position) = start { Some(position) } else { None };
            let most = Some(*seen).max(all).max(began);
            prop_assert!(from <= most, "{name}: {from:?} beyond {most:?}");
        }
    }
}
