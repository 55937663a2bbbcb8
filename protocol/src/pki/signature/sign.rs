//! Making CMS signatures: signed profiles, device requests of simulators, and the outside of SCEP messages.
//!
//! No signing time is stated, because this crate has no clock. Start with [`sign_attached`].

use openssl::error::ErrorStack;
use openssl::hash::hash;
use openssl::sign::Signer as OpenSslSigner;

use crate::pki::algorithm::{
    ATTRIBUTE_CONTENT_TYPE, ATTRIBUTE_MESSAGE_DIGEST, Digest, ID_DATA, ID_SIGNED_DATA, RSA_ENCRYPTION, ecdsa_with,
};
use crate::pki::certificate::Certificate;
use crate::pki::encode::{
    algorithm, bare_algorithm, content_info, octet_string, oid, sequence, set_of, set_of_one, small_integer, tlv,
};
use crate::pki::public_key::KeyKind;
use crate::pki::signer::Signer;
use crate::pki::walk::tag;

/// What a signed message consists of.
pub(in crate::pki) struct Signing<'a> {
    pub(in crate::pki) content: &'a [u8],
    /// Whether the content is left out of the message.
    pub(in crate::pki) detached: bool,
    /// Encoded attributes besides content type and digest; none to sign the content itself.
    pub(in crate::pki) attributes: Option<Vec<Vec<u8>>>,
    /// Certificates besides the signer's.
    pub(in crate::pki) chain: &'a [Certificate],
    /// The digest; MD5 with RSA keys only, for simulating old SCEP clients.
    pub(in crate::pki) digest: Digest,
}

/// Signs `content` into one message with it, as profiles are signed: SHA-256, signed attributes, the signer's
/// certificate and `chain` included.
pub fn sign_attached(content: &[u8], signer: &Signer, chain: &[Certificate]) -> Result<Vec<u8>, ErrorStack> {
    let signing = Signing { content, detached: false, attributes: Some(Vec::new()), chain, digest: Digest::Sha256 };
    signed_data(signing, signer)
}

/// Signs `body` without including it, as devices sign requests (`Mdm-Signature`, before base64).
pub fn sign_detached(body: &[u8], signer: &Signer, with_attributes: bool) -> Result<Vec<u8>, ErrorStack> {
    let attributes = with_attributes.then(Vec::new);
    signed_data(Signing { content: body, detached: true, attributes, chain: &[], digest: Digest::Sha256 }, signer)
}

/// Makes a CMS SignedData with one signer, named by issuer and serial number.
pub(in crate::pki) fn signed_data(signing: Signing<'_>, signer: &Signer) -> Result<Vec<u8>, ErrorStack> {
    let elliptic = matches!(signer.certificate().key_kind(), KeyKind::Ec(_));
    let digest = if elliptic { signing.digest.max(Digest::Sha1) } else { signing.digest };
    let digest_algorithm = algorithm(&digest.oid());
    let attributes = match signing.attributes {
        Some(more) => Some(signed_attributes(more, signing.content, digest)?),
        None => None,
    };
    let signed = attributes.as_deref().unwrap_or(signing.content);
    let signature = OpenSslSigner::new(digest.openssl(), signer.key())?.sign_oneshot_to_vec(signed)?;

    let certificate = signer.certificate();
    let signature_algorithm = if elliptic { bare_algorithm(&ecdsa_with(digest)) } else { algorithm(&RSA_ENCRYPTION) };
    let tagged_attributes = attributes.map_or_else(Vec::new, |set| [&[tag::CONTEXT_0], &set[1..]].concat());
    let signer_info = sequence(&[
        &small_integer(1),
        &issuer_and_serial(certificate),
        &digest_algorithm,
        &tagged_attributes,
        &signature_algorithm,
        &octet_string(&signature),
    ]);
    let content = if signing.detached { Vec::new() } else { tlv(tag::CONTEXT_0, &[&octet_string(signing.content)]) };
    let mut certificates = vec![certificate.der()];
    certificates.extend(signing.chain.iter().map(Certificate::der));
    let data = sequence(&[
        &small_integer(1),
        &set_of_one(&digest_algorithm),
        &sequence(&[&oid(&ID_DATA), &content]),
        &tlv(tag::CONTEXT_0, &certificates),
        &set_of_one(&signer_info),
    ]);
    Ok(content_info(&ID_SIGNED_DATA, &data))
}

/// The SET of attributes as it is signed.
fn signed_attributes(mut attributes: Vec<Vec<u8>>, content: &[u8], digest: Digest) -> Result<Vec<u8>, ErrorStack> {
    let stated = hash(digest.openssl(), content)?;
    attributes.push(sequence(&[&oid(&ATTRIBUTE_CONTENT_TYPE), &set_of_one(&oid(&ID_DATA))]));
    attributes.push(sequence(&[&oid(&ATTRIBUTE_MESSAGE_DIGEST), &set_of_one(&octet_string(&stated))]));
    Ok(set_of(attributes))
}

/// How CMS names a certificate (RFC 5652 section 10.2.4), with the name exactly as the certificate has it.
pub(in crate::pki) fn issuer_and_serial(certificate: &Certificate) -> Vec<u8> {
    sequence(&[certificate.issuer(), certificate.serial_number()])
}
