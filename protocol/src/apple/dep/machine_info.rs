//! What a new device says of itself when it comes for its enrollment profile: a property list, signed by the identity that Apple
//! gave the device (Apple, "MachineInfo").
//!
//! It proves that a device of Apple's sent it, once; it does not prove when, because nothing in it is fresh, nor who sits in front
//! of it. A serial number alone lets nobody in: the caller decides what such a device gets. Never here: which device CA is
//! Apple's; the caller names its anchors.
//!
//! Start with [`MachineInfo::verify`].

use super::super::fields::{FieldError, Fields};
use super::super::plist::{self, PlistError};
use crate::ids;
use crate::pki::signature::{SignatureError, Verified, header, verify};
use crate::pki::{Certificate, TextError};
use crate::time::Timestamp;

/// The header in which a web view says the same, in Base64.
pub const HEADER: &str = "x-apple-aspen-deviceinfo";

/// The type of the body that a device sends.
pub const CONTENT_TYPE: &str = "application/pkcs7-signature";

/// The largest message that is read, in bytes. A device's has about 5 KiB.
pub const MAX_MACHINE_INFO_BYTES: usize = 64 * 1024;

/// The longest chain from a device's certificate to an anchor, both counted.
const MAX_CHAIN: usize = 4;

/// The authority that Apple's devices have their identities of, as Apple publishes it ("Over-the-Air Profile Delivery and
/// Configuration"). It ended in 2014, and devices still get certificates of it.
const APPLE_IPHONE_DEVICE_CA: &[u8] = include_bytes!("apple_iphone_device_ca.pem");

/// The authorities whose devices are Apple's.
pub fn apple_authorities() -> Vec<Certificate> {
    Certificate::from_pem(APPLE_IPHONE_DEVICE_CA).into_iter().collect()
}

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineInfo {
    /// `UDID`: absent for a device that belongs to its user.
    pub udid: Option<String>,
    /// `SERIAL`: absent for a device that belongs to its user.
    pub serial_number: Option<String>,
    /// `PRODUCT`: the hardware, for example `Mac15,3`.
    pub product: String,
    /// `VERSION`: the build of the system, for example `24B83`.
    pub build_version: String,
    /// `OS_VERSION`, for example `15.1`.
    pub os_version: Option<String>,
    /// `SUPPLEMENTAL_BUILD_VERSION`: the build with its rapid security response.
    pub supplemental_build_version: Option<String>,
    /// `SUPPLEMENTAL_OS_VERSION_EXTRA`: the rapid security response, for example `(a)`.
    pub supplemental_os_version_extra: Option<String>,
    /// `IMEI`.
    pub imei: Option<String>,
    /// `MEID`.
    pub meid: Option<String>,
    /// `LANGUAGE`: what the user chose.
    pub language: Option<String>,
    /// `MDM_CAN_REQUEST_SOFTWARE_UPDATE`: whether it may be told to update before it enrolls.
    pub can_request_software_update: bool,
    /// `SOFTWARE_UPDATE_DEVICE_ID`: what Apple's list of updates calls the device.
    pub software_update_device_id: Option<String>,
    /// Whether the device's certificate is out of its time. Apple's run out while devices live, and a new device's clock may be
    /// off, so that this is told, and not refused.
    pub certificate_out_of_time: bool,
}

/// Why nothing is known of a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineInfoError {
    /// Longer than [`MAX_MACHINE_INFO_BYTES`].
    #[error("the device's information is larger than {MAX_MACHINE_INFO_BYTES} bytes")]
    TooLarge,
    /// The header is not Base64.
    #[error("{HEADER}: {0}")]
    Header(#[from] TextError),
    /// Not a signed message, or its signature does not verify.
    #[error("the device's information: {0}")]
    Signature(#[from] SignatureError),
    /// The signer's certificate does not come from an anchor.
    #[error("the device's certificate was not issued by Apple")]
    NotApples,
    /// The content is no property list.
    #[error("the device's information: {0}")]
    Plist(#[from] PlistError),
    /// An entry is absent, or of another type.
    #[error("the device's information: {0}")]
    Field(#[from] FieldError),
}

impl MachineInfo {
    /// Reads what a device posted: CMS SignedData with its content, with or without signed attributes.
    ///
    /// The signer's certificate has to be issued by an anchor, or by an authority among the message's certificates that is. The
    /// anchors' own validity does not matter: Apple's device CA has expired, and its devices have not.
    ///
    /// # Errors
    /// See [`MachineInfoError`].
    pub fn verify(cms: &[u8], anchors: &[Certificate], now: Timestamp) -> Result<Self, MachineInfoError> {
        if cms.len() > MAX_MACHINE_INFO_BYTES {
            return Err(MachineInfoError::TooLarge);
        }
        let verified = verify(cms, None)?;
        if !ends_in(&verified, anchors) {
            return Err(MachineInfoError::NotApples);
        }
        let content = verified.content.unwrap_or_default();
        let value = plist::parse(&content, MAX_MACHINE_INFO_BYTES)?;
        let fields = Fields::new(value.as_dictionary().ok_or(FieldError::NotADictionary)?);
        Self::of(fields, !verified.signer.is_valid_at(now)).map_err(MachineInfoError::Field)
    }

    /// Reads the header [`HEADER`]: the same message in Base64, either alphabet, padded or not.
    ///
    /// # Errors
    /// See [`MachineInfoError`].
    pub fn verify_header(text: &[u8], anchors: &[Certificate], now: Timestamp) -> Result<Self, MachineInfoError> {
        Self::verify(&header(text)?, anchors, now)
    }

    fn of(fields: Fields<'_>, certificate_out_of_time: bool) -> Result<Self, FieldError> {
        let id = |key| fields.id(key).map(|text| text.map(str::to_owned));
        let required = |key| id(key)?.ok_or(FieldError::Missing(key));
        let serial = id("SERIAL")?;
        Ok(Self {
            udid: id("UDID")?,
            serial_number: serial.as_deref().and_then(ids::serial_number).map(str::to_owned),
            product: required("PRODUCT")?,
            build_version: required("VERSION")?,
            os_version: id("OS_VERSION")?,
            supplemental_build_version: id("SUPPLEMENTAL_BUILD_VERSION")?,
            supplemental_os_version_extra: id("SUPPLEMENTAL_OS_VERSION_EXTRA")?,
            imei: id("IMEI")?,
            meid: id("MEID")?,
            language: id("LANGUAGE")?,
            can_request_software_update: fields.boolean("MDM_CAN_REQUEST_SOFTWARE_UPDATE")?.unwrap_or(false),
            software_update_device_id: id("SOFTWARE_UPDATE_DEVICE_ID")?,
            certificate_out_of_time,
        })
    }
}

/// Whether the signer's certificate leads to an anchor, by authorities that the message brought.
fn ends_in(verified: &Verified, anchors: &[Certificate]) -> bool {
    let mut last = &verified.signer;
    for _ in 1..MAX_CHAIN {
        if anchors.iter().any(|anchor| last.is_issued_by(anchor)) {
            return true;
        }
        let next =
            verified.others.iter().find(|other| other.is_authority() && *other != last && last.is_issued_by(other));
        let Some(next) = next else { return false };
        last = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use openssl::asn1::Asn1Time;
    use openssl::cms::{CMSOptions, CmsContentInfo};
    use openssl::hash::MessageDigest;
    use openssl::stack::Stack;
    use openssl::x509::extension::BasicConstraints;
    use openssl::x509::{X509, X509Name};

    use super::super::super::plist::Dictionary;
    use super::super::super::plist::Value;
    use super::*;
    use crate::pki::authority::{Authority, AuthorityRole};
    use crate::pki::fixtures::{NOW, YEAR, authority, ec_key, identity, rsa_key};
    use crate::pki::signature::{sign_attached, sign_detached};
    use crate::pki::{Signer, self_signed};

    fn content() -> Vec<u8> {
        let text = |text: &str| Value::from(text);
        let entries = [
            ("UDID", text("00008122-000A")),
            ("SERIAL", text("C02XL0GYJGH5")),
            ("PRODUCT", text("Mac15,3")),
            ("VERSION", text("24B83")),
            ("OS_VERSION", text("15.1")),
            ("LANGUAGE", text("en")),
            ("MDM_CAN_REQUEST_SOFTWARE_UPDATE", true.into()),
            ("SOFTWARE_UPDATE_DEVICE_ID", text("Mac15,3AP")),
            ("NEW", 7.into()),
        ];
        plist::to_xml(&Value::Dictionary(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
    }

    #[test]
    fn apples_authority_is_the_one_that_apple_publishes() {
        let authorities = apple_authorities();
        let known = "76f27d00e1333bc88de0e2916c38c9a7f2b75774c25a794c092a80e3c4c66cce";
        assert_eq!(authorities.len(), 1);
        assert_eq!(crate::pki::hex(authorities[0].fingerprint().as_bytes()), known);
    }

    fn anchors() -> Vec<Certificate> {
        vec![authority().certificate().clone()]
    }

    fn check(cms: &[u8]) -> Result<MachineInfo, MachineInfoError> {
        MachineInfo::verify(cms, &anchors(), NOW)
    }

    /// Signed by OpenSSL.
    fn signed(content: &[u8], signer: &Signer, options: CMSOptions) -> Vec<u8> {
        let certificate = X509::from_der(signer.certificate().der()).unwrap();
        let key = signer.key().to_owned();
        let chain: Stack<X509> = Stack::new().unwrap();
        let options = options | CMSOptions::BINARY;
        CmsContentInfo::sign(Some(&certificate), Some(&key), Some(&chain), Some(content), options)
            .unwrap()
            .to_der()
            .unwrap()
    }

    #[test]
    fn a_device_says_who_it_is_with_and_without_signed_attributes() {
        for device in [identity(rsa_key(), "device"), identity(ec_key(), "device")] {
            let ours = sign_attached(&content(), &device, &[]).unwrap();
            let plain = signed(&content(), &device, CMSOptions::NOATTR);
            for cms in [ours, plain, signed(&content(), &device, CMSOptions::empty())] {
                let info = check(&cms).unwrap();
                assert_eq!(
                    (info.serial_number.as_deref(), info.udid.as_deref()),
                    (Some("C02XL0GYJGH5"), Some("00008122-000A"))
                );
                assert_eq!((info.product.as_str(), info.build_version.as_str()), ("Mac15,3", "24B83"));
                assert_eq!((info.os_version.as_deref(), info.language.as_deref()), (Some("15.1"), Some("en")));
                assert!(info.can_request_software_update && !info.certificate_out_of_time);
                for text in [STANDARD.encode(&cms), URL_SAFE_NO_PAD.encode(&cms)] {
                    assert_eq!(MachineInfo::verify_header(text.as_bytes(), &anchors(), NOW).as_ref(), Ok(&info));
                }
            }
        }
    }

    #[test]
    fn a_certificate_out_of_its_time_is_told_and_an_expired_anchor_does_not_matter() {
        let cms = sign_attached(&content(), &identity(ec_key(), "device"), &[]).unwrap();
        let late = NOW.plus(YEAR * 20);
        assert!(!authority().certificate().is_valid_at(late));
        assert!(MachineInfo::verify(&cms, &anchors(), late).unwrap().certificate_out_of_time);
        assert!(MachineInfo::verify(&cms, &anchors(), NOW.minus(YEAR)).unwrap().certificate_out_of_time);
        assert!(
            !MachineInfo::verify(&cms, &anchors(), NOW.plus(Duration::from_secs(9))).unwrap().certificate_out_of_time
        );
    }

    #[test]
    fn only_who_comes_from_an_anchor_is_apples() {
        let device = identity(ec_key(), "device");
        let cms = sign_attached(&content(), &device, &[]).unwrap();
        let namesake = Authority::create("Test CA", NOW, 10, AuthorityRole::IssuesOnly).unwrap();
        let not_apples = Err(MachineInfoError::NotApples);
        assert_eq!(MachineInfo::verify(&cms, &[namesake.certificate().clone()], NOW), not_apples);
        assert_eq!(MachineInfo::verify(&cms, &[], NOW), not_apples);
        let own = self_signed(ec_key(), "device", NOW, YEAR).unwrap();
        assert_eq!(check(&sign_attached(&content(), &own, &anchors()).unwrap()), not_apples);
    }

    /// A certificate that `issuer` signed for the same key as `ec_key`, whether it may or not.
    fn issued(issuer: &Signer, common_name: &str, is_authority: bool) -> Signer {
        let mut name = X509Name::builder().unwrap();
        name.append_entry_by_text("CN", common_name).unwrap();
        let issuer_certificate = X509::from_der(issuer.certificate().der()).unwrap();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name.build()).unwrap();
        builder.set_issuer_name(issuer_certificate.subject_name()).unwrap();
        builder.set_not_before(&Asn1Time::from_unix(1_700_000_000).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(2_000_000_000).unwrap()).unwrap();
        builder.set_pubkey(&ec_key()).unwrap();
        if is_authority {
            builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        }
        builder.sign(issuer.key(), MessageDigest::sha256()).unwrap();
        Signer::new(Certificate::parse(&builder.build().to_der().unwrap()).unwrap(), ec_key()).unwrap()
    }

    #[test]
    fn a_chain_leads_over_authorities_alone() {
        for (is_authority, believed) in [(true, true), (false, false)] {
            let between = issued(authority().signer(), "between", is_authority);
            let device = issued(&between, "device", false);
            let brought = [between.certificate().clone()];
            let cms = sign_attached(&content(), &device, &brought).unwrap();
            assert_eq!(check(&cms).is_ok(), believed, "a device's own certificate issues no others");
            assert_eq!(check(&sign_attached(&content(), &device, &[]).unwrap()), Err(MachineInfoError::NotApples));
        }
    }

    #[test]
    fn a_chain_has_an_end() {
        let mut chain = vec![issued(authority().signer(), "1", true)];
        for number in 2..=4 {
            chain.push(issued(&chain[number - 2], &number.to_string(), true));
        }
        let certificates: Vec<Certificate> = chain.iter().map(|one| one.certificate().clone()).collect();
        let signed = |by: usize| check(&sign_attached(&content(), &chain[by], &certificates[..by]).unwrap());
        assert!(signed(2).is_ok());
        assert_eq!(signed(3), Err(MachineInfoError::NotApples));
    }

    #[test]
    fn what_is_not_signed_or_not_said_is_refused() {
        let device = identity(ec_key(), "device");
        let detached = sign_detached(&content(), &device, true).unwrap();
        assert_eq!(check(&detached), Err(MachineInfoError::Signature(SignatureError::NoContent)));
        let mut altered = sign_attached(&content(), &device, &[]).unwrap();
        let place = altered.windows(7).position(|window| window == b"Mac15,3").unwrap();
        altered[place] = b'm';
        assert_eq!(check(&altered), Err(MachineInfoError::Signature(SignatureError::Refused)));
        assert_eq!(check(&vec![0x30; MAX_MACHINE_INFO_BYTES + 1]), Err(MachineInfoError::TooLarge));
        assert!(matches!(MachineInfo::verify_header(b"!", &anchors(), NOW), Err(MachineInfoError::Header(_))));
        let said = |content: &[u8]| check(&sign_attached(content, &device, &[]).unwrap());
        assert!(matches!(said(b"bplist00"), Err(MachineInfoError::Plist(_))));
        let bare = |entries: &[(&str, &str)]| {
            let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value)));
            plist::to_xml(&Value::Dictionary(Dictionary::from_iter(entries)))
        };
        let missing = MachineInfoError::Field(FieldError::Missing("VERSION"));
        assert_eq!(said(&bare(&[("PRODUCT", "Mac15,3")])), Err(missing));
        let users = said(&bare(&[("PRODUCT", "iPhone15,2"), ("VERSION", "22B83"), ("SERIAL", "0")])).unwrap();
        assert_eq!((users.udid, users.serial_number), (None, None));
    }
}
