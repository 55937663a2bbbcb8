//! What the demo's admin wants its hosts to have: a profile for Apple's devices, a declaration, settings for Windows. In the
//! middle of the demo they change, and some hosts move to a team with a set of its own.

use std::time::{Duration, Instant};

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Value, json};

use super::admin::{Admin, profile};

/// How often it is looked whether all hosts have what they shall have.
const LOOK: Duration = Duration::from_millis(500);
/// The team that some hosts move to.
const TEAM: &str = "Moved";

/// How far the hosts have come, each counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Standing {
    /// All they shall have was seen on them.
    pub(super) verified: u64,
    /// They say that they have it.
    pub(super) verifying: u64,
    /// Something could not be done.
    pub(super) failed: u64,
    /// Something is on its way.
    pub(super) pending: u64,
}

impl Standing {
    /// Whether nothing is on its way any more, and some hosts have what they shall have.
    pub(super) const fn is_settled(self) -> bool {
        self.pending == 0 && self.verifying == 0 && self.verified > 0
    }
}

impl Admin {
    /// Replaces what the hosts of a team, or of none, shall have.
    pub(super) async fn want(&self, team: Option<i64>, version: u32) -> anyhow::Result<()> {
        let declaration = json!({
            "Type": "com.apple.configuration.passcode.settings",
            "Identifier": "com.example.demo.passcode",
            "Payload": { "MinimumLength": 6 + version },
        });
        let windows = format!(
            "<Replace><Item><Target><LocURI>./Device/Vendor/MSFT/Policy/Config/Demo/Wanted</LocURI></Target>\
             <Meta><Format xmlns=\"syncml:metinf\">int</Format></Meta><Data>{version}</Data></Item></Replace>"
        );
        let wanted = [
            ("Screen saver", profile("com.example.demo.wanted", "Screen saver", 300 + version).to_xml()),
            ("Passcode", declaration.to_string().into_bytes()),
            ("Policy", windows.into_bytes()),
        ];
        let profiles: Vec<Value> =
            wanted.iter().map(|(name, body)| json!({ "name": name, "contents": STANDARD.encode(body) })).collect();
        let query = team.map(|team| format!("?team_id={team}")).unwrap_or_default();
        let path = format!("/api/v1/fleet/mdm/profiles/batch{query}");
        self.post_unread(&path, &json!({ "profiles": profiles })).await.context("the profiles were refused")
    }

    /// Changes what hosts shall have, and moves a third of them to a team that wants something else.
    pub(super) async fn want_something_else(&self) -> anyhow::Result<()> {
        self.want(None, 2).await?;
        let made = self.post("/api/v1/fleet/teams", &json!({ "name": TEAM })).await?;
        let team = made["team"]["id"].as_i64().context("a team has a number")?;
        self.want(Some(team), 3).await?;
        let hosts = self.get("/api/v1/fleet/hosts?per_page=10000").await?;
        let ids = hosts["hosts"].as_array().into_iter().flatten().filter_map(|host| host["id"].as_i64());
        let movers: Vec<i64> = ids.filter(|id| id % 3 == 0).collect();
        self.post("/api/v1/fleet/hosts/transfer", &json!({ "team_id": team, "hosts": movers })).await?;
        Ok(())
    }

    /// How far all hosts have come; waits until nothing is on its way any more, or patience ends.
    pub(super) async fn wait_until_settled(&self, patience: Duration) -> anyhow::Result<Standing> {
        let until = Instant::now() + patience;
        let teams = self.get("/api/v1/fleet/teams").await?;
        let teams = teams["teams"].as_array().into_iter().flatten().filter_map(|team| team["id"].as_i64());
        let teams: Vec<i64> = [0].into_iter().chain(teams).collect();
        loop {
            let mut standing = Standing::default();
            for team in &teams {
                let path = format!("/api/v1/fleet/configuration_profiles/summary?team_id={team}");
                let counted = self.get(&path).await?;
                let number = |key: &str| counted[key].as_u64().unwrap_or_default();
                standing.verified += number("verified");
                standing.verifying += number("verifying");
                standing.failed += number("failed");
                standing.pending += number("pending");
            }
            if standing.is_settled() || Instant::now() >= until {
                return Ok(standing);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
