//! Numbers of attempts.

/// The number of attempts, in the [extensions](networking_spi::http::HttpResponse::extensions) of a response that took more than
/// one. Exhaustive on purpose: it is one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(pub u32);

/// The number of earlier attempts, in the extensions of a request. Absent in the first attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResendCount(pub(crate) u32);
