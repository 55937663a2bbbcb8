//! What the kernel says that a process uses.

use std::fs;

/// Kernel clock ticks in a second, as Linux shows them to programs.
const TICKS: u64 = 100;

/// What a process uses, or used at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Memory that it occupies, in mebibytes.
    pub(crate) memory_mib: u64,
    /// Open files and sockets.
    pub(crate) files: u64,
    /// CPU time so far, in milliseconds.
    pub(crate) cpu_ms: u64,
}

impl Usage {
    /// Of a process; `None` when it has ended, or where the kernel does not tell.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
        let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before the last bracket may hold anything; user and system time are the 12th and 13th field after it.
        let times: Vec<u64> =
            stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
        Some(Self { memory_mib: kib / 1024, files, cpu_ms: times.iter().sum::<u64>() * 1000 / TICKS })
    }

    /// The larger of each.
    pub(crate) fn or_more(self, other: Self) -> Self {
        Self {
            memory_mib: self.memory_mib.max(other.memory_mib),
            files: self.files.max(other.files),
            cpu_ms: self.cpu_ms.max(other.cpu_ms),
        }
    }
}
