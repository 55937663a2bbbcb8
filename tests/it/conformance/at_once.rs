//! The same thing twice, or two things that exclude each other, at the same moment.

use futures_util::future::join_all;
use protocol::pki::scep::client::{Protection, Reply, Request, certification_request, read_ca_certificates};
use protocol::pki::scep::{CONTENT_TYPE_PKI_MESSAGE, Cipher, RequestKind};
use protocol::pki::{Digest, self_signed};
use reqwest::{Method, StatusCode};
use rookery::sim::apple::device::{Answer as Done, Device, DeviceError, DeviceOptions};
use rookery::sim::apple::model::Family;

use crate::app::answer;
use crate::world::{DEVICE, World, assert_sound, fresh_uuid, keys, now, on_each_store};

/// How often each race is run: a race is lost only now and then.
const ROUNDS: u32 = 6;
/// How many run it.
const RUNNERS: u32 = 8;

#[actix::test]
async fn a_scep_request_that_comes_many_times_at_once_gets_one_certificate() {
    on_each_store(async |world| {
        let scep = world.app.device_url("/mdm/apple/scep?operation=");
        let authority = world.app.client.get(format!("{scep}GetCACert")).send().await.unwrap().bytes().await.unwrap();
        let authority = read_ca_certificates(&authority).unwrap().remove(0);
        for round in 0..ROUNDS {
            let mut device = world.device(Family::Mac, round, DeviceOptions::default());
            let profile = device.fetch_profile(&world.enroll_url()).await.unwrap();
            let challenge = profile.scep.challenge.unwrap();
            let key = keys().take().await.unwrap();
            let day = std::time::Duration::from_secs(86_400);
            let signer = self_signed(key.clone(), "race", now(), day).unwrap();
            let csr = certification_request(&key, "race", Some(challenge.expose())).unwrap();
            let protection = Protection { cipher: Cipher::Aes128, digest: Digest::Sha256 };
            let request = Request::new(RequestKind::Enroll, &csr, &signer, &authority, protection).unwrap();
            let send = || {
                let post = world.app.client.post(format!("{scep}PKIOperation")).body(request.message().to_vec());
                async { post.header("content-type", CONTENT_TYPE_PKI_MESSAGE).send().await.unwrap() }
            };
            let mut issued = Vec::new();
            for reply in join_all((0..RUNNERS).map(|_| send())).await {
                assert_eq!(reply.status(), StatusCode::OK);
                match request.read_reply(&reply.bytes().await.unwrap(), &signer, &authority).unwrap() {
                    Reply::Issued(certificates) => issued.push(certificates[0].fingerprint()),
                    other => unreachable!("round {round}: {other:?}"),
                }
            }
            assert!(issued.windows(2).all(|pair| pair[0] == pair[1]), "round {round}: {issued:?}");
        }
    })
    .await;
}

#[actix::test]
async fn one_certificate_enrolls_one_device_however_many_show_it_at_once() {
    on_each_store(async |world| {
        for round in 0..ROUNDS {
            let mut devices: Vec<Device> = (0..RUNNERS)
                .map(|one| world.device(Family::Mac, round * RUNNERS + one, DeviceOptions::default()))
                .collect();
            devices[0].fetch_profile(&world.enroll_url()).await.unwrap();
            devices[0].obtain_identity().await.unwrap();
            let (profile, identity) = (devices[0].profile().cloned().unwrap(), devices[0].identity().cloned());
            for device in &mut devices {
                device.set_profile(profile.clone());
                device.set_identity(identity.clone());
            }
            let tried = join_all(devices.iter_mut().map(Device::authenticate)).await;
            let won: Vec<usize> = (0..tried.len()).filter(|one| tried[*one].is_ok()).collect();
            assert_eq!(won.len(), 1, "round {round}: {tried:?}");
            for (number, device) in devices.iter_mut().enumerate() {
                let told = device.update_token(DEVICE).await;
                let again = device.poll(DEVICE).await;
                if won.contains(&number) {
                    told.unwrap();
                    assert_eq!(again.unwrap(), None);
                } else {
                    assert!(matches!(told, Err(DeviceError::Refused { status: 400 })), "{told:?}");
                    assert!(matches!(again, Err(DeviceError::Refused { status: 400 })), "{again:?}");
                }
            }
        }
    })
    .await;
}

#[actix::test]
async fn one_name_is_one_command_however_many_queue_it_at_once() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        for _ in 0..ROUNDS {
            let uuid = fresh_uuid();
            let devices = [&device];
            let queued = join_all((0..RUNNERS).map(|_| world.try_run(&devices, &uuid, "ProfileList"))).await;
            let (won, lost): (Vec<_>, Vec<_>) = queued.iter().partition(|one| one.0 == StatusCode::OK);
            assert_eq!(won.len(), 1, "{queued:?}");
            assert!(lost.iter().all(|one| one.0 == StatusCode::CONFLICT), "{queued:?}");
            assert_eq!(device.work(DEVICE).await.unwrap(), 1);
        }
        assert_sound(&device);
    })
    .await;
}

#[actix::test]
async fn reports_at_once_from_one_device_end_in_one_state() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let mut twins = twins_of(world, &device);
        for round in 0..ROUNDS {
            let command = world.run(&[&device], "ProfileList").await;
            assert_eq!(device.poll(DEVICE).await.unwrap().unwrap().uuid(), &command);
            let done = Done::acknowledged();
            let told = join_all(twins.iter_mut().map(|twin| twin.report(DEVICE, &command, &done))).await;
            assert!(told.iter().all(|one| matches!(one, Ok(None))), "round {round}: {told:?}");
            assert_eq!(world.status(&command).await, "Acknowledged");
            assert_eq!(device.poll(DEVICE).await.unwrap(), None);
        }
        assert_eq!(world.orphans(&device).await, Vec::<serde_json::Value>::new(), "repetitions are no contradictions");
    })
    .await;
}

/// The same device on many connections, as after lost replies.
fn twins_of(world: &World, device: &Device) -> Vec<Device> {
    let twin = || {
        let mut twin = world.device(Family::Mac, 1, DeviceOptions::default());
        twin.set_profile(device.profile().cloned().unwrap());
        twin.set_identity(device.identity().cloned());
        twin
    };
    (0..RUNNERS).map(|_| twin()).collect()
}

#[actix::test]
async fn a_thousand_commands_come_out_in_the_order_in_which_they_were_queued() {
    on_each_store(async |world| {
        let mut device = world.enrolled(Family::Mac, 1).await;
        let id = device.channel_id(DEVICE).unwrap().to_owned();
        let mut queued = Vec::new();
        for _ in 0..1000 {
            let command =
                protocol::apple::command::Command::new(fresh_uuid(), "ProfileList", Default::default()).unwrap();
            let request = world.app.admin(Method::PUT, &format!("/v1/enqueue/{id}?nopush=1"));
            assert_eq!(answer(request.body(command.to_xml())).await.status, StatusCode::OK);
            queued.push(command.uuid().clone());
        }
        let mut next = device.poll(DEVICE).await.unwrap();
        for expected in &queued {
            assert_eq!(next.as_ref().map(|command| command.uuid()), Some(expected));
            next = device.report(DEVICE, expected, &Done::acknowledged()).await.unwrap();
        }
        assert_eq!(next, None);
        assert_sound(&device);
    })
    .await;
}
