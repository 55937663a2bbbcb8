use protocol::apple::channel::ChannelKind;
use protocol::apple::check_in::{CheckInKind, DeclarationKind};
use protocol::apple::command::Command;
use protocol::apple::declarative::status::StatusReport;
use protocol::apple::declarative::{DeclarationItem, DeclarationSet};
use protocol::apple::enrollment_profile::ServerCapability;
use protocol::apple::report::Status;
use protocol::ids::CommandUuid;
use protocol::pki::NewKey;
use protocol::pki::authority::{Authority, AuthorityRole};

use super::*;
use crate::sim::apple::fake_mdm::{FakeMdm, device, options};
use crate::sim::apple::model::Family;
use crate::sim::fixture::{Act, DAY, authority, now, reply, trust};

fn uuid(text: &str) -> CommandUuid {
    CommandUuid::parse(text).unwrap()
}

fn faults(device: &Device) -> Vec<Fault> {
    device.log().findings().into_iter().map(|finding| finding.fault).collect()
}

async fn enrolled(mdm: &FakeMdm, family: Family) -> Device {
    let mut device = device(family, 1);
    device.enroll(&mdm.enroll_url()).await.unwrap();
    device
}

#[tokio::test]
async fn a_mac_enrolls_with_its_user_and_works_its_commands_off() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    let ann = User::new("B5A3C1D2-4E6F-4A8B-9C0D-1E2F3A4B5C6D", "ann", "Ann");
    let user = mac.enroll_user(UserKind::Mac, &ann).await.unwrap();
    let (own, users) =
        (mac.channel_id(ChannelNo::DEVICE).unwrap().to_owned(), mac.channel_id(user).unwrap().to_owned());
    assert_eq!((own.as_str(), users.as_str()), (mac.model.udid.as_str(), format!("{own}:{}", ann.id).as_str()));
    mdm.enqueue(&own, Command::security_info(uuid("one")));
    mdm.enqueue(&own, Command::device_information(uuid("two"), &["SerialNumber", "UDID", "Nonsense"]));
    mdm.enqueue(&users, Command::profile_list(uuid("three"), false));
    assert_eq!(mac.work(ChannelNo::DEVICE).await.unwrap(), 2);
    assert_eq!(mac.work(user).await.unwrap(), 1);
    assert_eq!(mac.log().findings(), []);

    let state = mdm.state();
    let kinds: Vec<ChannelKind> = state.check_ins.iter().map(|check_in| check_in.channel.kind).collect();
    assert_eq!(kinds, [ChannelKind::Device, ChannelKind::Device, ChannelKind::User]);
    let CheckInKind::Authenticate(facts) = &state.check_ins[0].kind else { panic!("{:?}", state.check_ins[0]) };
    assert_eq!(facts.serial_number.as_deref(), Some(mac.model.serial_number.as_str()));
    let CheckInKind::TokenUpdate(first) = &state.check_ins[1].kind else { panic!("{:?}", state.check_ins[1]) };
    let CheckInKind::TokenUpdate(second) = &state.check_ins[2].kind else { panic!("{:?}", state.check_ins[2]) };
    assert_eq!(first.token.expose().len(), 32);
    assert!(first.token != second.token && first.push_magic != second.push_magic && first.unlock_token.is_none());
    let told: Vec<_> =
        state.reports.iter().map(|report| (report.status.as_str(), report.channel.id.as_str())).collect();
    let expected =
        [("Idle", &own), ("Acknowledged", &own), ("Acknowledged", &own), ("Idle", &users), ("Acknowledged", &users)];
    assert_eq!(told, expected.map(|(status, id)| (status, id.as_str())));
    let answers = state.reports[2].entries().get("QueryResponses").unwrap().as_dictionary().unwrap();
    assert_eq!(answers.keys().collect::<Vec<_>>(), ["SerialNumber", "UDID"]);
    assert!(state.signers.iter().all(|signer| signer.as_ref() == Some(mac.identity().unwrap().certificate())));
    let truth = mac.log().command(&own, "one").unwrap();
    assert_eq!((truth.handed_out, truth.executed, truth.final_status()), (1, 1, Some("Acknowledged")));
}

#[tokio::test]
async fn messages_have_the_headers_of_real_ones() {
    let mdm = FakeMdm::start().await;
    let mut phone = enrolled(&mdm, Family::IPhone).await;
    phone.poll(ChannelNo::DEVICE).await.unwrap();
    let seen = mdm.seen();
    let messages: Vec<_> = seen.iter().filter(|seen| seen.target == "/mdm").collect();
    let content_types: Vec<_> = messages.iter().map(|seen| seen.headers["content-type"].as_str()).collect();
    let [check_in, command] = ["application/x-apple-aspen-mdm-checkin", "application/x-apple-aspen-mdm; charset=UTF-8"];
    assert_eq!(content_types, [check_in, check_in, command]);
    assert!(messages.iter().all(|seen| seen.method == "PUT" && seen.headers["user-agent"] == AGENT));
    assert!(messages.iter().all(|seen| seen.client.as_ref() == Some(phone.identity().unwrap().certificate())));
    assert_eq!(seen.iter().map(|seen| seen.connection).max(), Some(2), "one connection before the identity, one after");

    phone.options.content_type = false;
    phone.options.method = Method::POST;
    phone.options.headers = vec![(HeaderName::from_static("x-proxy"), "yes".to_owned())];
    phone.poll(ChannelNo::DEVICE).await.unwrap();
    let last = mdm.seen().pop().unwrap();
    assert_eq!((last.method.as_str(), last.headers["x-proxy"].as_str()), ("POST", "yes"));
    assert!(!last.headers.contains_key("content-type"));
}

#[tokio::test]
async fn every_form_of_signature_verifies() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    for form in [
        SignatureForm::Detached { attributes: true },
        SignatureForm::Detached { attributes: false },
        SignatureForm::Attached,
        SignatureForm::None,
    ] {
        mac.options.signature = form;
        mac.poll(ChannelNo::DEVICE).await.unwrap();
        assert_eq!(mdm.state().signers.pop().unwrap().is_some(), form != SignatureForm::None, "{form:?}");
    }
    mdm.edit_profile(|profile| profile.mdm.sign_message = false);
    mac.options.signature = SignatureForm::AsProfile;
    mac.enroll(&mdm.enroll_url()).await.unwrap();
    assert_eq!(mdm.state().signers.pop(), Some(None));
}

#[tokio::test]
async fn phones_shared_ipads_and_personal_devices_say_who_they_are() {
    let mdm = FakeMdm::start().await;
    let phone = enrolled(&mdm, Family::IPhone).await;
    let mut ipad = enrolled(&mdm, Family::IPad).await;
    let pupil = User::new("", "ben@school.example.com", "");
    let shared = ipad.enroll_user(UserKind::SharedIpad, &pupil).await.unwrap();
    ipad.poll(shared).await.unwrap();
    let mut personal =
        Device::new(Model::new(Family::Mac, 1, 9), trust(), DeviceOptions { personal: true, ..options() }, 9);
    personal.enroll(&mdm.enroll_url()).await.unwrap();
    let owner = User::new("9c0b1a29-3847-4f56-8e6d-7c5b4a392817", "ben", "Ben");
    personal.enroll_user(UserKind::PersonalMac, &owner).await.unwrap();

    let state = mdm.state();
    let CheckInKind::TokenUpdate(update) = &state.check_ins[1].kind else { panic!() };
    assert_eq!(update.unlock_token.as_ref().unwrap().expose(), phone.contents().unlock_token().unwrap());
    let kinds: Vec<_> = state.check_ins.iter().map(|check_in| check_in.channel.kind).collect();
    use ChannelKind::{Device as Own, SharedIpad, UserEnrollment, UserEnrollmentDevice};
    assert_eq!(kinds, [Own, Own, Own, Own, SharedIpad, UserEnrollmentDevice, UserEnrollmentDevice, UserEnrollment]);
    let CheckInKind::Authenticate(facts) = &state.check_ins[5].kind else { panic!() };
    assert_eq!((&facts.serial_number, &facts.device_name, &facts.imei), (&None, &None, &None));
    assert_eq!(state.check_ins[5].channel.id.as_str(), personal.model.enrollment_id);
    assert_eq!(state.reports[0].channel.id.as_str(), format!("{}:ben@school.example.com", ipad.model.udid));
}

#[tokio::test]
async fn an_enrollment_profile_that_no_device_takes_is_a_finding() {
    let spoiled: [fn(&FakeMdm); 5] = [
        |mdm| {
            mdm.hook(|seen| (seen.target == "/enroll").then(|| reply(200, &[("Content-Type", "text/html")], "hello")))
        },
        |mdm| {
            mdm.hook(|seen| {
                let headers = [("Content-Type", protocol::apple::profile::CONTENT_TYPE)];
                (seen.target == "/enroll").then(|| reply(200, &headers, "<plist><dict/></plist>"))
            });
        },
        |mdm| {
            let stranger = Authority::create("Stranger", now(), 1, AuthorityRole::IssuesOnly).unwrap();
            mdm.state().profile_signer = Some(stranger.issue_ra("signer", now(), DAY).unwrap());
        },
        |mdm| {
            let key = NewKey::P256.generate().unwrap();
            mdm.state().profile_signer = Some(protocol::pki::self_signed(key, "myself", now(), DAY).unwrap());
        },
        |mdm| {
            let plain = mdm.profile().to_xml().unwrap();
            mdm.hook(move |seen| {
                let headers = [("Content-Type", protocol::apple::profile::CONTENT_TYPE)];
                (seen.target == "/enroll").then(|| reply(200, &headers, &plain))
            });
        },
    ];
    for (number, spoil) in spoiled.into_iter().enumerate() {
        let mdm = FakeMdm::start().await;
        spoil(&mdm);
        let mut mac = device(Family::Mac, 1);
        let error = mac.fetch_profile(&mdm.enroll_url()).await.unwrap_err();
        assert!(matches!(error, DeviceError::Unacceptable(_)), "{number}: {error}");
        assert_eq!(faults(&mac), [Fault::Profile], "{number}");
    }
}

#[tokio::test]
async fn an_unsigned_profile_is_taken_when_the_user_insists_and_a_refusal_is_no_finding() {
    let mdm = FakeMdm::start().await;
    let plain = mdm.profile().to_xml().unwrap();
    let mut served = 0;
    mdm.hook(move |seen| {
        let headers = [("Content-Type", protocol::apple::profile::CONTENT_TYPE)];
        served += usize::from(seen.target == "/enroll");
        match served {
            1 if seen.target == "/enroll" => Some(reply(403, &[], "{}")),
            2 if seen.target == "/enroll" => Some(reply(503, &[("Retry-After", "3")], "")),
            _ => (seen.target == "/enroll").then(|| reply(200, &headers, &plain)),
        }
    });
    let mut mac = device(Family::Mac, 1);
    mac.options.profile_trust = ProfileTrust::Any;
    let refused = mac.fetch_profile(&mdm.enroll_url()).await.unwrap_err();
    assert!(matches!(refused, DeviceError::Refused { status: 403 }) && refused.is_passing().is_none());
    let busy = mac.fetch_profile(&mdm.enroll_url()).await.unwrap_err();
    assert_eq!(busy.is_passing(), Some(Some(Duration::from_secs(3))));
    mac.fetch_profile(&mdm.enroll_url()).await.unwrap();
    assert_eq!(faults(&mac), []);
}

#[tokio::test]
async fn a_scep_server_that_breaks_a_rule_is_a_finding() {
    use protocol::pki::scep::{
        CONTENT_TYPE_CA_CERTIFICATE, CONTENT_TYPE_CA_RA_CERTIFICATES, CONTENT_TYPE_PKI_MESSAGE, Policy,
        Request as ScepRequest, reply_success,
    };
    fn answer_of_another(seen: &crate::sim::fixture::Seen, earlier: &mut Option<Vec<u8>>) -> Option<Act> {
        if !seen.target.contains("PKIOperation") {
            return None;
        }
        let request = ScepRequest::open(&seen.body, authority().signer(), &Policy { allow_legacy: false }).unwrap();
        let issued = authority().issue_identity(&request.spki, "device", now(), DAY).unwrap();
        let answer = reply_success(&request, &issued, &[], authority().signer()).unwrap();
        // The answer to the request before this one: right in everything but the nonce and the transaction.
        let sent = earlier.replace(answer.clone()).unwrap_or(answer);
        Some(reply(200, &[("Content-Type", CONTENT_TYPE_PKI_MESSAGE)], sent))
    }
    type Hook = Box<dyn FnMut(&crate::sim::fixture::Seen) -> Option<Act> + Send>;
    let at = |part: &'static str, content_type: &'static str, body: Vec<u8>| -> Hook {
        Box::new(move |seen| seen.target.contains(part).then(|| reply(200, &[("Content-Type", content_type)], &body)))
    };
    let ca = authority().certificate().der().to_vec();
    let leaf = crate::sim::fixture::server().certificate().der().to_vec();
    let cases: Vec<Hook> = vec![
        at("GetCACaps", "text/html", b"SCEPStandard".to_vec()),
        at("GetCACaps", "text/plain", b"POSTPKIOperation\nSHA-1\nDES3".to_vec()),
        at("GetCACert", "application/octet-stream", ca.clone()),
        at("GetCACert", CONTENT_TYPE_CA_RA_CERTIFICATES, ca),
        at("GetCACert", CONTENT_TYPE_CA_CERTIFICATE, leaf),
        at("PKIOperation", "text/plain", Vec::new()),
        at("PKIOperation", CONTENT_TYPE_PKI_MESSAGE, b"nonsense".to_vec()),
    ];
    for (number, hook) in cases.into_iter().enumerate() {
        let mdm = FakeMdm::start().await;
        mdm.state().hook = Some(hook);
        let mut mac = device(Family::Mac, 1);
        mac.fetch_profile(&mdm.enroll_url()).await.unwrap();
        let error = mac.obtain_identity().await.unwrap_err();
        assert!(matches!(error, DeviceError::Scep(ScepError::Rule(_) | ScepError::Reply(_))), "{number}: {error}");
        assert_eq!(faults(&mac), [Fault::Scep], "{number}");
        assert!(mac.identity().is_none());
    }

    let mdm = FakeMdm::start().await;
    let mut earlier = None;
    mdm.hook(move |seen| answer_of_another(seen, &mut earlier));
    let mut mac = device(Family::Mac, 1);
    mac.fetch_profile(&mdm.enroll_url()).await.unwrap();
    mac.obtain_identity().await.unwrap();
    let replayed = mac.obtain_identity().await.unwrap_err();
    let other = protocol::pki::scep::client::ReplyError::OtherRequest;
    assert!(matches!(replayed, DeviceError::Scep(ScepError::Reply(why)) if why == other));
    assert_eq!(faults(&mac), [Fault::Scep]);
}

#[tokio::test]
async fn an_authority_with_another_fingerprint_is_not_trusted() {
    let mdm = FakeMdm::start().await;
    mdm.edit_profile(|profile| profile.scep.ca_fingerprint = Some(vec![7; 20]));
    let mut mac = device(Family::Mac, 1);
    mac.fetch_profile(&mdm.enroll_url()).await.unwrap();
    let error = mac.obtain_identity().await.unwrap_err();
    assert!(error.to_string().contains("CAFingerprint"), "{error}");
}

#[tokio::test]
async fn a_renewal_is_signed_by_the_present_identity_and_has_a_new_key() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    let old = mac.identity().unwrap().certificate().clone();
    mac.renew_identity().await.unwrap();
    assert_ne!(mac.identity().unwrap().certificate(), &old);
    let state = mdm.state();
    assert_eq!(state.scep_requests[1].signer, old);
    assert!(state.scep_requests[1].challenge.is_none());
    assert_ne!(state.scep_requests[0].spki, state.scep_requests[1].spki);
}

#[tokio::test]
async fn what_would_unenroll_a_device_is_a_finding() {
    for status in [401, 403] {
        let mdm = FakeMdm::start().await;
        let mut mac = enrolled(&mdm, Family::Mac).await;
        mdm.hook(move |_| Some(reply(status, &[], "")));
        let error = mac.poll(ChannelNo::DEVICE).await.unwrap_err();
        assert!(matches!(error, DeviceError::Refused { status: refused } if refused == status));
        assert_eq!(faults(&mac), [Fault::Unenrolls]);
    }
}

#[tokio::test]
async fn a_busy_server_is_no_finding_and_any_other_status_is() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    mdm.hook(|_| Some(reply(503, &[("Retry-After", "11")], "")));
    let busy = mac.poll(ChannelNo::DEVICE).await.unwrap_err();
    assert_eq!(busy.is_passing(), Some(Some(Duration::from_secs(11))));
    assert_eq!(faults(&mac), []);
    mdm.hook(|_| Some(reply(400, &[], "")));
    let refused = mac.poll(ChannelNo::DEVICE).await.unwrap_err();
    assert!(matches!(refused, DeviceError::Refused { status: 400 }));
    assert_eq!(faults(&mac), [Fault::Status]);
}

#[tokio::test]
async fn a_reply_that_devices_cannot_read_is_a_finding() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    mdm.hook(|_| Some(Act::Write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec())));
    let error = mac.poll(ChannelNo::DEVICE).await.unwrap_err();
    assert!(matches!(error, DeviceError::Framing(FramingError::Chunked)));
    let bodies = [
        "<plist><dict/></plist>",
        "no property list",
        "<plist><dict><key>Command</key><dict><key>RequestType</key><string>SecurityInfo</string></dict></dict></plist>",
    ];
    for body in bodies {
        mdm.hook(move |_| Some(reply(200, &[], body)));
        let error = mac.poll(ChannelNo::DEVICE).await.unwrap_err();
        assert!(matches!(error, DeviceError::Unacceptable(_)), "{error}");
    }
    mdm.hook(|_| Some(reply(200, &[], "<plist><dict/></plist>")));
    mac.update_token(ChannelNo::DEVICE).await.unwrap();
    assert_eq!(faults(&mac), [Fault::Framing, Fault::Command, Fault::Command, Fault::Command, Fault::Reply]);
}

#[tokio::test]
async fn a_command_that_comes_twice_in_a_session_or_on_the_wrong_channel_is_a_finding() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    let user = mac.enroll_user(UserKind::Mac, &User::new("U", "ann", "Ann")).await.unwrap();
    mdm.hook(|_| Some(reply(200, &[], Command::security_info(uuid("again")).to_xml())));
    let command = mac.poll(ChannelNo::DEVICE).await.unwrap().unwrap();
    mac.poll(ChannelNo::DEVICE).await.unwrap();
    assert_eq!(faults(&mac), [], "another session");
    mac.report(ChannelNo::DEVICE, command.uuid(), &Answer::not_now()).await.unwrap();
    assert_eq!(faults(&mac), [Fault::HandedOutTwice]);
    mdm.hook(|_| Some(reply(200, &[], Command::erase_device(uuid("erase"), Default::default()).to_xml())));
    mac.poll(user).await.unwrap();
    assert_eq!(faults(&mac), [Fault::HandedOutTwice, Fault::Channel]);
}

#[tokio::test]
async fn a_repeated_command_is_done_once_and_answered_the_same() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    let id = mac.model.udid.clone();
    let rotate = |name| {
        let arguments = entries([("KeyType", "personal".into()), ("FileVaultUnlock", Value::Dictionary(entries([])))]);
        Command::new(uuid(name), "RotateFileVaultKey", arguments).unwrap()
    };
    let first = mac.execute(ChannelNo::DEVICE, &rotate("a")).await.unwrap().unwrap();
    let again = mac.execute(ChannelNo::DEVICE, &rotate("a")).await.unwrap().unwrap();
    assert!(first == again && first.results.contains_key("RotateResult"));
    assert_eq!(mac.log().command(&id, "a").unwrap().executed, 1);
    mac.options.dedup = false;
    let other = mac.execute(ChannelNo::DEVICE, &rotate("a")).await.unwrap().unwrap();
    assert!(first != other);
    assert_eq!(mac.log().command(&id, "a").unwrap().executed, 2);
}

#[tokio::test]
async fn a_report_whose_reply_is_lost_is_not_confirmed_until_it_is_repeated() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    let id = mac.model.udid.clone();
    mdm.enqueue(&id, Command::security_info(uuid("one")));
    mdm.enqueue(&id, Command::profile_list(uuid("two"), false));
    let command = mac.poll(ChannelNo::DEVICE).await.unwrap().unwrap();
    let answer = mac.execute(ChannelNo::DEVICE, &command).await.unwrap().unwrap();
    mac.once(Manner::DropBeforeReading);
    let lost = mac.report(ChannelNo::DEVICE, command.uuid(), &answer).await.unwrap_err();
    assert!(matches!(lost, DeviceError::Wire(WireError::ReplyLost)));
    assert_eq!(mac.log().command(&id, command.uuid().as_str()).unwrap().final_status(), None);
    let next = mac.report(ChannelNo::DEVICE, command.uuid(), &answer).await.unwrap();
    assert!(next.is_none(), "the command that was lost rests until the next session");
    assert_eq!(mac.log().command(&id, command.uuid().as_str()).unwrap().final_status(), Some("Acknowledged"));
    assert_eq!(mac.poll(ChannelNo::DEVICE).await.unwrap().unwrap().uuid(), &uuid("two"));
    assert_eq!(faults(&mac), []);
}

#[tokio::test]
async fn a_later_message_can_be_the_one_that_is_lost() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    mac.once_after(2, Manner::DropBeforeReading);
    for is_lost in [false, false, true, false] {
        assert_eq!(mac.poll(ChannelNo::DEVICE).await.is_err(), is_lost);
    }
    assert_eq!(faults(&mac), []);
}

#[tokio::test]
async fn tokens_and_users_and_services_are_asked_for_as_apple_documents() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    assert_eq!(mac.bootstrap_token().await.unwrap(), None);
    mac.set_bootstrap_token(Some(b"secret")).await.unwrap();
    assert_eq!(mac.bootstrap_token().await.unwrap().as_deref(), Some(&b"secret"[..]));
    mac.set_bootstrap_token(None).await.unwrap();
    assert_eq!(mac.bootstrap_token().await.unwrap(), None);
    assert_eq!(mac.service_token("com.apple.maid").await.unwrap().as_deref(), Some(&b"jwt"[..]));
    let user = mac.add_user(UserKind::Mac, &User::new("U", "ann", "Ann")).unwrap();
    assert_eq!(mac.user_authenticate(user, None).await.unwrap().as_deref(), Some(""));
    mdm.hook(|seen| String::from_utf8_lossy(&seen.body).contains("UserAuthenticate").then(|| reply(410, &[], "")));
    assert_eq!(mac.user_authenticate(user, None).await.unwrap(), None);
    mdm.hook(|_| Some(reply(400, &[], "")));
    assert_eq!(mac.service_token("com.example").await.unwrap(), None);
    assert_eq!(faults(&mac), []);
    mdm.hook(|_| Some(reply(200, &[], "<plist><dict/></plist>")));
    mac.return_to_service().await.unwrap_err();
    mac.service_token("com.apple.maid").await.unwrap_err();
    assert_eq!(faults(&mac), [Fault::Reply, Fault::Reply]);
}

fn declaration(kind: &str, identifier: &str, token: &str, payload: serde_json::Value) -> (String, String) {
    let document = serde_json::json!({
        "Type": format!("com.apple.{kind}"), "Identifier": identifier, "ServerToken": token, "Payload": payload,
    });
    (identifier.to_owned(), document.to_string())
}

fn set(items: &[(DeclarationKind, &str, &str)]) -> DeclarationSet {
    DeclarationSet::new(items.iter().map(|(kind, identifier, server_token)| {
        (*kind, DeclarationItem { identifier: (*identifier).to_owned(), server_token: (*server_token).to_owned() })
    }))
    .unwrap()
}

#[tokio::test]
async fn declarations_are_fetched_when_they_change_and_reported() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    let id = mac.model.udid.clone();
    {
        let mut state = mdm.state();
        let subscribed = serde_json::json!({"StatusItems": [{"Name": "device.model.family"}, {"Name": "moon.phase"}]});
        state.bodies.extend([
            declaration(
                "activation.simple",
                "act",
                "1",
                serde_json::json!({"StandardConfigurations": ["subs", "gone"]}),
            ),
            declaration("configuration.management.status-subscriptions", "subs", "1", subscribed),
        ]);
        state.declarations =
            set(&[(DeclarationKind::Activation, "act", "1"), (DeclarationKind::Configuration, "subs", "1")]);
    }
    let tokens = mdm.state().declarations.tokens_json(now());
    mdm.enqueue(&id, Command::declarative_management(uuid("ddm"), Some(tokens)));
    assert_eq!(mac.work(ChannelNo::DEVICE).await.unwrap(), 1);
    assert_eq!(mac.log().findings(), []);
    let held = mac.declarations(ChannelNo::DEVICE).unwrap();
    assert_eq!(held.iter().map(|(_, name, _)| name.as_str()).collect::<Vec<_>>(), ["act", "subs"]);
    let endpoints = asked(&mdm);
    assert_eq!(
        endpoints,
        ["declaration-items", "declaration/activation/act", "declaration/configuration/subs", "status"]
    );
    let status = last_status(&mdm);
    assert_eq!(status["StatusItems"]["device"]["model"]["family"], mac.model.model_name);
    assert_eq!(status["Errors"][0]["StatusItem"], "moon.phase");
    let declarations = &status["StatusItems"]["management"]["declarations"];
    assert_eq!(declarations["activations"][0]["valid"], "invalid");
    assert_eq!(declarations["configurations"][0]["active"], true);
    assert!(status["StatusItems"]["management"]["client-capabilities"].is_object());

    // Nothing changed: nothing but the token is asked for.
    mdm.enqueue(&id, Command::declarative_management(uuid("ddm2"), None));
    mac.work(ChannelNo::DEVICE).await.unwrap();
    assert_eq!(asked(&mdm)[4..], ["tokens"]);
    // One is gone: the rest is kept.
    mdm.state().declarations = set(&[(DeclarationKind::Configuration, "subs", "1")]);
    mac.synchronize(ChannelNo::DEVICE).await.unwrap();
    assert_eq!(mac.declarations(ChannelNo::DEVICE).unwrap().len(), 1);
    assert_eq!(asked(&mdm)[5..], ["tokens", "declaration-items", "status"]);
    mac.send_status(ChannelNo::DEVICE, true).await.unwrap();
    assert_eq!(last_status(&mdm)["FullReport"], true);
    assert_eq!(mac.log().findings(), []);
}

fn asked(mdm: &FakeMdm) -> Vec<String> {
    use protocol::apple::check_in::Endpoint;
    let state = mdm.state();
    let endpoints = state.check_ins.iter().filter_map(|check_in| match &check_in.kind {
        CheckInKind::DeclarativeManagement(endpoint) => Some(endpoint),
        _ => None,
    });
    let name = |endpoint: &Endpoint| match endpoint {
        Endpoint::Tokens => "tokens".to_owned(),
        Endpoint::DeclarationItems => "declaration-items".to_owned(),
        Endpoint::Status { .. } => "status".to_owned(),
        Endpoint::Declaration { kind, identifier } => format!("declaration/{}/{identifier}", kind.as_str()),
    };
    endpoints.map(name).collect()
}

fn last_status(mdm: &FakeMdm) -> serde_json::Value {
    use protocol::apple::check_in::Endpoint;
    let state = mdm.state();
    let reports = state.check_ins.iter().rev().find_map(|check_in| match &check_in.kind {
        CheckInKind::DeclarativeManagement(Endpoint::Status { data }) => Some(data.clone()),
        _ => None,
    });
    let reported = reports.unwrap();
    StatusReport::parse(&reported, 1 << 20).unwrap();
    serde_json::from_slice(&reported).unwrap()
}

#[tokio::test]
async fn declarative_documents_that_contradict_each_other_are_findings() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    let wrong = |part: &'static str, body: &'static str| {
        move |seen: &crate::sim::fixture::Seen| {
            String::from_utf8_lossy(&seen.body).contains(part).then(|| reply(200, &[], body))
        }
    };
    mdm.hook(wrong("<string>tokens", r#"{"SyncTokens":{"DeclarationsToken":"x","Timestamp":"2026-01-01T00:00:00Z"}}"#));
    mac.synchronize(ChannelNo::DEVICE).await.unwrap();
    assert_eq!(faults(&mac), [Fault::Declarative], "two tokens for one set");
    mdm.hook(wrong("<string>tokens", r#"{"SyncTokens":{"DeclarationsToken":"x","Timestamp":"now"}}"#));
    mac.synchronize(ChannelNo::DEVICE).await.unwrap_err();
    mdm.state().hook = None;
    mdm.state().declarations = set(&[(DeclarationKind::Asset, "lost", "1")]);
    mac.synchronize(ChannelNo::DEVICE).await.unwrap();
    mdm.state().declarations = set(&[(DeclarationKind::Asset, "lost", "2")]);
    mdm.state().bodies.extend([declaration("asset.data", "another", "2", serde_json::json!({}))]);
    let other = mdm.state().bodies["another"].clone();
    mdm.state().bodies.insert("lost".to_owned(), other);
    mac.synchronize(ChannelNo::DEVICE).await.unwrap_err();
    mdm.hook(wrong("<string>declaration-items", r#"{"Declarations":{"Activations":[]},"DeclarationsToken":"y"}"#));
    mac.synchronize(ChannelNo::DEVICE).await.unwrap_err();
    assert_eq!(faults(&mac), [Fault::Declarative; 5]);
}

#[tokio::test]
async fn a_profile_in_place_of_the_enrollment_profile_renews_the_identity() {
    for shape in [RenewalShape::Authenticate, RenewalShape::TokenUpdate, RenewalShape::Silent] {
        let mdm = FakeMdm::start().await;
        let mut mac = enrolled(&mdm, Family::Mac).await;
        mac.options.renewal = shape;
        let (id, token) = (mac.model.udid.clone(), mac.push_target(ChannelNo::DEVICE).unwrap());
        let old = mac.identity().unwrap().certificate().clone();
        mdm.edit_profile(|profile| {
            "NEW-KEY".clone_into(&mut profile.scep.uuid);
            "NEW-KEY".clone_into(&mut profile.mdm.identity_certificate_uuid);
        });
        let renewal = mdm.profile().to_xml().unwrap();
        let signed = sign_attached(&renewal, crate::sim::fixture::server(), &[]).unwrap();
        mdm.enqueue(&id, Command::install_profile(uuid("renew"), &signed));
        assert_eq!(mac.work(ChannelNo::DEVICE).await.unwrap(), 1);
        assert_eq!(mac.log().findings(), []);
        assert_ne!(mac.identity().unwrap().certificate(), &old);
        assert_eq!(mac.push_target(ChannelNo::DEVICE).unwrap(), token, "a renewal is no new enrollment");
        let state = mdm.state();
        let said = state.check_ins[2..].iter().map(|check_in| matches!(check_in.kind, CheckInKind::Authenticate(_)));
        let expected: &[bool] = match shape {
            RenewalShape::Authenticate => &[true, false],
            RenewalShape::TokenUpdate => &[false],
            RenewalShape::Silent => &[],
        };
        assert_eq!(said.collect::<Vec<_>>(), expected, "{shape:?}");
        assert_eq!(state.signers.last().unwrap().as_ref(), Some(mac.identity().unwrap().certificate()));
        assert_eq!(state.reports.last().unwrap().status, Status::Acknowledged);
    }
}

#[tokio::test]
async fn a_renewal_that_changes_what_must_not_change_is_refused_and_a_finding() {
    let changes: [fn(&mut EnrollmentProfile); 5] = [
        |profile| "com.apple.mgmt.External.other".clone_into(&mut profile.mdm.topic),
        |profile| profile.mdm.server_url.push_str("/other"),
        |profile| profile.mdm.access_rights = Some(8191),
        |profile| profile.mdm.server_capabilities.retain(|one| *one != ServerCapability::PerUserConnections),
        |profile| "com.example.other".clone_into(&mut profile.identifier),
    ];
    let mdm = FakeMdm::start().await;
    mdm.edit_profile(|profile| profile.mdm.access_rights = Some(1));
    let mut mac = enrolled(&mdm, Family::Mac).await;
    for (number, change) in changes.into_iter().enumerate() {
        let mut profile = mac.profile().unwrap().clone();
        change(&mut profile);
        let signed = sign_attached(&profile.to_xml().unwrap(), crate::sim::fixture::server(), &[]).unwrap();
        let command = Command::install_profile(uuid(&format!("renew {number}")), &signed);
        let answer = mac.execute(ChannelNo::DEVICE, &command).await.unwrap().unwrap();
        assert_eq!((answer.status, answer.errors[0].code), (Status::Error, 12009), "{number}");
        assert_eq!(faults(&mac).len(), number + 1);
    }
    assert_eq!(mac.errand(), None);
}

#[tokio::test]
async fn a_new_enrollment_has_new_tokens_and_no_users_and_a_check_out_says_good_bye() {
    let mdm = FakeMdm::start().await;
    let mut mac = enrolled(&mdm, Family::Mac).await;
    mac.enroll_user(UserKind::Mac, &User::new("U", "ann", "Ann")).await.unwrap();
    let before = mac.push_target(ChannelNo::DEVICE).unwrap();
    mac.renew_token(ChannelNo::DEVICE).await.unwrap();
    let renewed = mac.push_target(ChannelNo::DEVICE).unwrap();
    assert!(before.token != renewed.token && before.magic == renewed.magic);
    mac.enroll(&mdm.enroll_url()).await.unwrap();
    let after = mac.push_target(ChannelNo::DEVICE).unwrap();
    assert!(before.token != after.token && before.magic != after.magic);
    assert_eq!(mac.channels().count(), 1);
    mac.check_out(ChannelNo::DEVICE).await.unwrap();
    assert!(matches!(mdm.state().check_ins.last().unwrap().kind, CheckInKind::CheckOut { .. }));
    assert!(mac.push_target(ChannelNo::DEVICE).is_none());
}

#[tokio::test]
async fn nothing_is_said_before_there_is_something_to_say() {
    let mut mac = device(Family::Mac, 1);
    assert!(matches!(mac.obtain_identity().await, Err(DeviceError::Missing("profile"))));
    assert!(matches!(mac.poll(ChannelNo::DEVICE).await, Err(DeviceError::Missing("profile"))));
    assert!(matches!(mac.poll(ChannelNo(3)).await, Err(DeviceError::Missing("such channel"))));
    let mdm = FakeMdm::start().await;
    mac.fetch_profile(&mdm.enroll_url()).await.unwrap();
    assert!(matches!(mac.authenticate().await, Err(DeviceError::Missing("identity"))));
    assert_eq!(mdm.seen().len(), 1);
}
