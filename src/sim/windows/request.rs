//! The certification request (PKCS#10) of a PC, with what real ones have in it: an exclamation mark in the common name, and
//! an extension whose content is no DER.

use openssl::asn1::{Asn1Object, Asn1OctetString};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKeyRef, Private};
use openssl::stack::Stack;
use openssl::x509::extension::ExtendedKeyUsage;
use openssl::x509::{X509Extension, X509NameBuilder, X509ReqBuilder};

use super::model::Model;

/// Microsoft's extension that names the device.
const DEVICE_EXTENSION: &str = "1.3.6.1.4.1.311.66.1.0";

/// The DER of a request for this key.
pub(super) fn certification_request(key: &PKeyRef<Private>, model: &Model) -> Result<Vec<u8>, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    let (first, second) = model.hardware_id.split_at(32);
    name.append_entry_by_nid(Nid::COMMONNAME, &format!("{first}!{}", &second[..31]))?;
    let mut request = X509ReqBuilder::new()?;
    request.set_version(0)?;
    request.set_subject_name(&name.build())?;
    request.set_pubkey(key)?;
    let mut extensions = Stack::new()?;
    extensions.push(ExtendedKeyUsage::new().client_auth().build()?)?;
    let raw = Asn1OctetString::new_from_bytes(format!("{}\0", model.device_id).as_bytes())?;
    let oid = Asn1Object::from_str(DEVICE_EXTENSION)?;
    extensions.push(X509Extension::new_from_der(&oid, false, &raw)?)?;
    request.add_extensions(&extensions)?;
    request.sign(key, MessageDigest::sha256())?;
    request.build().to_der()
}
