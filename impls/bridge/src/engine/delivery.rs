//! Processes one message: routing, delivery with retries, dead letters.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::bridge::{BridgeMessage, BridgeReceipt, Disposition};
use networking_spi::error::context;
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, Retryability};

use super::Engine;
use super::dead_letter::{Cause, Reason, dead_letter};
use super::endpoint_call::guarded;
use super::in_flight::InFlight;
use crate::routing::{Decision, Router};

/// A delivery that the sink acknowledged.
struct Delivered {
    position: Option<String>,
    attempts: u32,
}

impl Engine {
    /// Processes a message, and acknowledges or rejects it.
    pub(super) async fn process(engine: &Arc<Self>, mut message: InFlight) {
        let router = Arc::clone(&message.router);
        let result = match message.take_message() {
            Ok(content) => engine.handle(&router, content).await,
            Err(error) => Err(error),
        };
        message.complete(result);
    }

    async fn handle(&self, router: &Arc<Router>, message: BridgeMessage) -> Result<BridgeReceipt> {
        message.validate()?;
        if message.payload.len() > self.config.max_payload_size {
            let error = NetworkError::new(
                ErrorKind::TooLarge,
                "bridge.receive",
                "the payload exceeds the maximum size",
            )
            .with_context("size", message.payload.len().to_string())
            .with_context(context::LIMIT, self.config.max_payload_size.to_string());
            return self.undeliverable(message, Reason::TooLarge, None, None, error).await;
        }
        let (message, route) = router.route(message).await;
        self.statistics.routed(&route);
        let rule = route.rule.as_deref();
        match route.decision {
            Decision::Deliver(target) => match self.deliver(&target, &message).await {
                Ok(delivered) => Ok(receipt(&message, Disposition::Delivered, &target, rule, delivered)),
                Err(error) => {
                    self.undeliverable(message, Reason::DeliveryFailed, Some(&target), rule, error)
                        .await
                }
            },
            Decision::Drop => {
                let none = Delivered {
                    position: None,
                    attempts: 0,
                };
                Ok(receipt(&message, Disposition::Dropped, "", rule, none))
            }
            Decision::DeadLetter => {
                let cause = Cause {
                    reason: Reason::Rule,
                    target: None,
                    rule,
                    error: None,
                    attempts: 0,
                };
                self.dead_letter(message, &cause).await
            }
            Decision::NoRoute => {
                let error = NetworkError::new(
                    ErrorKind::Rejected,
                    "bridge.route",
                    "no rule matches, and there is no default target",
                );
                self.undeliverable(message, Reason::NoRoute, None, rule, error).await
            }
            Decision::ConditionFailed(reason) => {
                let error = NetworkError::new(ErrorKind::Rejected, "bridge.route", "a condition cannot be evaluated")
                    .with_context(context::REASON, reason);
                self.undeliverable(message, Reason::ConditionError, None, rule, error)
                    .await
            }
        }
    }

    /// Dead-letters the message if the bridge has a dead-letter target; otherwise returns the error.
    async fn undeliverable(
        &self,
        message: BridgeMessage,
        reason: Reason,
        target: Option<&str>,
        rule: Option<&str>,
        error: NetworkError,
    ) -> Result<BridgeReceipt> {
        if self.config.dead_letter_target.is_none() {
            return Err(error);
        }
        let attempts = if reason == Reason::DeliveryFailed {
            error.attempts()
        } else {
            0
        };
        let cause = Cause {
            reason,
            target,
            rule,
            error: Some(&error),
            attempts,
        };
        self.record_error(&error);
        tracing::warn!(
            bridge = %self.name, message = %message.id, reason = reason.as_str(), %error, "a message is dead-lettered",
        );
        self.dead_letter(message, &cause).await
    }

    /// Delivers to the dead-letter target. If that also fails, the message is rejected, so that the source's peer keeps it.
    async fn dead_letter(&self, message: BridgeMessage, cause: &Cause<'_>) -> Result<BridgeReceipt> {
        let Some(target) = self.config.dead_letter_target.as_deref() else {
            return Err(NetworkError::new(
                ErrorKind::Rejected,
                "bridge.route",
                "there is no dead-letter target",
            ));
        };
        let letter = dead_letter(message, &self.name, cause, self.clock.now());
        match self.deliver(target, &letter).await {
            Ok(mut delivered) => {
                delivered.attempts += cause.attempts;
                Ok(receipt(
                    &letter,
                    Disposition::DeadLettered,
                    target,
                    cause.rule,
                    delivered,
                ))
            }
            Err(error) => {
                let cause = cause.error.map_or(cause.reason.as_str(), |error| error.kind().as_str());
                tracing::error!(bridge = %self.name, message = %letter.id, %error, cause, "dead-lettering failed");
                Err(error.with_context("dead_letter_of", cause))
            }
        }
    }

    /// Retries until the sink acknowledges, the attempts are used up, or the error is not retryable.
    async fn deliver(&self, target: &str, message: &BridgeMessage) -> Result<Delivered> {
        let retry = &self.config.retry;
        let mut attempts = 1;
        loop {
            let error = match self.attempt(target, message.clone()).await {
                Ok(position) => return Ok(Delivered { position, attempts }),
                Err(error) => error,
            };
            let wait = match error.retryability() {
                Retryability::Never => None,
                _ if attempts >= retry.max_attempts => None,
                Retryability::Now | Retryability::Exhausted(None) => Some(self.backoff(attempts)),
                // At least the wait that the sink requested. If that exceeds the maximum, the delivery fails: the source can
                // retry after the wait in the error, and meanwhile the message does not occupy a permit.
                Retryability::After(asked) | Retryability::Exhausted(Some(asked)) => {
                    (asked <= retry.backoff.maximum).then(|| asked.max(self.backoff(attempts)))
                }
            };
            let Some(wait) = wait else {
                return Err(error.with_attempts(attempts).with_context(context::TARGET, target));
            };
            tracing::debug!(bridge = %self.name, message = %message.id, attempts, ?wait, %error, "a delivery is retried");
            self.statistics.retried();
            attempts += 1;
            tokio::time::sleep(wait).await;
        }
    }

    async fn attempt(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
        let limit = self.config.delivery_timeout;
        let call = guarded("the sink", self.sink.deliver(target, message));
        tokio::time::timeout(limit, call)
            .await
            .unwrap_or_else(|_| Err(NetworkError::timeout("bridge.deliver", Phase::Attempt, limit)))
    }

    fn backoff(&self, attempts: u32) -> Duration {
        self.config.retry.backoff.delay(attempts, self.random())
    }
}

fn receipt(
    message: &BridgeMessage,
    disposition: Disposition,
    target: &str,
    rule: Option<&str>,
    delivered: Delivered,
) -> BridgeReceipt {
    let mut receipt = BridgeReceipt::new(message.id.clone(), disposition, target).with_attempts(delivered.attempts);
    receipt.position = delivered.position;
    receipt.rule = rule.map(str::to_owned);
    receipt
}
