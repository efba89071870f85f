//! What documents claim, and the tests that they name for it.

use crate::broker::workspace;

/// What stands between backquotes and names a test: `file::name`.
pub fn tests(row: &str) -> impl Iterator<Item = (&str, &str)> {
    row.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"))
}

/// Whether a file has such a test.
#[must_use]
pub fn exists(file: &str, name: &str) -> bool {
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
