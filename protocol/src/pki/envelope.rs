//! CMS EnvelopedData (RFC 5652 section 6) with RSA PKCS#1 v1.5 key transport and a CBC cipher: SCEP's pkcsPKIEnvelope, and the
//! server tokens of Apple's device assignment service.
//!
//! Opened by hand rather than by OpenSSL's CMS: its CMS switches off the implicit rejection that protects PKCS#1 v1.5,
//! needs its legacy provider for single DES, and does not tell which cipher was used. Start with [`open`].

use std::borrow::Cow;

use openssl::cms::CmsContentInfo;
use openssl::error::ErrorStack;
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::symm;

use crate::pki::algorithm::{
    AES_128_CBC, AES_192_CBC, AES_256_CBC, Algorithm, DES_CBC, DES_EDE3_CBC, ID_DATA, ID_ENVELOPED_DATA, RSA_ENCRYPTION,
};
use crate::pki::certificate::Certificate;
use crate::pki::encode::{algorithm, content_info, octet_string, oid, sequence, set_of_one, small_integer, tlv};
use crate::pki::public_key::KeyError;
use crate::pki::signature::issuer_and_serial;
use crate::pki::signer::Signer;
use crate::pki::walk::{CertificateFields, Element, Reader, tag};
use der::asn1::ObjectIdentifier;

/// More recipients than this are in no honest message.
const MAX_RECIPIENTS: usize = 8;

/// A content cipher of envelopes, all in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cipher {
    /// Single DES: broken, for very old clients only.
    Des,
    /// Triple DES with three keys.
    TripleDes,
    /// AES with a 128 bit key.
    Aes128,
    /// AES with a 192 bit key.
    Aes192,
    /// AES with a 256 bit key.
    Aes256,
}

/// Why an envelope was not opened; never told to the sender of a SCEP request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error("the envelope is not CMS EnvelopedData with RSA key transport")]
    Malformed,
    #[error("the envelope is for another recipient")]
    OtherRecipient,
    #[error("the envelope's cipher is not accepted")]
    Cipher,
    #[error("the envelope does not decrypt")]
    Undecipherable,
}

/// The parts of an EnvelopedData.
struct Enveloped<'a> {
    recipients: Reader<'a>,
    algorithm: Algorithm<'a>,
    content: &'a [u8],
}

/// Opens an envelope that is addressed to `recipient`, when `accept` agrees to its cipher.
pub(crate) fn open(
    enveloped: &[u8],
    recipient: &Signer,
    accept: impl Fn(Cipher) -> bool,
) -> Result<(Vec<u8>, Cipher), EnvelopeError> {
    let der = primitive(enveloped).ok_or(EnvelopeError::Malformed)?;
    let envelope = Enveloped::read(&der).ok_or(EnvelopeError::Malformed)?;
    let encrypted_key = find_key(envelope.recipients, recipient.certificate())?;
    let (cipher, iv) = envelope.cipher().filter(|(cipher, _)| accept(*cipher)).ok_or(EnvelopeError::Cipher)?;
    // A key that does not decrypt, or has the wrong length, is replaced by a random one, so that both ways end in the
    // same place: content that does not decrypt (RFC 3218 section 2.3.2).
    let random = cipher.random_key().map_err(|_| EnvelopeError::Undecipherable)?;
    let key = transported_key(encrypted_key, recipient).unwrap_or_default();
    let key = if key.len() == random.len() { key } else { random };
    let content = symm::decrypt(cipher.openssl(), &cipher.openssl_key(&key), Some(iv), envelope.content);
    content.map(|content| (content, cipher)).map_err(|_| EnvelopeError::Undecipherable)
}

/// Encrypts `content` to the RSA key of `recipient`.
pub(super) fn seal(content: &[u8], recipient: &Certificate, cipher: Cipher) -> Result<Vec<u8>, SealError> {
    let key = cipher.random_key()?;
    let mut iv = vec![0; cipher.iv_len()];
    openssl::rand::rand_bytes(&mut iv)?;
    let encrypted = symm::encrypt(cipher.openssl(), &cipher.openssl_key(&key), Some(&iv), content)?;

    let public_key = recipient.public_key()?.to_pkey()?;
    let mut context = PkeyCtx::new(&public_key)?;
    context.encrypt_init()?;
    context.set_rsa_padding(Padding::PKCS1)?;
    let mut encrypted_key = Vec::new();
    context.encrypt_to_vec(&key, &mut encrypted_key)?;

    let recipient_info = sequence(&[
        &small_integer(0),
        &issuer_and_serial(recipient),
        &algorithm(&RSA_ENCRYPTION),
        &octet_string(&encrypted_key),
    ]);
    let encrypted_content = sequence(&[
        &oid(&ID_DATA),
        &sequence(&[&oid(&cipher.oid()), &octet_string(&iv)]),
        &tlv(tag::CONTEXT_0_PRIMITIVE, &[&encrypted]),
    ]);
    let data = sequence(&[&small_integer(0), &set_of_one(&recipient_info), &encrypted_content]);
    Ok(content_info(&ID_ENVELOPED_DATA, &data))
}

/// Why nothing was sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The recipient's key cannot be used for encryption.
    #[error("the recipient's key cannot be used")]
    Key(#[from] KeyError),
    /// OpenSSL failed, for example because the recipient's key is not RSA.
    #[error("the message could not be encrypted or signed")]
    OpenSsl(#[from] ErrorStack),
}

/// The envelope in DER. Apple's encoder and streaming ones write indefinite lengths, the Go clients (mdmb) an OCTET
/// STRING inside the tag: OpenSSL makes one primitive value of it.
fn primitive(enveloped: &[u8]) -> Option<Cow<'_, [u8]>> {
    if Enveloped::read(enveloped).is_some() {
        return Some(Cow::Borrowed(enveloped));
    }
    CmsContentInfo::from_der(enveloped).and_then(|parsed| parsed.to_der()).ok().map(Cow::Owned)
}

impl<'a> Enveloped<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let mut info = Reader::only(der, tag::SEQUENCE)?;
        info.take(tag::OID).filter(|id| id.body == ID_ENVELOPED_DATA.as_bytes())?;
        let explicit = info.take(tag::CONTEXT_0)?;
        info.end()?;
        let mut data = Reader::only(explicit.body, tag::SEQUENCE)?;
        data.take(tag::INTEGER)?;
        data.optional(tag::CONTEXT_0);
        let recipients = data.enter(tag::SET)?;
        let mut encrypted = data.enter(tag::SEQUENCE)?;
        data.optional(tag::CONTEXT_1);
        data.end()?;

        encrypted.take(tag::OID)?;
        let algorithm = Algorithm::read(encrypted.enter(tag::SEQUENCE)?)?;
        let content = encrypted.take(tag::CONTEXT_0_PRIMITIVE)?.body;
        encrypted.end()?;
        Some(Self { recipients, algorithm, content })
    }

    fn cipher(&self) -> Option<(Cipher, &'a [u8])> {
        let cipher = Cipher::from_oid(self.algorithm.oid)?;
        let iv = self.algorithm.parameters.filter(|iv| iv.tag == tag::OCTET_STRING)?.body;
        (iv.len() == cipher.iv_len()).then_some((cipher, iv))
    }
}

fn transported_key(encrypted: &[u8], recipient: &Signer) -> Result<Vec<u8>, ErrorStack> {
    let mut context = PkeyCtx::new(recipient.key())?;
    context.decrypt_init()?;
    context.set_rsa_padding(Padding::PKCS1)?;
    let mut key = Vec::new();
    context.decrypt_to_vec(encrypted, &mut key)?;
    Ok(key)
}

/// The encrypted key of the recipient that is `certificate`.
fn find_key<'a>(mut recipients: Reader<'a>, certificate: &Certificate) -> Result<&'a [u8], EnvelopeError> {
    for _ in 0..MAX_RECIPIENTS {
        if recipients.is_empty() {
            return Err(EnvelopeError::OtherRecipient);
        }
        // Other kinds of recipient (key agreement, passwords) have context tags and are passed over.
        let info = recipients.next().ok_or(EnvelopeError::Malformed)?;
        if info.tag != tag::SEQUENCE {
            continue;
        }
        let (name, encrypted_key) = read_recipient(info).ok_or(EnvelopeError::Malformed)?;
        if names(&name, certificate) {
            return Ok(encrypted_key);
        }
    }
    Err(EnvelopeError::Malformed)
}

/// The name and the encrypted key of a KeyTransRecipientInfo.
fn read_recipient(info: Element<'_>) -> Option<(Element<'_>, &[u8])> {
    let mut reader = Reader::new(info.body);
    reader.take(tag::INTEGER)?;
    let name = reader.next()?;
    let transport = Algorithm::read(reader.enter(tag::SEQUENCE)?)?;
    let encrypted_key = reader.take(tag::OCTET_STRING)?.body;
    reader.end()?;
    (transport.is(&RSA_ENCRYPTION) && transport.is_plain()).then_some((name, encrypted_key))
}

fn names(name: &Element<'_>, certificate: &Certificate) -> bool {
    if name.tag == tag::CONTEXT_0_PRIMITIVE {
        let fields = CertificateFields::read(certificate.der());
        return fields.and_then(|fields| fields.subject_key_id()) == Some(name.body);
    }
    name.raw == issuer_and_serial(certificate)
}

impl Cipher {
    const ALL: [Self; 5] = [Self::Des, Self::TripleDes, Self::Aes128, Self::Aes192, Self::Aes256];

    fn from_oid(oid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|cipher| cipher.oid().as_bytes() == oid)
    }

    const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::Des => DES_CBC,
            Self::TripleDes => DES_EDE3_CBC,
            Self::Aes128 => AES_128_CBC,
            Self::Aes192 => AES_192_CBC,
            Self::Aes256 => AES_256_CBC,
        }
    }

    const fn key_len(self) -> usize {
        match self {
            Self::Des => 8,
            Self::Aes128 => 16,
            Self::TripleDes | Self::Aes192 => 24,
            Self::Aes256 => 32,
        }
    }

    const fn iv_len(self) -> usize {
        match self {
            Self::Des | Self::TripleDes => 8,
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
        }
    }

    fn openssl(self) -> symm::Cipher {
        match self {
            Self::Des | Self::TripleDes => symm::Cipher::des_ede3_cbc(),
            Self::Aes128 => symm::Cipher::aes_128_cbc(),
            Self::Aes192 => symm::Cipher::aes_192_cbc(),
            Self::Aes256 => symm::Cipher::aes_256_cbc(),
        }
    }

    /// The key as OpenSSL takes it: single DES is triple DES with the same key three times, and so needs no provider
    /// that is not always there.
    fn openssl_key(self, key: &[u8]) -> Cow<'_, [u8]> {
        if self == Self::Des { Cow::Owned(key.repeat(3)) } else { Cow::Borrowed(key) }
    }

    fn random_key(self) -> Result<Vec<u8>, ErrorStack> {
        let mut key = vec![0; self.key_len()];
        openssl::rand::rand_bytes(&mut key)?;
        Ok(key)
    }
}
