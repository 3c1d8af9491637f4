//! Numbers of attempts, and what ends them.

use std::time::Duration;

use networking_spi::NetworkError;
pub use networking_spi::http::Attempts;

/// In the extensions of a response: how long its circuit, which its status has opened, remains open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenCircuit(pub(crate) Duration);

/// The number of earlier attempts, in the extensions of a request. Absent in the first attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResendCount(pub(crate) u32);

/// The last error of a caller that has made `attempts`. After retries it is exhausted, so that no caller outside retries it again.
pub(crate) fn given_up(error: NetworkError, attempts: u32) -> NetworkError {
    let error = error.with_attempts(attempts.max(1));
    let retryability = error.retryability();
    if attempts > 1 {
        error.with_retryability(retryability.exhausted())
    } else {
        error
    }
}
