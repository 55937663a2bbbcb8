//! Windows devices enroll (MS-MDE2): discovery, the policy of certificates, enrollment and renewal.
//!
//! Parse, ask, answer: what may be refused is refused with a SOAP fault. Answers are whole and plain, because devices need their
//! length. Start with [`discover`].

mod credential;
pub mod entra;
pub mod login;
pub mod terms;

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::authority::windows::{CheckTitle, EnrollWindows, RenewWindows};
use protocol::windows::discovery::{Discover, Places};
use protocol::windows::enrollment::TokenRequest;
use protocol::windows::soap::{CONTENT_TYPE, FaultKind, Header, MAX_BYTES, Request};
use protocol::windows::{discovery, enrollment, policy};

use entra::Entra;

use crate::http::edge::DeviceEdge;
use crate::http::error::{Refused, WindowsFault};
use crate::http::identity;
use crate::http::limiter::Limiter;

/// How long a device waits.
const DEADLINE: Duration = Duration::from_secs(20);
/// Where agents let Windows begin to enroll.
pub const DISCOVERY_PATH: &str = "/api/mdm/microsoft/discovery";
const POLICY_PATH: &str = "/api/mdm/microsoft/policy";
const ENROLL_PATH: &str = "/api/mdm/microsoft/enroll";
const LOGIN_PATH: &str = "/api/mdm/microsoft/auth";

/// What a device of Windows is enrolled by.
#[derive(Debug)]
pub struct WindowsEdge {
    /// Whether any is.
    pub enabled: bool,
    /// Who tries to sign in too often.
    pub limiter: Limiter,
    /// Who judges tokens of Entra ID, where these are accepted.
    pub entra: Option<Entra>,
}

/// A request that was read, and what its answer is.
struct Exchange {
    request: Request,
    activity: String,
    action: &'static str,
}

/// `GET …/discovery`: a device looks whether there is a server.
pub async fn probe() -> HttpResponse {
    HttpResponse::Ok().finish()
}

/// `POST …/discovery`
pub async fn discover(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, WindowsFault> {
    let exchange = Exchange::read(&edge, payload, discovery::RESPONSE).await?;
    let discover = Discover::read(&exchange.request).map_err(|error| exchange.refuse(error))?;
    if !discover.version.is_supported() {
        let why = "This version of Windows is too old to enroll here.";
        return Err(exchange.refuse(Refused::new(FaultKind::NotSupported, why)));
    }
    let server = &edge.front.authority_config.server_url;
    let [policy, enrollment, authentication] =
        [POLICY_PATH, ENROLL_PATH, LOGIN_PATH].map(|path| format!("{server}{path}"));
    let places = Places { policy: &policy, enrollment: &enrollment, authentication: &authentication };
    Ok(document(discovery::response(&exchange.header(), &discover, &places)))
}

/// `POST …/policy`: whoever could not enroll is told so here.
pub async fn policies(payload: Payload, edge: Data<DeviceEdge>) -> Result<HttpResponse, WindowsFault> {
    let exchange = Exchange::read(&edge, payload, policy::RESPONSE).await?;
    policy::read(&exchange.request).map_err(|error| exchange.refuse(error))?;
    let asked = async {
        // A device that renews its certificate shows nothing here: what it shows later decides.
        if let Some(title) = credential::title_if_any(&edge, &exchange.request.credential).await? {
            edge.front.authority.ask(CheckTitle(title), DEADLINE).await?;
        }
        Ok(())
    };
    asked.await.map_err(|refused: Refused| exchange.refuse(refused))?;
    let validity = edge.front.authority_config.identity_validity.as_secs();
    Ok(document(policy::response(&exchange.header(), validity)))
}

/// `POST …/enroll`
pub async fn enroll(
    request: HttpRequest,
    payload: Payload,
    edge: Data<DeviceEdge>,
) -> Result<HttpResponse, WindowsFault> {
    let exchange = Exchange::read(&edge, payload, enrollment::RESPONSE).await?;
    let provisioned = match TokenRequest::read(&exchange.request) {
        Err(error) => Err(error.into()),
        Ok(TokenRequest::Issue { csr, said }) => {
            let enrolling = async {
                let title = credential::title(&edge, &exchange.request.credential).await?;
                Ok(edge.front.authority.ask(EnrollWindows { title, csr, said }, DEADLINE).await?)
            };
            enrolling.await
        }
        Ok(TokenRequest::Renew { cms, device_id }) => {
            let renewing = async {
                let shown = identity::shown(&request, &edge.proxies)?;
                let renew = RenewWindows { cms, device_id, shown };
                edge.front.authority.ask(renew, DEADLINE).await
            };
            renewing.await.map_err(Refused::of_renewal)
        }
    };
    let document_xml = provisioned.map_err(|refused: Refused| exchange.refuse(refused))?;
    let now = edge.front.clock.now();
    Ok(document(enrollment::response(&exchange.header(), &document_xml, now)))
}

impl Exchange {
    async fn read(edge: &DeviceEdge, payload: Payload, action: &'static str) -> Result<Self, WindowsFault> {
        let fault = |refused| WindowsFault { refused, action, relates_to: None };
        let body = edge.budget.read(payload, MAX_BYTES).await.map_err(|error| fault(error.into()))?;
        let request = Request::read(&body).map_err(|error| fault(error.into()))?;
        let exchange = Self { request, activity: uuid::Uuid::new_v4().to_string(), action };
        if !edge.windows.enabled {
            let why = "Windows devices cannot enroll here.";
            return Err(exchange.refuse(Refused::new(FaultKind::NotSupported, why)));
        }
        Ok(exchange)
    }

    fn header(&self) -> Header<'_> {
        let (relates_to, activity) = (&self.request.message_id, &self.activity);
        Header { action: self.action, relates_to, activity, lasts: None }
    }

    fn refuse(&self, refused: impl Into<Refused>) -> WindowsFault {
        let relates_to = Some(self.request.message_id.clone());
        WindowsFault { refused: refused.into(), action: self.action, relates_to }
    }
}

fn document(xml: String) -> HttpResponse {
    HttpResponse::Ok().content_type(CONTENT_TYPE).insert_header((header::CACHE_CONTROL, "no-store")).body(xml)
}
