//! `docs/rfc6202.md` claims nothing that no test shows.

use weft_tests::broker::workspace;
use weft_tests::claims::{exists, tests};

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
