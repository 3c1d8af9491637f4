//! The task of a bridge: takes messages from the source, and drains when the bridge ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::backoff::Backoff;
use networking_spi::bridge::BridgeState;
use tokio::time::timeout_at;

use super::Engine;
use super::endpoint_call::guarded;
use super::in_flight::InFlight;
use super::lanes;
use crate::deadline;

/// The wait after a failure to receive from the source.
const RECEIVE_RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// The maximum number of failures to receive that are retried while the bridge drains.
const DRAIN_RETRIES: u32 = 3;

/// Why the intake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum IntakeEnd {
    /// The bridge is being destroyed.
    Draining,
    /// The source returned `None`.
    SourceEnded,
    /// The source returned an error that is not retryable.
    SourceFailed,
    /// The bridge's owner was dropped.
    Abandoned,
}

impl Engine {
    /// Runs the bridge until it ends.
    pub(super) async fn run(self: Arc<Self>) {
        let mut pending = None;
        let end = tokio::select! {
            biased;
            () = self.abandoned.cancelled() => IntakeEnd::Abandoned,
            end = self.intake(&mut pending) => end,
        };
        self.receiving.send_replace(false);
        let deadline = deadline::from_now(self.config.drain_timeout);
        match end {
            IntakeEnd::Draining => {
                let pending = pending.take();
                let drained = async {
                    let stop = guarded("the source", self.source.stop());
                    let (stopped, ()) = tokio::join!(stop, self.drain_source(pending));
                    self.log_failure("stopping the source", stopped);
                };
                self.unless_abandoned(timeout_at(deadline, drained)).await;
            }
            IntakeEnd::SourceFailed => {
                self.state.send_replace(BridgeState::Failed);
            }
            IntakeEnd::SourceEnded | IntakeEnd::Abandoned => {
                self.state.send_replace(BridgeState::Draining);
            }
        }
        self.lanes.lock().close();
        self.permits.close();
        self.tasks.close();
        if end != IntakeEnd::Abandoned {
            self.unless_abandoned(timeout_at(deadline, self.tasks.wait())).await;
        }
        drop(pending);
        self.give_up.cancel();
        self.tasks.wait().await;
        let in_flight = self.given_up.load(Ordering::Relaxed);
        self.stop_endpoints().await;
        self.reject_remaining();
        // If the bridge was not destroyed, the messages that the source still holds were never in flight.
        let given_up = match end {
            IntakeEnd::Draining => self.given_up.load(Ordering::Relaxed),
            _ => in_flight,
        };
        let last = if end == IntakeEnd::SourceFailed {
            BridgeState::Failed
        } else {
            BridgeState::Stopped
        };
        self.state.send_replace(last);
        self.outcome.send_replace(Some(given_up));
        tracing::debug!(bridge = %self.name, given_up, "a bridge ended");
    }

    /// Takes messages from the source while the bridge runs. When it returns, `pending` may hold a message that waits for a
    /// permit.
    async fn intake(self: &Arc<Self>, pending: &mut Option<InFlight>) -> IntakeEnd {
        let mut state = self.state.subscribe();
        // A second receiver, because `wait_for` marks all earlier changes as seen.
        let mut ending = self.state.subscribe();
        let mut failures = 0;
        loop {
            let now = *state.borrow_and_update();
            match now {
                BridgeState::Running => {}
                BridgeState::Draining => return IntakeEnd::Draining,
                _ => {
                    // No error: `self` holds the sender.
                    let _ = state.changed().await;
                    continue;
                }
            }
            // Waits until a permit is free before it asks the source, but takes the permit only when there is a message:
            // otherwise an idle source would occupy a permit that messages of the application need.
            tokio::select! {
                biased;
                _ = state.changed() => continue,
                permit = self.permits.acquire() => drop(permit),
            }
            self.receiving.send_replace(true);
            // A pause from before this line is seen here; a later one ends the select below.
            if self.state() != BridgeState::Running {
                self.receiving.send_replace(false);
                continue;
            }
            let received = tokio::select! {
                biased;
                _ = state.changed() => None,
                received = guarded("the source", self.source.receive()) => Some(received),
            };
            self.receiving.send_replace(false);
            let wait = match received {
                None => continue,
                Some(Ok(Some(delivery))) => {
                    failures = 0;
                    *pending = Some(InFlight::new(self, delivery));
                    let draining =
                        ending.wait_for(|state| !matches!(state, BridgeState::Running | BridgeState::Paused));
                    tokio::select! {
                        biased;
                        _ = draining => return IntakeEnd::Draining,
                        () = self.admit(pending) => {}
                    }
                    continue;
                }
                Some(Ok(None)) => return IntakeEnd::SourceEnded,
                Some(Err(error)) => {
                    tracing::warn!(bridge = %self.name, %error, "the source failed");
                    self.record_error(&error);
                    if !error.retryability().is_transient() {
                        return IntakeEnd::SourceFailed;
                    }
                    failures += 1;
                    let asked = error.retryability().delay().unwrap_or_default();
                    asked.max(RECEIVE_RETRY.delay(failures, self.random()))
                }
            };
            tokio::select! {
                _ = state.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Waits for a permit, then starts work on the pending message.
    ///
    /// Cancel safety: a message that still waits for a permit remains in `pending`.
    async fn admit(self: &Arc<Self>, pending: &mut Option<InFlight>) {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        // If the permits or the lanes are closed, the message is dropped, which rejects it.
        if let (Ok(permit), Some(message)) = (permit, pending.take()) {
            lanes::enter(self, message.with_permit(permit));
        }
    }

    /// Takes the messages that the source had received from its peer before it was stopped.
    async fn drain_source(self: &Arc<Self>, mut pending: Option<InFlight>) {
        let mut failures = 0;
        loop {
            if pending.is_some() {
                self.admit(&mut pending).await;
            }
            match guarded("the source", self.source.receive()).await {
                Ok(Some(delivery)) => pending = Some(InFlight::new(self, delivery)),
                Ok(None) => return,
                Err(error) if error.retryability().is_transient() && failures < DRAIN_RETRIES => {
                    self.record_error(&error);
                    failures += 1;
                    tokio::time::sleep(RECEIVE_RETRY.delay(1, self.random())).await;
                }
                Err(error) => {
                    self.record_error(&error);
                    return;
                }
            }
        }
    }

    /// Rejects the messages that a stopped source still returns.
    fn reject_remaining(self: &Arc<Self>) {
        let most = self.config.max_in_flight.saturating_mul(2).max(1024);
        for _ in 0..most {
            match guarded("the source", self.source.receive()).now_or_never() {
                Some(Ok(Some(delivery))) => drop(InFlight::new(self, delivery)),
                _ => return,
            }
        }
    }

    async fn unless_abandoned<F: Future>(&self, work: F) {
        tokio::select! {
            () = self.abandoned.cancelled() => {}
            _ = work => {}
        }
    }
}
