//! The project's own commands: `cargo xtask bench`, `cargo xtask conformance`, `cargo xtask live`.

mod bench;
mod conformance;
mod live;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measures ours and the peer in one run, as ratios.
    Bench(bench::Arguments),
    /// Runs every conformance suite against every implementation.
    Conformance(conformance::Arguments),
    /// Starts real servers, runs the same cases against them, and stops them.
    Live(live::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Live(arguments) => live::run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// A failure is a message for a person.
type Result<T> = std::result::Result<T, String>;
