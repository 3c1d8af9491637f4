//! The harness of `MemoryKafka`, for all tests that run the suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use networking_conformance::kafka::KafkaHarness;
use networking_conformance::{CaseResult, CaseRuntime, Failure, Harness};
use networking_kafka::memory::MemoryCluster;
use networking_spi::kafka::{KafkaCapabilities, KafkaClient, NewTopic};

/// A new in-memory cluster, under a paused clock.
pub(crate) struct MemoryHarness {
    cluster: MemoryCluster,
    admin: Arc<dyn KafkaClient>,
    names: AtomicUsize,
    behind_pointers: bool,
}

impl MemoryHarness {
    /// With `behind_pointers`, every client is `Arc<Arc<Box<dyn KafkaClient>>>`.
    pub(crate) fn new(behind_pointers: bool) -> Self {
        let cluster = MemoryCluster::new();
        let admin = Arc::new(cluster.client());
        Self {
            cluster,
            admin,
            names: AtomicUsize::new(0),
            behind_pointers,
        }
    }
}

impl Harness for MemoryHarness {
    fn backend(&self) -> &'static str {
        if self.behind_pointers {
            "memory-arc-box"
        } else {
            "memory"
        }
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl KafkaHarness for MemoryHarness {
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure> {
        let client = self.cluster.client();
        if self.behind_pointers {
            let boxed: Box<dyn KafkaClient> = Box::new(client);
            let shared: Arc<Box<dyn KafkaClient>> = Arc::new(boxed);
            return Ok(Arc::new(shared));
        }
        Ok(Arc::new(client))
    }

    fn capabilities(&self) -> KafkaCapabilities {
        let mut capabilities = KafkaCapabilities::none();
        capabilities.topic_admin = true;
        capabilities.group_info = true;
        capabilities.idempotent_producer = true;
        capabilities.static_membership = true;
        capabilities.timestamps = true;
        capabilities
    }

    async fn topic(&self, partitions: i32) -> Result<String, Failure> {
        let name = self.unique("topic");
        self.admin
            .create_topic(NewTopic::new(name.as_str(), partitions))
            .await?;
        Ok(name)
    }

    fn unique(&self, what: &str) -> String {
        format!("{what}-{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    fn quiet(&self) -> Duration {
        Duration::from_millis(50)
    }

    fn can_interrupt(&self) -> bool {
        true
    }

    async fn interrupt(&self, topic: &str, interrupted: bool) -> CaseResult {
        Ok(self.cluster.set_topic_available(topic, !interrupted)?)
    }
}
