//! Tables `agent` and `host`: what agents report of their hosts, written in one transaction for each report, and only where it
//! differs from what is known.

use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue, ActiveValue::Set};

use crate::agent::{ActiveModel, Column, Entity, Model};
use crate::host::{self, Description};
use crate::host_profile::report::{self, Finding};
use crate::news::{self, News};
use crate::{Reader, StoreError, Transaction, Writer, host_admission, windows_host};

/// What an agent reports of its host; what it did not say is empty or `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentReport {
    /// The host.
    pub host_id: i64,
    /// What the host is.
    pub description: Description,
    /// See [`Model::orbit_version`].
    pub orbit_version: Option<String>,
    /// See [`Model::osquery_version`].
    pub osquery_version: Option<String>,
    /// See [`Model::mdm_url`].
    pub mdm_url: Option<String>,
    /// Under which name its device speaks to our management, where it is a Windows device.
    pub windows_device_id: Option<String>,
    /// What was found of its profiles, and how often what is missing is sent again.
    pub findings: Vec<Finding>,
    /// See [`report::find`].
    pub max_retries: i16,
    /// When.
    pub at: i64,
}

/// Writes a report. Its host is up to date then.
///
/// # Errors
/// See [`StoreError`].
pub async fn store(writer: &Writer, report: AgentReport) -> Result<(), StoreError> {
    writer.run(report, |transaction, report| Box::pin(store_in(transaction, report))).await
}

async fn store_in(transaction: &Transaction, said: AgentReport) -> Result<(), StoreError> {
    let mut host_id = said.host_id;
    if let Some(device) = &said.windows_device_id {
        host_id = windows_host::meet_agent(transaction, host_id, device, said.at).await?;
    }
    if let Some(row) = host::Entity::find_by_id(host_id).filter(host::is_there()).one(transaction).await? {
        host_admission::refresh(transaction, &row, &said.description, said.at).await?;
    }
    let known = |text: Option<String>| text.map_or(ActiveValue::NotSet, Set);
    let row = ActiveModel {
        detail_at: Set(Some(said.at)),
        refetch_at: Set(None),
        orbit_version: known(said.orbit_version),
        osquery_version: known(said.osquery_version),
        mdm_url: said.mdm_url.map_or(ActiveValue::NotSet, |url| Set(Some(url))),
        ..Default::default()
    };
    report::found(transaction, host_id, &said.findings, said.max_retries, said.at).await?;
    change(transaction, host_id, row).await
}

/// Somebody wants details of a host now: its agent is asked when it comes next. `false`: it has no agent.
///
/// # Errors
/// See [`StoreError`].
pub async fn refetch(writer: &Writer, host_id: i64, now: i64) -> Result<bool, StoreError> {
    writer
        .run((host_id, now), |transaction, (host_id, now)| {
            Box::pin(async move {
                if Entity::find_by_id(host_id).count(transaction).await? == 0 {
                    return Ok(false);
                }
                let row = ActiveModel { refetch_at: Set(Some(now)), ..Default::default() };
                change(transaction, host_id, row).await?;
                Ok(true)
            })
        })
        .await
}

/// Notes who uses a host.
///
/// # Errors
/// See [`StoreError`].
pub async fn set_user(writer: &Writer, host_id: i64, email: String) -> Result<(), StoreError> {
    writer
        .run((host_id, email), |transaction, (host_id, email)| {
            Box::pin(async move {
                change(transaction, host_id, ActiveModel { user_email: Set(email), ..Default::default() }).await
            })
        })
        .await
}

/// The agents of a host, if it has any.
///
/// # Errors
/// The database does not answer.
pub async fn of_host(reader: &Reader, host_id: i64) -> Result<Option<Model>, StoreError> {
    reader.run(move |database| async move { Ok(Entity::find_by_id(host_id).one(&database).await?) }).await
}

async fn change(transaction: &Transaction, host_id: i64, row: ActiveModel) -> Result<(), StoreError> {
    news::note(News::Host(host_id));
    Entity::update_many().set(row).filter(Column::HostId.eq(host_id)).exec(transaction).await?;
    Ok(())
}
