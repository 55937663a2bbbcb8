//! Everything that a device or an admin can see, through real HTTPS, against a server in this process.

mod app;
mod apple_commands;
mod apple_enroll;
mod hostile;
mod postgres;
mod push;
mod world;
