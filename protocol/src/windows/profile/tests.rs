use std::collections::HashSet;

use proptest::prelude::*;

use super::os_updates::{self, OsUpdates};
use super::*;
use crate::ids::CommandUuid;
use crate::queue::Answer;
use crate::windows::PROVIDER_ID;
use crate::windows::syncml::{Command, Heard, Message, OpenCommand, Outcome};

const CAMERA: &str = "./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera";
const CORTANA: &str = "./Device/Vendor/MSFT/Policy/Config/Experience/AllowCortana";
const ID: &str = "$FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID";

fn uuid() -> CommandUuid {
    CommandUuid::parse("11111111-0000-4000-8000-000000000001").unwrap()
}

fn edit(verb: &str, target: &str, format: &str, data: &str) -> String {
    format!(
        "<{verb}><Item><Target><LocURI>{target}</LocURI></Target><Meta><Format xmlns=\"syncml:metinf\">{format}</Format>\
         <Type xmlns=\"syncml:metinf\">text/plain</Type></Meta><Data>{data}</Data></Item></{verb}>"
    )
}

fn bare(verb: &str, target: &str) -> String {
    format!("<{verb}><Item><Target><LocURI>{target}</LocURI></Target></Item></{verb}>")
}

fn atomic(inside: &str) -> String {
    format!("<Atomic>{inside}</Atomic>")
}

fn profile(file: &str) -> Profile {
    Profile::parse(file.as_bytes()).unwrap()
}

fn refused(file: &str) -> String {
    Profile::parse(file.as_bytes()).unwrap_err().to_string()
}

fn scep(scope: &str, id: &str) -> Vec<String> {
    let node = format!("./{scope}/Vendor/MSFT/ClientCertificateInstall/SCEP/{id}");
    let add = |name: &str| edit("Add", &format!("{node}/Install/{name}"), "chr", "x");
    let names = [
        "KeyUsage",
        "KeyLength",
        "HashAlgorithm",
        "SubjectName",
        "EKUMapping",
        "ServerURL",
        "Challenge",
        "CAThumbprint",
    ];
    let folder = format!(
        "<Add><Item><Target><LocURI>{node}</LocURI></Target><Meta><Format xmlns=\"syncml:metinf\">node</Format></Meta></Item></Add>"
    );
    let exec = bare("Exec", &format!("{node}/Install/Enroll"));
    std::iter::once(folder).chain(names.map(add)).chain([exec]).collect()
}

fn message(said: &str) -> Message {
    let text = format!(
        "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><SessionID>1</SessionID><MsgID>2</MsgID><Target><LocURI>https://m</LocURI></Target>\
         <Source><LocURI>D</LocURI></Source></SyncHdr><SyncBody>{said}<Final/></SyncBody></SyncML>"
    );
    Message::parse(text.as_bytes(), 1 << 20).unwrap()
}

fn status(id: &str, code: u16) -> String {
    format!("<Status><CmdRef>{id}</CmdRef><Cmd>x</Cmd><Data>{code}</Data></Status>")
}

fn result(id: &str, data: &str) -> String {
    let mut writer = crate::windows::xml::Writer::new();
    writer.text(data);
    format!("<Results><CmdRef>{id}</CmdRef><Item><Data>{}</Data></Item></Results>", writer.finish())
}

fn done(command: Command, said: &str) -> Outcome {
    match OpenCommand::new(command).hear(&message(said)) {
        Heard::Done(outcome) => outcome,
        other => unreachable!("{other:?}"),
    }
}

fn install(file: &str) -> Command {
    profile(file).install(uuid(), None, &HashSet::new()).unwrap()
}

fn targets(command: &Command) -> Vec<(Verb, &str)> {
    command.all().flat_map(|(_, one)| one.targets().map(|target| (one.verb, target))).collect()
}

#[test]
fn a_profile_is_read_into_edits() {
    let file = format!(
        "<!-- camera -->\n<Replace><CmdID>1</CmdID><Meta><Format xmlns=\"syncml:metinf\">int</Format></Meta>\
         <Item><Target><LocURI> {CAMERA} </LocURI></Target><Data>0</Data></Item>\
         <Item><Target><LocURI>{CORTANA}</LocURI></Target><Data>0</Data></Item></Replace>{}",
        bare("Delete", "./User/Vendor/MSFT/Policy/Config/A/B")
    );
    let profile = profile(&file);
    let edits: Vec<_> =
        profile.edits().iter().map(|edit| (edit.verb, edit.target.as_str(), edit.data.as_deref())).collect();
    let user = "./User/Vendor/MSFT/Policy/Config/A/B";
    assert_eq!(
        edits,
        [(Verb::Replace, CAMERA, Some("0")), (Verb::Replace, CORTANA, Some("0")), (Verb::Delete, user, None)]
    );
    assert!(profile.needs_user() && !profile.is_atomic());
    assert_eq!(profile.nodes().count(), 2, "what is deleted is not set");
    let written = format!("{:?}", profile.edits());
    assert!(!written.contains("Some"), "what is set is not shown: {written}");
}

#[test]
fn a_file_that_is_no_profile_is_refused_with_the_reason() {
    let camera = edit("Replace", CAMERA, "int", "0");
    for (file, reason) in [
        (String::new(), "no command"),
        ("<!-- nothing -->".into(), "no command"),
        (format!("<?xml version=\"1.0\"?>{camera}"), "processing instructions"),
        (format!("{camera}<?x y?>"), "processing instructions"),
        (format!("<!DOCTYPE x>{camera}"), "document type"),
        ("<Replace>".into(), "valid XML"),
        (format!("</SyncBody>{camera}<SyncBody>"), "valid XML"),
        (format!("{camera} hello"), "text stands"),
        (bare("Get", CAMERA), "command 1 (Get): only Add"),
        (format!("{camera}{}", bare("Sequence", CAMERA)), "command 2 (Sequence)"),
        (format!("{}{camera}", atomic(&camera)), "hold all other commands"),
        (atomic(&atomic(&camera)), "an Atomic can hold"),
        (atomic(""), "an Atomic can hold"),
        (atomic("hello"), "text stands"),
        (atomic(&bare("Get", CAMERA)), "only Add"),
        ("<Replace></Replace>".into(), "no Item"),
        ("<Replace><Item><Data>1</Data></Item></Replace>".into(), "LocURI is missing"),
        (edit("Replace", "", "int", "0"), "LocURI is missing"),
        (edit("Replace", "/Vendor/MSFT/X", "int", "0"), "begins with a slash"),
        (edit("Replace", "./Vendor/MSFT/Policy/Config/X/../Update", "int", "0"), ".. segments"),
        (edit("Replace", &"x".repeat(2000), "int", "0"), "too long"),
        (edit("Replace", CAMERA, "integer", "0"), "its Format must be"),
        (bare("Replace", CAMERA), "it has no Data"),
        (camera.replace("<Item>", "<Item><MoreData/>"), "<MoreData> has no place"),
        (camera.replace("<Item>", "oops<Item>"), "text stands"),
        (bare("Exec", "./Device/Vendor/MSFT/Reboot/RebootNow"), "Exec is for SCEP alone"),
        (camera.repeat(MAX_EDITS + 1), "more than"),
        (" ".repeat(MAX_BYTES + 1), "larger than"),
    ] {
        let shown = refused(&file);
        assert!(shown.contains(reason), "{file:.200} should be refused for {reason:?}, not: {shown}");
    }
    let second = format!("{camera}{}", edit("Replace", "./A/$FLEET_SECRET_PIN", "int", "0"));
    assert!(refused(&second).starts_with("command 2 (Replace ./A/$FLEET_SECRET_PIN): "));
    assert_eq!(profile(&camera.repeat(MAX_EDITS)).edits().len(), MAX_EDITS);
}

#[test]
fn reserved_nodes_are_refused_however_they_are_written() {
    for target in [
        "./Device/Vendor/MSFT/BitLocker/RequireDeviceEncryption",
        "Vendor/MSFT/BitLocker",
        "./Vendor/MSFT/BitLocker/x",
        " ./Device/Vendor/MSFT/bitlocker/x",
        "./Device/Vendor/MSFT/%42itLocker/x",
        "./Device/Vendor/MSFT/%2542itLocker/x",
        "./Device/Vendor//MSFT/BitLocker/x",
        "./User/Vendor/MSFT/Policy/Config/Update/AllowAutoUpdate",
        "./Device/Vendor/MSFT/RemoteWipe/doWipe",
        "./Device/Vendor/MSFT/DMClient/Provider/Rookery/Poll/PollOnLogin",
        "./Device/Vendor/MSFT/DMClient/Unenroll",
        "./SyncML/DMAcc/x/AppAuth/CLCRED/AAuthSecret",
        "./Device/Vendor/MSFT/CertificateStore/My/WSTEP/Renew/RenewPeriod",
    ] {
        assert!(refused(&edit("Add", target, "int", "1")).contains("can't be set by a profile"), "{target}");
    }
    for above in ["./Device/Vendor/MSFT/DMClient/Provider", "./Device/Vendor/MSFT", "./Device", "./Vendor/MSFT/Policy"]
    {
        assert!(refused(&bare("Delete", above)).contains("can't be set"), "{above}: all of it would go");
    }
    for target in [
        "./Device/Vendor/MSFT/BitLockerX/y",
        "./Device/Vendor/MSFT/Policy/Config/UpdateX/y",
        "./Device/Vendor/MSFT/DMClient/Provider/Other/EntDeviceName",
    ] {
        assert_eq!(profile(&edit("Add", target, "int", "1")).edits().len(), 1, "{target}");
    }
    let ours = format!("./Device/Vendor/MSFT/DMClient/Provider/{PROVIDER_ID}/UPN");
    assert!(refused(&edit("Replace", &ours, "chr", "x")).contains("can't be set"));
}

#[test]
fn an_address_holds_no_variable_but_that_of_scep() {
    for target in
        ["./A/$FLEET_VAR_HOST_UUID", "./A/x${FLEET_SECRET_A}", "./A/$ROOKERY_SECRET_A/b", &format!("./A/{ID}")]
    {
        assert!(refused(&edit("Add", target, "chr", "x")).contains("no variable"), "{target}");
    }
    assert_eq!(profile(&edit("Add", CAMERA, "chr", "$FLEET_VAR_HOST_UUID")).edits().len(), 1);
}

#[test]
fn a_scep_profile_is_whole() {
    for id in [ID, "${FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID}", "$ROOKERY_VAR_SCEP_WINDOWS_CERTIFICATE_ID"] {
        let parts = scep("Device", id);
        assert_eq!(profile(&atomic(&parts.concat())).edits().len(), 10);
        let command = install(&parts.concat());
        assert_eq!(command.operations()[0].verb, Verb::Atomic, "it is all or nothing by itself");
    }
    assert!(refused(&scep("Device", "mine").concat()).contains("has to come"));
    assert!(refused(&scep("Device", &format!("{ID}X")).concat()).contains("no variable"));
    let parts = scep("User", ID);
    for (place, missing) in parts.iter().enumerate() {
        let rest: String = parts.iter().filter(|part| *part != missing).map(String::as_str).collect();
        let reason = if place == parts.len() - 1 { "exactly one Exec" } else { "the SCEP profile has no" };
        assert!(refused(&rest).contains(reason), "{missing}");
    }
    assert!(refused(&(parts.concat() + &parts[9])).contains("exactly one Exec"));
    assert!(refused(&(parts.concat() + &edit("Add", CAMERA, "int", "0"))).contains("nothing else"));
    let mixed = parts[..5].concat() + &scep("Device", ID)[5..].concat();
    assert!(refused(&mixed).contains("all ./Device or all ./User"));
}

#[test]
fn a_certificate_has_the_name_that_its_host_gives_it() {
    let named = profile(&scep("Device", "${FLEET_VAR_SCEP_WINDOWS_CERTIFICATE_ID}").concat()).named("c-1");
    assert!(named.edits().iter().all(|edit| edit.target.contains("/SCEP/c-1")));
}

#[test]
fn an_admx_file_comes_before_its_policies() {
    let file = edit("Replace", "./Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/Demo/Policy/F1", "chr", "&lt;x/&gt;");
    let policy = edit("Replace", "./Device/Vendor/MSFT/Policy/Config/demo~Policy~Cat/Beta", "chr", "&lt;enabled/&gt;");
    assert_eq!(profile(&format!("{file}{policy}")).edits().len(), 2);
    assert!(
        refused(&format!("{policy}{file}")).contains("command 1")
            && refused(&format!("{policy}{file}")).contains("ADMX")
    );
    assert_eq!(profile(&policy).edits().len(), 1, "another profile may install the file");
}

#[test]
fn an_atomic_sets_a_node_once() {
    let twice = edit("Add", CAMERA, "int", "0")
        + &edit("Replace", "./Vendor/MSFT/Policy/Config/camera/allowcamera", "int", "1");
    assert!(refused(&atomic(&twice)).contains("can set a node once"));
    assert_eq!(profile(&twice).edits().len(), 2);
}

#[test]
fn a_device_gets_what_the_profile_says_with_our_names() {
    let file = atomic(&(edit("Replace", CAMERA, "int", "0") + &edit("Add", CORTANA, "int", "0")));
    let name = uuid();
    let body = install(&file).body();
    for id in [
        format!("<Atomic><CmdID>{name}</CmdID>"),
        format!("<Replace><CmdID>{name}.1<"),
        format!("<Add><CmdID>{name}.2<"),
    ] {
        assert!(body.contains(&id), "{id} in {body}");
    }
    let plain = install(&(edit("Replace", CAMERA, "int", "0") + &edit("Add", CORTANA, "int", "0")));
    assert_eq!(plain.operations().len(), 2, "nothing is all or nothing unless it says so");
}

#[test]
fn failures_are_named_by_their_nodes() {
    let file = edit("Replace", CAMERA, "int", "0") + &edit("Add", CORTANA, "int", "0");
    let name = uuid();
    let plain = status(name.as_str(), 400) + &status(&format!("{name}.1"), 500);
    let outcome = done(install(&file), &plain);
    assert_eq!(
        (outcome.answer, outcome.detail),
        (Answer::Error, format!("{CAMERA}: status 400, {CORTANA}: status 500"))
    );
    let parts = status(&format!("{name}.1"), 216) + &status(&format!("{name}.2"), 404) + &status(name.as_str(), 507);
    let outcome = done(install(&atomic(&file)), &parts);
    assert_eq!((outcome.answer, outcome.detail), (Answer::Error, format!("{CORTANA}: status 404")));
    let alone = done(install(&atomic(&file)), &status(name.as_str(), 507));
    assert_eq!(alone.detail, "Atomic: status 507");
    let good = done(install(&atomic(&file)), &status(name.as_str(), 200));
    assert_eq!((good.answer, good.detail.as_str()), (Answer::Acknowledged, ""));
}

#[test]
fn an_atomic_whose_nodes_are_there_comes_again_once_with_replace() {
    let name = uuid();
    let mut open =
        OpenCommand::new(install(&atomic(&(edit("Add", CAMERA, "int", "0") + &edit("Add", CORTANA, "int", "0")))));
    let said = status(name.as_str(), 507) + &status(&format!("{name}.1"), 418) + &status(&format!("{name}.2"), 215);
    let Heard::Again(operations) = open.hear(&message(&said)) else { unreachable!("418 asks for Replace") };
    assert_eq!(operations.len(), 1);
    let again = &operations[0];
    assert!(
        again.starts_with(&format!("<Atomic><CmdID>{name}.r0</CmdID><Replace><CmdID>{name}.r1</CmdID>")),
        "{again}"
    );
    assert!(!again.contains("<Add>"));
    let failed = status(&format!("{name}.r0"), 507) + &status(&format!("{name}.r2"), 500);
    let Heard::Done(outcome) = open.clone().hear(&message(&failed)) else { unreachable!("that was the last word") };
    assert_eq!((outcome.answer, outcome.detail), (Answer::Error, format!("{CORTANA}: status 500")));
    let Heard::Done(outcome) = open.hear(&message(&status(&format!("{name}.r0"), 200))) else { unreachable!("done") };
    assert_eq!(outcome.answer, Answer::Acknowledged);
}

#[test]
fn a_removal_deletes_what_was_set_and_nothing_that_others_set() {
    let admx = "./Device/Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/Demo/Policy/F1";
    let policy = "./Device/Vendor/MSFT/Policy/Config/Demo~Policy~Cat/Beta";
    let file = [
        edit("Replace", admx, "chr", "x"),
        edit("Replace", policy, "chr", "x"),
        edit("Add", CAMERA, "int", "0"),
        edit("Add", CORTANA, "int", "0"),
        bare("Delete", "./Device/Vendor/MSFT/Policy/Config/A/B"),
    ]
    .concat();
    let other = profile(&edit("Replace", "./vendor/msft/policy/config/Camera/%41llowCamera", "int", "1"));
    let kept: HashSet<String> = other.nodes().collect();
    let removal = profile(&file).removal(uuid(), None, &kept).unwrap().unwrap();
    assert_eq!(targets(&removal), [(Verb::Delete, CORTANA), (Verb::Delete, policy), (Verb::Delete, admx)]);
    let name = uuid();
    let said = status(name.as_str(), 405) + &status(&format!("{name}.1"), 404) + &status(&format!("{name}.2"), 500);
    assert_eq!(done(removal.clone(), &said).answer, Answer::Acknowledged, "what cannot be deleted is let be");
    let said = status(name.as_str(), 200) + &status(&format!("{name}.1"), 401) + &status(&format!("{name}.2"), 200);
    assert_eq!(done(removal, &said).answer, Answer::Error);
    assert_eq!(other.removal(uuid(), None, &kept).unwrap(), None);
    let scep = Profile::accepted(scep("Device", "w-1").concat().as_bytes()).unwrap();
    let removal = scep.removal(uuid(), None, &HashSet::new()).unwrap().unwrap();
    assert_eq!(targets(&removal).len(), 1, "what stands in a node goes with it");
    let child = HashSet::from(["device/vendor/msft/clientcertificateinstall/scep/w-1/install/keyusage".to_owned()]);
    let rest = scep.removal(uuid(), None, &child).unwrap().unwrap();
    assert_eq!(targets(&rest).len(), 7, "a node in which another profile's stands stays");
}

#[test]
fn an_edited_profile_leaves_nothing_behind() {
    let former = profile(&(edit("Add", CAMERA, "int", "0") + &edit("Add", CORTANA, "int", "0")));
    let new = profile(&edit("Add", CAMERA, "int", "1"));
    let command = new.install(uuid(), Some(&former), &HashSet::new()).unwrap();
    assert_eq!(targets(&command), [(Verb::Add, CAMERA), (Verb::Delete, CORTANA)]);
    let said = status(uuid().as_str(), 200) + &status(&format!("{}.1", uuid()), 405);
    assert_eq!(done(command, &said).answer, Answer::Acknowledged);
    let kept: HashSet<String> = former.nodes().collect();
    assert_eq!(new.install(uuid(), Some(&former), &kept).unwrap().operations().len(), 1);
    let most: String = (0..MAX_EDITS).map(|n| edit("Add", &format!("./A/{n}"), "int", "1")).collect();
    let others: String = (0..MAX_EDITS).map(|n| edit("Add", &format!("./B/{n}"), "int", "1")).collect();
    let command = profile(&atomic(&most)).install(uuid(), Some(&profile(&others)), &HashSet::new()).unwrap();
    assert_eq!(command.all().count(), 2 * MAX_EDITS + 1, "the largest profiles fit into one command");
}

#[test]
fn nodes_that_can_be_read_are_asked_for_where_their_value_stands() {
    let file = [
        edit("Add", CAMERA, "int", "0"),
        edit("Replace", CAMERA, "int", "1"),
        edit("Add", "./User/Vendor/MSFT/Policy/Config/A/B", "int", "0"),
        edit("Replace", "./Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/D/Policy/F", "chr", "x"),
        bare("Delete", CORTANA),
        edit("Replace", "./Vendor/MSFT/Firewall/X", "bool", "true"),
    ]
    .concat();
    let command = Command::get(uuid(), profile(&file).questions()).unwrap();
    let result = "./Device/Vendor/MSFT/Policy/Result/Camera/AllowCamera";
    assert_eq!(targets(&command), [(Verb::Get, result), (Verb::Get, "./Vendor/MSFT/Firewall/X")]);
    assert!(profile(&scep("Device", ID).concat()).questions().is_empty());
    let sent = Profile::sent(&install(&atomic(&edit("Add", CAMERA, "int", "0"))));
    assert_eq!(sent.questions(), [result], "what was sent says what is to be asked");
}

#[test]
fn what_a_device_holds_is_compared_and_what_it_cannot_tell_counts() {
    let file = edit("Add", CAMERA, "int", "1") + &edit("Replace", CORTANA, "int", "0");
    let (profile, name) = (profile(&file), uuid());
    let second = format!("{name}.1");
    let verdict = |said: &str| {
        let command = Command::get(uuid(), profile.questions()).unwrap();
        profile.verdict(&Told::read(&command, done(command.clone(), said).body.as_bytes())).unwrap()
    };
    let good = status(name.as_str(), 200) + &result(name.as_str(), " 01 ");
    assert_eq!(verdict(&(good.clone() + &status(&second, 200) + &result(&second, "0"))), Verdict::Holds);
    for code in [404, 405, 500] {
        assert_eq!(verdict(&(good.clone() + &status(&second, code))), Verdict::Holds, "{code}");
    }
    let drifted = good + &status(&second, 200) + &result(&second, "7");
    assert_eq!(verdict(&drifted), Verdict::Differs(format!("{CORTANA}: holds something else")));
    let asked = Command::get(uuid(), profile.questions()).unwrap();
    assert_eq!(profile.verdict(&Told::read(&asked, b"<what")), Some(Verdict::Holds));
    let less = Command::get(uuid(), profile.questions().into_iter().take(1)).unwrap();
    assert_eq!(profile.verdict(&Told::read(&less, b"")), None, "not all of it was asked for");
}

#[test]
fn values_are_compared_by_meaning() {
    let wlan = |auth: &str, more: &str| {
        format!(
            "<?xml version=\"1.0\"?><WLANProfile xmlns=\"http://www.microsoft.com/networking/WLAN/profile/v1\"><name>a</name>\
             <SSIDConfig><SSID>{more}<name>a</name></SSID></SSIDConfig><authentication>{auth}</authentication><sharedKey>\
             <keyMaterial>{auth}{more}</keyMaterial></sharedKey></WLANProfile>"
        )
    };
    let escaped = |text: &str| {
        let mut writer = crate::windows::xml::Writer::new();
        writer.text(text);
        writer.finish()
    };
    let policy = "./Device/Vendor/MSFT/Policy/Config/D~Policy~C/Beta";
    let wifi = "./Device/Vendor/MSFT/WiFi/Profile/a/WlanXml";
    let other = "./Device/Vendor/MSFT/X/Y";
    for (node, format, expected, actual, holds) in [
        (other, "chr", "a\r\nb", " a\nb ", true),
        (other, "chr", "a", "A", false),
        (other, "int", "x", "y", false),
        (other, "bool", "true", "1", true),
        (other, "bool", "true", "false", false),
        (other, "b64", "aGk=", "aG\nk=", true),
        (other, "b64", "aGk=", "aGs=", false),
        (other, "xml", "<a y='1' x=\"2\"> <b/></a>", "<?xml version='1.0'?><a x='2' y='1'><b></b></a>", true),
        (other, "xml", "<a><b/></a>", "<a><c/></a>", false),
        (policy, "chr", "<enabled/><data id='A' value='1'/>", "<Data ID=\"a\" value=\"1\" />\n<Enabled/>", true),
        (policy, "chr", "<enabled/><data id='A' value='1'/>", "<enabled/>", false),
        (policy, "chr", "<enabled/>", "<disabled/>", false),
        (policy, "chr", "<enabled/>", "", false),
        (wifi, "chr", &wlan("WPA2PSK", ""), &wlan("WPA2PSK", "<hex>61</hex>"), true),
        ("./Vendor/MSFT/X/Password", "chr", "geheim", "****", true),
    ] {
        let profile = profile(&edit("Replace", node, format, &escaped(expected)));
        let said = status(uuid().as_str(), 200) + &result(uuid().as_str(), actual);
        let command = Command::get(uuid(), profile.questions()).unwrap();
        let verdict = profile.verdict(&Told::read(&command, done(command.clone(), &said).body.as_bytes()));
        assert_eq!(verdict == Some(Verdict::Holds), holds, "{node} {expected} {actual}");
    }
    assert!(!matches::holds(
        &profile(&edit("Add", wifi, "chr", &escaped(&wlan("WPA2PSK", "")))).edits[0],
        &wlan("open", "")
    ));
}

#[test]
fn updates_of_windows_are_a_profile_of_the_server_s_own() {
    let file = OsUpdates { deadline_days: 5, grace_days: 2 }.profile();
    let own = Profile::accepted(file.as_bytes()).unwrap();
    let value =
        |name: &str| own.edits().iter().find(|edit| edit.target.ends_with(name)).and_then(|edit| edit.data.clone());
    assert_eq!(value("/ConfigureDeadlineForQualityUpdates").as_deref(), Some("5"));
    assert_eq!(value("/ConfigureDeadlineGracePeriod").as_deref(), Some("2"));
    assert!(refused(&file).contains("OS updates are a setting of their own"));
    assert!(os_updates::is_reserved(" windows os updates") && !os_updates::is_reserved("Windows OS Updates 2"));
}

/// Files of a few commands about a few nodes.
fn files() -> impl Strategy<Value = String> {
    let node =
        prop::sample::select(vec![CAMERA, CORTANA, "./User/Vendor/MSFT/A/B", "./Vendor/MSFT/A/B", "./Vendor/MSFT/A"]);
    let verb = prop::sample::select(vec!["Add", "Replace"]);
    let command = (verb, node, "[a-z<&]{0,6}").prop_map(|(verb, node, data)| {
        let mut writer = crate::windows::xml::Writer::new();
        writer.text(&data);
        edit(verb, node, "chr", &writer.finish())
    });
    prop::collection::vec(command, 1..5).prop_map(|commands| commands.concat())
}

proptest! {
    #[test]
    fn no_file_breaks_the_reader(text in "(</?(Add|Replace|Atomic|Item|Target|LocURI|Data|Meta)>|\\./Vendor/MSFT/[A-Z]|[ -~]){0,40}") {
        if let Ok(profile) = Profile::parse(text.as_bytes()) {
            prop_assert!(profile.install(uuid(), None, &HashSet::new()).is_ok());
        }
    }

    /// A device ends with the nodes of the new version and of other profiles, and with none that only the former one set.
    #[test]
    fn an_edit_and_a_removal_are_the_difference(former in files(), new in files(), other in files()) {
        let [former, new, other] = [former, new, other].map(|file| profile(&file));
        let kept: HashSet<String> = other.nodes().collect();
        let gone = |command: &Command| -> HashSet<String> {
            command.all().filter(|(_, one)| one.verb == Verb::Delete).flat_map(|(_, one)| one.targets().map(scoped)).collect()
        };
        let nodes = |profile: &Profile| profile.nodes().collect::<HashSet<_>>();
        let taken = |node: &String, gone: &HashSet<String>| gone.iter().any(|tree| crate::windows::loc_uri::is_within(node, tree));
        let edited = gone(&new.install(uuid(), Some(&former), &kept).unwrap());
        let removed = former.removal(uuid(), None, &kept).unwrap().as_ref().map(gone).unwrap_or_default();
        for node in nodes(&new).iter().chain(&kept) {
            prop_assert!(!taken(node, &edited), "{node} stays");
        }
        prop_assert!(kept.iter().all(|node| !taken(node, &removed)));
        let holds = |stays: &HashSet<String>, node: &String| stays.iter().any(|kept| crate::windows::loc_uri::is_within(kept, node));
        for node in nodes(&former) {
            prop_assert_eq!(!taken(&node, &edited), holds(&kept, &node) || holds(&nodes(&new), &node), "{}", &node);
            prop_assert_eq!(!taken(&node, &removed), holds(&kept, &node), "{}", &node);
        }
    }

    #[test]
    fn what_is_set_is_what_is_asked_for(file in files()) {
        let profile = profile(&file);
        let Ok(command) = Command::get(uuid(), profile.questions()) else { return Ok(()) };
        let said: String = command.all().map(|(place, one)| {
            let target = one.targets().next().unwrap_or_default().replace("/Result/", "/Config/");
            let edit = profile.edits().iter().rev().find(|edit| scoped(&edit.target) == scoped(&target)).unwrap();
            let id = if place == 0 { uuid().to_string() } else { format!("{}.{place}", uuid()) };
            status(&id, 200) + &result(&id, edit.data.as_deref().unwrap_or_default())
        }).collect();
        prop_assert_eq!(profile.verdict(&Told::read(&command, done(command.clone(), &said).body.as_bytes())), Some(Verdict::Holds));
    }
}
