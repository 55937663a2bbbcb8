//! Everything that a device or an admin can see, through real HTTPS, against a server in this process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod activities;
mod agent_bridge;
mod agent_client;
mod agent_profiles;
mod agents;
mod app;
mod apple_commands;
mod apple_enroll;
mod audit;
mod brakes;
mod command_forms;
mod command_order;
mod conformance;
mod crash_hosts;
mod crash_singletons;
mod declarations;
mod declarations_random;
mod enroll_sign_in;
mod first_contact;
mod first_week;
mod gitops;
mod host_lock;
mod hostile;
mod killed;
mod long_queues;
mod os_updates;
mod people;
mod permissions;
mod postbox;
mod postgres;
mod process;
mod profiles_api;
mod profiles_delivery;
mod push;
mod receiver;
mod restored;
mod rotated;
#[cfg(feature = "saml")]
mod saml;
mod scim;
mod secrets;
mod sso;
mod teams;
mod watching;
mod webhooks;
mod windows_agent;
mod windows_client;
mod windows_enroll;
mod windows_entra;
mod windows_pages;
mod windows_profiles;
mod windows_renew;
mod windows_session;
mod world;
