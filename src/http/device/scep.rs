//! SCEP (RFC 8894) over HTTP: `GetCACaps`, `GetCACert`, `PKIOperation` by GET and POST.

use std::time::Duration;

use actix_web::http::Method;
use actix_web::web::{Data, Payload, Query};
use actix_web::{HttpRequest, HttpResponse};
use actors::authority::GetCaCertificates;
use actors::authority::scep::PkiOperation;
use protocol::pki::scep::{
    CONTENT_TYPE_CAPABILITIES, CONTENT_TYPE_PKI_MESSAGE, MAX_MESSAGE_BYTES, Policy, capabilities, message_parameter,
};

use crate::http::edge::DeviceEdge;
use crate::http::error::DeviceError;
use protocol::percent::percent_decoded;

/// How long a requester waits.
const DEADLINE: Duration = Duration::from_secs(20);

/// The parameters of a SCEP request.
#[derive(Debug, serde::Deserialize)]
pub struct Parameters {
    #[serde(default)]
    operation: String,
}

/// Takes in a SCEP request.
pub async fn scep(
    request: HttpRequest,
    parameters: Query<Parameters>,
    payload: Payload,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, DeviceError> {
    match parameters.operation.as_str() {
        "GetCACaps" => {
            let policy = Policy { allow_legacy: edge.front.authority_config.allow_legacy };
            Ok(HttpResponse::Ok().content_type(CONTENT_TYPE_CAPABILITIES).body(capabilities(&policy)))
        }
        "GetCACert" => {
            let certificates = edge.front.authority.ask(GetCaCertificates, DEADLINE).await?;
            Ok(HttpResponse::Ok().content_type(certificates.content_type).body(certificates.body))
        }
        "PKIOperation" => {
            let message = message(&request, payload, &edge).await?;
            let reply = edge.front.authority.ask(PkiOperation { message }, DEADLINE).await?;
            Ok(HttpResponse::Ok().content_type(CONTENT_TYPE_PKI_MESSAGE).body(reply))
        }
        _ => Err(DeviceError::BadRequest("operation must be GetCACaps, GetCACert or PKIOperation".into())),
    }
}

/// The message: the body of a POST, or the parameter of a GET, which is read raw because `+` stands for itself in Base64.
async fn message(request: &HttpRequest, payload: Payload, edge: &DeviceEdge) -> Result<Vec<u8>, DeviceError> {
    if request.method() == Method::POST {
        return Ok(edge.budget.read(payload, MAX_MESSAGE_BYTES).await?.to_vec());
    }
    let parameter = request.query_string().split('&').find_map(|pair| pair.strip_prefix("message="));
    let parameter = parameter.ok_or_else(|| DeviceError::BadRequest("the parameter message is missing".into()))?;
    let decoded = percent_decoded(parameter.as_bytes());
    let unreadable = |error| DeviceError::BadRequest(format!("the parameter message: {error}"));
    message_parameter(&decoded).map_err(unreadable)
}
