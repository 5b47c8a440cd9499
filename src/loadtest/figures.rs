//! What processes take, by their ids: CPU and memory, as the kernel counts them.

use std::{fs, time::Duration};

use anyhow::{Context, bail};

/// The kernel counts CPU in hundredths of a second wherever this runs.
const TICKS_PER_SECOND: f64 = 100.0;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Memory {
    /// In RAM, shared pages included.
    pub(super) resident: u64,
    /// In RAM and nobody else's.
    pub(super) private: u64,
    /// The most that was ever in RAM.
    pub(super) peak: u64,
}

/// The server's processes: one, or several with what they share. None, if nobody said which they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Processes(pub(super) Vec<u32>);

impl Processes {
    /// User and system time that they have taken so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Option<Duration>> {
        self.sum(cpu, |all, one| all + one)
    }

    /// Their memory now.
    pub(super) fn memory(&self) -> anyhow::Result<Option<Memory>> {
        self.sum(memory, |all, one| Memory {
            resident: all.resident + one.resident,
            private: all.private + one.private,
            peak: all.peak + one.peak,
        })
    }

    /// Their bytes in RAM.
    pub(super) fn resident(&self) -> anyhow::Result<Option<u64>> {
        self.sum(resident, |all, one| all + one)
    }

    fn sum<T>(&self, of: fn(u32) -> anyhow::Result<T>, add: fn(T, T) -> T) -> anyhow::Result<Option<T>> {
        let figures = self.0.iter().map(|pid| of(*pid)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(figures.into_iter().reduce(add))
    }
}

/// User and system time that `pid` has taken so far.
pub(super) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).with_context(|| format!("process {pid}"))?;
    // Behind the name, which may hold anything, come the state and ten more fields before the two.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat is not what it was")?;
    let ticks: Vec<f64> = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    let [user, system] = ticks.as_slice() else { bail!("/proc/PID/stat is not what it was") };
    Ok(Duration::from_secs_f64((user + system) / TICKS_PER_SECOND))
}

/// Memory of `pid` now. Looking closely takes the kernel some time for a large process.
fn memory(pid: u32) -> anyhow::Result<Memory> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).with_context(|| format!("process {pid}"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = line(&rollup, "Rss:");
    Ok(Memory {
        resident,
        private: line(&rollup, "Private_Clean:") + line(&rollup, "Private_Dirty:"),
        // Counted by each thread for itself, and put together only now and then.
        peak: line(&status, "VmHWM:").max(resident),
    })
}

/// Bytes of `pid` in RAM, which costs nothing to ask.
fn resident(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    Ok(line(&status, "VmRSS:"))
}

fn line(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something() {
        let pid = std::process::id();
        cpu(pid).unwrap();
        let memory = memory(pid).unwrap();
        assert!(memory.private > 0 && memory.private <= memory.resident && memory.resident <= memory.peak);
        assert!(resident(pid).unwrap() > 0);
        assert!(cpu(u32::MAX).is_err());
        assert!(Processes(vec![pid, pid]).memory().unwrap().unwrap().private > memory.private);
        assert_eq!(Processes::default().cpu().unwrap(), None);
    }
}
