//! One profile is uploaded, as a form with a file.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actors::profiles::admin::Upload;
use entities::profile::change::{Draft, Saved};
use protocol::upload::{MAX_UPLOAD_BYTES, sniff};
use serde_json::json;

use super::checked::{self, Way};
use super::labels::{self, MODES};
use crate::http::DEADLINE;
use crate::http::admin::auth::Asking;
use crate::http::edge::AdminEdge;
use crate::http::error::ApiError;
use crate::http::multipart::{Field, Form};

/// A form with the largest file and everything around it, in bytes.
const MAX_FORM_BYTES: usize = MAX_UPLOAD_BYTES + 256 * 1024;

/// What a form says.
#[derive(Default)]
struct Wish {
    file: Option<Field>,
    team_id: Option<i64>,
    labels: Vec<(i16, String)>,
    rollout_percent: Option<i64>,
    rollout_max_failures: Option<i64>,
}

/// `POST …/configuration_profiles`
pub async fn upload(
    admin: Asking,
    request: HttpRequest,
    payload: Payload,
    edge: Data<AdminEdge>,
) -> Result<HttpResponse, ApiError> {
    let form = Form::read(&request, &edge.budget, payload, MAX_FORM_BYTES).await?;
    let wish = Wish::read(form)?;
    let team_id = super::team_of(&admin, &edge, wish.team_id, None).await?;
    let draft = wish.into_draft(team_id)?;
    let upload = Upload { draft, asked_by: admin.name.clone() };
    match edge.front.profiles.ask(upload, DEADLINE).await? {
        Saved::Done(profile) => Ok(HttpResponse::Ok().json(json!({ "profile_uuid": profile.uuid }))),
        other => Err(super::refused(other)),
    }
}

impl Wish {
    fn read(form: Form) -> Result<Self, ApiError> {
        let mut wish = Self::default();
        for field in form.into_fields() {
            let number = || {
                let number = field.text()?.trim().parse::<i64>().ok().filter(|number| *number >= 0);
                number.ok_or_else(|| ApiError::invalid(&field.name, "is not a number from 0 on"))
            };
            let twice = match field.name.as_str() {
                "team_id" => wish.team_id.replace(number()?).is_some(),
                "rollout_percent" => wish.rollout_percent.replace(number()?).is_some(),
                "rollout_max_failures" => wish.rollout_max_failures.replace(number()?).is_some(),
                "profile" => wish.file.replace(field).is_some(),
                name => {
                    // A label that is passed over would send a profile to hosts that it is not for.
                    let mode = MODES.iter().find(|(known, _)| *known == name);
                    let (_, mode) = mode.ok_or_else(|| ApiError::invalid(name, "there is no such field"))?;
                    wish.labels.push((*mode, field.text()?.to_owned()));
                    false
                }
            };
            if twice {
                return Err(ApiError::bad_request("a field stands in the form twice"));
            }
        }
        Ok(wish)
    }

    fn into_draft(self, team_id: i64) -> Result<Draft, ApiError> {
        let file = self.file.ok_or_else(|| ApiError::bad_request("send the file as the field profile"))?;
        let file_name = file.file_name.as_deref().unwrap_or_default();
        let kind = sniff(&file.content, Some(file_name)).ok_or_else(|| {
            ApiError::bad_request("a profile is a .mobileconfig, .json or .xml file: its name has to end so")
        })?;
        let stem = file_name.rsplit_once('.').map_or(file_name, |(stem, _)| stem);
        // A mobileconfig has its name in itself; its file may be called anything.
        let name = Some(stem).filter(|_| kind != protocol::upload::UploadKind::AppleProfile);
        let way = Way {
            team_id,
            labels: labels::checked(self.labels)?,
            rollout_percent: percent(self.rollout_percent.unwrap_or(100))?,
            rollout_max_failures: self.rollout_max_failures,
        };
        checked::draft(&file.content, kind, name, way).map_err(|reason| ApiError::invalid("profile", reason))
    }
}

/// A share of hosts.
pub(super) fn percent(percent: i64) -> Result<i16, ApiError> {
    let percent = i16::try_from(percent).ok().filter(|percent| (0..=100).contains(percent));
    percent.ok_or_else(|| ApiError::invalid("rollout_percent", "is a number from 0 to 100"))
}
