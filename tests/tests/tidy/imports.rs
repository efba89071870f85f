//! Who may import whom. The table is ARCHITECTURE.md's, as data; the first line that fits a file
//! holds for it.

use super::{File, code};

/// What the files below a path may import. `std` and a file's own children may always be.
struct Area {
    files: &'static [&'static str],
    may: &'static [&'static str],
    /// Words that stand nowhere in their code.
    never: &'static [&'static str],
}

const fn area(
    files: &'static [&'static str],
    may: &'static [&'static str],
    never: &'static [&'static str],
) -> Area {
    Area { files, may, never }
}

/// The core's still modules: plain data, `now` is an argument.
const STILL: &[&str] = &["async", ".await", "tokio", "Instant::now", "SystemTime", "Notify"];
const NO_CLOCK: &[&str] =
    &["Instant", "SystemTime", "std::net", "std::fs", "std::io", "std::thread", "async"];
const NO_SOCKETS: &[&str] = &["std::net", "TcpStream", "TcpListener"];

const TABLE: &[Area] = &[
    area(
        &["protocol/src/"],
        &["crate", "serde", "serde_json", "form_urlencoded", "percent_encoding"],
        NO_CLOCK,
    ),
    area(
        &["persistence/src/"],
        &["crate", "parking_lot", "rustix::fs", "sled"],
        &["async", "std::net"],
    ),
    area(
        &["clients/src/"],
        &[
            "crate",
            "bytes",
            "http",
            "http_body_util",
            "hyper",
            "hyper_util",
            "parking_lot",
            "serde",
            "serde_json",
            "tokio",
            "weft_protocol",
        ],
        &[],
    ),
    area(
        &["broker/src/config/"],
        &[
            "crate::config",
            "clap",
            "serde",
            "toml",
            "tracing_subscriber::EnvFilter",
            "weft_protocol",
        ],
        NO_SOCKETS_BUT_ADDR,
    ),
    area(
        &["broker/src/core/behind.rs", "broker/src/core/past.rs", "broker/src/core/rules.rs"],
        &[
            "crate::core::frame",
            "crate::core::rules",
            "parking_lot",
            "weft_persistence",
            "weft_protocol",
        ],
        STILL,
    ),
    area(&["broker/src/core/marks.rs"], &["parking_lot", "sha2", "weft_persistence"], &["async"]),
    area(&["broker/src/core/time.rs"], &["time"], STILL),
    area(
        &["broker/src/core/session.rs"],
        &[
            "crate::core::behind",
            "crate::core::frame",
            "crate::core::gaps",
            "crate::core::held",
            "crate::core::id",
            "crate::core::options",
            "crate::core::proof",
            "crate::core::queue",
            "crate::core::rules",
            "parking_lot",
            "weft_protocol",
        ],
        STILL,
    ),
    area(
        &["broker/src/core/proof.rs", "broker/src/core/receipts.rs"],
        &["crate::core::receipts", "weft_protocol"],
        STILL,
    ),
    area(
        &[
            "broker/src/core/queue.rs",
            "broker/src/core/gaps.rs",
            "broker/src/core/frame.rs",
            "broker/src/core/options.rs",
        ],
        &[
            "crate::core::channels::PastLimits",
            "crate::core::frame",
            "crate::core::gaps",
            "crate::core::receipts",
            "crate::core::options",
            "crate::core::rules::Rules",
            "weft_protocol",
        ],
        STILL,
    ),
    area(
        &["broker/src/core/browsers.rs", "broker/src/core/positions.rs", "broker/src/core/id.rs"],
        &["crate::core::id", "crate::core::session", "getrandom", "parking_lot"],
        STILL,
    ),
    area(
        &["broker/src/core/stats.rs"],
        &["prometheus", "weft_persistence::Loss"],
        &["TextEncoder", "gather"],
    ),
    area(
        &["broker/src/core/"],
        &[
            "crate::core",
            "indexmap",
            "parking_lot",
            "tokio::runtime",
            "tokio::select",
            "tokio::sync",
            "tokio::task",
            "tokio::time",
            "tracing",
            "weft_persistence",
            "weft_protocol",
        ],
        NO_SOCKETS,
    ),
    area(
        &["broker/src/exchange/"],
        &["crate::core", "crate::exchange", "tokio::task::yield_now", "weft_protocol"],
        NO_SOCKETS,
    ),
    area(
        &["broker/src/transport/websocket.rs", "broker/src/transport/websocket/"],
        &[
            "bytes::Buf",
            "crate::core::id",
            "crate::core::outlet",
            "crate::exchange",
            "futures_util",
            "tokio::io",
            "tokio::time",
            "tokio_stream",
            "tokio_tungstenite",
            "tokio_util",
            "tracing",
            "weft_protocol",
        ],
        NO_SOCKETS,
    ),
    area(
        &["broker/src/transport/"],
        &["crate::exchange", "crate::transport::settle", "weft_protocol"],
        NO_SOCKETS,
    ),
    area(
        &["broker/src/http/admin.rs"],
        &["crate::core::broker", "prometheus", "tracing", HTTP, "bytes", "http"],
        &[],
    ),
    area(
        &["broker/src/http/connection.rs"],
        &[
            HTTP,
            "bytes",
            "crate::core::session",
            "parking_lot",
            "prometheus",
            "rustix",
            "tokio::io",
            "tokio::net",
            "tokio::time",
        ],
        &[],
    ),
    area(
        &["broker/src/http/cookie.rs"],
        &["crate::core::id", "getrandom", "hmac", "http", "sha2"],
        &["async"],
    ),
    area(&["broker/src/http/limits.rs"], &["parking_lot"], &["async"]),
    area(&["broker/src/http/stats.rs"], &["http", "prometheus"], &["async"]),
    area(
        &["broker/src/http/upgrade.rs"],
        &[
            HTTP,
            "bytes",
            "crate::exchange",
            "crate::transport::websocket",
            "http",
            "hyper",
            "hyper_util",
            "tokio::io",
            "tokio_tungstenite",
            "tokio_util",
            "tracing",
            "weft_protocol",
        ],
        &["TcpStream", "TcpListener"],
    ),
    area(
        &["broker/src/http/listener.rs", "broker/src/http/routes.rs"],
        &[
            HTTP,
            "bytes",
            "http",
            "hyper",
            "hyper_util",
            "tokio",
            "tokio_stream",
            "tokio_util",
            "tower_service",
            "tracing",
            "warp",
        ],
        &[],
    ),
    area(
        &[
            "broker/src/http/api.rs",
            "broker/src/http/history.rs",
            "broker/src/http/ndjson.rs",
            "broker/src/http/publish.rs",
        ],
        &[
            HTTP,
            "bytes",
            "crate::core::broker",
            "crate::core::held",
            "crate::core::history",
            "crate::core::past",
            "crate::core::publishing",
            "crate::core::time",
            "form_urlencoded",
            "http",
            "percent_encoding",
            "prometheus",
            "serde_json",
            "time",
            "tokio",
            "tokio_stream",
            "weft_protocol",
        ],
        &["TcpStream", "TcpListener"],
    ),
    area(
        &["broker/src/http/"],
        &[
            HTTP,
            "crate::exchange",
            "crate::transport",
            "bytes",
            "http",
            "tokio",
            "tokio_stream",
            "weft_protocol",
        ],
        &["TcpStream", "TcpListener"],
    ),
    area(
        &["broker/src/ticker.rs"],
        &[
            "crate::core::broker",
            "crate::core::held",
            "crate::core::publishing",
            "tokio",
            "tokio_util",
            "weft_protocol",
        ],
        NO_SOCKETS,
    ),
    area(&["broker/src/log.rs"], &["tracing_subscriber"], &["async"]),
    area(&["broker/src/lib.rs"], &[], &[]),
    area(
        &["broker/src/storage.rs"],
        &[
            "crate::config",
            "crate::core",
            "crate::swap",
            "tokio",
            "tokio_util",
            "tracing",
            "weft_persistence",
            "weft_protocol",
        ],
        NO_SOCKETS,
    ),
    area(&["broker/src/swap.rs"], &["rustix"], NO_SOCKETS),
    area(
        &["broker/src/store_tool/"],
        &[
            "crate::config",
            "crate::storage",
            "crate::store_tool",
            "crate::swap",
            "rustix",
            "serde",
            "serde_json",
            "weft_persistence",
            "weft_protocol",
        ],
        NO_SOCKETS,
    ),
    area(
        &["broker/src/server.rs"],
        &[
            "crate::config",
            "crate::core",
            "crate::exchange",
            HTTP,
            "crate::storage",
            "crate::ticker",
            "prometheus",
            "rustix",
            "tokio",
            "tokio_util",
            "tracing",
            "weft_persistence",
            "weft_protocol",
        ],
        &[],
    ),
    area(
        &["broker/src/main.rs"],
        &[
            "clap",
            "tokio",
            "tracing",
            "weft_broker::config",
            "weft_broker::log",
            "weft_broker::server",
            "weft_broker::store_tool",
        ],
        &[],
    ),
];

const HTTP: &str = "crate::http";
const NO_SOCKETS_BUT_ADDR: &[&str] = &["TcpStream", "TcpListener", "async"];

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
        let Some(area) = TABLE.iter().find(fits) else {
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
