//! An admin's first week, by HTTP alone: people, teams, labels, enrollment, commands, lock, wipe with approval, transfer, deletion, and
//! what the activity log says of it all. Each step uses what the one before gave it.

use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::Device;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::eventually;
use crate::people::{ask, done};
use crate::process::enroll;
use crate::world::{DEVICE, World, on_each_store_with};

const PASSWORD: &str = "a long enough passphrase";
const TEAM_SECRET: &str = "the-secret-of-the-design-team";

/// Somebody who signs in, and their key.
async fn hired(world: &World, by: &str, email: &str, roles: Value) -> String {
    let mut body = json!({ "name": email, "email": email, "password": PASSWORD, "admin_forced_password_reset": false });
    body.as_object_mut().unwrap().extend(roles.as_object().unwrap().clone());
    done(world, by, Method::POST, "/users/admin", body).await;
    let login = json!({ "email": email, "password": PASSWORD });
    let signed_in = ask(world, None, Method::POST, "/login", login).await;
    assert_eq!(signed_in.status, StatusCode::OK, "{}", signed_in.json);
    signed_in.json["token"].as_str().unwrap().to_owned()
}

/// Works until the device has nothing left, as a device does that is pushed.
async fn work(device: &mut Device) {
    while device.work(DEVICE).await.is_ok_and(|done| done > 0) {}
}

async fn id_of(world: &World, key: &str, device: &Device) -> i64 {
    let path = format!("/hosts/identifier/{}", device.channel_id(DEVICE).unwrap());
    done(world, key, Method::GET, &path, Value::Null).await["host"]["id"].as_i64().unwrap()
}

/// Kinds of what was done, the newest first.
async fn told(world: &World, key: &str, path: &str) -> Vec<String> {
    let shown = done(world, key, Method::GET, &format!("{path}?per_page=200"), Value::Null).await;
    let kinds = shown["activities"].as_array().unwrap().iter().map(|one| one["type"].as_str().unwrap().to_owned());
    kinds.collect()
}

/// Who and what there is by now.
struct Week<'w> {
    world: &'w World,
    ada: String,
    bob: String,
    eve: String,
    design: i64,
    sales: i64,
    devices: Vec<Device>,
}

#[actix::test]
async fn an_admin_does_in_the_first_week_what_admins_do() {
    let careful = |settings: &mut rookery::config::Settings| {
        settings.brakes.erase_per_hour = 0;
        settings.brakes.release_per_minute = 600;
    };
    on_each_store_with(careful, async |world| {
        let mut week = Week::begin(world).await;
        week.devices_enroll().await;
        week.a_command_goes_to_a_label().await;
        let lost = week.a_mac_is_lost_and_found().await;
        week.another_one_is_erased_transferred_and_deleted().await;
        week.all_of_it_was_written_down(lost).await;
    })
    .await;
}

impl<'w> Week<'w> {
    /// The owner of the machine makes the first admin, who hires two others; one of them sees a team alone.
    async fn begin(world: &'w World) -> Self {
        let owner = world.app.token.clone();
        let ada = hired(world, &owner, "ada@example.com", json!({ "global_role": "admin" })).await;
        let bob = hired(world, &ada, "bob@example.com", json!({ "global_role": "maintainer" })).await;
        let team = |name: &str| json!({ "name": name });
        let design = done(world, &ada, Method::POST, "/teams", team("Design")).await["team"]["id"].as_i64().unwrap();
        let sales = done(world, &ada, Method::POST, "/teams", team("Sales")).await["team"]["id"].as_i64().unwrap();
        let secrets = json!({ "secrets": [{ "secret": TEAM_SECRET }] });
        done(world, &ada, Method::PATCH, &format!("/teams/{design}/secrets"), secrets).await;
        let roles = json!({ "teams": [{ "id": design, "role": "observer" }] });
        let eve = hired(world, &ada, "eve@example.com", roles).await;
        let families = [Family::Mac, Family::Mac, Family::IPhone].into_iter().zip(1..);
        let devices = families.map(|(family, number)| world.device(family, number, Default::default())).collect();
        Self { world, ada, bob, eve, design, sales, devices }
    }

    async fn get(&self, key: &str, path: &str) -> Value {
        done(self.world, key, Method::GET, path, Value::Null).await
    }

    async fn post(&self, key: &str, path: &str, body: Value) -> Value {
        done(self.world, key, Method::POST, path, body).await
    }

    /// One is known before, two join the team by its secret, one is in none.
    async fn devices_enroll(&mut self) {
        let serial = self.devices[0].model.serial_number.clone();
        let known = json!([{ "hardware_serial": serial, "platform": "darwin" }]);
        self.post(&self.ada, "/hosts/import", json!({ "hosts": known, "team_id": self.design })).await;
        let pending = self.get(&self.ada, "/hosts?mdm_enrollment_status=pending").await;
        assert_eq!(pending["hosts"][0]["hardware_serial"], json!(serial));
        let url = self.world.app.device_url(&format!("/api/mdm/apple/enroll?enroll_secret={TEAM_SECRET}"));
        enroll(&mut self.devices[0], &url).await;
        enroll(&mut self.devices[1], &url).await;
        enroll(&mut self.devices[2], &self.world.enroll_url()).await;
        let seen = self.get(&self.eve, "/hosts").await;
        assert_eq!(seen["hosts"].as_array().unwrap().len(), 2, "an observer of a team sees its hosts alone");
        let summary = self.get(&self.ada, "/hosts/summary/mdm").await;
        let counts = &summary["mobile_device_management_enrollment_status"];
        assert_eq!((&counts["enrolled_manual_hosts_count"], &counts["pending_hosts_count"]), (&json!(3), &json!(0)));
    }

    /// A label by rule, a command to it in JSON, and its results as JSON.
    async fn a_command_goes_to_a_label(&mut self) {
        let rule = json!({ "name": "Macs", "criteria": { "vital": "platform", "value": "darwin" } });
        let label = self.post(&self.bob, "/labels", rule).await["label"]["id"].as_i64().unwrap();
        let command = json!({ "request_type": "DeviceInformation", "Queries": ["SerialNumber", "OSVersion"] });
        let run = json!({ "command": command, "label_id": label });
        let refused = ask(self.world, Some(&self.eve), Method::POST, "/commands/run", run.clone()).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "an observer runs nothing");
        let ran = self.post(&self.bob, "/commands/run", run).await;
        assert_eq!((&ran["hosts"], &ran["request_type"]), (&json!(2), &json!("DeviceInformation")));
        for device in &mut self.devices {
            work(device).await;
        }
        let uuid = ran["command_uuid"].as_str().unwrap();
        let batch = self.get(&self.eve, &format!("/commands/{uuid}?wait=10s")).await;
        assert_eq!((&batch["pending"], &batch["status"]["acknowledged"]), (&json!(0), &json!(2)), "{batch}");
        let results = self.get(&self.eve, &format!("/commands/results?command_uuid={uuid}")).await;
        let results = results["results"].as_array().unwrap().iter();
        let mut serials: Vec<&Value> =
            results.map(|one| &one["result_json"]["QueryResponses"]["SerialNumber"]).collect();
        serials.sort_by_key(|serial| serial.to_string());
        assert_eq!(
            serials,
            [0, 1].map(|number| json!(self.devices[number].model.serial_number)).iter().collect::<Vec<_>>()
        );
    }

    async fn a_mac_is_lost_and_found(&mut self) -> i64 {
        let lost = id_of(self.world, &self.ada, &self.devices[0]).await;
        let locked = self.post(&self.bob, &format!("/hosts/{lost}/lock?view_pin=true"), json!({})).await;
        work(&mut self.devices[0]).await;
        let host = self.get(&self.eve, &format!("/hosts/{lost}")).await;
        assert_eq!(host["host"]["mdm"]["device_status"], "locked", "{host}");
        let pin = self.post(&self.bob, &format!("/hosts/{lost}/unlock"), json!({})).await["unlock_pin"].clone();
        assert_eq!(pin, locked["unlock_pin"]);
        assert!(self.devices[0].enter_pin(pin.as_str().unwrap()));
        work(&mut self.devices[0]).await;
        lost
    }

    /// It is erased when a second admin has agreed, and deleted; the phone goes to another team.
    async fn another_one_is_erased_transferred_and_deleted(&mut self) {
        let gone = id_of(self.world, &self.ada, &self.devices[1]).await;
        let wipe = ask(self.world, Some(&self.bob), Method::POST, &format!("/hosts/{gone}/wipe"), json!({})).await;
        assert_eq!(wipe.status, StatusCode::ACCEPTED, "{}", wipe.json);
        let held = self.get(&self.ada, "/commands/held").await;
        let approve = format!("/commands/{}/approve", held["held"][0]["command_uuid"].as_str().unwrap());
        let own = ask(self.world, Some(&self.bob), Method::POST, &approve, json!({ "hosts": 1 })).await;
        assert_eq!(own.status, StatusCode::FORBIDDEN, "nobody agrees to their own command: {}", own.json);
        self.post(&self.ada, &approve, json!({ "hosts": 1 })).await;
        eventually("the Mac is erased", async || {
            let _ = self.devices[1].work(DEVICE).await;
            let host = self.get(&self.ada, &format!("/hosts/{gone}")).await;
            (host["host"]["mdm"]["device_status"] == "wiped").then_some(())
        })
        .await;

        let phone = id_of(self.world, &self.ada, &self.devices[2]).await;
        self.post(&self.bob, "/hosts/transfer", json!({ "team_id": self.sales, "hosts": [phone] })).await;
        let moved = self.get(&self.ada, &format!("/hosts?team_id={}", self.sales)).await;
        assert_eq!(moved["hosts"][0]["id"], json!(phone));
        done(self.world, &self.bob, Method::DELETE, &format!("/hosts/{gone}"), Value::Null).await;
        assert_eq!(self.get(&self.ada, "/hosts/count").await["count"], 2);
    }

    async fn all_of_it_was_written_down(&self, lost: i64) {
        let kinds = told(self.world, &self.ada, "/activities").await;
        for kind in [
            "created_user",
            "user_logged_in",
            "created_team",
            "edited_enroll_secrets",
            "mdm_enrolled",
            "locked_host",
            "unlocked_host",
            "wiped_host",
            "transferred_hosts",
            "deleted_host",
        ] {
            assert!(kinds.iter().any(|told| told == kind), "{kind} is not among {kinds:?}");
        }
        let of_host = told(self.world, &self.eve, &format!("/hosts/{lost}/activities")).await;
        assert!(of_host.iter().any(|kind| kind == "locked_host"), "{of_host:?}");
        let transferred = self.get(&self.ada, "/activities?activity_type=transferred_hosts").await;
        assert_eq!(transferred["activities"][0]["actor_email"], "bob@example.com", "{transferred}");
    }
}
