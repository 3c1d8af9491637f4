//! The endpoints of saboteurs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::bridge::{
    Acknowledge, BridgeMessage, BridgeProtocol, BridgeReceipt, BridgeSink, BridgeSource, Delivery, Disposition,
    EndpointHealth,
};
use networking_spi::{Result, Retryability};
use tokio::sync::Notify;

use super::Saboteur;

/// The header field with a key that is hidden from the bridge.
const HIDDEN_KEY: &str = "x-hidden-key";

#[derive(Debug)]
pub(super) struct SaboteurSource {
    saboteur: Saboteur,
    inner: Arc<dyn BridgeSource>,
    received: AtomicUsize,
    paused: AtomicBool,
    resumed: AtomicBool,
    stopped: AtomicBool,
    changed: Notify,
}

impl SaboteurSource {
    pub(super) fn new(saboteur: Saboteur, inner: Arc<dyn BridgeSource>) -> Self {
        Self {
            saboteur,
            inner,
            received: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            resumed: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::SeqCst);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst)
    }

    pub(super) fn resume(&self, resumed: bool) {
        self.resumed.store(resumed, Ordering::SeqCst);
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.resumed.load(Ordering::SeqCst)
    }

    /// Makes the source return no more messages.
    pub(super) fn finish(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(super) async fn stop_inner(&self) {
        let _ = self.inner.stop().await;
    }
}

#[async_trait]
impl BridgeSource for SaboteurSource {
    fn protocol(&self) -> BridgeProtocol {
        self.inner.protocol()
    }

    async fn start(&self) -> Result<()> {
        let started = self.inner.start().await;
        match self.saboteur {
            Saboteur::StartsTwice => {
                started?;
                self.inner.start().await
            }
            Saboteur::IgnoresStartErrors => Ok(()),
            _ => started,
        }
    }

    async fn receive(&self) -> Result<Option<Delivery>> {
        loop {
            if self.stopped.load(Ordering::SeqCst)
                && matches!(
                    self.saboteur,
                    Saboteur::LeavesMessagesOfTheSource | Saboteur::KeepsDestroyedBridges
                )
            {
                if self.saboteur == Saboteur::LeavesMessagesOfTheSource {
                    return Ok(None);
                }
                std::future::pending::<()>().await;
            }
            let received = tokio::select! {
                received = self.inner.receive() => received,
                () = self.changed.notified() => continue,
            };
            return match (self.saboteur, received) {
                (Saboteur::FailsOnEveryError, Err(error)) => Err(error.with_retryability(Retryability::Never)),
                (Saboteur::NeverFails, Err(error)) => Err(error.with_retryability(Retryability::Now)),
                (_, Ok(Some(delivery))) => Ok(Some(self.sabotage(delivery))),
                (_, received) => received,
            };
        }
    }

    async fn stop(&self) -> Result<()> {
        self.finish();
        match self.saboteur {
            Saboteur::LeavesTheSourceRunning => Ok(()),
            _ => self.inner.stop().await,
        }
    }

    async fn health(&self) -> EndpointHealth {
        self.inner.health().await
    }
}

impl SaboteurSource {
    fn sabotage(&self, mut delivery: Delivery) -> Delivery {
        let mut message = delivery.take_message().expect("a delivery has a message");
        match self.saboteur {
            Saboteur::IgnoresKeys => {
                if let Some(key) = message.key.take() {
                    message.headers.push((HIDDEN_KEY.to_owned(), key));
                }
            }
            Saboteur::PutsAllInOneLane => {
                let key = message.key.take().unwrap_or_else(|| Bytes::from_static(b"\0none"));
                message.headers.push((HIDDEN_KEY.to_owned(), key));
                message.key = Some(Bytes::from_static(b"lane"));
            }
            _ => {}
        }
        let completion = SaboteurCompletion {
            saboteur: self.saboteur,
            number: self.received.fetch_add(1, Ordering::SeqCst),
            id: message.id.clone(),
            delivery: Arc::new(Mutex::new(Some(delivery))),
        };
        if self.saboteur == Saboteur::AcknowledgesEarly {
            let (delivery, id) = (Arc::clone(&completion.delivery), completion.id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if let Some(delivery) = delivery.lock().unwrap().take() {
                    delivery.acknowledge(BridgeReceipt::new(id, Disposition::Delivered, "events"));
                }
            });
        }
        Delivery::new(message, Box::new(completion))
    }
}

struct SaboteurCompletion {
    saboteur: Saboteur,
    number: usize,
    id: String,
    delivery: Arc<Mutex<Option<Delivery>>>,
}

impl Acknowledge for SaboteurCompletion {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        let Some(delivery) = self.delivery.lock().unwrap().take() else {
            return;
        };
        match (self.saboteur, result) {
            (Saboteur::HidesRejections, Err(_)) => {
                delivery.acknowledge(BridgeReceipt::new(self.id.clone(), Disposition::Delivered, "events"));
            }
            (Saboteur::LosesResults, _) if self.number % 8 == 5 => std::mem::forget(delivery),
            (saboteur, Ok(mut receipt)) => {
                sabotage_receipt(saboteur, &mut receipt);
                delivery.acknowledge(receipt);
            }
            (_, Err(error)) => delivery.reject(error),
        }
    }
}

pub(super) fn sabotage_receipt(saboteur: Saboteur, receipt: &mut BridgeReceipt) {
    match saboteur {
        Saboteur::LosesPositions => receipt.position = None,
        Saboteur::LosesRules => receipt.rule = None,
        Saboteur::MiscountsAttempts => receipt.attempts = 1,
        _ => {}
    }
}

#[derive(Debug)]
pub(super) struct SaboteurSink {
    saboteur: Saboteur,
    inner: Arc<dyn BridgeSink>,
    dead_letter_target: Option<String>,
    /// The reasons of earlier dead-letterings, by message id.
    earlier: Mutex<HashMap<String, Bytes>>,
}

impl SaboteurSink {
    pub(super) fn new(saboteur: Saboteur, inner: Arc<dyn BridgeSink>, dead_letter_target: Option<String>) -> Self {
        Self {
            saboteur,
            inner,
            dead_letter_target,
            earlier: Mutex::default(),
        }
    }

    fn sabotage(&self, target: &str, mut message: BridgeMessage) -> BridgeMessage {
        if let Some(index) = message.headers.iter().position(|(name, _)| name == HIDDEN_KEY) {
            let (_, key) = message.headers.remove(index);
            message.key = (key.as_ref() != b"\0none").then_some(key);
        }
        let letter = self.dead_letter_target.as_deref() == Some(target);
        let is_reason = |name: &str| name.starts_with("dead-letter-");
        match self.saboteur {
            Saboteur::TrimsPayloads => message.payload = message.payload.trim_ascii().to_vec().into(),
            Saboteur::RewritesJson => {
                if let Ok(value) = serde_json::from_slice::<serde_json::Value>(&message.payload) {
                    message.payload = value.to_string().into();
                }
            }
            Saboteur::LosesRepeatedHeaders => {
                let mut seen = Vec::new();
                message.headers.retain(|(name, _)| {
                    let first = !seen.contains(name);
                    seen.push(name.clone());
                    first
                });
            }
            Saboteur::LosesKeys => message.key = None,
            Saboteur::OmitsDeadLetterReasons if letter => message.headers.retain(|(name, _)| !is_reason(name)),
            Saboteur::StripsDeadLetters if letter => message.headers.retain(|(name, _)| is_reason(name)),
            Saboteur::KeepsOldReasons => {
                let mut earlier = self.earlier.lock().unwrap();
                if letter {
                    if let Some(reason) = earlier.remove(&message.id) {
                        message.headers.insert(0, ("dead-letter-reason".to_owned(), reason));
                    }
                } else if let Some((_, reason)) = message.headers.iter().find(|(name, _)| name == "dead-letter-reason")
                {
                    earlier.insert(message.id.clone(), reason.clone());
                }
            }
            _ => {}
        }
        message
    }
}

#[async_trait]
impl BridgeSink for SaboteurSink {
    fn protocol(&self) -> BridgeProtocol {
        self.inner.protocol()
    }

    fn delivery_limit(&self) -> Option<Duration> {
        self.inner.delivery_limit()
    }

    async fn start(&self) -> Result<()> {
        let started = self.inner.start().await;
        match self.saboteur {
            Saboteur::IgnoresStartErrors => Ok(()),
            _ => started,
        }
    }

    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
        let message = self.sabotage(target, message);
        let call = std::panic::AssertUnwindSafe(self.inner.deliver(target, message));
        let delivered = match futures_util::FutureExt::catch_unwind(call).await {
            Ok(delivered) => delivered,
            Err(_) if self.saboteur == Saboteur::SwallowsPanics => return Ok(None),
            Err(_) if self.saboteur == Saboteur::HangsOnPanic => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return Ok(None);
            }
            Err(panic) => std::panic::resume_unwind(panic),
        };
        delivered.map_err(|error| match (self.saboteur, error.retryability()) {
            (Saboteur::RetriesEverything, Retryability::Never)
            | (Saboteur::IgnoresRetryAfter, Retryability::After(_)) => error.with_retryability(Retryability::Now),
            _ => error,
        })
    }

    async fn stop(&self) -> Result<()> {
        match self.saboteur {
            Saboteur::LeavesTheSinkRunning => Ok(()),
            _ => self.inner.stop().await,
        }
    }

    async fn health(&self) -> EndpointHealth {
        self.inner.health().await
    }
}
