//! The setup of cases: a sink and its peer.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::Result as SpiResult;
use networking_spi::bridge::{BridgeMessage, BridgeSink, HealthState};

use super::super::Content;
use super::super::content::Passage;
use super::{Dyn, Received, SinkPeer, SinkProfile};
use crate::kit::Failure;
use crate::{CaseResult, check};

pub(super) struct Scene {
    patience: Duration,
    pub(super) profile: SinkProfile,
    pub(super) sink: Arc<dyn BridgeSink>,
    pub(super) peer: Arc<dyn SinkPeer>,
}

impl Scene {
    /// A sink that is not started.
    pub(super) async fn new(harness: &Arc<Dyn>) -> Result<Self, Failure> {
        let subject = harness.sink().await?;
        Ok(Self {
            patience: harness.patience(),
            profile: harness.profile(),
            sink: subject.sink,
            peer: subject.peer,
        })
    }

    /// Waits for an event that must happen.
    pub(super) async fn within<F: Future>(&self, what: impl Display, event: F) -> Result<F::Output, Failure> {
        crate::kit::within(self.patience, what, event).await
    }

    pub(super) async fn started(harness: &Arc<Dyn>) -> Result<Self, Failure> {
        let scene = Self::new(harness).await?;
        scene.within("`start`", scene.sink.start()).await??;
        Ok(scene)
    }

    /// Delivers to the first target.
    pub(super) async fn try_deliver(&self, message: BridgeMessage) -> Result<SpiResult<Option<String>>, Failure> {
        self.within("`deliver`", self.sink.deliver(&self.profile.target, message))
            .await
    }

    pub(super) async fn deliver(&self, message: BridgeMessage) -> Result<Option<String>, Failure> {
        Ok(self.try_deliver(message).await??)
    }

    /// Starts a delivery to the first target.
    pub(super) fn spawn(&self, message: BridgeMessage) -> tokio::task::JoinHandle<SpiResult<Option<String>>> {
        let (sink, target) = (Arc::clone(&self.sink), self.profile.target.clone());
        tokio::spawn(async move { sink.deliver(&target, message).await })
    }

    pub(super) async fn received(&self) -> Vec<Received> {
        self.peer.received(&self.profile.target).await
    }

    /// The payloads that the peer has received for the first target.
    pub(super) async fn payloads(&self) -> Vec<String> {
        let received = self.received().await.into_iter();
        received
            .map(|received| String::from_utf8_lossy(&received.message.payload).into_owned())
            .collect()
    }

    pub(super) async fn stop(&self) -> CaseResult {
        Ok(self.within("`stop`", self.sink.stop()).await??)
    }

    pub(super) async fn health(&self) -> HealthState {
        self.sink.health().await.state
    }
}

#[async_trait]
impl Passage for Scene {
    fn content(&self) -> &Content {
        &self.profile.content
    }

    /// Delivers a message, and returns the one that the peer has then received last.
    async fn pass(&self, message: BridgeMessage) -> Result<BridgeMessage, Failure> {
        let before = self.received().await.len();
        self.deliver(message).await?;
        let mut received = self.received().await;
        check!(
            received.len() == before + 1,
            "`deliver` succeeded, and the peer has {} messages instead of {}",
            received.len(),
            before + 1
        );
        received
            .pop()
            .map(|received| received.message)
            .ok_or_else(|| Failure::new("`deliver` succeeded, but the peer has no message"))
    }
}
