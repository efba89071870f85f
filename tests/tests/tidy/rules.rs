//! The rules of the protocol checklist, held against the names of tests.

use std::collections::{BTreeMap, BTreeSet};

use super::File;

/// The tests that name each rule, by rule.
pub(crate) fn proofs(files: &[File]) -> BTreeMap<String, BTreeSet<String>> {
    let mut proofs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let rules = match file.path.rsplit_once('.') {
            Some((_, "rs")) => rust(&file.text),
            Some((name, "js")) if name.ends_with(".test") => javascript(&file.text),
            _ => continue,
        };
        for rule in rules {
            proofs.entry(rule).or_default().insert(file.path.clone());
        }
    }
    proofs
}

/// Reads `fn l5_e12_…` behind a test's attributes, and `file::l5_e12_…: yes` in a table of behaviours.
/// Ignored tests prove nothing.
fn rust(text: &str) -> Vec<String> {
    let named =
        |name: &str| -> Vec<String> { name.to_uppercase().split('_').map_while(rule).collect() };
    let mut rules = Vec::new();
    let (mut test, mut ignored, mut table) = (false, false, false);
    for line in text.lines() {
        table = line == "behaviours! {" || table && line != "}";
        let line = line.trim_start();
        if let (true, Some((name, marks))) = (table, line.split_once(": ")) {
            let name = name.split_once("::").map_or(name, |(_, name)| name);
            rules.extend(marks.contains("yes").then(|| named(name)).into_iter().flatten());
        }
        if let Some(attribute) = line.strip_prefix("#[") {
            test |= attribute.starts_with("test]") || attribute.contains("::test");
            ignored |= attribute.starts_with("ignore");
            continue;
        }
        let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let (Some(name), true, false) = (name, test, ignored) {
            rules.extend(named(name.split('(').next().unwrap_or_default()));
        }
        if name.is_some() || line.starts_with("fn ") {
            (test, ignored) = (false, false);
        }
    }
    rules
}

/// Reads the rules in the titles of tests, and in what titles are made of.
fn javascript(text: &str) -> Vec<String> {
    let titles = text.lines().filter(|line| line.contains("test(") || line.contains("rule"));
    let words = titles.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric()));
    words.filter_map(rule).collect()
}

/// `R6A` and `R6a` are `R6a`; `None` for what is no rule's number.
fn rule(word: &str) -> Option<String> {
    let (letter, rest) = word.split_at_checked(1)?;
    let (number, tail) = match rest.as_bytes() {
        [.., b'A' | b'a' | b'B' | b'b'] => rest.split_at(rest.len() - 1),
        _ => (rest, ""),
    };
    let known = "ABCDEFGHIJKLRTX".contains(letter);
    let digits = (1..=2).contains(&number.len()) && number.bytes().all(|b| b.is_ascii_digit());
    (known && digits).then(|| format!("{letter}{number}{}", tail.to_lowercase()))
}

/// What waits, for people to read, and what does not fit together.
pub(crate) fn compare(
    list: &str,
    proofs: &BTreeMap<String, BTreeSet<String>>,
) -> (String, Vec<String>) {
    let list: toml::Table = list.parse().expect("TOML");
    let mut waiting = String::new();
    let mut complaints = Vec::new();
    let mut counts = [0; 4];
    for (rule, entry) in &list {
        let text = |key: &str| entry.get(key).and_then(toml::Value::as_str);
        let about = text("about").unwrap_or_default();
        let proof = proofs.get(rule);
        let states = [
            entry.get("proven").and_then(toml::Value::as_bool) == Some(true),
            text("side") == Some("client"),
            text("waits").is_some(),
            text("not_testable").is_some(),
        ];
        for (count, _) in counts.iter_mut().zip(states).filter(|(_, state)| *state) {
            *count += 1;
        }
        if about.is_empty() || states.iter().filter(|&&state| state).count() != 1 {
            complaints.push(format!("{rule}: say what it is about, and one state"));
        }
        match (states, proof) {
            ([true, ..] | [_, true, ..], None) => {
                complaints.push(format!("{rule} ({about}): no test names it"));
            }
            ([.., true, _] | [.., true], Some(files)) => {
                complaints.push(format!("{rule} ({about}): has a test: {files:?}"));
            }
            _ => {}
        }
        if states[1] && proof.is_some_and(|files| !files.iter().any(|file| client(file))) {
            complaints.push(format!("{rule} ({about}): no test of a client names it"));
        }
        if let Some(part) = text("waits") {
            waiting.push_str(&format!("{rule:>4} {about}: waits for {part}\n"));
        } else if let Some(part) = text("more") {
            waiting.push_str(&format!("{rule:>4} {about}: more to come in {part}\n"));
        }
    }
    for (rule, files) in proofs.iter().filter(|(rule, _)| !list.contains_key(*rule)) {
        complaints.push(format!("{rule}: named by {files:?}, and no rule"));
    }
    let [proven, clients, waits, not] = counts;
    let all = list.len();
    waiting.push_str(&format!(
        "{all} rules: {proven} proven, {clients} by clients, {waits} wait, {not} not testable"
    ));
    (waiting, complaints)
}

fn client(file: &str) -> bool {
    file.starts_with("clients/") || file.ends_with(".test.js")
}
