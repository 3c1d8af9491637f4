//! `cargo xtask live [domain]`: real servers, started and stopped by the command, and the same cases against them.

mod kafka;
mod process;

use clap::ValueEnum;

use crate::Result;

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The domain; all of them without it.
    domain: Option<Domain>,
    /// Start the servers, print where they are, and wait for the end of standard input before stopping them.
    #[arg(long)]
    hold: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Domain {
    Kafka,
}

/// Runs the live tier of a domain, or of all.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let domains = match arguments.domain {
        Some(domain) => vec![domain],
        None => vec![Domain::Kafka],
    };
    for domain in domains {
        match domain {
            Domain::Kafka => kafka::run(arguments.hold)?,
        }
    }
    Ok(())
}
