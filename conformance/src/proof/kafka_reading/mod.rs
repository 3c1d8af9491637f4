//! Deliberately broken implementations of `KafkaReading`.
//!
//! [`SaboteurHarness`] wraps a harness whose clients are correct. Run against it, the suite must fail in exactly the cases that
//! [`Saboteur::caught_by`] names.

mod client;
mod reading;
mod saboteur;

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::kafka::KafkaReadingCapabilities;

use self::client::SaboteurClient;
use self::reading::SaboteurReading;
pub use self::saboteur::Saboteur;
use crate::kafka_reading::{KafkaReadingHarness, ReadingClient};
use crate::kit::Failure;
use crate::proof::kafka::delegate_to_inner;

/// A harness whose clients make the mistake of one [`Saboteur`].
#[derive(Debug)]
pub struct SaboteurHarness<H> {
    inner: H,
    saboteur: Saboteur,
}

impl<H: KafkaReadingHarness> SaboteurHarness<H> {
    /// Wraps the clients of `inner`, so that they make the mistake of `saboteur`.
    pub fn new(inner: H, saboteur: Saboteur) -> Self {
        Self { inner, saboteur }
    }
}

delegate_to_inner! {
    bound KafkaReadingHarness;
    client |_, client| client;
    capabilities |_, stated| stated;
}

#[async_trait]
impl<H: KafkaReadingHarness> KafkaReadingHarness for SaboteurHarness<H> {
    async fn reading_client(&self) -> Result<ReadingClient, Failure> {
        let inner = self.inner.reading_client().await?;
        let reading = Arc::new(SaboteurReading::new(inner, self.saboteur));
        Ok(ReadingClient {
            client: Arc::new(SaboteurClient::new(Arc::clone(&reading))),
            reading,
        })
    }

    fn reading_capabilities(&self) -> &'static KafkaReadingCapabilities {
        static NONE: KafkaReadingCapabilities = KafkaReadingCapabilities::none();
        match self.saboteur {
            Saboteur::HidesCapabilities => &NONE,
            _ => self.inner.reading_capabilities(),
        }
    }

    async fn topic_named(&self, name: &str, partitions: i32) -> Result<(), Failure> {
        self.inner.topic_named(name, partitions).await
    }
}
