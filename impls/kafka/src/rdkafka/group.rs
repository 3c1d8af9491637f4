//! Consumer groups: state, members, committed offsets and lag.

use std::collections::BTreeMap;

use networking_spi::kafka::{ConsumerGroupInfo, GroupOffset, GroupState};
use networking_spi::{NetworkError, Result};
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;

use super::control::{BlockingCalls, Control};
use super::native::{self, from_refusal};

const INFO: &str = "kafka.consumer_group_info";

/// Requests the state of a group from the brokers.
pub(super) async fn info(control: &Control, group: &str) -> Result<ConsumerGroupInfo> {
    let group = group.to_owned();
    control.retry(INFO, move |calls| describe(calls, &group)).await
}

fn describe(calls: &BlockingCalls<'_>, group: &str) -> Result<ConsumerGroupInfo> {
    let client = calls.consumer.client();
    let (state, members) =
        native::describe_group(client, group, calls.limit).map_err(|refusal| from_refusal(INFO, refusal))?;
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
    let partitions = offsets
        .keys()
        .map(|partition| (partition.topic.clone(), partition.partition))
        .collect::<Vec<_>>();
    let latest = calls.offsets(&partitions, Offset::End)?;
    let offsets = offsets
        .into_iter()
        .zip(latest)
        .filter_map(|((partition, committed), latest)| Some(GroupOffset::new(partition, committed, latest?)));
    Ok(ConsumerGroupInfo::new(group, state, members, offsets.collect()))
}
