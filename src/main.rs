//! The `rookery` program: see `rookery --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rookery::cli::main()
}
