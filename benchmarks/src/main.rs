//! Benchmarks against peers. Run by `cargo xtask bench <domain>`.
//!
//! Our implementation and the peer do the same work in one process, in alternating rounds. The report compares medians and
//! shows the spread. A benchmark panics if any of its work fails.

mod allocations;
mod breaker;
mod http;
mod kafka;
mod measure;
mod report;

use clap::{Parser, ValueEnum};

use crate::measure::Rounds;

/// Benchmarks against peers.
#[derive(Debug, Parser)]
struct Arguments {
    /// The domain.
    domain: Domain,
    /// The number of alternating rounds, at least 5.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u16).range(5..=101))]
    rounds: u16,
    /// Only this part of the domain `http`: `null`, `speed`, `http2`, `latency`, `websocket`, `hostile`, `bombs`, `streams`; or of
    /// the domain `kafka`: `memory`, `broker`.
    #[arg(long)]
    part: Option<String>,
    /// Does one piece of work, and prints the resources that it used as JSON, for the parent process.
    #[arg(long, hide = true)]
    child: Option<String>,
    /// Prints the rows as JSON on the last line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Domain {
    Http,
    Breaker,
    Kafka,
}

fn main() {
    let arguments = Arguments::parse();
    if let Some(work) = &arguments.child {
        return http::child(work);
    }
    let rounds = Rounds(arguments.rounds.into());
    let rows = match arguments.domain {
        Domain::Http => http::run(rounds, arguments.part.as_deref()),
        Domain::Breaker => breaker::run(rounds),
        Domain::Kafka => kafka::run(rounds, arguments.part.as_deref()),
    };
    report::print(&rows);
    if matches!(arguments.domain, Domain::Breaker) {
        println!("\n{}", breaker::pitfalls());
    }
    if arguments.json {
        report::print_json(&rows);
    }
}
