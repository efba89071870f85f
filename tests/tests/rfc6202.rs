//! `docs/rfc6202.md` claims nothing that no test shows.

use weft_tests::broker::workspace;

/// What stands between backquotes and names a test: `file::name`.
fn tests(row: &str) -> impl Iterator<Item = (&str, &str)> {
    row.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"))
}

/// Whether a file has such a test.
fn exists(file: &str, name: &str) -> bool {
    let text = std::fs::read_to_string(workspace().join(file)).unwrap_or_default();
    if file.ends_with(".js") {
        return text.lines().any(|line| line.contains("test(") && line.contains(name));
    }
    // The suite over all transports makes its tests of functions.
    let made = file.starts_with("tests/tests/transports/");
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let at = lines.iter().position(|line| {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("async ");
        line.starts_with(&format!("fn {name}("))
    });
    at.is_some_and(|at| {
        let mut above = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        made || above.any(|line| line.contains("test]"))
    })
}

#[test]
fn each_item_has_its_row_and_each_test_in_it_exists() {
    let text = std::fs::read_to_string(workspace().join("docs/rfc6202.md")).expect("a document");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let mut complaints = Vec::new();
    let more = ["R6a", "R6b", "R8a", "R8b", "T4", "T5", "T6", "T7", "X5"].map(str::to_owned);
    for item in (1..=38).map(|number| format!("R{number}")).chain(more) {
        let count = rows.iter().filter(|row| row.starts_with(&format!("| {item} |"))).count();
        if count != 1 {
            complaints.push(format!("{item} has {count} rows"));
        }
    }
    for row in rows.iter().filter(|row| row.starts_with("| R") || row.starts_with("| T")) {
        if tests(row).count() == 0 && !row.to_lowercase().contains("planned: ") {
            complaints.push(format!("neither a test nor a plan: {row}"));
        }
    }
    let missing = rows.iter().flat_map(|row| tests(row)).filter(|(file, name)| !exists(file, name));
    complaints.extend(missing.map(|(file, name)| format!("no such test: {file}::{name}")));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
    assert!(!exists("tests/tests/edge.rs", "workspace"), "helpers are no tests");
}
