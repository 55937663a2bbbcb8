//! Agents that are no MDM: orbit and osquery enroll here, fetch what they are to do, and report. Their paths and shapes are Fleet's.
//!
//! Unlike enrolled Apple devices they may be told 401: they enroll again then, and nothing is lost. Polls are answered from memory
//! (`actors::agents`), because every agent asks every few seconds.

pub mod desktop;
pub mod orbit;
pub mod osquery;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Bytes, Payload};
use actors::agents::Remembered;
use actors::ask::Refusal;
use actors::registrar::EnrollAgent;
use actors::seen::Through;
use entities::agent::Kind;
use protocol::agent::node_key;
use protocol::ids::HostId;

use crate::http::edge::DeviceEdge;
use crate::http::error::{AgentError, AgentFault};
use crate::http::limiter::Limiter;

/// How long an agent waits.
const DEADLINE: Duration = Duration::from_secs(20);
/// The longest message of an agent that brings no results, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// How agents are served.
#[derive(Debug)]
pub struct AgentEdge {
    /// Who shows tokens of desktops that are none.
    pub limiter: Limiter,
    /// How old details of hosts may get.
    pub detail_interval: Duration,
    /// How often osquery asks for queries.
    pub query_interval: Duration,
}

async fn read(edge: &DeviceEdge, payload: Payload, kind: Kind, limit: usize) -> Result<Bytes, AgentError> {
    edge.budget.read(payload, limit).await.map_err(|error| AgentError { kind, fault: error.into() })
}

async fn enroll(edge: &DeviceEdge, enroll: EnrollAgent) -> Result<String, AgentError> {
    let kind = enroll.kind;
    edge.front.registrar.ask(enroll, DEADLINE).await.map_err(refused(kind))
}

/// The host of the key in a message; it was seen.
async fn recognize(edge: &DeviceEdge, payload: Payload, kind: Kind) -> Result<Arc<Remembered>, AgentError> {
    let key = node_key(&read(edge, payload, kind, MAX_BYTES).await?);
    recognize_key(edge, &key.map_err(|error| AgentError::bad_request(kind, error))?, kind).await
}

/// The host of a key; it was seen.
async fn recognize_key(edge: &DeviceEdge, key: &str, kind: Kind) -> Result<Arc<Remembered>, AgentError> {
    let now = edge.front.clock.now();
    let found = edge.front.agents.recognize(kind, key, now).await.map_err(refused(kind))?;
    let host = found.ok_or(AgentError { kind, fault: AgentFault::UnknownKey })?;
    edge.front.seen.note(HostId(host.known.host_id), now, Through::Agent);
    Ok(host)
}

/// An actor's refusal, for this agent.
fn refused(kind: Kind) -> impl Fn(Refusal) -> AgentError {
    move |refusal| AgentError { kind, fault: AgentFault::from(refusal) }
}
