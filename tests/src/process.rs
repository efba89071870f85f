//! What the kernel says about the broker's process: memory, threads, processor time.

use std::time::Duration;

/// A number of kibibytes, or a plain one, from `/proc/PID/status`.
fn status(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).expect("a number")
}

/// Memory in use, in bytes.
#[must_use]
pub fn memory(pid: u32) -> u64 {
    status(pid, "VmRSS") * 1_024
}

/// The most memory it ever had in use, in bytes.
#[must_use]
pub fn peak_memory(pid: u32) -> u64 {
    status(pid, "VmHWM") * 1_024
}

/// How many threads it has.
#[must_use]
pub fn threads(pid: u32) -> u64 {
    status(pid, "Threads")
}

/// How many files and sockets it has open.
#[must_use]
pub fn open_files(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("a live process").count()
}

/// Processor time it has used, in the kernel's steps of 10 ms.
#[must_use]
pub fn processor_time(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a live process");
    let (_, fields) = text.rsplit_once(')').expect("a name in brackets");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

/// Lets this process, the tests', open as many sockets as the system allows it.
pub fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
