//! Windows devices in their management sessions: the whole way of a command, by hand as an outside client would go it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::windows::syncml::credentials::{credentials, digest};
use protocol::windows::xml::{Element, parse};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{answer, eventually};
use crate::people::team;
use crate::windows_client::*;
use crate::world::{World, on_each_store, on_each_store_with};

const MANAGEMENT: &str = "/api/mdm/microsoft/management";

/// A device that has enrolled.
struct Pc<'w> {
    world: &'w World,
    device_id: String,
    secret: [u8; 16],
    session: u32,
    message: u32,
    credentials: String,
}

/// What the server answered.
#[derive(Debug)]
struct Told {
    body: Element,
}

impl<'w> Pc<'w> {
    async fn enroll(world: &'w World, device_id: &str, wish: Value) -> Self {
        let token = admin_token(world, wish).await;
        let request = issue(token.as_bytes(), &key()).replace(DEVICE_ID, device_id);
        let enrolled = post(world, ENROLL, request).await.enrolled(&key());
        Self::of(world, device_id, &enrolled)
    }

    fn of(world: &'w World, device_id: &str, enrolled: &Enrolled) -> Self {
        let application = &enrolled.document.children.iter().find(|one| one.attribute("type") == Some("APPLICATION"));
        let auths = application.unwrap().children.iter().filter(|one| one.attribute("type") == Some("APPAUTH"));
        let parm = |auth: &Element, name: &str| {
            let parms = auth.children.iter().find(|parm| parm.attribute("name") == Some(name));
            parms.and_then(|parm| parm.attribute("value")).unwrap_or_default().to_owned()
        };
        let own = auths.into_iter().find(|auth| parm(auth, "AAUTHLEVEL") == "APPSRV").unwrap();
        let secret = credentials(&parm(own, "AAUTHNAME"), &parm(own, "AAUTHSECRET")).unwrap();
        Self { world, device_id: device_id.into(), secret, session: 0, message: 0, credentials: String::new() }
    }

    /// Says something with these credentials.
    async fn say_with(&self, credentials: &str, said: &str) -> Told {
        let text = format!(
            "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>{:X}</SessionID>\
             <MsgID>{}</MsgID><Target><LocURI>{MANAGEMENT}</LocURI></Target><Source><LocURI>{}</LocURI></Source>{credentials}\
             </SyncHdr><SyncBody>{said}<Final/></SyncBody></SyncML>",
            self.session, self.message, self.device_id
        );
        post_syncml(self.world, MANAGEMENT, text).await
    }

    /// Begins a session: without credentials first, then with a digest of the nonce.
    async fn begin(&mut self, said: &str) -> Told {
        (self.session, self.message) = (self.session + 1, 1);
        let said = format!("<Alert><CmdID>2</CmdID><Data>1201</Data></Alert>{said}");
        let challenge = self.say_with("", &said).await;
        assert_eq!(challenge.code(), 407);
        self.credentials = self.cred(&challenge.nonce());
        let told = self.say_with(&self.credentials, &said).await;
        assert_eq!(told.code(), 200, "{told:?}");
        told
    }

    /// Goes on with the session.
    async fn say(&mut self, said: &str) -> Told {
        self.message += 1;
        self.say_with(&self.credentials, &format!("{}{said}", status("0", "SyncHdr", 200))).await
    }

    fn cred(&self, nonce: &[u8]) -> String {
        let digest = digest(&self.secret, nonce).unwrap();
        format!(
            "<Cred><Meta><Format xmlns=\"syncml:metinf\">b64</Format><Type xmlns=\"syncml:metinf\">syncml:auth-md5</Type></Meta>\
             <Data>{digest}</Data></Cred>"
        )
    }

    /// Answers the questions of its first session, which it begins.
    async fn meet(&mut self, serial: &str) -> Told {
        let model = "<Replace><CmdID>3</CmdID><Item><Source><LocURI>./DevInfo/Mod</LocURI></Source><Data>Laptop 7</Data></Item></Replace>";
        let asked = self.begin(model).await;
        assert_eq!(asked.commands(), ["rookery-serial", "rookery-version", "rookery-name"]);
        let answers = [("rookery-serial", serial), ("rookery-version", "10.0.26200.1"), ("rookery-name", "LAB-PC-7")];
        let said: String = answers.map(|(id, data)| status(id, "Get", 200) + &results(id, "./x", data)).concat();
        self.say(&said).await
    }
}

impl Told {
    fn code(&self) -> u16 {
        let header = find(&self.body, &["Status"]);
        assert_eq!(find(header, &["CmdRef"]).text, "0");
        find(header, &["Data"]).text.parse().unwrap()
    }

    fn nonce(&self) -> Vec<u8> {
        STANDARD.decode(&find(&self.body, &["Status", "Chal", "Meta", "NextNonce"]).text).unwrap()
    }

    /// The names of the commands in it.
    fn commands(&self) -> Vec<String> {
        let commands = self.body.children.iter().filter(|one| !matches!(one.name.as_str(), "Status" | "Final"));
        commands.map(|one| find(one, &["CmdID"]).text.clone()).collect()
    }
}

fn status(of: &str, verb: &str, code: u16) -> String {
    format!(
        "<Status><CmdID>7</CmdID><MsgRef>1</MsgRef><CmdRef>{of}</CmdRef><Cmd>{verb}</Cmd><Data>{code}</Data></Status>"
    )
}

fn results(of: &str, node: &str, data: &str) -> String {
    format!(
        "<Results><CmdID>8</CmdID><MsgRef>1</MsgRef><CmdRef>{of}</CmdRef><Item><Source><LocURI>{node}</LocURI></Source><Data> {data}\n\
         </Data></Item></Results>"
    )
}

async fn post_syncml(world: &World, path: &str, text: String) -> Told {
    let answer = world.app.client.post(world.app.device_url(path)).body(text).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let headers = answer.headers().clone();
    let text = answer.text().await.unwrap();
    assert_eq!(headers["content-type"], "application/vnd.syncml.dm+xml");
    assert_eq!(headers["content-length"].to_str().unwrap(), text.len().to_string(), "devices need the length");
    let mut root = parse(text.as_bytes(), 1 << 20).unwrap().root;
    Told { body: root.children.pop().unwrap() }
}

async fn run(world: &World, command: Value) -> String {
    let host = hosts(world).await[0]["id"].clone();
    let ran = world.app.post("/api/v1/fleet/commands/run", &json!({ "command": command, "host_ids": [host] })).await;
    assert_eq!((ran.status, &ran.json["platform"]), (StatusCode::OK, &json!("windows")), "{}", ran.json);
    ran.json["command_uuid"].as_str().unwrap().to_owned()
}

async fn result(world: &World, uuid: &str) -> Value {
    world.app.get(&format!("/api/v1/fleet/commands/results?command_uuid={uuid}")).await.json["results"][0].clone()
}

fn get(node: &str) -> Value {
    json!({ "verb": "Get", "target": node })
}

#[actix::test]
async fn a_device_says_which_one_it_is_and_then_does_what_it_is_told() {
    on_each_store(async |world| {
        let mut pc = Pc::enroll(world, "DEV1", json!({})).await;
        let end = pc.meet("PF-0042").await;
        assert!(end.commands().is_empty(), "the session ends");
        let host = hosts(world).await[0].clone();
        assert_eq!((&host["hardware_serial"], &host["computer_name"]), (&json!("PF-0042"), &json!("LAB-PC-7")));
        assert_eq!((&host["os_version"], &host["hardware_model"]), (&json!("10.0.26200.1"), &json!("Laptop 7")));

        let read = run(world, get("./DevDetail/SwV")).await;
        let exec = STANDARD.encode(
            "<Exec><CmdID>11111111-aaaa-4000-8000-000000000001</CmdID><Item><Target><LocURI>./Device/Vendor/MSFT/Reboot/RebootNow\
             </LocURI></Target></Item></Exec>",
        );
        let reboot = run(world, json!(exec)).await;
        assert_eq!(reboot, "11111111-aaaa-4000-8000-000000000001", "Fleet's tools name commands so");
        let told = pc.begin("").await;
        assert_eq!(told.commands(), [read.clone(), reboot.clone()], "asked once, the device is not asked again");
        let said = status(&read, "Get", 200) + &results(&read, "./DevDetail/SwV", "10.0") + &status(&reboot, "Exec", 405);
        assert!(pc.say(&said).await.commands().is_empty());

        let shown = result(world, &read).await;
        assert_eq!(shown["status"], "Acknowledged");
        assert_eq!(shown["result_json"]["results"][0]["data"], "10.0");
        let shown = result(world, &reboot).await;
        assert_eq!((&shown["status"], &shown["result_json"]["statuses"][0]["status"]), (&json!("Error"), &json!(405)));
        assert_eq!(shown["request_type"], "./Device/Vendor/MSFT/Reboot/RebootNow");
        assert!(pc.begin("").await.commands().is_empty(), "done is done");
    })
    .await;
}

/// V-03, V-04, CVE-2026-34391 (another device's commands), and the oldest mistake of all: to believe a name.
#[actix::test]
async fn who_proves_nothing_is_told_nothing_and_changes_nothing() {
    on_each_store(async |world| {
        let mut pc = Pc::enroll(world, "DEV1", json!({})).await;
        pc.meet("PF-0042").await;
        let read = run(world, get("./DevDetail/SwV")).await;
        let spoken = status(&read, "Get", 200)
            + "<Alert><CmdID>3</CmdID><Data>1226</Data><Item><Meta><Type xmlns=\"syncml:metinf\">\
                     com.microsoft:mdm.unenrollment.userrequest</Type></Meta><Data>1</Data></Item></Alert>";
        let before = (hosts(world).await, result(world, &read).await);

        (pc.session, pc.message) = (77, 1);
        let nothing = pc.say_with("", &spoken).await;
        assert_eq!((nothing.code(), nothing.commands().len()), (407, 0));
        let used = pc.credentials.clone();
        for wrong in [used.as_str(), &pc.cred(b"some other nonce"), "<Cred><Data>x</Data></Cred>"] {
            let refused = pc.say_with(wrong, &spoken).await;
            assert!(matches!(refused.code(), 401 | 407) && refused.commands().is_empty(), "{wrong}");
            assert!(!refused.nonce().is_empty());
        }
        let mut other = Pc::enroll(world, "DEV10", json!({})).await;
        other.meet("PF-0043").await;
        let others = other.credentials.clone();
        assert_eq!(pc.say_with(&others, &spoken).await.code(), 401, "another device's digest");
        let unknown = Pc { device_id: "DEV".into(), credentials: String::new(), ..pc };
        assert_eq!(unknown.say_with("", &spoken).await.code(), 407, "whether a name is known is not told");
        assert_eq!(unknown.say_with(&others, &spoken).await.code(), 401);

        let after = (hosts(world).await, result(world, &read).await);
        assert_eq!((&after.0[0], &after.1), (&before.0[0], &before.1));
        other.session = 90;
        other.begin("").await;
        assert!(other.say(&status(&read, "Get", 200)).await.commands().is_empty());
        assert_eq!(result(world, &read).await["status"], before.1["status"], "another host's command");
    })
    .await;
}

#[actix::test]
async fn what_is_there_already_is_replaced_and_what_was_lost_is_sent_again() {
    on_each_store(async |world| {
        let mut pc = Pc::enroll(world, "DEV1", json!({})).await;
        pc.meet("PF-0042").await;
        let add = run(world, json!({ "verb": "Add", "target": "./Device/A", "format": "int", "data": 1 })).await;
        let read = run(world, get("./DevDetail/SwV")).await;
        assert_eq!(pc.begin("").await.commands(), [add.clone(), read.clone()]);
        // Its answer is lost: what was handed out goes again, one at a time.
        assert_eq!(pc.begin("").await.commands(), [add.as_str()]);
        let told = pc.say(&status(&add, "Add", 418)).await;
        let replaced = format!("{add}.r0");
        assert_eq!(told.commands(), [replaced.clone(), read.clone()]);
        let again = pc.say_with(&pc.credentials, &(status("0", "SyncHdr", 200) + &status(&add, "Add", 418))).await;
        assert_eq!(
            again.commands(),
            told.commands(),
            "the same message, because its answer was lost, is answered alike"
        );
        let said = status(&replaced, "Replace", 200) + &status(&read, "Get", 404);
        assert!(pc.say(&said).await.commands().is_empty());
        assert_eq!(result(world, &add).await["status"], "Acknowledged");
        assert_eq!(result(world, &read).await["status"], "Error");

        // What comes after an Add and is about the same node never goes before the Add's Replace.
        let again = run(world, json!({ "verb": "Add", "target": "./Device/A", "format": "int", "data": 1 })).await;
        let set = run(world, json!({ "verb": "Replace", "target": "./Device/A", "format": "int", "data": 2 })).await;
        assert_eq!(pc.begin("").await.commands(), [again.as_str()]);
        let told = pc.say(&status(&again, "Add", 418)).await;
        assert_eq!(told.commands(), [format!("{again}.r0"), set]);
    })
    .await;
}

#[actix::test]
async fn a_session_outlives_the_server() {
    on_each_store_with(
        |_| {},
        async |world| {
            let enrolled = {
                let token = admin_token(world, json!({})).await;
                post(world, ENROLL, issue(token.as_bytes(), &key())).await.enrolled(&key())
            };
            let (read, session, credentials) = {
                let mut pc = Pc::of(world, DEVICE_ID, &enrolled);
                pc.meet("PF-0042").await;
                let read = run(world, get("./DevDetail/SwV")).await;
                assert_eq!(pc.begin("").await.commands(), [read.as_str()]);
                (read, pc.session, pc.credentials)
            };
            world.app.restart();
            let mut pc = Pc::of(world, DEVICE_ID, &enrolled);
            (pc.session, pc.message, pc.credentials) = (session, 2, credentials);
            let said = status("0", "SyncHdr", 200) + &status(&read, "Get", 200);
            let refused = pc.say_with(&pc.credentials, &said).await;
            assert_eq!(refused.code(), 401, "the nonces are others now");
            let told = pc.say_with(&pc.cred(&refused.nonce()), &said).await;
            assert!(told.commands().is_empty(), "the device did it");
            assert_eq!(result(world, &read).await["status"], "Acknowledged");
        },
    )
    .await;
}

#[actix::test]
async fn a_policy_and_the_brakes_know_what_a_windows_command_does() {
    on_each_store(async |world| {
        let mut pc = Pc::enroll(world, "DEV1", json!({})).await;
        pc.meet("PF-0042").await;
        let host = hosts(world).await[0]["id"].clone();
        let rules = json!({ "rules": [
            { "request_type": "EraseDevice", "roles": ["gitops"] },
            { "request_type": "./Device/Vendor/MSFT/Reboot/RebootNow", "roles": ["gitops"] },
        ] });
        let set = answer(world.app.admin(Method::PUT, "/api/v1/fleet/commands/policy").body(rules.to_string())).await;
        assert_eq!(set.status, StatusCode::OK, "{}", set.json);
        let hidden = json!({ "operations": [
            get("./DevDetail/SwV"), { "verb": "Exec", "target": "./vendor/MSFT/%52emoteWipe/doWipe" },
        ] });
        let reboot = json!({ "operations": [get("./DevDetail/SwV"), { "verb": "Exec", "target": "Vendor/msft/Reboot/RebootNow" }] });
        for command in [hidden, reboot] {
            let run = json!({ "command": command, "host_ids": [host] });
            let refused = world.app.post("/api/v1/fleet/commands/run", &run).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.json);
        }
        run(world, get("./DevDetail/SwV")).await;
    })
    .await;
}

#[actix::test]
async fn management_ends_from_either_side() {
    on_each_store(async |world| {
        let mut pc = Pc::enroll(world, "DEV1", json!({})).await;
        pc.meet("PF-0042").await;
        let id = hosts(world).await[0]["id"].clone();
        let left = answer(world.app.admin(Method::DELETE, &format!("/api/v1/fleet/hosts/{id}/mdm"))).await;
        assert_eq!(left.status, StatusCode::NO_CONTENT, "{}", left.json);
        let told = pc.begin("").await;
        let [unenroll] = &told.commands()[..] else { unreachable!("{told:?}") };
        assert_eq!(find(&told.body, &["Exec", "Item", "Data"]).text, "Rookery");
        let off = async || (hosts(world).await[0]["mdm"]["enrollment_status"] == "Off").then_some(());
        eventually("management is off", off).await;
        assert_eq!(result(world, unenroll).await["status"], "Acknowledged");
        // The answer was lost: the device comes all the same, and is told again.
        assert_eq!(find(&pc.begin("").await.body, &["Exec", "Item", "Data"]).text, "Rookery");

        let mut other = Pc::enroll(world, "DEV2", json!({})).await;
        other.meet("PF-0043").await;
        let wipe = world.app.post(&format!("/api/v1/fleet/hosts/{}/wipe", hosts(world).await[1]["id"]), &json!({})).await;
        assert_eq!(wipe.status, StatusCode::NO_CONTENT, "{}", wipe.json);
        let user = "<Alert><CmdID>3</CmdID><Data>1226</Data><Item><Meta><Type xmlns=\"syncml:metinf\">\
                    com.microsoft:mdm.unenrollment.userrequest</Type><Format xmlns=\"syncml:metinf\">int</Format></Meta><Data>1</Data></Item></Alert>";
        assert!(other.begin(user).await.commands().is_empty(), "who leaves is told nothing more");
        assert_eq!(hosts(world).await[1]["mdm"]["enrollment_status"], "Off");
        let activities = world.app.get("/api/v1/fleet/activities").await.json;
        assert_eq!(activities["activities"][0]["type"], "mdm_unenrolled", "{activities}");
    })
    .await;
}

#[actix::test]
async fn two_rows_become_one_host_when_the_serial_number_is_known() {
    on_each_store(async |world| {
        agent(world, "PF0042").await;
        let mut pc = Pc::enroll(world, "DEV1", json!({})).await;
        assert_eq!(hosts(world).await.len(), 2, "nobody knows yet that they are one");
        pc.meet("PF0042").await;
        let known = hosts(world).await;
        assert_eq!(known.len(), 1);
        assert_eq!(
            (&known[0]["hardware_serial"], &known[0]["mdm"]["enrollment_status"]),
            (&json!("PF0042"), &json!("On (manual)"))
        );

        let mut thief = Pc::enroll(world, "DEV2", json!({})).await;
        thief.meet("PF0042").await;
        let known = hosts(world).await;
        assert_eq!(known.len(), 2, "a host that is managed is nobody else's");
        assert_eq!(known[1]["hardware_serial"], "");
        let deleted = answer(world.app.admin(Method::DELETE, &format!("/api/v1/fleet/hosts/{}", known[0]["id"]))).await;
        assert_eq!(deleted.status, StatusCode::OK, "{}", deleted.json);
        thief.meet("PF0042").await;
        assert_eq!(
            hosts(world).await[0]["hardware_serial"],
            "PF0042",
            "an admin made room: the device is asked until then"
        );
        assert!(thief.begin("").await.commands().is_empty());
        let mut nameless = Pc::enroll(world, "DEV3", json!({})).await;
        nameless.meet("To be filled by O.E.M.").await;
        assert!(nameless.begin("").await.commands().is_empty(), "it is not asked for ever");
    })
    .await;
}

#[actix::test]
async fn what_is_no_message_is_answered_with_400() {
    on_each_store(async |world| {
        let send = async |path: &str, body: String| {
            world.app.client.post(world.app.device_url(path)).body(body).send().await.unwrap().status()
        };
        for path in
            [MANAGEMENT, "/ManagementServer/MDM.svc", "/api/mdm/microsoft/management?mode=Maintenance&Platform=WoA"]
        {
            assert_eq!(send(path, String::new()).await, StatusCode::BAD_REQUEST, "{path}");
        }
        let doctype = "<!DOCTYPE a [<!ENTITY b 'c'>]><SyncML xmlns='SYNCML:SYNCML1.2'/>".to_owned();
        let deep = format!("<SyncML xmlns='SYNCML:SYNCML1.2'>{}", "<a>".repeat(100_000));
        for body in ["<SyncML/>".to_owned(), doctype, deep, "\0".repeat(1000)] {
            assert_eq!(send(MANAGEMENT, body).await, StatusCode::BAD_REQUEST);
        }
    })
    .await;
}

#[actix::test]
async fn an_agent_that_wakes_its_device_lets_it_sleep_longer() {
    on_each_store(async |world| {
        let node_key = agent(world, "PF0042").await;
        let enrolled = post(world, ENROLL, issue(&agent_token(&node_key), &key())).await.enrolled(&key());
        let mut pc = Pc::of(world, DEVICE_ID, &enrolled);
        pc.meet("PF0042").await;
        let config = async |capabilities: &str| {
            let request = world.app.client.post(world.app.device_url("/api/fleet/orbit/config"));
            let request = request.header("X-Fleet-Capabilities", capabilities);
            let said = answer(request.body(json!({ "orbit_node_key": node_key }).to_string())).await;
            assert_eq!(said.status, StatusCode::OK, "{}", said.json);
            said.json["notifications"]["windows_mdm_sync_request"] == true
        };
        assert!(!config("orbit_endpoints").await && pc.begin("").await.commands().is_empty());
        assert!(!config("orbit_endpoints, windows_mdm_sync").await, "there is no work");
        let told = pc.begin("").await;
        assert_eq!(told.commands(), ["rookery-poll"]);
        assert_eq!(find(&told.body, &["Replace", "Item", "Data"]).text, "60");
        assert!(pc.say(&status("rookery-poll", "Replace", 200)).await.commands().is_empty());
        assert!(pc.begin("").await.commands().is_empty(), "it was told");

        let read = run(world, get("./DevDetail/SwV")).await;
        assert!(config("windows_mdm_sync").await, "the agent starts a session");
        assert_eq!(pc.begin("").await.commands(), [read.as_str()]);
        assert!(pc.say(&status(&read, "Get", 404)).await.commands().is_empty());
        assert!(!config("windows_mdm_sync").await);
        assert!(!config("").await, "another agent, or an older one, took its place");
        let told = pc.begin("").await;
        assert_eq!(
            (told.commands(), find(&told.body, &["Replace", "Item", "Data"]).text.as_str()),
            (vec!["rookery-poll".into()], "1")
        );
    })
    .await;
}

#[actix::test]
async fn an_expected_host_gives_its_team_to_the_device_that_it_is_and_a_deleted_one_does_not() {
    on_each_store(async |world| {
        let team = team(world, "Lab").await;
        let import = async |serial: &str| {
            let body = json!({ "hosts": [{ "hardware_serial": serial, "platform": "windows" }], "team_id": team });
            let imported = world.app.post("/api/v1/fleet/hosts/import", &body).await;
            assert_eq!(imported.status, StatusCode::OK, "{}", imported.json);
        };
        import("PF-0001").await;
        import("PF-0002").await;
        let deleted = hosts(world).await[1]["id"].clone();
        let gone = answer(world.app.admin(Method::DELETE, &format!("/api/v1/fleet/hosts/{deleted}"))).await;
        assert_eq!(gone.status, StatusCode::OK, "{}", gone.json);
        for (device, serial, expected) in [("DEV1", "PF-0001", json!(team)), ("DEV2", "PF-0002", Value::Null)] {
            Pc::enroll(world, device, json!({})).await.meet(serial).await;
            let known = hosts(world).await;
            let host = known.iter().find(|host| host["hardware_serial"] == serial).unwrap();
            assert_eq!((&host["team_id"], &host["mdm"]["enrollment_status"]), (&expected, &json!("On (manual)")));
        }
        assert_eq!(hosts(world).await.len(), 2);
    })
    .await;
}
