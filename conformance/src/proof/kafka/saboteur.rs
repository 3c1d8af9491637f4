//! The list of saboteurs.

use networking_spi::kafka::KafkaCapabilities;

crate::saboteurs! {
    domain "kafka";

    /// A Kafka client with one mistake.
    pub enum Saboteur {
        /// Values are converted to text and back.
        ValuesAreText => ["produce::round_trip_is_byte_for_byte"],
        /// Headers are lost.
        NoHeaders => [
            "capability::headers_are_kept_or_refused",
            "produce::headers_keep_order_repetition_and_absence",
            "produce::round_trip_is_byte_for_byte",
        ],
        /// Headers are kept in a map.
        HeadersAreAMap => ["produce::headers_keep_order_repetition_and_absence"],
        /// An empty value is read as an absent one.
        EmptyIsAbsent => ["produce::absent_and_empty_are_different"],
        /// Every write reports offset 0.
        OffsetZero => [
            "produce::concurrent_writes_each_get_their_own_offset",
            "produce::metadata_names_topic_partition_and_offset",
            "produce::one_failure_does_not_stop_the_batch",
        ],
        /// Partitions are chosen by another hash of the key.
        OtherPartitioner => ["produce::keys_choose_the_partition_by_murmur2"],
        /// The key chooses the partition although the record names one.
        KeyOverridesPartition => ["produce::an_explicit_partition_overrides_the_key"],
        /// The last records of a large batch are written in the wrong order.
        BatchesAreShuffled => [
            "consume::each_partition_comes_in_order_without_gaps",
            "produce::order_is_kept_within_a_partition",
        ],
        /// Timestamps are kept to the second.
        SecondsOnly => ["produce::timestamps_are_kept_to_the_millisecond"],
        /// A record without a timestamp gets the time 0, in 1970.
        NoClock => ["produce::the_default_timestamp_is_the_time_of_sending"],
        /// The first failure ends a batch.
        FailureEndsTheBatch => [
            "lifecycle::failures_are_counted",
            "lifecycle::handles_belong_to_their_client",
            "produce::a_call_ends_at_its_delivery_timeout",
            "produce::a_record_beyond_the_topics_limit_fails_alone",
            "produce::a_record_without_a_key_is_rejected_by_a_compacted_topic",
            "produce::a_timestamp_beyond_the_topics_range_is_invalid",
            "produce::one_failure_does_not_stop_the_batch",
        ],
        /// Failures within a batch are reported as successes.
        FailuresAreSuccesses => [
            "produce::a_call_ends_at_its_delivery_timeout",
            "produce::a_record_beyond_the_topics_limit_fails_alone",
            "produce::a_record_without_a_key_is_rejected_by_a_compacted_topic",
            "produce::a_timestamp_beyond_the_topics_range_is_invalid",
            "produce::one_failure_does_not_stop_the_batch",
        ],
        /// An empty batch is an error.
        EmptyBatchFails => ["produce::an_empty_batch_has_an_empty_result"],
        /// Writing to an unknown topic is a timeout.
        UnknownTopicTimesOut => ["produce::an_unknown_topic_is_not_found"],
        /// A partition that does not exist is mapped to an existing one.
        PartitionsWrap => [
            "lifecycle::failures_are_counted",
            "produce::an_unknown_partition_is_not_found",
            "produce::one_failure_does_not_stop_the_batch",
        ],
        /// `InvalidInput` does not name its field.
        FieldsAreUnnamed => [
            "commit::a_negative_offset_is_invalid",
            "config::a_session_timeout_beyond_the_range_is_invalid",
            "config::unknown_backend_settings_are_invalid",
            "consume::bad_options_name_their_field",
            "lifecycle::a_bad_consumer_names_its_field",
            "lifecycle::a_bad_producer_names_its_field",
            "produce::a_bad_record_names_its_field",
            "produce::a_timestamp_beyond_the_topics_range_is_invalid",
            "topic::a_bad_setting_is_named",
            "topic::a_bad_topic_names_its_field",
            "topic::names_that_collide_are_invalid",
        ],
        /// `max_message_size` is one byte less than configured.
        LimitIsExclusive => ["produce::a_record_beyond_the_limit_is_too_large"],
        /// `max_message_size` is ignored.
        NoLimit => ["produce::a_record_beyond_the_limit_is_too_large"],
        /// `Acks::None` is treated as `Acks::Leader`.
        AlwaysAcknowledged => ["produce::without_acknowledgement_there_is_no_offset"],
        /// `delivery_timeout` is ignored.
        NoDeliveryTimeout => [
            "produce::a_call_ends_at_its_delivery_timeout",
            "produce::a_write_that_cannot_be_delivered_times_out",
        ],
        /// A call returns one message more than `max_messages`.
        OneTooMany => [
            "commit::a_commit_does_not_move_the_position",
            "commit::a_committed_offset_is_the_next_to_read",
            "commit::consumed_is_what_was_returned",
            "commit::messages_can_be_committed_as_they_are",
            "commit::nothing_is_committed_implicitly",
            "consume::no_more_than_max_messages",
            "lifecycle::traffic_is_counted",
        ],
        /// A call with a `max_wait` of 0 fails if there is no message.
        EmptyIsATimeout => ["consume::no_messages_within_max_wait_is_an_empty_list"],
        /// A call that waits does not see records that arrive meanwhile.
        LooksOnlyOnce => ["consume::a_waiting_call_gets_a_new_record"],
        /// Every ninth message of a partition other than 0 is lost.
        LosesMessages => ["consume::each_partition_comes_in_order_without_gaps"],
        /// Only the first topic is read.
        OneTopic => ["consume::a_consumer_reads_all_its_topics"],
        /// A call that is dropped loses its messages.
        LosesOnCancel => ["consume::a_cancelled_call_loses_nothing"],
        /// `OffsetReset::Earliest` is treated as `Latest`.
        EarliestIsLatest => [
            "assignment::a_new_epoch_starts_at_the_committed_offset",
            "assignment::it_changes_only_while_consuming",
            "assignment::it_lists_the_partitions_that_are_read",
            "capability::aborted_records_are_hidden_or_the_level_is_refused",
            "capability::client_ids_reach_the_cluster_or_are_refused",
            "capability::commits_need_groups",
            "capability::headers_are_kept_or_refused",
            "capability::idempotence_is_accepted_or_refused",
            "capability::static_members_are_accepted_or_refused",
            "commit::a_commit_does_not_move_the_position",
            "commit::a_committed_offset_is_the_next_to_read",
            "commit::a_negative_offset_is_invalid",
            "commit::an_exact_offset_may_go_back",
            "commit::an_unassigned_partition_is_a_conflict",
            "commit::consumed_is_what_was_returned",
            "commit::groups_have_separate_offsets",
            "commit::messages_can_be_committed_as_they_are",
            "commit::nothing_is_committed_implicitly",
            "config::a_crashed_member_is_removed_after_session_timeout",
            "config::a_member_that_does_not_consume_is_removed",
            "config::compressed_records_are_read_or_the_compression_is_refused",
            "consume::a_cancelled_call_loses_nothing",
            "consume::a_consumer_reads_all_its_topics",
            "consume::a_deleted_topic_is_reported",
            "consume::a_waiting_call_gets_a_new_record",
            "consume::each_partition_comes_in_order_without_gaps",
            "consume::earliest_begins_at_the_first_record",
            "consume::no_more_than_max_messages",
            "group::a_static_member_is_fenced_by_its_replacement",
            "group::info_remains_without_members",
            "group::info_shows_members_offsets_and_lag",
            "lifecycle::totals_include_closed_handles",
            "lifecycle::traffic_is_counted",
            "produce::a_record_beyond_the_limit_is_too_large",
            "produce::a_record_beyond_the_topics_limit_fails_alone",
            "produce::a_record_without_a_key_is_rejected_by_a_compacted_topic",
            "produce::a_timestamp_beyond_the_topics_range_is_invalid",
            "produce::absent_and_empty_are_different",
            "produce::an_explicit_partition_overrides_the_key",
            "produce::concurrent_writes_each_get_their_own_offset",
            "produce::headers_keep_order_repetition_and_absence",
            "produce::keys_choose_the_partition_by_murmur2",
            "produce::metadata_names_topic_partition_and_offset",
            "produce::one_failure_does_not_stop_the_batch",
            "produce::order_is_kept_within_a_partition",
            "produce::round_trip_is_byte_for_byte",
            "produce::the_default_timestamp_is_the_time_of_sending",
            "produce::timestamps_are_kept_to_the_millisecond",
        ],
        /// `OffsetReset::Latest` is treated as `Earliest`.
        LatestIsEarliest => ["consume::latest_begins_after_the_last_record"],
        /// `OffsetReset::Fail` is treated as `Earliest`.
        FailIsEarliest => ["consume::fail_is_reported_until_an_offset_is_committed", "consume::fail_is_not_found_without_a_committed_offset"],
        /// The offset of the last message is committed, not the next one.
        CommitsTheLast => ["assignment::a_new_epoch_starts_at_the_committed_offset", "consume::fail_is_reported_until_an_offset_is_committed", "commit::a_committed_offset_is_the_next_to_read", "commit::an_exact_offset_may_go_back", "commit::messages_can_be_committed_as_they_are", "commit::nothing_is_committed_implicitly", "group::info_shows_members_offsets_and_lag"],
        /// Closing a consumer commits.
        CommitsOnClose => [
            "commit::an_exact_offset_may_go_back",
            "commit::consumed_is_what_was_returned",
            "commit::messages_can_be_committed_as_they_are",
            "commit::nothing_is_committed_implicitly",
        ],
        /// `CommitOffsets::Consumed` commits the ends of the partitions.
        CommitsTheEnd => ["commit::consumed_is_what_was_returned", "commit::nothing_is_committed_implicitly"],
        /// An offset is committed only when it is higher than the committed one.
        CommitsOnlyForward => ["commit::an_exact_offset_may_go_back"],
        /// Committing an exact offset seeks to it.
        CommitSeeks => ["assignment::a_new_epoch_starts_at_the_committed_offset", "commit::a_commit_does_not_move_the_position"],
        /// Committing a negative offset succeeds and does nothing.
        NegativeIsIgnored => ["commit::a_negative_offset_is_invalid", "lifecycle::failures_are_counted"],
        /// Conflicts of commits are reported as successes.
        ConflictsAreIgnored => [
            "commit::an_unassigned_partition_is_a_conflict",
            "group::a_partition_of_another_member_is_a_conflict",
            "group::a_static_member_is_fenced_by_its_replacement",
        ],
        /// All consumers are in one group.
        OneGroup => [
            "commit::groups_have_separate_offsets",
            "group::each_group_gets_every_record",
            "topic::invalid_names_are_not_looked_up",
        ],
        /// Each client has separate groups, even if their names are the same.
        OneGroupPerClient => [
            "assignment::a_new_epoch_starts_at_the_committed_offset",
            "assignment::it_changes_only_while_consuming",
            "group::a_partition_of_another_member_is_a_conflict",
            "group::a_static_member_is_fenced_by_its_replacement",
            "group::members_share_the_partitions",
            "group::partitions_of_a_leaving_member_are_reassigned",
            "topic::invalid_names_are_not_looked_up",
        ],
        /// Closing a consumer commits the offsets of its first commit again.
        ClosingRestoresTheFirstCommit => [
            "commit::an_exact_offset_may_go_back",
            "commit::nothing_is_committed_implicitly",
        ],
        /// A consumer that is closed stays in its group.
        NeverLeaves => ["assignment::a_new_epoch_starts_at_the_committed_offset", "commit::a_committed_offset_is_the_next_to_read", "commit::an_exact_offset_may_go_back", "commit::consumed_is_what_was_returned", "commit::messages_can_be_committed_as_they_are", "commit::nothing_is_committed_implicitly", "group::partitions_of_a_leaving_member_are_reassigned", "group::info_remains_without_members", "lifecycle::totals_include_closed_handles"],
        /// `group_instance_id` is ignored.
        NoStaticMembers => ["group::a_static_member_is_fenced_by_its_replacement"],
        /// Lag is not reported.
        NoLag => ["group::info_remains_without_members", "group::info_shows_members_offsets_and_lag"],
        /// A group without members is not found.
        ForgetsEmptyGroups => ["group::info_remains_without_members"],
        /// An unknown group is reported as an empty one.
        EveryGroupExists => ["group::an_unknown_group_is_not_found"],
        /// Creating a topic does nothing.
        CreatesNothing => [
            "consume::a_deleted_topic_is_reported",
            "consume::a_recreated_topic_is_read_from_its_first_record",
            "produce::a_record_beyond_the_topics_limit_fails_alone",
            "produce::a_record_without_a_key_is_rejected_by_a_compacted_topic",
            "produce::a_timestamp_beyond_the_topics_range_is_invalid",
            "topic::a_bad_setting_is_named",
            "topic::a_bad_topic_names_its_field",
            "topic::a_created_topic_can_be_used_at_once",
            "topic::a_created_topic_is_described_at_once",
            "topic::a_deleted_topic_is_not_found",
            "topic::a_topic_is_created_once",
            "topic::names_that_collide_are_invalid",
        ],
        /// Creating a topic that exists succeeds.
        CreatesAgain => ["topic::a_topic_is_created_once"],
        /// Deleting a topic does nothing.
        DeletesNothing => [
            "consume::a_deleted_topic_is_reported",
            "consume::a_recreated_topic_is_read_from_its_first_record",
            "topic::a_deleted_topic_is_not_found",
            "topic::deleting_an_unknown_topic_is_not_found",
            "topic::invalid_names_are_not_looked_up",
            "topic::names_that_collide_are_invalid",
        ],
        /// Partitions have no leader.
        NoLeader => ["topic::metadata_counts_the_records"],
        /// A metadata request creates the topic.
        MetadataRequestsCreate => [
            "topic::a_bad_setting_is_named",
            "topic::a_deleted_topic_is_not_found",
            "topic::invalid_names_are_not_looked_up",
            "topic::metadata_requests_create_no_topic",
        ],
        /// Declares `read_committed` if the harness does not, and the other way round.
        MisdeclaresReadCommitted => ["lifecycle::all_clients_declare_the_same_capabilities"],
        /// Consuming with an unknown consumer returns no messages.
        UnknownConsumersReadNothing => [
            "lifecycle::a_closed_consumer_is_not_found",
            "lifecycle::handles_belong_to_their_client",
        ],
        /// Producing with an unknown producer creates a new one.
        RecreatesProducers => [
            "lifecycle::a_closed_producer_is_not_found",
            "lifecycle::handles_belong_to_their_client",
        ],
        /// Flushing does not wait for records that are being sent.
        FlushesTooEarly => [
            "lifecycle::closing_a_producer_writes_its_records",
            "lifecycle::flush_waits_for_acknowledgements",
        ],
        /// The ids of producers and consumers are counted per client, so that two clients use the same ones.
        NumbersHandles => [
            "config::a_crashed_member_is_removed_after_session_timeout",
            "config::no_more_records_than_queue_size_are_in_flight",
            "config::records_in_flight_are_counted",
            "lifecycle::handles_belong_to_their_client",
            "lifecycle::traffic_is_counted",
        ],
        /// Closing a producer drops the records that wait for their batch.
        ClosesWithoutFlush => [
            "lifecycle::closing_a_producer_writes_its_records",
            "lifecycle::totals_include_closed_handles",
        ],
        /// Declares nothing, but does everything.
        HidesCapabilities => [
            "capability::aborted_records_are_hidden_or_the_level_is_refused",
            "capability::client_ids_reach_the_cluster_or_are_refused",
            "capability::commits_need_groups",
            "capability::headers_are_kept_or_refused",
            "capability::idempotence_is_accepted_or_refused",
            "capability::static_members_are_accepted_or_refused",
            "capability::timestamps_are_accepted_or_refused",
            "config::a_crashed_member_is_removed_after_session_timeout",
            "config::a_full_batch_does_not_wait",
            "config::a_record_waits_for_linger",
            "group::an_unknown_group_is_not_found",
            "produce::without_acknowledgement_there_is_no_offset",
            "topic::a_created_topic_can_be_used_at_once",
            "topic::deleting_an_unknown_topic_is_not_found",
            "topic::metadata_counts_the_records",
        ],
        /// Declares everything but groups, and does everything.
        HidesGroups => [
            "capability::commits_need_groups",
            "capability::what_needs_groups_is_declared_with_groups",
        ],
        /// The client ids of producers and consumers are ignored.
        NoClientIds => [
            "capability::client_ids_reach_the_cluster_or_are_refused",
            "group::info_shows_members_offsets_and_lag",
        ],
        /// `linger` is ignored.
        NoLinger => [
            "config::a_full_batch_does_not_wait",
            "config::a_record_waits_for_linger",
            "config::no_more_records_than_queue_size_are_in_flight",
            "config::records_in_flight_are_counted",
        ],
        /// `batch_size` is ignored.
        NoBatchSize => ["config::a_full_batch_does_not_wait"],
        /// `queue_size` is ignored.
        NoQueueSize => ["config::no_more_records_than_queue_size_are_in_flight"],
        /// No record is ever in flight.
        NothingInFlight => [
            "config::no_more_records_than_queue_size_are_in_flight",
            "config::records_in_flight_are_counted",
        ],
        /// A compression that the client lacks is reported as a bad value.
        CompressionIsInvalid => ["config::compressed_records_are_read_or_the_compression_is_refused"],
        /// Backend settings are ignored.
        NoBackendSettings => ["config::unknown_backend_settings_are_invalid"],
        /// `session_timeout` is as long as `max_poll_interval`.
        NoSessionTimeout => ["config::a_crashed_member_is_removed_after_session_timeout"],
        /// `max_poll_interval` is ignored.
        NoPollInterval => [
            "config::a_member_that_does_not_consume_is_removed",
            "config::a_session_timeout_beyond_the_range_is_invalid",
        ],
        /// `isolation_level` is ignored.
        NoIsolation => ["capability::aborted_records_are_hidden_or_the_level_is_refused"],
        /// No partition is ever assigned.
        NothingIsAssigned => [
            "assignment::a_new_epoch_starts_at_the_committed_offset",
            "assignment::it_changes_only_while_consuming",
            "assignment::it_lists_the_partitions_that_are_read",
        ],
        /// The epoch of a partition never changes.
        EpochsNeverChange => ["assignment::a_new_epoch_starts_at_the_committed_offset"],
        /// Requesting the assignment takes part in a rebalance.
        AssignmentConsumes => ["assignment::it_changes_only_while_consuming"],
        /// A missing position is reported once.
        FailsOnce => ["consume::fail_is_reported_until_an_offset_is_committed"],
        /// A deleted topic is an empty one.
        DeletedIsEmpty => ["consume::a_deleted_topic_is_reported"],
        /// Offsets below those that were read are skipped.
        NeverGoesBack => [
            "consume::a_deleted_topic_is_reported",
            "consume::a_recreated_topic_is_read_from_its_first_record",
        ],
        /// The settings of a new topic are ignored.
        IgnoresTopicSettings => [
            "produce::a_record_beyond_the_topics_limit_fails_alone",
            "produce::a_record_without_a_key_is_rejected_by_a_compacted_topic",
            "produce::a_timestamp_beyond_the_topics_range_is_invalid",
            "topic::a_bad_setting_is_named",
        ],
        /// If a record of a call is refused by the broker, all of them are.
        RefusesTheBatch => [
            "produce::a_record_beyond_the_topics_limit_fails_alone",
            "produce::a_record_without_a_key_is_rejected_by_a_compacted_topic",
            "produce::a_timestamp_beyond_the_topics_range_is_invalid",
        ],
        /// A topic is created beside one with a colliding name.
        AllowsCollisions => ["topic::names_that_collide_are_invalid"],
        /// A topic or group with an invalid name is not found.
        LooksUpEveryName => ["topic::invalid_names_are_not_looked_up"],
        /// A longer `session_timeout` than brokers accept is replaced by the longest.
        LimitsSessionTimeouts => ["config::a_session_timeout_beyond_the_range_is_invalid"],
        /// The partitions of a new topic have no offsets at first.
        DescribesTooEarly => ["topic::a_created_topic_is_described_at_once"],
        /// Nothing is counted.
        CountsNothing => [
            "config::no_more_records_than_queue_size_are_in_flight",
            "config::records_in_flight_are_counted",
            "lifecycle::failures_are_counted",
            "lifecycle::totals_include_closed_handles",
            "lifecycle::traffic_is_counted",
        ],
    }
}

impl Saboteur {
    /// What a client with these capabilities declares when it makes this mistake, and its harness states too.
    pub(super) const fn declared(self, mut capabilities: KafkaCapabilities) -> KafkaCapabilities {
        match self {
            Self::HidesCapabilities => KafkaCapabilities::none(),
            Self::HidesGroups => {
                capabilities.groups = false;
                capabilities
            }
            _ => capabilities,
        }
    }
}
