//! Devices that the organization bought come here when they are switched on, and prove which ones they are.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use actors::authority::assigned::{InviteAssigned, Invited};
use protocol::apple::dep::machine_info::MAX_MACHINE_INFO_BYTES;

use super::enroll::mobileconfig;
use crate::http::edge::DeviceEdge;
use crate::http::error::EnrollError;

/// How long a device waits.
const DEADLINE: Duration = Duration::from_secs(20);

/// Serves an enrollment profile for the device that signed the body, which Apple calls MachineInfo.
pub async fn enroll(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, EnrollError> {
    let machine_info = edge.budget.read(payload, MAX_MACHINE_INFO_BYTES).await?.to_vec();
    match edge.front.authority.ask(InviteAssigned { machine_info }, DEADLINE).await? {
        Invited::Profile(signed) => Ok(mobileconfig(signed)),
        Invited::UpdateFirst { version } => Err(EnrollError::UpdateFirst(version)),
    }
}
