//! `cargo xtask live [domain]`: real servers, started and stopped by the command, and the same cases against them.

mod http;
mod kafka;
mod process;

use std::io::Read;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::Result;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The domain; all of them without it.
    domain: Option<Domain>,
    /// Start the servers, print where they are, and wait for the end of standard input before stopping them.
    #[arg(long, requires = "domain")]
    hold: bool,
    /// Deliveries for the quickstart over Kafka, one JSON object a line; its own sample without it.
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
