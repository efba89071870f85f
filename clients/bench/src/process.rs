//! What the kernel says about a process: processor time and memory.

use std::collections::BTreeMap;
use std::fs;

/// Nanoseconds of a thread.
#[derive(Debug, Clone, Copy, Default)]
struct Ran {
    ran: u64,
    /// For a processor, being ready to run.
    waited: u64,
}

/// A moment of some processes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    /// What each thread has had so far.
    threads: BTreeMap<(u32, u32), Ran>,
    /// The same of all, those that are gone included, in steps of 10 ms; in seconds.
    ticks: f64,
    /// Memory in use, in bytes.
    pub(crate) rss: u64,
    /// The most that ever was, in bytes.
    pub(crate) peak: u64,
}

impl Sample {
    /// # Errors
    /// A text, if one of them is not there or nothing may be known of it.
    pub(crate) fn of(pids: &[u32]) -> Result<Self, String> {
        let mut sample = Self::default();
        for &pid in pids {
            sample.add(pid).ok_or_else(|| format!("process {pid}: nothing is known of it"))?;
        }
        Ok(sample)
    }

    /// Of this very process.
    pub(crate) fn own() -> Self {
        Self::of(&[std::process::id()]).unwrap_or_default()
    }

    fn add(&mut self, pid: u32) -> Option<()> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (_, fields) = stat.rsplit_once(')')?;
        let ticks = fields.split_whitespace().skip(11).take(2);
        self.ticks += ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        self.rss += kibibytes(&status, "VmRSS:")? * 1024;
        self.peak += kibibytes(&status, "VmHWM:")? * 1024;
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
            let Ok(stat) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let mut fields = stat.split(' ').map(|text| text.parse().unwrap_or_default());
            let (Some(ran), Some(waited)) = (fields.next(), fields.next()) else { continue };
            if let Some(id) = task.file_name().to_str().and_then(|name| name.parse().ok()) {
                self.threads.insert((pid, id), Ran { ran, waited });
            }
        }
        Some(())
    }

    /// Processor time since an earlier sample, in seconds. It is exact while no thread ends, and good
    /// to 20 ms otherwise.
    pub(crate) fn cpu_since(&self, before: &Self) -> f64 {
        let exact = self.since(before, |thread| thread.ran);
        let ended = before.threads.keys().any(|id| !self.threads.contains_key(id));
        let unknown = self.threads.values().all(|thread| thread.ran == 0);
        if ended || unknown { exact.max(self.ticks - before.ticks) } else { exact }
    }

    /// How long its threads were ready to run and had no processor, since an earlier sample, in
    /// seconds: others had it.
    pub(crate) fn waited_since(&self, before: &Self) -> f64 {
        self.since(before, |thread| thread.waited)
    }

    /// What all threads have had of something since, in seconds.
    fn since(&self, before: &Self, of: impl Fn(&Ran) -> u64) -> f64 {
        let each = self
            .threads
            .iter()
            .map(|(id, now)| of(now).saturating_sub(before.threads.get(id).map_or(0, &of)));
        each.sum::<u64>() as f64 / 1e9
    }
}

fn kibibytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_time() {
        let before = Sample::own();
        assert!(before.rss > 100_000 && before.peak >= before.rss);
        let mut sum = 0_u64;
        while Sample::own().cpu_since(&before) < 0.02 {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(Sample::own().cpu_since(&before) < 10.0);
        assert!(Sample::of(&[u32::MAX]).is_err());
    }

    #[test]
    fn what_a_thread_that_ended_has_used_is_not_lost() {
        let sample = |threads: &[(u32, u64)], ticks| Sample {
            threads: threads.iter().map(|&(id, ran)| ((1, id), Ran { ran, waited: 1 })).collect(),
            ticks,
            ..Sample::default()
        };
        let before = sample(&[(1, 1_000_000_000), (2, 5_000_000_000)], 6.0);
        let both = sample(&[(1, 1_500_000_000), (2, 5_000_000_000), (3, 7)], 9.0);
        assert!((both.cpu_since(&before) - 0.500_000_007).abs() < 1e-9);
        let one = sample(&[(1, 1_500_000_000)], 9.0);
        assert!((one.cpu_since(&before) - 3.0).abs() < 1e-9);
    }
}
