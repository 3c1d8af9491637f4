//! What a backend brings to the suite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{KafkaCapabilities, KafkaClient};

use crate::case::{CaseResult, Failure, Harness};

/// Makes clients of one cluster, and topics on it.
///
/// A harness serves one case. Its cluster may be fresh, or shared with other cases and other users: then topics and names
/// must be unique. Nothing that the suite did not create is ever changed or deleted.
///
/// Waiting is driven by events: cases consume with [`settle`](Self::settle) as the upper bound, so a large bound costs
/// nothing where the expected thing happens.
#[async_trait]
pub trait KafkaHarness: Harness {
    /// Another client of the cluster. Each call gives a client of its own, and all of them see the same topics and groups.
    ///
    /// # Errors
    /// A failure to connect fails the case.
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure>;

    /// What its clients declare. Each client must declare the same.
    fn capabilities(&self) -> KafkaCapabilities;

    /// A new, empty topic that can be written to. Backends without topic administration make it in their own way.
    ///
    /// # Errors
    /// A failure to make it fails the case.
    async fn topic(&self, partitions: i32) -> Result<String, Failure>;

    /// A name that is used nowhere else on the cluster: for groups, and for topics that must not exist.
    fn unique(&self, what: &str) -> String;

    /// How long anything may take: a rebalance, a first message. Cases wait no longer, and rarely as long.
    fn settle(&self) -> Duration;

    /// How long nothing must come before a case believes that nothing will.
    fn quiet(&self) -> Duration;

    /// Whether a topic that nobody created stays unknown when it is written to. Some clusters create it.
    fn unknown_topics_stay_unknown(&self) -> bool {
        true
    }

    /// Whether [`interrupt`](Self::interrupt) works.
    fn can_interrupt(&self) -> bool {
        false
    }

    /// Makes the brokers of a topic unreachable, or reachable again.
    ///
    /// # Errors
    /// A failure to do so fails the case.
    async fn interrupt(&self, topic: &str, interrupted: bool) -> CaseResult {
        let _ = (topic, interrupted);
        Err(Failure::new("the harness cannot interrupt topics"))
    }
}
