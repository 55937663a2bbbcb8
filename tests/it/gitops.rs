//! Files are applied by the program itself, as an admin's pipeline does: with a plan first, all of it or nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::StatusCode;
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::eventually;
use crate::people::program;
use crate::profiles_api::mobileconfig;
use crate::world::{DEVICE, World, assert_sound, on_each_store};

const SYNCML: &str = "<Replace><Item><Target><LocURI>./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera</LocURI></Target>\
                      <Meta><Format xmlns=\"syncml:metinf\">int</Format></Meta><Data>0</Data></Item></Replace>";
const DEFAULT: &str = "
org_settings:
labels:
  - { name: Macs, criteria: { vital: platform, value: darwin } }
";
const LAPTOPS: &str = "
name: Laptops
team_settings:
  secrets: [{ secret: $ENROLL_SECRET }]
controls:
  macos_settings:
    custom_settings:
      - { path: wifi.mobileconfig, labels_include_any: [Macs] }
      - { path: vpn.mobileconfig }
  windows_settings:
    custom_settings: [{ path: Camera.xml }]
  macos_updates: { minimum_version: '15.1', deadline: '2027-01-31' }
";

/// A repository of files, and how it is applied.
struct Repository {
    folder: PathBuf,
    url: String,
    ca: PathBuf,
}

/// What the program said.
struct Said {
    succeeded: bool,
    out: String,
    err: String,
}

impl Repository {
    fn new(world: &World) -> Self {
        let folder = std::env::temp_dir().join(format!("rookery-it-files-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&folder).unwrap();
        let addresses = &world.app.running().addresses;
        let repository = Self { folder, url: addresses.admin_url.clone(), ca: addresses.ca_file.clone().unwrap() };
        repository.write("token", &world.app.token);
        repository.write("default.yml", DEFAULT);
        repository.write("laptops.yml", LAPTOPS);
        repository.write("wifi.mobileconfig", mobileconfig("com.example.wifi", "Wi-Fi", "$FLEET_SECRET_WIFI"));
        repository.write("vpn.mobileconfig", mobileconfig("com.example.vpn", "VPN", "${VPN_NAME}"));
        repository.write("Camera.xml", SYNCML);
        repository
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::write(self.folder.join(name), text).unwrap();
    }

    /// Runs `rookery gitops` with these files and flags.
    fn apply(&self, arguments: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rookery"));
        command.current_dir(&self.folder).args(["gitops", "--url", &self.url, "--token-file", "token", "--ca"]);
        command.arg(Path::new(&self.ca)).args(arguments);
        command.env("ENROLL_SECRET", "the-enroll-secret-of-laptops").env("FLEET_SECRET_WIFI", "hunter2-hunter2");
        let output = command.env("VPN_NAME", "Office & Home").output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Said { succeeded: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// The same, and what the server said as JSON.
    fn plan(&self, arguments: &[&str]) -> Value {
        let said = self.apply(&[arguments, &["--json"]].concat());
        assert!(said.succeeded, "{}", said.err);
        serde_json::from_str(&said.out).unwrap()
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const ALL: [&str; 4] = ["-f", "default.yml", "-f", "laptops.yml"];

async fn get(world: &World, path: &str) -> Value {
    let answer = world.app.get(&format!("/api/v1/fleet{path}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json);
    answer.json
}

/// Everything that files can change, as the server shows it.
async fn everything(world: &World) -> Value {
    let teams = get(world, "/teams").await["teams"].take();
    let mut profiles = vec![get(world, "/configuration_profiles?team_id=0").await];
    for team in teams.as_array().unwrap() {
        profiles.push(get(world, &format!("/configuration_profiles?team_id={}", team["id"])).await);
    }
    let labels = get(world, "/labels").await;
    json!({ "teams": teams, "profiles": profiles, "labels": labels, "secrets": get(world, "/custom_variables").await })
}

#[actix::test]
async fn files_are_applied_as_a_whole_and_the_plan_is_what_happens() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let repository = Repository::new(world);
        let before = everything(world).await;
        let mut planned = repository.plan(&[&ALL[..], &["--dry-run"]].concat());
        assert_eq!(everything(world).await, before, "a dry run changes nothing");
        assert_eq!(planned["dry_run"].take(), json!(true));
        let mut applied = repository.plan(&ALL);
        assert_eq!(applied["dry_run"].take(), json!(false));
        assert_eq!(planned, applied, "the plan is what happens");
        assert_eq!(applied["teams"][1]["profiles"]["added"], json!(["Wi-Fi", "VPN", "Camera"]), "{applied}");
        assert_eq!((&applied["teams"][1]["added"], &applied["teams"][1]["secrets"]), (&json!(true), &json!(true)));
        assert_eq!(applied["teams"][1]["settings"], json!(["macos_updates"]));
        assert_eq!(applied["labels"]["added"], json!(["Macs"]));
        assert_eq!(applied["custom_variables"]["added"], json!(["WIFI"]));

        let again = repository.apply(&ALL);
        let told = "Secrets: 1 unchanged\nLabels: 1 unchanged\nTeam Laptops: 3 unchanged\nDone.\n";
        assert_eq!((again.succeeded, again.out.as_str()), (true, told), "{}", again.err);

        let team = get(world, "/teams").await["teams"][0]["id"].as_i64().unwrap();
        let host = world.host(&mac).await["id"].as_i64().unwrap();
        let body = json!({ "team_id": team, "hosts": [host] });
        assert_eq!(world.app.post("/api/v1/fleet/hosts/transfer", &body).await.status, StatusCode::OK);
        eventually("the Mac has both profiles", async || {
            mac.work(DEVICE).await.unwrap();
            let installed = |name: &str| mac.contents().profile(DEVICE, name).is_some();
            (installed("com.example.wifi") && installed("com.example.vpn")).then_some(())
        })
        .await;
        assert_sound(&mac);
    })
    .await;
}

#[actix::test]
async fn what_files_no_longer_say_is_gone() {
    on_each_store(async |world| {
        let repository = Repository::new(world);
        repository.plan(&ALL);
        repository.write("kiosks.yml", "name: Kiosks\n");
        repository.plan(&["-f", "kiosks.yml"]);
        // The names change places, one profile and the updates are gone, and so is the label.
        repository.write("wifi.mobileconfig", mobileconfig("com.example.wifi", "VPN", "a"));
        repository.write("vpn.mobileconfig", mobileconfig("com.example.vpn", "Wi-Fi", "b"));
        let profiles = "[{ path: wifi.mobileconfig }, { path: vpn.mobileconfig }]";
        let team = format!("name: laptops\ncontrols: {{ macos_settings: {{ custom_settings: {profiles} }} }}\n");
        repository.write("laptops.yml", team);
        repository.write("default.yml", "org_settings:\nlabels:\n");
        let applied = repository.plan(&[&ALL[..], &["--delete-other-teams"]].concat());
        assert_eq!(applied["labels"]["removed"], json!(["Macs"]));
        assert_eq!(applied["removed_teams"], json!(["Kiosks"]));
        let laptops = &applied["teams"][1];
        assert_eq!(laptops["profiles"]["changed"], json!(["VPN", "Wi-Fi"]), "{applied}");
        assert_eq!(laptops["profiles"]["removed"], json!(["Camera"]));
        assert_eq!((&laptops["edited"], &laptops["settings"]), (&json!(true), &json!(["macos_updates"])));
        assert_eq!(laptops["secrets"], false, "what nobody speaks of stays");
        let now = everything(world).await;
        assert_eq!(now["teams"].as_array().unwrap().len(), 1, "{now}");
        assert_eq!(now["teams"][0]["mdm"]["macos_updates"]["minimum_version"], Value::Null);
        assert_eq!(now["profiles"][1]["profiles"].as_array().unwrap().len(), 2);
    })
    .await;
}

#[actix::test]
async fn what_cannot_be_applied_changes_nothing_at_all() {
    on_each_store(async |world| {
        let repository = Repository::new(world);
        repository.plan(&ALL);
        let before = everything(world).await;
        repository.write("default.yml", "org_settings:\nlabels: [{ name: New, hosts: [] }]\n");
        let refused = [
            ("{ path: wifi.mobileconfig, labels_include_any: [Macs] }", "there are no labels Macs"),
            ("{ path: vpn.mobileconfig, labels_include_any: [Nobody] }", "there are no labels Nobody"),
            ("{ path: unknown.mobileconfig }", "$FLEET_SECRET_UNKNOWN"),
            ("{ path: wifi.mobileconfig }, { path: wifi.mobileconfig }", "teams[1].profiles[1]"),
        ];
        repository.write("unknown.mobileconfig", mobileconfig("com.example.unknown", "U", "$FLEET_SECRET_UNKNOWN"));
        for (entries, said) in refused {
            let controls = format!("controls: {{ macos_settings: {{ custom_settings: [{entries}] }} }}");
            repository.write("laptops.yml", format!("name: Laptops\ndescription: other\n{controls}\n"));
            let told = repository.apply(&ALL);
            assert!(!told.succeeded && told.err.contains(said), "{entries}: {}", told.err);
            assert_eq!(everything(world).await, before, "{entries}");
        }
        let taken = json!({ "secrets": [{ "secret": "the-secret-of-all-the-others" }] });
        let spec = json!({ "spec": taken });
        assert_eq!(world.app.post("/api/v1/fleet/spec/enroll_secret", &spec).await.status, StatusCode::OK);
        repository.write(
            "laptops.yml",
            "name: Laptops\nteam_settings: { secrets: [{ secret: the-secret-of-all-the-others }] }\n",
        );
        let told = repository.apply(&ALL);
        assert!(!told.succeeded && told.err.contains("another team's"), "{}", told.err);
        repository.write("laptops.yml", "name: Laptops\npolicies: [{ name: x }]\n");
        let told = repository.apply(&ALL);
        assert!(
            !told.succeeded && told.err.contains("policies") && told.err.contains("--ignore-unsupported"),
            "{}",
            told.err
        );
        assert_eq!(everything(world).await, before);
    })
    .await;
}

#[actix::test]
async fn a_server_that_cannot_be_asked_is_told_of() {
    on_each_store(async |world| {
        let mut repository = Repository::new(world);
        let says = |said: Said, what: &str| assert!(!said.succeeded && said.err.contains(what), "{what}: {}", said.err);
        repository.write("token", "nobody's");
        says(repository.apply(&ALL), "Authentication required");
        repository.write("token", program(world, "hand", "maintainer", None).await);
        says(repository.apply(&ALL), "files");
        repository.write("token", program(world, "pipeline", "gitops", None).await);
        let applied = repository.apply(&ALL);
        assert!(applied.succeeded, "{}", applied.err);
        repository.ca = "missing.pem".into();
        says(repository.apply(&ALL), "cannot read missing.pem");
        repository.url = "https://127.0.0.1:1".into();
        repository.ca = world.app.running().addresses.ca_file.clone().unwrap();
        says(repository.apply(&ALL), "--url names the server");
    })
    .await;
}

/// A body that is none of this shape is refused by name.
#[actix::test]
async fn what_is_no_set_of_files_is_refused() {
    on_each_store(async |world| {
        let many: Vec<Value> = (0..1_001).map(|at| json!({ "name": format!("t{at}") })).collect();
        for (body, said) in [
            (json!("all"), "invalid type"),
            (json!({ "team": [] }), "unknown field"),
            (json!({ "teams": [{ "name": "a" }, { "name": "A" }] }), "each team once"),
            (json!({ "teams": [{}, {}] }), "each team once"),
            (json!({ "teams": many }), "at most 1000"),
            (json!({ "labels": [{ "name": "a" }, { "name": "A" }] }), "each label once"),
            (json!({ "labels": [{ "name": "All hosts" }] }), "label"),
            (json!({ "teams": [{ "name": "No team" }] }), "mean something else"),
            (json!({ "teams": [{ "mdm": { "macos_updates": { "minimum_version": "x" } } }] }), "version"),
        ] {
            let answer = world.app.post("/api/v1/fleet/spec/gitops", &body).await;
            let shown = answer.json.to_string();
            assert!(answer.status.is_client_error() && shown.contains(said), "{said}: {} {shown}", answer.status);
        }
    })
    .await;
}
