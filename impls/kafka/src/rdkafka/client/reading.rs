//! `KafkaReading` of the client.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    ConsumerId, GroupProtocol, KafkaReading, KafkaReadingCapabilities, OffsetReset, OffsetSpec, PartitionOffset,
    ReaderConfig, RebalanceEvents, SeekTarget, Subscription, TopicPartition, validate_topic_name,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{NetworkError, Result};
use rdkafka::Offset;

use super::{Inner, RdKafkaClient};
use crate::rdkafka::consumer::{Start, What};
use crate::rdkafka::control::BlockingCalls;
use crate::rdkafka::timestamp::to_query_millis;
use crate::rdkafka::topic_watch::matching;
use crate::topic_pattern::TopicPattern;

const CREATE: &str = "kafka.create_reader";

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaReading for RdKafkaClient {
    async fn create_reader(&self, mut config: ReaderConfig) -> Result<ConsumerId> {
        let inner = &self.inner;
        config.validate().in_operation(CREATE)?;
        inner.reading.check_reader(CREATE, &config)?;
        if let Some(strategy) = config.assignment_strategy {
            let backend = &mut config.consumer.backend;
            backend.insert("partition.assignment.strategy".to_owned(), strategy.to_string());
            backend.insert("group.protocol".to_owned(), GroupProtocol::Classic.to_string());
        }
        if let Some(protocol) = config.group_protocol {
            let backend = &mut config.consumer.backend;
            backend.insert("group.protocol".to_owned(), protocol.to_string());
        }
        match config.subscription {
            Subscription::Topics => {
                let topics = config.consumer.topics.clone();
                inner.require_topics(CREATE, topics.clone()).await?;
                inner
                    .open(CREATE, &config.consumer, What::Topics(topics.clone()), topics, None)
                    .await
            }
            Subscription::Pattern(pattern) => {
                let pattern = TopicPattern::new(&pattern).in_operation(CREATE)?;
                let topics = matching(inner.control().await?, CREATE, pattern.clone()).await?;
                let what = What::Topics(topics.clone());
                inner.open(CREATE, &config.consumer, what, topics, Some(pattern)).await
            }
            Subscription::Partitions(partitions) => {
                let default = match config.consumer.offset_reset {
                    OffsetReset::Earliest => Some(OffsetSpec::Beginning),
                    OffsetReset::Latest => Some(OffsetSpec::End),
                    OffsetReset::Fail => None,
                };
                let defaults = inner.list_offsets(CREATE, partitions.clone(), default).await?;
                let topics: BTreeSet<_> = partitions.iter().map(|of| of.topic.to_string()).collect();
                let starts = partitions.into_iter().zip(defaults);
                let starts = starts.map(|(partition, default)| Start { partition, default });
                let what = What::Partitions(starts.collect());
                inner
                    .open(CREATE, &config.consumer, what, topics.into_iter().collect(), None)
                    .await
            }
            _ => Err(NetworkError::unsupported(CREATE, "subscription")),
        }
    }

    async fn seek(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>, target: SeekTarget) -> Result<()> {
        const OPERATION: &str = "kafka.seek";
        let inner = &self.inner;
        inner.reading.check_seek(OPERATION, target)?;
        let consumer = inner.consumer(OPERATION, consumer)?;
        consumer.require_assigned(OPERATION, &partitions)?;
        let offsets = match target {
            SeekTarget::Offset(offset) => partitions.into_iter().map(|of| (of, offset)).collect(),
            SeekTarget::At(spec) => inner.resolve(OPERATION, partitions, spec).await?,
            _ => return Err(NetworkError::unsupported(OPERATION, "seek")),
        };
        consumer.seek(offsets).await
    }

    async fn pause(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()> {
        self.inner.set_paused("kafka.pause", consumer, partitions, true).await
    }

    async fn resume(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()> {
        self.inner.set_paused("kafka.resume", consumer, partitions, false).await
    }

    async fn paused(&self, consumer: &ConsumerId) -> Result<Vec<TopicPartition>> {
        const OPERATION: &str = "kafka.paused";
        self.inner.reading.require(OPERATION, "pause")?;
        Ok(self.inner.consumer(OPERATION, consumer)?.paused())
    }

    async fn positions(&self, consumer: &ConsumerId) -> Result<Vec<PartitionOffset>> {
        Ok(self.inner.consumer("kafka.positions", consumer)?.positions())
    }

    async fn list_offsets(&self, partitions: Vec<TopicPartition>, spec: OffsetSpec) -> Result<Vec<Option<i64>>> {
        const OPERATION: &str = "kafka.list_offsets";
        let reading = &self.inner.reading;
        reading.require(OPERATION, "list_offsets")?;
        if matches!(spec, OffsetSpec::Time(_)) {
            reading.require(OPERATION, "times")?;
        }
        self.inner.list_offsets(OPERATION, partitions, Some(spec)).await
    }

    async fn take_rebalance_events(&self, consumer: &ConsumerId) -> Result<RebalanceEvents> {
        const OPERATION: &str = "kafka.take_rebalance_events";
        self.inner.reading.require(OPERATION, "rebalance_events")?;
        Ok(self.inner.consumer(OPERATION, consumer)?.take_events())
    }

    fn reading_capabilities(&self) -> KafkaReadingCapabilities {
        self.inner.reading.clone()
    }
}

impl Inner {
    async fn set_paused(
        &self,
        operation: &'static str,
        consumer: &ConsumerId,
        partitions: Vec<TopicPartition>,
        paused: bool,
    ) -> Result<()> {
        self.reading.require(operation, "pause")?;
        self.consumer(operation, consumer)?
            .set_paused(operation, partitions, paused)
            .await
    }

    /// The offsets at a place; the end where no record is as late as the time.
    async fn resolve(
        &self,
        operation: &'static str,
        partitions: Vec<TopicPartition>,
        spec: OffsetSpec,
    ) -> Result<BTreeMap<TopicPartition, i64>> {
        let found = self.list_offsets(operation, partitions.clone(), Some(spec)).await?;
        let mut offsets = BTreeMap::new();
        let mut late = Vec::new();
        for (partition, offset) in partitions.into_iter().zip(found) {
            match offset {
                Some(offset) => drop(offsets.insert(partition, offset)),
                None => late.push(partition),
            }
        }
        let ends = self
            .list_offsets(operation, late.clone(), Some(OffsetSpec::End))
            .await?;
        for (partition, end) in late.into_iter().zip(ends) {
            let end = end.ok_or_else(|| NetworkError::not_found(operation, "partition", &partition))?;
            offsets.insert(partition, end);
        }
        Ok(offsets)
    }

    /// Checks that the partitions exist, and asks for their offsets if there is a place.
    async fn list_offsets(
        &self,
        operation: &'static str,
        partitions: Vec<TopicPartition>,
        spec: Option<OffsetSpec>,
    ) -> Result<Vec<Option<i64>>> {
        for of in &partitions {
            validate_topic_name(&of.topic, "partitions").in_operation(operation)?;
            validate::ensure(of.partition >= 0, "partitions", "must not have a negative number")
                .in_operation(operation)?;
        }
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let place = match spec {
            None => None,
            Some(OffsetSpec::Beginning) => Some(Offset::Beginning),
            Some(OffsetSpec::End) => Some(Offset::End),
            Some(OffsetSpec::Time(time)) => Some(Offset::Offset(to_query_millis(time))),
            Some(_) => return Err(NetworkError::unsupported(operation, "list_offsets")),
        };
        let request = move |calls: &BlockingCalls<'_>| {
            calls.require_partitions(&partitions)?;
            let Some(place) = place else {
                return Ok(vec![None; partitions.len()]);
            };
            // Each partition once.
            let distinct: BTreeSet<_> = partitions.iter().cloned().collect();
            let distinct: Vec<_> = distinct.into_iter().collect();
            let offsets = calls.offsets(&distinct, place)?;
            let found: BTreeMap<_, _> = distinct.into_iter().zip(offsets).collect();
            let in_order = partitions
                .iter()
                .map(|partition| found.get(partition).copied().flatten());
            Ok(in_order.collect())
        };
        self.control().await?.retry(operation, request).await
    }
}
