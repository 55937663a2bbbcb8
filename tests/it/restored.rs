//! A backup that is put back: what had ended stays ended, what may have been done since is not done again, and questions
//! are asked again.

use std::process::Command as Process;

use protocol::ids::CommandUuid;
use rookery::config::Settings;
use rookery::sim::apple::device::{Answer as Done, Device};
use rookery::sim::apple::model::Family;

use crate::audit::admin;
use crate::postgres::Fresh;
use crate::world::{DEVICE, World, on_each_store_with};

/// Copies the database beside its running server.
pub(crate) fn back_up(settings: &Settings) -> String {
    let file = settings.data_dir.join("copy").display().to_string();
    let said = admin(settings, &["backup", &file]);
    if settings.database_url.is_empty() {
        assert!(said.success, "{}", said.text);
        assert!(!admin(settings, &["backup", &file]).success, "an older backup is never overwritten");
    } else {
        assert!(!said.success && said.text.contains("pg_dump --format=custom"), "{}", said.text);
        let dumped =
            Process::new("pg_dump").args(["--format=custom", "--file", &file, &settings.database_url]).status();
        assert!(dumped.unwrap().success());
    }
    file
}

/// Puts the copy back, as OPERATIONS.md says; returns what the command said.
async fn put_back(settings: &mut Settings, file: &str, fresh: Option<&Fresh>) -> String {
    let Some(fresh) = fresh else {
        let refused = admin(settings, &["restore", file]);
        assert!(!refused.success && refused.text.contains("--replace"), "{}", refused.text);
        let said = admin(settings, &["restore", "--replace", file]);
        assert!(said.success, "{}", said.text);
        return said.text;
    };
    let restored = Process::new("pg_restore").args(["--no-owner", "--dbname", &fresh.url(), file]).status();
    assert!(restored.unwrap().success());
    settings.database_url = fresh.url();
    let said = admin(settings, &["restore"]);
    assert!(said.success, "{}", said.text);
    said.text
}

async fn hand_out(device: &mut Device, expected: &CommandUuid) {
    let next = device.poll(DEVICE).await.unwrap().expect("a command");
    assert_eq!(next.uuid(), expected);
}

async fn state(world: &World, uuid: &CommandUuid) -> String {
    world.status(uuid).await
}

#[actix::test]
async fn a_restored_backup_does_nothing_twice() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            let mut mac = world.enrolled(Family::Mac, 1).await;
            mac.set_bootstrap_token(Some(b"the token")).await.unwrap();
            let finished = world.run(&[&mac], "ProfileList").await;
            hand_out(&mut mac, &finished).await;
            mac.report(DEVICE, &finished, &Done::acknowledged()).await.unwrap();
            let sent = world.run(&[&mac], "RestartDevice").await;
            hand_out(&mut mac, &sent).await;
            let waiting = world.run(&[&mac], "ShutDownDevice").await;
            let question = world.run(&[&mac], "SecurityInfo").await;
            let file = back_up(&world.app.settings);

            // After the backup the device does all of it.
            mac.report(DEVICE, &sent, &Done::acknowledged()).await.unwrap();
            for uuid in [&waiting, &question] {
                if mac.last_status(DEVICE).unwrap().is_some() {
                    mac.poll(DEVICE).await.unwrap();
                }
                mac.report(DEVICE, uuid, &Done::acknowledged()).await.unwrap();
            }
            world.app.stop();
            let is_sqlite = world.app.settings.database_url.is_empty();
            let fresh = if is_sqlite { None } else { Fresh::make().await };
            let mut settings = world.app.settings.clone();
            let said = put_back(&mut settings, &file, fresh.as_ref()).await;
            assert!(said.contains("parked: 1 RestartDevice") && said.contains("kept: 1 SecurityInfo"), "{said}");
            world.app.settings = settings;
            world.app.start_again();
            mac.wire_mut().disconnect();

            assert_eq!(state(world, &finished).await, "Acknowledged", "what had ended stays ended");
            assert_eq!(state(world, &sent).await, "Parked");
            assert_eq!(state(world, &waiting).await, "Parked");
            assert_eq!(mac.bootstrap_token().await.unwrap().as_deref(), Some(&b"the token"[..]));
            let again = mac.poll(DEVICE).await.unwrap().expect("the question is asked again");
            assert_eq!(*again.uuid(), question);
            let after = mac.report(DEVICE, &question, &Done::acknowledged()).await.unwrap();
            assert!(after.is_none(), "nothing else is sent again: {after:?}");
            let verified = admin(&world.app.settings, &["verify-audit", "--export"]);
            assert!(verified.success && verified.text.contains("backup.restore"), "{}", verified.text);
            if let Some(fresh) = fresh {
                world.app.stop();
                fresh.drop().await;
                world.app.settings.database_url.clear();
                world.app.settings.data_dir = world.app.settings.data_dir.join("other");
                world.app.start_again();
            }
        },
    )
    .await;
}

#[actix::test]
async fn a_backup_is_not_put_back_without_its_keys_and_a_failed_try_changes_nothing() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            if !world.app.settings.database_url.is_empty() {
                return; // its own tools put it back; the keys are compared at the start as ever
            }
            let file = back_up(&world.app.settings);
            let settings = world.app.settings.clone();
            let running = admin(&settings, &["restore", "--replace", &file]);
            assert!(!running.success && running.text.contains("another server uses"), "{}", running.text);
            world.app.stop();
            let keys = settings.data_dir.join("root.keys");
            let aside = settings.data_dir.join("root.keys.aside");
            std::fs::rename(&keys, &aside).unwrap();
            let without = admin(&settings, &["restore", "--replace", &file]);
            assert!(!without.success && without.text.contains("root keys"), "{}", without.text);
            std::fs::rename(&aside, &keys).unwrap();
            let garbage = settings.data_dir.join("garbage");
            std::fs::write(&garbage, [7; 10_000]).unwrap();
            let refused = admin(&settings, &["restore", "--replace", garbage.to_str().unwrap()]);
            assert!(!refused.success, "{}", refused.text);
            world.app.start_again();
            let secrets = world.app.get("/api/v1/fleet/spec/enroll_secret").await;
            assert_eq!(secrets.json["spec"]["secrets"][0]["secret"], crate::world::SECRET, "nothing was changed");
        },
    )
    .await;
}
