//! A device begins to enroll, or has renewed its certificate.
//!
//! A renewal changes nothing but the certificate: queue, tokens and generation stay. Anything else begins a new
//! generation: what was pending is superseded, tokens fall silent, and the certificate it was signed with becomes the only
//! one that may speak for the device.

use actix::prelude::*;
use entities::{enrollment, host, identity};
use protocol::apple;
use protocol::apple::channel::ChannelKind;
use protocol::ids::serial_number;
use protocol::webhook::Topic;

use super::certificates::{ANOTHER_KIND, Known};
use super::{Host, Sender, Turn, at_once};
use crate::ask::{Answer, Refusal};
use crate::fault;
use crate::feed::What;

/// The refusal of a certificate that was promised to another device.
pub(crate) const ANOTHERS_PROMISE: &str = "the certificate was promised to another device";

/// A device's `Authenticate`.
#[derive(Debug, Message)]
#[rtype(result = "Answer<()>")]
pub struct Authenticate {
    /// Who sent it.
    pub sender: Sender,
    /// What it says.
    pub message: Box<apple::check_in::Authenticate>,
}

impl Handler<Authenticate> for Host {
    type Result = AtomicResponse<Self, Answer<()>>;

    fn handle(&mut self, authenticate: Authenticate, _: &mut Context<Self>) -> Self::Result {
        fault::point("host.authenticate");
        self.touch();
        if let Some(why) = self.stale() {
            return AtomicResponse::new(at_once(Err(why)));
        }
        if self.is_of_another_kind(&authenticate.sender.channel) {
            return AtomicResponse::new(at_once(Err(ANOTHER_KIND)));
        }
        let own = self.channels.iter().find(|channel| channel.id == authenticate.sender.channel.id);
        let known = own.map(|own| self.certificates.known(authenticate.sender.fingerprint, own.row));
        AtomicResponse::new(match known {
            Some(Known::Bound { renewal: true }) => self.tell_alone(&authenticate.sender, Topic::Authenticate),
            Some(Known::Renewal) => self.renew(authenticate.sender),
            _ => self.look_at_certificate(authenticate),
        })
    }
}

impl Host {
    /// Only the row tells whether the certificate is ours, free, and promised to this device.
    fn look_at_certificate(&mut self, authenticate: Authenticate) -> Turn<()> {
        let (reader, fingerprint) = (self.parts.reader.clone(), authenticate.sender.fingerprint);
        let looking = async move { identity::by_fingerprint(&reader, fingerprint.as_bytes().to_vec()).await };
        Box::pin(looking.into_actor(self).then(move |found, host, _| {
            if let Some(why) = host.stale() {
                return at_once(Err(why));
            }
            let row = match found {
                Ok(Some(row)) if row.state != identity::REPLACED => row,
                Ok(_) => return at_once(Err(Refusal::Forbidden("the certificate was not issued by this server"))),
                Err(error) => return at_once(Err(Refusal::soon(error))),
            };
            let own = host.channels.iter().find(|channel| channel.id == authenticate.sender.channel.id);
            match row.enrollment_id {
                Some(enrollment) if own.map(|channel| channel.row) != Some(enrollment) => {
                    at_once(Err(Refusal::Forbidden("the certificate belongs to another enrollment")))
                }
                Some(_) if row.renewal => host.renew(authenticate.sender),
                _ if !keeps_promise(&row, &describe(&authenticate.sender, &authenticate.message)) => {
                    at_once(Err(Refusal::Forbidden(ANOTHERS_PROMISE)))
                }
                _ => host.begin_generation(&authenticate),
            }
        }))
    }

    /// The device shows a certificate that was issued to take the place of its present one.
    fn renew(&mut self, sender: Sender) -> Turn<()> {
        let vouched = self.vouch(&sender);
        Box::pin(vouched.then(move |vouched, host, _| match vouched {
            Ok(()) => host.tell_alone(&sender, Topic::Authenticate),
            Err(refusal) => at_once(Err(refusal)),
        }))
    }

    fn begin_generation(&mut self, authenticate: &Authenticate) -> Turn<()> {
        let rows = enrollment::Authenticated {
            host_id: self.id.0,
            external_id: authenticate.sender.channel.id.as_str().to_owned(),
            kind: authenticate.sender.channel.kind.code(),
            fingerprint: authenticate.sender.fingerprint.as_bytes().to_vec(),
            description: describe(&authenticate.sender, &authenticate.message),
            topic: authenticate.message.topic.clone(),
            at: self.now().millis(),
            events: self.tell_check_in(&authenticate.sender, Topic::Authenticate),
        };
        self.note(What::Enrolling);
        let writer = self.parts.writer.clone();
        let beginning = async move { enrollment::authenticate(&writer, rows).await };
        Box::pin(beginning.into_actor(self).then(|begun, host, context| {
            fault::point("host.authenticate.committed");
            match host.settle(begun, context) {
                Ok(row) => {
                    tracing::info!(host.id = host.id.0, enrollment.id = row.id, generation = row.generation, "enrolls");
                    host.reload()
                }
                Err(refusal) => at_once(Err(refusal)),
            }
        }))
    }
}

/// What a device says about itself, as its host's row keeps it.
pub fn describe(sender: &Sender, message: &apple::check_in::Authenticate) -> host::Description {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let hardware = message.product_name.as_ref().or(message.model.as_ref()).cloned().unwrap_or_default();
    let personal = sender.channel.kind == ChannelKind::UserEnrollmentDevice;
    let serial = message.serial_number.as_deref().and_then(serial_number).map(str::to_owned);
    host::Description {
        uuid: sender.channel.device_id.as_str().to_owned(),
        serial: serial.filter(|_| !personal),
        platform: apple::platform::platform(&hardware).to_owned(),
        hardware_model: hardware,
        computer_name: text(&message.device_name),
        os_version: text(&message.os_version),
        build_version: text(&message.build_version),
    }
}

/// A challenge that was made for one device yields no identity for another.
pub(crate) fn keeps_promise(row: &identity::Model, shown: &host::Description) -> bool {
    let kept = |promised: &Option<String>, shown: Option<&str>| promised.is_none() || promised.as_deref() == shown;
    kept(&row.promised_serial, shown.serial.as_deref()) && kept(&row.promised_uuid, Some(&shown.uuid))
}
