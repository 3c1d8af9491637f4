//! Consumer groups: state, members, committed offsets and lag.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{ConsumerGroupInfo, GroupOffset, GroupState};
use networking_spi::{NetworkError, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::context::{Callbacks, ControlContext};
use super::control::{BlockingCalls, Control};
use super::native::{self, from_refusal};

/// How long to wait for the records after the committed offsets.
const MARKER_WAIT: Duration = Duration::from_secs(5);

const INFO: &str = "kafka.consumer_group_info";

/// Requests the state of a group from the brokers.
/// `reader` is the configuration of a consumer that reads records and never joins the group.
pub(super) async fn info(
    control: &Control,
    group: &str,
    reader: ClientConfig,
    callbacks: Callbacks,
) -> Result<ConsumerGroupInfo> {
    let group = group.to_owned();
    control
        .retry(INFO, move |calls| describe(calls, &group, &reader, &callbacks))
        .await
}

fn describe(
    calls: &BlockingCalls<'_>,
    group: &str,
    reader: &ClientConfig,
    callbacks: &Callbacks,
) -> Result<ConsumerGroupInfo> {
    let client = calls.consumer.client();
    let described =
        native::describe_group(client, group, calls.limit).map_err(|refusal| from_refusal(INFO, refusal))?;
    let (state, members) = described.map_or((GroupState::Dead, Vec::new()), |group| (group.state, group.members));
    let committed =
        native::committed_offsets(client, group, calls.limit).map_err(|refusal| from_refusal(INFO, refusal))?;
    if matches!(state, GroupState::Dead) && members.is_empty() && committed.is_empty() {
        return Err(NetworkError::not_found(INFO, "group", group));
    }
    // Assigned partitions without a committed offset are also listed.
    let mut offsets = members
        .iter()
        .flat_map(|member| &member.assignment)
        .map(|partition| (partition.clone(), None))
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
        .filter_map(|((partition, committed), latest)| Some(GroupOffset::new(partition, committed, latest?)));
    let mut offsets = offsets.collect::<Vec<_>>();
    if offsets.iter().any(has_tail) {
        // Without an answer, the markers of transactions are counted.
        if let Err(error) = discount_markers(&mut offsets, calls, reader, callbacks) {
            tracing::debug!(%error, group, "the records after the committed offsets cannot be read");
        }
    }
    Ok(ConsumerGroupInfo::new(group, state, members, offsets))
}

/// The most offsets after the committed one that may all belong to markers of transactions: each transaction has one.
const MAX_MARKERS: i64 = 8;

fn has_tail(offset: &GroupOffset) -> bool {
    offset.lag.is_some_and(|lag| (1..=MAX_MARKERS).contains(&lag))
}

/// Sets the lag of partitions without a record after the committed offset to 0. What follows it are the markers at the end of
/// transactions, which consumers do not see.
fn discount_markers(
    offsets: &mut [GroupOffset],
    calls: &BlockingCalls<'_>,
    reader: &ClientConfig,
    callbacks: &Callbacks,
) -> KafkaResult<()> {
    let context = ControlContext {
        callbacks: callbacks.clone(),
    };
    let reader: BaseConsumer<ControlContext> = reader.create_with_context(context)?;
    let clock = SystemClock::new();
    let deadline = clock.elapsed() + calls.limit.min(MARKER_WAIT);
    let topics = offsets
        .iter()
        .filter(|offset| has_tail(offset))
        .map(|offset| offset.partition.topic.clone())
        .collect::<BTreeSet<_>>();
    // One topic at a time, because the end of a partition is reported without its topic.
    for topic in topics {
        let mut unread = offsets
            .iter_mut()
            .filter(|offset| offset.partition.topic == topic && has_tail(offset))
            .map(|offset| (offset.partition.partition, offset))
            .collect::<BTreeMap<_, _>>();
        let mut list = TopicPartitionList::with_capacity(unread.len());
        for (partition, offset) in &unread {
            let committed = Offset::Offset(offset.committed.unwrap_or_default());
            list.add_partition_offset(&topic, *partition, committed)?;
        }
        reader.assign(&list)?;
        while !unread.is_empty() {
            let left = deadline.saturating_sub(clock.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            match reader.poll(left) {
                // A record of the topic before may still be in the queue.
                Some(Ok(message)) if message.topic() == topic => drop(unread.remove(&message.partition())),
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    if let Some(offset) = unread.remove(&partition) {
                        offset.lag = Some(0);
                    }
                }
                Some(Err(error)) => return Err(error),
                Some(Ok(_)) | None => {}
            }
        }
        reader.unassign()?;
    }
    Ok(())
}
