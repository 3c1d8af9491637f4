//! Consumer groups: state, members, committed offsets and lag.

use std::collections::BTreeMap;

use networking_spi::kafka::{ConsumerGroupInfo, GroupMember, GroupOffset, GroupState, TopicPartition};
use networking_spi::{NetworkError, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::groups::{GroupInfo, GroupMemberInfo};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::context::{Callbacks, ControlContext};
use super::control::{BlockingCalls, Control};
use super::error;

const INFO: &str = "kafka.consumer_group_info";

/// Requests the state of a group from the brokers. `reader` is the configuration of a consumer that reads committed offsets
/// and never subscribes.
pub(super) async fn info(
    control: &Control,
    group: &str,
    reader: ClientConfig,
    callbacks: Callbacks,
) -> Result<ConsumerGroupInfo> {
    let group = group.to_owned();
    control
        .call(INFO, move |calls| describe(calls, &group, &reader, callbacks))
        .await
}

fn describe(
    calls: &BlockingCalls<'_>,
    group: &str,
    reader: &ClientConfig,
    callbacks: Callbacks,
) -> Result<ConsumerGroupInfo> {
    let groups = calls
        .consumer
        .fetch_group_list(Some(group), calls.limit)
        .map_err(|error| error::from_kafka(INFO, error))?;
    let found = groups.groups().iter().find(|found| found.name() == group);
    let state = found.map_or(GroupState::Dead, |found| parse_state(found.state()));
    let members = found.map(read_members).transpose()?.unwrap_or_default();
    let committed = committed(calls, reader, callbacks)?;
    if matches!(state, GroupState::Dead) && members.is_empty() && committed.is_empty() {
        return Err(NetworkError::not_found(INFO, "group", group));
    }
    // Assigned partitions without a committed offset are also listed.
    let mut offsets = members
        .iter()
        .flat_map(|member| &member.assignment)
        .map(|partition| ((partition.topic.clone(), partition.partition), None))
        .collect::<BTreeMap<_, _>>();
    offsets.extend(
        committed
            .into_iter()
            .map(|(partition, offset)| (partition, Some(offset))),
    );
    let partitions = offsets.keys().cloned().collect::<Vec<_>>();
    let latest = calls.offsets(&partitions, Offset::End)?;
    let offsets = offsets
        .into_iter()
        .zip(latest)
        .filter_map(|(((topic, partition), committed), latest)| {
            Some(GroupOffset::new(
                TopicPartition::new(topic, partition),
                committed,
                latest?,
            ))
        });
    Ok(ConsumerGroupInfo::new(group, state, members, offsets.collect()))
}

/// The committed offsets of the group in all topics that this client is authorized to describe.
fn committed(
    calls: &BlockingCalls<'_>,
    reader: &ClientConfig,
    callbacks: Callbacks,
) -> Result<BTreeMap<(String, i32), i64>> {
    let metadata = calls.metadata(None)?;
    let mut partitions = TopicPartitionList::new();
    for topic in metadata.topics().iter().filter(|topic| topic.error().is_none()) {
        for partition in topic.partitions() {
            partitions.add_partition(topic.name(), partition.id());
        }
    }
    if partitions.count() == 0 {
        return Ok(BTreeMap::new());
    }
    let reader: BaseConsumer<ControlContext> = reader
        .create_with_context(ControlContext { callbacks })
        .map_err(|error| error::from_kafka(INFO, error))?;
    let offsets = reader
        .committed_offsets(partitions, calls.limit)
        .map_err(|error| error::from_kafka(INFO, error))?;
    let known = offsets
        .elements()
        .into_iter()
        .filter_map(|element| match element.offset() {
            Offset::Offset(offset) if element.error().is_ok() => {
                Some(((element.topic().to_owned(), element.partition()), offset))
            }
            _ => None,
        });
    Ok(known.collect())
}

fn parse_state(state: &str) -> GroupState {
    match state {
        "Empty" => GroupState::Empty,
        "PreparingRebalance" | "Reconciling" => GroupState::PreparingRebalance,
        "CompletingRebalance" | "AwaitingSync" | "Assigning" => GroupState::CompletingRebalance,
        "Stable" => GroupState::Stable,
        "Dead" => GroupState::Dead,
        _ => GroupState::Unknown,
    }
}

fn read_members(group: &GroupInfo) -> Result<Vec<GroupMember>> {
    group.members().iter().map(read_member).collect()
}

fn read_member(member: &GroupMemberInfo) -> Result<GroupMember> {
    let assignment = match member.assignment() {
        // A member that is joining has no assignment.
        None | Some([]) => Vec::new(),
        Some(bytes) => parse_assignment(bytes).ok_or_else(|| {
            NetworkError::new(
                networking_spi::ErrorKind::Decode,
                INFO,
                "the assignment of a member cannot be decoded",
            )
            .with_context("member_id", member.id())
        })?,
    };
    Ok(GroupMember::new(
        member.id(),
        member.client_id(),
        member.client_host().trim_start_matches('/'),
        assignment,
    ))
}

/// Decodes Kafka's `ConsumerProtocolAssignment`: a version, topics with their partitions, and user data, which is ignored.
fn parse_assignment(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    let mut input = Input(bytes);
    let _version = input.i16()?;
    let topics = input.count()?;
    let mut assignment = Vec::new();
    for _ in 0..topics {
        let topic = input.string()?;
        for _ in 0..input.count()? {
            assignment.push(TopicPartition::new(topic, input.i32()?));
        }
    }
    Some(assignment)
}

/// Reads big-endian values. `None` if there are too few bytes.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(self.i32()?).ok()
    }

    fn string(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.i16()?).ok()?;
        std::str::from_utf8(self.take(length)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assignment() -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0, 0, 2];
        for (topic, partitions) in [("orders", &[0, 3][..]), ("t", &[7][..])] {
            bytes.extend(u16::try_from(topic.len()).expect("short").to_be_bytes());
            bytes.extend(topic.as_bytes());
            bytes.extend(u32::try_from(partitions.len()).expect("few").to_be_bytes());
            bytes.extend(partitions.iter().flat_map(|partition: &i32| partition.to_be_bytes()));
        }
        bytes.extend((-1_i32).to_be_bytes());
        bytes
    }

    #[test]
    fn an_assignment_is_decoded() {
        let expected = vec![
            TopicPartition::new("orders", 0),
            TopicPartition::new("orders", 3),
            TopicPartition::new("t", 7),
        ];
        assert_eq!(parse_assignment(&assignment()), Some(expected));
        assert_eq!(
            parse_assignment(&[0, 0, 0, 0, 0, 0, 255, 255, 255, 255]),
            Some(Vec::new())
        );
    }

    #[test]
    fn a_truncated_or_malicious_assignment_is_rejected_and_allocates_nothing() {
        let whole = assignment();
        for length in 0..whole.len() - 4 {
            assert_eq!(parse_assignment(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(
            parse_assignment(&[0, 0, 127, 255, 255, 255]),
            None,
            "two billion topics"
        );
        assert_eq!(parse_assignment(&[0, 0, 255, 255, 255, 255]), None, "minus one topics");
        assert_eq!(
            parse_assignment(&[0, 0, 0, 0, 0, 1, 0, 1, 0xff, 0, 0, 0, 0]),
            None,
            "not UTF-8"
        );
    }

    #[test]
    fn states_of_all_broker_versions_are_parsed() {
        assert_eq!(parse_state("Stable"), GroupState::Stable);
        assert_eq!(parse_state("Assigning"), GroupState::CompletingRebalance);
        assert_eq!(parse_state("Sleeping"), GroupState::Unknown);
    }
}
