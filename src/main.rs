//! The binary: reads the command line and hands over.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    solgik::cli::run(solgik::cli::Cli::parse())
}
