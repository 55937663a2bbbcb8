//! Discovery (MS-MDE2 3.1): a device says what it is and how its user could be asked, and learns where to go on.

use super::soap::{Header, Request, SoapError, answer};
use super::xml::Element;

/// The namespace of discovery.
pub const NAMESPACE: &str = "http://schemas.microsoft.com/windows/management/2012/01/enrollment";
/// What an answer is.
pub const RESPONSE: &str =
    "http://schemas.microsoft.com/windows/management/2012/01/enrollment/IDiscoveryService/DiscoverResponse";
/// The version of the protocol that answers are of: later ones have fields that this server does not use.
const ENROLLMENT_VERSION: &str = "4.0";
/// The oldest device that is answered. There is no newest: Windows 11 25H2 says 9.0.
const OLDEST: Version = Version { major: 3, minor: 0 };

/// What a device says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discover {
    /// The version of the protocol that it speaks.
    pub version: Version,
    /// Whether it can show a page on which its user signs in.
    pub is_federated: bool,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
}

/// Where a device goes on.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Where it asks for the policy of certificates.
    pub policy: &'a str,
    /// Where it enrolls.
    pub enrollment: &'a str,
    /// The page on which its user signs in.
    pub authentication: &'a str,
}

impl Discover {
    /// Reads the message.
    ///
    /// # Errors
    /// It is another one, or the version is no number.
    pub fn read(request: &Request) -> Result<Self, SoapError> {
        let discover = request.expect(NAMESPACE, "Discover")?;
        let said =
            discover.child(NAMESPACE, "request").ok_or(SoapError::Field("the request in Discover is missing"))?;
        let version = said.child_text(NAMESPACE, "RequestVersion").and_then(Version::parse);
        let policies = said.child(NAMESPACE, "AuthPolicies").map_or(&[][..], |all| all.children.as_slice());
        let is_federated = |policy: &Element| policy.is(NAMESPACE, "AuthPolicy") && policy.text.trim() == "Federated";
        Ok(Self {
            version: version.ok_or(SoapError::Field("the RequestVersion is not a number"))?,
            is_federated: policies.iter().any(is_federated),
        })
    }
}

impl Version {
    /// Reads a decimal number, for example `9.0` or `4`.
    pub fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| {
            let sound = (1..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
            if sound { digits.parse().ok() } else { None }
        };
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Some(Self { major: number(major)?, minor: number(minor)? })
    }

    /// Whether a device that speaks it can enroll here.
    pub fn is_supported(self) -> bool {
        self >= OLDEST
    }
}

/// The answer to a device. One that can show a page is sent to it: otherwise its user would be asked for a password.
pub fn response(header: &Header<'_>, discover: &Discover, places: &Places<'_>) -> String {
    answer(header, |writer| {
        writer.element("DiscoverResponse", &[("xmlns", NAMESPACE)], |writer| {
            writer.element("DiscoverResult", &[], |writer| {
                let policy = if discover.is_federated { "Federated" } else { "OnPremise" };
                writer.leaf("AuthPolicy", &[], policy);
                writer.leaf("EnrollmentVersion", &[], ENROLLMENT_VERSION);
                writer.leaf("EnrollmentPolicyServiceUrl", &[], places.policy);
                writer.leaf("EnrollmentServiceUrl", &[], places.enrollment);
                if discover.is_federated {
                    writer.leaf("AuthenticationServiceUrl", &[], places.authentication);
                }
            });
        });
    })
}

#[cfg(test)]
mod tests;
