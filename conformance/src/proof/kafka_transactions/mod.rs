//! Deliberately broken transactions.
//!
//! [`SaboteurHarness`] wraps a harness whose clients are correct. Run against it, the suite must fail in exactly the cases
//! that [`Saboteur::caught_by`] names.

mod client;
mod saboteur;
mod transactions;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::saboteur::Saboteur;
use self::transactions::SaboteurTransactions;
use crate::kafka_transactions::{KafkaTransactionsHarness, TransactionalClient};
use crate::kit::Failure;
use crate::proof::kafka::delegate_to_inner;

/// A harness whose clients make the mistake of one [`Saboteur`] in transactions.
#[derive(Debug)]
pub struct SaboteurHarness<H> {
    inner: H,
    saboteur: Saboteur,
}

impl<H: KafkaTransactionsHarness> SaboteurHarness<H> {
    /// Wraps the clients of `inner`, so that they make the mistake of `saboteur`.
    pub fn new(inner: H, saboteur: Saboteur) -> Self {
        Self { inner, saboteur }
    }
}

delegate_to_inner! {
    bound KafkaTransactionsHarness;
    client |_, client| client;
    // The wrapped harness states a constant, so there are few values; a proof runs once.
    capabilities |saboteur, stated| match saboteur {
        Saboteur::HidesTransactions => {
            let mut hidden = *stated;
            hidden.transactions = false;
            Box::leak(Box::new(hidden))
        }
        _ => stated,
    };
}

#[async_trait]
impl<H: KafkaTransactionsHarness> KafkaTransactionsHarness for SaboteurHarness<H> {
    async fn transactional(&self) -> Result<TransactionalClient, Failure> {
        let broken = Arc::new(SaboteurTransactions::new(
            self.inner.transactional().await?,
            self.saboteur,
        ));
        Ok(TransactionalClient {
            client: Arc::clone(&broken) as _,
            transactions: broken,
        })
    }
}
