//! Lists of offsets.

use networking_spi::kafka::{PartitionOffset, TopicPartition};
use rdkafka::bindings as c;

use super::object::{Owned, partition, partitions, string};
use super::refusal::{Refusal, Result};

/// Makes a list of offsets for librdkafka.
pub(super) fn offset_list(offsets: &[PartitionOffset]) -> Result<Owned<c::rd_kafka_topic_partition_list_t>> {
    // SAFETY: the size is only a hint.
    let list = unsafe { c::rd_kafka_topic_partition_list_new(1) };
    let list = Owned::new(list, c::rd_kafka_topic_partition_list_destroy).ok_or_else(Refusal::failed)?;
    for offset in offsets {
        let topic = string(&offset.partition.topic)?;
        // SAFETY: the list is owned, and the topic lives longer than the call, which copies it.
        let element =
            unsafe { c::rd_kafka_topic_partition_list_add(list.pointer(), topic.as_ptr(), offset.partition.partition) };
        // SAFETY: an element that was added is in the list, which is owned; no other reference to it exists.
        if let Some(element) = unsafe { element.as_mut() } {
            element.offset = offset.offset;
        }
    }
    Ok(list)
}

/// Reads the offsets of a list. Fails with the first error in it.
///
/// # Safety
/// `list` must be null or point to a list.
pub(super) unsafe fn read_offsets(
    list: *const c::rd_kafka_topic_partition_list_t,
) -> Result<Vec<(TopicPartition, i64)>> {
    // SAFETY: of the caller. The topic of an element is a string of C.
    unsafe {
        let offsets = partitions(list).iter().map(|element| {
            Refusal::new(element.err, None)?;
            Ok((partition(element), element.offset))
        });
        offsets.collect()
    }
}
