//! Server processes, and the kernel's account of their CPU time and memory.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use super::client::Exchange;

/// A server in a process of its own, stopped when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) device: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) data: PathBuf,
    keep: bool,
}

impl Server {
    /// Starts `rookery serve` with plain listeners on free ports and a fresh database.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Self {
        let data = std::env::temp_dir().join(format!("rookery-bench-{}", uuid::Uuid::new_v4()));
        let mut server = Self::start_on(data, settings);
        server.keep = false;
        server
    }

    /// The same on a data directory that stays.
    pub(crate) fn start_on(data: PathBuf, settings: &[(&str, &str)]) -> Self {
        let (device, admin, ops) = (free_port(), free_port(), free_port());
        let mut command = Command::new(env!("CARGO_BIN_EXE_rookery"));
        command.args(["serve", "--data"]).arg(&data);
        command.env("ROOKERY_DEVICE__LISTEN", device.to_string()).env("ROOKERY_DEVICE__PLAIN", "true");
        command.env("ROOKERY_ADMIN__LISTEN", admin.to_string()).env("ROOKERY_ADMIN__PLAIN", "true");
        command.env("ROOKERY_OPS__LISTEN", ops.to_string()).env("ROOKERY_LOG__FILTER", "error");
        command.env("ROOKERY_SCEP__STATIC_CHALLENGE", super::fleet::CHALLENGE);
        command.env("ROOKERY_SERVER_URL", "https://localhost").env("ROOKERY_APNS__URL", "https://localhost:1");
        command.envs(settings.iter().copied());
        let child = command.spawn().expect("the server starts");
        let server = Self { child, device, admin, data, keep: true };
        Exchange::wait_until_ready(ops);
        server
    }

    /// A process that is already listening.
    pub(crate) fn of(child: Child, device: SocketAddr) -> Self {
        Self { child, device, admin: device, data: PathBuf::new(), keep: true }
    }

    /// CPU time of all its threads so far.
    pub(crate) fn cpu(&self) -> Duration {
        cpu_of(&self.child.id().to_string())
    }

    /// Memory that it occupies, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        memory_of(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let _ = self.child.wait();
        if !self.keep {
            let _ = fs::remove_dir_all(&self.data);
        }
    }
}

/// CPU time of all of this process's threads so far; a thread that ended no longer counts.
pub(crate) fn own_cpu() -> Duration {
    cpu_of("self")
}

/// Memory that this process occupies, in bytes.
pub(crate) fn own_memory() -> u64 {
    memory_of("self")
}

fn memory_of(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process lives");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line about memory");
    line.split_whitespace().nth(1).and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("a number") * 1024
}

fn cpu_of(process: &str) -> Duration {
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("the process lives");
    let of = |thread: PathBuf| fs::read_to_string(thread.join("schedstat")).ok().and_then(|text| nanos(&text));
    Duration::from_nanos(threads.filter_map(|thread| of(thread.ok()?.path())).sum())
}

/// CPU time of this thread so far.
pub(crate) fn own_thread_cpu() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel keeps account");
    Duration::from_nanos(nanos(&text).expect("a number"))
}

/// The first number of a `schedstat` file: nanoseconds on a processor.
fn nanos(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

fn free_port() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).expect("a free port")
}
