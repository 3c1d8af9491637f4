//! Offsets that transactions will commit (KIP-447).

use networking_spi::error::context;
use networking_spi::kafka::PartitionOffset;
use networking_spi::{ErrorKind, NetworkError, Result};

use super::super::mark::Outcome;
use super::super::topics::Topics;
use super::{Group, Inner, MemberRef};

impl Group {
    /// Holds offsets of a member until the end of a transaction: all of them or none. Until then no member takes the partitions.
    pub(in crate::memory) fn hold(
        &self,
        topics: &Topics,
        member: MemberRef<'_>,
        offsets: &[PartitionOffset],
        operation: &'static str,
    ) -> Result<()> {
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, topics.clock().elapsed());
        self.check_owner(&inner, member, offsets, operation)?;
        for offset in offsets {
            *inner.pending.entry(offset.partition.clone()).or_default() += 1;
        }
        Ok(())
    }

    /// Commits or drops offsets that were held.
    pub(in crate::memory) fn release(&self, topics: &Topics, offsets: Vec<PartitionOffset>, outcome: Outcome) {
        let mut inner = self.inner.lock();
        for PartitionOffset { partition, offset } in offsets {
            if let Some(holds) = inner.pending.get_mut(&partition) {
                *holds -= 1;
                if *holds == 0 {
                    inner.pending.remove(&partition);
                }
            }
            if outcome == Outcome::Committed && topics.get(&partition.topic).is_some() {
                inner.committed.insert(partition, offset);
            }
        }
        self.notify_members(&inner);
    }

    /// Fails unless the member owns the partitions of all offsets.
    pub(super) fn check_owner(
        &self,
        inner: &Inner,
        member: MemberRef<'_>,
        offsets: &[PartitionOffset],
        operation: &'static str,
    ) -> Result<()> {
        if member.link.is_fenced() {
            return Err(self.fenced(operation));
        }
        if !inner.members.contains_key(&member.number) {
            return Err(
                NetworkError::new(ErrorKind::Conflict, operation, "this member was removed from the group")
                    .with_context(context::GROUP, &self.name),
            );
        }
        if let Some(foreign) = offsets
            .iter()
            .find(|offset| inner.owners.get(&offset.partition) != Some(&member.number))
        {
            return Err(NetworkError::new(
                ErrorKind::Conflict,
                operation,
                "the partition is not assigned to this member",
            )
            .with_context(context::GROUP, &self.name)
            .with_context(context::PARTITION, foreign.partition.to_string()));
        }
        Ok(())
    }
}
