//! `cargo xtask live [part]`: starts real servers, runs the same cases against them, and stops them; checks the conformance
//! page in a browser.

mod http;
pub(crate) mod kafka;
mod matrix;
pub(crate) mod process;

use std::io::Read;
use std::path::PathBuf;

use clap::ValueEnum;

use crate::Result;

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The part; defaults to all parts.
    #[arg(value_name = "PART")]
    part: Option<Part>,
    /// Start the servers, print their addresses, and stop them at the end of standard input.
    #[arg(long, requires = "part")]
    hold: bool,
    /// Deliveries for the quickstart over Kafka, one JSON object per line; defaults to the quickstart's sample.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// HTTP servers, proxies and authorization servers.
    Http,
    /// Apache Kafka.
    Kafka,
    /// The page of `cargo xtask conformance`, in headless Chromium.
    Matrix,
}

/// Runs a part of the live tier, or all.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    process::stop_on_interrupt()?;
    let parts = match arguments.part {
        Some(Part::Matrix) if arguments.hold => return Err("--hold: the part matrix has no servers".to_owned()),
        Some(part) => vec![part],
        None => vec![Part::Matrix, Part::Http, Part::Kafka],
    };
    for part in parts {
        match part {
            Part::Http => http::run(arguments.hold)?,
            Part::Kafka => kafka::run(arguments.hold, arguments.input.as_deref())?,
            Part::Matrix => matrix::run()?,
        }
    }
    Ok(())
}

/// Waits for the end of standard input.
fn hold() -> Result<()> {
    eprintln!("running until the end of standard input (Ctrl-D)");
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .map(|_| ())
        .map_err(|error| error.to_string())
}
