//! The Kafka suite, for [`KafkaClient`](networking_spi::kafka::KafkaClient).
//!
//! The clauses are in `docs/contract/kafka.md`. Implement [`KafkaHarness`], and run [`suite`] or expand
//! [`kafka_conformance!`](crate::kafka_conformance):
//!
//! ```
//! use std::sync::Arc;
//! use networking_conformance::kafka::KafkaHarness;
//!
//! /// Runs every case against the backend of a harness, and panics with the list of clauses that do not hold.
//! fn check_backend(harness: fn() -> Arc<dyn KafkaHarness>) {
//!     networking_conformance::kafka::suite().run(&(Arc::new(harness) as _)).assert_conformant();
//! }
//! ```

mod assignment;
mod capability;
mod commit;
mod config;
mod consume;
mod group;
mod harness;
mod lifecycle;
mod produce;
pub(crate) mod stage;
mod topic;

pub use harness::KafkaHarness;

crate::kit::define_suite! {
    ($)
    /// Expands to one `#[test]` per Kafka case. The argument is a closure or function that makes the harness: a
    /// type that implements [`KafkaHarness`](crate::kafka::KafkaHarness), or an `Arc` of it.
    macro kafka_conformance;
    domain "kafka" in kafka;
    harness dyn KafkaHarness;
    modules { produce, consume, commit, group, topic, lifecycle, capability, config, assignment }
    cases {
        "KAFKA-1" produce::round_trip_is_byte_for_byte,
        "KAFKA-2" produce::metadata_names_topic_partition_and_offset,
        "KAFKA-3" produce::keys_choose_the_partition_by_murmur2,
        "KAFKA-4" produce::an_explicit_partition_overrides_the_key,
        "KAFKA-5" produce::order_is_kept_within_a_partition,
        "KAFKA-6" produce::headers_keep_order_repetition_and_absence if produce::keeps_headers,
        "KAFKA-7" produce::absent_and_empty_are_different,
        "KAFKA-8" produce::timestamps_are_kept_to_the_millisecond if produce::keeps_timestamps,
        "KAFKA-9" produce::the_default_timestamp_is_the_time_of_sending,
        "KAFKA-10" produce::one_failure_does_not_stop_the_batch,
        "KAFKA-11" produce::an_empty_batch_has_an_empty_result,
        "KAFKA-12" produce::an_unknown_topic_is_not_found if produce::topics_are_not_created_by_writing,
        "KAFKA-13" produce::an_unknown_partition_is_not_found,
        "KAFKA-14" produce::a_bad_record_names_its_field,
        "KAFKA-15" produce::a_record_beyond_the_limit_is_too_large,
        "KAFKA-16" produce::without_acknowledgement_there_is_no_offset,
        "KAFKA-17" produce::concurrent_writes_each_get_their_own_offset,
        "KAFKA-18" produce::a_write_that_cannot_be_delivered_times_out if produce::can_interrupt,
        "KAFKA-19" consume::no_more_than_max_messages,
        "KAFKA-20" consume::bad_options_name_their_field,
        "KAFKA-21" consume::no_messages_within_max_wait_is_an_empty_list,
        "KAFKA-22" consume::a_waiting_call_gets_a_new_record,
        "KAFKA-23" consume::each_partition_comes_in_order_without_gaps,
        "KAFKA-24" consume::a_consumer_reads_all_its_topics,
        "KAFKA-25" consume::a_cancelled_call_loses_nothing,
        "KAFKA-26" consume::earliest_begins_at_the_first_record,
        "KAFKA-27" consume::latest_begins_after_the_last_record,
        "KAFKA-28" consume::fail_is_not_found_without_a_committed_offset,
        "KAFKA-29" commit::a_committed_offset_is_the_next_to_read if commit::has_groups,
        "KAFKA-30" commit::messages_can_be_committed_as_they_are if commit::has_groups,
        "KAFKA-31" commit::nothing_is_committed_implicitly if commit::has_groups,
        "KAFKA-32" commit::consumed_is_what_was_returned if commit::has_groups,
        "KAFKA-33" commit::an_exact_offset_may_go_back if commit::has_groups,
        "KAFKA-34" commit::a_commit_does_not_move_the_position if commit::has_groups,
        "KAFKA-35" commit::a_negative_offset_is_invalid if commit::has_groups,
        "KAFKA-36" commit::an_unassigned_partition_is_a_conflict if commit::has_groups,
        "KAFKA-37" commit::groups_have_separate_offsets if commit::has_groups,
        "KAFKA-38" group::members_share_the_partitions if commit::has_groups,
        "KAFKA-39" group::partitions_of_a_leaving_member_are_reassigned if commit::has_groups,
        "KAFKA-40" group::each_group_gets_every_record,
        "KAFKA-41" group::a_partition_of_another_member_is_a_conflict if commit::has_groups,
        "KAFKA-42" group::a_static_member_is_fenced_by_its_replacement if group::fences_static_members,
        "KAFKA-43" group::info_shows_members_offsets_and_lag if group::reports_groups,
        "KAFKA-44" group::info_remains_without_members if group::reports_groups,
        "KAFKA-45" group::an_unknown_group_is_not_found,
        "KAFKA-46" topic::a_created_topic_can_be_used_at_once,
        "KAFKA-47" topic::a_topic_is_created_once if topic::administers_topics,
        "KAFKA-48" topic::a_bad_topic_names_its_field if topic::administers_topics,
        "KAFKA-49" topic::a_deleted_topic_is_not_found if topic::administers_topics,
        "KAFKA-50" topic::deleting_an_unknown_topic_is_not_found,
        "KAFKA-51" topic::metadata_counts_the_records,
        "KAFKA-52" topic::metadata_requests_create_no_topic,
        "KAFKA-53" lifecycle::all_clients_declare_the_same_capabilities,
        "KAFKA-54" lifecycle::a_bad_producer_names_its_field,
        "KAFKA-55" lifecycle::a_bad_consumer_names_its_field,
        "KAFKA-56" lifecycle::a_closed_producer_is_not_found,
        "KAFKA-57" lifecycle::a_closed_consumer_is_not_found,
        "KAFKA-58" lifecycle::handles_belong_to_their_client,
        "KAFKA-59" lifecycle::flush_waits_for_acknowledgements,
        "KAFKA-60" lifecycle::traffic_is_counted,
        "KAFKA-61" lifecycle::failures_are_counted,
        "KAFKA-62" lifecycle::totals_include_closed_handles,
        "KAFKA-63" lifecycle::closing_a_producer_writes_its_records,
        "KAFKA-64" capability::what_needs_groups_is_declared_with_groups,
        "KAFKA-65" capability::commits_need_groups,
        "KAFKA-66" capability::static_members_are_accepted_or_refused,
        "KAFKA-67" capability::timestamps_are_accepted_or_refused,
        "KAFKA-68" capability::headers_are_kept_or_refused,
        "KAFKA-69" capability::idempotence_is_accepted_or_refused,
        "KAFKA-70" capability::aborted_records_are_hidden_or_the_level_is_refused if capability::shows_isolation,
        "KAFKA-71" capability::client_ids_reach_the_cluster_or_are_refused if capability::shows_client_ids,
        "KAFKA-72" config::a_record_waits_for_linger,
        "KAFKA-73" config::a_full_batch_does_not_wait,
        "KAFKA-74" config::no_more_records_than_queue_size_are_in_flight if config::can_hold_records,
        "KAFKA-75" config::records_in_flight_are_counted if config::can_hold_records,
        "KAFKA-76" config::compressed_records_are_read_or_the_compression_is_refused,
        "KAFKA-77" config::unknown_backend_settings_are_invalid,
        "KAFKA-78" config::a_crashed_member_is_removed_after_session_timeout if config::shows_session_timeouts,
        "KAFKA-79" config::a_member_that_does_not_consume_is_removed if config::shows_poll_intervals,
        "KAFKA-80" assignment::it_lists_the_partitions_that_are_read,
        "KAFKA-81" assignment::it_changes_only_while_consuming if commit::has_groups,
        "KAFKA-82" assignment::a_new_epoch_starts_at_the_committed_offset if commit::has_groups,
        "KAFKA-83" consume::fail_is_reported_until_an_offset_is_committed,
        "KAFKA-84" consume::a_deleted_topic_is_reported if topic::administers_topics,
        "KAFKA-85" consume::a_recreated_topic_is_read_from_its_first_record if topic::administers_topics,
        "KAFKA-95" produce::a_record_beyond_the_topics_limit_fails_alone if topic::obeys_topic_configs,
        "KAFKA-96" produce::a_record_without_a_key_is_rejected_by_a_compacted_topic if topic::obeys_topic_configs,
        "KAFKA-97" produce::a_timestamp_beyond_the_topics_range_is_invalid if produce::timestamps_and_topic_configs,
        "KAFKA-98" produce::a_call_ends_at_its_delivery_timeout if produce::can_interrupt,
        "KAFKA-99" topic::a_bad_setting_is_named if topic::administers_topics,
        "KAFKA-100" topic::names_that_collide_are_invalid if topic::administers_topics,
        "KAFKA-101" topic::invalid_names_are_not_looked_up,
        "KAFKA-102" config::a_session_timeout_beyond_the_range_is_invalid if config::shows_poll_intervals,
        "KAFKA-103" topic::a_created_topic_is_described_at_once if topic::administers_topics,
    }
}
