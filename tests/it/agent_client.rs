//! The agents of one host by hand: osquery and orbit as they speak, with the shapes that the real ones have.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::app::{Answer, answer};
use crate::world::{SECRET, World};

/// The prefix of the names of queries.
pub(crate) const PREFIX: &str = "fleet_detail_query_";

/// The agents of a host.
pub(crate) struct Agents {
    pub(crate) orbit: String,
    pub(crate) osquery: String,
}

/// A message of an agent.
pub(crate) async fn say(world: &World, method: Method, path: &str, body: &Value) -> Answer {
    answer(world.app.client.request(method, world.app.device_url(path)).body(body.to_string())).await
}

impl Agents {
    /// Both enroll.
    pub(crate) async fn enroll(world: &World, serial: &str, uuid: &str, platform: &str) -> Self {
        let orbit = json!({
            "enroll_secret": SECRET, "hardware_uuid": uuid, "hardware_serial": serial, "hostname": "host.local",
            "platform": platform, "platform_like": platform, "osquery_identifier": uuid, "computer_name": "A host",
            "hardware_model": "Mac14,2",
        });
        let key = say(world, Method::POST, "/api/fleet/orbit/enroll", &orbit).await;
        assert_eq!(key.status, StatusCode::OK, "{}", key.json);
        let details = json!({
            "os_version": {
                "_id": "15.1", "codename": "", "major": "15", "minor": "1", "name": "macOS", "patch": "0",
                "platform": platform, "platform_like": platform, "version": "15.1", "build": "24B83",
            },
            "osquery_info": { "build_distro": "10.14", "extensions": "active", "pid": "41", "version": "5.14.1" },
            "platform_info": { "vendor": "Apple Inc.", "version": "11881" },
            "system_info": {
                "computer_name": "A host", "cpu_brand": "Apple M2", "cpu_logical_cores": "8", "cpu_type": "arm64e",
                "hardware_model": "Mac14,2", "hardware_serial": serial, "hostname": "host.local", "uuid": uuid,
            },
        });
        let osquery = json!({
            "enroll_secret": SECRET, "host_identifier": uuid, "platform_type": "21", "host_details": details,
        });
        let node = say(world, Method::POST, "/api/osquery/enroll", &osquery).await;
        assert_eq!(node.status, StatusCode::OK, "{}", node.json);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self { orbit: text(&key.json["orbit_node_key"]), osquery: text(&node.json["node_key"]) }
    }

    /// orbit says something.
    pub(crate) async fn orbit(&self, world: &World, method: Method, path: &str, mut said: Value) -> Answer {
        said["orbit_node_key"] = self.orbit.clone().into();
        say(world, method, &format!("/api/fleet/orbit/{path}"), &said).await
    }

    /// The queries that osquery is to run, without those whose names it does not know here.
    pub(crate) async fn read(&self, world: &World) -> Value {
        let read = json!({ "node_key": self.osquery });
        let asked = say(world, Method::POST, "/api/osquery/distributed/read", &read).await;
        assert_eq!(asked.status, StatusCode::OK, "{}", asked.json);
        let names = |key: &str| asked.json[key].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(names("queries"), names("discovery"), "osquery leaves out what has no discovery query");
        asked.json["queries"].clone()
    }

    /// osquery writes what it found: rows by the names of queries without their prefix.
    pub(crate) async fn write(&self, world: &World, found: Value) -> Answer {
        let found = found.as_object().unwrap();
        let with_prefix = |(name, rows): (&String, &Value)| (format!("{PREFIX}{name}"), rows.clone());
        let queries: serde_json::Map<String, Value> = found.iter().map(with_prefix).collect();
        let statuses: serde_json::Map<String, Value> = queries
            .keys()
            .enumerate()
            .map(|(at, name)| (name.clone(), if at % 2 == 0 { json!(0) } else { json!("0") }))
            .collect();
        self.write_raw(world, json!({ "queries": queries, "statuses": statuses, "messages": {}, "stats": {} })).await
    }

    /// The same with a body as it is.
    pub(crate) async fn write_raw(&self, world: &World, mut body: Value) -> Answer {
        body["node_key"] = self.osquery.clone().into();
        say(world, Method::POST, "/api/v1/osquery/distributed/write", &body).await
    }
}
