//! What Apple devices say and are told: property lists, check-in messages, command reports, commands, profiles,
//! declarations, pushes; and what Apple's device assignment service says of devices that have not come yet.
//!
//! Never here: sockets, a clock, a database, certificates and signatures (see [`pki`](crate::pki)), and any decision about
//! what follows from a message. Everything that reads foreign bytes takes a limit and returns a typed error.
//!
//! Start with [`message`] (what a device sends), then [`command`] (what it is sent), then [`enrollment_profile`] (how it all
//! begins), and [`dep`] (how Apple sends new devices here).

pub mod channel;
pub mod check_in;
pub mod command;
pub mod command_keys;
pub mod declarative;
pub mod dep;
pub mod enrollment_profile;
pub mod fields;
pub mod json;
pub mod lock;
pub mod message;
pub mod os_updates;
pub mod platform;
pub mod plist;
pub mod profile;
pub mod profile_report;
pub mod push;
pub mod redact;
pub mod refusal;
pub mod report;
pub mod request_types;
pub mod secret;
pub mod strict_json;
pub mod uploaded_declaration;
pub mod uploaded_profile;
