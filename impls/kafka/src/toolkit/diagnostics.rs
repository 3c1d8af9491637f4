//! The health of a topic, from its metadata and its consumer groups.

use std::collections::{BTreeMap, BTreeSet};

use networking_spi::kafka::{
    ConsumerGroupInfo, DiagnosticWarning, GroupLag, GroupState, KafkaClient, KafkaDiagnostics, PartitionDiagnostics,
    PartitionMetadata, TopicMetadata,
};
use networking_spi::{ErrorKind, Result};

/// The average number of records per partition below which an uneven distribution is not reported.
const SKEW_MINIMUM: i64 = 100;
/// A partition is reported if it has at least this multiple of its share of records. A broker is reported if it leads at least
/// this multiple of its share of partitions.
const SKEW_FACTOR: i64 = 3;

/// Diagnoses a topic and the groups that consume it.
pub(super) async fn diagnose(
    client: &dyn KafkaClient,
    topic: &str,
    groups: BTreeSet<String>,
    lag_limit: i64,
) -> Result<KafkaDiagnostics> {
    let metadata = client.topic_metadata(topic).await?;
    let mut lags = Vec::new();
    if client.capabilities().group_info {
        for group in groups {
            match client.consumer_group_info(&group).await {
                Ok(info) => lags.extend(lag_in(&info, topic)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    let partitions = metadata.partitions.iter().map(examine).collect::<Vec<_>>();
    let warnings = warnings(&metadata, &partitions, &lags, lag_limit);
    Ok(KafkaDiagnostics::new(topic, partitions, lags, warnings))
}

fn examine(partition: &PartitionMetadata) -> PartitionDiagnostics {
    let under_replicated = partition.in_sync_replicas.len() < partition.replicas.len();
    let messages = (partition.latest_offset - partition.earliest_offset).max(0);
    PartitionDiagnostics::new(partition.partition, partition.leader, under_replicated, messages, None)
}

/// The lag of a group in this topic. `None` if the group has no committed offset there.
fn lag_in(info: &ConsumerGroupInfo, topic: &str) -> Option<GroupLag> {
    let here = info.offsets.iter().filter(|offset| offset.partition.topic == topic);
    let lag = here
        .filter_map(|offset| Some((offset.partition.clone(), offset.lag?)))
        .collect::<Vec<_>>();
    if lag.is_empty() {
        None
    } else {
        Some(GroupLag::new(info.group.as_str(), info.state, info.members.len(), lag))
    }
}

/// The warnings, most severe first: unavailable data, data at risk, lag, uneven load.
fn warnings(
    metadata: &TopicMetadata,
    partitions: &[PartitionDiagnostics],
    groups: &[GroupLag],
    lag_limit: i64,
) -> Vec<DiagnosticWarning> {
    let mut warnings = Vec::new();
    let mut warn = |code: &str, message: String| warnings.push(DiagnosticWarning::new(code, message));

    let without_leader = numbers(partitions.iter().filter(|partition| partition.leader.is_none()));
    if let Some(numbers) = without_leader {
        warn(
            "offline_partition",
            format!("partitions {numbers} have no leader and can be neither read nor written"),
        );
    }
    let under_replicated = numbers(partitions.iter().filter(|partition| partition.under_replicated));
    if let Some(numbers) = under_replicated {
        warn(
            "under_replicated",
            format!("partitions {numbers} have replicas out of sync; another failure may lose data"),
        );
    }
    if metadata
        .partitions
        .iter()
        .any(|partition| partition.replicas.len() == 1)
    {
        let message = "some partitions have one replica; if its broker fails, their records are lost";
        warn("single_replica", message.to_owned());
    }
    for group in groups.iter().filter(|group| group.total() > 0) {
        if group.members == 0 && matches!(group.state, GroupState::Empty | GroupState::Dead) {
            let (name, lag) = (&group.group, group.total());
            warn(
                "no_consumer",
                format!("group {name} has no members and a lag of {lag} records"),
            );
        }
    }
    for group in groups.iter().filter(|group| group.total() > lag_limit) {
        warn(
            "consumer_lag",
            format!("group {} has a lag of {} records", group.group, group.total()),
        );
    }
    if let Some(partition) = fullest_partition(partitions) {
        let (number, messages) = (partition.partition, partition.messages);
        warn(
            "skewed_partitions",
            format!("partition {number} holds {messages} records, several times its share"),
        );
    }
    if let Some((broker, led)) = busiest_leader(partitions) {
        warn(
            "skewed_leaders",
            format!("broker {broker} leads {led} partitions, several times its share"),
        );
    }
    warnings
}

fn numbers<'p>(partitions: impl Iterator<Item = &'p PartitionDiagnostics>) -> Option<String> {
    let numbers = partitions
        .map(|partition| partition.partition.to_string())
        .collect::<Vec<_>>();
    if numbers.is_empty() {
        None
    } else {
        Some(numbers.join(", "))
    }
}

fn fullest_partition(partitions: &[PartitionDiagnostics]) -> Option<&PartitionDiagnostics> {
    let count = i64::try_from(partitions.len()).ok()?;
    let total = partitions.iter().map(|partition| partition.messages).sum::<i64>();
    let fullest = partitions.iter().max_by_key(|partition| partition.messages)?;
    let skewed = count > 1 && total >= SKEW_MINIMUM * count && fullest.messages * count >= SKEW_FACTOR * total;
    skewed.then_some(fullest)
}

fn busiest_leader(partitions: &[PartitionDiagnostics]) -> Option<(i32, i64)> {
    let mut led = BTreeMap::<i32, i64>::new();
    for leader in partitions.iter().filter_map(|partition| partition.leader) {
        *led.entry(leader).or_default() += 1;
    }
    let brokers = i64::try_from(led.len()).ok()?;
    let total = led.values().sum::<i64>();
    let (broker, most) = led.into_iter().max_by_key(|(_, count)| *count)?;
    // A broker that leads only a few partitions is not reported, because one partition more or less is not a skew.
    (brokers > 1 && most > SKEW_FACTOR && most * brokers >= SKEW_FACTOR * total).then_some((broker, most))
}

#[cfg(test)]
mod tests {
    use networking_spi::kafka::KafkaCapabilities;
    use networking_spi::kafka::{GroupOffset, MockKafkaClient, TopicPartition};

    use super::*;

    fn partition(
        number: i32,
        leader: Option<i32>,
        replicas: &[i32],
        in_sync: &[i32],
        messages: i64,
    ) -> PartitionMetadata {
        let mut partition = PartitionMetadata::new(number, 0, 10, 10 + messages);
        partition.leader = leader;
        partition.replicas = replicas.to_vec();
        partition.in_sync_replicas = in_sync.to_vec();
        partition
    }

    async fn codes(partitions: Vec<PartitionMetadata>, group: Option<ConsumerGroupInfo>) -> Vec<String> {
        let mut client = MockKafkaClient::new();
        client
            .expect_topic_metadata()
            .returning(move |topic| Ok(TopicMetadata::new(topic, partitions.clone())));
        let mut capabilities = KafkaCapabilities::none();
        capabilities.group_info = true;
        client.expect_capabilities().return_const(capabilities);
        client.expect_consumer_group_info().returning(move |name| {
            group
                .clone()
                .ok_or_else(|| networking_spi::NetworkError::not_found("kafka.consumer_group_info", "group", name))
        });
        let found = diagnose(&client, "t", BTreeSet::from(["g".to_owned()]), 100)
            .await
            .expect("answered");
        found.warnings.into_iter().map(|warning| warning.code).collect()
    }

    fn group(members: usize, state: GroupState, lag: i64) -> ConsumerGroupInfo {
        let members = (0..members)
            .map(|_| networking_spi::kafka::GroupMember::new("m", "c", "", Vec::new()))
            .collect();
        let offset = GroupOffset::new(TopicPartition::new("t", 0), Some(0), lag);
        let elsewhere = GroupOffset::new(TopicPartition::new("other", 0), Some(0), 1_000_000);
        ConsumerGroupInfo::new("g", state, members, vec![offset, elsewhere])
    }

    #[tokio::test]
    async fn a_healthy_topic_has_no_warnings() {
        let partitions = vec![
            partition(0, Some(1), &[1, 2], &[2, 1], 500),
            partition(1, Some(2), &[1, 2], &[1, 2], 600),
        ];
        assert_eq!(
            codes(partitions, Some(group(1, GroupState::Stable, 100))).await,
            Vec::<String>::new()
        );
    }

    #[tokio::test]
    async fn each_problem_has_a_warning_and_the_most_severe_is_first() {
        let partitions = vec![
            partition(0, None, &[1, 2], &[1], 0),
            partition(1, Some(1), &[1], &[1], 10_000),
            partition(2, Some(1), &[1, 2], &[1, 2], 0),
            partition(3, Some(1), &[1, 2], &[1, 2], 0),
        ];
        let expected = [
            "offline_partition",
            "under_replicated",
            "single_replica",
            "no_consumer",
            "consumer_lag",
            "skewed_partitions",
        ];
        assert_eq!(
            codes(partitions, Some(group(0, GroupState::Empty, 101))).await,
            expected
        );
    }

    #[tokio::test]
    async fn leaders_are_skewed_only_among_several_brokers() {
        let led = |leaders: &[i32]| {
            let numbered = (0..).zip(leaders);
            numbered
                .map(|(number, leader)| partition(number, Some(*leader), &[1, 2], &[1, 2], 0))
                .collect::<Vec<_>>()
        };
        assert_eq!(codes(led(&[1; 8]), None).await, Vec::<String>::new(), "one broker");
        assert_eq!(
            codes(led(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3, 4]), None).await,
            ["skewed_leaders"]
        );
        assert_eq!(codes(led(&[1, 1, 2, 2, 3, 3]), None).await, Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_group_that_reads_other_topics_is_not_reported() {
        let info = ConsumerGroupInfo::new("g", GroupState::Stable, Vec::new(), Vec::new());
        assert_eq!(lag_in(&info, "t"), None);
        assert_eq!(
            lag_in(&group(1, GroupState::Stable, 7), "t").expect("reads t").total(),
            7
        );
    }
}
