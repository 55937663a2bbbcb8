//! What the `openssl` command makes, we accept; what we make, it accepts. Without the command each test says so on its
//! last line and passes.
#![expect(clippy::disallowed_methods, reason = "the command reads and writes files")]
#![expect(clippy::unwrap_used, reason = "everything here is a test or made for one")]

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use openssl::pkey::{PKey, Private};
use protocol::pki::authority::{Authority, AuthorityRole};
use protocol::pki::scep::client::{Protection, Request, certification_request};
use protocol::pki::scep::{Cipher, RequestKind, ca_certificates};
use protocol::pki::signature::{
    Fast, KnownSigner, SignatureError, SignedMessage, sign_attached, sign_detached, verify,
};
use protocol::pki::{Certificate, Digest, NewKey, ServerName, Signer, self_signed};
use protocol::time::Timestamp;

const BODY: &[u8] = b"<?xml version=\"1.0\"?>\r\n<plist>\n<dict/></plist>\r";
const NOW: Timestamp = Timestamp::from_seconds(1_795_253_400);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// A directory with the authority's and two devices' files, in which the command runs.
struct Cli {
    directory: PathBuf,
}

struct Fixture {
    authority: Authority,
    rsa: Signer,
    ec: Signer,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let authority = Authority::create("Test CA", NOW, 10, AuthorityRole::AnswersScep).unwrap();
        let identity = |key: PKey<Private>| {
            let spki = key.public_key_to_der().unwrap();
            Signer::new(authority.issue_identity(&spki, "device-1", NOW, YEAR).unwrap(), key).unwrap()
        };
        let (rsa, ec) = (NewKey::Rsa2048.generate().unwrap(), NewKey::P256.generate().unwrap());
        Fixture { rsa: identity(rsa), ec: identity(ec), authority }
    })
}

impl Cli {
    /// None, with a line that says so, when there is no `openssl` command.
    fn new(test: &str) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            println!("left out: {test} (there is no openssl command on this machine)");
            return None;
        }
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
        fs::create_dir_all(&directory).unwrap();
        let cli = Self { directory };
        let fixture = fixture();
        cli.write("ca.pem", fixture.authority.certificate().to_pem().unwrap().as_bytes());
        for (name, signer) in [("rsa", &fixture.rsa), ("ec", &fixture.ec)] {
            cli.write(&format!("{name}.pem"), signer.certificate().to_pem().unwrap().as_bytes());
            cli.write(&format!("{name}.key"), &signer.private_key_pem().unwrap());
        }
        cli.write("body", BODY);
        Some(cli)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.directory.join(name)).unwrap()
    }

    /// Runs `openssl` with the words of `line`; whether it succeeded, and what it said.
    fn run(&self, line: &str) -> (bool, String) {
        let output =
            Command::new("openssl").args(line.split_whitespace()).current_dir(&self.directory).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), format!("openssl {line}\n{}", String::from_utf8_lossy(&said)))
    }

    fn must(&self, line: &str) -> String {
        let (succeeded, said) = self.run(line);
        assert!(succeeded, "{said}");
        said
    }

    /// Signs the body as the device `name`, with more options.
    fn sign(&self, name: &str, options: &str) -> Vec<u8> {
        let line = format!("cms -sign -binary -in body -signer {name}.pem -inkey {name}.key -outform DER -out signed");
        self.must(&format!("{line} {options}"));
        self.read("signed")
    }
}

fn fast(signer: &Signer, cms: &[u8], body: &[u8]) -> bool {
    let known = KnownSigner::from_certificate(signer.certificate()).unwrap();
    SignedMessage::walk(cms).is_some_and(|message| known.check(&message, body) == Fast::Accepted)
}

#[test]
fn detached_signatures_of_every_form_are_accepted_and_altered_bodies_refused() {
    let Some(cli) = Cli::new("detached") else { return };
    let forms = [
        ("", true),
        ("-noattr", true),
        ("-nosmimecap", true),
        ("-certfile ca.pem", true),
        ("-md sha1", false),
        ("-md sha1 -noattr", false),
        ("-md sha384", false),
        ("-md sha512", false),
        ("-keyid", false),
        ("-keyid -noattr -md sha512", false),
    ];
    let pss = ("-keyopt rsa_padding_mode:pss", false);
    for (name, signer) in [("rsa", &fixture().rsa), ("ec", &fixture().ec)] {
        for (options, is_fast) in forms.into_iter().chain((name == "rsa").then_some(pss)) {
            let cms = cli.sign(name, options);
            let verified = verify(&cms, Some(BODY)).unwrap_or_else(|error| panic!("{name} {options}: {error}"));
            assert_eq!(verified.signer, *signer.certificate(), "{name} {options}");
            assert_eq!(verified.content, None);
            assert_eq!(fast(signer, &cms, BODY), is_fast, "{name} {options}");

            let altered = [BODY, b" "].concat();
            assert_eq!(verify(&cms, Some(&altered)).err(), Some(SignatureError::Refused), "{name} {options}");
            assert!(!fast(signer, &cms, &altered), "{name} {options}");
        }
    }
}

#[test]
fn attached_signatures_with_definite_and_indefinite_lengths_are_accepted() {
    let Some(cli) = Cli::new("attached") else { return };
    for (name, signer) in [("rsa", &fixture().rsa), ("ec", &fixture().ec)] {
        for options in
            ["-nodetach", "-nodetach -stream", "-nodetach -stream -noattr", "-nodetach -stream -keyid -md sha1"]
        {
            let cms = cli.sign(name, options);
            assert_eq!(cms.starts_with(&[0x30, 0x80]), options.contains("-stream"), "{options}");
            let verified = verify(&cms, None).unwrap_or_else(|error| panic!("{name} {options}: {error}"));
            assert_eq!(verified.content.as_deref(), Some(BODY));
            assert_eq!(verified.signer, *signer.certificate());
            assert!(verify(&cms, Some(BODY)).is_ok());
            assert_eq!(verify(&cms, Some(b"another")).err(), Some(SignatureError::OtherContent));

            let at = cms.windows(6).position(|window| window == b"plist>").unwrap();
            let mut altered = cms.clone();
            altered[at] = b'P';
            assert_eq!(verify(&altered, None).err(), Some(SignatureError::Refused), "{name} {options}");
        }
    }
}

#[test]
fn older_pkcs7_signatures_are_accepted() {
    let Some(cli) = Cli::new("pkcs7") else { return };
    cli.must("smime -sign -binary -in body -signer rsa.pem -inkey rsa.key -outform DER -out signed");
    let cms = cli.read("signed");
    assert!(verify(&cms, Some(BODY)).is_ok() && fast(&fixture().rsa, &cms, BODY));
}

#[test]
fn md5_and_several_signers_are_refused() {
    let Some(cli) = Cli::new("refused") else { return };
    let cms = cli.sign("rsa", "-md md5");
    assert_eq!(verify(&cms, Some(BODY)).err(), Some(SignatureError::Unsupported));
    let cms = cli.sign("rsa", "-signer ec.pem -inkey ec.key");
    assert_eq!(verify(&cms, Some(BODY)).err(), Some(SignatureError::Malformed));
    let cms = cli.sign("rsa", "-nocerts");
    assert_eq!(verify(&cms, Some(BODY)).err(), Some(SignatureError::Malformed));
}

#[test]
fn openssl_verifies_the_profiles_and_bodies_that_we_sign() {
    let Some(cli) = Cli::new("ours") else { return };
    let fixture = fixture();
    let chain = [fixture.authority.certificate().clone()];
    let trust = format!("-CAfile ca.pem -attime {} -purpose any -binary -inform DER", NOW.seconds());
    for signer in [&fixture.rsa, &fixture.ec] {
        cli.write("attached", &sign_attached(BODY, signer, &chain).unwrap());
        for tool in ["cms", "smime"] {
            cli.must(&format!("{tool} -verify {trust} -in attached -out content"));
            assert_eq!(cli.read("content"), BODY);
        }
        for with_attributes in [true, false] {
            cli.write("detached", &sign_detached(BODY, signer, with_attributes).unwrap());
            cli.must(&format!("cms -verify {trust} -in detached -content body -out content"));
            let (accepted, _) = cli.run(&format!("cms -verify {trust} -in detached -content ca.pem -out content"));
            assert!(!accepted, "another body");
        }
    }
}

#[test]
fn openssl_finds_no_fault_in_the_certificates_that_we_issue() {
    let Some(cli) = Cli::new("certificates") else { return };
    let fixture = fixture();
    let names = [ServerName::parse("mdm.example").unwrap(), ServerName::parse("10.0.0.1").unwrap()];
    let issued: [(&str, Certificate); 5] = [
        ("sslclient", fixture.rsa.certificate().clone()),
        ("sslclient", fixture.ec.certificate().clone()),
        ("sslclient", fixture.authority.issue_push("com.apple.mgmt.x", NOW, YEAR).unwrap().certificate().clone()),
        (
            "sslserver -verify_hostname mdm.example",
            fixture.authority.issue_server(&names, NOW, YEAR).unwrap().certificate().clone(),
        ),
        ("any", fixture.authority.issue_ra("RA", NOW, YEAR).unwrap().certificate().clone()),
    ];
    for (purpose, certificate) in issued {
        cli.write("issued.pem", certificate.to_pem().unwrap().as_bytes());
        let line =
            format!("verify -x509_strict -CAfile ca.pem -attime {} -purpose {purpose} issued.pem", NOW.seconds());
        cli.must(&line);
    }
}

#[test]
fn openssl_reads_what_our_scep_client_sends() {
    let Some(cli) = Cli::new("scep") else { return };
    let fixture = fixture();
    let device = self_signed(NewKey::Rsa2048.generate().unwrap(), "temporary", NOW, YEAR).unwrap();
    let csr = certification_request(device.key(), "wanted", Some("s3cret")).unwrap();
    cli.write("csr", &csr);
    let text = cli.must("req -verify -inform DER -in csr -noout -text");
    assert!(text.contains("challengePassword") && text.contains("s3cret"), "{text}");

    let ca = fixture.authority.signer();
    cli.write("ca.key", &ca.private_key_pem().unwrap());
    for cipher in [Cipher::TripleDes, Cipher::Aes128, Cipher::Aes192, Cipher::Aes256] {
        let protection = Protection { cipher, digest: Digest::Sha256 };
        let request = Request::new(RequestKind::Enroll, &csr, &device, ca.certificate(), protection).unwrap();
        cli.write("message", request.message());
        cli.must("cms -verify -noverify -binary -inform DER -in message -out envelope");
        cli.must("cms -decrypt -inform DER -in envelope -recip ca.pem -inkey ca.key -out opened");
        assert_eq!(cli.read("opened"), csr);
    }
    let ra = fixture.authority.issue_ra("Test RA", NOW, YEAR).unwrap();
    cli.write("both", &ca_certificates(fixture.authority.certificate(), Some(ra.certificate())).body);
    let text = cli.must("pkcs7 -inform DER -in both -print_certs -noout");
    assert!(text.find("Test RA").unwrap() < text.rfind("subject").unwrap(), "{text}");
}
