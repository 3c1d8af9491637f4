//! Deliberately broken implementations of the extended Kafka operations.
//!
//! [`SaboteurHarness`] wraps a harness whose instances are correct. Run against it, the suite must fail in exactly the cases
//! that [`Saboteur::caught_by`] names.

mod extended;
mod processor;
mod saboteur;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{
    CompatibilityLevel, KafkaCapabilities, KafkaClient, KafkaExtended, KafkaExtendedCapabilities,
};

use self::extended::SaboteurExtended;
pub use self::saboteur::Saboteur;
use crate::kafka::KafkaHarness;
use crate::kafka_extended::KafkaExtendedHarness;
use crate::kit::{CaseResult, CaseRuntime, Failure, Harness, KnownFailure};

/// A harness whose instances make the mistake of one [`Saboteur`].
#[derive(Debug)]
pub struct SaboteurHarness<H> {
    inner: H,
    saboteur: Saboteur,
}

impl<H: KafkaExtendedHarness> SaboteurHarness<H> {
    /// Wraps the instances of `inner`, so that they make the mistake of `saboteur`.
    pub fn new(inner: H, saboteur: Saboteur) -> Self {
        Self { inner, saboteur }
    }
}

impl<H: KafkaExtendedHarness> Harness for SaboteurHarness<H> {
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

/// The methods that the suite of the extended operations uses.
#[async_trait]
impl<H: KafkaExtendedHarness> KafkaHarness for SaboteurHarness<H> {
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure> {
        self.inner.client().await
    }

    fn capabilities(&self) -> &'static KafkaCapabilities {
        self.inner.capabilities()
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
}

#[async_trait]
impl<H: KafkaExtendedHarness> KafkaExtendedHarness for SaboteurHarness<H> {
    async fn extended(&self) -> Result<Arc<dyn KafkaExtended>, Failure> {
        Ok(Arc::new(SaboteurExtended::new(
            self.inner.extended().await?,
            self.saboteur,
        )))
    }

    fn extended_capabilities(&self) -> &'static KafkaExtendedCapabilities {
        match self.saboteur {
            Saboteur::HidesCapabilities => const { &KafkaExtendedCapabilities::none() },
            _ => self.inner.extended_capabilities(),
        }
    }

    fn can_set_level(&self) -> bool {
        self.inner.can_set_level()
    }

    async fn set_level(&self, subject: &str, level: CompatibilityLevel) -> CaseResult {
        let level = match (self.saboteur, level) {
            (Saboteur::OnlyBackward, _) | (Saboteur::NotTransitive, CompatibilityLevel::BackwardTransitive) => {
                CompatibilityLevel::Backward
            }
            (Saboteur::NotTransitive, CompatibilityLevel::ForwardTransitive) => CompatibilityLevel::Forward,
            (Saboteur::NotTransitive, CompatibilityLevel::FullTransitive) => CompatibilityLevel::Full,
            (_, level) => level,
        };
        self.inner.set_level(subject, level).await
    }
}
