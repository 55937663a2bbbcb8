//! When things happen: the supervision tree, the host actors, and the singletons beside them.
//!
//! Never here: HTTP, SQL, wire formats. The edge asks ([`ask`]); a host asks nobody, it tells; rows are written through
//! `entities::Writer` and nowhere else.
//!
//! Start with [`tree`] (everything that runs), then [`host::report`] (one whole turn), then [`hosts`] (how a message finds its
//! host) and [`supervisor`] (what happens when something dies).

pub mod agents;
pub mod apns;
pub mod ask;
pub mod authority;
pub mod brakes;
pub mod clock;
pub mod dep;
pub mod digests;
pub mod dispatcher;
pub mod egress;
pub mod fault;
pub mod feed;
mod generations;
pub mod host;
pub mod hosts;
pub mod housekeeping;
pub mod inspector;
pub mod keeper;
pub mod locksmith;
pub mod mailer;
mod nonce;
pub mod notary;
pub mod people;
pub mod profiles;
pub mod pusher;
pub mod registrar;
pub mod seen;
pub mod setup_experience;
mod singleton;
pub mod steward;
pub mod supervisor;
pub mod tree;
pub mod trust;
pub mod webhooks;

/// The directory of host actors.
pub type Hosts = hosts::Hosts<host::Host>;
