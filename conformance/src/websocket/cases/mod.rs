//! The cases, by subject.

pub(super) mod closing;
pub(super) mod handshake;
pub(super) mod liveness;
pub(super) mod messages;

use std::sync::Arc;

use super::WebSocketHarness;
use crate::kit::{Failure, within};

type H = Arc<dyn WebSocketHarness>;

/// Fails the case if `future` does not complete within the harness's `patience`.
async fn soon<F: Future>(harness: &H, what: &str, future: F) -> Result<F::Output, Failure> {
    within(harness.patience(), what, future).await
}
