//! The suite of [`KafkaReading`](networking_spi::kafka::KafkaReading): where and what a consumer reads.
//!
//! The clauses are in `docs/contract/kafka_reading.md`. Implement [`KafkaReadingHarness`], and run [`suite`] or expand
//! [`kafka_reading_conformance!`](crate::kafka_reading_conformance).

mod declare;
mod harness;
mod offsets;
mod pause;
mod rebalance;
mod scene;
mod seek;
mod subscribe;

pub use harness::{KafkaReadingHarness, ReadingClient};

crate::kit::define_suite! {
    ($)
    /// Expands to one `#[test]` per case of reading from Kafka. The argument is a closure or function that makes the harness: a
    /// type that implements [`KafkaReadingHarness`](crate::kafka_reading::KafkaReadingHarness), or an `Arc` of it.
    macro kafka_reading_conformance;
    domain "kafka" in kafka_reading;
    harness dyn KafkaReadingHarness;
    modules { declare, subscribe, seek, pause, offsets, rebalance }
    cases {
        "KREAD-1" declare::all_clients_declare_the_same_reading_capabilities,
        "KREAD-2" declare::undeclared_reading_is_unsupported,
        "KREAD-3" declare::an_unknown_consumer_is_not_found,
        "KREAD-4" subscribe::topics_whose_whole_name_matches_are_read if subscribe::has_patterns,
        "KREAD-5" subscribe::a_new_topic_joins_from_its_first_record if subscribe::has_patterns,
        "KREAD-6" subscribe::a_bad_pattern_names_its_field if subscribe::has_patterns,
        "KREAD-7" subscribe::only_the_named_partitions_are_read if subscribe::has_partitions,
        "KREAD-8" subscribe::readers_of_partitions_share_nothing if subscribe::has_partitions,
        "KREAD-9" subscribe::a_reader_of_partitions_starts_at_the_committed_offset if subscribe::commits_partitions,
        "KREAD-10" subscribe::an_unknown_partition_is_not_found if subscribe::has_partitions,
        "KREAD-11" subscribe::a_bad_reader_names_its_field if subscribe::has_partitions,
        "KREAD-12" seek::an_offset_is_the_next_to_read if seek::seeks,
        "KREAD-13" seek::the_beginning_and_the_end_are_places if seek::seeks,
        "KREAD-14" seek::a_time_is_its_first_record if seek::seeks_times,
        "KREAD-15" seek::only_the_named_partitions_move_and_change_their_epoch if seek::seeks,
        "KREAD-16" seek::a_seek_commits_nothing if seek::seeks_and_commits,
        "KREAD-17" seek::an_unassigned_partition_cannot_be_moved if seek::seeks,
        "KREAD-18" seek::a_seek_during_a_call_to_consume_takes_effect if seek::seeks,
        "KREAD-19" pause::a_paused_partition_is_not_read if pause::pauses,
        "KREAD-20" pause::a_resumed_partition_continues_without_a_gap if pause::pauses,
        "KREAD-21" pause::paused_partitions_are_listed if pause::pauses,
        "KREAD-22" pause::a_seek_keeps_the_pause if pause::pauses_and_seeks,
        "KREAD-23" pause::an_unassigned_partition_cannot_be_paused if pause::pauses,
        "KREAD-24" offsets::positions_follow_messages_and_seeks if seek::seeks,
        "KREAD-25" offsets::beginning_and_end_are_listed_in_order if offsets::lists,
        "KREAD-26" offsets::times_are_listed if offsets::lists_times,
        "KREAD-27" offsets::offsets_of_an_unknown_partition_are_not_found if offsets::lists,
        "KREAD-28" rebalance::assigned_partitions_are_reported_with_their_epochs if rebalance::reports,
        "KREAD-29" rebalance::revoked_partitions_are_reported if rebalance::reports_revocations,
        "KREAD-30" rebalance::lost_partitions_are_reported if rebalance::reports_losses,
        "KREAD-31" rebalance::each_strategy_and_protocol_divides_the_partitions if rebalance::divides,
    }
}
