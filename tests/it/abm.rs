//! Apple Business Manager: tokens, expected hosts, Setup Assistant profiles, and what goes wrong with them, against a simulated
//! service that is as strict as Apple's.

use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::dep::answers::ProfileStatus;
use protocol::pki::ServerName;
use reqwest::{Method, StatusCode};
use rookery::config::Settings;
use rookery::sim::abm::{
    AssignmentConfig, AssignmentService, Fault, OrganizationId, Refused, Rule, Target, When, facts,
};
use rookery::sim::clock::Clock;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::app::{Answer, answer, eventually};
use crate::people::{ask, done, team};
use crate::postbox::Postbox;
use crate::profiles_api::{form_of, form_type};
use crate::world::{World, apple, now, on_each_store_with};

const BASE: &str = "/api/v1/fleet";
const DAY: Duration = Duration::from_secs(86_400);
/// Longer than any rest of a device, a profile or a token.
pub(crate) const RESTS_END: Duration = Duration::from_secs(2 * 3600);

/// The simulated service. Its clock is the server's, once there is one.
pub(crate) struct Apple {
    pub(crate) service: AssignmentService,
    clock: Arc<Mutex<Option<Clock>>>,
    /// How often the server was stopped.
    stops: Cell<usize>,
    runtime: Option<Runtime>,
}

impl Apple {
    pub(crate) fn start(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let clock = Arc::new(Mutex::new(None::<Clock>));
        let shared = clock.clone();
        let localhost = ServerName::parse("localhost").unwrap();
        let certificate = apple().issue_server(&[localhost], now(), DAY).unwrap();
        let time = Clock::new(move || shared.lock().unwrap().as_ref().map_or_else(now, Clock::now));
        let config = AssignmentConfig::local(certificate, time, seed);
        let service = AssignmentService::start(config, runtime.handle()).unwrap();
        Self { service, clock, stops: Cell::new(0), runtime: Some(runtime) }
    }

    pub(crate) fn set(&self, settings: &mut Settings) {
        settings.abm.url = self.service.url();
        settings.abm.root_certificate = settings.apns.root_certificate.clone();
        settings.abm.device_authorities = settings.apns.root_certificate.clone();
        settings.abm.sync_every = Duration::from_millis(100).into();
    }

    /// From now on its clock is that of the world's server, until that restarts.
    pub(crate) fn join(&self, world: &World) {
        *self.clock.lock().unwrap() = Some(world.clock());
    }

    /// Until it joins again, its clock is the system's, as that of a server which starts.
    pub(crate) fn leave(&self) {
        self.stops.set(self.stops.get() + 1);
        *self.clock.lock().unwrap() = None;
    }

    /// An organization with a token at the server; the token's row.
    pub(crate) async fn organization(&self, world: &World, name: &str) -> (OrganizationId, i64) {
        let organization = self.service.found(name);
        let uploaded =
            upload(world, Method::POST, "/abm_tokens", &self.token(world, organization, DAY * 300).await).await;
        assert_eq!(uploaded.status, StatusCode::OK, "{}", uploaded.json);
        (organization, uploaded.json["abm_token"]["id"].as_i64().unwrap())
    }

    /// A token's file.
    pub(crate) async fn token(&self, world: &World, organization: OrganizationId, valid_for: Duration) -> Vec<u8> {
        let key = get(world, "/mdm/apple/abm_public_key").await;
        let pem = STANDARD.decode(key["public_key"].as_str().unwrap()).unwrap();
        self.service.token_file(organization, &pem, valid_for).unwrap()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.service.calls().values().sum()
    }
}

impl Drop for Apple {
    fn drop(&mut self) {
        self.service.stop();
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// Runs a test with a simulated service of its own on each store.
pub(crate) async fn with_apple(seed: u64, test: impl AsyncFn(&mut World, &Apple)) {
    with_apple_and(seed, |_| {}, test).await;
}

pub(crate) async fn with_apple_and(seed: u64, change: impl Fn(&mut Settings), test: impl AsyncFn(&mut World, &Apple)) {
    let place = std::cell::RefCell::new(None);
    let begin = |settings: &mut Settings| {
        let apple = Apple::start(seed);
        apple.set(settings);
        change(settings);
        *place.borrow_mut() = Some(apple);
    };
    on_each_store_with(begin, async |world: &mut World| {
        let apple = place.borrow_mut().take().unwrap();
        apple.join(world);
        test(world, &apple).await;
        // A test puts the clock forward while requests are under way, which are then signed too long ago.
        let mut findings = apple.service.findings();
        findings.retain(|finding| !finding.text.contains("timestamp_refused"));
        // A server that is stopped between an answer and its note of it does not know that it shall wait.
        for _ in 0..apple.stops.get() {
            let hasty = findings.iter().position(|finding| finding.rule == Rule::Haste);
            hasty.into_iter().for_each(|at| drop(findings.remove(at)));
        }
        assert_eq!(findings, vec![], "the service found faults of the server");
    })
    .await;
}

pub(crate) async fn get(world: &World, path: &str) -> Value {
    done(world, &world.app.token, Method::GET, path, Value::Null).await
}

pub(crate) async fn upload(world: &World, method: Method, path: &str, file: &[u8]) -> Answer {
    let request = world.app.admin(method, &format!("{BASE}{path}")).header("content-type", form_type());
    answer(request.body(form_of(&[], Some(("token", "server_token.p7m", file))))).await
}

async fn token(world: &World, id: i64) -> Value {
    let tokens = get(world, "/abm_tokens").await;
    let mut tokens = tokens["abm_tokens"].as_array().unwrap().iter();
    tokens.find(|token| token["id"] == id).unwrap().clone()
}

/// Waits until a token's round came to its end with so many devices.
pub(crate) async fn synced(world: &World, id: i64, devices: u64) {
    eventually("the devices are synced", async || {
        let token = token(world, id).await;
        (token["device_count"] == devices && token["synced_at"].is_string()).then_some(())
    })
    .await;
}

async fn pending(world: &World) -> u64 {
    get(world, "/hosts/count?mdm_enrollment_status=pending").await["count"].as_u64().unwrap()
}

pub(crate) async fn host(world: &World, serial: &str) -> Value {
    get(world, &format!("/hosts/identifier/{serial}")).await["host"].clone()
}

/// Which profile a device has at Apple, by its name; waits until it is the one that is expected.
pub(crate) async fn assigned(apple: &Apple, serial: &str, name: &str) {
    eventually(&format!("{serial} is assigned {name}"), async || {
        let known = apple.service.device(serial)?;
        let profile = apple.service.profile(known.organization, known.profile_uuid.as_deref()?)?;
        (known.profile_status == ProfileStatus::Assigned && profile["profile_name"] == name).then_some(())
    })
    .await;
}

fn serials(numbers: std::ops::Range<u32>) -> Vec<String> {
    facts(7, numbers).map(|facts| facts.serial_number).collect()
}

pub(crate) const STANDARD_NAME: &str = "Default enrollment profile";

#[actix::test]
async fn a_token_brings_expected_hosts_which_are_assigned_their_teams_profile() {
    with_apple(1, async |world, apple| {
        let organization = apple.service.found("Example");
        apple.service.add_devices(organization, facts(7, 0..450));
        let refused = upload(world, Method::POST, "/abm_tokens", b"no token").await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{}", refused.json);
        let file = apple.token(world, organization, DAY * 300).await;
        let uploaded = upload(world, Method::POST, "/abm_tokens", &file).await;
        assert_eq!(uploaded.status, StatusCode::OK, "{}", uploaded.json);
        let shown = &uploaded.json["abm_token"];
        assert_eq!((&shown["org_name"], &shown["apple_id"]), (&json!("Example"), &json!("admin@example.com")));
        let id = shown["id"].as_i64().unwrap();
        let again = upload(world, Method::POST, "/abm_tokens", &file).await;
        assert_eq!(again.status, StatusCode::CONFLICT, "{}", again.json);
        synced(world, id, 450).await;
        assert_eq!(pending(world).await, 450);
        for serial in serials(0..450) {
            assigned(apple, &serial, STANDARD_NAME).await;
        }
        let host = host(world, &serials(0..1)[0]).await;
        assert_eq!((&host["mdm"]["enrollment_status"], &host["platform"]), (&json!("Pending"), &json!("darwin")));
        let shown = get(world, &format!("/hosts/{}/dep_assignment", host["id"])).await;
        assert_eq!(shown["dep_device"]["assign_profile_response"], "SUCCESS");
        assert_eq!(shown["dep_device"]["profile_status"], "assigned");
        let calls = apple.service.calls();
        // 450 devices: three pages, three assignments, one definition.
        assert_eq!((calls["POST /server/devices"], calls["POST /profile/devices"], calls["POST /profile"]), (3, 3, 1));
    })
    .await;
}

#[actix::test]
async fn teams_decide_which_profile_a_device_has() {
    with_apple(2, async |world, apple| {
        let (organization, id) = apple.organization(world, "Example").await;
        let (macs, phones) = (team(world, "macs").await, team(world, "phones").await);
        let teams = json!({ "macos_team_id": macs, "ios_team_id": phones, "ipados_team_id": 0 });
        done(world, &world.app.token, Method::PATCH, &format!("/abm_tokens/{id}/teams"), teams).await;
        let own = |team: i64, name: &str| {
            json!({ "team_id": team, "name": "setup.json", "enrollment_profile": { "profile_name": name, "skip_setup_items": ["Siri"] } })
        };
        let path = "/enrollment_profiles/automatic";
        done(world, &world.app.token, Method::POST, path, own(macs, "For Macs")).await;
        apple.service.add_devices(organization, facts(7, 0..6));
        synced(world, id, 6).await;
        let all = serials(0..6); // a Mac, a phone, a tablet, and again
        for (serial, name, of) in [(&all[0], "For Macs", Some(macs)), (&all[1], STANDARD_NAME, Some(phones)), (&all[2], STANDARD_NAME, None)] {
            assigned(apple, serial, name).await;
            assert_eq!(host(world, serial).await["team_id"], json!(of), "{serial}");
        }
        done(world, &world.app.token, Method::POST, path, own(macs, "For new Macs")).await;
        assigned(apple, &all[0], "For new Macs").await;
        assigned(apple, &all[3], "For new Macs").await;
        let id = host(world, &all[2]).await["id"].clone();
        let transfer = json!({ "team_id": macs, "hosts": [id] });
        done(world, &world.app.token, Method::POST, "/hosts/transfer", transfer).await;
        assigned(apple, &all[2], "For new Macs").await;
        let shown = get(world, &format!("{path}?team_id={macs}")).await;
        assert_eq!(shown["organizations"][0]["error"], "");
        assert_eq!(shown["enrollment_profile"]["profile_name"], "For new Macs");
        done(world, &world.app.token, Method::DELETE, &format!("{path}?team_id={macs}"), Value::Null).await;
        assigned(apple, &all[0], STANDARD_NAME).await;
        let gone = ask(world, Some(&world.app.token), Method::GET, &format!("{path}?team_id={macs}"), Value::Null).await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[actix::test]
async fn a_setup_assistant_profile_with_keys_of_the_servers_own_is_refused_by_name() {
    with_apple(3, async |world, _| {
        for key in ["url", "configuration_web_url", "await_device_configured", "devices"] {
            let body =
                json!({ "name": "a.json", "enrollment_profile": { "profile_name": "A", key: "https://example.com" } });
            let answer = ask(world, Some(&world.app.token), Method::POST, "/enrollment_profiles/automatic", body).await;
            assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(answer.json["errors"][0]["reason"].as_str().unwrap().starts_with(key), "{}", answer.json);
        }
    })
    .await;
}

#[actix::test]
async fn a_profile_that_apple_refuses_is_told_and_the_one_before_stays() {
    with_apple(4, async |world, apple| {
        let (organization, id) = apple.organization(world, "Example").await;
        apple.service.add_devices(organization, facts(7, 0..1));
        synced(world, id, 1).await;
        let serial = serials(0..1).remove(0);
        assigned(apple, &serial, STANDARD_NAME).await;
        let path = "/enrollment_profiles/automatic";
        // Apple looks at more than the server knows of.
        apple.service.script(Target::Path("/profile".into()), Fault::answer(400, "CONFIG_NAME_INVALID"), When::Next(1));
        let own = json!({ "name": "a.json", "enrollment_profile": { "profile_name": "Mine" } });
        done(world, &world.app.token, Method::POST, path, own).await;
        eventually("the refusal is shown", async || {
            let shown = get(world, path).await;
            shown["organizations"][0]["error"].as_str()?.contains("CONFIG_NAME_INVALID").then_some(())
        })
        .await;
        assigned(apple, &serial, STANDARD_NAME).await;
        world.app.running().parts.clock.advance(RESTS_END);
        assigned(apple, &serial, "Mine").await;
    })
    .await;
}

#[actix::test]
async fn hosts_come_and_go_with_their_devices() {
    with_apple(5, async |world, apple| {
        let (organization, id) = apple.organization(world, "Example").await;
        apple.service.add_devices(organization, facts(7, 0..3));
        synced(world, id, 3).await;
        let all = serials(0..3);
        let first = host(world, &all[0]).await["id"].clone();
        done(world, &world.app.token, Method::DELETE, &format!("/hosts/{first}"), Value::Null).await;
        let returns = async || {
            let found =
                ask(world, Some(&world.app.token), Method::GET, &format!("/hosts/identifier/{}", all[0]), Value::Null)
                    .await;
            (found.json["host"]["id"] == first).then(|| found.json["host"]["mdm"]["enrollment_status"].clone())
        };
        assert_eq!(eventually("the deleted host is expected again", returns).await, "Pending");
        world.app.running().parts.clock.advance(Duration::from_secs(2));
        apple.service.remove_devices(organization, &all[1..2]);
        eventually("the host is gone with its device", async || (pending(world).await == 2).then_some(())).await;
        let (other, other_id) = apple.organization(world, "Other").await;
        let sales = team(world, "sales").await;
        let teams = json!({ "macos_team_id": sales, "ios_team_id": sales, "ipados_team_id": sales });
        done(world, &world.app.token, Method::PATCH, &format!("/abm_tokens/{other_id}/teams"), teams).await;
        world.app.running().parts.clock.advance(Duration::from_secs(2));
        apple.service.move_devices(organization, other, &all[2..3]);
        eventually("the host moved with its device", async || {
            // Between the two organizations' words it is nobody's, and there is no host.
            let path = format!("/hosts/identifier/{}", all[2]);
            let found = ask(world, Some(&world.app.token), Method::GET, &path, Value::Null).await.json;
            (found["host"]["team_id"] == sales).then_some(())
        })
        .await;
        synced(world, id, 1).await;
        synced(world, other_id, 1).await;
        assigned(apple, &all[2], STANDARD_NAME).await;
        done(world, &world.app.token, Method::DELETE, &format!("/abm_tokens/{other_id}"), Value::Null).await;
        assert_eq!((pending(world).await, get(world, "/abm_tokens/count").await["count"].clone()), (1, json!(1)));
    })
    .await;
}

#[actix::test]
async fn what_apple_wants_of_people_is_told_and_mailed() {
    let Some(postbox) = Postbox::open() else {
        return println!("left out: mail (ROOKERY_TEST_PYTHON is not set)");
    };
    with_apple_and(6, |settings| postbox.set(settings), async |world, apple| {
        let admin = json!({
            "name": "Ada", "email": "ada@example.com", "password": "a long enough passphrase", "global_role": "admin",
        });
        done(world, &world.app.token, Method::POST, "/users/admin", admin).await;
        let (organization, id) = apple.organization(world, "Example").await;
        apple.service.add_devices(organization, facts(7, 0..1));
        synced(world, id, 1).await;
        apple.service.sign_terms(organization, false);
        let becomes = async |what: &str, value: bool| {
            eventually(what, async || (token(world, id).await[what] == value).then_some(())).await;
        };
        becomes("terms_expired", true).await;
        let letter = postbox.letter();
        assert!(letter["subject"].as_str().unwrap().contains("terms") && letter["to"][0] == "ada@example.com", "{letter}");
        let calls = apple.calls();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(apple.calls(), calls, "nothing is asked until the token has rested");
        apple.service.sign_terms(organization, true);
        world.app.running().parts.clock.advance(RESTS_END);
        becomes("terms_expired", false).await;
        apple.service.revoke_token(organization);
        becomes("token_invalid", true).await;
        assert!(postbox.letter()["subject"].as_str().unwrap().contains("does not take the token"));
        let file = apple.token(world, organization, DAY * 20).await;
        let renewed = upload(world, Method::PATCH, &format!("/abm_tokens/{id}/renew"), &file).await;
        assert_eq!(renewed.status, StatusCode::OK, "{}", renewed.json);
        becomes("token_invalid", false).await;
        // The new one ends in 20 days: a warning of 30 days is due, and later the others, each once.
        for days in [0, 7, 7, 5] {
            world.app.running().parts.clock.advance(DAY * days);
            let letter = postbox.letter();
            assert!(letter["subject"].as_str().unwrap().contains("ends soon"), "{letter}");
        }
        let foreign = apple.service.found("Foreign");
        let file = apple.token(world, foreign, DAY * 300).await;
        let refused = upload(world, Method::PATCH, &format!("/abm_tokens/{id}/renew"), &file).await;
        assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.json);
    })
    .await;
}

#[actix::test]
async fn devices_and_cursors_that_fail_are_left_alone_for_a_while() {
    with_apple(7, async |world, apple| {
        let (organization, id) = apple.organization(world, "Example").await;
        let all = serials(0..3);
        apple.service.refuse_device(&all[0], Refused::Failed);
        apple.service.refuse_device(&all[1], Refused::Throttled(Duration::from_secs(600)));
        apple.service.add_devices(organization, facts(7, 0..3));
        synced(world, id, 3).await;
        assigned(apple, &all[2], STANDARD_NAME).await;
        let assignments = || apple.service.calls().get("POST /profile/devices").copied().unwrap_or_default();
        let once = assignments();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(assignments(), once, "a device that fails is not named again at once");
        let failed = host(world, &all[0]).await["id"].clone();
        let shown = get(world, &format!("/hosts/{failed}/dep_assignment")).await;
        assert_eq!(shown["dep_device"]["assign_profile_response"], "FAILED");
        apple.service.heal();
        world.app.running().parts.clock.advance(RESTS_END);
        assigned(apple, &all[0], STANDARD_NAME).await;
        assigned(apple, &all[1], STANDARD_NAME).await;
        // The cursor ends after a week: everything is read anew, once.
        let lists = || apple.service.calls()["POST /server/devices"];
        let before = lists();
        world.app.running().parts.clock.advance(DAY * 8);
        apple.service.remove_devices(organization, &all[..1]);
        synced(world, id, 2).await;
        assert_eq!(pending(world).await, 2, "what is not met any more is gone");
        assert_eq!(lists(), before + 1);
        let synced = || apple.service.calls()["POST /devices/sync"];
        let told = synced();
        eventually("changes are told again", async || (synced() > told + 1).then_some(())).await;
        // A service that refuses every cursor is not asked for everything again and again.
        apple.service.script(
            Target::Path("/devices/sync".into()),
            Fault::answer(400, "INVALID_CURSOR"),
            When::Chance(1.0),
        );
        eventually("all is read anew", async || (lists() > before + 1).then_some(())).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(lists() <= before + 3, "{} lists", lists() - before);
        apple.service.heal();
        world.app.running().parts.clock.advance(DAY);
        eventually("the token is well again", async || (token(world, id).await["sync_error"] == "").then_some(()))
            .await;
    })
    .await;
}
