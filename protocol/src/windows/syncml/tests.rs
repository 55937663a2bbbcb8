use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::ids::CommandUuid;
use crate::queue::Answer;
use crate::windows::xml;

const MAX: usize = 1 << 20;

fn uuid() -> CommandUuid {
    CommandUuid::parse("11111111-0000-4000-8000-000000000001").unwrap()
}

fn command(fragment: &str) -> Command {
    Command::parse(fragment.as_bytes(), MAX, uuid()).unwrap()
}

fn refusal(fragment: &str) -> CommandError {
    Command::parse(fragment.as_bytes(), MAX, uuid()).unwrap_err()
}

fn message(body: &str) -> Message {
    let text = format!(
        "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto>\
         <SessionID> 1A </SessionID><MsgID>2</MsgID><Target><LocURI>https://mdm.example.test/m?mode=x</LocURI></Target>\
         <Source><LocURI>DEV1</LocURI></Source></SyncHdr><SyncBody>{body}</SyncBody></SyncML>"
    );
    Message::parse(text.as_bytes(), MAX).unwrap()
}

fn status(of: &str, verb: &str, code: u16) -> String {
    format!(
        "<Status><CmdID>9</CmdID><MsgRef>1</MsgRef><CmdRef>{of}</CmdRef><Cmd>{verb}</Cmd><Data>{code}</Data></Status>"
    )
}

fn outcome(fragment: &str, said: &str) -> Outcome {
    match OpenCommand::new(command(fragment)).hear(&message(&format!("{said}<Final/>"))) {
        Heard::Done(outcome) => outcome,
        Heard::Again(_) => unreachable!("it is to be done again"),
        Heard::Waiting => unreachable!("it waits for more"),
    }
}

const GET: &str = "<Get><Item><Target><LocURI>./DevDetail/SwV</LocURI></Target></Item></Get>";
const ADD: &str = "<Add><Item><Target><LocURI>./Device/A</LocURI></Target><Meta><Format \
                   xmlns=\"syncml:metinf\">int</Format></Meta><Data>0</Data></Item></Add>";
const DELETE: &str = "<Delete><Item><Target><LocURI>./Device/A</LocURI></Target></Item></Delete>";

#[test]
fn a_message_is_read_with_all_that_devices_add_to_it() {
    let read = message(
        "<Final></Final><Alert><CmdID>2</CmdID><Data> 1201 </Data></Alert><Alert><CmdID>3</CmdID><Data>1226</Data><Item><Meta>\
         <Type xmlns=\"syncml:metinf\">com.microsoft:mdm.unenrollment.userrequest</Type><Format xmlns=\"syncml:metinf\">int</Format>\
         </Meta><Data>1</Data></Item></Alert><Replace><CmdID>4</CmdID><Item><Source><LocURI>./DevInfo/Mod</LocURI></Source>\
         <Data> Laptop 7 </Data></Item></Replace><Unheard><CmdID>5</CmdID></Unheard>",
    );
    assert_eq!((read.header.session_id.as_str(), read.header.source.as_str()), ("1A", "DEV1"));
    assert!(read.is_final && read.unenrolls() && !read.aborts());
    assert_eq!(read.dev_info("Mod"), Some("Laptop 7"));
    assert_eq!(read.alerts().map(|alert| alert.code).collect::<Vec<_>>(), [1201, 1226]);
    assert_eq!(read.body.len(), 4);
}

#[test]
fn a_message_that_names_nobody_is_refused() {
    let parse = |text: &str| Message::parse(text.as_bytes(), MAX).unwrap_err();
    assert_eq!(parse("<SyncML/>"), MessageError::NotSyncml);
    assert_eq!(parse("<SyncML xmlns='SYNCML:SYNCML1.2'/>"), MessageError::Missing("SyncHdr"));
    let header = |inner: &str| {
        parse(&format!("<SyncML xmlns='SYNCML:SYNCML1.2'><SyncHdr>{inner}</SyncHdr><SyncBody/></SyncML>"))
    };
    assert_eq!(header("<SessionID>1</SessionID><MsgID>1</MsgID>"), MessageError::Missing("Target"));
    let target = "<SessionID>1</SessionID><MsgID>1</MsgID><Target><LocURI>x</LocURI></Target>";
    assert_eq!(header(target), MessageError::Missing("Source"));
    assert_eq!(header(&format!("{target}<Source><LocURI> </LocURI></Source>")), MessageError::Missing("Source"));
    let long = "x".repeat(MAX_NAME_CHARS + 1);
    let long = header(&format!("{target}<Source><LocURI>{long}</LocURI></Source>"));
    assert_eq!(long, MessageError::BadName("LocURI"));
}

#[test]
fn a_command_is_written_anew_with_names_of_its_own() {
    let two = command(&format!(
        "<Atomic><CmdID>1</CmdID>{ADD}<Exec><Item><Target><LocURI>./Device/B</LocURI></Target></Item></Exec></Atomic>{GET}"
    ));
    let body = two.body();
    let wrapped = format!("<x xmlns='{NAMESPACE}'>{body}</x>");
    let read = xml::parse(wrapped.as_bytes(), MAX).unwrap();
    let mut ids = Vec::new();
    let mut stack = vec![&read.root];
    while let Some(element) = stack.pop() {
        ids.extend(element.child_text(NAMESPACE, "CmdID").map(str::to_owned));
        stack.extend(element.children.iter().rev());
    }
    let name = "11111111-0000-4000-8000-000000000001";
    assert_eq!(ids, [name.to_owned(), format!("{name}.1"), format!("{name}.2"), format!("{name}.3")]);
    assert_eq!(two.request_type(), "./Device/A");
    assert!(two.no_blind_resend(), "something is executed");
    assert_eq!(Command::from_body(body.as_bytes(), uuid()).unwrap(), two);
    assert_eq!(
        command("<Exec><CmdID>abc-1</CmdID><Item><Target><LocURI>./B</LocURI></Target></Item></Exec>").uuid().as_str(),
        "abc-1"
    );
}

/// V-45.
#[test]
fn data_stays_data() {
    let evil = "]]></Data></Item></Replace><Exec><Item>&<x>";
    let form = json!({ "verb": "Replace", "target": "./Device/A", "data": evil });
    let command = Command::from_json(form.as_object().unwrap().clone(), uuid()).unwrap();
    let reread = Command::from_body(command.body().as_bytes(), uuid()).unwrap();
    assert_eq!(reread.operations().len(), 1);
    assert_eq!(reread.operations()[0].items[0].data.as_deref(), Some(evil));
}

#[test]
fn what_is_no_command_is_refused() {
    assert_eq!(refusal("<?xml version='1.0'?><Get/>"), CommandError::Instruction);
    assert_eq!(refusal(""), CommandError::Count);
    assert_eq!(refusal("text"), CommandError::NotAnOperation("text".into()));
    assert_eq!(refusal("<Status/>"), CommandError::NotAnOperation("Status".into()));
    assert_eq!(refusal("<Get/>"), CommandError::LocUri);
    assert_eq!(refusal("<Get><Item><Target><LocURI>/x</LocURI></Target></Item></Get>"), CommandError::LocUri);
    assert_eq!(refusal("<Atomic/>"), CommandError::Atomic);
    assert_eq!(refusal(&format!("<Atomic>{GET}</Atomic>")), CommandError::Atomic);
    assert_eq!(refusal(&format!("<Atomic><Atomic>{ADD}</Atomic></Atomic>")), CommandError::Atomic);
    assert_eq!(refusal(&GET.repeat(MAX_OPERATIONS + 1)), CommandError::Count);
    assert!(matches!(refusal("</SyncBody><SyncBody>"), CommandError::Unreadable(_)));
    assert!(matches!(refusal("<Get>"), CommandError::Unreadable(_)));
    let format = ADD.replace("int<", "integer<");
    assert_eq!(refusal(&format), CommandError::Format);
}

#[test]
fn a_fragment_is_known_by_its_beginning() {
    for fragment in [GET, " <Exec>", "<Atomic/>", "<SyncBody xmlns='x'>"] {
        assert!(is_fragment(fragment.as_bytes()), "{fragment}");
    }
    for other in ["", "Get", "<Getter>", "<?xml version='1.0'?><Get/>", "<plist>", "<!-- --><Get>"] {
        assert!(!is_fragment(other.as_bytes()), "{other}");
    }
}

#[test]
fn json_says_the_same_as_syncml() {
    let read = |form: serde_json::Value| Command::from_json(form.as_object().unwrap().clone(), uuid());
    let one = read(json!({ "verb": "Get", "target": "./DevDetail/SwV" })).unwrap();
    assert_eq!(one, command(GET));
    let several = read(json!({ "operations": [
        { "verb": "Atomic", "operations": [{ "verb": "Replace", "target": "./Device/A", "format": "int", "data": 1 }] },
        { "verb": "Exec", "target": "./Device/Vendor/MSFT/Reboot/RebootNow", "format": "null" },
    ], "command_uuid": "mine-1" }))
    .unwrap();
    assert_eq!((several.uuid().as_str(), several.operations().len()), ("mine-1", 2));
    assert_eq!(several.operations()[0].children[0].items[0].data.as_deref(), Some("1"));
    for wrong in [
        json!({ "verb": "Fetch", "target": "./A" }),
        json!({ "verb": "Get" }),
        json!({ "verb": "Get", "target": "./A", "datum": "x" }),
        json!({ "verb": "Replace", "target": "./A", "data": [1] }),
        json!({ "operations": [], "more": 1 }),
        json!({ "verb": "Get", "target": "./A", "command_uuid": "a b" }),
    ] {
        assert!(read(wrong.clone()).is_err(), "{wrong}");
    }
}

#[test]
fn a_package_is_a_node_and_an_order_to_install_it() {
    let read = |form: serde_json::Value| Command::from_json(form.as_object().unwrap().clone(), uuid());
    let package = json!({ "install_msi": {
        "product_code": "{5c1d7e60-0000-4000-8000-00000000a1b2}", "version": "1.0.0.0",
        "url": "https://mdm.example.test/agent.msi?a=1&b=2", "sha256": "00".repeat(32),
    } });
    let command = read(package.clone()).unwrap();
    let verbs: Vec<Verb> = command.operations().iter().map(|operation| operation.verb).collect();
    assert_eq!(verbs, [Verb::Add, Verb::Exec]);
    assert!(command.request_type().ends_with("MSI/%7B5C1D7E60-0000-4000-8000-00000000A1B2%7D/DownloadInstall"));
    let job = command.operations()[1].items[0].data.clone().unwrap();
    assert!(job.contains("<ContentURL>https://mdm.example.test/agent.msi?a=1&amp;b=2</ContentURL>"));
    for (key, wrong) in [("product_code", "x"), ("sha256", "00"), ("url", "http://mdm.example.test/a.msi")] {
        let mut package = package.clone();
        package["install_msi"][key] = wrong.into();
        assert!(matches!(read(package), Err(CommandError::Form(_))), "{key}");
    }
}

#[test]
fn a_wipe_is_one_however_its_address_is_written() {
    for target in [
        "./Device/Vendor/MSFT/RemoteWipe/doWipe",
        "./vendor/msft/remotewipe/doWipeProtected",
        "Vendor/MSFT/RemoteWipe/x",
    ] {
        let exec = format!("<Exec><Item><Target><LocURI>{target}</LocURI></Target></Item></Exec>");
        assert!(command(&exec).erases(), "{target}");
    }
    assert!(!command(GET).erases());
    assert!(Command::wipe(uuid(), "doWipeProtected").unwrap().erases());
}

#[test]
fn every_status_means_what_it_says() {
    let name = uuid();
    for (fragment, verb, code, expected) in [
        (ADD, "Add", 200, Answer::Acknowledged),
        (ADD, "Add", 201, Answer::Acknowledged),
        (ADD, "Add", 202, Answer::Acknowledged),
        (ADD, "Add", 204, Answer::Acknowledged),
        (ADD, "Add", 214, Answer::Error),
        (ADD, "Add", 215, Answer::Error),
        (ADD, "Add", 216, Answer::Error),
        (ADD, "Add", 400, Answer::Error),
        (ADD, "Add", 404, Answer::Error),
        (ADD, "Add", 405, Answer::Error),
        (ADD, "Add", 425, Answer::Error),
        (ADD, "Add", 500, Answer::Error),
        (ADD, "Add", 507, Answer::Error),
        (DELETE, "Delete", 404, Answer::Acknowledged),
        (DELETE, "Delete", 405, Answer::Error),
        (GET, "Get", 404, Answer::Error),
    ] {
        let outcome = outcome(fragment, &status(name.as_str(), verb, code));
        assert_eq!((outcome.answer, outcome.status), (expected, code.to_string()), "{verb} {code}");
    }
}

#[test]
fn of_an_atomic_its_own_status_decides() {
    let atomic = format!("<Atomic>{ADD}{DELETE}</Atomic>");
    let name = uuid();
    let alone = outcome(&atomic, &status(name.as_str(), "Atomic", 200));
    assert_eq!(alone.answer, Answer::Acknowledged);
    let said = status(&format!("{name}.1"), "Add", 216) + &status(&format!("{name}.2"), "Delete", 405);
    let failed = outcome(&atomic, &(said.clone() + &status(name.as_str(), "Atomic", 507)));
    assert_eq!((failed.answer, failed.status.as_str()), (Answer::Error, "507"));
    assert!(failed.body.contains("216") && failed.body.contains("405"), "what became of each part is kept");
    assert_eq!(OpenCommand::new(command(&atomic)).hear(&message(&said)), Heard::Waiting);
}

#[test]
fn a_node_that_is_there_is_replaced_once() {
    let name = uuid();
    let mut open = OpenCommand::new(command(ADD));
    let Heard::Again(operations) = open.hear(&message(&status(name.as_str(), "Add", 418))) else {
        unreachable!("418 asks for a Replace")
    };
    let replace = format!("<Replace><CmdID>{name}.r0</CmdID><Item><Target><LocURI>./Device/A</LocURI></Target>");
    assert!(operations[0].starts_with(&replace), "{operations:?}");
    let mut other = open.clone();
    let said = message(&status(&format!("{name}.r0"), "Replace", 200));
    assert!(matches!(open.hear(&said), Heard::Done(Outcome { answer: Answer::Acknowledged, .. })));
    let said = message(&status(&format!("{name}.r0"), "Replace", 418));
    assert!(matches!(other.hear(&said), Heard::Done(Outcome { answer: Answer::Error, .. })), "never twice");
}

#[test]
fn a_node_without_data_that_is_there_is_what_was_wanted() {
    let node = "<Add><Item><Target><LocURI>./Device/MSI/x/DownloadInstall</LocURI></Target></Item></Add>";
    let exec =
        "<Exec><Item><Target><LocURI>./Device/MSI/x/DownloadInstall</LocURI></Target><Data>job</Data></Item></Exec>";
    let name = uuid();
    let said = status(name.as_str(), "Add", 418) + &status(&format!("{name}.1"), "Exec", 202);
    let done = outcome(&format!("{node}{exec}"), &said);
    assert_eq!(done.answer, Answer::Acknowledged, "a package that is installed again");
}

#[test]
fn what_is_about_a_node_that_is_added_follows_its_add() {
    let (add, set) = (command(ADD), command(&ADD.replace("Add>", "Replace>").replace("./Device/A", "./device/%41")));
    assert!(set.must_follow(&add) && command(DELETE).must_follow(&add));
    assert!(!add.must_follow(&set) && !command(GET).must_follow(&add));
}

#[test]
fn results_are_kept_with_their_command_alone() {
    let name = uuid();
    let results = |of: &str, data: &str| {
        format!(
            "<Results><CmdID>3</CmdID><CmdRef>{of}</CmdRef><Item><Source><LocURI>./DevDetail/SwV</LocURI></Source>\
             <Meta><Format xmlns=\"syncml:metinf\">chr</Format></Meta><Data>{data}</Data></Item></Results>"
        )
    };
    let original = "<Status><CmdRef>other</CmdRef><Cmd>Get</Cmd><Data xmlns:m='http://schemas.microsoft.com/MobileDevice/MDM' \
                    m:originalerror='0x80070005'>500</Data></Status>";
    let said = status(name.as_str(), "Get", 200)
        + original
        + &results(name.as_str(), "10.0.1 &amp;")
        + &results("other", "secret");
    let outcome = outcome(GET, &said);
    assert!(!outcome.body.contains("secret") && !outcome.body.contains("0x80070005"));
    assert_eq!(
        result_json(outcome.body.as_bytes()).unwrap(),
        json!({
            "statuses": [{ "cmd_ref": name.as_str(), "cmd": "Get", "status": 200 }],
            "results": [{ "cmd_ref": name.as_str(), "loc_uri": "./DevDetail/SwV", "format": "chr", "type": null, "data": "10.0.1 &" }],
        })
    );
    let failed = original.replace("other", name.as_str());
    let said = OpenCommand::new(command(GET)).hear(&message(&failed));
    let Heard::Done(outcome) = said else { unreachable!("it failed") };
    assert_eq!(result_json(outcome.body.as_bytes()).unwrap()["statuses"][0]["original_error"], "0x80070005");
}

#[test]
fn a_large_object_is_put_together() {
    let name = uuid();
    let chunk = |data: &str, more: &str| {
        format!(
            "<Results><CmdID>3</CmdID><CmdRef>{name}</CmdRef><Item><Source><LocURI>./A</LocURI></Source><Data>{data}</Data>{more}\
             </Item></Results>"
        )
    };
    let mut open = OpenCommand::new(command(GET));
    let first = message(&(status(name.as_str(), "Get", 200) + &chunk("one ", "<MoreData/>")));
    assert_eq!(open.hear(&first), Heard::Waiting);
    assert!(open.is_partial());
    assert_eq!(open.hear(&message(&chunk("two", "<MoreData/>"))), Heard::Waiting);
    let Heard::Done(outcome) = open.hear(&message(&chunk("three", ""))) else { unreachable!("that was all") };
    assert_eq!(result_json(outcome.body.as_bytes()).unwrap()["results"][0]["data"], "one twothree");
}

#[test]
fn a_device_answers_for_no_other_command() {
    let name = uuid();
    for stranger in ["11111111-0000-4000-8000-00000000000", "11111111-0000-4000-8000-0000000000010", "0", "1", ""] {
        let said = message(&status(if stranger.is_empty() { "x" } else { stranger }, "Get", 200));
        assert_eq!(OpenCommand::new(command(GET)).hear(&said), Heard::Waiting, "{stranger}");
    }
    assert_eq!(WireId::parse(&format!("{name}.r3")).unwrap().to_string(), format!("{name}.r3"));
    for wrong in ["", ".", "a.", "a.b", "a.-1", "a.99999", "a b", &"x".repeat(65)] {
        assert_eq!(WireId::parse(wrong), None, "{wrong}");
    }
}

/// Everything that is sent is well-formed, says who speaks to whom, and has no `CmdID` twice.
#[test]
fn answers_are_as_devices_expect_them() {
    let to = message("").header;
    let mut reply = Reply::accept(&to);
    reply.status("4", "Replace", 200);
    reply.ask_for_more();
    reply.command(&command(&format!("<Atomic>{ADD}</Atomic>{GET}")).body());
    let text = reply.finish();
    let read = xml::parse(text.as_bytes(), MAX).unwrap();
    let header = read.root.child(NAMESPACE, "SyncHdr").unwrap();
    let place = |name| header.child(NAMESPACE, name).unwrap().child_text(NAMESPACE, "LocURI").unwrap().to_owned();
    assert_eq!((place("Target"), place("Source")), ("DEV1".into(), "https://mdm.example.test/m?mode=x".into()));
    let names: Vec<&str> = header.children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["VerDTD", "VerProto", "SessionID", "MsgID", "Target", "Source"], "the order of the DTD");
    let body = read.root.child(NAMESPACE, "SyncBody").unwrap();
    let mut ids: Vec<&str> = body.children.iter().filter_map(|child| child.child_text(NAMESPACE, "CmdID")).collect();
    ids.sort_unstable();
    assert!(ids.len() == 5 && ids.windows(2).all(|pair| pair[0] != pair[1]), "{ids:?}");
    assert!(body.children.last().unwrap().is(NAMESPACE, "Final"));
    has_the_usual_beginning(&text);
}

#[test]
fn a_challenge_holds_a_nonce_and_nothing_else() {
    let to = message("").header;
    let nonce: Vec<u8> = (0..16).collect();
    let text = Reply::challenge(&to, Challenge::Missing, &nonce);
    let expected = "<SyncBody><Status><CmdID>1</CmdID><MsgRef>2</MsgRef><CmdRef>0</CmdRef><Cmd>SyncHdr</Cmd><Chal><Meta>\
                    <Format xmlns=\"syncml:metinf\">b64</Format><Type xmlns=\"syncml:metinf\">syncml:auth-md5</Type>\
                    <NextNonce xmlns=\"syncml:metinf\">AAECAwQFBgcICQoLDA0ODw==</NextNonce></Meta></Chal><Data>407</Data></Status>\
                    <Final/></SyncBody></SyncML>";
    assert!(text.ends_with(expected), "{text}");
    assert!(Reply::challenge(&to, Challenge::Wrong, &nonce).contains("<Data>401</Data>"));
}

/// The beginning of every answer, reviewed.
fn has_the_usual_beginning(text: &str) {
    let expected = "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto>\
                    <SessionID>1A</SessionID><MsgID>2</MsgID><Target><LocURI>DEV1</LocURI></Target><Source>\
                    <LocURI>https://mdm.example.test/m?mode=x</LocURI></Source></SyncHdr><SyncBody><Status><CmdID>1</CmdID>\
                    <MsgRef>2</MsgRef><CmdRef>0</CmdRef><Cmd>SyncHdr</Cmd><Data>200</Data></Status>";
    assert!(text.starts_with(expected), "{text}");
}

proptest! {
    #[test]
    fn no_message_breaks_the_reader(text in "(<(SyncML|SyncHdr|Status|Item|Data|Results)( xmlns='SYNCML:SYNCML1.2')?>|</[A-Za-z]+>|[ -~]){0,60}") {
        let _ = Message::parse(text.as_bytes(), MAX);
        let _ = Command::parse(text.as_bytes(), MAX, uuid());
        let _ = result_json(text.as_bytes());
    }

    #[test]
    fn a_command_survives_being_written_and_read(data in "\\PC{0,60}", target in "[!-~&&[^/]][!-~]{0,40}") {
        let command = Command::one(uuid(), Verb::Replace, Item::of(target, "chr", data.trim())).unwrap();
        let reread = Command::from_body(command.body().as_bytes(), uuid()).unwrap();
        let kept: String = data.trim().chars().filter(|character| xml::is_xml_character(*character)).collect();
        prop_assert_eq!(reread.operations()[0].items[0].data.as_deref(), Some(kept.trim()));
    }
}
