use protocol::pki::NewKey;
use protocol::pki::self_signed;

use super::*;
use crate::sim::fixture::{DAY, now, reply};
use crate::sim::log::Finding;
use crate::sim::windows::fake_mdm::{FakeMdm, TOKEN, pc};
use crate::sim::windows::quirks::{FinalPlace, SessionIds};
use crate::sim::windows::syncml::answer::{Item, Order};

const ID: &str = "enrollment-1";
const CAMERA: &str = "./Device/Vendor/MSFT/Policy/Config/Camera/AllowCamera";

fn command(verb: &str, id: &str, target: &str, data: Option<&str>) -> String {
    let meta =
        r#"<Meta><Format xmlns="syncml:metinf">chr</Format><Type xmlns="syncml:metinf">text/plain</Type></Meta>"#;
    let data = data.map(|data| format!("{meta}<Data>{data}</Data>")).unwrap_or_default();
    format!("<{verb}><CmdID>{id}</CmdID><Item><Target><LocURI>{target}</LocURI></Target>{data}</Item></{verb}>")
}

fn found(pc: &Pc) -> Vec<(Fault, String)> {
    pc.log().findings().into_iter().map(|Finding { fault, text }| (fault, text)).collect()
}

fn all_quirks() -> Quirks {
    Quirks {
        request_version: "9.0",
        padded: true,
        repeats_items: true,
        query: "?mode=Maintenance&Platform=WoA",
        session_ids: SessionIds::Zero,
        final_place: FinalPlace::First,
        content_type: false,
        cdata: true,
        status_per_item: true,
        raises_msg_id: true,
    }
}

#[tokio::test]
async fn a_pc_enrolls_and_does_what_it_is_told() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions::default()).await;
    mdm.order(&(command("Get", "g", "./DevInfo/Man", None) + &command("Add", "a", CAMERA, Some("0"))));
    mdm.order(&command("Add", "b", CAMERA, Some("0")));
    pc.work().await.unwrap();
    let state = mdm.state();
    let told: Vec<(String, u16)> = state.statuses.iter().filter(|(id, _)| id != "0").cloned().collect();
    assert_eq!(told, [("g".into(), 200), ("a".into(), 200), ("b".into(), 418)]);
    assert_eq!(state.results, [("g".to_owned(), pc.model.manufacturer.to_owned())]);
    assert_eq!(state.alerts[..2], ["1201".to_owned(), "1224 com.microsoft/MDM/LoginStatus user".to_owned()]);
    assert_eq!(found(&pc), []);
    let truth = pc.log().command(ID, "a").unwrap();
    assert_eq!((truth.executed, truth.final_status(), truth.request_type.as_str()), (1, Some("200"), "Add"));
}

#[tokio::test]
async fn all_proofs_and_all_quirks_work() {
    for proof in [Proof::Digest, Proof::Certificate, Proof::Signature] {
        for quirks in [Quirks::none(), all_quirks()] {
            let mdm = FakeMdm::start().await;
            let mut pc = mdm.enrolled(PcOptions { proof, quirks: quirks.clone(), ..PcOptions::default() }).await;
            mdm.order(&command("Add", "a", CAMERA, Some("0")));
            pc.work().await.unwrap();
            pc.work().await.unwrap();
            assert_eq!(found(&pc), [], "{proof:?} {quirks:?}");
            let seen = mdm.seen();
            let manage: Vec<_> = seen.iter().filter(|seen| seen.target.starts_with("/manage")).collect();
            assert_eq!(manage.len(), if proof == Proof::Digest { 5 } else { 3 }, "{proof:?}");
            assert_eq!(manage[0].client.is_some(), proof == Proof::Certificate);
            assert_eq!(manage[0].target.contains('?'), quirks != Quirks::none());
            assert_eq!(manage[0].headers.contains_key("content-type"), quirks.content_type);
        }
    }
}

#[tokio::test]
async fn quirks_are_on_the_wire() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions { quirks: all_quirks(), ..PcOptions::default() }).await;
    let items = mdm.state().items.clone();
    assert_eq!(items.iter().filter(|(name, _)| name == "DeviceID" || name == "MAC").count(), 4);
    pc.work().await.unwrap();
    pc.work().await.unwrap();
    let seen = mdm.seen();
    let text = |place: usize| String::from_utf8(seen[place].body.clone()).unwrap();
    assert!(text(1).contains("<RequestVersion>9.0</RequestVersion>"));
    assert!(text(3).contains(">  ") || text(3).contains("> "), "values have spaces around them");
    let manage: Vec<String> = (4..seen.len()).map(text).collect();
    assert_eq!(manage.len(), 4);
    assert!(manage.iter().all(|text| text.contains("<SessionID>0</SessionID>")));
    assert!(manage[0].contains("<SyncBody><Final></Final>") && !manage[1].contains("Final"), "the second is MsgID 2");
    assert!(manage[0].contains("<![CDATA["));
}

#[tokio::test]
async fn a_digest_is_in_every_message_after_the_challenge() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions::default()).await;
    mdm.order(&command("Get", "g", "./DevInfo/Man", None));
    pc.work().await.unwrap();
    let seen = mdm.seen();
    let shown: Vec<bool> =
        seen[4..].iter().map(|seen| String::from_utf8_lossy(&seen.body).contains("<Cred>")).collect();
    assert_eq!(shown, [false, true, true]);
}

#[tokio::test]
async fn nobody_is_served_by_name_alone_and_wrong_digests_end_the_session() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions { proof: Proof::Nothing, ..PcOptions::default() }).await;
    assert!(matches!(pc.work().await, Err(PcError::Refused { status: 407 })));
    assert_eq!(found(&pc), [], "a server that asks is right");
    pc.options.proof = Proof::Digest;
    pc.enrollment_mut().unwrap().provisioned.credentials.1 = "wrong".into();
    assert!(matches!(pc.work().await, Err(PcError::Refused { status: 401 })));
    mdm.edit(|what, text| {
        if what == "syncml" { text.replace("<Final/>", &(command("Get", "g", "./x", None) + "<Final/>")) } else { text }
    });
    pc.options.proof = Proof::Nothing;
    drop(pc.work().await);
    assert!(found(&pc).iter().any(|(fault, text)| *fault == Fault::SyncMl && text.contains("1 commands for somebody")));
}

#[tokio::test]
async fn atomic_is_all_or_nothing() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions::default()).await;
    let good = command("Replace", "r", CAMERA, Some("1"));
    let bad = command("Replace", "x", "./DevInfo/Man", Some("Me"));
    mdm.order(&format!("<Atomic><CmdID>one</CmdID>{good}</Atomic>"));
    let (good, last) = (good.replace(">r<", ">r2<").replace(">1<", ">2<"), command("Replace", "l", CAMERA, Some("3")));
    mdm.order(&format!("<Atomic><CmdID>two</CmdID>{good}{bad}{last}</Atomic>"));
    pc.work().await.unwrap();
    let state = mdm.state();
    let told: Vec<(&str, u16)> =
        state.statuses.iter().filter(|(id, _)| id != "0").map(|(id, code)| (id.as_str(), *code)).collect();
    assert_eq!(told, [("one", 200), ("r", 200), ("two", 507), ("r2", 216), ("x", 405), ("l", 215)]);
    assert_eq!(pc.tree.get(CAMERA).unwrap().data, "1", "what was done is undone");
}

#[tokio::test]
async fn large_values_come_in_pieces() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions { max_piece: 10, ..PcOptions::default() }).await;
    let value = "a value that is longer than ten bytes, ünd then some";
    pc.tree.set(CAMERA, "chr", value);
    mdm.order(&command("Get", "g", CAMERA, None));
    pc.work().await.unwrap();
    assert_eq!(mdm.state().results, [("g".to_owned(), value.to_owned())]);
    assert_eq!(found(&pc), []);
    mdm.order(&command("Get", "h", CAMERA, None));
    mdm.edit(|what, text| {
        if what == "syncml" { text.replace("<Alert><CmdID>more</CmdID><Data>1222</Data></Alert>", "") } else { text }
    });
    pc.work().await.unwrap();
    assert!(found(&pc).iter().any(|(_, text)| text.contains("nobody asks for the rest")), "{:?}", found(&pc));
}

#[tokio::test]
async fn a_package_is_installed_later_and_the_pc_says_so() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions::default()).await;
    let node = "./Device/Vendor/MSFT/EnterpriseDesktopAppManagement/MSI/%7B5C1D%7D/DownloadInstall";
    let job = "&lt;MsiInstallJob id=\"{5C1D}\"/&gt;";
    mdm.order(&(command("Add", "m1", node, None) + &command("Exec", "m2", node, Some(job))));
    pc.work().await.unwrap();
    assert!(mdm.state().statuses.contains(&("m2".into(), 202)));
    pc.work().await.unwrap();
    let told = "1224 Reversed-Domain-Name:com.microsoft.mdm.win32csp_install 0".to_owned();
    assert_eq!(mdm.state().alerts.iter().filter(|alert| **alert == told).count(), 1);
    pc.work().await.unwrap();
    assert_eq!(mdm.state().alerts.iter().filter(|alert| **alert == told).count(), 1, "it is news once");
}

#[tokio::test]
async fn a_pc_leaves_by_itself_or_when_it_is_told_to() {
    for by_server in [false, true] {
        let mdm = FakeMdm::start().await;
        let mut pc = mdm.enrolled(PcOptions::default()).await;
        if by_server {
            mdm.order(&command("Exec", "u", "./Device/Vendor/MSFT/DMClient/Provider/Fake/Unenroll", Some("Fake")));
            pc.work().await.unwrap();
            assert!(mdm.state().statuses.iter().all(|(id, _)| id != "u"), "nobody answers an Unenroll");
        } else {
            pc.user_leaves();
        }
        assert_eq!(pc.fate(), Fate::Leaves);
        pc.work().await.unwrap();
        let told = "1226 com.microsoft:mdm.unenrollment.userrequest 1".to_owned();
        assert!(mdm.state().alerts.contains(&told));
        assert_eq!(pc.fate(), Fate::Gone);
        assert!(pc.work().await.is_err());
        assert_eq!(found(&pc), []);
    }
}

#[tokio::test]
async fn wipes_reboots_and_poll_times_take_effect() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions::default()).await;
    mdm.order(&command("Exec", "r", "./Device/Vendor/MSFT/Reboot/RebootNow", None));
    let poll = "./Device/Vendor/MSFT/DMClient/Provider/Fake/Poll/IntervalForFirstSetOfRetries";
    mdm.order(&command("Replace", "p", poll, Some("60")));
    pc.work().await.unwrap();
    assert_eq!((pc.fate(), pc.enrollment().unwrap().provisioned.poll.first), (Fate::Reboots, (0, 60)));
    pc.boots();
    mdm.order(&command("Exec", "w", "./Device/Vendor/MSFT/RemoteWipe/doWipeProtected", Some("")));
    pc.work().await.unwrap();
    assert_eq!(pc.fate(), Fate::Gone);
    assert!(mdm.state().statuses.contains(&("w".into(), 200)), "it answers before it is wiped");
}

#[tokio::test]
async fn a_certificate_is_renewed_with_the_old_key_and_then_used() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions { proof: Proof::Certificate, ..PcOptions::default() }).await;
    let old = pc.enrollment().unwrap().identity.certificate().fingerprint();
    mdm.order(&command("Exec", "n", "./Vendor/MSFT/CertificateStore/My/WSTEP/Renew/RenewNow", None));
    pc.work().await.unwrap();
    assert!(pc.renewal_is_due());
    pc.renew(&mdm.discovery_url()).await.unwrap();
    assert!(!pc.renewal_is_due());
    pc.work().await.unwrap();
    let shown = mdm.seen().last().unwrap().client.clone().unwrap().fingerprint();
    assert_eq!(shown, mdm.state().issued[1].fingerprint());
    assert_ne!(shown, old);
    assert_eq!(found(&pc), []);
}

#[tokio::test]
async fn a_renewal_is_judged_too() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions::default()).await;
    mdm.edit(|what, text| if what == "document" { text.replace("\"Fake\"", "\"Other\"") } else { text });
    pc.renew(&mdm.discovery_url()).await.unwrap();
    assert!(found(&pc).iter().any(|(fault, text)| *fault == Fault::Provisioning && text.contains("PROVIDER-ID")));
}

#[tokio::test]
async fn a_command_that_comes_again_after_its_end_is_a_finding_and_done_twice_without_care() {
    for (dedup, times) in [(true, 1), (false, 2)] {
        let mdm = FakeMdm::start().await;
        let mut pc = mdm.enrolled(PcOptions { dedup, ..PcOptions::default() }).await;
        for _ in 0..2 {
            mdm.order(&command("Replace", "a", CAMERA, Some("0")));
            pc.work().await.unwrap();
        }
        assert_eq!(pc.log().command(ID, "a").unwrap().executed, times);
        assert!(found(&pc).iter().any(|(fault, _)| *fault == Fault::HandedOutTwice));
    }
}

#[tokio::test]
async fn an_add_of_what_is_there_did_nothing_and_may_come_again() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions { dedup: false, ..PcOptions::default() }).await;
    pc.tree.set(CAMERA, "chr", "1");
    for _ in 0..2 {
        mdm.order(&command("Add", "a", CAMERA, Some("0")));
        pc.work().await.unwrap();
    }
    let truth = pc.log().command(ID, "a").unwrap();
    assert_eq!((truth.handed_out, truth.executed, truth.final_status()), (2, 0, Some("418")));
    assert_eq!(found(&pc), []);
}

#[tokio::test]
async fn an_answer_that_was_lost_may_bring_its_commands_again() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions::default()).await;
    mdm.order(&command("Replace", "a", CAMERA, Some("0")));
    pc.begin().unwrap();
    pc.turn_and_lose().await.unwrap();
    assert!(pc.turn().await.is_err(), "that session is over");
    mdm.order(&command("Replace", "a", CAMERA, Some("0")));
    pc.work().await.unwrap();
    assert_eq!(pc.log().command(ID, "a").unwrap().executed, 1);
    assert_eq!(found(&pc), []);
}

#[tokio::test]
async fn a_message_that_was_lost_is_sent_again_as_it_was() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions { proof: Proof::Signature, ..PcOptions::default() }).await;
    pc.begin().unwrap();
    pc.once(Manner::DropAfterSending);
    assert!(pc.turn().await.unwrap_err().is_passing().is_some());
    assert_eq!(pc.turn().await.unwrap(), Turn::Ends);
    let bodies: Vec<Vec<u8>> =
        mdm.seen().into_iter().filter(|seen| seen.target == "/manage").map(|seen| seen.body).collect();
    assert!(bodies.len() <= 2 && bodies.iter().all(|body| *body == bodies[0]));
}

#[tokio::test]
async fn every_breach_of_the_enrollment_is_noticed() {
    for (what, from, to, fault, expected) in [
        ("discovery", "soap/envelope/", "soap/envelope2/", Fault::Soap, "no body in its namespace"),
        ("enroll", "http://schemas.xmlsoap.org/soap/envelope/", SOAP_12, Fault::Soap, "no body in its namespace"),
        ("discovery", "RelatesTo>urn", "RelatesTo>urx", Fault::Soap, "RelatesTo"),
        ("policy", "GetPoliciesResponse</a:Action>", "Other</a:Action>", Fault::Soap, "Action"),
        ("discovery", "OnPremise", "Certificate", Fault::Soap, "was not offered"),
        ("discovery", "OnPremise", "Federated", Fault::Soap, "no login page"),
        ("discovery", "EnrollmentServiceUrl>https", "EnrollmentServiceUrl>http", Fault::Soap, "no https URL"),
        (
            "discovery",
            "EnrollmentPolicyServiceUrl>https://",
            "EnrollmentPolicyServiceUrl>https://x",
            Fault::Soap,
            "different hosts",
        ),
        ("policy", "<policySchema>3", "<policySchema>2", Fault::Soap, "policySchema"),
        ("policy", "<minimalKeyLength>2048", "<minimalKeyLength>1024", Fault::Soap, "minimalKeyLength"),
        ("policy", "2.16.840", "2.16.841", Fault::Soap, "hash algorithm"),
        ("policy", "<enroll>true", "<enroll>false", Fault::Soap, "permission"),
        ("policy", "31536000", "3153600", Fault::Soap, "it lasts"),
        ("enroll", "DeviceEnrollmentProvisionDoc", "Other", Fault::Soap, "ValueType"),
        ("enroll", "#base64binary\">", "#base64binary\"> ", Fault::Soap, "white space"),
        ("enroll", "DispositionMessage", "Disposition", Fault::Soap, "DispositionMessage"),
        ("enroll", ">0</RequestID>", ">1</RequestID>", Fault::Soap, "RequestID"),
        ("enroll", "u:Expires", "u:Until", Fault::Soap, "Timestamp"),
        ("document", "name=\"EntDMID\"", "name=\"Id\"", Fault::Provisioning, "EntDMID"),
    ] {
        let mdm = FakeMdm::start().await;
        mdm.edit(move |kind, text| {
            assert!(kind != what || text.contains(from), "{from} is not in the text");
            if kind == what { text.replace(from, to) } else { text }
        });
        let mut pc = pc(PcOptions::default());
        drop(pc.enroll(&mdm.discovery_url(), &Token::User(TOKEN.into())).await);
        let noticed = found(&pc).iter().any(|(kind, text)| *kind == fault && text.contains(expected));
        assert!(noticed, "{what}: {from} -> {to}: {:?}", found(&pc));
    }
}

const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";

#[tokio::test]
async fn a_refusal_is_a_fault_and_a_wrong_one_is_a_finding() {
    let mdm = FakeMdm::start().await;
    let mut one = pc(PcOptions::default());
    let refused = one.enroll(&mdm.discovery_url(), &Token::User("wrong".into())).await;
    let Err(PcError::Fault(fault)) = refused else { panic!("{refused:?}") };
    assert_eq!((fault.subcode.as_str(), fault.trace.as_str()), ("s:Authentication", "4f7c"));
    assert_eq!(found(&one), []);
    for (from, to, expected) in [
        ("s:Fault>", "s:fault>", "a failure holds fault"),
        ("s:Receiver", "Receiver", "the fault's code"),
        ("s:Authentication", "", "the fault's subcode"),
        (" xml:lang=\"en-us\"", "", "no language"),
        ("RelatesTo>urn", "RelatesTo>urx", "RelatesTo"),
    ] {
        mdm.edit(move |kind, text| if kind == "fault" { text.replace(from, to) } else { text });
        let mut pc = pc(PcOptions::default());
        drop(pc.enroll(&mdm.discovery_url(), &Token::None).await);
        assert!(found(&pc).iter().any(|(_, text)| text.contains(expected)), "{from}: {:?}", found(&pc));
    }
}

#[tokio::test]
async fn framing_media_types_and_statuses_are_judged() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions::default()).await;
    mdm.hook(|seen| (seen.target == "/manage").then(|| reply(200, &[("Content-Encoding", "gzip")], "x")));
    assert!(matches!(pc.work().await, Err(PcError::Framing(FramingError::Compressed))));
    mdm.hook(|seen| (seen.target == "/manage").then(|| reply(200, &[("Content-Type", "text/xml")], "x")));
    assert!(matches!(pc.work().await, Err(PcError::Unacceptable(_))));
    let faults: Vec<Fault> = found(&pc).into_iter().map(|(fault, _)| fault).collect();
    assert_eq!(faults, [Fault::Framing, Fault::SyncMl, Fault::SyncMl]);
    mdm.hook(|seen| (seen.target == "/manage").then(|| reply(503, &[("Retry-After", "7")], "")));
    assert_eq!(pc.work().await.unwrap_err().is_passing(), Some(Some(Duration::from_secs(7))));
    mdm.hook(|seen| (seen.target == "/manage").then(|| reply(400, &[], "")));
    assert!(matches!(pc.work().await, Err(PcError::Refused { status: 400 })));
}

#[tokio::test]
async fn good_proofs_that_are_refused_are_findings() {
    let mdm = FakeMdm::start().await;
    let mut pc = mdm.enrolled(PcOptions { proof: Proof::Signature, ..PcOptions::default() }).await;
    mdm.hook(|seen| {
        // The server does not see the signature.
        (seen.target == "/manage" && seen.headers.contains_key("mdm-signature")).then(|| reply(401, &[], ""))
    });
    assert!(matches!(pc.work().await, Err(PcError::Refused { status: 401 })));
    mdm.hook(|_| None);
    let key = NewKey::Rsa2048.generate().unwrap();
    pc.enrollment_mut().unwrap().identity = self_signed(key, "x", now(), DAY).unwrap();
    pc.options.proof = Proof::Nothing;
    pc.wear();
    pc.options.proof = Proof::Certificate;
    assert!(matches!(pc.work().await, Err(PcError::Refused { status: 407 })));
    assert!(found(&pc).iter().any(|(fault, _)| *fault == Fault::Authentication), "{:?}", found(&pc));
}

#[test]
fn several_nodes_in_one_command_are_answered_together_or_one_by_one() {
    let item = |target: &str| Item { target: target.into(), format: "chr".into(), data: None };
    let items = vec![item("./DevInfo/Man"), item("./DevInfo/Nothing")];
    let order = Order { id: "g".into(), verb: "Get".into(), items, parts: Vec::new() };
    for (per_item, statuses) in [(false, 1), (true, 2)] {
        let mut pc = pc(PcOptions::default());
        pc.options.quirks.status_per_item = per_item;
        let (mut said, mut effects) = (Vec::new(), Vec::new());
        assert_eq!(pc.carry_out("1", &order, &mut said, &mut effects), 404);
        let names: Vec<&str> = said.iter().map(Said::name).collect();
        assert_eq!(names.iter().filter(|name| **name == "Status").count(), statuses);
        assert_eq!(names.last(), Some(&"Results"));
    }
}
