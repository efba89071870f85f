//! What must not grow, counted in instructions, which do not depend on what else a machine does.
//!
//! `cargo bench -p weft-broker --bench instructions` counts, prints each figure beside the one in
//! `instructions.txt`, and fails where one has grown by more than the tolerance. With `-- --save` it
//! writes the file instead. It needs valgrind, which runs this very program once for each count.
//!
//! A count is of one and the same work each time, but for seeds of hash tables; so it holds on any
//! machine that has the same compiler. It says nothing of caches and locks: for these look at the
//! times of the other benchmarks.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use common::{ALL, DATA, Rig, name};
use weft_broker::core::frame::Frame;
use weft_broker::core::queue::Queue;
use weft_protocol::{Array, Body, DecodeLimits, event};

/// How much more than in the file is too much.
const TOLERANCE: f64 = 0.05;

const CHANNEL: &str = "/stock/us/weft";

/// Some work, and for how many units it counts.
type Work = (usize, Box<dyn FnMut()>);
/// Prepares some.
type Prepare = fn() -> Work;

/// All that is counted: what it is called, and how to prepare it.
const COUNTS: [(&str, Prepare); 9] = [
    ("decode, per message", decode),
    ("decode, per message of a hundred", decode_many),
    ("encode, per event", encode),
    ("queue, per message in and out", queue),
    ("route, per look among 10,000 channels", route),
    ("publish, per message to nobody", publish),
    ("fan out, per session", fan_out),
    ("poll, per connect held and answered", poll),
    ("socket, per delivery", socket),
];

fn decode() -> Work {
    decode_some(1)
}

fn decode_many() -> Work {
    decode_some(100)
}

fn decode_some(n: usize) -> Work {
    let one = format!(r#"{{"channel":"{CHANNEL}","clientId":"c","id":"17","data":{DATA}}}"#);
    let (text, limits) = (format!("[{}]", vec![one; n].join(",")), DecodeLimits::default());
    (n, Box::new(move || drop(Body::text(&text).messages(&limits).expect("messages"))))
}

fn encode() -> Work {
    let text = event(name(CHANNEL), DATA, None);
    let work = move || {
        let mut array = Array::with_capacity(100 * (text.len() + 1));
        (0..100).for_each(|_| array.push_text(&text));
        drop(array.finish());
    };
    (100, Box::new(work))
}

fn queue() -> Work {
    let text = event(name(CHANNEL), DATA, None).into();
    let frame = Frame::new(text, CHANNEL.len(), 1, 1, &Default::default());
    let mut queue = Queue::default();
    let work = move || {
        (0..100).for_each(|_| queue.push(frame.clone(), true));
        drop(queue.take(ALL));
        queue.unsend();
        queue.drop_all();
    };
    (100, Box::new(work))
}

fn route() -> Work {
    let rig = Rig::keeping(0);
    let names: Vec<_> = (0..10_000).map(|n| format!("/stock/{}/share{n}", n % 100)).collect();
    let _session = rig.session(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let work = move || {
        let mut some = names.iter().step_by(100);
        assert!(some.all(|text| rig.broker.has_subscribers(name(text), "/")));
    };
    (100, Box::new(work))
}

fn publish() -> Work {
    let rig = Rig::keeping(1_000);
    // Else there are no tables to look into.
    let _session = rig.session(&["/stock/us/other", "/stock/uk/*", "/bond/**"]);
    let work = move || {
        for _ in 0..100 {
            rig.publish(CHANNEL);
        }
    };
    (100, Box::new(work))
}

fn fan_out() -> Work {
    let rig = Rig::keeping(0);
    let sessions = rig.sessions(1_000, &[CHANNEL]);
    let work = move || {
        rig.publish(CHANNEL);
    };
    (sessions.len(), Box::new(work))
}

fn poll() -> Work {
    let rig = Rig::keeping(1_000);
    let polls: Vec<_> = (0..100).map(|_| rig.poller(&[CHANNEL])).collect();
    let mut turn = 0;
    let work = move || {
        turn = 1 - turn;
        let mut held: Vec<_> = polls.iter().map(|poll| rig.connect(&poll[turn])).collect();
        held.iter_mut().for_each(|held| assert!(held.poll().is_none()));
        rig.publish(CHANNEL);
        held.iter_mut().for_each(|held| drop(held.poll().expect("an answer")));
    };
    (100, Box::new(work))
}

fn socket() -> Work {
    let rig = Rig::keeping(1_000);
    let sessions = rig.sessions(100, &[CHANNEL]);
    let mut sockets: Vec<_> = sessions.iter().map(|session| rig.socket(session)).collect();
    (100, Box::new(move || rig.publish_to(CHANNEL, &mut sockets)))
}

/// Valgrind counts what happens in here.
#[inline(never)]
fn counted(work: &mut dyn FnMut()) {
    work();
}

/// Runs one piece of work, after some runs that are not counted.
fn run(wanted: &str) {
    let (_, prepare) = COUNTS.iter().find(|(name, _)| *name == wanted).expect("a name");
    let (_, mut work) = prepare();
    (0..10).for_each(|_| work());
    counted(&mut work);
}

/// How many instructions a unit of some work takes.
fn count(name: &str, units: usize) -> f64 {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("instructions.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*::counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe().expect("a path"))
        .args(["--run", name])
        .output()
        .expect("valgrind: apt-get install valgrind");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = std::fs::read_to_string(&out).expect("what valgrind has counted");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total: f64 = total.and_then(|total| total.parse().ok()).expect("a number");
    total / units as f64
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("--run", [name, ..])) = arguments.split_first().map(|(a, b)| (a.as_str(), b)) {
        run(name);
        return ExitCode::SUCCESS;
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let known = std::fs::read_to_string(&file).unwrap_or_default();
    let known: BTreeMap<&str, f64> = known
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(count, name)| Some((name.trim(), count.parse().ok()?)))
        .collect();
    let (mut text, mut grown) = (String::new(), false);
    for (name, prepare) in COUNTS {
        let now = count(name, prepare().0);
        let before = known.get(name).copied().unwrap_or(0.0);
        let change = now / before - 1.0;
        grown |= change > TOLERANCE;
        println!("{now:>8.0}  {:>+6.1} %  {name}", change * 100.0);
        text.push_str(&format!("{now:<8.0} {name}\n"));
    }
    if arguments.iter().any(|argument| argument == "--save") {
        std::fs::write(&file, text).expect("a file to write");
        return ExitCode::SUCCESS;
    }
    if grown {
        eprintln!("more than {}, by over {} %", file.display(), TOLERANCE * 100.0);
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
