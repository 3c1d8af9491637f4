//! `cargo xtask bench <domain> [--json]`: builds and runs the benchmarks.

use clap::ValueEnum;

use crate::live::{kafka::Broker, process};
use crate::{Result, workspace};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The domain.
    domain: Domain,
    /// Only this part of the domain.
    #[arg(long)]
    part: Option<String>,
    /// Prints the rows as JSON on the last line.
    #[arg(long)]
    json: bool,
    /// The number of alternating rounds. Medians are compared.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Domain {
    Http,
    Breaker,
    Kafka,
}

/// Runs the benchmarks of a domain.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let domain = arguments
        .domain
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned());
    let mut command = workspace::cargo();
    command.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "networking-benchmarks",
        "--",
        &domain,
    ]);
    command.args(["--rounds", &arguments.rounds.to_string()]);
    if let Some(part) = &arguments.part {
        command.args(["--part", part]);
    }
    if arguments.json {
        command.arg("--json");
    }
    let needs_broker =
        arguments.domain == Domain::Kafka && arguments.part.as_deref().is_none_or(|part| part == "broker");
    if !needs_broker {
        return workspace::run(&mut command, "the benchmark");
    }
    process::stop_on_interrupt()?;
    let broker = Broker::start()?;
    command
        .env("KAFKA_BOOTSTRAP", &broker.bootstrap)
        .env("KAFKA_LIBRARIES", &broker.libraries);
    workspace::run(&mut command, "the benchmark")
}
