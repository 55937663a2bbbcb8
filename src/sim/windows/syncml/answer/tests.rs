use super::*;
use crate::sim::windows::syncml::Results;

const ADDRESS: &str = "https://mdm.example.test/api/mdm/microsoft/management";

/// A message with an alert (1), a replacement (2), a status (3) and results (4).
fn sent() -> Message {
    let facts = vec![("./DevInfo/DevId".to_owned(), "DEV1".to_owned())];
    let results = Results {
        msg_ref: "1".into(),
        cmd_ref: "g".into(),
        source: "./x".into(),
        format: "chr".into(),
        data: "y".into(),
        size: None,
        more: false,
    };
    Message {
        session_id: "1A".into(),
        msg_id: "2".into(),
        target: ADDRESS.into(),
        source: "DEV1".into(),
        credentials: None,
        said: vec![
            Said::alert(1201),
            Said::Replace(facts),
            Said::status("1", "0", "SyncHdr", 200),
            Said::Results(results),
        ],
        is_final: true,
    }
}

use crate::sim::windows::syncml::Said;

const GOOD: &str = r#"<SyncML xmlns="SYNCML:SYNCML1.2"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>1A</SessionID><MsgID>2</MsgID><Target><LocURI>DEV1</LocURI></Target><Source><LocURI>https://mdm.example.test/api/mdm/microsoft/management</LocURI></Source></SyncHdr><SyncBody><Status><CmdID>1</CmdID><MsgRef>2</MsgRef><CmdRef>0</CmdRef><Cmd>SyncHdr</Cmd><Data>200</Data></Status><Status><CmdID>2</CmdID><MsgRef>2</MsgRef><CmdRef>2</CmdRef><Cmd>Replace</Cmd><Data>200</Data></Status><Get><CmdID>a</CmdID><Item><Target><LocURI>./DevInfo/Man</LocURI></Target></Item></Get><Atomic><CmdID>b</CmdID><Replace><CmdID>c</CmdID><Item><Target><LocURI>./Vendor/MSFT/Policy/Config/A/B</LocURI></Target><Meta><Format xmlns="syncml:metinf">int</Format><Type xmlns="syncml:metinf">text/plain</Type></Meta><Data>0</Data></Item></Replace></Atomic><Final/></SyncBody></SyncML>"#;

const CHALLENGE: &str = r#"<SyncML xmlns="SYNCML:SYNCML1.2"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>1A</SessionID><MsgID>2</MsgID><Target><LocURI>DEV1</LocURI></Target><Source><LocURI>https://mdm.example.test/api/mdm/microsoft/management</LocURI></Source></SyncHdr><SyncBody><Status><CmdID>1</CmdID><MsgRef>2</MsgRef><CmdRef>0</CmdRef><Cmd>SyncHdr</Cmd><Chal><Meta><Format xmlns="syncml:metinf">b64</Format><Type xmlns="syncml:metinf">syncml:auth-md5</Type><NextNonce xmlns="syncml:metinf">AAECAw==</NextNonce></Meta></Chal><Data>407</Data></Status><Final/></SyncBody></SyncML>"#;

fn judged(text: &str) -> (Answer, Vec<String>) {
    read(text.as_bytes(), &sent()).unwrap()
}

#[test]
fn a_good_answer_is_read_and_found_to_be_one() {
    let (answer, breaches) = judged(GOOD);
    assert_eq!(breaches, [""; 0]);
    assert_eq!((answer.header, answer.orders.len()), (200, 2));
    assert_eq!((answer.orders[0].verb.as_str(), answer.orders[0].id.as_str()), ("Get", "a"));
    let part = &answer.orders[1].parts[0];
    assert_eq!(
        (part.id.as_str(), part.items[0].format.as_str(), part.items[0].data.as_deref()),
        ("c", "int", Some("0"))
    );
}

#[test]
fn a_challenge_is_read() {
    let (answer, breaches) = judged(CHALLENGE);
    assert_eq!((answer.header, answer.nonce), (407, Some(vec![0, 1, 2, 3])));
    assert_eq!(breaches, [""; 0]);
}

/// Changes a good text in one place, and expects this breach of it.
fn breach(text: &str, from: &str, to: &str, expected: &str) {
    assert!(text.contains(from), "{from} is not in the text");
    let (_, breaches) = judged(&text.replacen(from, to, 1));
    assert!(breaches.iter().any(|breach| breach.contains(expected)), "{from} -> {to}: {breaches:?}");
}

#[test]
fn every_breach_of_the_envelope_is_noticed() {
    for (from, to, expected) in [
        ("SYNCML:SYNCML1.2", "SYNCML:SYNCML1.1", "the message is SyncML of SYNCML:SYNCML1.1"),
        ("<VerDTD>1.2", "<VerDTD>1.1", "VerDTD"),
        ("DM/1.2", "DM/1.1", "VerProto"),
        ("<SessionID>1A", "<SessionID>1B", "SessionID"),
        ("<MsgID>2", "<MsgID>1", "MsgID"),
        ("<Target><LocURI>DEV1", "<Target><LocURI>DEV10", "Target"),
        ("<Source><LocURI>https://mdm", "<Source><LocURI>https://other", "Source"),
        ("<Final/>", "", "does not end with Final"),
        ("<SessionID>1A</SessionID><MsgID>2</MsgID>", "<MsgID>2</MsgID><SessionID>1A</SessionID>", "too late"),
    ] {
        if from.starts_with("SYNCML") {
            let text = GOOD.replacen(from, to, 1);
            assert!(read(text.as_bytes(), &sent()).is_err(), "another namespace has no header");
            continue;
        }
        breach(GOOD, from, to, expected);
    }
}

#[test]
fn every_breach_of_a_status_is_noticed() {
    let header =
        "<Status><CmdID>1</CmdID><MsgRef>2</MsgRef><CmdRef>0</CmdRef><Cmd>SyncHdr</Cmd><Data>200</Data></Status>";
    let replace =
        "<Status><CmdID>2</CmdID><MsgRef>2</MsgRef><CmdRef>2</CmdRef><Cmd>Replace</Cmd><Data>200</Data></Status>";
    let swapped = GOOD.replacen(replace, "", 1).replacen(header, &format!("{replace}{header}"), 1);
    let (_, breaches) = judged(&swapped);
    assert!(breaches.iter().any(|breach| breach.contains("not the first")), "{breaches:?}");
    for (from, to, expected) in [
        (header, "", "the header has no status"),
        (replace, "", "Replace 2 has no status"),
        ("<CmdRef>2</CmdRef>", "<CmdRef>9</CmdRef>", "9, which was not said"),
        ("<CmdRef>2</CmdRef><Cmd>Replace", "<CmdRef>3</CmdRef><Cmd>Status", "a status of a status"),
        ("<Cmd>Replace", "<Cmd>Add", "Cmd of a status"),
        ("<Cmd>SyncHdr", "<Cmd>Sync", "Cmd of the header's status"),
        ("<MsgRef>2", "<MsgRef>1", "MsgRef"),
        ("<Data>200", "<Data>ok", "a status of \"ok\""),
        ("<Data>200", "<Data>212", "212"),
        ("<Data>200", "<Data>401", "a challenge does not fit 401"),
        ("<Data>200", "<Data>407", "2 commands for somebody who is not known"),
    ] {
        breach(GOOD, from, to, expected);
    }
}

#[test]
fn every_breach_of_a_challenge_is_noticed() {
    for (from, to, expected) in [
        ("<Data>407", "<Data>200", "a challenge does not fit 200"),
        ("<NextNonce xmlns=\"syncml:metinf\">AAECAw==</NextNonce>", "", "no NextNonce"),
        ("AAECAw==", "", "no NextNonce"),
        ("auth-md5", "auth-basic", "Type"),
        (">b64<", ">chr<", "Format"),
    ] {
        breach(CHALLENGE, from, to, expected);
    }
}

#[test]
fn every_breach_of_a_command_is_noticed() {
    for (from, to, expected) in [
        ("<CmdID>a", "<CmdID>2", "stands twice"),
        ("<CmdID>c", "<CmdID>b", "stands twice"),
        ("<CmdID>c</CmdID>", "", "the CmdID \"\""),
        ("<CmdID>a", "<CmdID>", "the CmdID \"\""),
        ("./DevInfo/Man", "/DevInfo/Man", "is about \"/DevInfo/Man\""),
        ("./DevInfo/Man", "", "is about \"\""),
        ("<Item><Target><LocURI>./DevInfo/Man</LocURI></Target></Item>", "", "holds nothing"),
        ("<Data>0</Data>", "", "has no Data"),
        (">int<", ">number<", "the format of"),
        ("<Format xmlns=\"syncml:metinf\">", "<Format>", "wrong namespace"),
        ("<Replace><CmdID>c", "<Get><CmdID>c", "an Atomic holds Get"),
        ("<Replace><CmdID>c", "<Atomic><CmdID>c", "an Atomic holds Atomic"),
        ("<Get>", "<Sequence>", "the server says Sequence"),
        ("<Final/>", "<Alert><CmdID>z</CmdID><Data>1226</Data></Alert><Final/>", "the server alerts"),
        ("<Final/>", "<Final/><Get><CmdID>z</CmdID></Get>", "something follows Final"),
    ] {
        let mut text = GOOD.to_owned();
        if let Some(verb) = to.strip_prefix('<').and_then(|rest| rest.strip_suffix("><CmdID>c")) {
            text = text.replacen("</Replace>", &format!("</{verb}>"), 1);
        }
        if to == "<Sequence>" {
            text = text.replacen("</Get>", "</Sequence>", 1);
        }
        breach(&text, from, to, expected);
    }
}

#[test]
fn what_looks_like_commands_in_a_value_is_a_value() {
    let value = "]]&gt;&lt;/Data&gt;&lt;/Item&gt;&lt;Exec&gt;";
    let (answer, breaches) = judged(&GOOD.replacen("<Data>0</Data>", &format!("<Data>{value}</Data>"), 1));
    assert_eq!(breaches, [""; 0]);
    assert_eq!(answer.orders[1].parts[0].items[0].data.as_deref(), Some("]]></Data></Item><Exec>"));
}

#[test]
fn what_is_no_message_cannot_be_read() {
    for text in ["", "<html/>", "<SyncML", "<!DOCTYPE x><SyncML/>"] {
        assert!(read(text.as_bytes(), &sent()).is_err(), "{text}");
    }
}
