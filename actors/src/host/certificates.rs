//! Which certificates may speak for a host: the one that is bound to its enrollment, and renewals of it that were
//! issued but not yet used. A renewal becomes the only one the first time it is used.

use actix::prelude::*;
use entities::identity;
use protocol::pki::Fingerprint;

use super::{Host, Sender, Turn, at_once};
use crate::ask::Refusal;

/// The live certificates of a host's device channel.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    live: Vec<Live>,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    fingerprint: Fingerprint,
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

    pub(super) fn known(&self, fingerprint: Fingerprint) -> Known {
        match self.live.iter().find(|live| live.fingerprint == fingerprint) {
            Some(live) if live.bound => Known::Bound { renewal: live.renewal },
            Some(live) if live.renewal => Known::Renewal,
            _ => Known::No,
        }
    }

    fn adopt(&mut self, fingerprint: Fingerprint) {
        self.live.retain(|live| live.fingerprint == fingerprint);
        self.live.iter_mut().for_each(|live| live.bound = true);
    }
}

impl Live {
    fn of(row: &identity::Model) -> Option<Self> {
        let fingerprint = Fingerprint::from_bytes(row.fingerprint.as_slice().try_into().ok()?);
        Some(Self { fingerprint, bound: row.state == identity::BOUND, renewal: row.renewal })
    }
}

impl Host {
    /// Makes sure that a certificate may speak for the device that a message names. A renewal that is seen for the first
    /// time takes the place of the older certificate, before anything else happens.
    pub(super) fn vouch(&mut self, sender: &Sender) -> Turn<()> {
        if let Some(why) = self.stale() {
            return at_once(Err(why));
        }
        let Some(device) = self.channels.iter().find(|channel| channel.id == sender.channel.device_id) else {
            return at_once(Err(Refusal::Forbidden("the certificate belongs to another device")));
        };
        let (device, fingerprint) = (device.row, sender.fingerprint);
        match self.certificates.known(fingerprint) {
            Known::Bound { .. } => at_once(Ok(())),
            Known::Renewal => self.adopt_certificate(fingerprint, device),
            Known::No => self.look_for_renewal(fingerprint, device),
        }
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
            host.certificates.adopt(fingerprint);
            tracing::info!(host.id = host.id.0, "the device uses its renewed certificate");
            Ok(())
        }))
    }
}
