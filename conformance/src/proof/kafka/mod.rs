//! Deliberately broken Kafka clients.
//!
//! [`SaboteurHarness`] wraps a harness whose clients are correct. Run against it, the suite must fail in exactly the
//! cases that [`Saboteur::caught_by`] names.

mod client;
mod config;
mod saboteur;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{ConsumerId, KafkaCapabilities, KafkaClient};

use self::client::SaboteurClient;
pub use self::saboteur::Saboteur;
use crate::kafka::KafkaHarness;
use crate::kit::{CaseResult, CaseRuntime, Failure, Harness, KnownFailure};

/// A harness whose clients make the mistake of one [`Saboteur`].
#[derive(Debug)]
pub struct SaboteurHarness<H> {
    inner: H,
    saboteur: Saboteur,
}

impl<H: KafkaHarness> SaboteurHarness<H> {
    /// Wraps the clients of `inner`, so that they make the mistake of `saboteur`.
    pub fn new(inner: H, saboteur: Saboteur) -> Self {
        Self { inner, saboteur }
    }
}

impl<H: KafkaHarness> Harness for SaboteurHarness<H> {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn runtime(&self) -> CaseRuntime {
        self.inner.runtime()
    }

    fn patience(&self) -> Duration {
        self.inner.patience()
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        Vec::new()
    }
}

#[async_trait]
impl<H: KafkaHarness> KafkaHarness for SaboteurHarness<H> {
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure> {
        Ok(Arc::new(SaboteurClient::new(self.inner.client().await?, self.saboteur)))
    }

    fn capabilities(&self) -> &'static KafkaCapabilities {
        // The wrapped harness states a constant, so there are few values; a proof runs once.
        Box::leak(Box::new(self.saboteur.declared(*self.inner.capabilities())))
    }

    async fn topic(&self, partitions: i32) -> Result<String, Failure> {
        self.inner.topic(partitions).await
    }

    fn unique(&self, what: &str) -> String {
        self.inner.unique(what)
    }

    fn quiet(&self) -> Duration {
        self.inner.quiet()
    }

    fn unknown_topics_stay_unknown(&self) -> bool {
        self.inner.unknown_topics_stay_unknown()
    }

    fn client_ids(&self) -> Option<BTreeSet<String>> {
        self.inner.client_ids()
    }

    fn can_crash(&self) -> bool {
        self.inner.can_crash()
    }

    async fn crash(&self, consumer: &ConsumerId) -> CaseResult {
        self.inner.crash(consumer).await
    }

    fn can_abort(&self) -> bool {
        self.inner.can_abort()
    }

    async fn write_aborted(&self, topic: &str, value: &str) -> CaseResult {
        self.inner.write_aborted(topic, value).await
    }

    fn can_interrupt(&self) -> bool {
        self.inner.can_interrupt()
    }

    async fn interrupt(&self, topic: &str, interrupted: bool) -> CaseResult {
        self.inner.interrupt(topic, interrupted).await
    }
}
