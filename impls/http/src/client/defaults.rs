//! The defaults of [`HttpClientBuilder`](super::HttpClientBuilder) that have no policy or configuration of their own.

use std::time::Duration;

/// The time limit of each attempt, until the response head, where neither the client nor the request sets one.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// The largest response body, in bytes after decoding.
pub const MAX_RESPONSE_SIZE: u64 = 64 << 20;
