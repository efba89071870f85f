//! House rules: who may import whom, how long a file may be, what is not written here, and that
//! what can be configured, answered or claimed is also tested.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use weft_tests::broker::workspace;

#[path = "tidy/imports.rs"]
mod imports;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/table.rs"]
mod table;
#[path = "tidy/table_http.rs"]
mod table_http;

/// No file is longer.
const LINES_MAX: usize = 500;
/// Kinds of files that people write and read.
const SOURCES: [&str; 8] = [".rs", ".js", ".mjs", ".css", ".html", ".sh", ".ts", ".py"];
/// Kinds of files that must be neat besides.
const TEXTS: [&str; 3] = [".toml", ".md", ".yml"];

/// A tracked file.
#[derive(Debug)]
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_one_of(&self, kinds: &[&str]) -> bool {
        kinds.iter().any(|kind| self.path.ends_with(kind))
    }

    /// Whether it is Rust that ends up in a product, rather than in a test of it.
    fn is_product(&self) -> bool {
        let test = ["/tests/", "/tests.rs", "/fuzz/", "/benches/"];
        self.path.ends_with(".rs")
            && !self.path.starts_with("tests/")
            && !test.iter().any(|part| self.path.contains(part))
    }
}

/// All tracked files that are text.
fn files() -> Vec<File> {
    let root = workspace();
    let output = Command::new("git").arg("ls-files").current_dir(&root).output().expect("git");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout).expect("names in UTF-8");
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    list.lines().filter_map(read).collect()
}

/// Rust without comments, and without the tests at its end.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            match lines.next() {
                Some(next) if next.trim_end().ends_with(';') => continue,
                _ => break,
            }
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

/// Fails with all complaints at once.
#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn imports_follow_the_table() {
    none(&imports::complaints(&files()));
}

#[test]
fn the_readers_of_imports_and_rules_see_what_stands_there() {
    let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
    let manifest = file("Cargo.toml", "[workspace.dependencies]\ntokio = 1\nwarp = 1\n[x]\n");
    let bad = "use super::{broker::Broker, queue::{self, Queue}};\nuse crate::{\n    config,\n};\n\
               fn f() -> warp::Reply { async {} } // tokio::net\n\
               #[cfg(test)]\nmod tests {\n    use crate::server;\n}\n";
    let complaints = imports::complaints(&[manifest, file("broker/src/core/session.rs", bad)]);
    let expected = ["async has no place here", "may not import crate::config"];
    let more = ["may not import crate::core::broker::Broker", "may not import warp::Reply"];
    let path = "broker/src/core/session.rs: ";
    let expected = expected.iter().chain(&more).map(|text| format!("{path}{text}"));
    assert_eq!(complaints, expected.collect::<Vec<_>>());

    let test = "#[test]\n";
    let rust = format!(
        "{test}fn l5_r6a_a_b1() {{}}\n{test}#[ignore]\nfn a1_x() {{}}\nfn b2_x() {{}}\n\
                 behaviours! {{\n    // c1_x: yes\n    x::c2_x: no yes;\n    x::c3_x: no no;\n}}\nx::c4_x: yes\n"
    );
    let js = "test('E12, and A1: c', () => {});\n// D1\n";
    let proofs = rules::proofs(&[file("a.rs", &rust), file("b.test.js", js), file("c.js", js)]);
    let names: Vec<&str> = proofs.keys().map(String::as_str).collect();
    assert_eq!(names, ["A1", "C2", "E12", "L5", "R6a"]);
    let list = "A1 = { about = \"a\", proven = true }\nC2 = { about = \"e\", proven = true }\nB2 = { about = \"b\", proven = true }\n\
                E12 = { about = \"c\", waits = \"d\" }\nL5 = { about = \"e\", side = \"client\" }\n";
    let (_, complaints) = rules::compare(list, &proofs);
    let about: Vec<_> = complaints.iter().map(|text| text.split([' ', ':']).next()).collect();
    assert_eq!(about, [Some("B2"), Some("E12"), Some("L5"), Some("R6a")]);
}

#[test]
fn no_source_is_longer_than_500_lines() {
    let long = |file: &File| {
        let lines = file.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", file.path))
    };
    let all = files();
    let sources = all.iter().filter(|file| file.is_one_of(&SOURCES));
    none(&sources.filter_map(long).collect::<Vec<_>>());
}

#[test]
fn sources_and_texts_are_neat() {
    let mut complaints = Vec::new();
    let kinds: Vec<&str> = SOURCES.iter().chain(&TEXTS).copied().collect();
    for file in files().iter().filter(|file| file.is_one_of(&kinds)) {
        let mut complain = |line: usize, what: &str| {
            complaints.push(format!("{}:{line}: {what}", file.path));
        };
        for (index, line) in file.text.split('\n').enumerate() {
            let conflict = ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark));
            let checks = [
                (line.trim_start_matches(' ').starts_with('\t'), "a tab"),
                (line.ends_with('\r'), "a carriage return"),
                (line.ends_with([' ', '\u{a0}']), "a space at the end"),
                (conflict, "a conflict"),
            ];
            for (_, what) in checks.iter().filter(|(found, _)| *found) {
                complain(index + 1, what);
            }
        }
        let lines = file.text.lines().count();
        if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
            complain(lines, "not exactly one newline at the end");
        }
        if file.text.starts_with('\u{feff}') {
            complain(1, "a byte order mark");
        }
    }
    none(&complaints);
}

#[test]
fn what_is_banned_is_not_written() {
    // In pieces, so that this file may be looked at as well.
    let everywhere = ["todo", "unimplemented", "dbg"].map(|name| format!("{name}!"));
    let product = [
        ".unwrap()",
        ".expect(",
        "std::sync::Mutex",
        "std::sync::RwLock",
        "unbounded_channel",
        "warp::serve(",
        "warp::ws",
        "std::process::exit",
        "Ordering::SeqCst",
    ];
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".rs")) {
        let code = code(&file.text);
        let product = product.iter().filter(|_| file.is_product()).copied();
        for word in everywhere.iter().map(String::as_str).chain(product) {
            if let Some(line) = code.lines().position(|line| line.contains(word)) {
                complaints.push(format!("{}:{}: {word}", file.path, line + 1));
            }
        }
    }
    none(&complaints);
}

/// Files that may sleep, and why.
const SLEEPERS: &[(&str, &str)] = &[
    ("broker/src/http/incoming.rs", "deadlines"),
    ("tests/src/bystander.rs", "honest clients at their pace"),
    ("tests/src/ordeal.rs", "a while without an attack"),
    ("tests/src/paced.rs", "attackers at their pace"),
    ("broker/src/storage.rs", "the ceiling is raised every two seconds"),
    ("broker/src/store_tool/place.rs", "the database closes its files when it pleases"),
    ("tests/tests/store.rs", "a kill at a random moment"),
    ("tests/tests/figures.rs", "publishers run for a while"),
    ("broker/tests/replay/rig.rs", "publishers at a random pace"),
    ("broker/src/ticker.rs", "prices move once a second"),
    ("broker/src/http/ndjson.rs", "lines come no faster than they may"),
    ("broker/src/http/incoming.rs", "deadlines"),
    ("tests/src/bystander.rs", "publications at a pace"),
    ("tests/src/ordeal.rs", "quiet time, to be compared with"),
    ("tests/src/paced.rs", "attacks at a pace"),
    ("broker/src/http/listener.rs", "no descriptor is left to accept with"),
    ("broker/src/http/http2.rs", "deadlines"),
    ("broker/src/http/socket.rs", "deadlines"),
    ("broker/src/http/tls.rs", "files are looked at now and then"),
    ("clients/src/driver.rs", "the advised interval"),
    ("tests/src/delay.rs", "a long wire"),
    ("tests/src/key_server.rs", "somebody who takes their time to answer"),
    ("tests/src/tls.rs", "one thread carries bytes both ways"),
    ("tests/src/wait.rs", "the one way to wait"),
    ("tests/tests/latency.rs", "publications at random moments"),
    ("tests/tests/browsers.rs", "a tab that stays away for a time"),
    ("tests/tests/sessions.rs", "a client that is silent for a time"),
    ("tests/tests/fanout.rs", "the deadline of a whole run"),
];

#[test]
fn nobody_sleeps_but_those_who_must() {
    let word = ["sle", "ep("].concat();
    let mut complaints = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".rs")) {
        let listed = SLEEPERS.iter().any(|(path, _)| *path == file.path);
        if !listed && file.text.contains(&word) {
            complaints.push(format!("{}: sleeps, and is not in the list", file.path));
        }
    }
    none(&complaints);
}

/// Tests and documentation: where a promise must be mentioned to count as kept.
fn tests_and_documents() -> Vec<File> {
    let about = |file: &File| {
        let test = file.path.starts_with("tests/") || file.path.contains("/tests");
        let document = file.path.starts_with("docs/") || file.path == "README.md";
        (test || document) && !file.path.ends_with("/tidy.rs")
    };
    files().into_iter().filter(about).collect()
}

#[test]
fn every_key_of_the_configuration_occurs_in_a_test_or_document() {
    let example = std::fs::read_to_string(workspace().join("weft.example.toml")).expect("a file");
    let example: toml::Table = example.parse().expect("TOML");
    let mut keys: BTreeSet<(String, String)> = BTreeSet::new();
    for (name, value) in &example {
        match value {
            toml::Value::Table(section) => {
                keys.extend(section.keys().map(|key| (name.clone(), key.clone())));
            }
            _ => drop(keys.insert((String::new(), name.clone()))),
        }
    }
    assert!(keys.len() > 30, "{keys:?}");
    let places = tests_and_documents();
    let mentioned = |(section, key): &(String, String)| {
        let dotted = format!("{section}.{key}");
        let path = if section.is_empty() { key.clone() } else { dotted.clone() };
        let variable = format!("WEFT_{}", path.to_uppercase().replace('.', "_"));
        places.iter().map(|file| &file.text).any(|text| {
            // The attack tests' configuration begins in a section that they do not spell.
            let section = text.contains(&format!("[{section}]")) || text.contains("Siege::with");
            text.contains(&dotted)
                || text.contains(&variable)
                || (section || path == *key) && text.contains(&format!("{key} = "))
        })
    };
    let missing = keys.iter().filter(|key| !mentioned(key));
    none(&missing.map(|(section, key)| format!("{section}.{key}")).collect::<Vec<_>>());
}

/// Errors that nothing can provoke yet, and the part that makes it possible.
const UNREACHABLE: [(&str, &str); 0] = [];

#[test]
fn every_error_text_occurs_in_a_test_or_document() {
    let source =
        std::fs::read_to_string(workspace().join("protocol/src/error.rs")).expect("a file");
    let (_, rest) = source.split_once("fn text(").expect("the texts");
    let (body, _) = rest.split_once("\n    }\n").expect("their end");
    let texts: Vec<&str> = body.split('"').skip(1).step_by(2).collect();
    assert!(texts.len() >= 17, "{texts:?}");
    let places = tests_and_documents();
    let mut complaints = Vec::new();
    for text in texts {
        let mentioned = places.iter().any(|file| file.text.contains(&format!(":{text}")));
        let unreachable = UNREACHABLE.iter().any(|(known, _)| *known == text);
        if mentioned == unreachable {
            complaints.push(format!("{text}: mentioned is {mentioned}, waiting is {unreachable}"));
        }
    }
    none(&complaints);
}

#[test]
fn every_rule_of_the_checklist_is_proven_or_waits_for_its_part() {
    let list = std::fs::read_to_string(workspace().join("tests/rules.toml")).expect("a file");
    let all = files();
    let proofs: BTreeMap<String, BTreeSet<String>> = rules::proofs(&all);
    let (waiting, complaints) = rules::compare(&list, &proofs);
    println!("{waiting}");
    none(&complaints);
}

#[test]
fn the_tools_that_these_rules_need_are_where_they_should_be() {
    for path in [
        ".ci/run",
        ".clippy.toml",
        ".deny.toml",
        ".rustfmt.toml",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "tests/run.sh",
    ] {
        assert!(Path::new(&workspace()).join(path).exists(), "{path}");
    }
}
