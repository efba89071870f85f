//! `weft explain`: which rule decides.

use std::process::Command;

use weft_tests::broker::binary;
use weft_tests::token::{auth, now, token, token_until};

use super::RULES;

/// What it says, and whether it exits with success.
fn explain(toml: &str, arguments: &[&str]) -> (String, bool) {
    let directory = std::env::temp_dir().join(format!("weft-explain-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join(format!("{:?}.toml", std::thread::current().id()));
    std::fs::write(&file, toml).expect("a file");
    let output = Command::new(binary())
        .arg("--config")
        .arg(&file)
        .arg("explain")
        .args(arguments)
        .output()
        .expect("weft runs");
    let _ = std::fs::remove_file(&file);
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (text.into_owned(), output.status.success())
}

#[test]
fn it_names_the_rule_that_decides() {
    let toml = format!("{}{RULES}", auth(""));
    let ann = token("ann", &["reader"]);
    for (action, channel, allowed, said) in [
        ("subscribe", "/user/ann/x", true, "by rule 2: allow [\"/news/*\", \"/user/{sub}/**\"]"),
        ("subscribe", "/user/bob/x", false, "no rule allows all of it"),
        ("history", "/live/a", false, "no rule allows all of it"),
        ("publish", "/secret/x", false, "by rule 1: deny [\"/secret/**\"]"),
        ("subscribe", "/**", false, "by rule 1: deny"),
    ] {
        let (text, success) = explain(&toml, &["--as", &ann, action, channel]);
        assert_eq!(success, allowed, "{text}");
        assert!(text.contains(said), "{action} {channel}: {text}");
        assert!(text.contains("\"ann\"") && text.contains("reader"), "{text}");
        assert!(!text.contains(&ann), "the token is shown");
    }
}

#[test]
fn it_says_who_is_not_let_in_and_why() {
    let toml = format!("{}{RULES}", auth(""));
    let expired = token_until("ann", &[], now() - 10);
    for (arguments, said) in [
        (&["--as", &*expired, "subscribe", "/a"][..], "denied: not let in: expired"),
        (&["--as", "rubbish", "subscribe", "/a"], "denied: not let in: malformed"),
        (&["subscribe", "/a"], "denied: not let in: no credentials are shown"),
    ] {
        let (text, success) = explain(&toml, arguments);
        assert!(!success && text.contains(said), "{text}");
    }
    let (text, success) = explain("", &["subscribe", "/a"]);
    assert!(success && text.contains("nobody is asked who they are"), "{text}");
    let (text, success) = explain(&toml, &["read", "/a"]);
    assert!(!success && text.contains("subscribe, publish, history"), "{text}");
}
