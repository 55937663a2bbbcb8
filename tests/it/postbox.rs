//! A real mail server (aiosmtpd) as a process of its own, where `ROOKERY_TEST_PYTHON` names a Python that has it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use protocol::pki::ServerName;
use rookery::config::{Settings, SmtpSettings};
use serde_json::Value;

use crate::app::PATIENCE;
use crate::world::{apple, now};

const PASSWORD: &str = "the mail server's password";

/// The server, and what it got.
pub(crate) struct Postbox {
    child: Child,
    letters: Receiver<Value>,
    port: u16,
    folder: PathBuf,
}

impl Postbox {
    /// Starts it; `None` where there is no Python for it.
    pub(crate) fn open() -> Option<Self> {
        let python = std::env::var("ROOKERY_TEST_PYTHON").ok()?;
        let folder = std::env::temp_dir().join(format!("rookery-it-mail-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let localhost = ServerName::parse("localhost").unwrap();
        let server = apple().issue_server(&[localhost], now(), Duration::from_secs(86_400)).unwrap();
        let write = |name: &str, pem: &[u8]| std::fs::write(folder.join(name), pem).unwrap();
        write("ca.pem", apple().certificate().to_pem().unwrap().as_bytes());
        write("server.pem", server.certificate().to_pem().unwrap().as_bytes());
        write("server.key", &server.private_key_pem().unwrap());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/smtp_server.py");
        let mut child = Command::new(python)
            .arg(script)
            .args([folder.join("server.pem"), folder.join("server.key")])
            .args(["rookery", PASSWORD])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap().trim().parse().unwrap();
        let (sender, letters) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap_or_default());
            }
        });
        Some(Self { child, letters, port, folder })
    }

    /// Lets a server send its mail here.
    pub(crate) fn set(&self, settings: &mut Settings) {
        settings.admin.url = "https://rookery.example.com".into();
        settings.smtp = SmtpSettings {
            host: "localhost".into(),
            port: self.port,
            username: "rookery".into(),
            password: PASSWORD.into(),
            from: "Rookery <mdm@example.com>".into(),
            root_certificate: self.folder.join("ca.pem"),
            ..SmtpSettings::default()
        };
    }

    /// The next letter.
    pub(crate) fn letter(&self) -> Value {
        self.letters.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Postbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
