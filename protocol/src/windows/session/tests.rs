use super::*;
use crate::queue::Answer;
use crate::windows::syncml::{Item, Verb};

fn message(session: &str, number: u32, body: &str) -> Message {
    let text = format!(
        "<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>{session}\
         </SessionID><MsgID>{number}</MsgID><Target><LocURI>https://mdm.example.test/m</LocURI></Target><Source><LocURI>DEV\
         </LocURI></Source></SyncHdr><SyncBody>{body}<Final/></SyncBody></SyncML>"
    );
    Message::parse(text.as_bytes(), 1 << 20).unwrap()
}

fn status(of: &str, code: u16) -> String {
    format!("<Status><CmdID>9</CmdID><MsgRef>1</MsgRef><CmdRef>{of}</CmdRef><Cmd>Get</Cmd><Data>{code}</Data></Status>")
}

fn get(name: &str) -> Command {
    Command::one(CommandUuid::parse(name).unwrap(), Verb::Get, Item::of("./DevDetail/SwV", "null", "")).unwrap()
}

#[test]
fn a_session_goes_on_as_long_as_its_numbers_grow() {
    let first = message("0", 1, "");
    let session = Session::begin(&first.header, Proof::Certificate, Timestamp::default());
    assert!(session.goes_on_with(&message("0", 2, "").header));
    assert!(session.goes_on_with(&message("0", 7, "").header), "numbers may be left out");
    assert!(!session.goes_on_with(&message("1", 2, "").header));
    assert!(session.repeats(&first.header) && !session.goes_on_with(&first.header));
    let session = session.after(&message("0", 2, ""), Round::default(), []);
    assert!(
        !session.goes_on_with(&first.header),
        "all sessions of some devices have the same name: another one begins"
    );
    assert!(session.repeats(&message("0", 2, "").header));
}

#[test]
fn what_was_handed_out_is_heard_of_in_any_order() {
    let first = message("0", 1, "");
    let session = Session::begin(&first.header, Proof::Certificate, Timestamp::default());
    let session = session.after(&first, Round::default(), [get("a"), get("b"), get("c")]);
    let said = message("0", 2, &(status("0", 200) + &status("c", 404) + &status("a", 200) + &status("d", 200)));
    assert_eq!(session.strangers(&said), [CommandUuid::parse("d").unwrap()]);
    let round = session.hear(&said, Vec::new());
    let finished: Vec<(&str, Answer)> =
        round.finished.iter().map(|(uuid, outcome)| (uuid.as_str(), outcome.answer)).collect();
    assert_eq!(finished, [("a", Answer::Acknowledged), ("c", Answer::Error)]);
    assert_eq!(round.open.iter().map(|open| open.uuid().as_str()).collect::<Vec<_>>(), ["b"]);
    let late = session.hear(&message("0", 3, &status("d", 200)), vec![OpenCommand::new(get("d"))]);
    assert_eq!(late.finished.len(), 1, "one that this session does not hold is heard of, too");
}

#[test]
fn a_session_ends_with_an_answer_that_asks_for_none() {
    let said = message("0", 1, "<Alert><CmdID>2</CmdID><Data>1201</Data></Alert><Replace><CmdID>3</CmdID></Replace>");
    let (text, goes_on) = reply(&said, &Round::default(), Wishes::default(), &[]);
    assert!(!goes_on && text.contains("<CmdRef>3</CmdRef><Cmd>Replace</Cmd><Data>200</Data>"), "{text}");
    assert!(!text.contains("Alert"), "alerts get no status");
    let (text, goes_on) = reply(&said, &Round::default(), Wishes::default(), &[get("a").body()]);
    assert!(goes_on && text.contains("<CmdID>a</CmdID>"));
    let (text, goes_on) = reply(&said, &Round::default(), Wishes { facts: true, poll_minutes: None }, &[]);
    assert!(goes_on && text.contains("SMBIOSSerialNumber"));
}

#[test]
fn a_device_says_which_one_it_is() {
    let results = "<Results><CmdID>3</CmdID><CmdRef>rookery-serial</CmdRef><Item><Source><LocURI>x</LocURI></Source><Data> PF-0042 \
                   </Data></Item></Results>";
    let said = message("0", 2, &(status("rookery-serial", 200) + results + &status("rookery-version", 404)));
    assert_eq!(facts(&said), Some(Facts { serial: Some("PF-0042".into()), os_version: None, computer_name: None }));
    assert_eq!(facts(&message("0", 2, &status("rookery-serial", 404))), Some(Facts::default()), "it has none");
    assert_eq!(facts(&message("0", 2, results)), None, "results without a status are no answer");
    let session = Session::begin(&said.header, Proof::Certificate, Timestamp::default());
    assert!(session.strangers(&said).is_empty(), "our own questions are no commands");
}

#[test]
fn a_device_is_told_how_often_to_come() {
    let said = message("0", 1, "");
    let (text, goes_on) = reply(&said, &Round::default(), Wishes { facts: false, poll_minutes: Some(60) }, &[]);
    assert!(
        goes_on && text.contains("/Poll/IntervalForFirstSetOfRetries</LocURI>") && text.contains("<Data>60</Data>")
    );
    assert_eq!(polls_as_told(&message("0", 2, &status("rookery-poll", 200))), Some(true));
    assert_eq!(polls_as_told(&message("0", 2, &status("rookery-poll", 405))), Some(false));
    assert_eq!(polls_as_told(&message("0", 2, &status("rookery-serial", 200))), None);
}

#[test]
fn a_large_object_is_asked_for_to_its_end() {
    let first = message("0", 1, "");
    let session = Session::begin(&first.header, Proof::Certificate, Timestamp::default());
    let session = session.after(&first, Round::default(), [get("a")]);
    let chunk = "<Results><CmdID>3</CmdID><CmdRef>a</CmdRef><Item><Source><LocURI>x</LocURI></Source><Data>1</Data><MoreData/></Item></Results>";
    let said = message("0", 2, &(status("a", 200) + chunk));
    let round = session.hear(&said, Vec::new());
    let (text, goes_on) = reply(&said, &round, Wishes::default(), &[]);
    assert!(
        goes_on && text.contains("<Data>1222</Data>") && text.contains("<Cmd>Results</Cmd><Data>213</Data>"),
        "{text}"
    );
}

/// A whole session, reviewed: what a device says and what it is answered, in `tests/fixtures/windows/session`. Lines are joined.
#[test]
fn a_reviewed_session_goes_as_it_was_reviewed() {
    macro_rules! fixture {
        ($name:literal) => {
            include_str!(concat!("../../../tests/fixtures/windows/session/", $name, ".xml"))
        };
    }
    let read = |text: &str| Message::parse(text.as_bytes(), 1 << 20).unwrap();
    let joined = |text: &str| text.lines().map(str::trim).collect::<String>();
    let nonce: [u8; 16] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let command =
        |name: &str, text: &str| Command::parse(text.as_bytes(), 1 << 20, CommandUuid::parse(name).unwrap()).unwrap();
    let policy = |verb: &str, name: &str| {
        format!(
            "<{verb}><Item><Target><LocURI>./Device/Vendor/MSFT/Policy/Config/{name}</LocURI></Target><Meta><Format \
             xmlns=\"syncml:metinf\">int</Format><Type xmlns=\"syncml:metinf\">text/plain</Type></Meta><Data>0</Data></Item></{verb}>"
        )
    };
    let atomic = format!("<Atomic>{}</Atomic>", policy("Replace", "Camera/AllowCamera"));
    let commands = [command("c0a8-0001", &atomic), command("c0a8-0002", &policy("Add", "Experience/AllowCortana"))];
    let texts = [commands[0].body(), commands[1].body()];

    assert_eq!(challenge(&read(fixture!("1-device")).header, &nonce), joined(fixture!("1-server")));
    let said = read(fixture!("2-device"));
    let proof =
        crate::windows::syncml::credentials::credentials("1F7C3A6E9B204D58A1E4C0FF5B6D7E80", "k3Zr-9vT").unwrap();
    let digest = said.header.digest.clone().unwrap();
    assert!(crate::windows::syncml::credentials::is_proof(&digest, &proof, &nonce));
    let mut session = Session::begin(&said.header, Proof::Digest(nonce), Timestamp::default());
    let (text, goes_on) = reply(&said, &Round::default(), Wishes { facts: true, poll_minutes: Some(60) }, &texts);
    assert_eq!((text, goes_on), (joined(fixture!("2-server")), true));
    session = session.after(&said, Round::default(), commands);
    for (device, server, last) in [
        (fixture!("3-device"), fixture!("3-server"), false),
        (fixture!("4-device"), fixture!("4-server"), true),
        (fixture!("5-device"), fixture!("5-server"), true),
    ] {
        let said = read(device);
        assert!(session.goes_on_with(&said.header));
        let round = session.hear(&said, Vec::new());
        let (text, goes_on) = reply(&said, &round, Wishes::default(), &[]);
        assert_eq!((text, goes_on), (joined(server), !last));
        session = session.after(&said, round, []);
    }
    assert!(read(fixture!("5-device")).unenrolls());
}

#[test]
fn what_is_a_users_waits_for_one() {
    let status = |data: &str| {
        format!(
            "<Alert><CmdID>2</CmdID><Data>1224</Data><Item><Meta><Type xmlns=\"syncml:metinf\">com.microsoft/MDM/LoginStatus</Type></Meta>\
             <Data>{data}</Data></Item></Alert>"
        )
    };
    let of_user =
        Command::one(CommandUuid::parse("a").unwrap(), Verb::Get, Item::of("./User/Vendor/A", "null", "")).unwrap();
    let silent = message("0", 1, "");
    let session = Session::begin(&silent.header, Proof::Certificate, Timestamp::default());
    assert!(!session.bars(&of_user, &silent), "some devices never say who is there");
    for (data, barred) in [("user", false), ("others", true), ("none", true)] {
        let said = message("0", 1, &status(data));
        assert_eq!((session.bars(&of_user, &said), session.bars(&get("b"), &said)), (barred, false), "{data}");
    }
    let session = session.after(&message("0", 1, &status("none")), Round::default(), []);
    assert!(session.bars(&of_user, &message("0", 2, "")), "as long as the session lasts");
    assert!(!session.bars(&of_user, &message("0", 2, &status("user"))), "until one comes");
}
