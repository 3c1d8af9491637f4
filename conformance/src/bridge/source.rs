//! A source that does as the case says.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::bridge::{
    Acknowledge, BridgeMessage, BridgeProtocol, BridgeReceipt, BridgeSource, Delivery, EndpointHealth, HealthState,
};
use networking_spi::{NetworkError, Result};
use std::sync::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::kit::Failure;

/// How long a case waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a case waits to see that something does not happen.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

/// Hands out what the case pushes, and remembers what it was told.
#[derive(Debug)]
pub(super) struct ScriptedSource {
    events: Mutex<VecDeque<Event>>,
    changed: Notify,
    stopped: Mutex<bool>,
    start_error: Mutex<Option<NetworkError>>,
    health: Mutex<HealthState>,
    pub(super) starts: AtomicUsize,
    pub(super) stops: AtomicUsize,
    /// Messages handed to the bridge.
    pub(super) handed: AtomicUsize,
}

#[derive(Debug)]
enum Event {
    Message(Delivery),
    Failure(NetworkError),
    End,
}

impl ScriptedSource {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            events: Mutex::default(),
            changed: Notify::new(),
            stopped: Mutex::new(false),
            start_error: Mutex::new(None),
            health: Mutex::new(HealthState::Up),
            starts: AtomicUsize::new(0),
            stops: AtomicUsize::new(0),
            handed: AtomicUsize::new(0),
        })
    }

    /// Has a message for the bridge.
    pub(super) fn push(&self, message: BridgeMessage) -> Pending {
        let (answer, answered) = oneshot::channel();
        let id = message.id.clone();
        self.event(Event::Message(Delivery::new(message, Box::new(Answer(answer)))));
        Pending { id, answered }
    }

    /// The next call to receive fails, after the messages before.
    pub(super) fn fail(&self, error: NetworkError) {
        self.event(Event::Failure(error));
    }

    /// The source has nothing more, after the messages before.
    pub(super) fn end(&self) {
        self.event(Event::End);
    }

    pub(super) fn fail_start(&self, error: NetworkError) {
        *self.start_error.lock().expect("no panic while locked") = Some(error);
    }

    pub(super) fn set_health(&self, health: HealthState) {
        *self.health.lock().expect("no panic while locked") = health;
    }

    pub(super) fn handed(&self) -> usize {
        self.handed.load(Ordering::SeqCst)
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.lock().expect("no panic while locked")
    }

    fn event(&self, event: Event) {
        self.events.lock().expect("no panic while locked").push_back(event);
        self.changed.notify_one();
    }
}

#[async_trait]
impl BridgeSource for ScriptedSource {
    fn protocol(&self) -> BridgeProtocol {
        BridgeProtocol::Memory
    }

    async fn start(&self) -> Result<()> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        match self.start_error.lock().expect("no panic while locked").take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn receive(&self) -> Result<Option<Delivery>> {
        loop {
            let event = self.events.lock().expect("no panic while locked").pop_front();
            match event {
                Some(Event::Message(delivery)) => {
                    self.handed.fetch_add(1, Ordering::SeqCst);
                    // Whoever is cancelled here has not got the message: nothing is awaited after this.
                    return Ok(Some(delivery));
                }
                Some(Event::Failure(error)) => return Err(error),
                Some(Event::End) => {
                    self.event(Event::End);
                    return Ok(None);
                }
                None if self.is_stopped() => return Ok(None),
                None => self.changed.notified().await,
            }
        }
    }

    async fn stop(&self) -> Result<()> {
        self.stops.fetch_add(1, Ordering::SeqCst);
        *self.stopped.lock().expect("no panic while locked") = true;
        self.changed.notify_one();
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        EndpointHealth::new(*self.health.lock().expect("no panic while locked"))
    }
}

struct Answer(oneshot::Sender<Result<BridgeReceipt>>);

impl Acknowledge for Answer {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        // A case may not care for the answer.
        let _ = self.0.send(result);
    }
}

/// A message whose answer is awaited.
#[derive(Debug)]
pub(super) struct Pending {
    id: String,
    answered: oneshot::Receiver<Result<BridgeReceipt>>,
}

impl Pending {
    /// What the source was told. Fails when it is told nothing.
    pub(super) async fn answer(self) -> Result<Result<BridgeReceipt>, Failure> {
        let id = self.id;
        match tokio::time::timeout(PATIENCE, self.answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Failure::new(format!(
                "message {id} vanished: the source was never told"
            ))),
            Err(_) => Err(Failure::new(format!(
                "message {id}: the source was told nothing within {PATIENCE:?}"
            ))),
        }
    }

    /// The receipt. Fails when the message is rejected.
    pub(super) async fn receipt(self) -> Result<BridgeReceipt, Failure> {
        let id = self.id.clone();
        self.answer()
            .await?
            .map_err(|error| Failure::new(format!("message {id} was rejected: {error}")))
    }

    /// The rejection. Fails when the message is acknowledged.
    pub(super) async fn rejection(self) -> Result<NetworkError, Failure> {
        let id = self.id.clone();
        match self.answer().await? {
            Err(error) => Ok(error),
            Ok(receipt) => Err(Failure::new(format!("message {id} was acknowledged: {receipt:?}"))),
        }
    }

    /// Whether the source was told yet.
    pub(super) fn is_answered(&mut self) -> bool {
        !matches!(self.answered.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}
