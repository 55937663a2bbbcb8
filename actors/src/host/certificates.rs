//! Which certificates may speak for a host: the one that is bound to its device channel, and renewals of it that were
//! issued but not yet used. A renewal becomes the only one the first time it is used. A certificate speaks for the one
//! device channel that it is bound to, and for that channel's users, and only as the kind of enrollment that it is.

use actix::prelude::*;
use entities::identity;
use protocol::apple;
use protocol::pki::Fingerprint;

use super::{Host, Sender, Turn, at_once};
use crate::ask::Refusal;

/// The refusal of a sender that names itself otherwise than it enrolled.
pub(super) const ANOTHER_KIND: Refusal = Refusal::Forbidden("this name belongs to another kind of enrollment");

/// The live certificates of a host's device channels.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    live: Vec<Live>,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    fingerprint: Fingerprint,
    /// The row of the device channel.
    enrollment: i64,
    bound: bool,
    renewal: bool,
}

/// What is known of a presented certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The device's own; `renewal` when it was issued to replace an earlier one.
    Bound { renewal: bool },
    /// Issued to take the place of the device's own, not used before.
    Renewal,
    /// Nothing.
    No,
}

impl Certificates {
    pub(super) fn load(rows: &[identity::Model]) -> Self {
        let mut live: Vec<Live> = rows.iter().filter_map(Live::of).collect();
        live.shrink_to_fit();
        Self { live }
    }

    /// What a certificate is to the device channel with this row.
    pub(super) fn known(&self, fingerprint: Fingerprint, enrollment: i64) -> Known {
        match self.live.iter().find(|live| live.fingerprint == fingerprint && live.enrollment == enrollment) {
            Some(live) if live.bound => Known::Bound { renewal: live.renewal },
            Some(live) if live.renewal => Known::Renewal,
            _ => Known::No,
        }
    }

    fn adopt(&mut self, fingerprint: Fingerprint, enrollment: i64) {
        self.live.retain(|live| live.fingerprint == fingerprint || live.enrollment != enrollment);
        self.live.iter_mut().filter(|live| live.fingerprint == fingerprint).for_each(|live| live.bound = true);
    }
}

impl Live {
    fn of(row: &identity::Model) -> Option<Self> {
        let fingerprint = Fingerprint::from_bytes(row.fingerprint.as_slice().try_into().ok()?);
        let enrollment = row.enrollment_id?;
        Some(Self { fingerprint, enrollment, bound: row.state == identity::BOUND, renewal: row.renewal })
    }
}

impl Host {
    /// Makes sure that a certificate may speak for the device that a message names. A renewal that is seen for the first
    /// time takes the place of the older certificate, before anything else happens.
    pub(super) fn vouch(&mut self, sender: &Sender) -> Turn<()> {
        if let Some(why) = self.stale() {
            return at_once(Err(why));
        }
        if self.is_of_another_kind(&sender.channel) {
            return at_once(Err(ANOTHER_KIND));
        }
        let Some(device) = self.channels.iter().find(|channel| channel.id == sender.channel.device_id) else {
            return at_once(Err(Refusal::Forbidden("the certificate belongs to another device")));
        };
        self.vouch_for_row(sender.fingerprint, device.row)
    }

    /// The same for the device channel with this row.
    pub(super) fn vouch_for_row(&mut self, fingerprint: Fingerprint, device: i64) -> Turn<()> {
        match self.certificates.known(fingerprint, device) {
            Known::Bound { .. } => at_once(Ok(())),
            Known::Renewal => self.adopt_certificate(fingerprint, device),
            Known::No => self.look_for_renewal(fingerprint, device),
        }
    }

    /// Whether a name that this host knows is used with another kind of enrollment: a personal device that speaks as a
    /// managed one, for example, would be sent what is not for it.
    pub(super) fn is_of_another_kind(&self, named: &apple::channel::Channel) -> bool {
        self.channels.iter().any(|known| {
            (known.id == named.id && known.kind != named.kind)
                || (known.id == named.device_id && known.kind != named.kind.of_device())
        })
    }

    /// A certificate that was issued after this actor had read its rows.
    fn look_for_renewal(&mut self, fingerprint: Fingerprint, device: i64) -> Turn<()> {
        let reader = self.parts.reader.clone();
        let looking = async move { identity::by_fingerprint(&reader, fingerprint.as_bytes().to_vec()).await };
        Box::pin(looking.into_actor(self).then(move |found, host, _| match found {
            Ok(Some(row)) if row.renewal && row.enrollment_id == Some(device) && row.state == identity::ISSUED => {
                host.certificates.live.extend(Live::of(&row));
                host.adopt_certificate(fingerprint, device)
            }
            Ok(_) => at_once(Err(Refusal::Forbidden("the certificate is not this enrollment's"))),
            Err(error) => at_once(Err(Refusal::soon(error))),
        }))
    }

    fn adopt_certificate(&mut self, fingerprint: Fingerprint, device: i64) -> Turn<()> {
        let (writer, now) = (self.parts.writer.clone(), self.now().millis());
        let adopting = async move { identity::adopt(&writer, fingerprint.as_bytes().to_vec(), device, now).await };
        Box::pin(adopting.into_actor(self).map(move |adopted, host, context| {
            host.settle(adopted, context)?;
            host.certificates.adopt(fingerprint, device);
            tracing::info!(host.id = host.id.0, "the device uses its renewed certificate");
            Ok(())
        }))
    }
}
