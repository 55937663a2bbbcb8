use super::*;

fn read(text: &str) -> Result<UploadedDeclaration, DeclarationFault> {
    UploadedDeclaration::parse(text.as_bytes())
}

fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

fn of(declaration_type: &str, payload: &str) -> String {
    format!(r#"{{"Type":"com.apple.{declaration_type}","Identifier":"com.example.d","Payload":{payload}}}"#)
}

#[test]
fn all_four_kinds_are_read() {
    for (kind, declaration_type, payload) in [
        (DeclarationKind::Configuration, "configuration.passcode.settings", r#"{"RequirePasscode":true}"#),
        (DeclarationKind::Asset, "asset.useridentity", r#"{"FullName":"Ada"}"#),
        (DeclarationKind::Activation, "activation.simple", r#"{"StandardConfigurations":["a"]}"#),
        (DeclarationKind::Management, "management.organization-info", r#"{"Name":"Example"}"#),
    ] {
        let read = read(&of(declaration_type, payload)).unwrap();
        assert_eq!((read.kind, read.identifier.as_str()), (kind, "com.example.d"));
        assert_eq!(read.declaration_type, format!("com.apple.{declaration_type}"));
    }
}

#[test]
fn an_activation_refers_to_its_configurations() {
    let text = of(
        "activation.simple",
        r#"{"StandardConfigurations":["b","a","b"],"Predicate":"(@status(device.model.family) == 'Mac')"}"#,
    );
    assert_eq!(read(&text).unwrap().references, BTreeSet::from(["a".into(), "b".into()]));
    assert_eq!(
        refused(&of("activation.simple", "{}")),
        "Payload.StandardConfigurations has to be an array of identifiers"
    );
    assert_eq!(
        refused(&of("activation.simple", r#"{"StandardConfigurations":["a",""]}"#)),
        "Payload.StandardConfigurations[1] has to be a text of 1 to 64 bytes without control characters"
    );
    assert_eq!(
        refused(&of("activation.simple", r#"{"StandardConfigurations":[],"Predicate":1}"#)),
        "Payload.Predicate has to be a text"
    );
}

#[test]
fn a_configuration_refers_to_assets_at_any_depth() {
    let payload = r#"{"UserIdentityAssetReference":"u","IncomingServer":{"AuthenticationCredentialsAssetReference":"c","HostName":"h"},
        "Files":[{"FileAssetReference":"f"}],"AnchorCertificateAssetReferences":["x","y"],"AssetReferenceText":"no"}"#;
    let found = read(&of("configuration.account.mail", payload)).unwrap().references;
    assert_eq!(found, ["c", "f", "u", "x", "y"].map(str::to_owned).into());
    assert_eq!(
        refused(&of("configuration.account.mail", r#"{"A":{"Files":[{},{"FileAssetReference":7}]}}"#)),
        "Payload.A.Files[1].FileAssetReference has to be a text of 1 to 64 bytes without control characters"
    );
    let list = refused(&of(
        "configuration.watch.enrollment",
        r#"{"AnchorCertificateAssetReferences":["a","$FLEET_SECRET_A"]}"#,
    ));
    assert_eq!(
        list,
        "Payload.AnchorCertificateAssetReferences[1] holds a variable, and has to be the same on every host"
    );
}

#[test]
fn long_keys_inside_each_other_cost_nothing() {
    let key = "k".repeat(8_000);
    let nested = format!("{}{}{}", format!(r#"{{"{key}":"#).repeat(60), r#"{"XAssetReference":1}"#, "}".repeat(60));
    assert!(refused(&of("configuration.x", &nested)).len() < 8_000);
}

#[test]
fn an_asset_says_where_its_content_is() {
    let asset = |reference: &str| of("asset.data", &format!(r#"{{"Reference":{reference}}}"#));
    assert!(read(&asset(r#"{"DataURL":"https://example.com/x","ContentType":"application/zip"}"#)).is_ok());
    assert!(read(&asset(r#"{"DataURL":"$FLEET_SECRET_URL"}"#)).is_ok());
    for reference in ["{}", r#"{"DataURL":"http://example.com/x"}"#, r#"{"DataURL":"https://"}"#, r#"{"DataURL":1}"#] {
        assert_eq!(refused(&asset(reference)), "Payload.Reference.DataURL has to be a URL that begins with https://");
    }
    assert_eq!(refused(&asset("[]")), "Payload.Reference has to be an object");
}

#[test]
fn errors_name_the_key() {
    assert_eq!(refused("[]"), "a declaration is a JSON object");
    assert_eq!(refused("{"), "not JSON at line 1, column 1");
    assert_eq!(refused(r#"{"Type":"a","Type":"b"}"#), "a duplicate key at $.Type");
    assert_eq!(refused("{}"), "Type has to be the type of a declaration, as text");
    assert!(refused(r#"{"Type":"com.apple.other.x"}"#).starts_with("Type has to begin with"));
    assert!(refused(r#"{"Type":"com.apple.asset."}"#).starts_with("Type has to begin with"));
    let plain = of("configuration.x", "{}");
    assert!(
        refused(&plain.replace(r#""Identifier""#, r#""Other""#))
            .starts_with("Identifier has to be a text of 1 to 64 bytes")
    );
    assert!(read(&plain.replace("com.example.d", &"i".repeat(64))).is_ok());
    assert!(refused(&plain.replace("com.example.d", &"i".repeat(65))).starts_with("Identifier has to be"));
    assert_eq!(refused(&plain.replace("{}", "[]")), "Payload has to be an object");
    assert!(matches!(
        UploadedDeclaration::parse(&vec![b' '; MAX_UPLOAD_BYTES + 1]),
        Err(DeclarationFault::Json(StrictJsonError::TooLarge(_)))
    ));
}

#[test]
fn what_the_server_makes_itself_is_refused() {
    assert!(
        refused(&of("configuration.softwareupdate.enforcement.specific", "{}"))
            .contains("OS updates are a setting of the team")
    );
    let plain = of("configuration.x", "{}");
    for identifier in [
        "org.rookery.status",
        "ORG.ROOKERY.x",
        "com.fleetdm.config",
        "macos-software-update-94f4bbdf-f439-4fb1-8d27-ae1bb793e105",
    ] {
        assert_eq!(
            refused(&plain.replace("com.example.d", identifier)),
            "Identifier is reserved for what the server makes itself"
        );
    }
    // More subscriptions beside the server's own do no harm.
    let more = of(
        "configuration.management.status-subscriptions",
        r#"{"StatusItems":[{"Name":"device.power.battery-health"}]}"#,
    );
    assert!(read(&more).is_ok());
}

#[test]
fn variables_are_found_and_identifiers_have_none() {
    let found =
        read(&of("configuration.x", r#"{"A":"$FLEET_SECRET_A","B":["${FLEET_VAR_HOST_UUID}"]}"#)).unwrap().variables;
    assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>(), ["FLEET_VAR_HOST_UUID", "FLEET_SECRET_A"]);
    let plain = of("configuration.x", "{}");
    assert_eq!(
        refused(&plain.replace("com.example.d", "$FLEET_VAR_HOST_UUID")),
        "Identifier holds a variable, and has to be the same on every host"
    );
    assert!(
        refused(&plain.replace("{}", r#"{"A":"$FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID"}"#))
            .contains("for Windows profiles")
    );
    assert!(refused(&plain.replace("{}", r#"{"A":"$FLEET_VAR_X"}"#)).contains("not a variable"));
}
