//! The audit log: what stands in it, and that nothing can be changed in it or taken away unseen.

use std::process::Command as Process;

use reqwest::{Method, StatusCode};
use rookery::config::Settings;
use rookery::sim::apple::model::Family;
use serde_json::Value;

use crate::app::eventually;
use crate::postgres::execute;
use crate::world::{TOPIC, World, on_each_store, on_each_store_with};

/// What a command said, and whether it succeeded.
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) text: String,
}

/// Runs `rookery admin …` beside the server of these settings.
pub(crate) fn admin(settings: &Settings, arguments: &[&str]) -> Said {
    let mut command = Process::new(env!("CARGO_BIN_EXE_rookery"));
    command.env("ROOKERY_DATA_DIR", &settings.data_dir).env("ROOKERY_LOG__FILTER", "off");
    command.env("ROOKERY_DATABASE_URL", &settings.database_url);
    let done = command.arg("admin").args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    Said { success: done.status.success(), text }
}

/// The rows as `--export` prints them, oldest first.
fn rows(settings: &Settings) -> Vec<Value> {
    let said = admin(settings, &["verify-audit", "--export"]);
    assert!(said.success, "{}", said.text);
    let mut rows: Vec<Value> = said.text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    rows.reverse();
    rows
}

/// Waits until the end of the log is noted beside the database.
async fn noted(settings: &Settings, end: i64) {
    let file = settings.data_dir.join("audit.anchor");
    eventually("the end of the audit log is noted", async || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.split(':').next()?.parse().ok().filter(|id: &i64| *id >= end)
    })
    .await;
}

#[actix::test]
async fn who_did_what_stands_in_the_log_without_secrets() {
    on_each_store(async |world| {
        let mac = world.enrolled(Family::Mac, 1).await;
        let uuid = world.run(&[&mac], "SecurityInfo").await;
        world.app.get("/api/v1/fleet/spec/enroll_secret").await;
        let refused = crate::app::answer(world.app.admin(Method::POST, "/api/v1/fleet/commands/run").body("{}")).await;
        assert!(refused.status.is_client_error());
        let made = admin(&world.app.settings, &["token", "second"]);
        assert!(made.success, "{}", made.text);
        let rows = rows(&world.app.settings);
        let told: Vec<[&str; 3]> =
            rows.iter().map(|row| ["actor", "action", "target"].map(|key| row[key].as_str().unwrap())).collect();
        for expected in [
            ["authority", "authority.make", "device-ca"],
            ["server", "token.make", "test"],
            ["test", "push_certificate.store", TOPIC],
            ["test", "enroll_secrets.replace", ""],
            ["whoever has an enroll secret", "enrollment_profile.make", ""],
            ["test", "command.queue", uuid.as_str()],
            ["test", "enroll_secrets.reveal", ""],
            ["cli", "token.make", "second"],
        ] {
            assert_eq!(told.iter().filter(|row| **row == expected).count(), 1, "{expected:?} in {told:?}");
        }
        assert_eq!(told.iter().filter(|row| row[1] == "certificate.issue").count(), 1);
        let all = format!("{rows:?}");
        for secret in [crate::world::SECRET, &world.app.token, made.text.trim()] {
            assert!(!all.contains(secret), "{all}");
        }
    })
    .await;
}

#[actix::test]
async fn a_row_that_was_changed_or_taken_away_is_found() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            for number in 0..5 {
                let made = admin(&world.app.settings, &["token", &format!("token {number}")]);
                assert!(made.success, "{}", made.text);
            }
            let settings = world.app.settings.clone();
            let end = rows(&settings).len() as i64;
            noted(&settings, end).await;
            world.app.stop();
            let (url, last) = (settings.database(), end - 1);
            let row = "at = at, actor = actor, action = action, target = target";
            // Each with what undoes it: the next one must be found by itself.
            let damages = [
                ("UPDATE audit SET actor = 'nobody' WHERE id = 3".to_owned(), "row 3 was changed"),
                (format!("UPDATE audit SET {row}, detail = detail || ' ' WHERE id = {last}"), "was changed"),
                ("UPDATE audit SET at = at + 1 WHERE id = 1".to_owned(), "row 1 was changed"),
                ("DELETE FROM audit WHERE id = 4".to_owned(), "rows 4 to 4 are gone"),
                (format!("DELETE FROM audit WHERE id = {end}"), "sealed end"),
                ("DELETE FROM audit".to_owned(), "are gone"),
                ("DELETE FROM audit_head".to_owned(), "the end of the chain is gone"),
                (format!("UPDATE audit_head SET last = {last}"), "cannot be trusted"),
                ("DELETE FROM audit; DELETE FROM audit_head".to_owned(), "noted outside"),
            ];
            execute(&url, "CREATE TABLE audit_kept AS SELECT * FROM audit").await;
            execute(&url, "CREATE TABLE head_kept AS SELECT * FROM audit_head").await;
            for (damage, found) in damages {
                execute(&url, &damage).await;
                let said = admin(&settings, &["verify-audit"]);
                assert!(!said.success && said.text.contains(found), "{damage}: {}", said.text);
                execute(&url, "DELETE FROM audit; INSERT INTO audit SELECT * FROM audit_kept").await;
                execute(&url, "DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM head_kept").await;
                let said = admin(&settings, &["verify-audit"]);
                assert!(said.success, "{damage} was undone: {}", said.text);
            }
            execute(&url, "DROP TABLE audit_kept; DROP TABLE head_kept").await;
            world.app.start_again();
        },
    )
    .await;
}

#[actix::test]
async fn an_older_end_put_back_with_its_rows_is_found_by_what_was_noted() {
    on_each_store_with(
        |_| {},
        async |world: &mut World| {
            let settings = world.app.settings.clone();
            let url = settings.database();
            let before = rows(&settings).len();
            execute(&url, "CREATE TABLE head_kept AS SELECT * FROM audit_head").await;
            assert!(admin(&settings, &["token", "made by a thief"]).success);
            noted(&settings, before as i64 + 1).await;
            world.app.stop();
            execute(&url, &format!("DELETE FROM audit WHERE id > {before}")).await;
            execute(&url, "DELETE FROM audit_head; INSERT INTO audit_head SELECT * FROM head_kept").await;
            let said = admin(&settings, &["verify-audit"]);
            assert!(!said.success && said.text.contains("noted outside the database"), "{}", said.text);
            execute(&url, "DROP TABLE head_kept").await;
            world.app.start_again();
        },
    )
    .await;
}

#[actix::test]
async fn what_cannot_be_written_down_is_not_done() {
    on_each_store(async |world| {
        let mac = world.enrolled(Family::Mac, 1).await;
        execute(&world.app.settings.database(), "UPDATE audit_head SET last = last - 1").await;
        let (status, answer) = world.try_run(&[&mac], &crate::world::fresh_uuid(), "SecurityInfo").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        let commands = world.app.get("/api/v1/fleet/commands").await;
        assert_eq!(commands.json["count"], 0, "nothing was queued");
        execute(&world.app.settings.database(), "UPDATE audit_head SET last = last + 1").await;
        world.run(&[&mac], "SecurityInfo").await;
    })
    .await;
}
