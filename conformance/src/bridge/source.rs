//! A scripted source.

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

/// How long a case waits for an expected event.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);

/// How long a case waits for an event that must not happen.
pub(super) const SETTLE: Duration = Duration::from_millis(100);

/// A source that returns the messages that the case pushes, and reports how they are settled.
#[derive(Debug)]
pub(super) struct ScriptedSource {
    events: Mutex<VecDeque<Event>>,
    changed: Notify,
    stopped: Mutex<bool>,
    start_error: Mutex<Option<NetworkError>>,
    health: Mutex<HealthState>,
    pub(super) starts: AtomicUsize,
    pub(super) stops: AtomicUsize,
    /// How many messages the bridge has received.
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

    /// Makes a message available to the bridge.
    pub(super) fn push(&self, message: BridgeMessage) -> Pending {
        let (answer, answered) = oneshot::channel();
        let id = message.id.clone();
        self.event(Event::Message(Delivery::new(message, Box::new(Answer(answer)))));
        Pending { id, answered }
    }

    /// Makes one call of `receive` fail, after the messages that were pushed before.
    pub(super) fn fail(&self, error: NetworkError) {
        self.event(Event::Failure(error));
    }

    /// Ends the source after the messages that were pushed before.
    pub(super) fn end(&self) {
        self.event(Event::End);
    }

    pub(super) fn fail_start(&self, error: NetworkError) {
        *self.start_error.lock().expect("no panic while the lock is held") = Some(error);
    }

    pub(super) fn set_health(&self, health: HealthState) {
        *self.health.lock().expect("no panic while the lock is held") = health;
    }

    pub(super) fn handed(&self) -> usize {
        self.handed.load(Ordering::SeqCst)
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.lock().expect("no panic while the lock is held")
    }

    fn event(&self, event: Event) {
        self.events
            .lock()
            .expect("no panic while the lock is held")
            .push_back(event);
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
        match self.start_error.lock().expect("no panic while the lock is held").take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    async fn receive(&self) -> Result<Option<Delivery>> {
        loop {
            let event = self.events.lock().expect("no panic while the lock is held").pop_front();
            match event {
                Some(Event::Message(delivery)) => {
                    self.handed.fetch_add(1, Ordering::SeqCst);
                    // Nothing is awaited after this point, so a cancelled call loses no message.
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
        *self.stopped.lock().expect("no panic while the lock is held") = true;
        self.changed.notify_one();
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        EndpointHealth::new(*self.health.lock().expect("no panic while the lock is held"))
    }
}

struct Answer(oneshot::Sender<Result<BridgeReceipt>>);

impl Acknowledge for Answer {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        // A case may have dropped the receiver.
        let _ = self.0.send(result);
    }
}

/// A pushed message. The case waits until it is settled.
#[derive(Debug)]
pub(super) struct Pending {
    id: String,
    answered: oneshot::Receiver<Result<BridgeReceipt>>,
}

impl Pending {
    /// How the message was settled. Fails if it was not.
    pub(super) async fn answer(self) -> Result<Result<BridgeReceipt>, Failure> {
        let id = self.id;
        match tokio::time::timeout(PATIENCE, self.answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Failure::new(format!("message {id} was dropped without being settled"))),
            Err(_) => Err(Failure::new(format!(
                "message {id} was not settled within {PATIENCE:?}"
            ))),
        }
    }

    /// The receipt. Fails if the message was rejected.
    pub(super) async fn receipt(self) -> Result<BridgeReceipt, Failure> {
        let id = self.id.clone();
        self.answer()
            .await?
            .map_err(|error| Failure::with_error(format_args!("message {id} was rejected"), &error))
    }

    /// The error of the rejection. Fails if the message was acknowledged.
    pub(super) async fn rejection(self) -> Result<NetworkError, Failure> {
        let id = self.id.clone();
        match self.answer().await? {
            Err(error) => Ok(error),
            Ok(receipt) => Err(Failure::new(format!("message {id} was acknowledged: {receipt:?}"))),
        }
    }

    /// Whether the message has been settled.
    pub(super) fn is_answered(&mut self) -> bool {
        !matches!(self.answered.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }
}
