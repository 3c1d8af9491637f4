//! The deadline of a call, and marks that change it.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::time::Instant;

/// In the extensions of a request: when its total timeout passes. Wrappers do not start waits that would end later.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// The attempts that were started, for the error of the timeout.
    pub(crate) attempts: Arc<AtomicU32>,
}

/// A mark in the extensions of a request: the response is a stream without an expected end, or a download that resumes. The
/// client's time limits apply until the response head; limits that the request itself sets apply unchanged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LongBody;

/// In the extensions of a request: the caller set time limits of an attempt that are longer than the default read timeout, which then
/// does not end the attempt before them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// The limit until the response head.
    pub(crate) head: Duration,
    /// The limit until the body has been read; zero without one.
    pub(crate) body: Duration,
}
