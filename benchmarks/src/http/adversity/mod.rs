//! What happens when the peer is against us: a hostile server, compression bombs, and bodies larger than memory.

mod bomb;
// Not as a dependency: that crate needs tokio's clock for tests, which slows `Instant::now` down in every row.
#[path = "../../../../conformance/src/http/hostile/mod.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "a module of another crate, of which some is used here"
)]
mod hostile;
mod process;
mod storm;
mod streaming;

use crate::measure::Rounds;
use crate::report::Row;

/// What becomes of requests to a hostile server.
pub(super) fn hostile(_: Rounds) -> Vec<Row> {
    storm::rows()
}

/// The memory that compression bombs cost.
pub(super) fn bombs(_: Rounds) -> Vec<Row> {
    bomb::rows()
}

/// The speed of large streams, and the memory that they cost.
pub(super) fn streams(rounds: Rounds) -> Vec<Row> {
    streaming::rows(rounds)
}

/// Does the work that a parent process asks for.
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
