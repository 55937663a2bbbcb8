//! The server's process is killed with `kill -9`, again and again, while it reads devices and while a device waits in Setup
//! Assistant.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::apple::dep::answers::ProfileStatus;
use reqwest::Method;
use rookery::sim::abm::{Fault, Target, When, facts};
use rookery::sim::apple::device::Device;
use rookery::sim::random::Chance;
use serde_json::Value;

use crate::abm::Apple;
use crate::app::eventually;
use crate::process::{Server, Site, until_answered};
use crate::profiles_api::form_of;
use crate::world::{DEVICE, apple as root};

const BASE: &str = "/api/v1/fleet";
/// Three full pages and a bit.
const DEVICES: u32 = 650;
const DAY: Duration = Duration::from_secs(86_400);

async fn get(server: &Server, path: &str) -> Value {
    server.ask(Method::GET, &format!("{BASE}{path}"), String::new()).await
}

#[actix::test]
async fn killed_again_and_again_a_server_reads_every_device_and_lets_each_go_on_once() {
    let apple = Apple::start(31);
    let mut site = Site::new("", "off");
    let anchor = site.data.join("simulated-apple.pem");
    std::fs::write(&anchor, root().certificate().to_pem().unwrap()).unwrap();
    let anchor = anchor.display().to_string();
    site.more = vec![
        ("ROOKERY_ABM__URL", apple.service.url()),
        ("ROOKERY_ABM__ROOT_CERTIFICATE", anchor.clone()),
        ("ROOKERY_ABM__DEVICE_AUTHORITIES", anchor),
        ("ROOKERY_ABM__SYNC_EVERY", "100ms".to_owned()),
    ];
    let mut server = site.start(None);
    server.prepare().await;
    let organization = apple.service.found("Example");
    apple.service.add_devices(organization, facts(7, 0..DEVICES));
    let key = get(&server, "/mdm/apple/abm_public_key").await;
    let key = STANDARD.decode(key["public_key"].as_str().unwrap()).unwrap();
    let token = apple.service.token_file(organization, &key, DAY * 300).unwrap();
    server.upload(&format!("{BASE}/abm_tokens"), form_of(&[], Some(("token", "token.p7m", &token)))).await;
    // Every call takes a while, so that the server dies in the middle of all of them.
    apple.service.script(Target::All, Fault::Delay(Duration::from_millis(40)), When::Chance(1.0));
    let mut chance = Chance::new(31, 0);
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(20 + chance.below(300))).await;
        server = server.kill_and_start();
    }
    eventually("every device is assigned", async || {
        let status = |serial: &str| apple.service.device(serial).map(|known| known.profile_status);
        facts(7, 0..DEVICES).all(|facts| status(&facts.serial_number) == Some(ProfileStatus::Assigned)).then_some(())
    })
    .await;
    let expected = get(&server, "/hosts/count?mdm_enrollment_status=pending").await;
    assert_eq!(expected["count"], DEVICES, "each is expected once");
    server = set_up(server, &apple).await;
    assert_eq!(apple.service.findings(), vec![], "the service found faults of the server");
    server.kill();
    std::fs::remove_dir_all(&site.data).unwrap();
}

/// A device is set up while the server dies after each step.
async fn set_up(mut server: Server, apple: &Apple) -> Server {
    let mut device = server.device(0);
    let enrolls = async |device: &mut Device| {
        assert!(device.fetch_own_profile(&apple.service, &root()).await?, "it is somebody's");
        device.obtain_identity().await
    };
    until_answered(&mut device, enrolls).await;
    server = server.kill_and_start();
    until_answered(&mut device, async |device| device.authenticate().await).await;
    server = server.kill_and_start();
    until_answered(&mut device, async |device| device.update_token(DEVICE).await).await;
    while device.options.awaits_configuration {
        server = server.kill_and_start();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        until_answered(&mut device, async |device| device.work(DEVICE).await).await;
    }
    server = server.kill_and_start();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let id = device.channel_id(DEVICE).unwrap();
    let told = get(&server, &format!("/commands?host_identifier={id}&request_type=DeviceConfigured")).await;
    assert_eq!(told["results"].as_array().unwrap().len(), 1, "{told}");
    let host = get(&server, &format!("/hosts/identifier/{id}")).await;
    assert_eq!(host["host"]["mdm"]["enrollment_status"], "On (automatic)");
    server
}
