//! Numbers of attempts.

/// In the [extensions](networking_spi::http::HttpResponse::extensions) of a response after more than one attempt: the number of
/// attempts. Exhaustive on purpose: it is one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(pub u32);

/// In the extensions of a request: the number of earlier attempts. Absent in the first attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResendCount(pub(crate) u32);
