//! The cases, by subject.

pub(super) mod closing;
pub(super) mod handshake;
pub(super) mod liveness;
pub(super) mod messages;

use std::sync::Arc;

use networking_spi::websocket::WebSocketClient;

use super::WebSocketHarness;
use super::patient::PatientClient;
use crate::kit::{Failure, within};

type H = Arc<dyn WebSocketHarness>;

/// A fresh client, whose opening handshakes take at most the harness's `patience`.
fn client_of(harness: &H) -> Arc<dyn WebSocketClient> {
    Arc::new(PatientClient::new(harness.client(), harness.patience()))
}

/// Fails the case if `future` does not complete within the harness's `patience`.
async fn soon<F: Future>(harness: &H, what: &str, future: F) -> Result<F::Output, Failure> {
    within(harness.patience(), what, future).await
}
