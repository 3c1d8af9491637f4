//! Commands for the development of the project: `cargo xtask api`, `bench`, `conformance`, `live` and `package`.

mod api;
mod bench;
mod conformance;
#[cfg(test)]
mod guide;
mod live;
mod mutants;
mod package;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Commands for the development of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compares the public API of each publishable crate with its listing in `docs/api`.
    Api(api::Arguments),
    /// Runs the benchmarks of a domain, and compares the results with peers.
    Bench(bench::Arguments),
    /// Runs every conformance suite against every implementation.
    Conformance(conformance::Arguments),
    /// Starts real servers, runs the same cases against them, and stops them; checks the conformance page in a browser.
    Live(live::Arguments),
    /// Changes the core of each domain in many small ways, and lists the changes that no test notices.
    Mutants(mutants::Arguments),
    /// Packages each publishable crate, and builds it from its package.
    Package,
}

fn main() -> ExitCode {
    if let Some(rustdoc) = std::env::var_os(api::RUSTDOC) {
        return api::run_rustdoc(&rustdoc);
    }
    let result = match Arguments::parse().command {
        Command::Api(arguments) => api::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Conformance(arguments) => conformance::run(&arguments),
        Command::Live(arguments) => live::run(&arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Package => package::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// An error is a message for the user.
type Result<T> = std::result::Result<T, String>;
