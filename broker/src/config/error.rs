//! What is wrong with a configuration, and where it stands.

use std::{error::Error, fmt};

/// Everything that was found wrong, one line each: `PLACE: KEY: TEXT`, where the place is
/// `FILE:LINE:COLUMN`, the name of a variable, or a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    lines: Vec<String>,
}

impl ConfigError {
    /// Of several problems. Never empty where it is made.
    pub(super) fn new(lines: Vec<String>) -> Self {
        Self { lines }
    }

    /// Of one problem.
    pub(super) fn one(line: String) -> Self {
        Self { lines: vec![line] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

impl Error for ConfigError {}

/// `; did you mean ...?`, or nothing if no known name is near.
pub(super) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let nearest = known.into_iter().map(|known| (distance(name, known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1 + name.len() / 4 => {
            format!("; did you mean `{known}`?")
        }
        _ => String::new(),
    }
}

/// How many bytes must be added, taken away or changed to make `a` of `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, byte_a) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, byte_b) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(byte_a != byte_b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_the_bytes_to_change() {
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("timeout", "timout", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let known = ["timeout", "interval"];
        assert_eq!(suggestion("timout", known), "; did you mean `timeout`?");
        assert_eq!(suggestion("colour", known), "");
        assert_eq!(suggestion("x", []), "");
    }
}
