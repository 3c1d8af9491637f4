//! Ends with one fault.

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

use super::Fault;

/// Keys that are hidden from the bridge travel in a header field.
const HIDDEN_KEY: &str = "x-hidden-key";

#[derive(Debug)]
pub(super) struct FaultySource {
    fault: Fault,
    inner: Arc<dyn BridgeSource>,
    answers: AtomicUsize,
    paused: AtomicBool,
    resumed: AtomicBool,
    stopped: AtomicBool,
    changed: Notify,
}

impl FaultySource {
    pub(super) fn new(fault: Fault, inner: Arc<dyn BridgeSource>) -> Self {
        Self {
            fault,
            inner,
            answers: AtomicUsize::new(0),
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

    /// Nothing is handed over any more.
    pub(super) fn finish(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.changed.notify_one();
    }

    pub(super) async fn count_a_stop(&self) {
        let _ = self.inner.stop().await;
    }
}

#[async_trait]
impl BridgeSource for FaultySource {
    fn protocol(&self) -> BridgeProtocol {
        self.inner.protocol()
    }

    async fn start(&self) -> Result<()> {
        let started = self.inner.start().await;
        match self.fault {
            Fault::StartsTwice => {
                started?;
                self.inner.start().await
            }
            Fault::IgnoresStartErrors => Ok(()),
            _ => started,
        }
    }

    async fn receive(&self) -> Result<Option<Delivery>> {
        loop {
            if self.stopped.load(Ordering::SeqCst)
                && matches!(self.fault, Fault::LeavesTheRest | Fault::RemembersDestroyed)
            {
                if self.fault == Fault::LeavesTheRest {
                    return Ok(None);
                }
                std::future::pending::<()>().await;
            }
            let received = tokio::select! {
                received = self.inner.receive() => received,
                () = self.changed.notified() => continue,
            };
            return match (self.fault, received) {
                (Fault::FailsOnEveryError, Err(error)) => Err(error.with_retryability(Retryability::Never)),
                (Fault::NeverFails, Err(error)) => Err(error.with_retryability(Retryability::Now)),
                (_, Ok(Some(delivery))) => Ok(Some(self.spoil(delivery))),
                (_, received) => received,
            };
        }
    }

    async fn stop(&self) -> Result<()> {
        self.finish();
        match self.fault {
            Fault::LeavesTheSourceRunning => Ok(()),
            _ => self.inner.stop().await,
        }
    }

    async fn health(&self) -> EndpointHealth {
        self.inner.health().await
    }
}

impl FaultySource {
    fn spoil(&self, mut delivery: Delivery) -> Delivery {
        let mut message = delivery.take_message().expect("a delivery has a message");
        match self.fault {
            Fault::IgnoresKeys => {
                if let Some(key) = message.key.take() {
                    message.headers.push((HIDDEN_KEY.to_owned(), key));
                }
            }
            Fault::OneLane => {
                let key = message.key.take().unwrap_or_else(|| Bytes::from_static(b"\0none"));
                message.headers.push((HIDDEN_KEY.to_owned(), key));
                message.key = Some(Bytes::from_static(b"lane"));
            }
            _ => {}
        }
        let answer = SpoiltAnswer {
            fault: self.fault,
            number: self.answers.fetch_add(1, Ordering::SeqCst),
            id: message.id.clone(),
            delivery: Arc::new(Mutex::new(Some(delivery))),
        };
        if self.fault == Fault::AcknowledgesEarly {
            let (delivery, id) = (Arc::clone(&answer.delivery), answer.id.clone());
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                if let Some(delivery) = delivery.lock().unwrap().take() {
                    delivery.acknowledge(BridgeReceipt::new(id, Disposition::Delivered, "events"));
                }
            });
        }
        Delivery::new(message, Box::new(answer))
    }
}

struct SpoiltAnswer {
    fault: Fault,
    number: usize,
    id: String,
    delivery: Arc<Mutex<Option<Delivery>>>,
}

impl Acknowledge for SpoiltAnswer {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        let Some(delivery) = self.delivery.lock().unwrap().take() else {
            return;
        };
        match (self.fault, result) {
            (Fault::HidesRejections, Err(_)) => {
                delivery.acknowledge(BridgeReceipt::new(self.id.clone(), Disposition::Delivered, "events"));
            }
            (Fault::LosesAnswers, _) if self.number % 8 == 5 => std::mem::forget(delivery),
            (fault, Ok(mut receipt)) => {
                spoil_receipt(fault, &mut receipt);
                delivery.acknowledge(receipt);
            }
            (_, Err(error)) => delivery.reject(error),
        }
    }
}

pub(super) fn spoil_receipt(fault: Fault, receipt: &mut BridgeReceipt) {
    match fault {
        Fault::LosesPositions => receipt.position = None,
        Fault::LosesRules => receipt.rule = None,
        Fault::MiscountsAttempts => receipt.attempts = 1,
        _ => {}
    }
}

#[derive(Debug)]
pub(super) struct FaultySink {
    fault: Fault,
    inner: Arc<dyn BridgeSink>,
    grave: Option<String>,
    /// What was said of a message on an earlier journey, by its id.
    earlier: Mutex<HashMap<String, Bytes>>,
}

impl FaultySink {
    pub(super) fn new(fault: Fault, inner: Arc<dyn BridgeSink>, grave: Option<String>) -> Self {
        Self {
            fault,
            inner,
            grave,
            earlier: Mutex::default(),
        }
    }

    fn spoil(&self, target: &str, mut message: BridgeMessage) -> BridgeMessage {
        if let Some(index) = message.headers.iter().position(|(name, _)| name == HIDDEN_KEY) {
            let (_, key) = message.headers.remove(index);
            message.key = (key.as_ref() != b"\0none").then_some(key);
        }
        let letter = self.grave.as_deref() == Some(target);
        let says_why = |name: &str| name.starts_with("dead-letter-");
        match self.fault {
            Fault::TrimsPayloads => message.payload = message.payload.trim_ascii().to_vec().into(),
            Fault::LosesRepeatedHeaders => {
                let mut seen = Vec::new();
                message.headers.retain(|(name, _)| {
                    let first = !seen.contains(name);
                    seen.push(name.clone());
                    first
                });
            }
            Fault::LosesKeys => message.key = None,
            Fault::SilentDeadLetters if letter => message.headers.retain(|(name, _)| !says_why(name)),
            Fault::StripsDeadLetters if letter => message.headers.retain(|(name, _)| says_why(name)),
            Fault::KeepsOldReasons => {
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
impl BridgeSink for FaultySink {
    fn protocol(&self) -> BridgeProtocol {
        self.inner.protocol()
    }

    async fn start(&self) -> Result<()> {
        let started = self.inner.start().await;
        match self.fault {
            Fault::IgnoresStartErrors => Ok(()),
            _ => started,
        }
    }

    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
        let message = self.spoil(target, message);
        let call = std::panic::AssertUnwindSafe(self.inner.deliver(target, message));
        let delivered = match futures_util::FutureExt::catch_unwind(call).await {
            Ok(delivered) => delivered,
            Err(_) if self.fault == Fault::SwallowsPanics => return Ok(None),
            Err(_) if self.fault == Fault::HangsOnPanic => {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                return Ok(None);
            }
            Err(panic) => std::panic::resume_unwind(panic),
        };
        delivered.map_err(|error| match (self.fault, error.retryability()) {
            (Fault::RetriesEverything, Retryability::Never) | (Fault::IgnoresRetryAfter, Retryability::After(_)) => {
                error.with_retryability(Retryability::Now)
            }
            _ => error,
        })
    }

    async fn stop(&self) -> Result<()> {
        match self.fault {
            Fault::LeavesTheSinkRunning => Ok(()),
            _ => self.inner.stop().await,
        }
    }

    async fn health(&self) -> EndpointHealth {
        self.inner.health().await
    }
}
