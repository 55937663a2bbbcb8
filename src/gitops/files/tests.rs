//! Files in a directory of their own become one request, or say what is wrong with them.

use super::*;

const WIFI: &str = "<plist><string>$FLEET_SECRET_WIFI ${SSID} \\$5 $FLEET_VAR_HOST_UUID</string></plist>";

const TEAM: &str = "
name: Laptops
description: All of them
team_settings:
  secrets:
    - secret: $ENROLL
controls:
  macos_settings:
    custom_settings:
      - path: ../profiles/wifi.mobileconfig
        labels_include_any: [Blue]
      - path: ../profiles/passcode.json
        rollout_percent: 10
  windows_settings:
    configuration_profiles:
      - path: ../profiles/Camera.xml
  macos_updates: { minimum_version: 15.1, deadline: 2026-12-31 }
  windows_updates: { deadline_days: $DAYS, grace_period_days: 2 }
  scripts: []
policies:
";
const DEFAULT: &str = "
org_settings:
labels:
  - path: labels.yml
  - { name: Mine, label_membership_type: manual, hosts: [A1] }
";

/// A directory with files, taken away at the end.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("rookery-gitops-{}", uuid::Uuid::new_v4()));
        for (name, text) in files {
            let file = folder.join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        Self(folder)
    }

    fn collect(&self, files: &[&str]) -> anyhow::Result<Collected> {
        let look_up = |name: &str| match name {
            "SSID" => Some("Home & Garden".to_owned()),
            "ENROLL" => Some("a-secret: with \"marks\"".to_owned()),
            "DAYS" => Some("5".to_owned()),
            "FLEET_SECRET_WIFI" => Some("password".to_owned()),
            _ => None,
        };
        let files: Vec<PathBuf> = files.iter().map(|file| self.0.join(file)).collect();
        collect(&files, &look_up)
    }

    /// What is wrong with a file of a team that has this besides its name.
    fn wrong(text: &str) -> String {
        let folder = Self::with(&[("a.yml", &format!("name: A\n{text}\n")), ("a.xml", "<Replace/>"), ("a.txt", "x")]);
        format!("{:#}", folder.collect(&["a.yml"]).unwrap_err())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_set_of_files_becomes_one_request() {
    let folder = Folder::with(&[
        ("default.yml", DEFAULT),
        ("labels.yml", "- name: Blue\n  criteria: { vital: platform, value: darwin }\n"),
        ("teams/laptops.yml", TEAM),
        ("profiles/wifi.mobileconfig", WIFI),
        ("profiles/passcode.json", "{\"Type\": \"a\", \"Payload\": {}}"),
        ("profiles/Camera.xml", "<Replace/>"),
    ]);
    let collected = folder.collect(&["default.yml", "teams/laptops.yml"]).unwrap();
    assert_eq!(collected.unsupported, vec![]);
    let encoded = |text: &str| openssl::base64::encode_block(text.as_bytes());
    let wifi = WIFI.replace("${SSID}", "Home &amp; Garden").replace("\\$", "$");
    let laptops = json!({
        "name": "Laptops",
        "description": "All of them",
        "secrets": [{ "secret": "a-secret: with \"marks\"" }],
        "mdm": {
            "macos_updates": { "minimum_version": "15.1", "deadline": "2026-12-31" },
            "windows_updates": { "deadline_days": 5, "grace_period_days": 2 },
        },
        "profiles": [
            { "contents": encoded(&wifi), "labels_include_any": ["Blue"] },
            { "name": "passcode", "contents": encoded("{\"Type\": \"a\", \"Payload\": {}}"), "rollout_percent": 10 },
            { "name": "Camera", "contents": encoded("<Replace/>") },
        ],
    });
    let request = json!({
        "custom_variables": [{ "name": "WIFI", "value": "password" }],
        "labels": [
            { "name": "Blue", "description": "", "criteria": { "vital": "platform", "value": "darwin" } },
            { "name": "Mine", "description": "", "hosts": ["A1"] },
        ],
        "teams": [{ "mdm": {}, "profiles": [] }, laptops],
    });
    assert_eq!(collected.request, request);
}

#[test]
fn what_is_left_out_stays_or_is_unset() {
    let folder = Folder::with(&[("a.yml", "name: No team\n"), ("b.yml", "org_settings:\nlabels:\n")]);
    let request = folder.collect(&["a.yml"]).unwrap().request;
    assert_eq!(request["labels"], Value::Null, "labels stay as they are");
    assert_eq!(request["teams"], json!([{ "mdm": {}, "profiles": [] }]), "hosts of no team have nothing any more");
    assert_eq!(folder.collect(&["b.yml"]).unwrap().request["labels"], json!([]), "there is no label any more");
    let twice = format!("{:#}", folder.collect(&["a.yml", "b.yml"]).unwrap_err());
    assert!(twice.contains("b.yml: another file is about hosts of no team, too"), "{twice}");
}

#[test]
fn what_is_not_done_is_named() {
    let text = "
name: A
policies: [{ name: x }]
team_settings: { webhook_settings: { url: y }, features: {} }
controls: { enable_disk_encryption: true, scripts: [], macos_updates: { update_new_hosts: true } }
";
    let folder = Folder::with(&[("a.yml", text)]);
    let mut named: Vec<String> =
        folder.collect(&["a.yml"]).unwrap().unsupported.into_iter().map(|(_, key)| key).collect();
    named.sort_unstable();
    let expected = [
        "controls.enable_disk_encryption",
        "controls.macos_updates.update_new_hosts",
        "policies",
        "settings.webhook_settings",
    ];
    assert_eq!(named, expected);
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, said) in [
        ("contrls: {}", "there is no key contrls"),
        ("controls: { macos_setings: {} }", "there is no key controls.macos_setings"),
        (
            "controls: { macos_settings: { custom_setings: [] } }",
            "there is no key controls.macos_settings.custom_setings",
        ),
        ("controls: []", "no mapping"),
        (
            "controls: { windows_updates: { deadline_days: soon } }",
            "controls.windows_updates.deadline_days is no number",
        ),
        (
            "controls: { macos_settings: { custom_settings: [{}] } }",
            "controls.macos_settings.custom_settings[0]: it has no path",
        ),
        ("controls: { macos_settings: { custom_settings: [{ path: a.xml }] } }", "a.xml is not a .mobileconfig"),
        ("controls: { windows_settings: { custom_settings: [{ path: a.txt }] } }", "a.txt is not a .xml"),
        ("controls: { windows_settings: { custom_settings: [{ path: b.xml }] } }", "cannot read"),
        (
            "controls: { windows_settings: { custom_settings: [{ path: a.xml, lables: [] }] } }",
            "there is no key lables",
        ),
        ("description: $NOBODY", "the environment variable NOBODY is not set"),
        ("labels: [{ description: x }]", "a label has no name"),
        ("labels: [{ name: x, query: SELECT 1 }]", "runs no queries"),
        ("labels: [{ name: x, label_membership_type: host_vitals }]", "has no criteria"),
        ("org_settings: {}", "default.yml, which has no name"),
        ("a: [", "it is no YAML"),
    ] {
        let wrong = Folder::wrong(text);
        assert!(wrong.contains(said) && wrong.contains("a.yml"), "{text}: {wrong}");
    }
    assert!(
        format!("{:#}", Folder::with(&[("a.yml", "controls:")]).collect(&["a.yml"]).unwrap_err())
            .contains("needs a name")
    );
}

#[test]
fn a_file_that_grows_without_end_is_refused() {
    let mut bomb = "name: A\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", ")));
    }
    let deep = format!("name: A\na: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    for text in [bomb, deep] {
        let folder = Folder::with(&[("a.yml", &text)]);
        let wrong = format!("{:#}", folder.collect(&["a.yml"]).unwrap_err());
        assert!(wrong.contains("it is no YAML"), "{wrong}");
    }
}
