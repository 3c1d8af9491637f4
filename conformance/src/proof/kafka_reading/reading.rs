//! The `KafkaReading` of each saboteur.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use networking_spi::kafka::{
    CommitOffsets, ConsumerId, KafkaReading, KafkaReadingCapabilities, OffsetSpec, PartitionOffset, ReaderConfig,
    RebalanceEvents, RebalanceKind, SeekTarget, Subscription, TopicPartition,
};
use networking_spi::{ErrorKind, NetworkError, Result};
use tokio::sync::Mutex;

use super::Saboteur;
use crate::kafka_reading::ReadingClient;

/// Wraps a correct client, and makes one mistake.
#[derive(Debug)]
pub(super) struct SaboteurReading {
    pub(super) inner: ReadingClient,
    saboteur: Saboteur,
    /// Held by each call that consumes.
    pub(super) turn: Mutex<()>,
    groups: AtomicUsize,
}

impl SaboteurReading {
    pub(super) fn new(inner: ReadingClient, saboteur: Saboteur) -> Self {
        Self {
            inner,
            saboteur,
            turn: Mutex::new(()),
            groups: AtomicUsize::new(0),
        }
    }

    fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == saboteur
    }

    /// Reports an error of `kind` as the value, for one saboteur.
    fn hide<T>(&self, saboteur: Saboteur, kind: ErrorKind, result: Result<T>, value: T) -> Result<T> {
        match result {
            Err(error) if self.is(saboteur) && error.kind() == kind => Ok(value),
            result => result,
        }
    }

    fn named<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            if self.is(Saboteur::FieldsAreUnnamed) && error.kind() == ErrorKind::InvalidInput {
                NetworkError::new(ErrorKind::InvalidInput, "saboteur", error.message().to_owned())
            } else {
                error
            }
        })
    }

    fn alter(&self, config: &mut ReaderConfig) {
        let strategy = config.assignment_strategy.is_some() || config.group_protocol.is_some();
        match (&mut config.subscription, self.saboteur) {
            (Subscription::Pattern(pattern), Saboteur::MatchesParts) if pattern.contains("-(") => {
                *pattern = format!(".*({pattern}).*");
            }
            (Subscription::Pattern(pattern), Saboteur::IgnoresNewTopics) => *pattern = pattern.replace(".+", "nothing"),
            (Subscription::Partitions(partitions), Saboteur::ReadsTheWholeTopic) => {
                let topics: Vec<String> = partitions.iter().map(|of| of.topic.to_string()).take(1).collect();
                let valid = !config.consumer.group.is_empty() && config.consumer.topics.is_empty();
                let different = partitions.len() < 2 || partitions[0] != partitions[1];
                if valid && different && partitions.iter().all(|of| of.partition >= 0) && !topics.is_empty() {
                    config.consumer.topics = topics;
                    config.subscription = Subscription::Topics;
                }
            }
            (Subscription::Partitions(_), Saboteur::IgnoresCommittedOffsets) if !config.consumer.group.is_empty() => {
                let number = self.groups.fetch_add(1, Ordering::Relaxed);
                config.consumer.group = format!("{}-{number}", config.consumer.group);
            }
            (Subscription::Partitions(partitions), Saboteur::IgnoresUnknownPartitions)
                if partitions.len() == 2
                    && (partitions[0].topic != partitions[1].topic
                        || (partitions[0].partition, partitions[1].partition) == (0, 1)) =>
            {
                partitions.truncate(1);
            }
            (_, Saboteur::StrategiesSplitTheGroup) if strategy => {
                let number = self.groups.fetch_add(1, Ordering::Relaxed);
                config.consumer.group = format!("{}-{number}", config.consumer.group);
            }
            _ => {}
        }
    }

    /// Drops partitions that are not assigned, for one saboteur.
    async fn assigned(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<Vec<TopicPartition>> {
        if !self.is(Saboteur::IgnoresForeignPartitions) && !self.is(Saboteur::MovesEverything) {
            return Ok(partitions);
        }
        let assignment = self.inner.client.consumer_assignment(consumer).await?;
        if self.is(Saboteur::MovesEverything) && partitions.iter().all(|partition| assignment.contains(partition)) {
            return Ok(assignment.iter().map(|(partition, _)| partition.clone()).collect());
        }
        if self.is(Saboteur::MovesEverything) {
            return Ok(partitions);
        }
        Ok(partitions.into_iter().filter(|of| assignment.contains(of)).collect())
    }

    fn alter_target(&self, target: SeekTarget) -> SeekTarget {
        match (self.saboteur, target) {
            (Saboteur::SeeksOneTooFar, SeekTarget::Offset(offset)) if offset >= 0 => SeekTarget::Offset(offset + 1),
            (Saboteur::ExchangesTheEnds, SeekTarget::At(OffsetSpec::Beginning)) => SeekTarget::At(OffsetSpec::End),
            (Saboteur::ExchangesTheEnds, SeekTarget::At(OffsetSpec::End)) => SeekTarget::At(OffsetSpec::Beginning),
            (Saboteur::TimesAreTheBeginning, SeekTarget::At(OffsetSpec::Time(_))) => {
                SeekTarget::At(OffsetSpec::Beginning)
            }
            _ => target,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaReading for SaboteurReading {
    async fn create_reader(&self, mut config: ReaderConfig) -> Result<ConsumerId> {
        self.alter(&mut config);
        let group = config.consumer.group.clone();
        let result = self.named(self.inner.reading.create_reader(config).await);
        match result {
            Err(error)
                if self.is(Saboteur::AcceptsBadPatterns)
                    && error.kind() == ErrorKind::InvalidInput
                    && error.field() == Some("pattern") =>
            {
                self.inner
                    .reading
                    .create_reader(ReaderConfig::pattern("nothing", group))
                    .await
            }
            result => result,
        }
    }

    async fn seek(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>, target: SeekTarget) -> Result<()> {
        let unknown = self.inner.client.consumer_assignment(consumer).await.is_err();
        if self.is(Saboteur::EveryConsumerExists) && unknown {
            return Ok(());
        }
        let _turn = if self.is(Saboteur::SeeksAfterTheCall) {
            Some(self.turn.lock().await)
        } else {
            None
        };
        let partitions = if unknown {
            partitions
        } else {
            self.assigned(consumer, partitions).await?
        };
        let moved = self
            .inner
            .reading
            .seek(consumer, partitions.clone(), self.alter_target(target))
            .await;
        self.named(moved)?;
        if let (Saboteur::SeeksCommit, SeekTarget::Offset(offset)) = (self.saboteur, target) {
            let offsets = partitions.iter().map(|of| PartitionOffset::new(of.clone(), offset));
            let offsets = CommitOffsets::Exact(offsets.collect());
            self.inner.client.commit_offsets(consumer, offsets).await?;
        }
        if self.is(Saboteur::SeeksResume) {
            self.inner.reading.resume(consumer, partitions).await?;
        }
        Ok(())
    }

    async fn pause(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()> {
        let unknown = self.inner.client.consumer_assignment(consumer).await.is_err();
        let partitions = if unknown || self.is(Saboteur::MovesEverything) {
            partitions
        } else {
            self.assigned(consumer, partitions).await?
        };
        let paused = self.inner.reading.pause(consumer, partitions.clone()).await;
        self.hide(Saboteur::EveryConsumerExists, ErrorKind::NotFound, paused, ())?;
        if self.is(Saboteur::IgnoresPauses) {
            let paused = self.inner.reading.paused(consumer).await?;
            // What `paused` says stays correct for several partitions at once.
            if paused.len() == 1 {
                self.inner.reading.resume(consumer, partitions).await?;
            }
        }
        Ok(())
    }

    async fn resume(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()> {
        let unknown = self.inner.client.consumer_assignment(consumer).await.is_err();
        let partitions = if unknown || self.is(Saboteur::MovesEverything) {
            partitions
        } else {
            self.assigned(consumer, partitions).await?
        };
        let resumed = self.inner.reading.resume(consumer, partitions.clone()).await;
        self.hide(Saboteur::EveryConsumerExists, ErrorKind::NotFound, resumed, ())?;
        if self.is(Saboteur::ResumesAtTheEnd) {
            let end = SeekTarget::At(OffsetSpec::End);
            self.inner.reading.seek(consumer, partitions, end).await?;
        }
        Ok(())
    }

    async fn paused(&self, consumer: &ConsumerId) -> Result<Vec<TopicPartition>> {
        let paused = self.inner.reading.paused(consumer).await;
        let paused = self.hide(Saboteur::EveryConsumerExists, ErrorKind::NotFound, paused, Vec::new())?;
        Ok(if self.is(Saboteur::ListsNoPauses) {
            Vec::new()
        } else {
            paused
        })
    }

    async fn positions(&self, consumer: &ConsumerId) -> Result<Vec<PartitionOffset>> {
        let positions = self.inner.reading.positions(consumer).await;
        let mut positions = self.hide(
            Saboteur::EveryConsumerExists,
            ErrorKind::NotFound,
            positions,
            Vec::new(),
        )?;
        if self.is(Saboteur::PositionsAreBehind) {
            for position in &mut positions {
                position.offset -= 1;
            }
        }
        Ok(positions)
    }

    async fn list_offsets(&self, mut partitions: Vec<TopicPartition>, spec: OffsetSpec) -> Result<Vec<Option<i64>>> {
        if self.is(Saboteur::SortsOffsets) {
            partitions.sort();
        }
        let spec = match (self.saboteur, spec) {
            (Saboteur::TimesAreTheBeginning, OffsetSpec::Time(_)) => OffsetSpec::Beginning,
            (_, spec) => spec,
        };
        let reading = &self.inner.reading;
        let empty = vec![Some(0); partitions.len()];
        let listed = reading.list_offsets(partitions.clone(), spec).await;
        let listed = self.hide(Saboteur::EveryPartitionExists, ErrorKind::NotFound, listed, empty)?;
        if self.is(Saboteur::LateTimesAreTheEnd) {
            let ends = reading.list_offsets(partitions, OffsetSpec::End).await?;
            return Ok(listed
                .into_iter()
                .zip(ends)
                .map(|(offset, end)| offset.or(end))
                .collect());
        }
        Ok(listed)
    }

    async fn take_rebalance_events(&self, consumer: &ConsumerId) -> Result<RebalanceEvents> {
        let events = self.inner.reading.take_rebalance_events(consumer).await;
        let none = RebalanceEvents::default();
        let mut events = self.hide(Saboteur::EveryConsumerExists, ErrorKind::NotFound, events, none)?;
        for event in &mut events.events {
            event.kind = match (self.saboteur, event.kind) {
                (Saboteur::RevocationsAreLosses, RebalanceKind::Revoked) => RebalanceKind::Lost,
                (Saboteur::LossesAreRevocations, RebalanceKind::Lost) => RebalanceKind::Revoked,
                (_, kind) => kind,
            };
            if self.is(Saboteur::EventsWithoutEpochs) {
                for (_, epoch) in &mut event.partitions {
                    *epoch = 0;
                }
            }
        }
        Ok(events)
    }

    fn reading_capabilities(&self) -> KafkaReadingCapabilities {
        let mut capabilities = self.inner.reading.reading_capabilities();
        match self.saboteur {
            Saboteur::LosesACapability => capabilities.pause = false,
            Saboteur::HidesCapabilities => capabilities = KafkaReadingCapabilities::none(),
            _ => {}
        }
        capabilities
    }
}
