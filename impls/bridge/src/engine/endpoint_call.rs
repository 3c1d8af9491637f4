//! Calls of endpoints: their panics become errors, and they have time limits.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::bridge::{EndpointHealth, HealthState};
use networking_spi::{ErrorKind, NetworkError, Result};
use tokio::time::timeout;

/// How long a health check of an endpoint may take.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// Calls an endpoint. A panic becomes an [`Internal`](ErrorKind::Internal) error.
pub(super) async fn guarded<T>(endpoint: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
        Err(
            NetworkError::new(ErrorKind::Internal, "bridge.endpoint", "an endpoint panicked")
                .with_context("endpoint", endpoint),
        )
    })
}

/// Stops an endpoint. Fails with [`Timeout`](ErrorKind::Timeout) after `limit`.
pub(super) async fn within(limit: Duration, stop: impl Future<Output = Result<()>>) -> Result<()> {
    timeout(limit, stop).await.unwrap_or_else(|_| {
        Err(NetworkError::new(
            ErrorKind::Timeout,
            "bridge.stop",
            "an endpoint did not stop in time",
        ))
    })
}

pub(super) async fn health_of(call: impl Future<Output = EndpointHealth>) -> EndpointHealth {
    match timeout(HEALTH_TIMEOUT, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(health)) => health,
        Ok(Err(_)) => EndpointHealth::new(HealthState::Down).with_detail("the health check panicked"),
        Err(_) => EndpointHealth::new(HealthState::Unknown).with_detail("the health check timed out"),
    }
}

/// Orders states from good to bad.
pub(super) const fn severity(state: HealthState) -> u8 {
    match state {
        HealthState::Up => 0,
        HealthState::Degraded => 2,
        HealthState::Down => 3,
        _ => 1,
    }
}
