//! The body of a 403 that tells a device, before it is enrolled, why it may not enroll.
//!
//! Never for an enrolled device: `com.apple.unrecognized.device` makes it remove its management. The routes of enrolled
//! devices therefore cannot build this type into an answer.
//!
//! Start with [`Refusal`] (Apple, "ErrorCodeSoftwareUpdateRequired", "ErrorUnrecognizedDevice", "ErrorWellKnownFailed").

use serde::Serialize;

/// The `Content-Type` of the body that [`Refusal::to_json`] writes.
pub const CONTENT_TYPE: &str = "application/json";

/// Why a device may not enroll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has to update its system first. Only for a device that sent `MDM_CAN_REQUEST_SOFTWARE_UPDATE`.
    SoftwareUpdateRequired {
        /// The system's version to reach, for example `18.1`.
        os_version: String,
        /// The build to reach, for seeding.
        build_version: Option<String>,
    },
    /// Service discovery refuses the user.
    WellKnownFailed {
        /// What the user is shown, if the device can.
        message: Option<String>,
    },
    /// The server refuses this device.
    UnrecognizedDevice {
        /// What the device logs.
        description: Option<String>,
        /// What the user is shown, if the device can.
        message: Option<String>,
    },
}

#[derive(Default, Serialize)]
struct Body<'a> {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(rename = "OSVersion")]
    os_version: &'a str,
    #[serde(rename = "BuildVersion", skip_serializing_if = "Option::is_none")]
    build_version: Option<&'a str>,
}

impl Refusal {
    /// The body as JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let body = match self {
            Self::SoftwareUpdateRequired { os_version, build_version } => Body {
                code: "com.apple.softwareupdate.required",
                details: Some(Details { os_version, build_version: build_version.as_deref() }),
                ..Body::default()
            },
            Self::WellKnownFailed { message } => {
                Body { code: "com.apple.well-known.failed", message: message.as_deref(), ..Body::default() }
            }
            Self::UnrecognizedDevice { description, message } => Body {
                code: "com.apple.unrecognized.device",
                description: description.as_deref(),
                message: message.as_deref(),
                ..Body::default()
            },
        };
        serde_json::to_vec(&body).expect("a struct of texts is always JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(refusal: &Refusal) -> String {
        String::from_utf8(refusal.to_json()).unwrap()
    }

    #[test]
    fn an_update_is_asked_for_with_its_version() {
        let refusal = Refusal::SoftwareUpdateRequired { os_version: "18.1".to_owned(), build_version: None };
        assert_eq!(text(&refusal), r#"{"code":"com.apple.softwareupdate.required","details":{"OSVersion":"18.1"}}"#);
        let refusal =
            Refusal::SoftwareUpdateRequired { os_version: "18.1".into(), build_version: Some("22B83".into()) };
        assert!(text(&refusal).ends_with(r#""details":{"OSVersion":"18.1","BuildVersion":"22B83"}}"#));
    }

    #[test]
    fn a_refusal_says_only_what_it_is_given() {
        let silent = Refusal::UnrecognizedDevice { description: None, message: None };
        assert_eq!(text(&silent), r#"{"code":"com.apple.unrecognized.device"}"#);
        let spoken = Refusal::WellKnownFailed { message: Some("Ask \"IT\"".to_owned()) };
        assert_eq!(text(&spoken), r#"{"code":"com.apple.well-known.failed","message":"Ask \"IT\""}"#);
    }
}
