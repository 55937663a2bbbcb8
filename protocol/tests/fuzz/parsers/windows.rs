//! Targets and seeds for what Windows devices, and administrators of theirs, say.

use std::collections::HashSet;

use protocol::ids::CommandUuid;
use protocol::windows::loc_uri::{canonical, scoped};
use protocol::windows::profile::{Profile, Told};
use protocol::windows::redact::redact;
use protocol::windows::session::{Proof, Session, Wishes, facts, polls_as_told, reply};
use protocol::windows::syncml::credentials::{credentials, digest, is_proof};
use protocol::windows::syncml::{Command, Message, OpenCommand, Operation, WireId, is_fragment, result_json};
use protocol::windows::xml;

use super::seeds::NOW;

/// What every parser gets as its limit.
const MAX: usize = 1 << 20;

fn uuid() -> CommandUuid {
    CommandUuid::parse("11111111-0000-4000-8000-000000000001").unwrap()
}

/// Any XML: what is read is written and read as the same.
pub(crate) fn tree(input: &[u8]) {
    let Ok(document) = xml::parse(input, MAX) else { return };
    let mut writer = xml::Writer::new();
    writer.leaf("x", &[("y", document.value(&document.root))], &document.root.text);
    let written = writer.finish();
    let reread = xml::parse(written.as_bytes(), usize::MAX / 2).unwrap();
    assert_eq!(reread.root.text, document.root.text);
    assert!(document.root.child("", "").is_none_or(|child| child.name.is_empty()));
}

/// A device's message, in a session that has a command.
pub(crate) fn message(input: &[u8]) {
    let Ok(message) = Message::parse(input, MAX) else { return };
    let _ = (
        message.unenrolls(),
        message.aborts(),
        message.has_user(),
        message.begins(),
        message.dev_info("Mod"),
        facts(&message),
        polls_as_told(&message),
    );
    let session = Session::begin(&message.header, Proof::Certificate, NOW);
    let get = Command::parse(SEEDS[1], MAX, uuid()).unwrap();
    let round = session.hear(&message, vec![OpenCommand::new(get)]);
    for (_, outcome) in &round.finished {
        assert!(result_json(outcome.body.as_bytes()).is_ok(), "what is kept of a report can be read");
    }
    let (answer, _) = reply(&message, &round, Wishes { facts: true, poll_minutes: Some(1) }, &[]);
    assert!(xml::parse(answer.as_bytes(), usize::MAX / 2).is_ok(), "every answer is well-formed");
}

/// An administrator's command: it reaches devices as it was read, and nothing in it breaks out of its place.
pub(crate) fn command(input: &[u8]) {
    let _ = (is_fragment(input), redact(input, MAX), result_json(input));
    if let Ok(text) = std::str::from_utf8(input) {
        let _ = (WireId::parse(text), canonical(text));
        if let Some(secret) = credentials(text, text) {
            let _ = (digest(&secret, input), is_proof(text, &secret, input));
        }
        if let Ok(serde_json::Value::Object(form)) = serde_json::from_str(text) {
            let _ = Command::from_json(form, uuid());
        }
    }
    let Ok(command) = Command::parse(input, MAX, uuid()) else { return };
    let reread = Command::from_body(command.body().as_bytes(), command.uuid().clone()).unwrap();
    let verbs =
        |command: &Command| command.operations().iter().map(|one| (one.verb, one.children.len())).collect::<Vec<_>>();
    assert_eq!(verbs(&reread), verbs(&command));
    let targets = |one: &Operation| one.items.iter().map(|item| item.target.clone()).collect::<Vec<_>>();
    assert!(reread.operations().iter().zip(command.operations()).all(|(one, other)| targets(one) == targets(other)));
}

/// An administrator's profile, and what a device says that its nodes hold: what is taken can be sent, taken away and compared.
pub(crate) fn profile(input: &[u8]) {
    let Ok(profile) = Profile::parse(input) else {
        let asked = Command::get(uuid(), ["./A".to_owned()]).unwrap();
        let _ = Profile::accepted(input).map(|profile| profile.verdict(&Told::read(&asked, input)));
        return;
    };
    assert_eq!(Profile::accepted(input), Ok(profile.clone()), "what was taken once can be read again");
    let install = profile.install(uuid(), Some(&profile), &HashSet::new()).unwrap();
    assert!(Command::from_body(install.body().as_bytes(), uuid()).is_ok());
    assert!(install.all().all(|(_, one)| !one.best_effort), "a profile takes nothing away that it sets");
    let kept: HashSet<String> = profile.nodes().collect();
    assert_eq!(profile.removal(uuid(), None, &kept), Ok(None));
    let _ = (profile.removal(uuid(), Some(&profile), &HashSet::new()).unwrap(), profile.clone().named("c"));
    let Ok(asked) = Command::get(uuid(), profile.questions()) else { return };
    assert_eq!(Profile::sent(&install).questions(), profile.questions());
    for edit in profile.edits() {
        assert!(!canonical(&edit.target).starts_with("vendor/msft/bitlocker/"), "no reserved node is taken");
        let data = edit.data.as_deref().unwrap_or_default();
        let said = format!(
            "<SyncBody xmlns=\"SYNCML:SYNCML1.2\"><Results><CmdRef>a</CmdRef><Item><Data>{data}</Data></Item></Results></SyncBody>"
        );
        let _ = (scoped(&edit.target), profile.verdict(&Told::read(&asked, said.as_bytes())));
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    SEEDS.iter().map(|seed| seed.to_vec()).collect()
}

static SEEDS: &[&[u8]] = &[
    b"<SyncML xmlns=\"SYNCML:SYNCML1.2\"><SyncHdr><VerDTD>1.2</VerDTD><VerProto>DM/1.2</VerProto><SessionID>1A</SessionID><MsgID>2</MsgID>\
      <Target><LocURI>https://mdm.example.test/m</LocURI></Target><Source><LocURI>DEV</LocURI></Source><Cred><Meta><Format \
      xmlns=\"syncml:metinf\">b64</Format><Type xmlns=\"syncml:metinf\">syncml:auth-md5</Type></Meta><Data>gXyo4IjVqq2HhmDIY16VNg==</Data></Cred>\
      </SyncHdr><SyncBody><Status><CmdID>1</CmdID><MsgRef>1</MsgRef><CmdRef>11111111-0000-4000-8000-000000000001</CmdRef><Cmd>Get</Cmd>\
      <Data xmlns:msft=\"http://schemas.microsoft.com/MobileDevice/MDM\" msft:originalerror=\"0x80070005\">200</Data></Status><Results>\
      <CmdID>2</CmdID><CmdRef>11111111-0000-4000-8000-000000000001</CmdRef><Item><Source><LocURI>./DevDetail/SwV</LocURI></Source>\
      <Meta><Size xmlns=\"syncml:metinf\">9</Size></Meta><Data>10.0.1</Data><MoreData/></Item></Results><Alert><CmdID>3</CmdID>\
      <Data>1226</Data><Item><Meta><Type xmlns=\"syncml:metinf\">com.microsoft:mdm.unenrollment.userrequest</Type></Meta><Data>1</Data></Item>\
      </Alert><Replace><CmdID>4</CmdID><Item><Source><LocURI>./DevInfo/Mod</LocURI></Source><Data>x</Data></Item></Replace><Final/>\
      </SyncBody></SyncML>",
    b"<Get><CmdID>11111111-0000-4000-8000-000000000001</CmdID><Item><Target><LocURI>./DevDetail/SwV</LocURI></Target></Item></Get>",
    b"<Atomic><CmdID>a</CmdID><Add><CmdID>b</CmdID><Item><Target><LocURI>./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera</LocURI>\
      </Target><Meta><Format xmlns=\"syncml:metinf\">int</Format><Type xmlns=\"syncml:metinf\">text/plain</Type></Meta><Data><![CDATA[<a/>]]>\
      </Data></Item></Add></Atomic>",
    b"<SyncBody xmlns=\"SYNCML:SYNCML1.2\"><Status><CmdRef>a</CmdRef><Cmd>Get</Cmd><Data>200</Data></Status></SyncBody>",
    b"<!-- x --><Replace><Item><Target><LocURI>./Vendor/MSFT/Policy/ConfigOperations/ADMXInstall/Demo/Policy/F1</LocURI></Target><Meta><Format \
      xmlns=\"syncml:metinf\">chr</Format></Meta><Data><![CDATA[<policyDefinitions/>]]></Data></Item></Replace><Add><Item><Target><LocURI>\
      ./Device/Vendor/MSFT/Policy/Config/Demo~Policy~Cat/Beta</LocURI></Target><Data>&lt;enabled/&gt;&lt;data id=\"A\" value=\"1\"/&gt;</Data>\
      <Meta><Format xmlns=\"syncml:metinf\">chr</Format></Meta></Item></Add><Delete><Item><Target><LocURI>./User/Vendor/MSFT/X</LocURI>\
      </Target></Item></Delete>",
    b"{\"operations\":[{\"verb\":\"Atomic\",\"operations\":[{\"verb\":\"Replace\",\"target\":\"./A\",\"data\":1}]}]}",
];
