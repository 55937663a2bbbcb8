//! Who sent a message: the channel, and the enrollment id that names it.
//!
//! The ids and the names of the kinds are NanoMDM's, so that its tools and databases keep working. Never here: whether the
//! sender really is who it says. That is decided by its certificate.
//!
//! Start with [`Channel::of`].

use std::fmt;

use super::fields::{FieldError, Fields, MAX_ID_CHARS};
use super::plist::Dictionary;

/// What every user of a Shared iPad sends as `UserID`; the user is named by `UserShortName` instead.
const SHARED_IPAD_USER_ID: &str = "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF";

/// The kind of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChannelKind {
    /// The device channel of a device that is enrolled as a whole.
    Device,
    /// A user of a Mac.
    User,
    /// A user of a Shared iPad.
    SharedIpad,
    /// The device channel of a personal device (User Enrollment).
    UserEnrollmentDevice,
    /// The user of a personal Mac (User Enrollment).
    UserEnrollment,
    /// A Windows device. NanoMDM knows none; the name of the channel is the number that this server gave its enrollment.
    Windows,
}

/// The name of a channel as NanoMDM writes it: `UDID`, `UDID:UserID`, `UDID:UserShortName` (Shared iPad),
/// `EnrollmentID` or `EnrollmentID:EnrollmentUserID`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnrollmentId(String);

/// What a user channel tells of its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelUser {
    /// `UserID` or, in User Enrollment, `EnrollmentUserID`.
    pub id: String,
    /// `UserShortName`: the account name, on a Shared iPad the Managed Apple Account.
    pub short_name: Option<String>,
    /// `UserLongName`: the full name.
    pub long_name: Option<String>,
}

/// The sender of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// What the sender is.
    pub kind: ChannelKind,
    /// The sender's name.
    pub id: EnrollmentId,
    /// The name of the device channel that the sender belongs to; equal to `id` on a device channel.
    pub device_id: EnrollmentId,
    /// The user, on a user channel.
    pub user: Option<ChannelUser>,
}

impl ChannelKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::Device, Self::User, Self::SharedIpad, Self::UserEnrollmentDevice, Self::UserEnrollment, Self::Windows];

    /// NanoMDM's name of the kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Device => "Device",
            Self::User => "User",
            Self::SharedIpad => "Shared iPad",
            Self::UserEnrollmentDevice => "User Enrollment (Device)",
            Self::UserEnrollment => "User Enrollment",
            Self::Windows => "Windows",
        }
    }

    /// The number that stands for this kind in rows.
    pub const fn code(self) -> i16 {
        match self {
            Self::Device => 0,
            Self::User => 1,
            Self::SharedIpad => 2,
            Self::UserEnrollmentDevice => 3,
            Self::UserEnrollment => 4,
            Self::Windows => 10,
        }
    }

    /// The kind that a row's number stands for.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Reads NanoMDM's name of a kind.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The kind of the device channel that a channel of this kind belongs to.
    pub const fn of_device(self) -> Self {
        match self {
            Self::Device | Self::User | Self::SharedIpad => Self::Device,
            Self::UserEnrollmentDevice | Self::UserEnrollment => Self::UserEnrollmentDevice,
            Self::Windows => Self::Windows,
        }
    }

    /// Whether this is the channel of a user rather than of a device.
    pub const fn is_user(self) -> bool {
        matches!(self, Self::User | Self::SharedIpad | Self::UserEnrollment)
    }
}

impl EnrollmentId {
    /// Reads an id that an API caller wrote. `None` when it is empty, longer than two ids and a colon, or holds a control
    /// character.
    pub fn parse(text: &str) -> Option<Self> {
        let sound =
            !text.is_empty() && text.chars().nth(2 * MAX_ID_CHARS + 1).is_none() && !text.contains(char::is_control);
        sound.then(|| Self(text.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of the device channel: the part before the first colon.
    pub fn device(&self) -> Self {
        Self(self.0.split(':').next().unwrap_or_default().to_owned())
    }

    /// The id of a device channel. It holds no colon, or it could take the name of a user channel.
    fn of_device(key: &'static str, id: &str) -> Result<Self, FieldError> {
        if id.contains(':') { Err(FieldError::BadCharacter(key)) } else { Ok(Self(id.to_owned())) }
    }

    fn of_user(&self, user: &str) -> Self {
        Self(format!("{}:{user}", self.0))
    }
}

impl fmt::Display for EnrollmentId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Channel {
    /// Reads who sent the message with these entries (Apple, "Authenticate", "TokenUpdate" and the command responses).
    ///
    /// # Errors
    /// No id, an id of the wrong type, longer than 255 characters, with a control character, or a device id with a colon.
    pub fn of(message: &Dictionary) -> Result<Self, FieldError> {
        let fields = Fields::new(message);
        if let Some(udid) = fields.id("UDID")? {
            let device_id = EnrollmentId::of_device("UDID", udid)?;
            return match fields.id("UserID")? {
                None => Ok(Self::device(ChannelKind::Device, device_id)),
                Some(SHARED_IPAD_USER_ID) => {
                    let name = fields.id("UserShortName")?.ok_or(FieldError::Missing("UserShortName"))?;
                    let user = ChannelUser::of(fields, SHARED_IPAD_USER_ID)?;
                    Ok(Self::user(ChannelKind::SharedIpad, device_id, name, user))
                }
                Some(id) => Ok(Self::user(ChannelKind::User, device_id, id, ChannelUser::of(fields, id)?)),
            };
        }
        let id = fields.id("EnrollmentID")?.ok_or(FieldError::Missing("UDID"))?;
        let device_id = EnrollmentId::of_device("EnrollmentID", id)?;
        match fields.id("EnrollmentUserID")? {
            None => Ok(Self::device(ChannelKind::UserEnrollmentDevice, device_id)),
            Some(id) => Ok(Self::user(ChannelKind::UserEnrollment, device_id, id, ChannelUser::of(fields, id)?)),
        }
    }

    fn device(kind: ChannelKind, id: EnrollmentId) -> Self {
        Self { kind, id: id.clone(), device_id: id, user: None }
    }

    fn user(kind: ChannelKind, device_id: EnrollmentId, name: &str, user: ChannelUser) -> Self {
        Self { kind, id: device_id.of_user(name), device_id, user: Some(user) }
    }
}

impl ChannelUser {
    fn of(fields: Fields<'_>, id: &str) -> Result<Self, FieldError> {
        Ok(Self {
            id: id.to_owned(),
            short_name: fields.id("UserShortName")?.map(str::to_owned),
            long_name: fields.id("UserLongName")?.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entries<'a> = [(&'a str, &'a str)];

    fn channel(entries: &Entries<'_>) -> Result<Channel, FieldError> {
        Channel::of(
            &entries.iter().map(|(key, text)| ((*key).to_owned(), crate::apple::plist::Value::from(*text))).collect(),
        )
    }

    #[test]
    fn every_kind_has_the_id_and_the_name_that_nanomdm_gives_it() {
        let cases: [(&Entries<'_>, &str, &str, &str); 6] = [
            (&[("UDID", "D")], "Device", "D", "D"),
            (&[("UDID", "D"), ("UserID", "U"), ("UserShortName", "ann")], "User", "D:U", "D"),
            (
                &[("UDID", "D"), ("UserID", SHARED_IPAD_USER_ID), ("UserShortName", "ann@example.com")],
                "Shared iPad",
                "D:ann@example.com",
                "D",
            ),
            (&[("EnrollmentID", "E")], "User Enrollment (Device)", "E", "E"),
            (&[("EnrollmentID", "E"), ("EnrollmentUserID", "U")], "User Enrollment", "E:U", "E"),
            (&[("UDID", "D"), ("UserID", ""), ("EnrollmentID", "E")], "Device", "D", "D"),
        ];
        for (entries, kind, id, device_id) in cases {
            let channel = channel(entries).unwrap();
            assert_eq!(channel.kind.as_str(), kind);
            assert_eq!(channel.id.as_str(), id);
            assert_eq!(channel.device_id.as_str(), device_id);
            assert_eq!(channel.id.device(), channel.device_id);
            assert_eq!(channel.user.is_some(), channel.kind.is_user());
            assert_eq!(ChannelKind::parse(kind), Some(channel.kind));
            assert_eq!(channel.kind.of_device() == channel.kind, channel.id == channel.device_id);
        }
    }

    #[test]
    fn a_message_without_an_id_is_refused() {
        assert_eq!(channel(&[]), Err(FieldError::Missing("UDID")));
        assert_eq!(channel(&[("UserID", "U")]), Err(FieldError::Missing("UDID")));
        assert_eq!(channel(&[("UDID", ""), ("EnrollmentID", "")]), Err(FieldError::Missing("UDID")));
        let nameless = channel(&[("UDID", "D"), ("UserID", SHARED_IPAD_USER_ID)]);
        assert_eq!(nameless, Err(FieldError::Missing("UserShortName")));
    }

    #[test]
    fn a_device_cannot_take_the_name_of_a_user_channel() {
        assert_eq!(channel(&[("UDID", "D:U")]), Err(FieldError::BadCharacter("UDID")));
        assert_eq!(channel(&[("EnrollmentID", "E:U")]), Err(FieldError::BadCharacter("EnrollmentID")));
    }

    #[test]
    fn ids_are_bounded_and_free_of_control_characters() {
        assert!(matches!(channel(&[("UDID", &"D".repeat(256))]), Err(FieldError::TooLong { key: "UDID", .. })));
        let newline = channel(&[("UDID", "D"), ("UserID", "U"), ("UserLongName", "a\nb")]);
        assert_eq!(newline, Err(FieldError::BadCharacter("UserLongName")));
        assert!(EnrollmentId::parse(&"x".repeat(511)).is_some());
        assert!(EnrollmentId::parse(&"x".repeat(512)).is_none());
        assert!(EnrollmentId::parse("a\u{0}b").is_none() && EnrollmentId::parse("").is_none());
    }
}
