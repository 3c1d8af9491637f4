//! Deliberately broken implementations of the extended Kafka operations.
//!
//! [`SaboteurHarness`] wraps a harness whose instances are correct. Run against it, the suite must fail in exactly the cases
//! that [`Saboteur::caught_by`] names.

mod extended;
mod processor;
mod saboteur;

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::kafka::{CompatibilityLevel, KafkaExtended, KafkaExtendedCapabilities};

use self::extended::SaboteurExtended;
pub use self::saboteur::Saboteur;
use crate::kafka_extended::KafkaExtendedHarness;
use crate::kit::{CaseResult, Failure};
use crate::proof::kafka::delegate_to_inner;

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

delegate_to_inner! {
    bound KafkaExtendedHarness;
    client |_, client| client;
    capabilities |_, stated| stated;
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
