//! Numbers of attempts, and what ends them.

use std::time::Duration;

pub use networking_spi::http::Attempts;

/// In the extensions of a response: how long its circuit, which its status has opened, remains open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenCircuit(pub(crate) Duration);

/// The number of earlier attempts, in the extensions of a request. Absent in the first attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResendCount(pub(crate) u32);
