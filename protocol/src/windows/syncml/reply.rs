//! The answer to a device's message. Its commands have unique `CmdID`s; whatever stands in it was written by [`Writer`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Header, METINF, NAMESPACE};
use crate::windows::xml::Writer;

/// What a device must prove itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// It sent no credentials (407).
    Missing,
    /// It sent wrong ones, or used ones (401).
    Wrong,
}

/// An answer that is being written.
#[derive(Clone, Debug)]
pub struct Reply {
    body: Writer,
    to: Header,
    next_id: u32,
    has_commands: bool,
}

impl Reply {
    /// The answer to a message that proved where it came from.
    pub fn accept(to: &Header) -> Self {
        let mut reply = Self::to(to);
        reply.status("0", "SyncHdr", 200);
        reply
    }

    /// The answer to a message that did not: what the device has to prove itself with. Nothing else stands in it.
    pub fn challenge(to: &Header, why: Challenge, nonce: &[u8]) -> String {
        let mut reply = Self::to(to);
        let code = match why {
            Challenge::Missing => 407,
            Challenge::Wrong => 401,
        };
        reply.write_status("0", "SyncHdr", code, Some(nonce));
        reply.finish()
    }

    fn to(header: &Header) -> Self {
        Self { body: Writer::new(), to: header.clone(), next_id: 1, has_commands: false }
    }

    /// Says how something that the device said was taken.
    pub fn status(&mut self, command_ref: &str, command: &str, code: u16) {
        self.write_status(command_ref, command, code, None);
    }

    /// Asks for the next chunk of a large object.
    pub fn ask_for_more(&mut self) {
        let id = self.id();
        self.body.element("Alert", &[], |alert| {
            alert.leaf("CmdID", &[], &id);
            alert.leaf("Data", &[], "1222");
        });
        self.has_commands = true;
    }

    /// Gives the device something to do: operations as [`Command`](super::Command) writes them.
    pub fn command(&mut self, xml: &str) {
        self.body.raw(xml);
        self.has_commands = true;
    }

    /// Asks what a node holds.
    pub fn get(&mut self, id: &str, target: &str) {
        self.body.element("Get", &[], |get| {
            get.leaf("CmdID", &[], id);
            get.element("Item", &[], |item| {
                item.element("Target", &[], |place| place.leaf("LocURI", &[], target));
            });
        });
        self.has_commands = true;
    }

    /// Whether it holds anything that the device answers; if not, the session ends with it.
    pub fn has_commands(&self) -> bool {
        self.has_commands
    }

    /// The document.
    pub fn finish(self) -> String {
        let Self { body, to, .. } = self;
        let mut out = Writer::new();
        out.element("SyncML", &[("xmlns", NAMESPACE)], |syncml| {
            syncml.element("SyncHdr", &[], |header| {
                header.leaf("VerDTD", &[], "1.2");
                header.leaf("VerProto", &[], "DM/1.2");
                header.leaf("SessionID", &[], &to.session_id);
                header.leaf("MsgID", &[], &to.message_id);
                header.element("Target", &[], |place| place.leaf("LocURI", &[], &to.source));
                header.element("Source", &[], |place| place.leaf("LocURI", &[], &to.target));
            });
            syncml.element("SyncBody", &[], |sync_body| {
                sync_body.raw(&body.finish());
                sync_body.empty("Final", &[]);
            });
        });
        out.finish()
    }

    fn id(&mut self) -> String {
        let id = self.next_id.to_string();
        self.next_id += 1;
        id
    }

    fn write_status(&mut self, command_ref: &str, command: &str, code: u16, nonce: Option<&[u8]>) {
        let (id, message_ref) = (self.id(), self.to.message_id.clone());
        self.body.element("Status", &[], |status| {
            status.leaf("CmdID", &[], &id);
            status.leaf("MsgRef", &[], &message_ref);
            status.leaf("CmdRef", &[], command_ref);
            status.leaf("Cmd", &[], command);
            if let Some(nonce) = nonce {
                status.element("Chal", &[], |challenge| {
                    challenge.element("Meta", &[], |meta| {
                        meta.leaf("Format", &[("xmlns", METINF)], "b64");
                        meta.leaf("Type", &[("xmlns", METINF)], "syncml:auth-md5");
                        meta.leaf("NextNonce", &[("xmlns", METINF)], &STANDARD.encode(nonce));
                    });
                });
            }
            status.leaf("Data", &[], &code.to_string());
        });
    }
}
