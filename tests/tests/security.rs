//! `SECURITY.md` claims nothing that no test shows.

use weft_tests::broker::workspace;
use weft_tests::claims::{exists, tests};

#[test]
fn each_attack_has_its_tests_and_each_of_them_exists() {
    let text = std::fs::read_to_string(workspace().join("SECURITY.md")).expect("a document");
    let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| ")).collect();
    let mut complaints = Vec::new();
    // Their last cell names the tests.
    let heads = ["| attack |", "| --- |"];
    let attacks = rows.iter().filter(|row| !heads.iter().any(|head| row.starts_with(head)));
    let attacks: Vec<_> = attacks.filter(|row| row.matches(" | ").count() == 2).collect();
    assert!(attacks.len() > 40, "{} attacks", attacks.len());
    for row in &attacks {
        if tests(row).count() == 0 {
            complaints.push(format!("no test: {row}"));
        }
    }
    let named = text.lines().flat_map(tests).filter(|(file, _)| file.contains('/'));
    let missing = named.filter(|(file, name)| !exists(file, name));
    complaints.extend(missing.map(|(file, name)| format!("no such test: {file}::{name}")));
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
