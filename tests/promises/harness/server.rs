//! The server as a process: started, killed, paused and started again on the same rows and ports.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

use super::eventually;
use super::usage::Usage;

/// How long a server may take to become ready, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the log says of a panic that a proof had asked for.
const FAULT: &str = "panic: fault at ";

/// A server process, or the place where one runs now and then.
pub(crate) struct Server {
    /// Its folder: data, log, and what it says about itself.
    pub(crate) folder: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    /// What it says about itself: addresses, the file of its authority.
    pub(crate) info: Value,
    /// Where its log goes.
    pub(crate) log_file: PathBuf,
    /// The most that any of its processes used; CPU time is of all of them together.
    pub(crate) peak: Usage,
    cpu_before_ms: u64,
}

impl Server {
    /// A place for a server with these settings, on ports of its own.
    pub(crate) fn new(folder: &Path, settings: &[(&str, &str)]) -> Self {
        fs::create_dir_all(folder).unwrap();
        let data = folder.join("data");
        let mut environment = vec![
            ("ROOKERY_DATA_DIR".to_owned(), data.to_str().unwrap().to_owned()),
            ("ROOKERY_LOG__FILTER".to_owned(), "warn".to_owned()),
        ];
        for listener in ["DEVICE", "ADMIN", "OPS"] {
            environment.push((format!("ROOKERY_{listener}__LISTEN"), free_address().to_string()));
        }
        let (child, info, peak) = (None, Value::Null, Usage::default());
        let (folder, log_file) = (folder.to_owned(), folder.join("server.log"));
        let mut server = Self { folder, environment, child, info, log_file, peak, cpu_before_ms: 0 };
        settings.iter().for_each(|(key, value)| server.set(key, value));
        server
    }

    /// Makes an API token, beside the server or before its first start.
    pub(crate) fn new_token(&self, name: &str) -> String {
        let made = self.program().args(["admin", "token", name]).output().unwrap();
        assert!(made.status.success(), "no token: {}", String::from_utf8_lossy(&made.stderr));
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Starts the process and waits until it is ready.
    pub(crate) async fn start(&mut self) {
        let info_file = self.folder.join("info.json");
        let _ = fs::remove_file(&info_file);
        let log = self.log();
        let mut program = self.program();
        program.args(["serve", "--info"]).arg(&info_file);
        self.child = Some(program.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        self.info = eventually("the server is ready", PATIENCE, async || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the server ended at its start, {ended:?}; its log: {}", self.log_file.display());
            fs::read(&info_file).ok().map(|text| serde_json::from_slice(&text).unwrap())
        })
        .await;
    }

    /// Starts the process although it cannot become ready, and waits until it gives up.
    pub(crate) async fn start_in_vain(&mut self) -> ExitStatus {
        let log = self.log();
        let mut program = self.program();
        self.child = Some(program.arg("serve").stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap());
        self.end().await
    }

    /// Ends the process at once, whatever it is doing (`kill -9`).
    pub(crate) fn kill(&mut self) {
        self.look();
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        self.cpu_before_ms = self.peak.cpu_ms;
    }

    /// Asks the process to stop (SIGTERM) and waits until it has.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.look();
        Self::ask_to_stop(self.pid());
        self.end().await
    }

    /// Asks a process to stop, and does not wait.
    pub(crate) fn ask_to_stop(pid: u32) {
        signal(pid, "TERM");
    }

    /// Waits until the process has ended.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let child = self.child.as_mut().unwrap();
        let status = eventually("the server ends", PATIENCE, async || child.try_wait().unwrap()).await;
        self.child = None;
        self.cpu_before_ms = self.peak.cpu_ms;
        status
    }

    /// Stops the process in the middle of whatever it does (SIGSTOP).
    pub(crate) fn pause(&self) {
        signal(self.pid(), "STOP");
    }

    /// Lets it go on (SIGCONT).
    pub(crate) fn go_on(&self) {
        signal(self.pid(), "CONT");
    }

    /// Limits how large a file of the process may become, or lifts the limit; false where that cannot be done.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) -> bool {
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        let mut prlimit = Command::new("prlimit");
        prlimit.arg(format!("--pid={}", self.pid())).arg(format!("--fsize={limit}:"));
        prlimit.status().is_ok_and(|status| status.success())
    }

    /// Notes what the process uses now.
    pub(crate) fn look(&mut self) {
        let Some(now) = self.child.as_ref().and_then(|child| Usage::of(child.id())) else { return };
        let cpu_ms = self.cpu_before_ms + now.cpu_ms;
        self.peak = self.peak.or_more(Usage { cpu_ms, ..now });
    }

    /// What the process uses now.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.pid()).unwrap_or_default()
    }

    /// Whether a process runs.
    pub(crate) fn is_up(&self) -> bool {
        self.child.is_some()
    }

    /// Changes a setting from the next start on; an empty value takes it back.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.environment.retain(|(known, _)| known != key);
        if !value.is_empty() {
            self.environment.push((key.to_owned(), value.to_owned()));
        }
    }

    /// Lines of the log that tell of panics, except those that a proof had asked for (`ROOKERY_TEST_FAULTS`).
    pub(crate) fn panics(&self) -> Vec<String> {
        let tells =
            |line: &String| ["panic: ", "panicked at", "overflowed its stack"].iter().any(|word| line.contains(word));
        self.log_lines().into_iter().filter(tells).filter(|line| !line.contains(FAULT)).collect()
    }

    /// Lines of the log that tell of panics that a proof had asked for.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.log_lines().into_iter().filter(|line| line.contains(FAULT)).collect()
    }

    fn log_lines(&self) -> Vec<String> {
        let log = fs::read(&self.log_file).unwrap_or_default();
        String::from_utf8_lossy(&log).lines().map(str::to_owned).collect()
    }

    /// The file that its authority's certificate is in (PEM).
    pub(crate) fn ca_pem(&self) -> Vec<u8> {
        fs::read(self.info["ca_file"].as_str().unwrap()).unwrap()
    }

    /// An address that it told of, for example `admin_url`.
    pub(crate) fn url(&self, which: &str) -> String {
        self.info[which].as_str().unwrap().to_owned()
    }

    /// What operators are shown at a path: the status, and what is said where that is JSON. `None` when nobody answers.
    pub(crate) async fn ops(&self, path: &str) -> Option<(u16, Value)> {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let response = client.get(format!("{}{path}", self.url("ops_url"))).send().await.ok()?;
        let (status, body) = (response.status().as_u16(), response.bytes().await.ok()?);
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Waits until the server says of itself that it is ready, or that it is not.
    pub(crate) async fn until_ready(&self, ready: bool) {
        let expected = if ready { 200 } else { 503 };
        let what = if ready { "the server is ready" } else { "the server knows that it is not ready" };
        let asked = async || self.ops("/readyz").await.filter(|(status, _)| *status == expected).map(drop);
        eventually(what, PATIENCE, asked).await;
    }

    /// How often actors were started again since the process started: those of the tree, and hosts that crashed.
    pub(crate) async fn restarts(&self) -> u64 {
        let (_, tree) = self.ops("/tree").await.unwrap();
        let nodes = tree["nodes"].as_array().unwrap();
        let of_the_tree: u64 = nodes.iter().map(|node| node["restarts"].as_u64().unwrap()).sum();
        of_the_tree + tree["hosts"]["crashed"].as_u64().unwrap()
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn log(&self) -> File {
        OpenOptions::new().create(true).append(true).open(&self.log_file).unwrap()
    }

    /// The program with its settings and no others.
    fn program(&self) -> Command {
        // Whoever writes beyond a limit on files is told so, rather than ended by a signal.
        let mut program = Command::new("sh");
        program.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_rookery")]);
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("ROOKERY_")) {
            program.env_remove(key);
        }
        program.envs(self.environment.iter().map(|(key, value)| (key, value))).stdin(Stdio::null());
        program
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(pid: u32, name: &str) {
    // Every shell has `kill`; std has SIGKILL alone.
    let script = format!("kill -{name} {pid}");
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success(), "{script}");
}

/// A port that nothing else is given while the server is down: below those that the kernel hands out to clients.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id() % 15_000;
    loop {
        let port = 12_000 + (start as u16 + NEXT.fetch_add(1, Relaxed)) % 15_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return (Ipv4Addr::LOCALHOST, port).into();
        }
    }
}
