//! The setup of cases: a source and its peer.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use networking_spi::ErrorKind;
use networking_spi::bridge::{BridgeMessage, BridgeReceipt, BridgeSource, Delivery, Disposition};
use networking_spi::error::NetworkError;

use super::super::content::Passage;
use super::super::{Content, Sent, settle};
use super::{Dyn, PeerOutcome, PeerOutcomes, SourcePeer, SourceProfile};
use crate::CaseResult;
use crate::kit::Failure;

/// The time between two looks at what the peer knows.
const POLL: Duration = Duration::from_millis(5);

pub(super) struct Scene {
    patience: Duration,
    pub(super) profile: SourceProfile,
    pub(super) source: Arc<dyn BridgeSource>,
    pub(super) peer: Arc<dyn SourcePeer>,
}

impl Scene {
    /// A source that is not started.
    pub(super) async fn new(harness: &Arc<Dyn>) -> Result<Self, Failure> {
        let subject = harness.source().await?;
        Ok(Self {
            patience: harness.patience(),
            profile: harness.profile(),
            source: subject.source,
            peer: subject.peer,
        })
    }

    /// Waits for an event that must happen.
    pub(super) async fn within<F: Future>(&self, what: impl Display, event: F) -> Result<F::Output, Failure> {
        crate::kit::within(self.patience, what, event).await
    }

    /// Waits until the condition holds.
    pub(super) async fn eventually<F: Future<Output = bool>>(
        &self,
        what: impl Display,
        mut condition: impl FnMut() -> F,
    ) -> CaseResult {
        let wait = async {
            while !condition().await {
                tokio::time::sleep(POLL).await;
            }
        };
        self.within(what, wait).await
    }

    pub(super) async fn started(harness: &Arc<Dyn>) -> Result<Self, Failure> {
        let scene = Self::new(harness).await?;
        scene.within("`start`", scene.source.start()).await??;
        Ok(scene)
    }

    pub(super) async fn send(&self, message: BridgeMessage) -> Result<Sent, Failure> {
        let sent = self
            .within("the peer to send a message", self.peer.send(message))
            .await?;
        sent.map_err(|error| Failure::with_error("the peer cannot send", &error))
    }

    /// The next message. The end and errors fail the case.
    pub(super) async fn receive(&self) -> Result<Delivery, Failure> {
        let received = self.within("a message from `receive`", self.source.receive()).await?;
        received?.ok_or_else(|| Failure::new("`receive` reported the end, but a message was expected"))
    }

    /// Receives a message, and acknowledges it.
    pub(super) async fn receive_and_acknowledge(&self) -> Result<BridgeMessage, Failure> {
        let mut delivery = self.receive().await?;
        let message = taken(&mut delivery)?;
        delivery.acknowledge(receipt(&message));
        Ok(message)
    }

    pub(super) async fn stop(&self) -> CaseResult {
        Ok(self.within("`stop`", self.source.stop()).await??)
    }

    /// Receives and acknowledges until the end, and returns the payloads.
    pub(super) async fn drain(&self) -> Result<Vec<Bytes>, Failure> {
        let mut payloads = Vec::new();
        loop {
            let received = self.within("the end after `stop`", self.source.receive()).await?;
            let Some(mut delivery) = received? else {
                return Ok(payloads);
            };
            let message = taken(&mut delivery)?;
            delivery.acknowledge(receipt(&message));
            payloads.push(message.payload);
        }
    }

    /// Waits until the source has taken `messages` from the peer, as far as the harness knows. Returns whether they were taken.
    pub(super) async fn wait_for_arrivals(&self, messages: usize) -> Result<bool, Failure> {
        if self.peer.arrived().is_none() {
            settle().await;
            return Ok(false);
        }
        let arrived = || async { self.peer.arrived().is_none_or(|arrived| arrived >= messages) };
        self.eventually("the source to take the messages", arrived).await?;
        Ok(true)
    }

    pub(super) async fn wait_for_acknowledgement(&self, sent: Sent) -> CaseResult {
        let mut last = PeerOutcome::Pending;
        let known = self.within("the peer to learn of an acknowledgement", async {
            loop {
                last = self.peer.outcome(sent).await;
                if last != PeerOutcome::Pending {
                    return;
                }
                tokio::time::sleep(POLL).await;
            }
        });
        known.await?;
        match last {
            PeerOutcome::Refused(reason) => Err(Failure::new(format!(
                "the delivery was acknowledged, but the peer was refused: {reason}"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that the peer does not lose a message that was rejected: the peer is refused, or keeps the message, which is then
    /// received again. Acknowledges the message in this case.
    pub(super) async fn check_rejected(&self, sent: Sent, payload: &Bytes) -> CaseResult {
        if self.profile.outcomes == PeerOutcomes::Kept {
            let again = self
                .receive_and_acknowledge()
                .await
                .map_err(|failure| Failure::new(format!("the rejected message is not received again: {failure}")))?;
            crate::check_eq!(
                again.payload,
                *payload,
                "the message that is received after the rejection"
            );
            return self.wait_for_acknowledgement(sent).await;
        }
        self.eventually("the peer to learn of the rejection", || async {
            self.peer.outcome(sent).await != PeerOutcome::Pending
        })
        .await?;
        match self.peer.outcome(sent).await {
            PeerOutcome::Refused(_) => Ok(()),
            outcome => Err(Failure::new(format!(
                "the message was rejected, but for the peer it is {outcome:?}"
            ))),
        }
    }

    /// Checks that each message was received, or that its peer knows that it was not processed.
    pub(super) async fn check_none_lost(&self, sent: &[(Sent, Bytes)], received: &[Bytes]) -> CaseResult {
        let received: HashSet<&Bytes> = received.iter().collect();
        for (sent, payload) in sent.iter().filter(|(_, payload)| !received.contains(payload)) {
            match self.profile.outcomes {
                PeerOutcomes::Unseen => {}
                PeerOutcomes::Kept => {
                    let outcome = self.peer.outcome(*sent).await;
                    crate::check_eq!(
                        outcome,
                        PeerOutcome::Pending,
                        "a message that was not received ({payload:?})"
                    );
                }
                PeerOutcomes::Reported => {
                    self.eventually(
                        &format!("the outcome of {payload:?}, which was not received"),
                        || async { matches!(self.peer.outcome(*sent).await, PeerOutcome::Refused(_)) },
                    )
                    .await?;
                }
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Passage for Scene {
    fn content(&self) -> &Content {
        &self.profile.content
    }

    /// Sends a message, receives and acknowledges it.
    async fn pass(&self, message: BridgeMessage) -> Result<BridgeMessage, Failure> {
        self.send(message).await?;
        self.receive_and_acknowledge().await
    }
}

/// The message of a delivery.
pub(super) fn taken(delivery: &mut Delivery) -> Result<BridgeMessage, Failure> {
    delivery
        .take_message()
        .ok_or_else(|| Failure::new("the delivery has no message"))
}

pub(super) fn receipt(message: &BridgeMessage) -> BridgeReceipt {
    BridgeReceipt::new(message.id.clone(), Disposition::Delivered, "target").with_position("0@7")
}

/// The error with which a bridge rejects a message that its sink refused.
pub(super) fn permanent() -> NetworkError {
    NetworkError::new(ErrorKind::Remote, "sink.deliver", "the peer refuses it")
}

/// The error with which a bridge rejects a message after a transient failure of its sink.
pub(super) fn transient() -> NetworkError {
    NetworkError::new(ErrorKind::ConnectionClosed, "sink.deliver", "the connection was lost")
}
