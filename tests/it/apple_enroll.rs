//! Enrollment: profiles, identities, channels, renewal, leaving.

use protocol::apple::check_in::Endpoint;
use protocol::pki::{NewKey, Signer, self_signed};
use reqwest::StatusCode;
use rookery::sim::apple::device::{
    Destination, DeviceError, DeviceOptions, RenewalShape, SignatureForm, User, UserKind,
};
use rookery::sim::apple::model::Family;

use crate::process::enroll;
use crate::world::{DEVICE, SECRET, World, assert_sound, fresh_uuid, now, on_each_store, on_each_store_with};

fn refused(result: Result<impl std::fmt::Debug, DeviceError>) -> u16 {
    match result {
        Err(DeviceError::Refused { status }) => status,
        other => unreachable!("not refused: {other:?}"),
    }
}

#[actix::test]
async fn macs_iphones_and_ipads_enroll_and_are_listed() {
    on_each_store(async |world| {
        for (number, (family, platform)) in
            [(Family::Mac, "darwin"), (Family::IPhone, "ios"), (Family::IPad, "ipados")].into_iter().enumerate()
        {
            let device = world.enrolled(family, u32::try_from(number).unwrap()).await;
            let host = world.host(&device).await;
            assert_eq!(host["uuid"], device.model.udid.as_str());
            assert_eq!(host["hardware_serial"], device.model.serial_number.as_str());
            assert_eq!(host["platform"], platform);
            assert_eq!(host["mdm"]["enrollment_status"], "On (manual)");
            assert_eq!(host["mdm"]["connected_to_fleet"], true);
            assert_eq!(host["enrollments"][0]["type"], "Device");
            assert_sound(&device);
        }
        let hosts = world.app.get("/api/v1/fleet/hosts").await;
        assert_eq!(hosts.json["hosts"].as_array().unwrap().len(), 3);
        let count = world.app.get("/api/v1/fleet/hosts/count?query=MacBook").await;
        assert!(count.json["count"].as_i64().unwrap() <= 1);
    })
    .await;
}

#[actix::test]
async fn a_personal_device_keeps_its_serial_number_to_itself() {
    on_each_store(async |world| {
        let options = DeviceOptions { personal: true, ..DeviceOptions::default() };
        let mut device = world.device(Family::IPhone, 1, options);
        enroll(&mut device, &world.enroll_url()).await;
        let host = world.host(&device).await;
        assert_eq!(host["hardware_serial"], "");
        assert_eq!(host["mdm"]["enrollment_status"], "On (personal)");
        assert_eq!(host["enrollments"][0]["type"], "User Enrollment (Device)");
        let (status, answer) = world.try_run(&[&device], &fresh_uuid(), "EraseDevice").await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "nobody erases a device that is not theirs");
        let reason = &answer["errors"][0]["reason"];
        assert_eq!(reason, "EraseDevice is not for this kind of enrollment.");
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn users_are_channels_of_their_host() {
    on_each_store(async |world| {
        let mut mac = world.enrolled(Family::Mac, 1).await;
        let ann = User::new("11111111-2222-4333-8444-555555555555", "ann", "Ann Example");
        let channel = mac.enroll_user(UserKind::Mac, &ann).await.unwrap();
        let mut ipad = world.enrolled(Family::IPad, 2).await;
        let ben = User::new("", "ben@example.com", "Ben Example");
        ipad.enroll_user(UserKind::SharedIpad, &ben).await.unwrap();
        let types = |host: serde_json::Value| {
            let channels = host["enrollments"].as_array().unwrap().clone();
            channels.iter().map(|one| (one["type"].clone(), one["id"].clone())).collect::<Vec<_>>()
        };
        let of_mac = types(world.host(&mac).await);
        assert_eq!(of_mac[1], ("User".into(), format!("{}:{}", mac.model.udid, ann.id).into()));
        let of_ipad = types(world.host(&ipad).await);
        assert_eq!(of_ipad[1], ("Shared iPad".into(), format!("{}:ben@example.com", ipad.model.udid).into()));

        let (status, answer) = world.try_enqueue(mac.channel_id(channel).unwrap(), "EraseDevice").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "as NanoMDM says that no id could be served");
        let refused = &answer["status"][mac.channel_id(channel).unwrap()]["command_error"];
        assert_eq!(refused, "EraseDevice is not for this kind of channel");
        let for_user = world.enqueue(mac.channel_id(channel).unwrap(), "ProfileList").await;
        assert_eq!(mac.work(DEVICE).await.unwrap(), 0, "the device's own queue is another");
        assert_eq!(mac.work(channel).await.unwrap(), 1);
        assert_eq!(world.status(&for_user).await, "Acknowledged");
        mac.check_out(channel).await.unwrap();
        let host = world.host(&mac).await;
        assert_eq!(
            (&host["enrollments"][0]["enabled"], &host["enrollments"][1]["enabled"]),
            (&true.into(), &false.into())
        );
        assert_eq!(host["mdm"]["enrollment_status"], "On (manual)", "a user leaves alone");
        assert_sound(&mac);
        assert_sound(&ipad);
    })
    .await;
}

#[actix::test]
async fn every_way_to_prove_who_one_is_works() {
    on_each_store(async |world| {
        let forms = [
            (SignatureForm::Detached { attributes: true }, false, true),
            (SignatureForm::Detached { attributes: false }, false, true),
            (SignatureForm::Attached, false, false),
            (SignatureForm::None, true, false),
        ];
        for (number, (signature, client_certificate, content_type)) in forms.into_iter().enumerate() {
            let options = DeviceOptions { signature, client_certificate, content_type, ..DeviceOptions::default() };
            let mut device = world.device(Family::Mac, u32::try_from(number).unwrap(), options);
            enroll(&mut device, &world.enroll_url()).await;
            world.run(&[&device], "SecurityInfo").await;
            assert_eq!(device.work(DEVICE).await.unwrap(), 1);
            device.options.method = "POST".parse().unwrap();
            assert_eq!(device.work(DEVICE).await.unwrap(), 0);
            assert_sound(&device);
        }
    })
    .await;
}

#[actix::test]
async fn a_device_speaks_for_nobody_but_itself() {
    on_each_store(async |world| {
        let mut honest = world.enrolled(Family::Mac, 1).await;
        let thief = world.enrolled(Family::Mac, 2).await;
        let secret = world.run(&[&honest], "SecurityInfo").await;
        let own = honest.identity().cloned();

        honest.set_identity(thief.identity().cloned());
        assert_eq!(refused(honest.poll(DEVICE).await), 400);
        assert_eq!(refused(honest.bootstrap_token().await), 400);
        assert_eq!(refused(honest.authenticate().await), 400, "a bound certificate enrolls nobody else");
        assert_eq!(refused(honest.check_out(DEVICE).await), 400);
        honest.set_identity(Some(stranger()));
        assert_eq!(refused(honest.poll(DEVICE).await), 400);
        assert_eq!(refused(honest.authenticate().await), 400);

        honest.set_identity(own);
        honest.work(DEVICE).await.ok();
        assert!(!honest.log().findings().iter().any(|finding| finding.text.contains("401")));
        assert!(matches!(world.status(&secret).await.as_str(), "Acknowledged" | "Superseded" | "Pending"));
    })
    .await;
}

fn stranger() -> Signer {
    let day = std::time::Duration::from_secs(86_400);
    self_signed(NewKey::Rsa2048.generate().unwrap(), "stranger", now(), day).unwrap()
}

#[actix::test]
async fn a_challenge_works_once() {
    on_each_store(async |world| {
        let mut first = world.device(Family::Mac, 1, DeviceOptions::default());
        let mut second = world.device(Family::Mac, 2, DeviceOptions::default());
        let profile = first.fetch_profile(&world.enroll_url()).await.unwrap();
        second.set_profile(profile.clone());
        first.set_profile(profile);
        first.obtain_identity().await.unwrap();
        assert!(second.obtain_identity().await.is_err(), "the challenge was used");
        first.authenticate().await.unwrap();
        first.update_token(DEVICE).await.unwrap();
        assert_sound(&first);
    })
    .await;
}

#[actix::test]
async fn a_profile_for_one_device_enrolls_no_other() {
    on_each_store(async |world| {
        let device = world.device(Family::Mac, 1, DeviceOptions::default());
        let url = format!(
            "{}/api/v1/fleet/enrollment_profiles/manual?serial={}",
            world.app.running().addresses.admin_url,
            device.model.serial_number
        );
        for (number, expected) in [(2, Some(400)), (1, None)] {
            let signed = world.app.client.get(&url).bearer_auth(&world.app.token).send().await.unwrap();
            assert_eq!(signed.headers()["content-type"], "application/x-apple-aspen-config");
            let signed = signed.bytes().await.unwrap();
            let verified = protocol::pki::signature::verify(&signed, None).unwrap().content.unwrap();
            let profile = protocol::apple::enrollment_profile::EnrollmentProfile::parse(&verified, 1 << 20).unwrap();
            let mut device = world.device(Family::Mac, number, DeviceOptions::default());
            device.set_profile(profile);
            device.obtain_identity().await.unwrap();
            match expected {
                Some(status) => assert_eq!(refused(device.authenticate().await), status),
                None => device.authenticate().await.unwrap(),
            }
        }
    })
    .await;
}

#[actix::test]
async fn a_wrong_secret_is_refused_with_a_reason() {
    on_each_store(async |world| {
        for token in ["wrong", "", &SECRET[1..]] {
            let url = world.app.device_url(&format!("/api/mdm/apple/enroll?token={token}"));
            let answer = crate::app::answer(world.app.client.get(url)).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN);
            assert!(answer.json["message"].as_str().unwrap().contains("enroll secret"), "{}", answer.json);
        }
    })
    .await;
}

#[actix::test]
async fn enrolling_again_begins_anew() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        device.set_bootstrap_token(Some(b"of the first life")).await.unwrap();
        let old = device.identity().cloned();
        let command = world.run(&[&device], "EraseDevice").await;

        enroll(&mut device, &world.enroll_url()).await;
        assert_eq!(world.status(&command).await, "Superseded");
        assert_eq!(device.work(DEVICE).await.unwrap(), 0, "no command of the old life is delivered");
        assert_eq!(device.bootstrap_token().await.unwrap(), None);
        assert_eq!(world.host(&device).await["enrollments"][0]["generation"], 2);
        assert_eq!(world.app.get("/api/v1/fleet/hosts/count").await.json["count"], 1);

        let fresh = device.identity().cloned();
        device.set_identity(old);
        assert_eq!(refused(device.poll(DEVICE).await), 400, "the old certificate is dead");
        device.set_identity(fresh);
        world.run(&[&device], "SecurityInfo").await;
        assert_eq!(device.work(DEVICE).await.unwrap(), 1);
    })
    .await;
}

#[actix::test]
async fn a_renewal_in_any_shape_loses_nothing() {
    for shape in [RenewalShape::Authenticate, RenewalShape::TokenUpdate, RenewalShape::Silent] {
        on_each_store(async |world| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            device.set_bootstrap_token(Some(b"kept")).await.unwrap();
            let command = world.run(&[&device], "SecurityInfo").await;
            let old = device.identity().cloned();

            device.renew_identity().await.unwrap();
            if shape == RenewalShape::Authenticate {
                device.authenticate().await.unwrap();
            }
            if shape != RenewalShape::Silent {
                device.update_token(DEVICE).await.unwrap();
            }
            let renewed = device.identity().cloned();
            assert_ne!(
                renewed.as_ref().map(|one| one.certificate().fingerprint()),
                old.as_ref().map(|one| one.certificate().fingerprint())
            );
            assert_eq!(device.work(DEVICE).await.unwrap(), 1, "{shape:?}: the queue survives");
            assert_eq!(world.status(&command).await, "Acknowledged");
            assert_eq!(device.bootstrap_token().await.unwrap().as_deref(), Some(b"kept".as_slice()), "{shape:?}");
            assert_eq!(world.host(&device).await["enrollments"][0]["generation"], 1, "{shape:?}");
            device.authenticate().await.unwrap();
            assert_eq!(
                world.host(&device).await["enrollments"][0]["generation"],
                1,
                "a repeated Authenticate is one too"
            );

            device.set_identity(old);
            assert_eq!(
                refused(device.poll(DEVICE).await),
                400,
                "{shape:?}: the old one ends once the new one was seen"
            );
            device.set_identity(renewed);
            assert_eq!(device.work(DEVICE).await.unwrap(), 0);
        })
        .await;
    }
}

#[actix::test]
async fn the_bootstrap_token_is_kept_given_back_and_withdrawn() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        assert_eq!(device.bootstrap_token().await.unwrap(), None);
        device.set_bootstrap_token(Some(b"first")).await.unwrap();
        device.set_bootstrap_token(Some(b"second")).await.unwrap();
        assert_eq!(device.bootstrap_token().await.unwrap().as_deref(), Some(b"second".as_slice()));
        device.set_bootstrap_token(None).await.unwrap();
        assert_eq!(device.bootstrap_token().await.unwrap(), None);
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn a_device_that_checked_out_is_off_until_it_enrolls_again() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let command = world.run(&[&device], "SecurityInfo").await;
        let (identity, profile) = (device.identity().cloned(), device.profile().cloned());
        device.check_out(DEVICE).await.unwrap();
        assert_eq!(world.status(&command).await, "Superseded");
        assert_eq!(world.host(&device).await["mdm"]["enrollment_status"], "Off");
        let (status, _) = world.try_run(&[&device], &command, "SecurityInfo").await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED);

        // A device that goes on polling is not told to remove anything; one that wants tokens back has to enroll.
        if let Some(profile) = profile {
            device.set_profile(profile);
        }
        device.set_identity(identity);
        assert_eq!(device.poll(DEVICE).await.unwrap(), None);
        enroll(&mut device, &world.enroll_url()).await;
        assert_eq!(world.host(&device).await["mdm"]["enrollment_status"], "On (manual)");
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn users_of_network_accounts_are_managed_only_when_asked_for() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let user = User::new("11111111-2222-4333-8444-555555555555", "ann", "Ann");
        let channel = device.add_user(UserKind::Mac, &user).unwrap();
        let answered = device.user_authenticate(channel, None).await.unwrap();
        assert!(
            format!("{answered:?}").contains("Unmanaged") || format!("{answered:?}").contains("None"),
            "{answered:?}"
        );
    })
    .await;
    on_each_store_with(
        |settings| settings.device.manage_network_users = true,
        async |world: &mut World| {
            let mut device = world.enrolled(Family::Mac, 1).await;
            let user = User::new("11111111-2222-4333-8444-555555555555", "ann", "Ann");
            let channel = device.add_user(UserKind::Mac, &user).unwrap();
            device.user_authenticate(channel, None).await.unwrap();
            assert_sound(&device);
        },
    )
    .await;
}

#[actix::test]
async fn the_empty_declarative_set_is_correct() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        device.synchronize(DEVICE).await.unwrap();
        device.send_status(DEVICE, true).await.unwrap();
        assert_eq!(device.declarations(DEVICE).unwrap(), vec![]);
        let missing = Endpoint::Declaration {
            kind: protocol::apple::check_in::DeclarationKind::Configuration,
            identifier: "com.example.none".into(),
        };
        let _ = missing;
        world.run(&[&device], "DeclarativeManagement").await;
        assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn messages_that_ask_for_what_is_not_offered_are_answered() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::IPhone, 1).await;
        assert_eq!(device.service_token("com.apple.maid").await.unwrap(), None, "400: no such token");
        let settings = device.return_to_service().await.unwrap();
        assert_eq!(settings.get("Enabled").and_then(|value| value.as_boolean()), Some(false));
        for body in [
            "<plist version=\"1.0\"><dict><key>MessageType</key><string>Sing</string></dict></plist>",
            "<plist version=\"1.0\"><dict><key>Status</key><string>Idle</string></dict></plist>",
            "not a plist",
        ] {
            let reply = device.send(Destination::CheckIn, body).await.unwrap();
            assert_eq!(reply.status, 400, "{body}");
        }
        let deep =
            format!("<plist version=\"1.0\">{}{}</plist>", "<array>".repeat(300_000), "</array>".repeat(300_000));
        for levels in [deep] {
            assert_eq!(device.send(Destination::Command, levels).await.unwrap().status, 400);
        }
        assert_eq!(world.app.ops("/readyz").await.status, StatusCode::OK);
    })
    .await;
}
