//! Who may import whom, held to the table.

use super::table::{Area, TABLE};
use super::table_http;
use super::{File, code};

/// Crates that code may name: those of the workspace's manifest.
fn crates(files: &[File]) -> Vec<String> {
    let manifest = files.iter().find(|file| file.path == "Cargo.toml").expect("a manifest");
    let (_, rest) = manifest.text.split_once("[workspace.dependencies]").expect("dependencies");
    let lines = rest.lines().skip(1).take_while(|line| !line.starts_with('['));
    let names = lines.filter_map(|line| line.split_once(" = "));
    names.map(|(name, _)| name.replace('-', "_")).collect()
}

/// Every import that the table does not allow, and every file that the table does not know.
pub(crate) fn complaints(files: &[File]) -> Vec<String> {
    let crates = crates(files);
    let mut complaints = Vec::new();
    for file in files.iter().filter(|file| file.is_product() && file.path.contains("/src/")) {
        let fits = |area: &&Area| area.files.iter().any(|start| file.path.starts_with(start));
        let Some(area) = table_http::TABLE.iter().chain(TABLE).find(fits) else {
            complaints.push(format!("{}: in no line of the table", file.path));
            continue;
        };
        let code = code(&file.text);
        let module = module(&file.path);
        for path in paths(&code, &crates) {
            let Some(path) = absolute(&path, &module, &crates) else { continue };
            let own = module.len() > 1 && below(&path, &module.join("::"));
            if !own && !area.may.iter().any(|may| below(&path, may)) {
                complaints.push(format!("{}: may not import {path}", file.path));
            }
        }
        for word in area.never.iter().filter(|word| contains_word(&code, word)) {
            complaints.push(format!("{}: {word} has no place here", file.path));
        }
    }
    complaints.sort();
    complaints.dedup();
    complaints
}

fn below(path: &str, allowed: &str) -> bool {
    path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn contains_word(code: &str, word: &str) -> bool {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        (word.starts_with('.') || !part(before)) && !part(after)
    })
}

/// `broker/src/http/mod.rs` is `crate::http`.
fn module(path: &str) -> Vec<String> {
    let (_, path) = path.split_once("/src/").expect("a source");
    let path = path.trim_end_matches(".rs");
    let parts = path.split('/').filter(|part| !matches!(*part, "mod" | "lib" | "main"));
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

/// Spells a path from the crate's root; `None` for the standard library and for local names.
fn absolute(path: &str, module: &[String], crates: &[String]) -> Option<String> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut up = module.len();
    match parts[0] {
        "std" => return None,
        "crate" => return Some(path.to_owned()),
        "self" => drop(parts.remove(0)),
        "super" => {
            while parts.first() == Some(&"super") {
                parts.remove(0);
                up -= 1;
            }
        }
        root if crates.iter().any(|name| name == root) => return Some(path.to_owned()),
        _ => {}
    }
    let base = module[..up].iter().map(String::as_str);
    Some(base.chain(parts).collect::<Vec<_>>().join("::"))
}

/// All paths that are imported, and those in the code that begin with a crate or a module of ours.
fn paths(code: &str, crates: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let start = line.trim_start();
        let import = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "]
            .iter()
            .find_map(|keyword| start.strip_prefix(keyword));
        let Some(import) = import else {
            rest.push_str(line);
            rest.push('\n');
            continue;
        };
        let mut import = import.to_owned();
        while !import.contains(';') {
            import.push_str(lines.next().expect("the end of an import"));
        }
        expand("", import.trim_end_matches(';').trim(), &mut found);
    }
    let end = |c: char| !(c.is_alphanumeric() || c == '_' || c == ':');
    let named = rest.split(end).filter(|word| word.contains("::")).filter(|word| {
        let root = word.split("::").next().unwrap_or_default();
        matches!(root, "crate" | "super") || crates.iter().any(|name| name == root)
    });
    found.extend(named.map(|word| word.trim_end_matches(':').to_owned()));
    found
}

/// `a::{b, c::{d, self}}` is `a::b`, `a::c::d` and `a::c`.
fn expand(before: &str, import: &str, found: &mut Vec<String>) {
    let import = import.trim();
    let Some((start, inner)) = import.split_once('{') else {
        let path = import.split(" as ").next().unwrap_or_default().trim();
        let path = if path == "self" {
            before.trim_end_matches(':').to_owned()
        } else {
            format!("{before}{path}")
        };
        return found.push(path);
    };
    let before = format!("{before}{}", start.trim());
    let inner = inner.trim_end().trim_end_matches('}');
    let (mut depth, mut from) = (0_usize, 0);
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 || at == inner.len() => {
                let mut part = inner[from..at].trim().to_owned();
                // Trimming took the brackets of nested groups at the very end.
                let open = part.matches('{').count() - part.matches('}').count();
                part.push_str(&"}".repeat(open));
                if !part.is_empty() {
                    expand(&before, &part, found);
                }
                from = at + 1;
            }
            _ => {}
        }
    }
}
