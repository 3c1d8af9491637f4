//! A scripted sink.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, BridgeSink, EndpointHealth, HealthState};
use networking_spi::{NetworkError, Result};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::source::PATIENCE;
use crate::kit::Failure;

/// The result of a delivery attempt that does not succeed.
#[derive(Debug)]
pub(super) enum Step {
    /// It fails.
    Fail(NetworkError),
    /// It never returns.
    Hang,
    /// It panics.
    Panic,
}

/// An attempt to deliver a message.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) target: String,
    pub(super) message: BridgeMessage,
    pub(super) at: Instant,
}

/// A sink that follows a script and records the attempts.
#[derive(Debug)]
pub(super) struct ScriptedSink {
    script: Mutex<VecDeque<Step>>,
    /// The payload of messages whose delivery hangs.
    stuck: Mutex<Option<&'static str>>,
    log: Mutex<Log>,
    /// The number of attempts that have begun.
    begun: watch::Sender<usize>,
    /// Deliveries wait while it is false.
    open: watch::Sender<bool>,
    start_error: Mutex<Option<NetworkError>>,
    health: Mutex<HealthState>,
    pub(super) starts: AtomicUsize,
    pub(super) stops: AtomicUsize,
}

#[derive(Debug, Default)]
struct Log {
    attempts: Vec<Attempt>,
    delivered: Vec<Attempt>,
    running: usize,
    most_running: usize,
}

impl ScriptedSink {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::default(),
            stuck: Mutex::new(None),
            log: Mutex::default(),
            begun: watch::Sender::new(0),
            open: watch::Sender::new(true),
            start_error: Mutex::new(None),
            health: Mutex::new(HealthState::Up),
            starts: AtomicUsize::new(0),
            stops: AtomicUsize::new(0),
        })
    }

    /// Adds a step to the script. Each attempt takes one step; an attempt without a step succeeds.
    pub(super) fn next(&self, step: Step) {
        self.script
            .lock()
            .expect("no panic while the lock is held")
            .push_back(step);
    }

    /// Deliveries of this payload never return.
    pub(super) fn stick(&self, payload: &'static str) {
        *self.stuck.lock().expect("no panic while the lock is held") = Some(payload);
    }

    /// Deliveries wait until [`open`](Self::open).
    pub(super) fn close(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn open(&self) {
        self.open.send_replace(true);
    }

    pub(super) fn fail_start(&self, error: NetworkError) {
        *self.start_error.lock().expect("no panic while the lock is held") = Some(error);
    }

    pub(super) fn set_health(&self, health: HealthState) {
        *self.health.lock().expect("no panic while the lock is held") = health;
    }

    /// Waits until `attempts` attempts have begun.
    pub(super) async fn wait_for_attempts(&self, attempts: usize) -> Result<(), Failure> {
        let mut begun = self.begun.subscribe();
        match timeout(PATIENCE, begun.wait_for(|begun| *begun >= attempts)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure::new(format!(
                "{} deliveries began within {PATIENCE:?}, expected {attempts}",
                self.attempts().len()
            ))),
        }
    }

    /// Every attempt that has begun.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        self.log
            .lock()
            .expect("no panic while the lock is held")
            .attempts
            .clone()
    }

    /// The time between the first two attempts.
    pub(super) fn gap(&self) -> Result<Duration, Failure> {
        match self.attempts().as_slice() {
            [first, second, ..] => Ok(second.at - first.at),
            attempts => Err(Failure::new(format!(
                "{} deliveries began, expected two",
                attempts.len()
            ))),
        }
    }

    /// Every attempt that succeeded, in the order of success.
    pub(super) fn delivered(&self) -> Vec<Attempt> {
        self.log
            .lock()
            .expect("no panic while the lock is held")
            .delivered
            .clone()
    }

    /// The messages that were delivered to one target.
    pub(super) fn delivered_to(&self, target: &str) -> Vec<BridgeMessage> {
        let delivered = self.delivered().into_iter().filter(|attempt| attempt.target == target);
        delivered.map(|attempt| attempt.message).collect()
    }

    /// The largest number of deliveries that ran concurrently.
    pub(super) fn most_running(&self) -> usize {
        self.log.lock().expect("no panic while the lock is held").most_running
    }

    async fn play(&self, stuck: bool) -> Result<()> {
        let mut open = self.open.subscribe();
        // `self` holds the sender, so this cannot fail.
        let _ = open.wait_for(|open| *open).await;
        if stuck {
            std::future::pending::<()>().await;
        }
        let step = self.script.lock().expect("no panic while the lock is held").pop_front();
        match step {
            None => {
                // Yields, so that other deliveries can overtake this one.
                tokio::task::yield_now().await;
                Ok(())
            }
            Some(Step::Fail(error)) => Err(error),
            Some(Step::Hang) => std::future::pending().await,
            // Unlike `panic!`, without a message on the standard error stream.
            Some(Step::Panic) => std::panic::resume_unwind(Box::new("a scripted panic of the sink")),
        }
    }
}

#[async_trait]
impl BridgeSink for ScriptedSink {
    fn protocol(&self) -> BridgeProtocol {
        BridgeProtocol::Tcp
    }

    fn delivery_limit(&self) -> Option<Duration> {
        None
    }

    async fn start(&self) -> Result<()> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        match self.start_error.lock().expect("no panic while the lock is held").take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
        let attempt = Attempt {
            target: target.to_owned(),
            message,
            at: Instant::now(),
        };
        let running = Running::begin(self, &attempt);
        let stuck = self
            .stuck
            .lock()
            .expect("no panic while the lock is held")
            .is_some_and(|payload| attempt.message.payload == payload);
        let played = self.play(stuck).await;
        drop(running);
        played?;
        let delivered = &mut self.log.lock().expect("no panic while the lock is held").delivered;
        delivered.push(attempt);
        Ok(Some(format!("position-{}", delivered.len() - 1)))
    }

    async fn stop(&self) -> Result<()> {
        self.stops.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        EndpointHealth::new(*self.health.lock().expect("no panic while the lock is held"))
    }
}

/// Counts an attempt as running until it is dropped.
struct Running<'s>(&'s ScriptedSink);

impl<'s> Running<'s> {
    fn begin(sink: &'s ScriptedSink, attempt: &Attempt) -> Self {
        let mut log = sink.log.lock().expect("no panic while the lock is held");
        log.attempts.push(attempt.clone());
        log.running += 1;
        log.most_running = log.most_running.max(log.running);
        drop(log);
        sink.begun.send_modify(|begun| *begun += 1);
        Self(sink)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.log.lock().expect("no panic while the lock is held").running -= 1;
    }
}
