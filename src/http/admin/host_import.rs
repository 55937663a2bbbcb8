//! Hosts that an admin knows before they spoke: a list from whoever sold them.

use std::collections::HashSet;

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use actors::registrar::ImportHosts;
use entities::host::{self, Description};
use protocol::ids::serial_number;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::Asking;
use super::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::{DEADLINE, read_json};

/// Devices that one request may name.
const MOST: usize = 1000;
/// The longest text, in characters.
const MAX_CHARS: usize = 255;
/// What a host's platform may be.
const PLATFORMS: [&str; 9] = ["", "darwin", "ios", "ipados", "tvos", "watchos", "visionos", "windows", "linux"];

/// Devices, and the team that those join which are in none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Import {
    hosts: Vec<Known>,
    team_id: Option<i64>,
}

/// What is known of a device.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Known {
    hardware_serial: String,
    #[serde(default)]
    platform: String,
    #[serde(default)]
    hardware_model: String,
    #[serde(default)]
    computer_name: String,
}

/// `POST …/hosts/import`: those that nobody knows are pending from now on; ours.
pub async fn import(admin: Asking, payload: Payload, edge: Data<AdminEdge>) -> Result<HttpResponse, ApiError> {
    let Import { hosts, team_id } = read_json(&edge.budget, payload).await?;
    if hosts.is_empty() || hosts.len() > MOST {
        return Err(ApiError::invalid("hosts", format!("name 1 to {MOST} hosts")));
    }
    let devices = hosts.into_iter().map(Known::described).collect::<Result<Vec<_>, _>>()?;
    let mut serials = HashSet::new();
    if let Some(twice) = devices.iter().filter_map(|one| one.serial.as_ref()).find(|serial| !serials.insert(*serial)) {
        return Err(ApiError::invalid("hosts", format!("the serial number {twice:?} stands there twice")));
    }
    // 0 is Fleet's name for "no team".
    let team_id = team_id.filter(|id| *id != 0);
    admin.demand(team_id)?;
    let serials = devices.iter().filter_map(|device| device.serial.clone()).collect();
    let known: Vec<i64> = host::ids_by_identifiers(&edge.front.reader, serials).await?.into_values().collect();
    reach::hosts(&admin, &edge, &known).await?;
    let import = ImportHosts { devices, team_id, asked_by: admin.name.clone() };
    let imported = edge.front.registrar.ask(import, DEADLINE).await?;
    let shown: Vec<Value> = imported
        .iter()
        .map(|one| json!({ "id": one.host_id, "hardware_serial": one.serial, "created": one.is_new }))
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "hosts": shown })))
}

impl Known {
    fn described(self) -> Result<Description, ApiError> {
        for text in [&self.hardware_serial, &self.hardware_model, &self.computer_name] {
            if text.chars().nth(MAX_CHARS).is_some() || text.contains(char::is_control) {
                let reason = format!("texts have at most {MAX_CHARS} characters, none of them a control character");
                return Err(ApiError::invalid("hosts", reason));
            }
        }
        let serial = serial_number(&self.hardware_serial);
        let unusable = || ApiError::invalid("hosts", format!("{:?} is no serial number", self.hardware_serial));
        let serial = serial.ok_or_else(unusable)?.to_owned();
        if !PLATFORMS.contains(&self.platform.as_str()) {
            let reason = format!("{:?} is no platform; there are{}", self.platform, PLATFORMS.join(" "));
            return Err(ApiError::invalid("hosts", reason));
        }
        Ok(Description {
            serial: Some(serial),
            platform: self.platform,
            hardware_model: self.hardware_model,
            computer_name: self.computer_name,
            ..Description::default()
        })
    }
}
