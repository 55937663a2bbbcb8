//! Commands that the server makes itself: leave, erase yourself, come so often.

use super::command::{Command, CommandError, Operation, Verb};
use super::message::Item;
use crate::ids::CommandUuid;
use crate::windows::PROVIDER_ID;

impl Command {
    /// Ends the device's management by this server (DMClient CSP, `Unenroll`). The device gives no `Status`.
    ///
    /// # Errors
    /// The name is none.
    pub fn unenroll(uuid: CommandUuid) -> Result<Self, CommandError> {
        let target = format!("./Device/Vendor/MSFT/DMClient/Provider/{PROVIDER_ID}/Unenroll");
        Self::one(uuid, Verb::Exec, Item::of(target, "chr", PROVIDER_ID))
    }

    /// Erases the device (RemoteWipe CSP); `how` is the node, for example `doWipeProtected`.
    ///
    /// # Errors
    /// The name is none.
    pub fn wipe(uuid: CommandUuid, how: &str) -> Result<Self, CommandError> {
        Self::one(uuid, Verb::Exec, Item::of(format!("./Device/Vendor/MSFT/RemoteWipe/{how}"), "chr", ""))
    }

    /// Reads nodes.
    ///
    /// # Errors
    /// The name is none, or there are no nodes or too many.
    pub fn get(uuid: CommandUuid, nodes: impl IntoIterator<Item = String>) -> Result<Self, CommandError> {
        let item = |node| Item { target: Some(node), ..Item::default() };
        let gets = nodes.into_iter().map(|node| Operation::on(Verb::Get, vec![item(node)]));
        Self::new(uuid, gets.collect())
    }

    /// Tells the device how often it asks for work.
    ///
    /// # Errors
    /// The name is none.
    pub fn poll(uuid: CommandUuid, minutes: i32) -> Result<Self, CommandError> {
        let target = format!("./Device/Vendor/MSFT/DMClient/Provider/{PROVIDER_ID}/Poll/IntervalForFirstSetOfRetries");
        Self::one(uuid, Verb::Replace, Item::of(target, "int", &minutes.to_string()))
    }
}
