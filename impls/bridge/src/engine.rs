//! One bridge at work: intake, shutdown, state.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use futures_util::FutureExt;
use networking_spi::backoff::Backoff;
use networking_spi::bridge::{
    BridgeConfig, BridgeHealth, BridgeId, BridgeInfo, BridgeSink, BridgeSource, BridgeState, BridgeStatus, Delivery,
    EndpointHealth, HealthState,
};
use networking_spi::clock::Clock;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::lanes::{self, Lanes};
use super::routing::Router;
use super::statistics::Statistics;
use super::ticket::Ticket;

/// How long an endpoint may take to say how it is.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

/// How long stopping an endpoint may take beyond the drain timeout.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Waits between attempts to receive from a source that fails.
const RECEIVE_RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// A bridge is degraded from this share of failed and dead-lettered messages on.
const DEGRADED_PERCENT: u8 = 50;

/// One bridge.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) id: BridgeId,
    pub(super) name: String,
    pub(super) source: Arc<dyn BridgeSource>,
    pub(super) sink: Arc<dyn BridgeSink>,
    /// Its routing is in `router`.
    pub(super) config: BridgeConfig,
    pub(super) router: ArcSwap<Router>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) statistics: Statistics,
    pub(super) in_flight: AtomicUsize,
    pub(super) lanes: Mutex<Lanes>,
    pub(super) tasks: TaskTracker,
    /// Work on messages ends, and they are rejected.
    pub(super) give_up: CancellationToken,
    jitter: Mutex<fastrand::Rng>,
    places: Arc<Semaphore>,
    state: watch::Sender<BridgeState>,
    /// Whether the intake is inside `receive`.
    receiving: watch::Sender<bool>,
    /// Nobody is left who could destroy the bridge.
    abandoned: CancellationToken,
    /// Messages that were rejected because the bridge ended.
    pub(super) given_up: AtomicUsize,
    /// Their number, once the bridge is over.
    outcome: watch::Sender<Option<usize>>,
    created_at: SystemTime,
    last_error: Mutex<Option<String>>,
}

/// How the intake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The bridge is being destroyed.
    Draining,
    /// The source has nothing more.
    SourceEnded,
    /// The source failed for good.
    SourceFailed,
    /// The owner is gone.
    Abandoned,
}

impl Engine {
    pub(super) fn new(
        id: BridgeId,
        name: &str,
        (source, sink): (Arc<dyn BridgeSource>, Arc<dyn BridgeSink>),
        (config, router): (BridgeConfig, Router),
        clock: Arc<dyn Clock>,
        jitter: fastrand::Rng,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            name: name.to_owned(),
            source,
            sink,
            router: ArcSwap::from_pointee(router),
            statistics: Statistics::default(),
            in_flight: AtomicUsize::new(0),
            lanes: Mutex::default(),
            tasks: TaskTracker::new(),
            give_up: CancellationToken::new(),
            jitter: Mutex::new(jitter),
            places: Arc::new(Semaphore::new(config.max_in_flight)),
            state: watch::Sender::new(BridgeState::Starting),
            receiving: watch::Sender::new(false),
            abandoned: CancellationToken::new(),
            given_up: AtomicUsize::new(0),
            outcome: watch::Sender::new(None),
            created_at: clock.now(),
            last_error: Mutex::new(None),
            config,
            clock,
        })
    }

    /// Starts both ends, the sink first: the source may have a message at once. After an error both are stopped.
    pub(super) async fn start(self: &Arc<Self>) -> Result<()> {
        let mut guard = StartGuard(Some(Arc::clone(self)));
        let started = async {
            guarded("the sink", self.sink.start()).await?;
            guarded("the source", self.source.start()).await
        };
        let result = started.await;
        if result.is_err() {
            self.stop_endpoints().await;
        } else {
            self.state.send_replace(BridgeState::Running);
            tokio::spawn(Self::run(Arc::clone(self)));
        }
        guard.0 = None;
        result
    }

    pub(super) fn state(&self) -> BridgeState {
        *self.state.borrow()
    }

    pub(super) fn info(&self) -> BridgeInfo {
        let (source, sink) = (self.source.protocol(), self.sink.protocol());
        BridgeInfo::new(self.id.clone(), self.name.clone(), source, sink, self.state())
    }

    pub(super) fn status(&self) -> BridgeStatus {
        let mut status = BridgeStatus::new(self.id.clone(), self.name.clone(), self.state(), self.created_at);
        status.in_flight = self.in_flight.load(Ordering::Relaxed);
        status.last_error.clone_from(&self.last_error.lock());
        status
    }

    pub(super) fn note_error(&self, error: &NetworkError) {
        *self.last_error.lock() = Some(error.to_string());
    }

    pub(super) async fn health(&self) -> BridgeHealth {
        let (source, sink) = tokio::join!(health_of(self.source.health()), health_of(self.sink.health()));
        let percent = self.statistics.error_percent();
        let own = match self.state() {
            BridgeState::Running if percent < DEGRADED_PERCENT => HealthState::Up,
            BridgeState::Stopped | BridgeState::Failed => HealthState::Down,
            _ => HealthState::Degraded,
        };
        let worst = [own, source.state, sink.state]
            .into_iter()
            .max_by_key(|state| severity(*state));
        BridgeHealth::new(worst.unwrap_or_default(), source, sink, percent)
    }

    /// Stops the intake, and waits until it no longer asks the source.
    pub(super) async fn pause(&self) -> Result<()> {
        self.change("bridge.pause_bridge", BridgeState::Paused)?;
        let mut receiving = self.receiving.subscribe();
        // The sender lives as long as `self`.
        let _ = receiving.wait_for(|receiving| !receiving).await;
        Ok(())
    }

    pub(super) fn resume(&self) -> Result<()> {
        self.change("bridge.resume_bridge", BridgeState::Running)
    }

    fn change(&self, operation: &'static str, to: BridgeState) -> Result<()> {
        let mut result = Ok(());
        self.state.send_if_modified(|state| match *state {
            BridgeState::Running | BridgeState::Paused => {
                let changed = *state != to;
                *state = to;
                changed
            }
            _ => {
                result = Err(NetworkError::closed(operation, "the bridge"));
                false
            }
        });
        result
    }

    /// Takes a message from the application.
    pub(super) async fn send(self: &Arc<Self>, delivery: Delivery) -> Result<()> {
        let closed = || NetworkError::closed("bridge.send_message_through_bridge", "the bridge");
        let mut state = self.state.subscribe();
        let place = Arc::clone(&self.places).acquire_owned();
        let stopped = async {
            // The sender lives as long as `self`.
            let _ = state.wait_for(|state| *state != BridgeState::Running).await;
        };
        let permit = tokio::select! {
            biased;
            () = stopped => return Err(closed()),
            permit = place => permit.map_err(|_| closed())?,
        };
        let ticket = Ticket::new(self, delivery).with_permit(permit);
        if lanes::enter(self, ticket) {
            Ok(())
        } else {
            Err(closed())
        }
    }

    /// Ends the bridge. Gives the number of messages that had to be given up.
    pub(super) async fn shut_down(&self) -> usize {
        self.state.send_if_modified(|state| {
            let active = matches!(*state, BridgeState::Running | BridgeState::Paused);
            if active {
                *state = BridgeState::Draining;
            }
            active
        });
        let mut outcome = self.outcome.subscribe();
        match outcome.wait_for(Option::is_some).await {
            Ok(given_up) => given_up.unwrap_or_default(),
            // The sender lives as long as `self`.
            Err(_) => 0,
        }
    }

    /// Ends the bridge without anybody waiting: messages in work are rejected.
    pub(super) fn abandon(&self) {
        self.abandoned.cancel();
    }

    /// Drawn from `0.0..1.0`, for jitter.
    pub(super) fn random(&self) -> f64 {
        self.jitter.lock().f64()
    }

    async fn run(self: Arc<Self>) {
        let mut pending = None;
        let end = tokio::select! {
            biased;
            () = self.abandoned.cancelled() => End::Abandoned,
            end = self.intake(&mut pending) => end,
        };
        self.receiving.send_replace(false);
        let deadline = Instant::now() + self.config.drain_timeout;
        match end {
            End::Draining => {
                let pending = pending.take();
                let rest = async {
                    let stop = guarded("the source", self.source.stop());
                    let (stopped, ()) = tokio::join!(stop, self.take_rest(pending));
                    self.log_failure("stopping the source", stopped);
                };
                self.unless_abandoned(timeout_at(deadline, rest)).await;
            }
            End::SourceFailed => {
                self.state.send_replace(BridgeState::Failed);
            }
            End::SourceEnded | End::Abandoned => {
                self.state.send_replace(BridgeState::Draining);
            }
        }
        self.lanes.lock().close();
        self.places.close();
        self.tasks.close();
        if end != End::Abandoned {
            self.unless_abandoned(timeout_at(deadline, self.tasks.wait())).await;
        }
        drop(pending);
        self.give_up.cancel();
        self.tasks.wait().await;
        let in_work = self.given_up.load(Ordering::Relaxed);
        self.stop_endpoints().await;
        self.reject_rest();
        // What a source that ended by itself still holds was never in work.
        let given_up = match end {
            End::Draining => self.given_up.load(Ordering::Relaxed),
            _ => in_work,
        };
        let last = if end == End::SourceFailed {
            BridgeState::Failed
        } else {
            BridgeState::Stopped
        };
        self.state.send_replace(last);
        self.outcome.send_replace(Some(given_up));
        tracing::debug!(bridge = %self.name, given_up, "a bridge is over");
    }

    /// Takes messages from the source while the bridge runs. `pending` is a message that waits for a place when that ends.
    async fn intake(self: &Arc<Self>, pending: &mut Option<Ticket>) -> End {
        let mut state = self.state.subscribe();
        // Of its own, because waiting for a state takes the changes before it for read.
        let mut ending = self.state.subscribe();
        let mut failures = 0;
        loop {
            let now = *state.borrow_and_update();
            match now {
                BridgeState::Running => {}
                BridgeState::Draining => return End::Draining,
                _ => {
                    // The sender lives as long as `self`.
                    let _ = state.changed().await;
                    continue;
                }
            }
            // Capacity first, so that a full bridge asks for nothing. The place is taken when there is a message: an idle
            // source must not keep one from messages that the application sends.
            tokio::select! {
                biased;
                _ = state.changed() => continue,
                place = self.places.acquire() => drop(place),
            }
            self.receiving.send_replace(true);
            // A pause that came before this line is seen here, and one that comes later ends the select.
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
                    *pending = Some(Ticket::new(self, delivery));
                    let draining =
                        ending.wait_for(|state| !matches!(state, BridgeState::Running | BridgeState::Paused));
                    tokio::select! {
                        biased;
                        _ = draining => return End::Draining,
                        () = self.admit(pending) => {}
                    }
                    continue;
                }
                Some(Ok(None)) => return End::SourceEnded,
                Some(Err(error)) => {
                    tracing::warn!(bridge = %self.name, %error, "the source failed");
                    self.note_error(&error);
                    if !error.retryability().is_retryable() {
                        return End::SourceFailed;
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

    /// Waits for a place and starts work on a message. Cancelled while it waits, it leaves the message where it is.
    async fn admit(self: &Arc<Self>, pending: &mut Option<Ticket>) {
        let permit = Arc::clone(&self.places).acquire_owned().await;
        // Without a place, or when the lanes are closed, the ticket is dropped, which rejects the message.
        if let (Ok(permit), Some(ticket)) = (permit, pending.take()) {
            lanes::enter(self, ticket.with_permit(permit));
        }
    }

    /// What the source had taken from its peer before it was stopped.
    async fn take_rest(self: &Arc<Self>, mut pending: Option<Ticket>) {
        let mut failures = 0;
        loop {
            if pending.is_some() {
                self.admit(&mut pending).await;
            }
            match guarded("the source", self.source.receive()).await {
                Ok(Some(delivery)) => pending = Some(Ticket::new(self, delivery)),
                Ok(None) => return,
                Err(error) if error.retryability().is_retryable() && failures < 3 => {
                    self.note_error(&error);
                    failures += 1;
                    tokio::time::sleep(RECEIVE_RETRY.delay(1, self.random())).await;
                }
                Err(error) => {
                    self.note_error(&error);
                    return;
                }
            }
        }
    }

    /// Rejects what a stopped source still hands out.
    fn reject_rest(self: &Arc<Self>) {
        let most = self.config.max_in_flight.saturating_mul(2).max(1024);
        for _ in 0..most {
            match guarded("the source", self.source.receive()).now_or_never() {
                Some(Ok(Some(delivery))) => drop(Ticket::new(self, delivery)),
                _ => return,
            }
        }
    }

    /// Both ends, the source first. Stopping twice is not an error, so this needs no memory.
    async fn stop_endpoints(&self) {
        let source = timeout(STOP_TIMEOUT, guarded("the source", self.source.stop())).await;
        self.log_failure("stopping the source", flatten(source));
        let limit = self.config.drain_timeout.max(STOP_TIMEOUT);
        let sink = timeout(limit, guarded("the sink", self.sink.stop())).await;
        self.log_failure("stopping the sink", flatten(sink));
    }

    fn log_failure(&self, what: &'static str, result: Result<()>) {
        if let Err(error) = result {
            tracing::warn!(bridge = %self.name, %error, what, "failed");
            self.note_error(&error);
        }
    }

    async fn unless_abandoned<F: Future>(&self, work: F) {
        tokio::select! {
            () = self.abandoned.cancelled() => {}
            _ = work => {}
        }
    }
}

/// Stops the ends of a bridge whose start was cancelled.
struct StartGuard(Option<Arc<Engine>>);

impl Drop for StartGuard {
    fn drop(&mut self) {
        if let (Some(engine), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { engine.stop_endpoints().await });
        }
    }
}

/// Runs a call of an endpoint; a panic there is an error here.
pub(super) async fn guarded<T>(who: &'static str, call: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(call).catch_unwind().await.unwrap_or_else(|_| {
        Err(
            NetworkError::new(ErrorKind::Internal, "bridge.endpoint", "an endpoint panicked")
                .with_context("endpoint", who),
        )
    })
}

fn flatten(result: std::result::Result<Result<()>, tokio::time::error::Elapsed>) -> Result<()> {
    result.unwrap_or_else(|_| {
        Err(NetworkError::new(
            ErrorKind::Timeout,
            "bridge.stop",
            "an endpoint did not stop in time",
        ))
    })
}

async fn health_of(call: impl Future<Output = EndpointHealth>) -> EndpointHealth {
    match timeout(HEALTH_TIMEOUT, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(health)) => health,
        Ok(Err(_)) => EndpointHealth::new(HealthState::Down).with_detail("the health check panicked"),
        Err(_) => EndpointHealth::new(HealthState::Unknown).with_detail("the health check does not answer"),
    }
}

const fn severity(state: HealthState) -> u8 {
    match state {
        HealthState::Up => 0,
        HealthState::Degraded => 2,
        HealthState::Down => 3,
        _ => 1,
    }
}
