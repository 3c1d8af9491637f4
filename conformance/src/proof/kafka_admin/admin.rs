//! The administrator of each saboteur.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use networking_spi::kafka::{
    ClusterDescription, ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource, GroupDescription,
    GroupKind, GroupListing, GroupState, KafkaAdmin, KafkaAdminCapabilities, KafkaClient, OffsetTarget,
    PartitionOffset, TopicListing, TopicMetadata, TopicPartition,
};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};

use super::Saboteur;

/// Makes the ids of clusters different.
static INSTANCES: AtomicUsize = AtomicUsize::new(0);

const LIMIT: &str = "max.message.bytes";

/// Wraps a correct administrator, and makes one mistake.
#[derive(Debug)]
pub(super) struct SaboteurAdmin {
    inner: Arc<dyn KafkaAdmin>,
    client: Arc<dyn KafkaClient>,
    saboteur: Saboteur,
    number: usize,
    /// The limit that is only pretended.
    pretended: std::sync::Mutex<Option<String>>,
}

impl SaboteurAdmin {
    pub(super) fn new(inner: Arc<dyn KafkaAdmin>, client: Arc<dyn KafkaClient>, saboteur: Saboteur) -> Self {
        Self {
            inner,
            client,
            saboteur,
            number: INSTANCES.fetch_add(1, Ordering::Relaxed),
            pretended: std::sync::Mutex::default(),
        }
    }

    fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == saboteur
    }

    /// Alters errors: without their field, or with another retryability.
    fn altered<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| match (self.saboteur, error.kind()) {
            (Saboteur::FieldsAreUnnamed, ErrorKind::InvalidInput) => {
                NetworkError::new(ErrorKind::InvalidInput, "saboteur", error.message().to_owned())
            }
            (Saboteur::ConflictsAreRetried, ErrorKind::Conflict) => error.with_retryability(Retryability::Now),
            _ => error,
        })
    }

    /// Whether this error is to be reported as a success.
    fn hides<T>(&self, saboteur: Saboteur, result: &Result<T>, kind: ErrorKind) -> bool {
        self.is(saboteur) && matches!(result, Err(error) if error.kind() == kind)
    }

    /// The topic's settings that were set, as changes.
    async fn own_settings(&self, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
        let mut all = self.inner.describe_config(resource.clone()).await?;
        all.retain(|entry| entry.source == ConfigSource::Topic);
        Ok(all)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaAdmin for SaboteurAdmin {
    async fn list_topics(&self) -> Result<Vec<TopicListing>> {
        let mut topics = self.inner.list_topics().await?;
        for topic in &mut topics {
            if self.is(Saboteur::CountsNoPartitions) {
                topic.partitions = 1;
            }
            topic.is_internal |= self.is(Saboteur::AllInternal);
        }
        if self.is(Saboteur::ListsTwice) {
            topics = topics.into_iter().flat_map(|topic| [topic.clone(), topic]).collect();
        }
        Ok(topics)
    }

    async fn describe_topics(&self) -> Result<Vec<TopicMetadata>> {
        let mut topics = self.inner.describe_topics().await?;
        if self.is(Saboteur::DescribesWithoutOffsets) {
            for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.latest_offset = partition.earliest_offset;
            }
        }
        Ok(topics)
    }

    async fn create_partitions(&self, topic: &str, mut total: i32) -> Result<()> {
        if self.is(Saboteur::AddsNoPartitions) && total == 3 {
            let current = self.client.topic_metadata(topic).await?.partitions.len();
            if current < 3 {
                return Ok(());
            }
        }
        if self.is(Saboteur::AddsToThem)
            && let Ok(metadata) = self.client.topic_metadata(topic).await
        {
            total = total.saturating_add(i32::try_from(metadata.partitions.len()).unwrap_or_default());
        }
        let result = self.inner.create_partitions(topic, total).await;
        let refused_total = matches!(&result, Err(error) if error.field() == Some("total"));
        if self.hides(Saboteur::EveryTopicExists, &result, ErrorKind::NotFound)
            || (self.is(Saboteur::AcceptsFewerPartitions) && refused_total)
        {
            return Ok(());
        }
        self.altered(result)
    }

    async fn describe_config(&self, resource: ConfigResource) -> Result<Vec<ConfigEntry>> {
        let result = self.inner.describe_config(resource).await;
        if self.hides(Saboteur::SettingsOfNothing, &result, ErrorKind::NotFound) {
            return Ok(Vec::new());
        }
        let mut entries = self.altered(result)?;
        let pretended = self.pretended.lock().ok().and_then(|pretended| pretended.clone());
        for entry in &mut entries {
            match self.saboteur {
                Saboteur::NoSources => entry.source = ConfigSource::Default,
                Saboteur::DefaultsAreValues if entry.source == ConfigSource::Topic => {
                    entry.default.clone_from(&entry.value);
                }
                Saboteur::NothingIsReadOnly => entry.is_read_only = false,
                Saboteur::PretendsLimits if entry.name == LIMIT && pretended.is_some() => {
                    entry.value.clone_from(&pretended);
                    entry.source = ConfigSource::Topic;
                }
                _ => {}
            }
        }
        Ok(entries)
    }

    async fn alter_config(&self, resource: ConfigResource, mut changes: Vec<ConfigChange>) -> Result<()> {
        match self.saboteur {
            Saboteur::ReplacesSettings if matches!(resource, ConfigResource::Topic(_)) => {
                // A deletion, and a list, are not replacements.
                let sets = |change: &ConfigChange| matches!(change.operation, ConfigOperation::Set(_));
                if changes.iter().all(sets)
                    && let Ok(own) = self.own_settings(&resource).await
                {
                    let lost = own.into_iter().map(|entry| entry.name);
                    let lost = lost.filter(|name| changes.iter().all(|change| change.name != *name));
                    let lost: Vec<_> = lost.map(ConfigChange::delete).collect();
                    if !lost.is_empty() {
                        self.inner.alter_config(resource.clone(), lost).await?;
                    }
                }
            }
            Saboteur::KeepsDeleted => {
                let given = !changes.is_empty();
                let known = |change: &ConfigChange| !change.name.contains("no.such");
                changes.retain(|change| change.operation != ConfigOperation::Delete || !known(change));
                if given && changes.is_empty() {
                    return Ok(());
                }
            }
            Saboteur::AppendReplaces => {
                for change in &mut changes {
                    if let ConfigOperation::Append(value) = &change.operation {
                        change.operation = ConfigOperation::Set(value.clone());
                    }
                }
            }
            Saboteur::AppliesPartially => {
                for change in &changes {
                    let one = vec![change.clone()];
                    self.inner.alter_config(resource.clone(), one).await?;
                }
            }
            Saboteur::PretendsLimits => {
                if let [change] = &changes[..]
                    && change.name == LIMIT
                    && let ConfigOperation::Set(value) = &change.operation
                    && let Ok(mut pretended) = self.pretended.lock()
                {
                    *pretended = Some(value.clone());
                    return Ok(());
                }
            }
            _ => {}
        }
        let result = self.inner.alter_config(resource, changes).await;
        self.altered(result)
    }

    async fn delete_records(&self, partition: TopicPartition, mut before: i64) -> Result<i64> {
        let asked = before;
        if self.is(Saboteur::DeletesOneLess) && before > 0 {
            before -= 1;
            if asked > 5 {
                before = asked;
            }
        }
        let result = self.inner.delete_records(partition.clone(), before).await;
        if self.hides(Saboteur::DeletesCompacted, &result, ErrorKind::Rejected) {
            return Ok(before);
        }
        if self.is(Saboteur::ClampsOffsets) && before > 0 && matches!(&result, Err(error) if error.field().is_some()) {
            return self.inner.delete_records(partition, 5).await;
        }
        let first = self.altered(result)?;
        Ok(if self.is(Saboteur::ReportsWhatWasAsked) {
            asked
        } else {
            first
        })
    }

    async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        let mut groups = self.inner.list_groups().await?;
        if self.is(Saboteur::HidesEmptyGroups) {
            groups.retain(|group| group.state != GroupState::Empty);
        }
        Ok(groups)
    }

    async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        let result = self.inner.describe_group(group).await;
        if self.hides(Saboteur::DeadGroups, &result, ErrorKind::NotFound) {
            return Ok(GroupDescription::new(group, GroupState::Dead, GroupKind::Unknown));
        }
        let mut described = self.altered(result)?;
        if self.is(Saboteur::NoMembers) {
            described.members.clear();
        }
        Ok(described)
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        if self.is(Saboteur::KeepsGroups) {
            let described = self.inner.describe_group(group).await?;
            if described.members.is_empty() {
                return Ok(());
            }
        }
        let result = self.inner.delete_group(group).await;
        self.altered(result)
    }

    async fn reset_group_offsets(
        &self,
        group: &str,
        mut partitions: Vec<TopicPartition>,
        mut target: OffsetTarget,
    ) -> Result<Vec<PartitionOffset>> {
        let asked = partitions.len();
        match (self.saboteur, target) {
            (Saboteur::SwapsEnds, OffsetTarget::Earliest) => target = OffsetTarget::Latest,
            (Saboteur::SwapsEnds, OffsetTarget::Latest) | (Saboteur::IgnoresTimes, OffsetTarget::Time(_)) => {
                target = OffsetTarget::Earliest;
            }
            (Saboteur::OffByOne, OffsetTarget::Offset(offset)) if (0..5).contains(&offset) => {
                target = OffsetTarget::Offset(offset + 1);
            }
            (Saboteur::ResetsWholeTopics, _) => {
                if let [only] = &partitions[..]
                    && let Ok(metadata) = self.client.topic_metadata(&only.topic).await
                    && metadata.partitions.len() > 1
                    && target == OffsetTarget::Earliest
                {
                    let others: Vec<_> = metadata.topic_partitions().filter(|found| found != only).collect();
                    partitions.extend(others);
                }
            }
            _ => {}
        }
        let result = self.inner.reset_group_offsets(group, partitions.clone(), target).await;
        if self.hides(Saboteur::PretendsResets, &result, ErrorKind::Conflict) {
            return Ok(Vec::new());
        }
        if self.is(Saboteur::ClampsResets)
            && matches!(&result, Err(error) if error.field() == Some("target"))
            && matches!(target, OffsetTarget::Offset(offset) if offset >= 0)
        {
            return self
                .inner
                .reset_group_offsets(group, partitions, OffsetTarget::Latest)
                .await;
        }
        let mut reset = self.altered(result)?;
        reset.truncate(asked);
        Ok(reset)
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        let mut cluster = self.inner.describe_cluster().await?;
        if self.is(Saboteur::IdPerInstance) {
            cluster.cluster_id = Some(format!("cluster-{}", self.number));
        }
        if self.is(Saboteur::ForeignController) {
            cluster.controller = Some(7777);
        }
        Ok(cluster)
    }

    fn admin_capabilities(&self) -> KafkaAdminCapabilities {
        if self.is(Saboteur::HidesCapabilities) {
            return KafkaAdminCapabilities::none();
        }
        let mut capabilities = self.inner.admin_capabilities();
        capabilities.cluster &= !self.is(Saboteur::LosesCapability);
        capabilities
    }
}
