//! `weft store`: a stopped broker's directory is checked, saved, filled and shrunk, and nothing of
//! it is lost whatever happens on the way.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use weft_tests::api::{history, kept, publish, publish_durably};
use weft_tests::broker::{Broker, binary, workspace};
use weft_tests::http::Request;
use weft_tests::wait::{PATIENCE, until};

/// What the tool says and does with a data directory.
fn tool(data: &Path, arguments: &[&str]) -> Output {
    fed(data, arguments, b"")
}

/// The same, with standard input.
fn fed(data: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(binary());
    command.arg("store").args(arguments).arg("--data").arg(data);
    // It would be told that the variable of these tests is no setting.
    command.env_remove("WEFT_BIN");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the tool runs");
    // It may have said no before it has read everything.
    let mut stdin = child.stdin.take().expect("stdin");
    std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output().expect("the tool ends")
    })
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What it refused with: one line, and nothing on standard output.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("weft: "), "{text}");
    text
}

fn export(data: &Path) -> String {
    out(&tool(data, &["export"]))
}

/// The names in a data directory that begin with `store`, but for the ballast.
fn stores(data: &Path) -> Vec<String> {
    let names = fs::read_dir(data).expect("a directory").flatten();
    let names = names.map(|entry| entry.file_name().into_string().expect("text"));
    let mut names: Vec<_> =
        names.filter(|name| name.starts_with("store") && name != "store.ballast").collect();
    names.sort();
    names
}

/// Publishes 2,000 numbers on seven channels, one of them with a key.
fn fill(broker: &Broker) {
    let line = |n: u32| format!("{{\"channel\":\"/c/{}\",\"data\":{n}}}\n", n % 7);
    let lines: String = (0..1_999).map(line).collect();
    let request = Request::post("/publish", lines).header("Content-Type", "application/x-ndjson");
    assert_eq!(broker.exchange(&request).status, 200);
    let keyed = Request::post("/publish/c/4?durable=1", "1999").header("Idempotency-Key", "last");
    assert_eq!(broker.exchange(&keyed).status, 200);
}

fn all(broker: &Broker) -> Vec<Vec<Value>> {
    (0..7).map(|n| kept(broker, &format!("/c/{n}"))).collect()
}

#[test]
fn a_store_can_be_checked_exported_imported_and_compacted() {
    let broker = Broker::start();
    fill(&broker);
    let before = all(&broker);
    assert_eq!(broker.terminate(), Some(0));
    let data = broker.data();
    let check = tool(&data, &["check"]);
    assert!(out(&check).starts_with("7 channels, 2000 messages, 1 keys, "), "{check:?}");
    let first = export(&data);
    assert!(first.starts_with(r#"{"store":{"format":1,"floor":0}}"#), "{}", &first[..80]);
    assert!(first.ends_with("{\"end\":{\"channels\":7,\"records\":2000,\"marks\":1}}\n"));
    assert_eq!(first.lines().count(), 1 + 7 + 2_000 + 1 + 1);
    assert!(refusal(&tool(&data, &["import", "--input", "/dev/null"])).contains("not empty"));

    let file = data.join("export.ndjson");
    let name = file.to_str().expect("text");
    let saved = tool(&data, &["export", "--output", name]);
    assert!(String::from_utf8_lossy(&saved.stderr).contains("exported 7 channels"), "{saved:?}");
    assert!(out(&saved).is_empty());
    assert_eq!(fs::read_to_string(&file).unwrap(), first);
    assert!(!data.join("export.ndjson.partial").exists());

    fs::remove_dir_all(data.join("store")).unwrap();
    let import = tool(&data, &["import", "--input", name]);
    assert!(String::from_utf8_lossy(&import.stderr).contains("imported 7 channels"), "{import:?}");
    assert!(out(&import).is_empty());
    assert!(out(&tool(&data, &["compact"])).is_empty());
    assert_eq!(export(&data), first);
    assert_eq!(stores(&data), ["store"]);
    broker.restart();
    assert_eq!(all(&broker), before);
    let again = Request::post("/publish/c/4", "1999").header("Idempotency-Key", "last");
    assert_eq!(broker.exchange(&again).json()["repeat"], true);
}

#[test]
fn a_store_is_compacted_after_a_kill_and_only_shrinks() {
    let broker = Broker::with("[[channels]]\npattern = \"/**\"\nbacklog = { messages = 100 }\n");
    for round in 0..40 {
        let text = "x".repeat(1_000);
        let line = |n: u32| format!("{{\"channel\":\"/c/{n}\",\"data\":\"{round}{text}\"}}\n");
        let lines: String = (0..500).map(|n| line(n % 3)).collect();
        let request = Request::post("/publish?durable=1", lines)
            .header("Content-Type", "application/x-ndjson");
        assert_eq!(broker.exchange(&request).status, 200);
    }
    broker.kill();
    let data = broker.data();
    let before = export(&data);
    let compact = tool(&data, &["compact"]);
    assert!(compact.status.success(), "{compact:?}");
    assert_eq!(export(&data), before);
    let words = String::from_utf8(compact.stderr).unwrap();
    let numbers: Vec<u64> = words.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [.., after, before] = numbers[..] else { panic!("{words}") };
    assert!(after < before, "{words}");
    out(&tool(&data, &["check"]));
    broker.restart();
    assert_eq!(kept(&broker, "/c/1").len(), 100);
}

#[test]
fn channels_whose_messages_have_expired_are_kept_with_floor_and_head() {
    let broker = Broker::with("[[channels]]\npattern = \"/old\"\nbacklog = { age = \"1s\" }\n");
    let old = publish_durably(&broker, "/old", 1);
    until("its end", PATIENCE, || {
        publish(&broker, "/other", 1);
        kept(&broker, "/old").is_empty().then_some(())
    });
    assert_eq!(broker.terminate(), Some(0));
    let data = broker.data();
    // What is exported may be a record that the next trim takes; without it the channel is empty.
    let lines = export(&data);
    let record = lines.lines().find(|line| line.contains(r#"{"record":{"channel":"/old""#));
    let mut emptied = lines.clone();
    if let Some(record) = record {
        let head = format!(r#"{{"channel":{{"name":"/old","floor":{},"head":{old}}}}}"#, 0);
        let expired = format!(r#"{{"channel":{{"name":"/old","floor":{old},"head":{old}}}}}"#);
        assert!(lines.contains(&head), "{lines}");
        let count = |records: usize| format!(r#""records":{records},"#);
        let records = lines.matches("{\"record\":").count();
        emptied = lines.replace(&format!("{record}\n"), "").replace(&head, &expired);
        emptied = emptied.replace(&count(records), &count(records - 1));
    }
    fs::remove_dir_all(data.join("store")).unwrap();
    let import = fed(&data, &["import"], emptied.as_bytes());
    assert!(import.status.success(), "{import:?}");
    for _ in 0..2 {
        assert!(tool(&data, &["compact"]).status.success());
        assert_eq!(export(&data), emptied);
    }
    out(&tool(&data, &["check"]));
    broker.restart();
    let page = history(&broker, "/old", &format!("?since={}", old - 1));
    assert_eq!(page["gap"], json!([{"channel": "/old", "from": old - 1, "to": old}]));
    // The floor of one channel is not that of all.
    let page = history(&broker, "/never", &format!("?since={}", old - 1));
    assert!(page.get("gap").is_none(), "{page}");
    assert!(publish(&broker, "/old", 2) > old);
}

#[test]
fn no_bound_of_the_configuration_drops_channels_in_the_tool() {
    let broker = Broker::start();
    fill(&broker);
    assert_eq!(broker.terminate(), Some(0));
    let data = broker.data();
    let before = export(&data);
    let narrow = data.join("narrow.toml");
    fs::write(&narrow, "[store]\nchannels = 2\nbytes = \"1MiB\"\n").unwrap();
    let config = narrow.to_str().expect("text");
    assert!(tool(&data, &["compact", "--config", config]).status.success());
    fs::remove_dir_all(data.join("store")).unwrap();
    let import = fed(&data, &["import", "--config", config], before.as_bytes());
    assert!(import.status.success(), "{import:?}");
    assert_eq!(export(&data), before);
}

#[test]
fn a_store_that_was_set_aside_is_put_back() {
    let broker = Broker::start();
    fill(&broker);
    let before = all(&broker);
    assert_eq!(broker.terminate(), Some(0));
    let data = broker.data();
    let (store, old) = (data.join("store"), data.join("store.old"));
    for arguments in [&["check"] as &[&str], &["export"], &["compact"]] {
        fs::rename(&store, &old).unwrap();
        let output = tool(&data, arguments);
        assert!(output.status.success(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"), "{output:?}");
        assert_eq!(stores(&data), ["store"]);
    }
    fs::rename(&store, &old).unwrap();
    assert!(refusal_after_note(&tool(&data, &["import"])).contains("not empty"));
    fs::rename(&store, &old).unwrap();
    broker.restart();
    assert_eq!(all(&broker), before);
    assert!(broker.log().contains("interrupted"), "{}", broker.log());
}

fn refusal_after_note(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines().next_back().unwrap_or_default().to_owned()
}

#[test]
fn what_an_interrupted_run_left_is_removed_and_nothing_is_left_by_one_that_fails() {
    let broker = Broker::start();
    fill(&broker);
    assert_eq!(broker.terminate(), Some(0));
    let data = broker.data();
    let before = export(&data);
    fs::create_dir(data.join("store.new")).unwrap();
    fs::write(data.join("store.new/db"), "half of it").unwrap();
    assert!(tool(&data, &["compact"]).status.success());
    assert_eq!(stores(&data), ["store"]);
    // No space: nothing is changed, nothing is left.
    let hungry = data.join("hungry.toml");
    fs::write(&hungry, "[store]\nreserve = \"1000000GiB\"\n").unwrap();
    let config = hungry.to_str().expect("text");
    let refused = refusal(&tool(&data, &["compact", "--config", config]));
    assert!(refused.contains("too little space"), "{refused}");
    assert_eq!(stores(&data), ["store"]);
    assert_eq!(export(&data), before);
    fs::remove_dir_all(data.join("store")).unwrap();
    let refused = refusal(&fed(&data, &["import", "--config", config], before.as_bytes()));
    assert!(refused.contains("too little space"), "{refused}");
    assert!(stores(&data).is_empty());
    // A failed export leaves no file.
    let file = data.join("export.ndjson");
    refusal(&tool(&data, &["export", "--output", file.to_str().expect("text")]));
    assert!(!file.exists() && !data.join("export.ndjson.partial").exists());
}

#[test]
fn a_tool_that_is_killed_leaves_the_store_as_it_was() {
    let broker = Broker::start();
    fill(&broker);
    assert_eq!(broker.terminate(), Some(0));
    let data = broker.data();
    let before = export(&data);
    for part in ["", "conf", "db"] {
        let mut command = Command::new(binary());
        command.args(["store", "compact", "--data"]).arg(&data).stderr(Stdio::null());
        let mut child = command.spawn().expect("the tool runs");
        until("a part of the new store, or the end", PATIENCE, || {
            let ended = child.try_wait().expect("a child").is_some();
            (ended || data.join("store.new").join(part).exists()).then_some(())
        });
        let _ = child.kill();
        child.wait().expect("a child");
        assert_eq!(export(&data), before, "{part}");
    }
    assert!(tool(&data, &["compact"]).status.success());
    assert_eq!(stores(&data), ["store"]);
    assert_eq!(export(&data), before);
}

#[test]
fn an_import_takes_only_what_a_broker_wrote() {
    let broker = Broker::start();
    fill(&broker);
    assert_eq!(broker.terminate(), Some(0));
    let good = export(&broker.data());
    let data = broker.data().join("other");
    let lines: Vec<&str> = good.lines().collect();
    let parts = |from: usize, to: usize| lines[from..to].join("\n");
    let end = lines.len() - 1;
    let at =
        |line: &str| serde_json::from_str::<Value>(line).unwrap()["record"]["position"].clone();
    let position = at(lines[2]).to_string();
    let swapped = [&lines[..2], &[lines[3], lines[2]], &lines[4..]].concat().join("\n");
    let replaced = |from: &str, to: &str| good.replacen(from, to, 1);
    for (text, expected) in [
        (String::new(), "the end is missing"),
        (parts(0, end), "the end is missing"),
        (good[..good.len() / 2].to_owned(), "line 1"),
        (parts(1, end), "line 1: this is no export"),
        ([&parts(0, 5), &parts(6, end + 1)].map(String::as_str).join("\n"), "the end tells of"),
        (swapped, "line 4: /c/0: position"),
        (replaced("\"format\":1", "\"format\":2,\"more\":[]"), "line 1: the export has format 2"),
        (replaced("\"name\":\"/c/0\"", "\"name\":\"c\""), "line 2: c: not a valid channel name"),
        (replaced(&position, "0"), "line 3: /c/0: position 0: 0 is no position"),
        (replaced(&position, "9007199254740992"), "line 3: /c/0: position 9007199254740992"),
        (replaced(",\"data\":0}", "}"), "line 3: /c/0: position"),
        (replaced("{\"channel\":\"/c/0\",\"data", "{\"channel\":\"/c/1\",\"data"), "no event"),
        (replaced("\"time_us\":", "\"time_us\":-"), "no time"),
        (replaced("{\"record\"", "{\"recrod\""), "line 3: unknown variant `recrod`"),
        (replaced("\"key\":\"", "\"key\":\"x"), "hexadecimal"),
        (format!("{good}{{\"end\":{{}}}}"), "missing field"),
        (format!("{good}{}", lines[0]), "does not belong here"),
    ] {
        let refused = refusal(&fed(&data, &["import"], text.as_bytes()));
        assert!(refused.contains(expected), "{expected}: {refused}");
        assert!(refused.contains("standard input: "), "{refused}");
        assert!(!data.exists() || stores(&data).is_empty(), "nothing is left");
    }
    let long = [parts(0, 2).as_bytes(), b"\n", &vec![b' '; (64 << 20) + 1]].concat();
    let refused = refusal(&fed(&data, &["import"], &long));
    assert!(refused.contains("line 3: longer than 64 MiB"), "{refused}");
    // Empty lines are nothing, and a store without channels may be filled.
    let spaced = good.replace('\n', "\r\n\n");
    let empty = "{\"store\":{\"format\":1,\"floor\":7}}\n{\"end\":{\"channels\":0,\"records\":0,\"marks\":0}}\n";
    assert!(fed(&data, &["import"], empty.as_bytes()).status.success());
    assert_eq!(export(&data), empty);
    assert!(fed(&data, &["import"], spaced.as_bytes()).status.success());
    assert_eq!(export(&data), good.replacen("\"floor\":0", "\"floor\":7", 1));
    assert_eq!(stores(&data), ["store"]);
}

#[test]
fn a_missing_store_and_one_in_use_are_refused() {
    let broker = Broker::start();
    publish_durably(&broker, "/a", 1);
    let data = broker.data();
    for arguments in [&["check"] as &[&str], &["export"], &["import"], &["compact"]] {
        let refused = refusal(&tool(&data, arguments));
        assert!(refused.contains("the store is in use: stop the broker first"), "{refused}");
    }
    publish_durably(&broker, "/a", 2);
    assert_eq!(broker.terminate(), Some(0));
    for arguments in [&["check"] as &[&str], &["export"], &["compact"]] {
        let nowhere = data.join("nowhere");
        assert!(refusal(&tool(&nowhere, arguments)).contains("there is no store"));
        assert!(!nowhere.exists());
    }
    let missing = refusal(&tool(&data.join("nowhere"), &["import", "--input", "/no/such/file"]));
    assert!(missing.contains("/no/such/file: No such file"), "{missing}");
}

#[test]
fn damage_is_told_and_ends_nothing_else() {
    let broker = Broker::start();
    fill(&broker);
    assert_eq!(broker.terminate(), Some(0));
    let data = broker.data();
    let file = data.join("store/db");
    let whole = fs::read(&file).unwrap();
    let mut told = 0;
    for round in 0..24_usize {
        let mut bytes = whole.clone();
        let at = round * 99_991 % bytes.len();
        let end = (at + 300).min(bytes.len());
        bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5a);
        fs::write(&file, &bytes).unwrap();
        let check = tool(&data, &["check"]);
        let text = String::from_utf8_lossy(&check.stderr).into_owned();
        // The database may say more than we do, but it does not end the tool.
        assert!(!text.contains("panicked"), "{text}");
        assert!(matches!(check.status.code(), Some(0 | 1)), "{check:?}");
        assert_eq!(check.status.success(), !text.contains("weft: "), "{text}");
        told += usize::from(!check.status.success());
    }
    assert!(told > 0, "some of it was noticed");
}

#[test]
fn every_command_of_the_document_runs_as_written() {
    let broker = Broker::start();
    fill(&broker);
    assert_eq!(broker.terminate(), Some(0));
    let place = broker.data().parent().expect("a parent").to_owned();
    fs::rename(broker.data(), place.join("weft-data")).unwrap();
    let text = fs::read_to_string(workspace().join("docs/store-tool.md")).unwrap();
    let pieces = text.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let script: String = pieces.collect();
    assert_eq!(script.matches("weft store").count(), 5);
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", binary().parent().unwrap().display());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &script]).current_dir(&place).env("PATH", path);
    let output = shell.output().expect("a shell");
    assert!(output.status.success(), "{output:?}");
    let saved = fs::read_to_string(place.join("backup.ndjson")).unwrap();
    assert_eq!(export(&place.join("new-data")), saved);
    assert_eq!(export(&place.join("weft-data")), saved);
}
