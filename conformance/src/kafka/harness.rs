//! The harness of a Kafka backend.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{ConsumerId, KafkaCapabilities, KafkaClient};

use crate::kit::{CaseResult, Failure, Harness};

/// Makes clients of one cluster, and topics on it.
///
/// A harness serves one case. Its cluster may be fresh, or shared with other cases and other users; names must be
/// unique on a shared cluster. The suite changes and deletes only what it has created.
///
/// Cases wait for events such as a rebalance or a first message, with [`patience`](Harness::patience) as the upper bound.
/// For a broker that is real it should be about 30 seconds.
#[async_trait]
pub trait KafkaHarness: Harness {
    /// Another client of the cluster. Each call makes a new client, and all clients see the same topics and groups.
    ///
    /// # Errors
    /// If the client cannot be made. The case fails.
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure>;

    /// The capabilities that each of its clients must declare, as a constant that the author writes down. A case compares it
    /// with what the clients say, so that a capability that gets lost is a failure and not fewer cases.
    ///
    /// ```
    /// use networking_spi::kafka::KafkaCapabilities;
    ///
    /// const CAPABILITIES: KafkaCapabilities = {
    ///     let mut capabilities = KafkaCapabilities::none();
    ///     capabilities.topic_admin = true;
    ///     capabilities.timestamps = true;
    ///     capabilities
    /// };
    /// fn capabilities() -> &'static KafkaCapabilities {
    ///     &CAPABILITIES
    /// }
    /// # assert!(capabilities().topic_admin);
    /// ```
    fn capabilities(&self) -> &'static KafkaCapabilities;

    /// Creates an empty topic that can be written to immediately, and returns its name.
    ///
    /// # Errors
    /// If the topic cannot be created. The case fails.
    async fn topic(&self, partitions: i32) -> Result<String, Failure>;

    /// A name that is not used on the cluster, for groups and for topics that must not exist.
    fn unique(&self, what: &str) -> String;

    /// How long a case waits for a message that must not arrive.
    fn quiet(&self) -> Duration;

    /// Whether a write to an unknown topic does not create it. `false` for clusters that create topics automatically.
    fn unknown_topics_stay_unknown(&self) -> bool {
        true
    }

    /// The client ids that the cluster sees in use. `None` if the harness cannot find out.
    fn client_ids(&self) -> Option<BTreeSet<String>> {
        None
    }

    /// Whether [`crash`](Self::crash) works.
    fn can_crash(&self) -> bool {
        false
    }

    /// Ends a consumer of one of its clients as if its process had crashed: without leaving the group.
    ///
    /// # Errors
    /// If that cannot be done. The case fails.
    async fn crash(&self, consumer: &ConsumerId) -> CaseResult {
        Err(Failure::new(format!("the harness cannot crash {consumer}")))
    }

    /// Whether [`write_aborted`](Self::write_aborted) works.
    fn can_abort(&self) -> bool {
        false
    }

    /// Writes a record with this value to partition 0 of a topic, in a transaction that it aborts.
    ///
    /// # Errors
    /// If that cannot be done. The case fails.
    async fn write_aborted(&self, topic: &str, value: &str) -> CaseResult {
        Err(Failure::new(format!("the harness cannot write {value} to {topic}")))
    }

    /// Whether [`interrupt`](Self::interrupt) works.
    fn can_interrupt(&self) -> bool {
        false
    }

    /// Makes the brokers of a topic unreachable, or reachable again.
    ///
    /// # Errors
    /// If that cannot be done. The case fails.
    async fn interrupt(&self, topic: &str, interrupted: bool) -> CaseResult {
        let _ = (topic, interrupted);
        Err(Failure::new("the harness cannot interrupt topics"))
    }
}
