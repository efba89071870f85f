//! What becomes of the store when the disk or its files fail, and what is said about it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;
use weft_persistence::{Backlog, Record, Sled, SledOptions};
use weft_tests::api::{history, kept, position, post, publish, publish_durably, publish_lines};
use weft_tests::broker::{Broker, Setup, binary};
use weft_tests::http::Request;
use weft_tests::wait::{PATIENCE, until};

fn store_tool(data: &Path, action: &str) -> Output {
    let mut command = Command::new(binary());
    command.args(["store", action, "--data"]).arg(data);
    command.output().expect("the tool runs")
}

fn aside(broker: &Broker, prefix: &str) -> Vec<String> {
    let names = fs::read_dir(broker.data()).expect("a directory").flatten();
    let names = names.map(|entry| entry.file_name().into_string().expect("text"));
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// A store outside of any broker.
fn open(data: &Path) -> Sled {
    let options = SledOptions {
        cache_bytes: 8 << 20,
        budget_bytes: 1 << 30,
        channels: 1_000,
        reserve_bytes: 0,
        ballast_bytes: 0,
        shared_floor: 0,
    };
    Sled::open(&data.join("store"), options).expect("a store").backlog
}

#[test]
fn a_damaged_store_is_moved_aside_and_the_broker_starts() {
    let broker = Broker::start();
    let before = publish_durably(&broker, "/a", 1);
    assert_eq!(broker.terminate(), Some(0));
    let file = broker.data().join("store/db");
    let mut bytes = fs::read(&file).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&file, bytes).unwrap();
    assert!(!store_tool(&broker.data(), "check").status.success());
    broker.restart();
    assert!(broker.log().contains("moved aside"), "{}", broker.log());
    assert_eq!(aside(&broker, "store.corrupt-").len(), 1);
    assert_eq!(broker.metric("weft_store_moved_aside_total"), 1.0);
    let page = history(&broker, "/a", &format!("?since={before}"));
    assert_eq!(page["messages"], json!([]));
    assert!(publish(&broker, "/a", 2) > before);
    let page = history(&broker, "/a", &format!("?since={}", before - 1));
    assert_eq!(page["gap"][0]["channel"], "/a", "what was there is told to be missing: {page}");
    assert_eq!(kept(&broker, "/a"), [json!(2)]);
}

/// A small file system in memory, unmounted at the end.
struct Disk(PathBuf);

impl Disk {
    /// Where no file system may be mounted, `WEFT_NO_MOUNT=1` says that it is known.
    fn mount(name: &str) -> Option<Self> {
        let name = format!("weft-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"])
            .arg(&path)
            .output()
            .is_ok_and(|output| output.status.success());
        let excused = std::env::var_os("WEFT_NO_MOUNT").is_some();
        assert!(mounted || excused, "no small file system can be mounted: run as root");
        mounted.then_some(Self(path))
    }
}

impl Disk {
    /// A broker whose data is here.
    fn broker(&self, toml: &str) -> Broker {
        let mut setup = Setup::default().toml(toml).without_flags();
        let data = self.0.to_str().expect("text");
        for argument in ["--data", data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"] {
            setup = setup.arg(argument);
        }
        setup.start()
    }

    /// Takes up all the space there is, but for so many bytes.
    fn fill(&self, left: u64) -> PathBuf {
        let filler = self.0.join("filler");
        let _ = fs::write(&filler, vec![0; 32 << 20]);
        let file = fs::OpenOptions::new().write(true).open(&filler).expect("a file");
        let size = file.metadata().expect("a file").len();
        file.set_len(size.saturating_sub(left)).expect("less");
        filler
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_full_disk_refuses_what_is_durable_keeps_the_rest_and_recovers() {
    let Some(disk) = Disk::mount("full") else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let broker = disk.broker("[store]\nreserve = \"4MiB\"\nballast = \"1MiB\"\ncache = \"4MiB\"\n");
    publish_durably(&broker, "/a", 1);
    let filler = disk.fill(1 << 20);
    let refused = until("a refusal", PATIENCE, || {
        let response = post(&broker, "/a", "?durable=1", &json!(2));
        (response.status == 503).then_some(response)
    });
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!(post(&broker, "/a", "?durable=1", &json!(3)).status, 503);
    let before = kept(&broker, "/a").len();
    publish(&broker, "/a", 4);
    assert_eq!(kept(&broker, "/a").len(), before + 1, "the rest goes on in memory");
    let ready = broker.admin_get("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("store"), "{}", ready.text());
    assert_eq!(broker.metric("weft_store_up"), 0.0);
    fs::remove_file(&filler).unwrap();
    broker.wait_metric("weft_store_up", |up| up == 1.0);
    assert_eq!(broker.admin_get("/readyz").status, 200);
    publish_durably(&broker, "/a", 5);
    let all = kept(&broker, "/a");
    assert_eq!(all.last(), Some(&json!(5)));
    broker.kill();
    let export = String::from_utf8(store_tool(&disk.0, "export").stdout).unwrap();
    for data in &all {
        let text = format!("\"data\":{data}}}");
        assert!(export.contains(&text), "what memory kept was written when space returned: {text}");
    }
}

#[test]
fn p3_what_a_full_disk_took_is_no_repeat_and_hides_nothing_that_is_on_disk() {
    let Some(disk) = Disk::mount("took") else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let broker = disk.broker("[store]\nreserve = \"4MiB\"\nballast = \"1MiB\"\ncache = \"4MiB\"\n");
    publish_durably(&broker, "/a", "first");
    let filler = disk.fill(1 << 20);
    broker.wait_metric("weft_store_up", |up| up == 0.0);
    let keyed = |query: &str| {
        let path = format!("/publish/a{query}");
        broker.exchange(&Request::post(&path, "\"keyed\"").header("Idempotency-Key", "k"))
    };
    let taken = position(&keyed(""));
    // More than memory keeps for a disk that is full, so the oldest of it is given up.
    let others = json!(vec![json!({"channel": "/other", "data": 0}); 1_000]);
    let others = Request::post("/publish", others.to_string());
    let mut connection = broker.connect();
    for _ in 0..101 {
        assert_eq!(connection.exchange(&others).status, 200);
    }
    fs::remove_file(filler).unwrap();
    broker.wait_metric("weft_store_up", |up| up == 1.0);
    let again = keyed("");
    assert_eq!((position(&again), &again.json()["repeat"]), (taken, &json!(true)));
    let again = keyed("?durable=1");
    assert_eq!(again.json()["durable"], true, "{}", again.text());
    assert!(position(&again) > taken && again.json().get("repeat").is_none(), "{}", again.text());
    let all = kept(&broker, "/a");
    assert_eq!((&all[0], all.last()), (&json!("first"), Some(&json!("keyed"))));
    let page = history(&broker, "/a", &format!("?since={}", taken - 1));
    assert_eq!(page["gap"][0]["to"], taken, "{page}");
}

#[test]
fn a_store_on_a_full_disk_can_be_opened_again_and_says_so_before_anything_is_written() {
    let Some(disk) = Disk::mount("again") else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let broker = disk.broker("[store]\nreserve = \"4MiB\"\nballast = \"2MiB\"\ncache = \"4MiB\"\n");
    publish_lines(&broker, "/a", 1..=2_000);
    let before = kept(&broker, "/a");
    let ballast = disk.0.join("store.ballast");
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 2 << 20);
    // With nothing published, somebody looks all the same.
    let filler = disk.fill(1 << 20);
    broker.wait_metric("weft_store_up", |up| up == 0.0);
    assert_eq!(broker.admin_get("/readyz").status, 503);
    broker.kill();
    fs::remove_file(filler).unwrap();
    let filler = disk.fill(0);
    let broker = disk.broker("[store]\nreserve = \"4MiB\"\nballast = \"2MiB\"\ncache = \"4MiB\"\n");
    let ready = broker.admin_get("/readyz");
    assert_eq!((ready.status, ready.text().contains("no space")), (503, true), "{}", ready.text());
    assert_eq!(kept(&broker, "/a"), before);
    assert_eq!(post(&broker, "/a", "?durable=1", &json!(0)).status, 503);
    fs::remove_file(filler).unwrap();
    broker.wait_metric("weft_store_up", |up| up == 1.0);
    publish_durably(&broker, "/a", 2);
    assert_eq!(fs::metadata(&ballast).unwrap().len(), 2 << 20, "it is there for the next time");
    assert_eq!(broker.metric("weft_store_moved_aside_total"), 0.0);
}

#[test]
fn a_store_that_is_found_damaged_while_it_runs_is_moved_aside_and_told() {
    let Some(disk) = Disk::mount("aside") else {
        println!("skipped: no file system may be mounted here");
        return;
    };
    let toml = "[store]\nreserve = \"0B\"\nballast = \"0B\"\ncache = \"4MiB\"\n\
                [[channels]]\npattern = \"/**\"\ndurability = \"sync\"\n";
    let broker = disk.broker(toml);
    let before = publish_durably(&broker, "/a", 1);
    let last = publish_durably(&broker, "/a", 2);
    let filler = disk.fill(0);
    until("a refusal", PATIENCE, || {
        let response = post(&broker, "/b", "?durable=1", &json!("x".repeat(100_000)));
        (response.status == 503).then_some(())
    });
    // In place, where there is no space.
    let file = fs::OpenOptions::new().write(true).open(disk.0.join("store/db")).unwrap();
    file.write_all_at(&[0x55; 1_000], 0).unwrap();
    fs::remove_file(filler).unwrap();
    broker.wait_metric("weft_store_up", |up| up == 1.0);
    assert_eq!(broker.metric("weft_store_moved_aside_total"), 1.0);
    assert!(broker.log().contains("store.corrupt-"), "{}", broker.log());
    let page = history(&broker, "/a", &format!("?since={before}"));
    assert!(page["gap"][0]["to"].as_i64() >= Some(last), "no silent gap: {page}");
    assert!(publish_durably(&broker, "/a", 3) > last);
}

#[test]
fn an_end_that_is_missing_after_a_clean_stop_is_told_on_every_channel() {
    let broker = Broker::with("[[channels]]\npattern = \"/**\"\ndurability = \"sync\"\n");
    let first = publish_durably(&broker, "/early", 1);
    for n in 0..40 {
        publish_durably(&broker, "/a", "x".repeat(100_000 + n));
    }
    let last = publish_durably(&broker, "/a", 2);
    assert_eq!(broker.terminate(), Some(0));
    let file = fs::OpenOptions::new().write(true).open(broker.data().join("store/db")).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(1 << 20)).unwrap();
    broker.restart();
    let lost = broker.metric("weft_store_ends_lost_total");
    assert_eq!(lost + broker.metric("weft_store_moved_aside_total"), 1.0, "{}", broker.log());
    for channel in ["/a", "/early"] {
        let page = history(&broker, channel, &format!("?since={first}"));
        assert!(page["gap"][0]["to"].as_i64() >= Some(last), "{channel}: {page}");
    }
    let next = publish_durably(&broker, "/a", 3);
    assert!(next > last);
    assert_eq!(broker.terminate(), Some(0));
    broker.restart();
    assert_eq!(broker.metric("weft_store_ends_lost_total"), 0.0, "it is said once");
    let page = history(&broker, "/a", &format!("?since={}", next - 1));
    assert_eq!((&page["gap"], &page["messages"][0]["data"]), (&json!(null), &json!(3)));
}

#[test]
fn a_store_that_vanished_is_told() {
    for stop in [true, false] {
        let broker = Broker::with("[[channels]]\npattern = \"/**\"\ndurability = \"sync\"\n");
        let first = publish_durably(&broker, "/a", 1);
        let last = publish_durably(&broker, "/a", 2);
        if stop {
            assert_eq!(broker.terminate(), Some(0));
        } else {
            broker.kill();
        }
        fs::write(broker.data().join("store/db"), "").unwrap();
        broker.restart();
        assert_eq!(aside(&broker, "store.corrupt-").len(), 1);
        assert_eq!(broker.metric("weft_store_moved_aside_total"), 1.0);
        let page = history(&broker, "/a", &format!("?since={first}"));
        assert!(page["gap"][0]["to"].as_i64() >= Some(last), "{page}");
    }
}

#[test]
fn a_damaged_file_of_positions_is_moved_aside_and_named() {
    let broker = Broker::start();
    let before = publish_durably(&broker, "/a", 1);
    assert_eq!(broker.terminate(), Some(0));
    fs::write(broker.data().join("positions"), "?").unwrap();
    broker.restart();
    let aside = aside(&broker, "positions.corrupt-");
    assert!(broker.log().contains(&aside[0]), "{}", broker.log());
    assert!(publish_durably(&broker, "/a", 2) > before);
}

#[test]
fn a_newer_format_is_refused_with_a_clear_text_and_left_alone() {
    let broker = Broker::start();
    publish_durably(&broker, "/a", 1);
    assert_eq!(broker.terminate(), Some(0));
    let row = [&0xFFFF_FFF3_u32.to_be_bytes()[..], b"format"].concat();
    {
        let db = sled::open(broker.data().join("store")).unwrap();
        assert_eq!(db.get(&row).unwrap().unwrap(), 2_u32.to_be_bytes(), "the row is this one");
        db.insert(row, &3_u32.to_be_bytes()[..]).unwrap();
        db.flush().unwrap();
    }
    let data = broker.data().display().to_string();
    for action in ["serve", "store check"] {
        let mut command = Command::new(binary());
        command.args(action.split(' ')).args(["--data", &data]);
        if action == "serve" {
            command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
        }
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let (newer, format) = (text.contains("newer"), text.contains("format"));
        assert!(newer && format && text.contains("3, known is 2"), "{action}: {text}");
        assert!(output.status.code().is_some_and(|code| code != 0), "{action}: {output:?}");
    }
    assert!(broker.data().join("store/db").exists());
    assert_eq!(aside(&broker, "store.corrupt-"), [""; 0]);
}

#[test]
fn a_store_from_elsewhere_may_be_ahead_of_the_clock() {
    let broker = Broker::start();
    assert_eq!(broker.terminate(), Some(0));
    let head = 5_000_000_000_000_000;
    let store = open(&broker.data());
    let value = r#"{"channel":"/a","data":1}"#.into();
    let record = Record { channel: "/a".into(), position: head, time_us: 1, value, mark: None };
    store.append(&[record]).unwrap();
    store.close().unwrap();
    drop(store);
    broker.restart();
    let response = post(&broker, "/a", "?durable=1", &json!(2));
    assert!(position(&response) > head, "{}", response.text());
    let other = publish_durably(&broker, "/b", 3);
    broker.kill();
    broker.restart();
    assert!(publish_durably(&broker, "/b", 4) > other);
}

#[test]
fn the_last_message_outlives_its_age_also_on_disk() {
    let rule = |pattern: &str, last: bool| {
        format!(
            "[[channels]]\npattern = \"{pattern}\"\nretain_last = {last}\n\
             backlog = {{ age = \"1s\" }}\n"
        )
    };
    let broker = Broker::with(&(rule("/last/**", true) + &rule("/**", false)));
    for n in 1..=3 {
        publish_durably(&broker, "/last/a", n);
    }
    publish_durably(&broker, "/other", 4);
    assert_eq!(broker.terminate(), Some(0));
    broker.restart();
    until("the other one is too old", PATIENCE, || {
        kept(&broker, "/other").is_empty().then_some(())
    });
    assert_eq!(kept(&broker, "/last/a"), [json!(3)]);
    broker.kill();
    broker.restart();
    assert_eq!(kept(&broker, "/last/a"), [json!(3)]);
}
