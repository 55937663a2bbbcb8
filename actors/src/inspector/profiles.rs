//! What agents say of their hosts' profiles: a Mac lists those that it has, a Windows host tells what its settings hold. The rules stand
//! in `protocol::agent`; here rows become what these ask for, and their judgements become findings.

use std::collections::BTreeMap;
use std::time::Duration;

use entities::host_profile::report::{Finding, Found};
use entities::host_profile::{self, FAILED, INSTALL, Model, VERIFIED, VERIFYING};
use entities::profile::{MOBILECONFIG, WINDOWS};
use entities::{Reader, StoreError, profile_content};
use protocol::agent::answers::Answers;
use protocol::agent::details::WINDOWS_PROFILES;
use protocol::agent::mac_profiles::{self, Expected, Judgement};
use protocol::agent::mdm_bridge::{self, Value};
use protocol::ids::HostId;
use protocol::profiles::GRACE_SECONDS;
use protocol::time::Timestamp;
use protocol::variables::Escape;
use protocol::windows::profile::{Profile, Verdict};

use crate::host::render::rendered_by;
use crate::profiles::contents::Contents;

/// Reads profiles.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) reader: Reader,
    pub(super) contents: Contents,
}

impl Desk {
    /// What the answers of a host's agent say of its profiles.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn findings(
        &self,
        host: HostId,
        answers: &Answers,
        now: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        if let Some(installed) = mac_profiles::installed(answers) {
            return self.of_mac(host, &installed, now).await;
        }
        match answers.of(WINDOWS_PROFILES).and_then(mdm_bridge::values) {
            Some(values) => self.of_windows(host, &values, now).await,
            None => Ok(Vec::new()),
        }
    }

    /// The query for the settings of a Windows host; `None` where it has none that can be read.
    ///
    /// # Errors
    /// The database does not answer.
    pub(super) async fn windows_query(&self, host: HostId) -> Result<Option<String>, StoreError> {
        let profiles = self.windows_profiles(host).await?;
        let nodes: Vec<_> = profiles.iter().flat_map(|(row, profile)| mdm_bridge::nodes(&row.name, profile)).collect();
        Ok(mdm_bridge::query(&nodes))
    }

    async fn of_mac(
        &self,
        host: HostId,
        installed: &BTreeMap<String, Option<Timestamp>>,
        now: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        let rows = self.installed_rows(host, MOBILECONFIG).await?;
        let made_at = profile_content::made_at(&self.reader, rows.iter().map(|row| row.content_id).collect()).await?;
        let judged = rows.into_iter().filter_map(|row| {
            let expected = Expected {
                identifier: &row.identifier,
                made_at: Timestamp::from_millis(*made_at.get(&row.content_id)?),
                acknowledged_at: row.acknowledged_at.map(Timestamp::from_millis),
                is_believed: row.status != FAILED,
            };
            let found = match expected.judge(installed, now)? {
                Judgement::There => Found::There,
                Judgement::Missing => Found::Missing("The host's agent does not see it installed.".into()),
                Judgement::Older => Found::Missing("The host's agent sees an older version installed.".into()),
            };
            Some(Finding { profile_id: row.profile_id, token: row.token, found })
        });
        Ok(judged.collect())
    }

    async fn of_windows(
        &self,
        host: HostId,
        values: &BTreeMap<String, Value>,
        now: Timestamp,
    ) -> Result<Vec<Finding>, StoreError> {
        let judged = self.windows_profiles(host).await?.into_iter().filter_map(|(row, profile)| {
            let delivered = row.acknowledged_at.map(Timestamp::from_millis).filter(|_| row.status != FAILED);
            let is_old = delivered.is_some_and(|at| now.since(at) >= Duration::from_secs(GRACE_SECONDS));
            let found = match mdm_bridge::verdict(&row.name, &profile, values)? {
                Verdict::Holds => Found::There,
                Verdict::Differs(why) if is_old => Found::Missing(why),
                Verdict::Differs(_) => return None,
            };
            Some(Finding { profile_id: row.profile_id, token: row.token, found })
        });
        Ok(judged.collect())
    }

    /// The profiles of a Windows host as its device got them; those that cannot be made are left out.
    async fn windows_profiles(&self, host: HostId) -> Result<Vec<(Model, Profile)>, StoreError> {
        let mut profiles = Vec::new();
        for row in self.installed_rows(host, WINDOWS).await? {
            match rendered_by(&self.reader, &self.contents, host, row.content_id, Escape::Markup).await {
                Ok(content) => profiles.extend(Profile::accepted(&content).ok().map(|profile| (row, profile))),
                Err(StoreError::Unreadable(_)) => {}
                Err(other) => return Err(other),
            }
        }
        Ok(profiles)
    }

    /// What the host said it has, or failed to install.
    async fn installed_rows(&self, host: HostId, kind: i16) -> Result<Vec<Model>, StoreError> {
        let mut rows = host_profile::of_host(&self.reader, host.0).await?;
        let tells = |row: &Model| matches!(row.status, VERIFYING | VERIFIED | FAILED);
        rows.retain(|row| row.kind == kind && row.operation == INSTALL && tells(row));
        Ok(rows)
    }
}
