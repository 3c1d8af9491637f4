//! Deliberately broken Kafka clients.
//!
//! [`SaboteurHarness`] wraps a harness whose clients are correct. Run against it, the suite must fail in exactly the
//! cases that [`Saboteur::caught_by`] names.

mod client;
mod config;
mod delegate;
mod saboteur;

use std::sync::Arc;

use self::client::SaboteurClient;
pub(super) use self::delegate::delegate_to_inner;
pub use self::saboteur::Saboteur;
use crate::kafka::KafkaHarness;

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

delegate_to_inner! {
    bound KafkaHarness;
    client |saboteur, client| Arc::new(SaboteurClient::new(client, saboteur));
    // The wrapped harness states a constant, so there are few values; a proof runs once.
    capabilities |saboteur, stated| Box::leak(Box::new(saboteur.declared(*stated)));
}
