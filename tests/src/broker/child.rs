//! The process, its addresses and its directory.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::{Failure, Setup};
use crate::wait::{PATIENCE, until};

#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses {
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) addresses: Addresses,
    pub(super) log: Arc<Mutex<String>>,
}

impl Process {
    pub(super) fn start(
        setup: &Setup,
        directory: &Path,
        at: Option<Addresses>,
    ) -> Result<Self, Failure> {
        let mut child = command(setup, directory, at)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; is it built?", binary().display()));
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, receiver) = sync_channel(1);
        let stderr = child.stderr.take().expect("stderr");
        let copy = Arc::clone(&log);
        let reader = std::thread::spawn(move || read_log(stderr, &copy, &sender));
        match receiver.recv_timeout(PATIENCE) {
            Ok(addresses) => Ok(Self { child, addresses, log }),
            Err(_) => {
                let _ = child.kill();
                let code = child.wait().ok().and_then(|status| status.code());
                let _ = reader.join();
                let log = log.lock().clone();
                Err(Failure { code, log })
            }
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("a process to signal");
    }

    pub(super) fn wait(&mut self, deadline: Duration) -> Option<i32> {
        let child = &mut self.child;
        until("the broker's end", deadline, || child.try_wait().expect("a child")).code()
    }

    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn read_log(stderr: ChildStderr, log: &Mutex<String>, sender: &SyncSender<Addresses>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if let Some(addresses) = listening(&line) {
            let _ = sender.try_send(addresses);
        }
        let _ = writeln!(log.lock(), "{line}");
    }
}

/// Reads the line `listening addr=… admin=…`, as text or as JSON.
fn listening(line: &str) -> Option<Addresses> {
    if !line.contains("listening") {
        return None;
    }
    let field = |name: &str| {
        let text = line.split_once(&format!(" {name}="));
        let (_, rest) = text.or_else(|| line.split_once(&format!("\"{name}\":\"")))?;
        rest.split([' ', '"']).next()?.parse().ok()
    };
    Some(Addresses { listen: field("addr")?, admin: field("admin")? })
}

fn command(setup: &Setup, directory: &Path, at: Option<Addresses>) -> Command {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        // All tests hold with the lean path and without.
        if name.to_string_lossy().starts_with("WEFT_") && name != "WEFT_HTTP_LEAN" {
            command.env_remove(name);
        }
    }
    let file = directory.join("weft.toml");
    std::fs::write(&file, &setup.toml).expect("a configuration file");
    command.current_dir(directory).arg("--config").arg(file);
    if !setup.without_flags {
        let free: SocketAddr = ([127, 0, 0, 1], 0).into();
        let Addresses { listen, admin } = at.unwrap_or(Addresses { listen: free, admin: free });
        command.args([format!("--listen={listen}"), format!("--admin={admin}")]);
        command.arg("--data").arg(directory.join("data"));
        // The demo publishes for whoever subscribes to `/**`.
        command.env("WEFT_DEMO_ENABLED", "false");
    }
    command.args(&setup.arguments).envs(setup.environment.iter().cloned());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// The binary under test: `WEFT_BIN`, or the workspace's release build.
#[must_use]
pub fn binary() -> PathBuf {
    match std::env::var_os("WEFT_BIN") {
        Some(path) => path.into(),
        None => workspace().join("target/release/weft"),
    }
}

/// The top of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// A directory that goes when it is dropped.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weft-test-{}-{count}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a directory for the broker");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
