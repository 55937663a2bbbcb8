use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::nid::Nid;
use openssl::rsa::Rsa;
use proptest::prelude::*;

use super::*;
use crate::pki::algorithm::{ATTRIBUTE_MESSAGE_DIGEST, Digest, ID_SIGNED_DATA};
use crate::pki::authority::{Authority, AuthorityRole};
use crate::pki::certificate::Certificate;
use crate::pki::encode::{content_info, octet_string, oid, sequence, tlv};
use crate::pki::fixtures::{NOW, YEAR, authority, ec_key, ec_key_on, identity, ra, rsa_key};
use crate::pki::issue::self_signed;
use crate::pki::signer::{NewKey, Signer};
use crate::pki::walk::{Reader, tag};

const BODY: &[u8] = b"<?xml version=\"1.0\"?><plist><dict/></plist>";

fn devices() -> Vec<Signer> {
    let keys = [rsa_key(), ec_key(), ec_key_on(Nid::SECP384R1)];
    keys.into_iter().map(|key| identity(key, "device-1")).collect()
}

fn fast(signer: &Signer, cms: &[u8], body: &[u8]) -> Option<Fast> {
    let known = KnownSigner::from_certificate(signer.certificate()).unwrap();
    SignedMessage::walk(cms).map(|message| known.check(&message, body))
}

/// A signed message taken apart, to be put together wrongly.
struct Parts {
    version_and_digests: Vec<u8>,
    content: Vec<u8>,
    certificates: Vec<Vec<u8>>,
    infos: Vec<Vec<u8>>,
}

impl Parts {
    fn of(cms: &[u8]) -> Self {
        let mut info = Reader::only(cms, tag::SEQUENCE).unwrap();
        info.next().unwrap();
        let mut data = Reader::only(info.next().unwrap().body, tag::SEQUENCE).unwrap();
        let version_and_digests = [data.next().unwrap().raw, data.next().unwrap().raw].concat();
        let content = data.next().unwrap().raw.to_vec();
        let all = |mut reader: Reader<'_>| {
            std::iter::from_fn(|| reader.next()).map(|element| element.raw.to_vec()).collect::<Vec<_>>()
        };
        let certificates = all(data.enter(tag::CONTEXT_0).unwrap());
        let infos = all(data.enter(tag::SET).unwrap());
        Self { version_and_digests, content, certificates, infos }
    }

    fn assemble(&self) -> Vec<u8> {
        let slices = |parts: &[Vec<u8>]| parts.concat();
        let data = sequence(&[
            &self.version_and_digests,
            &self.content,
            &tlv(tag::CONTEXT_0, &[&slices(&self.certificates)]),
            &tlv(tag::SET, &[&slices(&self.infos)]),
        ]);
        content_info(&ID_SIGNED_DATA, &data)
    }
}

#[test]
fn a_device_that_signed_is_accepted_on_both_paths() {
    for device in devices() {
        for with_attributes in [true, false] {
            let cms = sign_detached(BODY, &device, with_attributes).unwrap();
            assert_eq!(fast(&device, &cms, BODY), Some(Fast::Accepted));
            let verified = verify(&cms, Some(BODY)).unwrap();
            assert_eq!(&verified.signer, device.certificate());
            assert_eq!(verified.content, None);
        }
    }
}

#[test]
fn a_tampered_body_is_refused() {
    let altered = [BODY, b" "].concat();
    for device in devices() {
        for (with_attributes, reason) in [(true, SlowReason::BodyDigest), (false, SlowReason::Signature)] {
            let cms = sign_detached(BODY, &device, with_attributes).unwrap();
            assert_eq!(fast(&device, &cms, &altered), Some(Fast::AskSlowPath(reason)));
            assert_eq!(verify(&cms, Some(&altered)).err(), Some(SignatureError::Refused));
        }
    }
}

#[test]
fn a_tampered_signature_is_refused() {
    for device in devices() {
        let mut cms = sign_detached(BODY, &device, true).unwrap();
        *cms.last_mut().unwrap() ^= 1;
        assert_eq!(fast(&device, &cms, BODY), Some(Fast::AskSlowPath(SlowReason::Signature)));
        assert_eq!(verify(&cms, Some(BODY)).err(), Some(SignatureError::Refused));
    }
}

#[test]
fn another_certificate_is_for_the_slow_path_to_name() {
    let (device, stranger) = (identity(rsa_key(), "device-1"), identity(rsa_key(), "device-2"));
    let cms = sign_detached(BODY, &stranger, true).unwrap();
    assert_eq!(fast(&device, &cms, BODY), Some(Fast::AskSlowPath(SlowReason::OtherCertificate)));
    assert_eq!(verify(&cms, Some(BODY)).unwrap().signer, *stranger.certificate());
}

#[test]
fn a_certificate_swapped_for_one_with_the_same_name_and_number_is_refused() {
    let device = identity(rsa_key(), "device-1");
    let mut parts = Parts::of(&sign_detached(BODY, &device, true).unwrap());
    // The certificate of another device, renamed to what the SignerInfo names: its key did not sign.
    let twin = twin_of(device.certificate());
    parts.certificates = vec![twin.der().to_vec()];
    let cms = parts.assemble();
    assert_eq!(fast(&device, &cms, BODY), Some(Fast::AskSlowPath(SlowReason::OtherCertificate)));
    assert_eq!(verify(&cms, Some(BODY)).err(), Some(SignatureError::Refused));
    // Both at once: nobody can say which one is meant.
    parts.certificates.push(device.certificate().der().to_vec());
    let cms = parts.assemble();
    assert_eq!(fast(&device, &cms, BODY), None);
    assert_eq!(verify(&cms, Some(BODY)).err(), Some(SignatureError::Malformed));
}

/// The same certificate with another RSA key in it.
fn twin_of(certificate: &Certificate) -> Certificate {
    let other = NewKey::Rsa2048.generate().unwrap().public_key_to_der().unwrap();
    let at = certificate.der().windows(other.len()).position(|window| window == certificate.spki()).unwrap();
    let mut der = certificate.der().to_vec();
    der[at..at + other.len()].copy_from_slice(&other);
    Certificate::parse(&der).unwrap()
}

#[test]
fn the_signer_is_found_behind_its_chain() {
    for device in devices() {
        let mut parts = Parts::of(&sign_detached(BODY, &device, true).unwrap());
        parts.certificates.insert(0, authority().certificate().der().to_vec());
        parts.certificates.insert(0, ra().certificate().der().to_vec());
        let cms = parts.assemble();
        assert_eq!(fast(&device, &cms, BODY), Some(Fast::Accepted));
        assert_eq!(verify(&cms, Some(BODY)).unwrap().signer, *device.certificate());
    }
}

#[test]
fn a_bag_of_many_certificates_is_not_opened() {
    let device = identity(ec_key(), "device-1");
    let mut parts = Parts::of(&sign_detached(BODY, &device, true).unwrap());
    parts.certificates.extend(vec![authority().certificate().der().to_vec(); 10]);
    assert_eq!(verify(&parts.assemble(), Some(BODY)).err(), Some(SignatureError::Malformed));
}

#[test]
fn two_signers_or_none_are_refused() {
    let device = identity(rsa_key(), "device-1");
    let mut parts = Parts::of(&sign_detached(BODY, &device, true).unwrap());
    parts.infos.push(parts.infos[0].clone());
    assert_eq!(fast(&device, &parts.assemble(), BODY), None);
    assert_eq!(verify(&parts.assemble(), Some(BODY)).err(), Some(SignatureError::Malformed));
    parts.infos.clear();
    assert_eq!(fast(&device, &parts.assemble(), BODY), None);
    assert_eq!(verify(&parts.assemble(), Some(BODY)).err(), Some(SignatureError::Malformed));
}

#[test]
fn a_missing_certificate_is_refused() {
    let device = identity(rsa_key(), "device-1");
    let mut parts = Parts::of(&sign_detached(BODY, &device, true).unwrap());
    parts.certificates = vec![ra().certificate().der().to_vec()];
    assert_eq!(verify(&parts.assemble(), Some(BODY)).err(), Some(SignatureError::Malformed));
}

#[test]
fn attached_content_must_be_the_body() {
    for device in devices() {
        let cms = sign_attached(BODY, &device, &[authority().certificate().clone()]).unwrap();
        assert_eq!(fast(&device, &cms, BODY), Some(Fast::AskSlowPath(SlowReason::AttachedContent)));
        assert_eq!(verify(&cms, None).unwrap().content.as_deref(), Some(BODY));
        assert_eq!(verify(&cms, Some(BODY)).unwrap().content.as_deref(), Some(BODY));
        let other = verify(&cms, Some(b"<plist>another</plist>"));
        assert_eq!(other.err(), Some(SignatureError::OtherContent));
    }
}

#[test]
fn a_detached_signature_without_a_body_says_nothing() {
    let cms = sign_detached(BODY, &identity(ec_key(), "device-1"), true).unwrap();
    assert_eq!(verify(&cms, None).err(), Some(SignatureError::NoContent));
}

#[test]
fn captured_attributes_are_not_a_body() {
    for device in devices() {
        let captured = sign_detached(BODY, &device, true).unwrap();
        let message = SignedMessage::walk(&captured).unwrap();
        let (attributes, signature) = (message.attributes.unwrap(), message.signature);
        let body = [&[tag::SET], &attributes[1..]].concat();

        // The captured SignerInfo without its attributes, over a body that is what was signed.
        let mut parts = Parts::of(&captured);
        let info = &parts.infos[0];
        let at = info.windows(attributes.len()).position(|window| window == attributes).unwrap();
        let mut contents = Reader::only(info, tag::SEQUENCE).unwrap();
        let before = contents.next().map(|version| version.raw.as_ptr().addr() - info.as_ptr().addr()).unwrap();
        parts.infos[0] = sequence(&[&info[before..at], &info[at + attributes.len()..]]);
        let confused = parts.assemble();
        assert_eq!(SignedMessage::walk(&confused).unwrap().signature, signature);

        assert_eq!(fast(&device, &confused, &body), Some(Fast::AskSlowPath(SlowReason::AmbiguousBody)));
        assert_eq!(verify(&confused, Some(&body)).err(), Some(SignatureError::Refused));
        let attached =
            Signing { content: &body, detached: false, attributes: None, chain: &[], digest: Digest::Sha256 };
        let attached = signed_data(attached, &device).unwrap();
        assert_eq!(verify(&attached, None).err(), Some(SignatureError::Refused), "attached, honestly signed");
    }
}

#[test]
fn a_mandatory_attribute_stands_exactly_once() {
    let device = identity(rsa_key(), "device-1");
    let digest = |values: &[u8]| sequence(&[&oid(&ATTRIBUTE_MESSAGE_DIGEST), &tlv(tag::SET, &[values])]);
    let zeros = octet_string(&[0; 32]);
    for extra in [digest(&zeros), digest(&[&zeros[..], &zeros[..]].concat()), digest(&[])] {
        let signing = Signing {
            content: BODY,
            detached: true,
            attributes: Some(vec![extra]),
            chain: &[],
            digest: Digest::Sha256,
        };
        let cms = signed_data(signing, &device).unwrap();
        assert_eq!(fast(&device, &cms, BODY), Some(Fast::AskSlowPath(SlowReason::Attributes)));
        assert_eq!(verify(&cms, Some(BODY)).err(), Some(SignatureError::Malformed));
    }
}

#[test]
fn other_digests_go_the_slow_way_and_md5_nowhere() {
    for device in devices() {
        for digest in [Digest::Sha1, Digest::Sha384, Digest::Sha512] {
            let signing = Signing { content: BODY, detached: true, attributes: Some(vec![]), chain: &[], digest };
            let cms = signed_data(signing, &device).unwrap();
            assert_eq!(fast(&device, &cms, BODY), Some(Fast::AskSlowPath(SlowReason::Algorithm)));
            assert_eq!(verify(&cms, Some(BODY)).unwrap().digest, digest);
            assert_eq!(verify_allowing(Digest::Sha512, &cms, Some(BODY)).is_ok(), digest == Digest::Sha512);
        }
    }
    let device = identity(rsa_key(), "device-1");
    let signing = Signing { content: BODY, detached: true, attributes: None, chain: &[], digest: Digest::Md5 };
    let cms = signed_data(signing, &device).unwrap();
    assert_eq!(verify(&cms, Some(BODY)).err(), Some(SignatureError::Unsupported));
    assert_eq!(verify_allowing(Digest::Md5, &cms, Some(BODY)).unwrap().digest, Digest::Md5);
}

#[test]
fn an_algorithm_of_another_kind_of_key_is_unsupported() {
    let device = identity(ec_key(), "device-1");
    let mut parts = Parts::of(&sign_detached(BODY, &device, true).unwrap());
    // ecdsa-with-SHA256 becomes ecdsa-with-SHA384: another digest than the message names.
    let ecdsa = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let at = parts.infos[0].windows(8).position(|window| window == ecdsa).unwrap();
    parts.infos[0][at + 7] = 0x03;
    assert_eq!(fast(&device, &parts.assemble(), BODY), Some(Fast::AskSlowPath(SlowReason::Algorithm)));
    assert_eq!(verify(&parts.assemble(), Some(BODY)).err(), Some(SignatureError::Unsupported));
}

#[test]
fn an_old_apple_device_certificate_of_1024_bits_still_verifies() {
    let key = openssl::pkey::PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    let device = self_signed(key, "iPhone", NOW, YEAR).unwrap();
    let cms = sign_attached(BODY, &device, &[]).unwrap();
    assert_eq!(verify(&cms, None).unwrap().content.as_deref(), Some(BODY));
}

#[test]
fn too_much_is_refused_before_any_work() {
    assert_eq!(verify(&vec![0; MAX_MESSAGE_BYTES + 1], None).err(), Some(SignatureError::TooLarge));
    assert_eq!(verify(&vec![0x30; MAX_INDEFINITE_BYTES + 1], None).err(), Some(SignatureError::TooLarge));
    assert_eq!(verify(&[], None).err(), Some(SignatureError::Malformed));
    let device = identity(ec_key(), "device-1");
    let large = vec![b'x'; 1_000_000];
    let cms = sign_attached(&large, &device, &[]).unwrap();
    assert_eq!(verify(&cms, None).unwrap().content.as_deref(), Some(&large[..]));
}

#[test]
fn a_header_is_read_in_every_spelling_and_bounded() {
    let device = identity(rsa_key(), "device-1");
    let cms = sign_detached(BODY, &device, true).unwrap();
    let lines: Vec<String> =
        STANDARD.encode(&cms).as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into()).collect();
    for text in [STANDARD.encode(&cms), URL_SAFE_NO_PAD.encode(&cms), lines.join("\r\n "), lines.join("\n")] {
        assert_eq!(header(text.as_bytes()), Ok(cms.clone()));
    }
    let long = vec![b'A'; MAX_HEADER_BYTES + 1];
    assert_eq!(header(&long), Err(TextError::TooLong { limit: MAX_HEADER_BYTES }));
    assert_eq!(header(b"not base64!"), Err(TextError::NotBase64));
}

#[test]
fn a_certificate_of_a_stranger_authority_is_returned_not_judged() {
    let strangers = Authority::create("Test CA", NOW, 10, AuthorityRole::IssuesOnly).unwrap();
    let spki = rsa_key().public_key_to_der().unwrap();
    let certificate = strangers.issue_identity(&spki, "device-1", NOW, YEAR).unwrap();
    let impostor = Signer::new(certificate, rsa_key()).unwrap();
    let verified = verify(&sign_detached(BODY, &impostor, true).unwrap(), Some(BODY)).unwrap();
    assert_ne!(verified.signer.fingerprint(), identity(rsa_key(), "device-1").certificate().fingerprint());
    assert!(!verified.signer.is_issued_by(authority().certificate()));
}

#[test]
fn no_single_altered_octet_divides_the_two_paths() {
    for (device, with_attributes) in
        devices().into_iter().take(2).flat_map(|device| [(device.clone(), true), (device, false)])
    {
        let cms = sign_detached(BODY, &device, with_attributes).unwrap();
        for (at, octet) in cms.iter().enumerate() {
            for value in [octet ^ 1, octet ^ 0x80, 0] {
                let mut altered = cms.clone();
                altered[at] = value;
                if fast(&device, &altered, BODY) == Some(Fast::Accepted) {
                    assert!(verify(&altered, Some(BODY)).is_ok(), "octet {at} from {octet:02x} to {value:02x}");
                }
            }
        }
    }
}

/// One alteration of a message.
#[derive(Clone, Debug)]
enum Alteration {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Cut(prop::sample::Index),
}

impl Alteration {
    fn any() -> impl Strategy<Value = Self> {
        use prop::sample::Index;
        prop_oneof![
            6 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Self::Set(at, value)),
            1 => any::<Index>().prop_map(Self::Remove),
            1 => (any::<Index>(), any::<u8>()).prop_map(|(at, value)| Self::Insert(at, value)),
            1 => any::<Index>().prop_map(Self::Cut),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Set(at, value) => {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::Insert(at, value) => bytes.insert(at.index(bytes.len()), *value),
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

proptest! {
    // Keys are new in every run, so a stored seed would not bring a failure back.
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_fast_path_accepts_the_slow_path_accepts(
        which in 0..3_usize, with_attributes in any::<bool>(), alterations in prop::collection::vec(Alteration::any(), 0..3)
    ) {
        let device = devices().swap_remove(which);
        let mut cms = sign_detached(BODY, &device, with_attributes).unwrap();
        alterations.iter().for_each(|alteration| alteration.apply(&mut cms));
        let slow = verify(&cms, Some(BODY));
        if fast(&device, &cms, BODY) == Some(Fast::Accepted) {
            prop_assert_eq!(slow.as_ref().map(|verified| verified.signer.fingerprint()), Ok(device.certificate().fingerprint()));
        }
        let _ = verify(&cms, None);
        prop_assert!(verify(&cms, Some(b"another body")).is_err());
    }

    #[test]
    fn altered_attached_messages_never_yield_other_content(alterations in prop::collection::vec(Alteration::any(), 1..3)) {
        let device = identity(ec_key(), "device-1");
        let mut cms = sign_attached(BODY, &device, &[]).unwrap();
        alterations.iter().for_each(|alteration| alteration.apply(&mut cms));
        if let Ok(verified) = verify(&cms, None) {
            prop_assert!(verified.signer.fingerprint() != device.certificate().fingerprint() || verified.content.as_deref() == Some(BODY));
        }
    }

    #[test]
    fn any_bytes_are_walked_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(SignedMessage::walk(&bytes).is_none());
        prop_assert!(verify(&bytes, Some(BODY)).is_err());
    }
}
