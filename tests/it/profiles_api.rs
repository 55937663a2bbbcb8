//! Profiles and the secrets in them, as admins see them: upload, list, replace, refuse, send again; by HTTP alone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::pki::signature::sign_attached;
use protocol::pki::{NewKey, self_signed};
use reqwest::{Method, StatusCode};
use rookery::sim::apple::model::Family;
use serde_json::{Value, json};

use crate::app::{Answer, answer};
use crate::people::{ask, done, program, team};
use crate::world::{World, now, on_each_store};

const BASE: &str = "/api/v1/fleet";
const PROFILES: &str = "/configuration_profiles";
/// What separates the fields of a form.
const BOUNDARY: &str = "boundary-of-a-form";

/// A configuration profile with one payload.
pub(crate) fn mobileconfig(identifier: &str, name: &str, setting: &str) -> String {
    let common = |payload_type: &str, identifier: &str| {
        format!(
            "<key>PayloadType</key><string>{payload_type}</string><key>PayloadVersion</key><integer>1</integer>\
             <key>PayloadIdentifier</key><string>{identifier}</string><key>PayloadUUID</key><string>{identifier}</string>"
        )
    };
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><plist version=\"1.0\"><dict>{}<key>PayloadDisplayName</key>\
         <string>{name}</string><key>PayloadContent</key><array><dict>{}<key>setting</key><string>{setting}</string>\
         </dict></array></dict></plist>",
        common("Configuration", identifier),
        common("com.apple.screensaver", &format!("{identifier}.payload")),
    )
}

fn declaration(identifier: &str) -> String {
    json!({
        "Type": "com.apple.configuration.passcode.settings",
        "Identifier": identifier,
        "Payload": { "RequirePasscode": true },
    })
    .to_string()
}

/// A Windows profile that sets one node.
fn syncml(node: &str) -> String {
    format!(
        "<Replace><Item><Target><LocURI>./Device/Vendor/MSFT/{node}</LocURI></Target><Meta><Format xmlns=\"syncml:metinf\">int\
         </Format></Meta><Data>1</Data></Item></Replace>"
    )
}

/// A form: its fields, and the file.
pub(crate) fn form(fields: &[(&str, &str)], file: Option<(&str, &[u8])>) -> Vec<u8> {
    form_of(fields, file.map(|(name, content)| ("profile", name, content)))
}

/// The same with a file of any field: the field's name, the file's name, and what is in it.
pub(crate) fn form_of(fields: &[(&str, &str)], file: Option<(&str, &str, &[u8])>) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, value) in fields {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        form.extend(head.into_bytes());
    }
    if let Some((field, name, content)) = file {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n\r\n");
        form.extend(head.into_bytes());
        form.extend_from_slice(content);
        form.extend_from_slice(b"\r\n");
    }
    form.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    form
}

/// The type of a form.
pub(crate) fn form_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

async fn send_form(world: &World, body: Vec<u8>) -> Answer {
    let request = world.app.admin(Method::POST, &format!("{BASE}{PROFILES}"));
    answer(request.header("content-type", form_type()).body(body)).await
}

/// Uploads a file, and gives the answer.
pub(crate) async fn try_upload(world: &World, fields: &[(&str, &str)], file: (&str, &str)) -> Answer {
    send_form(world, form(fields, Some((file.0, file.1.as_bytes())))).await
}

/// Uploads a file; its UUID.
pub(crate) async fn upload(world: &World, fields: &[(&str, &str)], file: (&str, &str)) -> String {
    let made = try_upload(world, fields, file).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.json);
    made.json["profile_uuid"].as_str().unwrap().to_owned()
}

async fn get(world: &World, path: &str) -> Value {
    done(world, &world.app.token, Method::GET, path, Value::Null).await
}

/// What is asked, and how it is refused.
async fn refused(world: &World, method: Method, path: &str, body: Value) -> (u16, String) {
    let answer = ask(world, Some(&world.app.token), method, path, body).await;
    (answer.status.as_u16(), answer.json["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
}

fn names(list: &Value) -> Vec<&str> {
    list["profiles"].as_array().unwrap().iter().map(|profile| profile["name"].as_str().unwrap()).collect()
}

#[actix::test]
async fn profiles_are_uploaded_listed_shown_downloaded_and_deleted() {
    on_each_store(async |world| {
        let wifi = mobileconfig("com.example.wifi", "Wi-Fi für alle", "x");
        let uuid = upload(world, &[("team_id", "0")], ("any name.MOBILECONFIG", &wifi)).await;
        let passcode = upload(world, &[], ("C:\\x\\Passcode.json", &declaration("com.example.passcode"))).await;
        assert!(uuid.starts_with('a') && uuid.len() == 37 && passcode.starts_with('d'));

        let camera = upload(world, &[], ("Camera.xml", &syncml("Policy/Config/Camera/AllowCamera"))).await;
        let shown = get(world, &format!("{PROFILES}/{camera}")).await;
        assert!(camera.starts_with('w') && shown["platform"] == "windows" && shown["identifier"].is_null(), "{shown}");
        done(world, &world.app.token, Method::DELETE, &format!("/mdm/profiles/{camera}"), Value::Null).await;

        let list = get(world, PROFILES).await;
        assert_eq!(names(&list), ["Passcode", "Wi-Fi für alle"], "by name");
        assert_eq!(list["meta"], json!({ "has_next_results": false, "has_previous_results": false }));
        let page = get(world, &format!("{PROFILES}?per_page=1&page=1&team_id=0")).await;
        assert_eq!((names(&page), &page["meta"]["has_previous_results"]), (vec!["Wi-Fi für alle"], &json!(true)));

        let shown = get(world, &format!("/mdm/profiles/{uuid}")).await;
        let expected = json!({ "platform": "darwin", "identifier": "com.example.wifi", "scope": "System", "team_id": 0, "rollout_percent": 100 });
        for (key, value) in expected.as_object().unwrap() {
            assert_eq!(&shown[key], value, "{key} of {shown}");
        }
        let checksum = STANDARD.encode(openssl::sha::sha256(wifi.as_bytes()));
        assert_eq!(shown["checksum"], checksum);
        assert_eq!(get(world, &format!("{PROFILES}/{passcode}")).await["declaration_kind"], "configuration");

        let media = world.app.admin(Method::GET, &format!("{BASE}{PROFILES}/{uuid}?alt=media")).send().await.unwrap();
        let head = |name: &str| media.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(head("content-type"), "application/x-apple-aspen-config");
        assert!(head("content-disposition").ends_with("_Wi-Fi_f_r_alle.mobileconfig\""), "{}", head("content-disposition"));
        assert_eq!(media.bytes().await.unwrap(), wifi.as_bytes(), "as it was uploaded");
        assert_eq!(refused(world, Method::GET, &format!("{PROFILES}/{uuid}?alt=x"), Value::Null).await.0, 422);

        done(world, &world.app.token, Method::DELETE, &format!("{PROFILES}/{uuid}"), Value::Null).await;
        for method in [Method::GET, Method::DELETE] {
            assert_eq!(refused(world, method, &format!("{PROFILES}/{uuid}"), Value::Null).await.0, 404);
        }
        assert_eq!(names(&get(world, "/mdm/profiles").await), ["Passcode"]);
        let told = get(world, "/activities?per_page=100").await.to_string();
        for kind in ["created_macos_profile", "created_declaration_profile", "created_windows_profile", "deleted_macos_profile", "deleted_windows_profile"] {
            assert!(told.contains(kind), "{kind} is missing in {told}");
        }
    })
    .await;
}

#[actix::test]
async fn what_cannot_be_a_profile_is_refused_with_the_place() {
    on_each_store(async |world| {
        let plain = mobileconfig("com.example.a", "A", "x");
        upload(world, &[], ("a.mobileconfig", &plain)).await;
        let is_refused = async |status: u16, says: &str, fields: &[(&str, &str)], file: (&str, &str)| {
            let refused = try_upload(world, fields, file).await;
            let reason = refused.json["errors"][0]["reason"].as_str().unwrap_or_default();
            assert!(refused.status == status && reason.contains(says), "{says}: {} {}", refused.status, refused.json);
        };
        let b = mobileconfig("com.example.b", "B", "x");
        let file = ("b.mobileconfig", b.as_str());
        is_refused(400, "its name has to end so", &[], ("b.exe", &b)).await;
        is_refused(422, "not an XML property list", &[], ("b.mobileconfig", "hello")).await;
        is_refused(422, "not JSON at line 1", &[], ("b.json", &b)).await;
        is_refused(
            422,
            "payload 1 (com.apple.mdm, com.example.b.payload)",
            &[],
            ("b.mobileconfig", &b.replace("com.apple.screensaver", "com.apple.mdm")),
        )
        .await;
        is_refused(422, "command 1 (Replace ./Device/Vendor/MSFT/BitLocker/X)", &[], ("b.xml", &syncml("BitLocker/X")))
            .await;
        is_refused(
            422,
            "for Apple's devices",
            &[],
            ("b.xml", &syncml("X").replace(">1<", ">$FLEET_VAR_SCEP_RENEWAL_ID<")),
        )
        .await;
        is_refused(422, "the name is reserved", &[], ("Windows OS Updates.xml", &syncml("X"))).await;
        is_refused(422, "Identifier is reserved", &[], ("b.json", &declaration("org.rookery.x"))).await;
        is_refused(409, "this name", &[], ("b.mobileconfig", &b.replace("<string>B<", "<string>A<"))).await;
        is_refused(409, "this name", &[], ("A.json", &declaration("com.example.c"))).await;
        is_refused(409, "this identifier", &[], ("b.mobileconfig", &mobileconfig("com.example.a", "B", "x"))).await;
        is_refused(422, "the name is reserved", &[], ("Disk encryption.json", &declaration("com.example.c"))).await;
        is_refused(400, "no labels Nobody", &[("labels_include_all", "Nobody")], file).await;
        is_refused(400, "not both", &[("labels_include_all", "macOS"), ("labels_include_any", "iOS")], file).await;
        is_refused(422, "there is no such field", &[("labels_includ_all", "macOS")], file).await;
        is_refused(422, "not a number", &[("team_id", "x")], file).await;
        is_refused(404, "Team was not found", &[("team_id", "999999")], file).await;
        is_refused(400, "twice", &[("team_id", "0"), ("team_id", "0")], file).await;
        is_refused(422, "from 0 to 100", &[("rollout_percent", "101")], file).await;
        is_refused(
            422,
            "no secrets $FLEET_SECRET_NONE",
            &[],
            ("b.mobileconfig", &b.replace(">x<", ">$FLEET_SECRET_NONE<")),
        )
        .await;
        is_refused(422, "is not a variable", &[], ("b.mobileconfig", &b.replace(">x<", ">$FLEET_VAR_NONE<"))).await;
        is_refused(
            422,
            "larger than",
            &[],
            ("b.mobileconfig", &b.replace(">x<", &format!(">{}<", "x".repeat(1 << 20)))),
        )
        .await;
        is_refused(413, "longer than", &[], ("b.mobileconfig", &"x".repeat(2 << 20))).await;

        let without = send_form(world, form(&[("team_id", "0")], None)).await;
        assert_eq!(
            (without.status, &without.json["message"]),
            (StatusCode::BAD_REQUEST, &json!("send the file as the field profile"))
        );
        let cut = send_form(world, form(&[], Some(("b.mobileconfig", b.as_bytes())))[..60].to_vec()).await;
        assert_eq!(cut.status, StatusCode::BAD_REQUEST);
        assert_eq!(
            refused(world, Method::POST, PROFILES, json!({})).await,
            (400, "send a multipart/form-data form".into())
        );
        assert_eq!(names(&get(world, PROFILES).await), ["A"], "nothing of it is stored");
    })
    .await;
}

fn set(profiles: &[(&str, &str)]) -> Value {
    let profiles =
        profiles.iter().map(|(name, contents)| json!({ "name": name, "contents": STANDARD.encode(contents) }));
    json!({ "profiles": profiles.collect::<Vec<_>>() })
}

#[actix::test]
async fn a_set_replaces_all_and_its_plan_is_what_it_does() {
    on_each_store(async |world| {
        let (admin, id) = (world.app.token.clone(), team(world, "Zürich").await);
        let path = |query: &str| format!("/mdm/profiles/batch?team_id={id}{query}");
        let (a, b, c) = (
            mobileconfig("com.example.a", "A", "1"),
            mobileconfig("com.example.b", "B", "1"),
            declaration("com.example.c"),
        );
        let first = set(&[("A", &a), ("", &b), ("C", &c)]);
        let planned = done(world, &admin, Method::POST, &path("&dry_run=true"), first.clone()).await;
        assert_eq!(planned, json!({ "added": ["A", "B", "C"], "changed": [], "removed": [], "unchanged": [] }));
        let of_team = format!("{PROFILES}?team_id={id}");
        assert_eq!(names(&get(world, &of_team).await).len(), 0, "a plan stores nothing");
        let answer = ask(world, Some(&admin), Method::POST, &path(""), first).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let before = get(world, &of_team).await;

        let changed = mobileconfig("com.example.b", "B", "2");
        let second = set(&[("A", &a), ("B", &changed), ("D", &declaration("com.example.d"))]);
        let by_name = "/configuration_profiles/batch?team_name=ZÜRICH&plan=true".to_owned();
        let planned = done(world, &admin, Method::POST, &format!("{by_name}&dry_run=true"), second.clone()).await;
        assert_eq!(planned, json!({ "added": ["D"], "changed": ["B"], "removed": ["C"], "unchanged": ["A"] }));
        assert_eq!(done(world, &admin, Method::POST, &by_name, second.clone()).await, planned);
        let after = get(world, &of_team).await;
        assert_eq!(names(&after), ["A", "B", "D"]);
        let uuid = |list: &Value, at: usize| list["profiles"][at]["profile_uuid"].clone();
        assert_eq!(
            (uuid(&before, 0), uuid(&before, 1)),
            (uuid(&after, 0), uuid(&after, 1)),
            "what stays keeps its name"
        );
        let again = done(world, &admin, Method::POST, &by_name, second).await;
        assert_eq!(again["unchanged"], json!(["A", "B", "D"]));

        // The older form, a signed profile, and nothing at all.
        let key = NewKey::P256.generate().unwrap();
        let signer = self_signed(key, "Signer", now(), std::time::Duration::from_secs(86_400)).unwrap();
        let signed = STANDARD.encode(sign_attached(a.as_bytes(), &signer, &[]).unwrap());
        let planned = done(world, &admin, Method::POST, &by_name, json!({ "profiles": { "A": signed } })).await;
        assert_eq!(planned, json!({ "added": [], "changed": ["A"], "removed": ["B", "D"], "unchanged": [] }));
        let answer = ask(world, Some(&admin), Method::POST, &path(""), json!({ "profiles": null })).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        assert_eq!(names(&get(world, &of_team).await).len(), 0);
    })
    .await;
}

#[actix::test]
async fn a_set_with_one_wrong_profile_changes_nothing() {
    on_each_store(async |world| {
        upload(world, &[], ("a.mobileconfig", &mobileconfig("com.example.a", "A", "1"))).await;
        let b = mobileconfig("com.example.b", "B", "1");
        let path = "/mdm/profiles/batch";
        let is_refused = async |status: u16, says: &str, body: Value| {
            let (got, reason) = refused(world, Method::POST, path, body.clone()).await;
            let dry = refused(world, Method::POST, "/mdm/profiles/batch?dry_run=true", body).await;
            assert!(got == status && reason.contains(says), "{says}: {got} {reason}");
            assert_eq!((got, reason), dry, "a plan refuses what the deed refuses");
        };
        is_refused(422, "they have to be the same", set(&[("Other", &b)])).await;
        is_refused(
            422,
            "B: another profile is called \"B\", too",
            set(&[("B", &b), ("B", &mobileconfig("com.example.c", "B", "1"))]),
        )
        .await;
        is_refused(
            422,
            "has the identifier \"com.example.b\", too",
            set(&[("B", &b), ("C", &mobileconfig("com.example.b", "C", "1"))]),
        )
        .await;
        is_refused(422, "it has no name", set(&[("", &declaration("com.example.d"))])).await;
        is_refused(422, "neither a mobileconfig", set(&[("X", "hello")])).await;
        is_refused(422, "contents is not Base64", json!({ "profiles": [{ "name": "X", "contents": "%" }] })).await;
        is_refused(400, "unknown field `label`", json!({ "profiles": [{ "contents": "", "label": "x" }] })).await;
        is_refused(
            400,
            "no labels Nobody",
            json!({ "profiles": [{ "contents": STANDARD.encode(&b), "labels_include_any": ["Nobody"] }] }),
        )
        .await;
        is_refused(422, "no secrets", set(&[("B", &b.replace(">1<", ">$FLEET_SECRET_NONE<"))])).await;
        assert_eq!(names(&get(world, PROFILES).await), ["A"]);
        for (query, status) in [("team_id=1&team_name=x", 422), ("team_name=Nobody", 404), ("team_id=999999", 404)] {
            assert_eq!(refused(world, Method::POST, &format!("{path}?{query}"), set(&[])).await.0, status, "{query}");
        }
    })
    .await;
}

#[actix::test]
async fn labels_stand_with_the_profile_and_break_when_they_go() {
    on_each_store(async |world| {
        let admin = world.app.token.clone();
        let made = done(world, &admin, Method::POST, "/labels", json!({ "name": "Pilots", "host_ids": [] })).await;
        let label = made["label"]["id"].as_i64().unwrap();
        let fields = [("labels_include_any", "Pilots"), ("labels_include_any", "macOS"), ("labels_exclude_any", "iOS")];
        let uuid = upload(world, &fields, ("a.mobileconfig", &mobileconfig("com.example.a", "A", "1"))).await;
        let shown = get(world, &format!("{PROFILES}/{uuid}")).await;
        assert_eq!(shown["labels_include_any"][0], json!({ "name": "Pilots", "id": label }), "{shown}");
        assert_eq!(shown["labels_include_any"].as_array().map(Vec::len), Some(2));
        assert_eq!(shown["labels_exclude_any"][0]["name"], "iOS");
        assert_eq!(shown["labels_include_all"], Value::Null);
        done(world, &admin, Method::DELETE, &format!("/labels/id/{label}"), Value::Null).await;
        let shown = get(world, &format!("{PROFILES}/{uuid}")).await;
        assert_eq!(shown["labels_include_any"][0], json!({ "name": "Pilots", "broken": true }), "{shown}");
    })
    .await;
}

#[actix::test]
async fn secrets_are_set_and_never_shown() {
    on_each_store(async |world| {
        let admin = world.app.token.clone();
        let secrets = json!({ "secrets": [{ "name": "FLEET_SECRET_WIFI", "value": "correct horse" }, { "name": "CERT", "value": "x" }] });
        let mut dry = secrets.clone();
        dry["dry_run"] = true.into();
        done(world, &admin, Method::PUT, "/spec/secret_variables", dry).await;
        assert_eq!(get(world, "/custom_variables").await["count"], 0);
        done(world, &admin, Method::PUT, "/spec/secret_variables", secrets).await;
        let list = get(world, "/custom_variables").await;
        assert_eq!(list["custom_variables"][1]["name"], "WIFI", "{list}");
        assert!(!list.to_string().contains("correct horse"));
        let made = done(world, &admin, Method::POST, "/custom_variables", json!({ "name": "NEW", "value": "y" })).await;
        assert_eq!(made["name"], "NEW");
        let twice = refused(world, Method::POST, "/custom_variables", json!({ "name": "NEW", "value": "z" })).await;
        assert_eq!(twice.0, 409);
        for (name, value) in [("", "x"), ("a", "x"), ("A B", "x"), ("A", "")] {
            let refused = refused(world, Method::POST, "/custom_variables", json!({ "name": name, "value": value })).await;
            assert_eq!(refused.0, 422, "{name} {refused:?}");
        }
        let both = json!({ "secrets": [{ "name": "A", "value": "x" }, { "name": "ROOKERY_SECRET_A", "value": "y" }] });
        assert_eq!(refused(world, Method::PUT, "/spec/secret_variables", both).await, (422, "stands there twice".into()));

        let profile = mobileconfig("com.example.wifi", "Wi-Fi", "${ROOKERY_SECRET_WIFI}");
        let uuid = upload(world, &[], ("a.mobileconfig", &profile)).await;
        let media = world.app.admin(Method::GET, &format!("{BASE}{PROFILES}/{uuid}?alt=media")).send().await.unwrap();
        assert_eq!(media.bytes().await.unwrap(), profile.as_bytes(), "the file has its placeholder");
        let id = list["custom_variables"][1]["id"].as_i64().unwrap();
        let used = refused(world, Method::DELETE, &format!("/custom_variables/{id}"), Value::Null).await;
        assert_eq!(used, (409, "These profiles name the secret: Wi-Fi".into()));
        done(world, &admin, Method::DELETE, &format!("{PROFILES}/{uuid}"), Value::Null).await;
        done(world, &admin, Method::DELETE, &format!("/custom_variables/{id}"), Value::Null).await;
        assert_eq!(refused(world, Method::DELETE, &format!("/custom_variables/{id}"), Value::Null).await.0, 404);
        let told = get(world, "/activities?per_page=100").await.to_string();
        assert!(told.contains("created_custom_variable") && !told.contains("correct horse"));
    })
    .await;
}

#[actix::test]
async fn a_roll_out_is_widened_stopped_and_resumed() {
    on_each_store(async |world| {
        let fields = [("rollout_percent", "10"), ("rollout_max_failures", "2")];
        let uuid = upload(world, &fields, ("a.mobileconfig", &mobileconfig("com.example.a", "A", "1"))).await;
        let path = format!("{PROFILES}/{uuid}");
        let shown = get(world, &path).await;
        assert_eq!((&shown["rollout_percent"], &shown["rollout_max_failures"]), (&json!(10), &json!(2)));
        let change = async |body: Value| done(world, &world.app.token, Method::PATCH, &path, body).await;
        let stopped = change(json!({ "rollout_percent": 50, "rollout_stopped": true })).await;
        assert!(stopped["rollout_percent"] == 50 && stopped["rollout_stopped_at"].is_string(), "{stopped}");
        assert_eq!(stopped["rollout_max_failures"], 2, "what is absent stays");
        let resumed = change(json!({ "rollout_max_failures": null, "rollout_stopped": false })).await;
        assert!(resumed["rollout_stopped_at"].is_null() && resumed["rollout_max_failures"].is_null(), "{resumed}");
        for body in
            [json!({ "rollout_percent": 101 }), json!({ "rollout_percent": -1 }), json!({ "rollout_max_failures": -1 })]
        {
            assert_eq!(refused(world, Method::PATCH, &path, body).await.0, 422);
        }
        assert_eq!(refused(world, Method::PATCH, &path, json!({ "name": "x" })).await.0, 400);
    })
    .await;
}

#[actix::test]
async fn hosts_show_what_is_pending_and_what_is_sent_again() {
    on_each_store(async |world| {
        let device = world.enrolled(Family::Mac, 1).await;
        let host = world.host(&device).await["id"].as_i64().unwrap();
        let uuid = upload(world, &[], ("a.mobileconfig", &mobileconfig("com.example.a", "A", "1"))).await;
        let counts = json!({ "verified": 0, "verifying": 0, "failed": 0, "pending": 1 });
        assert_eq!(get(world, &format!("{PROFILES}/{uuid}/status")).await, counts, "at once");
        assert_eq!(get(world, "/configuration_profiles/summary?team_id=0").await, counts);
        let of_host = get(world, &format!("/hosts/{host}/configuration_profiles")).await;
        let shown = &of_host["profiles"][0];
        assert_eq!(
            (&shown["name"], &shown["status"], &shown["operation_type"]),
            (&json!("A"), &json!("pending"), &json!("install"))
        );
        assert_eq!(world.host(&device).await["mdm"]["profiles"][0]["profile_uuid"], uuid);

        let again = |host: i64, uuid: &str| format!("/hosts/{host}/configuration_profiles/{uuid}/resend");
        assert_eq!(refused(world, Method::POST, &again(host, &uuid), Value::Null).await.0, 409, "it is on its way");
        let old = format!("/hosts/{host}/configuration_profiles/resend/{uuid}");
        assert_eq!(refused(world, Method::POST, &old, Value::Null).await.0, 409);
        assert_eq!(refused(world, Method::POST, &again(999_999, &uuid), Value::Null).await.0, 404);
        assert_eq!(refused(world, Method::POST, &again(host, "a-none"), Value::Null).await.0, 404);
        let id = team(world, "Other").await.to_string();
        let other =
            upload(world, &[("team_id", &id)], ("b.mobileconfig", &mobileconfig("com.example.b", "B", "1"))).await;
        assert_eq!(
            refused(world, Method::POST, &again(host, &other), Value::Null).await.0,
            404,
            "it is not for this host"
        );
        let camera = upload(world, &[], ("C.xml", &syncml("Policy/Config/Camera/AllowCamera"))).await;
        let foreign = refused(world, Method::POST, &again(host, &camera), Value::Null).await;
        assert_eq!(foreign, (422, "this profile is not for the host's platform".into()));
        let passcode = upload(world, &[], ("P.json", &declaration("com.example.p"))).await;
        assert_eq!(refused(world, Method::POST, &again(host, &passcode), Value::Null).await.0, 400);

        let failed =
            |uuid: &str, status: &str| json!({ "profile_uuid": uuid, "filters": { "profile_status": status } });
        let batch = "/configuration_profiles/resend/batch";
        let sent = ask(world, Some(&world.app.token), Method::POST, batch, failed(&uuid, "failed")).await;
        assert_eq!((sent.status, &sent.json["host_count"]), (StatusCode::ACCEPTED, &json!(0)));
        assert_eq!(refused(world, Method::POST, batch, failed(&uuid, "pending")).await.0, 422);
        assert_eq!(refused(world, Method::POST, batch, failed(&passcode, "failed")).await.0, 400);
        assert_eq!(refused(world, Method::POST, batch, failed("a-none", "failed")).await.0, 404);
    })
    .await;
}

#[actix::test]
async fn a_team_sees_and_changes_its_own_profiles_alone() {
    on_each_store(async |world| {
        let (own, other) = (team(world, "Own").await, team(world, "Other").await);
        let key = program(world, "boss", "maintainer", Some(own)).await;
        let foreign = upload(
            world,
            &[("team_id", &other.to_string())],
            ("a.mobileconfig", &mobileconfig("com.example.a", "A", "1")),
        )
        .await;
        let forbidden = async |method: Method, path: String, body: Value| {
            let answer = ask(world, Some(&key), method, &path, body).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path}: {}", answer.json);
        };
        for path in [format!("{PROFILES}/{foreign}"), format!("{PROFILES}?team_id={other}"), PROFILES.to_owned()] {
            forbidden(Method::GET, path, Value::Null).await;
        }
        for query in
            [format!("team_id={other}"), "team_name=Other".to_owned(), "team_name=Nobody".to_owned(), String::new()]
        {
            forbidden(Method::POST, format!("/mdm/profiles/batch?{query}"), set(&[])).await;
        }
        let reader = program(world, "reader", "observer", None).await;
        done(world, &reader, Method::GET, &format!("{PROFILES}/{foreign}"), Value::Null).await;
        let media =
            ask(world, Some(&reader), Method::GET, &format!("{PROFILES}/{foreign}?alt=media"), Value::Null).await;
        assert_eq!(media.status, StatusCode::FORBIDDEN, "a file may have a password in it: {}", media.json);
        forbidden(Method::DELETE, format!("{PROFILES}/{foreign}"), Value::Null).await;
        forbidden(Method::PUT, "/spec/secret_variables".to_owned(), json!({ "secrets": [] })).await;
        let a = set(&[("A", &mobileconfig("com.example.a", "A", "1"))]);
        let made = ask(world, Some(&key), Method::POST, &format!("/mdm/profiles/batch?team_id={own}"), a).await;
        assert_eq!(made.status, StatusCode::NO_CONTENT, "names and identifiers are a team's own: {}", made.json);
        assert_eq!(names(&get(world, &format!("{PROFILES}?team_id={own}")).await), ["A"]);
    })
    .await;
}
