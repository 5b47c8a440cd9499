//! What Linux tells of this process, from `/proc`. Elsewhere there is nothing to tell.

use std::{fs, time::Duration};

/// Linux shows times to programs in hundredths of a second, whatever its own clock does.
const TICKS: u64 = 100;

/// A look at this process.
#[derive(Debug, Default)]
pub struct Process {
    /// Bytes of memory in use.
    pub resident: i64,
    /// Open files and sockets.
    pub descriptors: i64,
    /// How many there may be.
    pub descriptor_limit: i64,
    /// Processor time, user and system.
    pub cpu: Duration,
    /// When it began, in seconds since 1970.
    pub started: f64,
}

impl Process {
    /// How it stands now.
    pub fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: i64 = resident.split_whitespace().next()?.parse().ok()?;
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field is the program's name and may hold anything; what follows it is numbers.
        let (_, numbers) = stat.rsplit_once(") ")?;
        let number = |field: usize| numbers.split(' ').nth(field - 3)?.parse::<u64>().ok();
        let ticks = number(14)? + number(15)?;
        let booted = fs::read_to_string("/proc/stat").ok()?;
        let booted = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<u64>().ok()?;
        Some(Self {
            resident: kib * 1024,
            descriptors: i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()?,
            descriptor_limit: i64::try_from(descriptor_limit()).unwrap_or(i64::MAX),
            cpu: Duration::from_millis(ticks * 1000 / TICKS),
            started: Duration::from_millis(booted * 1000 + number(22)? * 1000 / TICKS).as_secs_f64(),
        })
    }
}

/// The soft limit of open files; unknown is no limit.
pub fn descriptor_limit() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_itself() {
        let process = Process::now().unwrap();
        assert!(process.resident > 1024 * 1024, "{process:?}");
        assert!((3..=process.descriptor_limit).contains(&process.descriptors), "{process:?}");
        assert!(process.started > 1.5e9, "{process:?}");
    }
}
