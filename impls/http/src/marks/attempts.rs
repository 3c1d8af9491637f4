//! How many attempts a response took.

/// In the [extensions](networking_spi::http::HttpResponse::extensions) of a response that took more than one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(pub u32);

/// In the extensions of a request: how many attempts were made before this one. The first attempt has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResendCount(pub(crate) u32);
