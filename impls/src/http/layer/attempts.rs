//! How many attempts a response took.

/// In the [extensions](networking_spi::http::HttpResponse::extensions) of a response that took more than one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(pub u32);
