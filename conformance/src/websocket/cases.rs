//! The cases, by subject.

pub(super) mod closing;
pub(super) mod handshake;
pub(super) mod liveness;
pub(super) mod messages;

use std::sync::Arc;
use std::time::Duration;

use super::WebSocketHarness;
use crate::case::Failure;

type H = Arc<dyn WebSocketHarness>;

/// Fails a case that waits for something that does not come.
async fn soon<F: Future>(what: &str, future: F) -> Result<F::Output, Failure> {
    tokio::time::timeout(Duration::from_secs(5), future)
        .await
        .map_err(|_| Failure::new(format!("{what} did not come")))
}
