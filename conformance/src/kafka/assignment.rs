//! The partitions that are assigned to a consumer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use networking_spi::ErrorKind;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, KafkaMessage, PartitionOffset, TopicPartition,
};
use tokio::time::Instant;

use super::KafkaHarness;
use super::stage::{Member, Stage, read};
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq};

impl Stage {
    fn partition(&self, number: i32) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), number)
    }

    /// Writes `count` records to each partition.
    async fn write_to_each(&self, partitions: i32, count: usize) -> Result<(), Failure> {
        for partition in 0..partitions {
            for _ in 0..count {
                self.write(self.record().with_partition(partition).with_value("x"))
                    .await?;
            }
        }
        Ok(())
    }
}

impl Member {
    async fn assignment(&self) -> Result<ConsumerAssignment, Failure> {
        Ok(self.client.consumer_assignment(&self.consumer).await?)
    }
}

pub(super) async fn it_lists_the_partitions_that_are_read(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 3).await?;
    stage.write_to_each(3, 1).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 3).await?;
    let assignment = stage.client.consumer_assignment(&consumer).await?;
    let partitions: Vec<TopicPartition> = assignment.iter().map(|(partition, _)| partition.clone()).collect();
    let expected: Vec<TopicPartition> = (0..3).map(|number| stage.partition(number)).collect();
    check_eq!(partitions, expected, "the partitions of the only consumer");
    stage.read_nothing(&consumer).await?;
    check_eq!(
        stage.client.consumer_assignment(&consumer).await?,
        assignment,
        "the assignment and the epochs later"
    );
    Ok(())
}

pub(super) async fn it_changes_only_while_consuming(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    stage.write_to_each(2, 1).await?;
    let first = stage.member().await?;
    read(&*stage.harness, &first.client, &first.consumer, 2).await?;
    let before = first.assignment().await?;
    check_eq!(before.len(), 2, "partitions of the only member");

    let second = stage.member().await?;
    for _ in 0..3 {
        let options = ConsumeOptions::new().with_max_wait(stage.harness.quiet());
        second.client.consume_messages(&second.consumer, options).await?;
        check_eq!(
            first.assignment().await?,
            before,
            "the assignment of a member that does not consume"
        );
    }

    let members = [first, second];
    stage.shares(&members, 2).await?;
    let mut partitions = Vec::new();
    for member in &members {
        let assignment = member.assignment().await?;
        check_eq!(assignment.len(), 1, "partitions of each of two members");
        partitions.extend(assignment.iter().map(|(partition, _)| partition.partition));
    }
    partitions.sort_unstable();
    check_eq!(partitions, [0, 1], "partitions of both members");
    Ok(())
}

/// A member, and what it has read with which epoch.
struct Tracked {
    member: Member,
    positions: BTreeMap<TopicPartition, Position>,
    /// How many partitions were assigned to it again.
    reassigned: usize,
}

struct Position {
    epoch: u64,
    next: i64,
}

impl Tracked {
    fn new(member: Member) -> Self {
        Self {
            member,
            positions: BTreeMap::new(),
            reassigned: 0,
        }
    }

    /// Checks the messages of one call against the assignment after it.
    async fn check(
        &mut self,
        messages: &[KafkaMessage],
        committed: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), Failure> {
        let assignment = self.member.assignment().await?;
        for message in messages {
            let partition = message.topic_partition();
            let Some(epoch) = assignment.epoch(&partition) else {
                return Err(Failure::new(format!(
                    "a message of {partition}, which is not assigned: {assignment:?}"
                )));
            };
            let known = self.positions.get(&partition);
            let continues = known.filter(|position| position.epoch == epoch);
            let (expected, why) = match continues {
                Some(position) => (position.next, "the next offset with the same epoch"),
                None => (
                    committed.get(&partition).copied().unwrap_or(0),
                    "the committed offset with a new epoch",
                ),
            };
            check_eq!(message.offset, expected, "{why} in {partition}");
            self.reassigned += usize::from(known.is_some() && continues.is_none());
            let next = message.next_offset();
            self.positions.insert(partition, Position { epoch, next });
        }
        Ok(())
    }

    /// Commits what was read in the partitions that the member has kept.
    async fn commit(&self, committed: &mut BTreeMap<TopicPartition, i64>) -> Result<(), Failure> {
        let assignment = self.member.assignment().await?;
        let kept = self.positions.iter();
        let kept = kept.filter(|(partition, position)| assignment.epoch(partition) == Some(position.epoch));
        for (partition, position) in kept {
            let offset = PartitionOffset::new(partition.clone(), position.next);
            let offsets = CommitOffsets::Exact(vec![offset]);
            let Member { client, consumer } = &self.member;
            match client.commit_offsets(consumer, offsets).await {
                Ok(()) => {
                    committed.insert(partition.clone(), position.next);
                }
                // The group is rebalancing.
                Err(error) if error.kind() == ErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Lets all members consume once, concurrently, and checks what they read.
async fn consume_once(
    stage: &Stage,
    members: &mut [Tracked],
    committed: &BTreeMap<TopicPartition, i64>,
) -> Result<(), Failure> {
    let options = ConsumeOptions::new()
        .with_max_messages(7)
        .with_max_wait(stage.harness.quiet());
    let calls = members.iter().map(|tracked| {
        let Member { client, consumer } = &tracked.member;
        client.consume_messages(consumer, options)
    });
    let results = join_all(calls).await;
    for (tracked, messages) in members.iter_mut().zip(results) {
        tracked.check(&messages?, committed).await?;
    }
    Ok(())
}

pub(super) async fn a_new_epoch_starts_at_the_committed_offset(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    const PARTITIONS: i32 = 4;
    let stage = Stage::new(harness, PARTITIONS).await?;
    let mut committed = BTreeMap::new();
    let mut members = vec![Tracked::new(stage.member().await?)];
    let deadline = Instant::now() + stage.harness.patience();
    let mut joined = false;
    // A member joins, and leaves when it has read. Then the first member has all partitions again.
    for round in 0.. {
        // Also on a paused clock, rounds take time.
        tokio::time::sleep(Duration::from_millis(10)).await;
        // Fewer than one call returns: a rebalance may wait behind messages that were already fetched.
        stage.write_to_each(PARTITIONS, 1).await?;
        consume_once(&stage, &mut members, &committed).await?;
        // Not after each call, so that some messages are read again.
        if round % 3 == 1 {
            for member in &members {
                member.commit(&mut committed).await?;
            }
        }
        let all = usize::try_from(PARTITIONS).unwrap_or_default();
        match (joined, members.len()) {
            (false, 1) if members[0].positions.len() == all => {
                members.push(Tracked::new(stage.member().await?));
                joined = true;
            }
            (true, 2) if !members[1].positions.is_empty() => {
                if let Some(Tracked { member, .. }) = members.pop() {
                    member.client.close_consumer(&member.consumer).await?;
                }
            }
            (true, 1) if members[0].reassigned > 0 && members[0].member.assignment().await?.len() == all => {
                return Ok(());
            }
            _ => {}
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    check!(joined, "the first member did not read all partitions in time");
    Err(Failure::new(format!(
        "the partitions of a member that left were not read again with a new epoch within {:?}; {} members are left",
        stage.harness.patience(),
        members.len()
    )))
}
