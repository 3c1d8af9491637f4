//! The deadline of a call, and marks that change it.

use tokio::time::Instant;

/// In the extensions of a request: when its total timeout passes. Wrappers do not start waits that would end later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(pub(crate) Instant);

/// A mark in the extensions of a request: the response is a stream without an expected end, or a download that resumes. The
/// client's time limits apply until the response head; limits that the request itself sets apply unchanged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LongBody;
