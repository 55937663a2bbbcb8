use super::*;
use crate::pki::fixtures::{ec_key, identity, rsa_key};
use crate::pki::signature::{sign_attached, sign_detached};

const WIFI: &str = "<dict><key>PayloadType</key><string>com.apple.wifi.managed</string><key>PayloadVersion</key><integer>1</integer>\
    <key>PayloadIdentifier</key><string>com.example.wifi</string><key>PayloadUUID</key><string>B</string></dict>";

fn document(outer: &str, payloads: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><plist version=\"1.0\"><dict>{outer}<key>PayloadContent</key><array>{payloads}</array></dict></plist>"
    )
}

fn outer() -> String {
    let text = |key: &str, value: &str| format!("<key>{key}</key><string>{value}</string>");
    [
        text("PayloadType", "Configuration"),
        text("PayloadIdentifier", "com.example.profile"),
        text("PayloadUUID", "A"),
        text("PayloadDisplayName", "Wi-Fi"),
        "<key>PayloadVersion</key><integer>1</integer>".to_owned(),
    ]
    .concat()
}

fn read(text: &str) -> Result<UploadedProfile, UploadError> {
    UploadedProfile::parse(text.as_bytes())
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

/// The usual profile with one thing replaced.
fn refused_with(old: &str, new: &str) -> String {
    let text = document(&outer(), WIFI);
    assert!(text.contains(old));
    refused(&text.replacen(old, new, 1))
}

#[test]
fn a_profile_says_who_it_is_and_for_whom() {
    let profile = read(&document(&outer(), WIFI)).unwrap();
    assert_eq!((profile.identifier.as_str(), profile.name.as_str()), ("com.example.profile", "Wi-Fi"));
    assert_eq!((profile.scope, profile.signed, profile.variables.len()), (Scope::System, false, 0));
    assert_eq!(profile.payload_types, ["com.apple.wifi.managed"]);
    let user = format!("{}<key>PayloadScope</key><string>User</string>", outer());
    assert_eq!(read(&document(&user, "")).unwrap().scope, Scope::User);
}

#[test]
fn an_encrypted_profile_is_taken_without_its_payloads() {
    let encrypted = format!(
        "<plist version=\"1.0\"><dict>{}<key>EncryptedPayloadContent</key><data>AAAA</data></dict></plist>",
        outer()
    );
    assert_eq!(read(&encrypted).unwrap().payload_types, [""; 0]);
}

#[test]
fn a_signed_profile_is_read_and_its_signature_has_to_hold() {
    let content = document(&outer(), WIFI);
    for key in [rsa_key(), ec_key()] {
        let signer = identity(key, "Signer");
        let signed = sign_attached(content.as_bytes(), &signer, &[]).unwrap();
        let profile = UploadedProfile::parse(&signed).unwrap();
        assert!(profile.signed && profile.name == "Wi-Fi");
        let at = signed.windows(5).position(|window| window == b"Wi-Fi").unwrap();
        let mut changed = signed.clone();
        changed[at] = b'w';
        let refused = |bytes: &[u8]| UploadedProfile::parse(bytes).unwrap_err().to_string();
        assert_eq!(refused(&changed), "the profile: not a signed profile: the signature does not verify");
        assert!(refused(&signed[..signed.len() - 1]).contains("not a signed message"));
        assert!(refused(&sign_detached(content.as_bytes(), &signer, true).unwrap()).contains("no content"));
        let with_secret = content.replace("com.example.wifi", "$FLEET_SECRET_A");
        let signed = sign_attached(with_secret.as_bytes(), &signer, &[]).unwrap();
        assert!(refused(&signed).contains("$FLEET_SECRET_A could not be put in"));
    }
}

#[test]
fn a_signed_profile_of_any_length_may_have_indefinite_lengths() {
    let long =
        document(&format!("{}<key>PayloadDescription</key><string>{}</string>", outer(), "x".repeat(100_000)), WIFI);
    let signed = sign_attached(long.as_bytes(), &identity(rsa_key(), "Signer"), &[]).unwrap();
    // The same with an indefinite length outside: 30 80 … 00 00.
    let header = 2 + usize::from(signed[1] & 0x7f);
    let indefinite = [&[0x30, 0x80][..], &signed[header..], &[0, 0]].concat();
    assert_eq!(UploadedProfile::parse(&indefinite).unwrap(), UploadedProfile::parse(&signed).unwrap());
}

#[test]
fn errors_name_the_key_of_the_profile() {
    assert_eq!(refused_with("Configuration", "Other"), "the profile: PayloadType has to be Configuration");
    assert_eq!(refused_with("<integer>1", "<integer>2"), "the profile: PayloadVersion has to be 1");
    for key in ["PayloadType", "PayloadIdentifier", "PayloadUUID", "PayloadDisplayName", "PayloadVersion"] {
        let missing = format!("the profile: {key} is missing");
        assert_eq!(refused_with(&format!("<key>{key}</key>"), "<key>Other</key>"), missing);
    }
    assert_eq!(
        refused_with("Wi-Fi", "Disk encryption"),
        "the profile: PayloadDisplayName: the name is reserved for what the server makes itself"
    );
    assert!(refused_with("Wi-Fi", &"x".repeat(256)).contains("longer than 255 characters"));
    let scoped = format!("{}<key>PayloadScope</key><string>Both</string>", outer());
    assert_eq!(refused(&document(&scoped, "")), "the profile: PayloadScope has to be System or User");
    assert_eq!(
        refused("<plist version=\"1.0\"><array/></plist>"),
        "the profile: the property list is not a dictionary"
    );
    assert!(refused("bplist00").starts_with("the profile: not an XML property list: binary"));
    assert!(refused("<plist").starts_with("the profile: not an XML property list"));
    let large = UploadedProfile::parse(&vec![b' '; MAX_UPLOAD_BYTES + 1]).unwrap_err();
    assert_eq!(large.fault, UploadFault::TooLarge);
}

#[test]
fn errors_name_the_payload() {
    let second = |payload: &str| refused(&document(&outer(), &format!("{WIFI}{payload}")));
    let named = "payload 2 (com.apple.wifi.managed, com.example.wifi): ";
    assert_eq!(
        second(WIFI),
        format!("{named}PayloadUUID is the same as that of payload 1 (com.apple.wifi.managed, com.example.wifi)")
    );
    assert_eq!(second(&WIFI.replace(">B<", ">a<")), format!("{named}PayloadUUID is the same as that of the profile"));
    assert_eq!(second(&WIFI.replace("PayloadUUID", "Other")), format!("{named}PayloadUUID is missing"));
    assert_eq!(second(&WIFI.replace("<integer>1", "<integer>3")), format!("{named}PayloadVersion has to be 1"));
    assert_eq!(second("<dict/>"), "payload 2: PayloadType is missing");
    assert_eq!(second("<string>x</string>"), "payload 2: PayloadContent is not a dict");
    assert_eq!(
        second(&WIFI.replace("com.example.wifi", "")),
        "payload 2 (com.apple.wifi.managed): PayloadIdentifier is missing"
    );
}

#[test]
fn what_the_server_sets_itself_is_refused() {
    for identifier in [
        "org.rookery.mdm.enrollment",
        "ORG.Rookery.MDM",
        "com.fleetdm.fleetd.config",
        "com.fleetdm.caroot",
        "com.fleetdm.fleet.mdm.filevault",
        "com.fleetdm.fleet.mdm.apple.mdm",
    ] {
        let reserved = "PayloadIdentifier is reserved for what the server makes itself";
        assert_eq!(refused_with("com.example.profile", identifier), format!("the profile: {reserved}"));
        assert!(refused_with("com.example.wifi", identifier).ends_with(reserved), "nested {identifier}");
    }
    assert!(read(&document(&outer().replace("com.example.profile", "org.rookery.mdmx"), "")).is_ok());
    for payload_type in [
        "com.apple.MCX.FileVault2",
        "com.apple.security.FDERecoveryKeyEscrow",
        "com.apple.security.FDERecoveryRedirect",
    ] {
        assert!(
            refused_with("com.apple.wifi.managed", payload_type).contains("disk encryption is a setting of the team")
        );
    }
    assert!(refused_with("com.apple.wifi.managed", "com.apple.mdm").contains("enrollment profile alone"));
    let mcx = WIFI.replace("com.apple.wifi.managed", "com.apple.MCX");
    assert!(read(&document(&outer(), &mcx)).is_ok());
    let encrypting = mcx.replace("</dict>", "<key>dontAllowFDEDisable</key><false/></dict>");
    assert!(refused(&document(&outer(), &encrypting)).contains("dontAllowFDEDisable is refused"));
}

#[test]
fn variables_are_found_wherever_the_reader_would_stumble_over_them() {
    let settings = "<key>Password</key><string>$FLEET_SECRET_WIFI</string><key>Cert</key><data>\n $FLEET_SECRET_CERT${FLEET_SECRET_MORE}</data>\
        <key>Port</key><integer>${ROOKERY_SECRET_PORT}</integer><key>Until</key><date>$FLEET_SECRET_DATE</date>\
        <key>Name</key><string>$FLEET_VAR_HOST_UUID</string></dict>";
    let profile = read(&document(&outer(), &WIFI.replace("</dict>", settings))).unwrap();
    let named: Vec<String> = profile.variables.iter().map(ToString::to_string).collect();
    let secrets = ["CERT", "DATE", "MORE", "PORT", "WIFI"].map(|name| format!("FLEET_SECRET_{name}"));
    assert_eq!(named, [&["FLEET_VAR_HOST_UUID".to_owned()][..], &secrets[..]].concat());
}

#[test]
fn variables_that_cannot_be_put_in_are_refused() {
    assert_eq!(
        refused_with("com.example.wifi", "$FLEET_VAR_NOTHING"),
        "the profile: $FLEET_VAR_NOTHING is not a variable that this server knows"
    );
    assert!(refused_with("com.example.wifi", "$FLEET_VAR_NDES_SCEP_CHALLENGE").contains("certificate authority"));
    assert!(
        refused_with("com.example.wifi", "$FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID").contains("is for Windows profiles")
    );
    assert_eq!(
        refused_with("com.example.profile", "x.$FLEET_VAR_HOST_UUID"),
        "the profile: PayloadIdentifier holds a variable, and has to be the same on every host"
    );
    assert!(refused_with("Wi-Fi", "$FLEET_SECRET_A").starts_with("the profile: PayloadDisplayName holds a variable"));
    assert!(refused_with("com.apple.wifi.managed", "$FLEET_SECRET_A").contains("PayloadType holds a variable"));
    // By number a reader would see a variable that nobody puts in.
    assert!(refused_with("Wi-Fi", "&#36;FLEET_SECRET_A").contains("PayloadDisplayName holds a variable"));
}
