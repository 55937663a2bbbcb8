//! demo stub
use std::process::ExitCode;
/// Options.
#[derive(Debug, clap::Args)]
pub struct Options {}
/// Main.
pub fn main(_: Options) -> ExitCode {
    ExitCode::SUCCESS
}
