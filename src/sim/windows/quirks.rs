//! What real PCs do and no specification says: each of these happens in the field.

use crate::sim::random::Chance;

/// The peculiarities of one PC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// What it calls the enrollment protocol's version; Windows 11 25H2 says 9.0.
    pub request_version: &'static str,
    /// Whether its values have white space around them.
    pub padded: bool,
    /// Whether it says some context items twice.
    pub repeats_items: bool,
    /// What it adds to the management address.
    pub query: &'static str,
    /// How it names its sessions.
    pub session_ids: SessionIds,
    /// Where `Final` stands in its messages.
    pub final_place: FinalPlace,
    /// Whether its SyncML messages have a `Content-Type`.
    pub content_type: bool,
    /// Whether it writes values as CDATA.
    pub cdata: bool,
    /// Whether it answers a command of several items with a status for each.
    pub status_per_item: bool,
    /// Whether it counts on when it repeats a message with credentials.
    pub raises_msg_id: bool,
}

/// How sessions are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionIds {
    /// Hexadecimal numbers that grow.
    Growing,
    /// Always `0`.
    Zero,
    /// The same number for two sessions after each other.
    Repeated,
}

/// Where `Final` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalPlace {
    /// At the end, as it should.
    Last,
    /// Before everything else in a session's first message, and nowhere in the others.
    First,
    /// Nowhere.
    Missing,
}

impl Quirks {
    /// A PC without any.
    pub const fn none() -> Self {
        Self {
            request_version: "5.0",
            padded: false,
            repeats_items: false,
            query: "",
            session_ids: SessionIds::Growing,
            final_place: FinalPlace::Last,
            content_type: true,
            cdata: false,
            status_per_item: false,
            raises_msg_id: false,
        }
    }

    /// Some of them.
    pub fn some(chance: &mut Chance) -> Self {
        Self {
            request_version: ["4.0", "5.0", "6.0", "9.0"][chance.below(4) as usize],
            padded: chance.happens(0.3),
            repeats_items: chance.happens(0.3),
            query: ["", "", "?mode=Maintenance&Platform=WoA"][chance.below(3) as usize],
            session_ids: *chance.pick(&[
                SessionIds::Growing,
                SessionIds::Growing,
                SessionIds::Zero,
                SessionIds::Repeated,
            ]),
            final_place: *chance.pick(&[FinalPlace::Last, FinalPlace::Last, FinalPlace::First, FinalPlace::Missing]),
            content_type: chance.happens(0.8),
            cdata: chance.happens(0.3),
            status_per_item: chance.happens(0.5),
            raises_msg_id: chance.happens(0.3),
        }
    }
}
