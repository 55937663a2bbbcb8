//! V-46: a TLS session that is resumed carries the certificate that it began with, and no other. Whoever resumes the
//! session of one device cannot act as another one, whatever certificate it holds besides. The client is OpenSSL's.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rookery::sim::apple::device::Device;
use rookery::sim::apple::model::Family;

use crate::process::enroll;
use crate::world::{DEVICE, World, on_each_store};

#[actix::test]
async fn a_resumed_session_of_one_device_cannot_act_as_another() {
    on_each_store(async |world| {
        for version in ["-tls1_2", "-tls1_3"] {
            let folder = Folder::new();
            let (mut one, mut other) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
            let (of_one, of_other) = (folder.identity("one", &one), folder.identity("other", &other));
            let session = folder.0.join("session");
            let ask = async |identity: &Path, keeps: bool, named: &Device| {
                let kept = if keeps { "-sess_out" } else { "-sess_in" };
                exchange(world, &[version, kept, &text(&session), "-cert", &text(identity)], named).await
            };
            assert_eq!(ask(&of_one, true, &one).await, (200, false), "{version}");
            assert_eq!(ask(&of_one, false, &one).await, (200, true), "{version}: the session is resumed");
            assert_eq!(ask(&of_one, false, &other).await, (400, true), "{version}: it speaks for its own device");
            assert_eq!(ask(&of_other, false, &other).await, (400, true), "{version}: another certificate adds nothing");

            // The certificate that the session began with ends, and with it what the session may do.
            enroll(&mut one, &world.enroll_url()).await;
            assert_eq!(ask(&of_one, false, &one).await, (400, true), "{version}: an old session is no way back");
            assert_eq!(one.poll(DEVICE).await.unwrap(), None);
            assert_eq!(other.poll(DEVICE).await.unwrap(), None);
        }
    })
    .await;
}

/// One poll by OpenSSL's client on a connection of its own: the status, and whether the session was resumed.
async fn exchange(world: &World, options: &[&str], named: &Device) -> (u16, bool) {
    let address = world.app.running().addresses.device.to_string();
    let body = format!(
        "<plist version=\"1.0\"><dict><key>Status</key><string>Idle</string><key>UDID</key><string>{}</string></dict></plist>",
        named.model.udid
    );
    let head = format!("PUT /mdm HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}", body.len());
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &address, "-servername", "localhost", "-ign_eof"]).args(options);
    client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let talking = tokio::task::spawn_blocking(move || {
        let mut running = client.spawn().expect("the program openssl is needed");
        running.stdin.take().unwrap().write_all(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
        running.wait_with_output().unwrap().stdout
    });
    let said = String::from_utf8_lossy(&talking.await.unwrap()).into_owned();
    let status = said.split("HTTP/1.1 ").nth(1).and_then(|rest| rest.get(..3)?.parse().ok());
    let resumed = said.contains("Reused, TLSv1");
    assert!(resumed || said.contains("New, TLSv1"), "{said}");
    (status.unwrap_or_else(|| unreachable!("no answer: {said}")), resumed)
}

/// A folder for keys and sessions.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("rookery-it-tls-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        Self(folder)
    }

    /// A device's certificate and key in one file.
    fn identity(&self, name: &str, device: &Device) -> PathBuf {
        let (path, identity) = (self.0.join(format!("{name}.pem")), device.identity().unwrap());
        let mut pem = identity.certificate().to_pem().unwrap().into_bytes();
        pem.extend(identity.private_key_pem().unwrap());
        std::fs::write(&path, pem).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
