//! The results: tables for people, JSON for programs.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::pipeline::Flow;
use crate::sender::Sent;
use crate::verifier::Arrived;

/// The counts of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    sent: usize,
    delivered: usize,
    verified: usize,
    rejected: usize,
    dead_lettered: usize,
    retries: u64,
    breaker_transitions: usize,
    topics: BTreeMap<String, usize>,
    duplicates: usize,
    lost: usize,
    damaged: usize,
    unknown: usize,
    given_up: usize,
    invalid_lines: usize,
    injected_failures: u64,
    #[serde(skip)]
    problems: Vec<String>,
}

impl Summary {
    pub(crate) fn new(sent: &Sent, arrived: &Arrived, flow: &Flow, invalid_lines: usize) -> Self {
        let mut problems: Vec<String> = sent
            .given_up
            .iter()
            .map(|(id, reason)| format!("{id} failed: {reason}"))
            .collect();
        problems.extend(
            arrived
                .lost
                .iter()
                .map(|id| format!("{id} was acknowledged, but did not arrive")),
        );
        problems.extend(
            arrived
                .damaged
                .iter()
                .map(|id| format!("{id} arrived with another payload")),
        );
        Self {
            sent: sent.total(),
            delivered: sent.accepted.len(),
            verified: arrived.verified,
            rejected: sent.rejected,
            dead_lettered: arrived.dead_lettered,
            retries: sent.retries,
            breaker_transitions: sent.breaker_transitions,
            topics: arrived.topics.clone(),
            duplicates: arrived.duplicates,
            lost: arrived.lost.len(),
            damaged: arrived.damaged.len(),
            unknown: arrived.unknown,
            given_up: sent.given_up.len(),
            invalid_lines,
            injected_failures: flow.injected_failures,
            problems,
        }
    }

    /// Whether no delivery failed, all acknowledged deliveries arrived unchanged, no others arrived, and every line of the
    /// input was valid.
    pub(crate) fn is_complete(&self) -> bool {
        self.verified == self.delivered && self.given_up == 0 && self.unknown == 0 && self.invalid_lines == 0
    }
}

/// Prints the tables, the problems, and with `json` the counts as JSON on the last line.
pub(crate) fn print(summary: &Summary, json: bool) {
    println!("{:<34} {:>9}", "deliveries and events", "count");
    for (what, count) in [
        ("deliveries sent", summary.sent as u64),
        ("answered with 2xx", summary.delivered as u64),
        ("verified byte for byte", summary.verified as u64),
        ("rejected for their signature", summary.rejected as u64),
        ("in the dead-letter topic", summary.dead_lettered as u64),
        ("duplicates", summary.duplicates as u64),
        ("faults injected by the listener", summary.injected_failures),
        ("retries by the client", summary.retries),
        ("circuit breaker transitions", summary.breaker_transitions as u64),
    ] {
        println!("{what:<34} {count:>9}");
    }
    println!("\n{:<34} {:>9}", "topic", "records");
    for (topic, records) in &summary.topics {
        println!("{topic:<34} {records:>9}");
    }

    for problem in &summary.problems {
        eprintln!("error: {problem}");
    }
    if json {
        println!(
            "{}",
            serde_json::to_string(summary).expect("a summary has only numbers and names")
        );
    }
}
