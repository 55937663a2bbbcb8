//! What a device demands of an enrollment profile, checked before it is written and after it is read.

use super::payloads::{MDM, SCEP};
use super::{ALL_ACCESS_RIGHTS, EnrollmentProfile};
use crate::apple::profile::{Payload, Profile, ProfileError};
use crate::apple::push::is_topic;

/// The payloads that make a profile an enrollment profile.
pub(super) struct Found<'a> {
    pub(super) scep: &'a Payload,
    pub(super) mdm: &'a Payload,
}

/// Finds the one management payload and its identity, and checks their order.
pub(super) fn find(profile: &Profile) -> Result<Found<'_>, ProfileError> {
    let mut managements = profile.payloads.iter().enumerate().filter(|(_, payload)| payload.payload_type == MDM);
    let (Some((mdm_index, mdm)), None) = (managements.next(), managements.next()) else {
        return Err(ProfileError::Enrollment("there is not exactly one com.apple.mdm payload"));
    };
    let identity = mdm.settings.get("IdentityCertificateUUID").and_then(|value| value.as_string()).unwrap_or_default();
    let scep = profile.payloads.iter().position(|payload| payload.payload_type == SCEP && payload.uuid == identity);
    match scep {
        None => Err(ProfileError::Enrollment("IdentityCertificateUUID names no SCEP payload of this profile")),
        Some(scep_index) if scep_index > mdm_index => {
            Err(ProfileError::Enrollment("the SCEP payload stands after the com.apple.mdm payload"))
        }
        Some(scep_index) => Ok(Found { scep: &profile.payloads[scep_index], mdm }),
    }
}

/// Checks the values.
pub(super) fn check(profile: &EnrollmentProfile) -> Result<(), ProfileError> {
    let (scep, mdm) = (&profile.scep, &profile.mdm);
    let capabilities = &mdm.server_capabilities;
    let repeated = (1..capabilities.len()).any(|index| capabilities[..index].contains(&capabilities[index]));
    let rules = [
        (!profile.identifier.is_empty(), ProfileError::Value("PayloadIdentifier")),
        (!profile.uuid.is_empty(), ProfileError::Value("PayloadUUID")),
        (is_https(&scep.url), ProfileError::Enrollment("the SCEP URL is not https")),
        (is_https(&mdm.server_url), ProfileError::Enrollment("ServerURL is not https")),
        (is_https(mdm.effective_check_in_url()), ProfileError::Enrollment("CheckInURL is not https")),
        (is_topic(&mdm.topic), ProfileError::Value("Topic")),
        (mdm.identity_certificate_uuid == scep.uuid, ProfileError::Value("IdentityCertificateUUID")),
        (mdm.access_rights.is_none_or(are_access_rights), ProfileError::Value("AccessRights")),
        (!repeated, ProfileError::Value("ServerCapabilities")),
        (matches!(scep.key_size, 1024 | 2048 | 4096), ProfileError::Value("Keysize")),
        (matches!(scep.key_usage, 0 | 1 | 4 | 5), ProfileError::Value("Key Usage")),
        (scep.subject.iter().all(|(name, _)| !name.is_empty()), ProfileError::Value("Subject")),
    ];
    rules.into_iter().try_for_each(|(kept, error)| if kept { Ok(()) } else { Err(error) })
}

/// Whether these bits are access rights: documented ones, at least one, 2 only with 1, and 128 only with 64.
fn are_access_rights(bits: u16) -> bool {
    let needs = |right: u16, other: u16| bits & right == 0 || bits & other != 0;
    bits != 0 && bits & !ALL_ACCESS_RIGHTS == 0 && needs(2, 1) && needs(128, 64)
}

/// Whether `url` is an absolute https URL with a host, without user, fragment, white space and control characters.
fn is_https(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    !host.is_empty() && !authority.contains('@') && !url.contains(|c: char| c == '#' || c <= ' ' || !c.is_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_https_urls_with_a_host_pass() {
        for url in ["https://mdm.example.com/mdm", "https://mdm.example.com:8443?id=1", "https://[::1]:8443/mdm"] {
            assert!(is_https(url), "{url}");
        }
        for url in [
            "http://mdm.example.com",
            "https://",
            "https:///mdm",
            "https://:443/",
            "https://a@b/",
            "https://a/#b",
            "https://a/ b",
            "https://a/\n",
            "HTTPS",
            "https://ä.example.com/",
        ] {
            assert!(!is_https(url), "{url}");
        }
    }

    #[test]
    fn access_rights_need_their_companions() {
        for bits in [1, 3, 64, 192, 8191] {
            assert!(are_access_rights(bits), "{bits}");
        }
        for bits in [0, 2, 128, 8192, 16_383] {
            assert!(!are_access_rights(bits), "{bits}");
        }
    }
}
