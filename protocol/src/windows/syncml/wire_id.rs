//! What an operation is called on the wire: after its command, so that what a device says of it can be told from what it says of others.

use std::fmt;

use super::command::{MAX_OPERATIONS, name};
use crate::ids::CommandUuid;

/// The `CmdID` of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WireId {
    /// The name of its command.
    pub uuid: CommandUuid,
    /// Its number in the command, from 0.
    pub index: usize,
    /// Whether it is a `Replace` that took the place of an `Add` whose node was there already.
    pub replaces: bool,
}

impl WireId {
    /// Reads a `CmdRef`; `None` when it cannot be one of a command.
    pub fn parse(text: &str) -> Option<Self> {
        let (uuid, number) = text.split_once('.').map_or((text, None), |(uuid, number)| (uuid, Some(number)));
        let replaces = number.is_some_and(|number| number.starts_with('r'));
        let index = match number {
            None => 0,
            Some(number) => number.trim_start_matches('r').parse().ok().filter(|index| *index < MAX_OPERATIONS)?,
        };
        Some(Self { uuid: name(uuid)?, index, replaces })
    }
}

impl fmt::Display for WireId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.index, self.replaces) {
            (0, false) => write!(out, "{}", self.uuid),
            (index, false) => write!(out, "{}.{index}", self.uuid),
            (index, true) => write!(out, "{}.r{index}", self.uuid),
        }
    }
}
