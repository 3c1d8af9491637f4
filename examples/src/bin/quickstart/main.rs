//! The whole pipeline in one program. An HTTP client with retries and a circuit breaker posts GitHub webhook deliveries to an
//! HTTP listener. A bridge verifies their signatures and routes them to Kafka topics. A consumer reads the topics and verifies
//! every payload byte for byte.
//!
//! ```sh
//! cargo run --release -p networking-examples --bin quickstart
//! cargo run --release -p networking-examples --features kafka --bin quickstart -- --kafka 127.0.0.1:9092
//! ```
//!
//! It needs no feature: Kafka runs in this process. A real cluster (`--kafka`) needs the feature `kafka`, which compiles
//! librdkafka.

mod deliveries;
mod pipeline;
mod report;
mod sender;
mod verifier;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use networking_spi::NetworkError;

use crate::deliveries::Deliveries;

/// Sends GitHub webhook deliveries through the whole pipeline, and verifies them at its end.
#[derive(Debug, Parser)]
#[command(name = "quickstart")]
struct Arguments {
    /// A file of deliveries, one `{"event": ..., "payload": ...}` per line; defaults to a small sample.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Bootstrap servers of a real Kafka cluster (needs the feature `kafka`); without it, Kafka runs in this process.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,

    /// The share of requests that the listener answers with 503, at random. Shows retries and the circuit breaker.
    #[arg(long, value_name = "0.0..0.9", default_value_t = 0.0, value_parser = parse_share)]
    fail_rate: f64,

    /// The number of extra deliveries with a wrong signature. They are answered with 401 and never reach Kafka.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    forge: usize,

    /// The seed of the injected faults and of the circuit breaker.
    #[arg(long, default_value_t = 42)]
    seed: u64,

    /// The maximum number of concurrent deliveries.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: u16,

    /// Prints the result as JSON on the last line.
    #[arg(long)]
    json: bool,
}

fn parse_share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=0.9).contains(&share) => Ok(share),
        _ => Err("must be a number between 0.0 and 0.9".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let deliveries = match Deliveries::read(arguments.input.as_deref()) {
        Ok(deliveries) => deliveries,
        Err(message) => {
            eprintln!("error: {message}");
            return ExitCode::from(2);
        }
    };
    for problem in &deliveries.problems {
        eprintln!("warning: {problem}");
    }
    match run(&arguments, deliveries).await {
        Ok(complete) => ExitCode::from(u8::from(!complete)),
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                eprintln!("  caused by: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Runs the pipeline. Returns whether every valid delivery arrived and every line was valid.
async fn run(arguments: &Arguments, deliveries: Deliveries) -> Result<bool, NetworkError> {
    let bad_lines = deliveries.problems.len();
    let pipeline = pipeline::Pipeline::start(arguments).await?;
    let sent = sender::send_all(arguments, &pipeline, &deliveries).await;
    // The bridge is drained even if sending failed, and before the topics are read.
    let flow = pipeline.drain().await?;
    let sent = sent?;
    let arrived = verifier::verify(&pipeline, &sent).await?;
    pipeline.clean_up().await?;

    let summary = report::Summary::new(&sent, &arrived, &flow, bad_lines);
    report::print(&summary, arguments.json);
    Ok(summary.is_complete())
}
