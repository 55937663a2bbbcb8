//! V-27: what a proxy says about the client certificate that it saw counts only from a proxy that is trusted, and never
//! against a certificate or a signature that came here itself.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderName;
use protocol::pki::Certificate;
use rookery::sim::apple::device::{Device, DeviceError, SignatureForm};
use rookery::sim::apple::model::Family;

use crate::world::{DEVICE, World, on_each_store_with};

/// The two forms of the header: RFC 9440, and nginx's escaped PEM.
fn forms(certificate: &Certificate) -> [String; 2] {
    let escaped = certificate.to_pem().unwrap().bytes().fold(String::new(), |text, byte| match byte {
        byte if byte.is_ascii_alphanumeric() => text + &char::from(byte).to_string(),
        byte => text + &format!("%{byte:02X}"),
    });
    [format!(":{}:", STANDARD.encode(certificate.der())), escaped]
}

/// Polls with a header, and with or without the device's own proof. The status of the answer.
async fn polled(world: &World, device: &mut Device, header: &str, proves_itself: bool) -> u16 {
    let name = world.app.settings.device.client_certificate_header.to_ascii_lowercase();
    device.options.headers = vec![(HeaderName::try_from(name).unwrap(), header.to_owned())];
    device.options.signature = if proves_itself { SignatureForm::AsProfile } else { SignatureForm::None };
    device.options.client_certificate = proves_itself;
    device.set_identity(device.identity().cloned());
    device.wire_mut().disconnect();
    match device.poll(DEVICE).await {
        Ok(_) => 200,
        Err(DeviceError::Refused { status }) => status,
        Err(error) => unreachable!("{error}"),
    }
}

#[actix::test]
async fn only_a_trusted_proxy_is_believed() {
    for (trusted, believed) in [("127.0.0.1", 200), ("192.0.2.1", 400)] {
        on_each_store_with(
            |settings| settings.device.trusted_proxies = vec![trusted.parse().unwrap()],
            async |world: &mut World| {
                let (mut one, other) = (world.enrolled(Family::Mac, 1).await, world.enrolled(Family::Mac, 2).await);
                let (own, foreign) = (one.identity().cloned().unwrap(), other.identity().cloned().unwrap());
                for header in forms(own.certificate()) {
                    assert_eq!(polled(world, &mut one, &header, false).await, believed, "{trusted}: {header:.20}");
                }
                for header in forms(foreign.certificate()) {
                    assert_eq!(polled(world, &mut one, &header, false).await, 400, "{trusted}: another's certificate");
                    assert_eq!(polled(world, &mut one, &header, true).await, 200, "{trusted}: its own proof counts");
                }
                for header in ["", ":", "::", ":AAAA:", "%", "%zz", "-----BEGIN CERTIFICATE-----", &"A".repeat(20_000)]
                {
                    assert_eq!(polled(world, &mut one, header, false).await, 400, "{trusted}: {header:.20}");
                }
            },
        )
        .await;
    }
}
