//! How deep a JSON text nests, before any parser sees it (checklist L4).

/// Whether brackets and braces nest deeper than `limit`.
///
/// One pass that knows strings; it stops at the first level too many. On a text that is no JSON the
/// answer is right up to the fault, which the parser then reports.
pub(crate) fn exceeds(text: &str, limit: usize) -> bool {
    // Most have no more than that in all, and counting is many times faster than reading.
    if openings(text.as_bytes()) <= limit {
        return false;
    }
    let mut depth = 0_usize;
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    false
}

/// How many brackets and braces open, those in strings included. Pieces are so short that a byte
/// counts each, which lets the compiler take many bytes at a time.
fn openings(bytes: &[u8]) -> usize {
    let opens = |byte: &u8| u8::from(matches!(byte, b'[' | b'{'));
    bytes.chunks(255).map(|piece| usize::from(piece.iter().map(opens).sum::<u8>())).sum()
}

/// Moves behind the closing quote.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, depth: usize) {
        assert!(!exceeds(text, depth), "{text} is at most {depth} deep");
        assert!(depth == 0 || exceeds(text, depth - 1), "{text} is {depth} deep");
    }

    #[test]
    fn l4_depth_counts_brackets_outside_strings() {
        check("1", 0);
        check("[]", 1);
        check(r#"[{"data":[[1],[2]]}]"#, 4);
        check(r#"["[[[[{{{{"]"#, 1);
        check(r#"["\"[[[",[]]"#, 2);
        check(r#"["\\",[]]"#, 2);
        check("]]][", 1);
        check(r#""[[["#, 0);
        check(r#""\"#, 0);
    }

    #[test]
    fn l4_a_million_levels_are_refused_at_once() {
        assert!(exceeds(&"[".repeat(1_000_000), 64));
        assert!(!exceeds(&"[]".repeat(1_000_000), 64));
    }
}
