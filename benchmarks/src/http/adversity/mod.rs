//! Adverse conditions: a hostile server, compression bombs, and bodies of 1 GiB.

mod bomb;
// Not a dependency, because that crate enables tokio's `test-util`, which slows down `Instant::now` in every row.
#[path = "../../../../conformance/src/http/hostile/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "a module of another crate, only part of which is used here"
)]
mod hostile;
mod process;
mod storm;
mod streaming;

use crate::measure::Rounds;
use crate::report::Row;

/// The outcomes of requests to a hostile server.
pub(super) fn hostile(_: Rounds) -> Vec<Row> {
    storm::rows()
}

/// The memory that compression bombs take.
pub(super) fn bombs(_: Rounds) -> Vec<Row> {
    bomb::rows()
}

/// The speed of large streams, and the memory that they take.
pub(super) fn streams(rounds: Rounds) -> Vec<Row> {
    streaming::rows(rounds)
}

/// Does the work that the parent process asks for, and prints the resources that it used.
pub(crate) fn child(work: &str) {
    let mut words = work.split_whitespace();
    let (subject, url) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let used = match subject {
        "bomb" => bomb::child(url),
        "download-ours" => streaming::download_ours(url),
        "download-raw" => streaming::download_raw(url),
        "upload-ours" => streaming::upload_ours(url),
        "upload-raw" => streaming::upload_raw(url),
        _ => panic!("no such work: {work}"),
    };
    used.print();
}
