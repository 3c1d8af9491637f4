//! The cases, by subject. The suite lists the clause of each.

pub(super) mod body;
pub(super) mod certificates;
pub(super) mod circuit;
pub(super) mod connection;
pub(super) mod declared;
pub(super) mod extended;
pub(super) mod fidelity;
pub(super) mod limits;
pub(super) mod metrics;
pub(super) mod redirect;
pub(super) mod request;
pub(super) mod response;
pub(super) mod retry;
pub(super) mod tokens;
pub(super) mod upgrade;
pub(super) mod waits;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::HttpHarness;

type H = Arc<dyn HttpHarness>;

/// How long a case waits for something that takes no time.
const BOUND: Duration = Duration::from_secs(4);

/// The byte values in order, `times` times.
fn every_byte(times: usize) -> Bytes {
    (0..=255).collect::<Vec<u8>>().repeat(times).into()
}
