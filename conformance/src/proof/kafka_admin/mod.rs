//! Deliberately broken administrators of Kafka.
//!
//! [`SaboteurHarness`] wraps a harness whose administrators are correct. Run against it, the suite must fail in exactly the cases
//! that [`Saboteur::caught_by`] names.

mod admin;
mod saboteur;

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::kafka::{KafkaAdmin, KafkaAdminCapabilities};

use self::admin::SaboteurAdmin;
pub use self::saboteur::Saboteur;
use crate::kafka_admin::KafkaAdminHarness;
use crate::kit::Failure;
use crate::proof::kafka::delegate_to_inner;

/// A harness whose administrators make the mistake of one [`Saboteur`].
#[derive(Debug)]
pub struct SaboteurHarness<H> {
    inner: H,
    saboteur: Saboteur,
}

impl<H: KafkaAdminHarness> SaboteurHarness<H> {
    /// Wraps the administrators of `inner`, so that they make the mistake of `saboteur`.
    pub fn new(inner: H, saboteur: Saboteur) -> Self {
        Self { inner, saboteur }
    }
}

delegate_to_inner! {
    bound KafkaAdminHarness;
    client |_, client| client;
    capabilities |_, stated| stated;
}

#[async_trait]
impl<H: KafkaAdminHarness> KafkaAdminHarness for SaboteurHarness<H> {
    async fn admin(&self) -> Result<Arc<dyn KafkaAdmin>, Failure> {
        Ok(Arc::new(SaboteurAdmin::new(
            self.inner.admin().await?,
            self.inner.client().await?,
            self.saboteur,
        )))
    }

    fn admin_capabilities(&self) -> &'static KafkaAdminCapabilities {
        match self.saboteur {
            Saboteur::HidesCapabilities => const { &KafkaAdminCapabilities::none() },
            _ => self.inner.admin_capabilities(),
        }
    }
}
