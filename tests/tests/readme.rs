//! What the README tells people to type works as it stands.

use std::process::{Command, Stdio};

use weft_tests::broker::{Broker, workspace};

#[test]
fn the_walk_with_curl_works() {
    let readme = std::fs::read_to_string(workspace().join("README.md")).expect("a README");
    let (_, rest) = readme.split_once("<!-- walk: a test runs this block").expect("a walk");
    let (_, rest) = rest.split_once("```sh\n").expect("a block");
    let (walk, _) = rest.split_once("\n```").expect("its end");
    let broker = Broker::start();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", walk])
        .env("WEFT", format!("http://{}", broker.listen))
        .env_remove("http_proxy")
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(err.is_empty(), "{err}");
    let answers = out.replace("][", "]\n[");
    let answers: Vec<&str> = answers.lines().collect();
    for (channel, place) in [
        ("/meta/handshake", 0),
        ("/meta/connect", 1),
        ("/meta/subscribe", 2),
        ("/news/today", 3),
        ("/news/today", 4),
        ("/meta/disconnect", 5),
    ] {
        let answer = answers.get(place).unwrap_or_else(|| panic!("{place}: {out}"));
        assert!(answer.contains(&format!("\"channel\":\"{channel}\"")), "{place}: {out}");
        assert!(!answer.contains("\"successful\":false"), "{place}: {out}");
    }
    assert!(answers[4].contains("It works"), "{out}");
    assert_eq!(broker.metric("weft_sessions"), 0.0, "the walk says goodbye");
}

#[test]
fn every_command_and_path_that_the_readme_names_exists() {
    let root = workspace();
    let readme = std::fs::read_to_string(root.join("README.md")).expect("a README");
    for link in readme.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let inside = !link.starts_with("http");
        assert!(!inside || root.join(link).exists(), "{link} is not there");
    }
    assert!(root.join("tests/run.sh").exists() && root.join("weft.example.toml").exists());
}
