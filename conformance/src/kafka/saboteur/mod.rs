//! Clients that are broken on purpose: proof that the suite notices.
//!
//! Each [`Flaw`] is a mistake that a backend could make. [`Sabotaged`] puts it into the clients of a harness whose backend is
//! right, and [`Flaw::caught_by`] names the cases that must fail then, those and no others.

mod client;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::kafka::{KafkaCapabilities, KafkaClient};

use super::KafkaHarness;
use crate::case::{CaseResult, CaseRuntime, Failure, Harness, KnownFailure};

macro_rules! flaws {
    ($($(#[$doc:meta])* $flaw:ident => [$($case:literal),+ $(,)?]),+ $(,)?) => {
        /// A mistake.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Flaw {
            $($(#[$doc])* $flaw),+
        }

        impl Flaw {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$flaw),+];

            /// The cases that fail with it, sorted, without the domain (`consume::no_more_than_max_messages`).
            pub const fn caught_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$flaw => &[$($case),+]),+
                }
            }
        }
    };
}

flaws! {
    /// Values pass through text.
    ValuesAreText => ["produce::round_trip_is_byte_for_byte"],
    /// Headers are left out.
    NoHeaders => ["produce::headers_keep_order_repetition_and_absence", "produce::round_trip_is_byte_for_byte"],
    /// Headers are kept in a map.
    HeadersAreAMap => ["produce::headers_keep_order_repetition_and_absence"],
    /// An empty value is taken for none.
    EmptyIsAbsent => ["produce::absent_and_empty_are_different"],
    /// Every answer has offset 0.
    OffsetZero => [
        "produce::concurrent_writes_each_get_their_own_offset",
        "produce::metadata_names_the_place",
        "produce::one_failure_does_not_stop_the_batch",
    ],
    /// Another hash of the key.
    OtherPartitioner => ["produce::keys_choose_the_partition_by_murmur2"],
    /// The key wins over the partition.
    KeyWins => ["produce::an_explicit_partition_wins_over_the_key"],
    /// The end of a large batch is written in the wrong order.
    BatchesAreShuffled => [
        "consume::each_partition_comes_in_order_without_gaps",
        "produce::order_is_kept_within_a_partition",
    ],
    /// Timestamps are kept to the second.
    SecondsOnly => ["produce::timestamps_are_kept_to_the_millisecond"],
    /// A record without a timestamp gets 1970.
    NoClock => ["produce::without_a_timestamp_it_is_the_time_of_sending"],
    /// The first failure ends a batch.
    FailureEndsTheBatch => ["lifecycle::failures_are_counted", "produce::one_failure_does_not_stop_the_batch"],
    /// Failures within a batch are reported as successes.
    FailuresAreSwallowed => ["produce::one_failure_does_not_stop_the_batch"],
    /// An empty batch is an error.
    EmptyBatchFails => ["produce::an_empty_batch_has_an_empty_result"],
    /// Writing to an unknown topic is a timeout.
    UnknownTopicTimesOut => ["produce::an_unknown_topic_is_not_found"],
    /// Partitions are counted modulo their number.
    PartitionsWrap => [
        "lifecycle::failures_are_counted",
        "produce::an_unknown_partition_is_not_found",
        "produce::one_failure_does_not_stop_the_batch",
    ],
    /// Invalid input does not name its field.
    FieldsAreUnnamed => [
        "commit::a_negative_offset_is_invalid",
        "consume::bad_options_name_their_field",
        "lifecycle::a_bad_consumer_names_its_field",
        "lifecycle::a_bad_producer_names_its_field",
        "produce::a_bad_record_names_its_field",
        "topic::a_bad_topic_names_its_field",
    ],
    /// The largest record is one byte smaller than configured.
    LimitIsExclusive => ["produce::a_record_beyond_the_limit_is_too_large"],
    /// The limit of a record's size is ignored.
    NoLimit => ["produce::a_record_beyond_the_limit_is_too_large"],
    /// `acks = none` is taken for `acks = leader`.
    AlwaysAcknowledged => ["produce::without_acknowledgement_there_is_no_offset"],
    /// The delivery timeout is ignored.
    NoDeliveryTimeout => ["produce::a_write_that_cannot_be_delivered_times_out"],
    /// A call gives one message more than was asked for.
    OneTooMany => [
        "commit::a_commit_does_not_move_the_reader",
        "commit::a_committed_offset_is_the_next_to_read",
        "commit::consumed_is_what_was_handed_out",
        "commit::messages_can_be_committed_as_they_are",
        "consume::no_more_than_max_messages",
        "lifecycle::traffic_is_counted",
    ],
    /// A call that does not wait fails when nothing is there.
    NothingIsATimeout => ["consume::an_empty_list_when_nothing_comes"],
    /// A call that waits looks only once.
    SleepsThrough => ["consume::a_waiting_call_gets_a_new_record"],
    /// A message is lost now and then.
    LosesMessages => ["consume::each_partition_comes_in_order_without_gaps"],
    /// Only the first topic is read.
    OneTopic => ["consume::a_consumer_reads_all_its_topics"],
    /// A call that is dropped takes its messages along.
    LosesOnCancel => ["consume::a_cancelled_call_loses_nothing"],
    /// `earliest` is taken for `latest`.
    EarliestIsLatest => [
        "commit::a_commit_does_not_move_the_reader",
        "commit::a_committed_offset_is_the_next_to_read",
        "commit::a_negative_offset_is_invalid",
        "commit::a_partition_of_nobody_is_a_conflict",
        "commit::an_exact_offset_may_go_back",
        "commit::consumed_is_what_was_handed_out",
        "commit::groups_commit_for_themselves",
        "commit::messages_can_be_committed_as_they_are",
        "commit::nothing_is_committed_by_itself",
        "consume::a_cancelled_call_loses_nothing",
        "consume::a_consumer_reads_all_its_topics",
        "consume::a_waiting_call_gets_a_new_record",
        "consume::each_partition_comes_in_order_without_gaps",
        "consume::earliest_begins_at_the_first_record",
        "consume::no_more_than_max_messages",
        "group::a_static_member_gives_way_to_its_twin",
        "group::info_outlives_the_members",
        "group::info_shows_members_offsets_and_lag",
        "lifecycle::totals_outlive_the_handles",
        "lifecycle::traffic_is_counted",
        "produce::a_record_beyond_the_limit_is_too_large",
        "produce::absent_and_empty_are_different",
        "produce::an_explicit_partition_wins_over_the_key",
        "produce::concurrent_writes_each_get_their_own_offset",
        "produce::headers_keep_order_repetition_and_absence",
        "produce::keys_choose_the_partition_by_murmur2",
        "produce::metadata_names_the_place",
        "produce::one_failure_does_not_stop_the_batch",
        "produce::order_is_kept_within_a_partition",
        "produce::round_trip_is_byte_for_byte",
        "produce::timestamps_are_kept_to_the_millisecond",
        "produce::without_a_timestamp_it_is_the_time_of_sending",
    ],
    /// `latest` is taken for `earliest`.
    LatestIsEarliest => ["consume::latest_begins_behind_the_last_record"],
    /// `fail` is taken for `earliest`.
    FailIsEarliest => ["consume::fail_refuses_to_begin_anywhere"],
    /// The offset of the last message is committed, not the next one.
    CommitsTheLast => [
        "commit::a_committed_offset_is_the_next_to_read",
        "commit::an_exact_offset_may_go_back",
        "commit::messages_can_be_committed_as_they_are",
        "group::info_shows_members_offsets_and_lag",
    ],
    /// Closing a consumer commits.
    CommitsOnClose => [
        "commit::an_exact_offset_may_go_back",
        "commit::consumed_is_what_was_handed_out",
        "commit::messages_can_be_committed_as_they_are",
        "commit::nothing_is_committed_by_itself",
    ],
    /// `Consumed` commits everything that is there.
    CommitsTheEnd => ["commit::consumed_is_what_was_handed_out"],
    /// An offset is only committed if it is higher than before.
    CommitsOnlyForward => ["commit::an_exact_offset_may_go_back"],
    /// Committing an exact offset seeks to it.
    CommitSeeks => ["commit::a_commit_does_not_move_the_reader"],
    /// A negative offset is passed over.
    NegativeIsIgnored => ["commit::a_negative_offset_is_invalid", "lifecycle::failures_are_counted"],
    /// Conflicts of commits are passed over.
    ConflictsAreSwallowed => [
        "commit::a_partition_of_nobody_is_a_conflict",
        "group::a_partition_of_another_member_is_a_conflict",
        "group::a_static_member_gives_way_to_its_twin",
    ],
    /// There is one group for all.
    OneGroup => [
        "commit::groups_commit_for_themselves",
        "group::each_group_gets_everything",
    ],
    /// Each client has groups of its own.
    GroupsOfOne => [
        "group::a_leaving_member_hands_its_partitions_over",
        "group::a_partition_of_another_member_is_a_conflict",
        "group::a_static_member_gives_way_to_its_twin",
        "group::members_share_the_partitions",
    ],
    /// A consumer that is closed stays in its group.
    NeverLeaves => [
        "commit::a_committed_offset_is_the_next_to_read",
        "commit::an_exact_offset_may_go_back",
        "commit::consumed_is_what_was_handed_out",
        "commit::messages_can_be_committed_as_they_are",
        "commit::nothing_is_committed_by_itself",
        "group::a_leaving_member_hands_its_partitions_over",
        "group::info_outlives_the_members",
        "lifecycle::totals_outlive_the_handles",
    ],
    /// Instance ids are ignored.
    NoStaticMembers => ["group::a_static_member_gives_way_to_its_twin"],
    /// Lag is unknown.
    NoLag => ["group::info_outlives_the_members", "group::info_shows_members_offsets_and_lag"],
    /// A group without members is forgotten.
    ForgetsGroups => ["group::info_outlives_the_members"],
    /// Every group is known.
    InventsGroups => ["group::an_unknown_group_is_not_found"],
    /// Creating a topic does nothing.
    CreatesNothing => [
        "topic::a_bad_topic_names_its_field",
        "topic::a_created_topic_can_be_used_at_once",
        "topic::a_deleted_topic_is_gone",
        "topic::a_topic_is_created_once",
    ],
    /// Creating a topic that exists works.
    CreatesAgain => ["topic::a_topic_is_created_once"],
    /// Deleting a topic does nothing.
    DeletesNothing => [
        "topic::a_deleted_topic_is_gone",
        "topic::deleting_an_unknown_topic_is_not_found",
    ],
    /// Partitions have no leader.
    NoLeader => ["topic::metadata_counts_the_records"],
    /// Asking for a topic creates it.
    AskingCreates => [
        "topic::a_deleted_topic_is_gone",
        "topic::asking_does_not_create_a_topic",
    ],
    /// Capabilities are invented.
    ClaimsTransactions => ["lifecycle::clients_declare_what_they_can"],
    /// A consumer that is not found gives nothing.
    ForgivesConsumers => [
        "lifecycle::a_closed_consumer_is_not_found",
        "lifecycle::handles_belong_to_their_client",
    ],
    /// A producer that is not found is made anew.
    RevivesProducers => [
        "lifecycle::a_closed_producer_is_not_found",
        "lifecycle::handles_belong_to_their_client",
    ],
    /// Flushing does not know of records that are about to be sent.
    FlushesTooEarly => ["lifecycle::flush_waits_for_acknowledgements"],
    /// Nothing is counted.
    CountsNothing => [
        "lifecycle::failures_are_counted",
        "lifecycle::totals_outlive_the_handles",
        "lifecycle::traffic_is_counted",
    ],
}

/// A harness whose clients have a flaw.
#[derive(Debug)]
pub struct Sabotaged<H> {
    inner: H,
    flaw: Flaw,
}

impl<H: KafkaHarness> Sabotaged<H> {
    /// Puts a flaw into the clients of a harness.
    pub fn new(inner: H, flaw: Flaw) -> Self {
        Self { inner, flaw }
    }
}

impl<H: KafkaHarness> Harness for Sabotaged<H> {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    fn runtime(&self) -> CaseRuntime {
        self.inner.runtime()
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        Vec::new()
    }
}

#[async_trait]
impl<H: KafkaHarness> KafkaHarness for Sabotaged<H> {
    async fn client(&self) -> Result<Arc<dyn KafkaClient>, Failure> {
        Ok(Arc::new(client::FlawedClient::new(
            self.inner.client().await?,
            self.flaw,
        )))
    }

    fn capabilities(&self) -> KafkaCapabilities {
        self.inner.capabilities()
    }

    async fn topic(&self, partitions: i32) -> Result<String, Failure> {
        self.inner.topic(partitions).await
    }

    fn unique(&self, what: &str) -> String {
        self.inner.unique(what)
    }

    fn settle(&self) -> Duration {
        self.inner.settle()
    }

    fn quiet(&self) -> Duration {
        self.inner.quiet()
    }

    fn unknown_topics_stay_unknown(&self) -> bool {
        self.inner.unknown_topics_stay_unknown()
    }

    fn can_interrupt(&self) -> bool {
        self.inner.can_interrupt()
    }

    async fn interrupt(&self, topic: &str, interrupted: bool) -> CaseResult {
        self.inner.interrupt(topic, interrupted).await
    }
}
