//! `cargo xtask live [domain]`: starts real servers, runs the same cases against them, and stops them.

mod http;
mod kafka;
mod process;

use std::io::Read;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::Result;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The domain; defaults to all domains.
    domain: Option<Domain>,
    /// Start the servers, print their addresses, and stop them at the end of standard input.
    #[arg(long, requires = "domain")]
    hold: bool,
    /// Deliveries for the quickstart over Kafka, one JSON object per line; defaults to the quickstart's sample.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Domain {
    Http,
    Kafka,
}

/// Runs the live tier of a domain, or of all.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    process::stop_on_interrupt()?;
    let domains = match arguments.domain {
        Some(domain) => vec![domain],
        None => vec![Domain::Http, Domain::Kafka],
    };
    for domain in domains {
        match domain {
            Domain::Http => http::run(arguments.hold)?,
            Domain::Kafka => kafka::run(arguments.hold, arguments.input.as_deref())?,
        }
    }
    Ok(())
}

/// Waits for the end of standard input.
fn hold() -> Result<()> {
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .map(|_| ())
        .map_err(|error| error.to_string())
}
