//! `KafkaReading` of the in-memory client.

use async_trait::async_trait;
use networking_spi::kafka::{
    AssignmentStrategy, ConsumerId, GroupProtocol, KafkaReading, KafkaReadingCapabilities, OffsetSpec, PartitionOffset,
    ReaderConfig, RebalanceEvents, SeekTarget, TopicPartition,
};
use networking_spi::{NetworkError, Result};

use super::client::MemoryKafka;
use super::consumer::resolve;

/// What the in-memory cluster supports.
pub(super) fn supported() -> KafkaReadingCapabilities {
    let mut capabilities = KafkaReadingCapabilities::all();
    capabilities.assignment_strategies = vec![AssignmentStrategy::CooperativeSticky];
    capabilities.group_protocols = vec![GroupProtocol::Classic];
    capabilities
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaReading for MemoryKafka {
    async fn create_reader(&self, config: ReaderConfig) -> Result<ConsumerId> {
        const OPERATION: &str = "kafka.create_reader";
        self.reading().check_reader(OPERATION, &config)?;
        self.open(config, OPERATION)
    }

    async fn seek(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>, target: SeekTarget) -> Result<()> {
        const OPERATION: &str = "kafka.seek";
        self.reading().check_seek(OPERATION, target)?;
        self.consumer(consumer, OPERATION)?.seek(&partitions, target)
    }

    async fn pause(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()> {
        const OPERATION: &str = "kafka.pause";
        self.reading().require(OPERATION, "pause")?;
        self.consumer(consumer, OPERATION)?
            .set_paused(OPERATION, &partitions, true)
    }

    async fn resume(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()> {
        const OPERATION: &str = "kafka.resume";
        self.reading().require(OPERATION, "pause")?;
        self.consumer(consumer, OPERATION)?
            .set_paused(OPERATION, &partitions, false)
    }

    async fn paused(&self, consumer: &ConsumerId) -> Result<Vec<TopicPartition>> {
        const OPERATION: &str = "kafka.paused";
        self.reading().require(OPERATION, "pause")?;
        Ok(self.consumer(consumer, OPERATION)?.paused())
    }

    async fn positions(&self, consumer: &ConsumerId) -> Result<Vec<PartitionOffset>> {
        Ok(self.consumer(consumer, "kafka.positions")?.positions())
    }

    async fn list_offsets(&self, partitions: Vec<TopicPartition>, spec: OffsetSpec) -> Result<Vec<Option<i64>>> {
        const OPERATION: &str = "kafka.list_offsets";
        self.reading().require(OPERATION, "list_offsets")?;
        if matches!(spec, OffsetSpec::Time(_)) {
            self.reading().require(OPERATION, "times")?;
        }
        let topics = &self.shared_cluster().topics;
        let now = topics.clock().now();
        let offsets = partitions.iter().map(|of| {
            let topic = topics.existing(&of.topic, OPERATION)?;
            let partition = topic.partition(of.partition);
            let partition = partition.ok_or_else(|| NetworkError::not_found(OPERATION, "partition", of))?;
            resolve(partition, OPERATION, spec, now)
        });
        offsets.collect()
    }

    async fn take_rebalance_events(&self, consumer: &ConsumerId) -> Result<RebalanceEvents> {
        const OPERATION: &str = "kafka.take_rebalance_events";
        self.reading().require(OPERATION, "rebalance_events")?;
        Ok(self.consumer(consumer, OPERATION)?.take_events())
    }

    fn reading_capabilities(&self) -> KafkaReadingCapabilities {
        self.reading().clone()
    }
}

impl MemoryKafka {
    fn reading(&self) -> &KafkaReadingCapabilities {
        &self.shared_cluster().reading
    }
}
