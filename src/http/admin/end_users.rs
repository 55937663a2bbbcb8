//! Whose device a host is: the owner of an account at an identity provider, and whom an agent names.

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use entities::owner::{self, Owner};
use entities::{Reader, StoreError, agent_report, host_idp_account};
use protocol::time::Timestamp;
use serde_json::{Value, json};

use super::auth::Asking;
use super::reach;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;

/// `GET …/hosts/{id}/device_mapping`
pub(in crate::http) async fn mapping(
    admin: Asking,
    id: Path<(String, i64)>,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let host = reach::host(&admin, &edge, id.into_inner().1).await?;
    let mapping = emails(&edge.front.reader, host.id).await?;
    Ok(HttpResponse::Ok().json(json!({ "host_id": host.id, "device_mapping": mapping })))
}

/// The owner of a host as its page shows them: none, or one.
///
/// # Errors
/// The database does not answer.
pub(super) async fn of_host(reader: &Reader, host_id: i64) -> Result<Vec<Value>, ApiError> {
    let owner = owner::of_host(reader, host_id).await?;
    let show = |owner: Owner| {
        let person = owner.person.as_ref();
        json!({
            "idp_id": owner.account.uuid,
            "idp_username": owner.user_name(),
            "idp_full_name": owner.full_name(),
            "idp_groups": owner.groups,
            "idp_department": owner.department(),
            "idp_info_updated_at": person.map(|person| Timestamp::from_millis(person.updated_at).to_rfc3339()),
            "other_emails": [],
        })
    };
    Ok(owner.into_iter().map(show).collect())
}

/// The email addresses of whoever uses a host, each with who says so.
///
/// # Errors
/// The database does not answer.
pub(in crate::http) async fn emails(reader: &Reader, host_id: i64) -> Result<Vec<Value>, StoreError> {
    let owner = host_idp_account::of_host(reader, host_id).await?;
    let agent = agent_report::of_host(reader, host_id).await?;
    let owner = owner.map(|owner| json!({ "email": owner.email, "source": "mdm_idp_accounts" }));
    let named = agent.map(|agent| agent.user_email).filter(|email| !email.is_empty());
    let named = named.map(|email| json!({ "email": email, "source": "custom" }));
    Ok(owner.into_iter().chain(named).collect())
}
