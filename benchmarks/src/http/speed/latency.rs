//! Percentiles of the latency over HTTP/1.1 with 64 requests in flight, compared with raw reqwest.
//!
//! A percentile of one round depends on what else the machine did, so the ratio is the median of the ratios of neighboring rounds.

use networking_impls::http::{HyperTransport, TransportConfig};

use super::super::server;
use super::{Load, Round, raw_reqwest, runtime};
use crate::measure::{Rounds, Samples, in_turn, percentile_micros};
use crate::report::{Better, Row};

const CALLS: usize = 12_000;
const IN_FLIGHT: usize = 64;
const PERCENTILES: [(f64, &str, Option<f64>); 3] = [
    (50.0, "us p50", None),
    (99.0, "us p99", Some(1.0)),
    (99.9, "us p99.9", None),
];

/// The median, the 99th and the 99.9th percentile.
pub(crate) fn rows(rounds: Rounds) -> Vec<Row> {
    let address = server::serve();
    let runtime = runtime();
    let raw = raw_reqwest();
    let ours = HyperTransport::new(TransportConfig::default()).expect("the defaults are valid");
    let mut rows = Vec::new();
    for (size, name) in [(0, "0 B"), (1 << 10, "1 KiB")] {
        let load = Load {
            url: format!("http://{address}/{size}"),
            upload: None,
            size,
            calls: CALLS,
            in_flight: IN_FLIGHT,
        };
        let measured: Vec<Vec<Round>> = in_turn(
            rounds,
            &mut [&mut || load.through_reqwest(&runtime, &raw), &mut || {
                load.through_client(&runtime, &ours)
            }],
        );
        let work = format!("latency over HTTP/1.1, {name} body, {IN_FLIGHT} in flight");
        for (percentile, unit, goal) in PERCENTILES {
            let [theirs, ours] = [0, 1].map(|side: usize| {
                Samples::figure(&measured[side], |round| percentile_micros(&round.latencies, percentile))
            });
            rows.push(Row::in_pairs(
                &work,
                unit,
                Better::Lower,
                "raw reqwest",
                (&ours, &theirs),
                goal,
            ));
        }
    }
    rows
}
