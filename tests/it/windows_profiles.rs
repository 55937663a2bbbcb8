//! Profiles of Windows hosts, the whole way: an admin sets them, a PC that is as strict as Windows gets, keeps and loses them, and
//! is asked what it holds.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use rookery::sim::windows::device::enroll::DISCOVERY_PATH;
use rookery::sim::windows::device::{Pc, Proof, Token, Turn};
use serde_json::{Value, json};

use crate::app::{answer, eventually};
use crate::windows_client::admin_token;
use crate::world::{World, on_each_store};

pub(crate) const CAMERA: &str = "./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera";
const CORTANA: &str = "./Device/Vendor/MSFT/Policy/Config/Experience/AllowCortana";
const NOWHERE: &str = "./Device/Vendor/MSFT/Nothing/Here";
const OF_USER: &str = "./User/Vendor/MSFT/Policy/Config/Experience/AllowWindowsSpotlight";

fn edit(verb: &str, target: &str, format: &str, data: &str) -> String {
    format!(
        "<{verb}><Item><Target><LocURI>{target}</LocURI></Target><Meta><Format xmlns=\"syncml:metinf\">{format}</Format></Meta>\
         <Data>{data}</Data></Item></{verb}>"
    )
}

/// A command that sets a number.
pub(crate) fn set(target: &str, value: &str) -> String {
    edit("Replace", target, "int", value)
}

/// A PC that has enrolled, and its host.
pub(crate) struct Desk<'w> {
    world: &'w World,
    pub(crate) pc: Pc,
    pub(crate) host: i64,
}

impl<'w> Desk<'w> {
    pub(crate) async fn new(world: &'w World, number: u32) -> Self {
        let mut pc = world.pc(number, Proof::Digest);
        let token = Token::User(admin_token(world, json!({})).await);
        pc.enroll(&world.app.device_url(DISCOVERY_PATH), &token).await.unwrap();
        pc.work().await.unwrap();
        let found = world.app.get(&format!("/api/v1/fleet/hosts/identifier/{}", pc.model.serial_number)).await;
        let host = found.json["host"]["id"].as_i64().unwrap();
        Self { world, pc, host }
    }

    /// Makes these all profiles of hosts without a team.
    pub(crate) async fn assign(&self, profiles: &[(&str, &str)]) {
        let one = |(name, file): &(&str, &str)| json!({ "name": name, "contents": STANDARD.encode(file) });
        let profiles: Vec<Value> = profiles.iter().map(one).collect();
        let request = self.world.app.admin(Method::POST, "/api/v1/fleet/mdm/profiles/batch");
        let set = answer(request.body(json!({ "profiles": profiles }).to_string())).await;
        assert!(set.status.is_success(), "{} {}", set.status, set.json);
    }

    /// What the server shows of a profile on the host; null when it shows none.
    pub(crate) async fn shown(&self, name: &str) -> Value {
        let path = format!("/api/v1/fleet/hosts/{}/configuration_profiles", self.host);
        let listed = self.world.app.get(&path).await;
        assert_eq!(listed.status, StatusCode::OK);
        let profiles = listed.json["profiles"].as_array().unwrap();
        profiles.iter().find(|one| one["name"] == name).cloned().unwrap_or_default()
    }

    /// Lets the PC come until the profile stands so; what the server shows of it then.
    pub(crate) async fn until(&mut self, name: &str, status: &str) -> Value {
        let what = format!("{name} is {status}");
        eventually(&what, async || {
            self.pc.work().await.unwrap();
            let shown = self.shown(name).await;
            let is = shown["status"].as_str().unwrap_or("gone");
            (is == status).then_some(shown)
        })
        .await
    }

    pub(crate) fn holds(&self, node: &str) -> Option<&str> {
        self.pc.tree.get(node).map(|node| node.data.as_str())
    }
}

#[tokio::test]
async fn a_profile_is_installed_edited_and_removed() {
    on_each_store(async |world| {
        let mut desk = Desk::new(world, 1).await;
        let both = set(CAMERA, "0") + &set(CORTANA, "0");
        desk.assign(&[("Both", &both)]).await;
        assert_eq!(desk.shown("Both").await["status"], "pending", "at once");
        desk.until("Both", "verified").await;
        assert_eq!((desk.holds(CAMERA), desk.holds(CORTANA)), (Some("0"), Some("0")));

        desk.assign(&[("Both", &set(CAMERA, "1"))]).await;
        assert_eq!(desk.shown("Both").await["status"], "pending");
        desk.until("Both", "verified").await;
        assert_eq!((desk.holds(CAMERA), desk.holds(CORTANA)), (Some("1"), None), "what it sets no more is gone");

        desk.assign(&[("Both", &(set(CAMERA, "1") + &set(CORTANA, "1"))), ("Camera", &set(CAMERA, "1"))]).await;
        desk.until("Both", "verified").await;
        desk.until("Camera", "verified").await;
        desk.assign(&[("Camera", &set(CAMERA, "1"))]).await;
        desk.until("Both", "gone").await;
        assert_eq!((desk.holds(CAMERA), desk.holds(CORTANA)), (Some("1"), None), "another profile sets the camera");
        desk.assign(&[]).await;
        desk.until("Camera", "gone").await;
        assert_eq!(desk.holds(CAMERA), None);
        assert_eq!(desk.pc.log().findings(), []);
    })
    .await;
}

#[tokio::test]
async fn a_node_that_is_there_is_replaced_in_the_same_session() {
    on_each_store(async |world| {
        let mut desk = Desk::new(world, 1).await;
        for node in [CAMERA, CORTANA] {
            desk.pc.tree.set(node, "int", "5");
        }
        let add = |node| edit("Add", node, "int", "0");
        let atomic = format!("<Atomic>{}</Atomic>", add(CORTANA));
        desk.assign(&[("Plain", &add(CAMERA)), ("All", &atomic)]).await;
        eventually("the PC gets both", async || {
            desk.pc.work().await.unwrap();
            (desk.holds(CAMERA) == Some("0") && desk.holds(CORTANA) == Some("0")).then_some(())
        })
        .await;
        let retries = |shown: Value| shown["retries"].as_i64();
        assert_eq!(retries(desk.until("Plain", "verified").await), Some(0));
        assert_eq!(retries(desk.until("All", "verified").await), Some(0));
        assert_eq!(desk.pc.log().findings(), []);
    })
    .await;
}

#[tokio::test]
async fn all_or_nothing_fails_after_one_more_try_and_says_where() {
    on_each_store(async |world| {
        let mut desk = Desk::new(world, 1).await;
        let atomic = format!("<Atomic>{}{}</Atomic>", set(CAMERA, "0"), set(NOWHERE, "0"));
        desk.assign(&[("Broken", &atomic), ("Sound", &set(CORTANA, "0"))]).await;
        let failed = desk.until("Broken", "failed").await;
        assert_eq!((&failed["detail"], &failed["retries"]), (&json!(format!("{NOWHERE}: status 404")), &json!(1)));
        assert_eq!(desk.holds(CAMERA), None, "nothing of it stays");
        desk.until("Sound", "verified").await;
        let again = format!(
            "/api/v1/fleet/hosts/{}/configuration_profiles/{}/resend",
            desk.host,
            failed["profile_uuid"].as_str().unwrap()
        );
        let again = answer(world.app.admin(Method::POST, &again)).await;
        assert_eq!(again.status, StatusCode::ACCEPTED, "{}", again.json);
        assert_eq!(desk.shown("Broken").await["status"], "pending");
        desk.until("Broken", "failed").await;
    })
    .await;
}

#[tokio::test]
async fn what_belongs_to_a_user_waits_for_one() {
    on_each_store(async |world| {
        let mut desk = Desk::new(world, 1).await;
        desk.pc.tree.user_is_there = false;
        desk.assign(&[("User", &set(OF_USER, "0")), ("Device", &set(CAMERA, "0"))]).await;
        desk.until("Device", "verified").await;
        assert_eq!(desk.shown("User").await["status"], "pending", "nobody is logged on");
        desk.pc.tree.user_is_there = true;
        desk.until("User", "verified").await;
        assert_eq!(desk.holds(OF_USER), Some("0"));
    })
    .await;
}

#[tokio::test]
async fn a_device_that_holds_something_else_gets_it_once_more_and_then_it_failed() {
    on_each_store(async |world| {
        let mut desk = Desk::new(world, 1).await;
        desk.assign(&[("Camera", &set(CAMERA, "0"))]).await;
        let failed = eventually("the profile has failed", async || {
            desk.pc.begin().unwrap();
            loop {
                let turn = desk.pc.turn().await.unwrap();
                if desk.holds(CAMERA).is_some() {
                    desk.pc.tree.set(CAMERA, "int", "7"); // somebody else sets it, each time
                }
                if matches!(turn, Turn::Ends) {
                    break;
                }
            }
            let shown = desk.shown("Camera").await;
            (shown["status"] == "failed").then_some(shown)
        })
        .await;
        assert_eq!(
            (&failed["detail"], &failed["retries"]),
            (&json!(format!("{CAMERA}: holds something else")), &json!(1))
        );
    })
    .await;
}

#[tokio::test]
async fn a_certificate_and_the_policies_of_an_app_are_profiles() {
    on_each_store(async |world| {
        let mut desk = Desk::new(world, 1).await;
        let node = "./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/$FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID";
        let names = [
            "KeyUsage",
            "KeyLength",
            "HashAlgorithm",
            "SubjectName",
            "EKUMapping",
            "ServerURL",
            "Challenge",
            "CAThumbprint",
        ];
        let adds = names
            .map(|name| edit("Add", &format!("{node}/Install/{name}"), "chr", "CN=$FLEET_VAR_HOST_HARDWARE_SERIAL"));
        let folder = edit("Add", node, "node", "").replace("<Data></Data>", "");
        let enroll = format!("<Exec><Item><Target><LocURI>{node}/Install/Enroll</LocURI></Target></Item></Exec>");
        let scep = folder + &adds.concat() + &enroll;
        let beta = "./Device/Vendor/MSFT/Policy/Config/Demo~Policy~Cat/Beta";
        let file = "<![CDATA[<policyDefinitions><policies><policy name=\"Beta\"/></policies></policyDefinitions>]]>";
        let admx =
            edit("Replace", "./Device/Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/Demo/Policy/F1", "chr", file)
                + &edit("Replace", beta, "chr", "&lt;enabled/&gt;&lt;data id=\"A\" value=\"1\"/&gt;");
        desk.assign(&[("Certificate", &scep), ("App", &admx)]).await;
        let certificate = desk.until("Certificate", "verified").await;
        desk.until("App", "verified").await;
        let subjects = |desk: &Desk<'_>| {
            let known = (0..20).filter_map(|id| {
                let node = format!(
                    "./Vendor/MSFT/ClientCertificateInstall/SCEP/rookery-{}-{id}/Install/SubjectName",
                    desk.host
                );
                desk.holds(&node).map(str::to_owned)
            });
            known.collect::<Vec<_>>()
        };
        assert_eq!(subjects(&desk), [format!("CN={}", desk.pc.model.serial_number)], "{certificate}");
        desk.assign(&[]).await;
        desk.until("Certificate", "gone").await;
        desk.until("App", "gone").await;
        assert_eq!((subjects(&desk).len(), desk.holds(beta)), (0, None));
    })
    .await;
}

#[tokio::test]
async fn updates_of_windows_are_a_setting_of_a_team() {
    on_each_store(async |world| {
        const DEADLINE: &str = "./Device/Vendor/MSFT/Policy/Config/Update/ConfigureDeadlineForQualityUpdates";
        let mut desk = Desk::new(world, 1).await;
        let patch = async |path: &str, updates: Value| {
            let request = world.app.admin(Method::PATCH, &format!("/api/v1/fleet{path}"));
            answer(request.body(json!({ "mdm": { "windows_updates": updates } }).to_string())).await
        };
        let days = |deadline: Value, grace: Value| json!({ "deadline_days": deadline, "grace_period_days": grace });
        let set = patch("/config", days(json!(5), json!(2))).await;
        assert_eq!((set.status, &set.json["mdm"]["windows_updates"]), (StatusCode::OK, &days(json!(5), json!(2))));
        let shown = world.app.get("/api/v1/fleet/config").await;
        assert_eq!(shown.json["mdm"], set.json["mdm"]);
        desk.until("Windows OS Updates", "verified").await;
        assert_eq!(desk.holds(DEADLINE), Some("5"));
        desk.assign(&[]).await;
        assert_eq!(
            desk.shown("Windows OS Updates").await["status"],
            "verified",
            "it is no profile of an administrator"
        );
        for wrong in [days(json!(31), json!(1)), days(json!(1), json!(8)), days(json!(1), Value::Null)] {
            assert_eq!(patch("/config", wrong).await.status, StatusCode::UNPROCESSABLE_ENTITY);
        }
        let team = world.app.post("/api/v1/fleet/teams", &json!({ "name": "Lab" })).await.json["team"]["id"].clone();
        let set = patch(&format!("/teams/{team}"), days(json!(9), json!(0))).await;
        assert_eq!(set.json["team"]["mdm"]["windows_updates"], days(json!(9), json!(0)), "{}", set.json);
        let moved =
            world.app.post("/api/v1/fleet/hosts/transfer", &json!({ "team_id": team, "hosts": [desk.host] })).await;
        assert_eq!(moved.status, StatusCode::OK);
        eventually("the host follows its team", async || {
            desk.pc.work().await.unwrap();
            (desk.holds(DEADLINE) == Some("9")).then_some(())
        })
        .await;
        let off = patch(&format!("/teams/{team}"), days(Value::Null, Value::Null)).await;
        assert_eq!(off.status, StatusCode::OK);
        desk.until("Windows OS Updates", "gone").await;
        assert_eq!(desk.holds(DEADLINE), None);
    })
    .await;
}
