use openssl::rsa::Rsa;
use proptest::prelude::*;

use super::attributes::{self, Nonce, STATUS_SUCCESS};
use super::client::{Protection, Reply, ReplyError, certification_request, read_ca_certificates};
use super::*;
use crate::pki::algorithm::Digest;
use crate::pki::certificate::Certificate;
use crate::pki::envelope;
use crate::pki::fixtures::{NOW, YEAR, authority, ec_key, identity, ra, rsa_key};
use crate::pki::issue::self_signed;
use crate::pki::signature::{Signing, signed_data, verify};
use crate::pki::signer::{NewKey, Signer};

const STRICT: Policy = Policy { allow_legacy: false };
const LEGACY: Policy = Policy { allow_legacy: true };
const MODERN: Protection = Protection { cipher: Cipher::Aes256, digest: Digest::Sha256 };

/// A client without an identity: a key and a certificate it made itself.
fn newcomer() -> Signer {
    self_signed(rsa_key(), "temporary", NOW, YEAR).unwrap()
}

fn csr(signer: &Signer) -> Vec<u8> {
    certification_request(signer.key(), "wanted", Some("s3cret")).unwrap()
}

fn enroll(protection: Protection) -> (Signer, client::Request) {
    let signer = newcomer();
    let request = client::Request::new(RequestKind::Enroll, &csr(&signer), &signer, ra().certificate(), protection);
    (signer, request.unwrap())
}

fn issue(request: &Request) -> Certificate {
    authority().issue_identity(&request.spki, "server-chosen", NOW, YEAR).unwrap()
}

/// What a hand-made message is refused for, and whether the refusal can be answered.
fn refused(message: &[u8], policy: &Policy) -> (bool, Refusal) {
    let error = Request::open(message, ra(), policy).unwrap_err();
    (error.context.is_some(), error.refusal)
}

/// A message with chosen attributes around a chosen content.
fn message(signer: &Signer, content: &[u8], attributes: Vec<Vec<u8>>) -> Vec<u8> {
    let signing =
        Signing { content, detached: false, attributes: Some(attributes), chain: &[], digest: Digest::Sha256 };
    signed_data(signing, signer).unwrap()
}

fn usual_attributes(message_type: &str) -> Vec<Vec<u8>> {
    vec![
        attributes::message_type(message_type),
        attributes::transaction_id(&TransactionId::parse("t-1").unwrap()),
        attributes::sender_nonce(&Nonce::random().unwrap()),
    ]
}

fn enveloped(content: &[u8]) -> Vec<u8> {
    envelope::seal(content, ra().certificate(), Cipher::Aes128).unwrap()
}

#[test]
fn a_newcomer_enrolls_with_every_cipher_and_digest() {
    for cipher in [Cipher::Aes128, Cipher::Aes192, Cipher::Aes256, Cipher::TripleDes] {
        for digest in [Digest::Sha256, Digest::Sha384, Digest::Sha512] {
            let (signer, sent) = enroll(Protection { cipher, digest });
            let request = Request::open(sent.message(), ra(), &STRICT).unwrap();
            assert_eq!(request.kind, RequestKind::Enroll);
            assert_eq!(request.signer, *signer.certificate());
            assert_eq!(request.common_name.as_deref(), Some("wanted"));
            assert!(request.challenge.as_ref().is_some_and(|challenge| challenge.matches("s3cret")));
            assert_eq!((request.cipher, request.context.digest), (cipher, digest));
            assert_eq!(&request.context.transaction_id, sent.transaction_id());

            let issued = issue(&request);
            let chain = [authority().certificate().clone()];
            let reply = reply_success(&request, &issued, &chain, ra()).unwrap();
            let read = sent.read_reply(&reply, &signer, ra().certificate()).unwrap();
            assert_eq!(read, Reply::Issued(vec![issued, chain[0].clone()]), "the issued certificate comes first");
        }
    }
}

#[test]
fn legacy_clients_enroll_only_where_that_is_allowed() {
    for protection in [
        Protection { cipher: Cipher::Des, digest: Digest::Sha256 },
        Protection { cipher: Cipher::TripleDes, digest: Digest::Sha1 },
        Protection { cipher: Cipher::Des, digest: Digest::Md5 },
    ] {
        let (signer, sent) = enroll(protection);
        let request = Request::open(sent.message(), ra(), &LEGACY).unwrap();
        let issued = issue(&request);
        let reply = reply_success(&request, &issued, &[], ra()).unwrap();
        assert_eq!(sent.read_reply(&reply, &signer, ra().certificate()), Ok(Reply::Issued(vec![issued])));
        assert!(verify(&reply, None).is_ok(), "nothing of ours is signed with MD5");

        let error = Request::open(sent.message(), ra(), &STRICT).unwrap_err();
        let context = error.context.unwrap();
        assert!(context.digest >= Digest::Sha256, "even the refusal is not signed with a weak digest");
        let reply = reply_failure(&context, FailInfo::BadRequest, ra()).unwrap();
        let read = sent.read_reply(&reply, &signer, ra().certificate());
        assert_eq!(read, Ok(Reply::Refused(Some(FailInfo::BadRequest))));
    }
}

#[test]
fn a_holder_renews_for_a_new_key_without_a_challenge() {
    let holder = identity(rsa_key(), "device-1");
    for new_key in [NewKey::Rsa2048.generate().unwrap(), ec_key()] {
        let csr = certification_request(&new_key, "device-1", None).unwrap();
        let sent = client::Request::new(RequestKind::Renew, &csr, &holder, ra().certificate(), MODERN).unwrap();
        let request = Request::open(sent.message(), ra(), &STRICT).unwrap();
        assert_eq!((request.kind, &request.signer), (RequestKind::Renew, holder.certificate()));
        assert_eq!(request.challenge, None);
        assert_eq!(request.spki, new_key.public_key_to_der().unwrap());
        let reply = reply_success(&request, &issue(&request), &[], ra()).unwrap();
        let Ok(Reply::Issued(issued)) = sent.read_reply(&reply, &holder, ra().certificate()) else {
            panic!("the holder reads its new certificate");
        };
        assert!(Signer::new(issued[0].clone(), new_key).is_ok());
    }
}

#[test]
fn an_authority_without_a_registration_authority_answers_itself() {
    let signer = newcomer();
    let ca = authority().signer();
    let sent = client::Request::new(RequestKind::Enroll, &csr(&signer), &signer, ca.certificate(), MODERN).unwrap();
    let request = Request::open(sent.message(), ca, &STRICT).unwrap();
    let reply = reply_success(&request, &issue(&request), &[], ca).unwrap();
    assert!(matches!(sent.read_reply(&reply, &signer, ca.certificate()), Ok(Reply::Issued(_))));
    assert_eq!(refused(sent.message(), &STRICT).1, Refusal::Envelope("the envelope is for another recipient".into()));
}

#[test]
fn every_other_message_type_is_refused_with_an_answer() {
    let signer = newcomer();
    for kind in ["0", "3", "18", "20", "21", "22", "190", "", "PKCSReq", "-1"] {
        let message = message(&signer, &enveloped(&csr(&signer)), usual_attributes(kind));
        assert_eq!(refused(&message, &STRICT), (true, Refusal::MessageType(kind.to_owned())));
    }
}

#[test]
fn attributes_that_are_missing_twice_or_too_long_leave_nothing_to_answer() {
    let signer = newcomer();
    let long_id = crate::pki::encode::tlv(0x13, &[&[b'a'; 257]]);
    let long_id = attributes::single(&der::asn1::ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.7"), &long_id);
    let control = crate::pki::encode::tlv(0x13, &[b"a\nb"]);
    let control = attributes::single(&der::asn1::ObjectIdentifier::new_unwrap("2.16.840.1.113733.1.9.7"), &control);
    let usual = usual_attributes("19");
    let cases = [
        vec![],
        usual[..1].to_vec(),
        usual[..2].to_vec(),
        vec![usual[0].clone(), usual[2].clone()],
        [&usual[..], &usual[1..2]].concat(),
        [&usual[..], &usual[2..]].concat(),
        vec![usual[0].clone(), long_id, usual[2].clone()],
        vec![usual[0].clone(), control, usual[2].clone()],
    ];
    for attributes in cases {
        let message = message(&signer, &enveloped(&csr(&signer)), attributes);
        assert_eq!(refused(&message, &STRICT), (false, Refusal::Attributes));
    }
    let untyped = message(&signer, &enveloped(&csr(&signer)), usual[1..].to_vec());
    assert_eq!(refused(&untyped, &STRICT), (true, Refusal::Attributes), "all that a reply needs is there");
}

#[test]
fn a_message_that_was_altered_or_is_too_large_is_not_answered() {
    let (_, sent) = enroll(MODERN);
    let mut altered = sent.message().to_vec();
    *altered.last_mut().unwrap() ^= 1;
    let (answerable, refusal) = refused(&altered, &STRICT);
    assert!(!answerable && matches!(refusal, Refusal::Signature(_)), "{refusal}");
    assert_eq!(refused(&vec![0x30; MAX_MESSAGE_BYTES + 1], &STRICT), (false, Refusal::TooLarge));
    let (answerable, refusal) = refused(b"", &STRICT);
    assert!(!answerable && matches!(refusal, Refusal::Signature(_)), "{refusal}");
}

#[test]
fn a_request_without_proof_of_possession_is_refused() {
    let signer = newcomer();
    let mut unproven = csr(&signer);
    *unproven.last_mut().unwrap() ^= 1;
    let no_proof = Refusal::Csr("the request is not signed by its own key".into());
    let broken = message(&signer, &enveloped(&unproven), usual_attributes("19"));
    assert_eq!(refused(&broken, &STRICT), (true, no_proof.clone()));
    // The name altered after signing: the same.
    let mut renamed = csr(&signer);
    let at = renamed.windows(6).position(|window| window == b"wanted").unwrap();
    renamed[at] = b'W';
    let renamed = message(&signer, &enveloped(&renamed), usual_attributes("17"));
    assert_eq!(refused(&renamed, &STRICT), (true, no_proof));
}

#[test]
fn whoever_asks_for_another_key_is_authorized_by_its_certificate_and_not_by_a_challenge() {
    let other = certification_request(&NewKey::Rsa2048.generate().unwrap(), "wanted", Some("s3cret")).unwrap();
    for signer in [newcomer(), identity(rsa_key(), "device-1")] {
        let message = message(&signer, &enveloped(&other), usual_attributes("19"));
        let request = Request::open(&message, ra(), &STRICT).unwrap();
        assert_eq!((request.kind, &request.signer), (RequestKind::Renew, signer.certificate()));
    }
}

#[test]
fn weak_keys_are_refused() {
    let weak = openssl::pkey::PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap();
    let holder = identity(rsa_key(), "device-1");
    let asks = message(&holder, &enveloped(&certification_request(&weak, "w", None).unwrap()), usual_attributes("17"));
    assert_eq!(refused(&asks, &STRICT), (true, Refusal::Csr("the request's key: the key is too weak".into())));
    for key in [weak, ec_key()] {
        let signer = self_signed(key, "temporary", NOW, YEAR).unwrap();
        let signs = message(&signer, &enveloped(&csr(&signer)), usual_attributes("19"));
        assert_eq!(refused(&signs, &STRICT), (true, Refusal::SignerKey));
    }
}

#[test]
fn an_envelope_that_does_not_open_is_refused_like_any_other() {
    let signer = newcomer();
    let undecipherable = Refusal::Envelope("the envelope does not decrypt".into());
    let mut envelope = enveloped(&csr(&signer));
    // The last block alone decides on the padding.
    let end = envelope.len() - 17;
    envelope[end] ^= 0xff;
    let altered = message(&signer, &envelope, usual_attributes("19"));
    assert_eq!(refused(&altered, &STRICT), (true, undecipherable));

    let elsewhere = envelope::seal(&csr(&signer), authority().certificate(), Cipher::Aes128).unwrap();
    let elsewhere = message(&signer, &elsewhere, usual_attributes("19"));
    assert_eq!(refused(&elsewhere, &STRICT), (true, Refusal::Envelope("the envelope is for another recipient".into())));
    for content in [&b""[..], b"not CMS", &csr(&signer)] {
        let plain = message(&signer, content, usual_attributes("19"));
        let malformed = Refusal::Envelope("the envelope is not CMS EnvelopedData with RSA key transport".into());
        assert_eq!(refused(&plain, &STRICT), (true, malformed));
    }
    let nothing = message(&signer, &enveloped(b"no request"), usual_attributes("19"));
    let no_request = Refusal::Csr("there is no certification request".into());
    assert_eq!(refused(&nothing, &STRICT), (true, no_request));
}

#[test]
fn an_envelope_in_the_spelling_of_the_go_clients_is_opened() {
    use crate::pki::encode::{octet_string, tlv};
    let signer = newcomer();
    // The encrypted content as an OCTET STRING inside a constructed tag, all lengths rewritten.
    let primitive = enveloped(&csr(&signer));
    let mut info = crate::pki::walk::Reader::only(&primitive, 0x30).unwrap();
    let id = info.next().unwrap().raw;
    let mut data = crate::pki::walk::Reader::only(info.next().unwrap().body, 0x30).unwrap();
    let (version, recipients) = (data.next().unwrap().raw, data.next().unwrap().raw);
    let mut encrypted = data.enter(0x30).unwrap();
    let (kind, algorithm) = (encrypted.next().unwrap().raw, encrypted.next().unwrap().raw);
    let content = tlv(0xa0, &[&octet_string(encrypted.next().unwrap().body)]);
    let data = tlv(0x30, &[version, recipients, &tlv(0x30, &[kind, algorithm, &content])]);
    let constructed = tlv(0x30, &[id, &tlv(0xa0, &[&data])]);
    let message = message(&signer, &constructed, usual_attributes("19"));
    let request = Request::open(&message, ra(), &STRICT).unwrap();
    assert_eq!(request.spki, signer.certificate().spki());
}

/// A constructed element of indefinite length (X.690 section 8.1.3.6).
fn indefinite(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    [&[tag, 0x80], &parts.concat()[..], &[0, 0]].concat()
}

#[test]
fn messages_with_indefinite_lengths_are_opened() {
    use crate::pki::encode::octet_string;
    use crate::pki::walk::Reader;
    let signer = newcomer();
    let primitive = enveloped(&csr(&signer));
    let mut info = Reader::only(&primitive, 0x30).unwrap();
    let id = info.next().unwrap().raw;
    let mut data = Reader::only(info.next().unwrap().body, 0x30).unwrap();
    let (version, recipients) = (data.next().unwrap().raw, data.next().unwrap().raw);
    let mut encrypted = data.enter(0x30).unwrap();
    let (kind, algorithm) = (encrypted.next().unwrap().raw, encrypted.next().unwrap().raw);
    let (first, second) = encrypted.next().unwrap().body.split_at(100);
    let content = indefinite(0xa0, &[&octet_string(first), &octet_string(second)]);
    let data = indefinite(0x30, &[version, recipients, &indefinite(0x30, &[kind, algorithm, &content])]);
    let envelope = indefinite(0x30, &[id, &indefinite(0xa0, &[&data])]);

    let signed = message(&signer, &envelope, usual_attributes("19"));
    let mut info = Reader::only(&signed, 0x30).unwrap();
    let id = info.next().unwrap().raw;
    let mut data = Reader::only(info.next().unwrap().body, 0x30).unwrap();
    let (version, digests) = (data.next().unwrap().raw, data.next().unwrap().raw);
    data.next().unwrap();
    let (certificates, infos) = (data.next().unwrap().body, data.next().unwrap().raw);
    let (first, second) = envelope.split_at(200);
    let octets = indefinite(0x24, &[&octet_string(first), &octet_string(second)]);
    let id_data = crate::pki::encode::oid(&crate::pki::algorithm::ID_DATA);
    let content = indefinite(0x30, &[&id_data, &indefinite(0xa0, &[&octets])]);
    let data = indefinite(0x30, &[version, digests, &content, &indefinite(0xa0, &[certificates]), infos]);
    let message = indefinite(0x30, &[id, &indefinite(0xa0, &[&data])]);

    let request = Request::open(&message, ra(), &STRICT).unwrap();
    assert_eq!(request.spki, signer.certificate().spki());
}

#[test]
fn envelopes_of_openssl_are_opened() {
    use openssl::cms::{CMSOptions, CmsContentInfo};
    let mut recipients = openssl::stack::Stack::new().unwrap();
    for certificate in [authority().certificate(), identity(ec_key(), "agreement").certificate(), ra().certificate()] {
        recipients.push(certificate.to_openssl().unwrap()).unwrap();
    }
    let cipher = openssl::symm::Cipher::aes_192_cbc();
    for flags in [CMSOptions::BINARY, CMSOptions::BINARY | CMSOptions::USE_KEYID] {
        let sealed = CmsContentInfo::encrypt(&recipients, b"content", cipher, flags).unwrap().to_der().unwrap();
        let opened = envelope::open(&sealed, ra(), |_| true);
        assert_eq!(opened, Ok((b"content".to_vec(), Cipher::Aes192)));
    }
}

#[test]
fn a_key_that_does_not_decrypt_fails_where_wrong_content_does() {
    let signer = newcomer();
    let envelope = enveloped(&csr(&signer));
    let own = envelope::seal(&csr(&signer), signer.certificate(), Cipher::Aes128).unwrap();
    let transported = |envelope: &[u8]| {
        let mark = [0x04, 0x82, 0x01, 0x00];
        envelope.windows(4).position(|window| window == mark).unwrap() + 4
    };
    // The encrypted key of another recipient, under our name: PKCS#1 padding that does not check out.
    let (ours, theirs) = (transported(&envelope), transported(&own));
    let mut swapped = envelope.clone();
    swapped[ours..ours + 256].copy_from_slice(&own[theirs..theirs + 256]);
    let message = message(&signer, &swapped, usual_attributes("19"));
    let (answerable, refusal) = refused(&message, &STRICT);
    assert!(answerable);
    // A random key gives valid padding once in 256 times; then the content is no request.
    assert!(
        refusal == Refusal::Envelope("the envelope does not decrypt".into())
            || refusal == Refusal::Csr("the envelope does not hold a certification request".into()),
        "{refusal}"
    );
}

#[test]
fn a_reply_is_believed_only_for_its_request_from_its_server_by_its_client() {
    let (signer, sent) = enroll(MODERN);
    let request = Request::open(sent.message(), ra(), &STRICT).unwrap();
    let reply = reply_success(&request, &issue(&request), &[], ra()).unwrap();

    let (_, again) = enroll(MODERN);
    assert_eq!(again.transaction_id(), sent.transaction_id(), "the same key");
    let other_nonce = again.read_reply(&reply, &signer, ra().certificate());
    assert_eq!(other_nonce, Err(ReplyError::OtherRequest));
    let other_server = sent.read_reply(&reply, &signer, authority().certificate());
    assert_eq!(other_server, Err(ReplyError::OtherSigner));
    let other_client = sent.read_reply(&reply, ra(), ra().certificate());
    assert_eq!(other_client, Err(ReplyError::NoCertificates));
    let mut altered = reply.clone();
    *altered.last_mut().unwrap() ^= 1;
    assert!(matches!(sent.read_reply(&altered, &signer, ra().certificate()), Err(ReplyError::Signature(_))));
    assert!(matches!(sent.read_reply(sent.message(), &signer, signer.certificate()), Err(ReplyError::OtherRequest)));

    let empty = message(
        ra(),
        &[],
        vec![
            attributes::message_type(attributes::CERT_REP),
            attributes::status(STATUS_SUCCESS),
            attributes::transaction_id(&request.context.transaction_id),
            attributes::recipient_nonce(&request.context.sender_nonce),
            attributes::sender_nonce(&Nonce::random().unwrap()),
        ],
    );
    assert_eq!(sent.read_reply(&empty, &signer, ra().certificate()), Err(ReplyError::NoCertificates));
}

#[test]
fn every_reason_to_fail_reaches_the_client() {
    let (signer, sent) = enroll(MODERN);
    let request = Request::open(sent.message(), ra(), &STRICT).unwrap();
    for reason in
        [FailInfo::BadAlg, FailInfo::BadMessageCheck, FailInfo::BadRequest, FailInfo::BadTime, FailInfo::BadCertId]
    {
        let reply = reply_failure(&request.context, reason, ra()).unwrap();
        let read = sent.read_reply(&reply, &signer, ra().certificate());
        assert_eq!(read, Ok(Reply::Refused(Some(reason))));
        assert_eq!(verify(&reply, None).unwrap().content.as_deref(), Some(&b""[..]), "certmonger wants content");
    }
}

#[test]
fn the_authority_is_published_alone_or_with_its_registration_authority() {
    let (ca, ra) = (authority().certificate(), ra().certificate());
    let alone = ca_certificates(ca, None);
    assert_eq!(alone.content_type, "application/x-x509-ca-cert");
    assert_eq!(read_ca_certificates(&alone.body), Some(vec![ca.clone()]));
    let both = ca_certificates(ca, Some(ra));
    assert_eq!(both.content_type, "application/x-x509-ca-ra-cert");
    assert_eq!(read_ca_certificates(&both.body), Some(vec![ra.clone(), ca.clone()]));
    let openssl = openssl::pkcs7::Pkcs7::from_der(&both.body).unwrap();
    assert_eq!(openssl.signed().and_then(|signed| signed.certificates()).map(|all| all.len()), Some(2));
    assert_eq!(read_ca_certificates(b"<html>"), None);
}

#[test]
fn capabilities_name_sha_1_only_where_it_is_allowed() {
    let lines = |policy: &Policy| capabilities(policy).lines().map(str::to_owned).collect::<Vec<_>>();
    for keyword in ["AES", "DES3", "SHA-256", "SHA-512", "POSTPKIOperation", "Renewal", "SCEPStandard"] {
        assert!(lines(&STRICT).contains(&keyword.to_owned()), "{keyword}");
    }
    assert!(!lines(&STRICT).contains(&"SHA-1".to_owned()));
    assert!(lines(&LEGACY).contains(&"SHA-1".to_owned()));
    assert!(lines(&LEGACY).iter().all(|line| !line.is_empty() && line.trim() == line));
}

#[test]
fn a_message_parameter_is_read_as_clients_mangle_it() {
    use base64::Engine;
    let (_, sent) = enroll(MODERN);
    let text = base64::engine::general_purpose::STANDARD.encode(sent.message());
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    for text in [
        text.clone(),
        text.replace('+', " "),
        text.replace('+', "-").replace('/', "_"),
        text.trim_end_matches('=').to_owned(),
        lines.join("\n"),
        lines.join("\r\n"),
    ] {
        assert_eq!(message_parameter(text.as_bytes()).as_deref(), Ok(sent.message()));
    }
    let long = vec![b'A'; MAX_MESSAGE_BYTES * 2];
    assert!(matches!(message_parameter(&long), Err(TextError::TooLong { .. })));
}

#[test]
fn a_challenge_is_never_shown_and_read_in_one_piece() {
    let (_, sent) = enroll(MODERN);
    let request = Request::open(sent.message(), ra(), &STRICT).unwrap();
    assert!(!format!("{request:?}").contains("s3cret"));
    assert!(!request.challenge.as_ref().unwrap().matches("s3cre"));
    assert!(!request.challenge.as_ref().unwrap().matches("s3creT"));

    let signer = newcomer();
    let long = certification_request(signer.key(), "wanted", Some(&"x".repeat(1025))).unwrap();
    let message = message(&signer, &enveloped(&long), usual_attributes("19"));
    let refusal = Refusal::Csr("the challenge is not one text of at most 1024 bytes".into());
    assert_eq!(refused(&message, &STRICT), (true, refusal));
}

proptest! {
    // Keys are new in every run, so a stored seed would not bring a failure back.
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn altered_messages_never_panic_nor_open_as_something_else(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), cut in any::<prop::sample::Index>()
    ) {
        let (signer, sent) = enroll(MODERN);
        let mut altered = sent.message().to_vec();
        for (at, value) in changes {
            let at = at.index(altered.len());
            altered[at] = value;
        }
        if let Ok(request) = Request::open(&altered, ra(), &LEGACY) {
            prop_assert_eq!(request.spki, signer.certificate().spki());
        }
        let _ = sent.read_reply(&altered, &signer, signer.certificate());
        altered.truncate(cut.index(altered.len()));
        prop_assert!(Request::open(&altered, ra(), &LEGACY).is_err());
    }

    #[test]
    fn honestly_signed_nonsense_never_panics(
        which in 0..3_u8, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        let signer = newcomer();
        let change = |mut bytes: Vec<u8>| {
            for (at, value) in &changes {
                let at = at.index(bytes.len());
                bytes[at] = *value;
            }
            bytes
        };
        let content = match which {
            0 => change(enveloped(&csr(&signer))),
            1 => enveloped(&change(csr(&signer))),
            _ => change(vec![0x30; 600]),
        };
        let message = message(&signer, &content, usual_attributes("19"));
        if let Ok(request) = Request::open(&message, ra(), &STRICT) {
            prop_assert_eq!(request.spki, signer.certificate().spki());
        }
    }
}
