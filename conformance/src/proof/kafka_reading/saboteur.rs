//! The list of saboteurs.

crate::saboteurs! {
    domain "kafka";

    /// A client with one mistake in reading.
    pub enum Saboteur {
        /// Declares one capability less than the harness.
        LosesACapability => ["declare::all_clients_declare_the_same_reading_capabilities"],
        /// Declares nothing, but does everything.
        HidesCapabilities => ["declare::undeclared_reading_is_unsupported"],
        /// Every consumer exists.
        EveryConsumerExists => ["declare::an_unknown_consumer_is_not_found"],
        /// A pattern may match a part of the name.
        MatchesParts => ["subscribe::topics_whose_whole_name_matches_are_read"],
        /// Reads only topics that existed when the consumer was created.
        IgnoresNewTopics => ["subscribe::a_new_topic_joins_from_its_first_record"],
        /// A bad pattern is a pattern that matches nothing.
        AcceptsBadPatterns => ["subscribe::a_bad_pattern_names_its_field"],
        /// A consumer of partitions reads its whole topic.
        ReadsTheWholeTopic => [
            "subscribe::an_unknown_partition_is_not_found",
            "subscribe::only_the_named_partitions_are_read",
            "subscribe::readers_of_partitions_share_nothing",
        ],
        /// A consumer of partitions ignores the committed offsets of its group.
        IgnoresCommittedOffsets => ["subscribe::a_reader_of_partitions_starts_at_the_committed_offset"],
        /// Unknown partitions are dropped from the list.
        IgnoresUnknownPartitions => ["subscribe::an_unknown_partition_is_not_found"],
        /// `InvalidInput` does not name its field.
        FieldsAreUnnamed => [
            "seek::an_unassigned_partition_cannot_be_moved",
            "subscribe::a_bad_pattern_names_its_field",
            "subscribe::a_bad_reader_names_its_field",
        ],
        /// An offset is that of the last message that was read.
        SeeksOneTooFar => [
            "offsets::positions_follow_messages_and_seeks",
            "pause::a_seek_keeps_the_pause",
            "seek::a_seek_during_a_call_to_consume_takes_effect",
            "seek::an_offset_is_the_next_to_read",
            "seek::only_the_named_partitions_move_and_change_their_epoch",
        ],
        /// The end and the beginning are exchanged.
        ExchangesTheEnds => ["seek::the_beginning_and_the_end_are_places"],
        /// Every time is the beginning.
        TimesAreTheBeginning => ["offsets::times_are_listed", "seek::a_time_is_its_first_record"],
        /// A seek moves all assigned partitions.
        MovesEverything => [
            "offsets::positions_follow_messages_and_seeks",
            "seek::only_the_named_partitions_move_and_change_their_epoch",
        ],
        /// A seek commits its offset.
        SeeksCommit => ["seek::a_seek_commits_nothing"],
        /// Partitions that are not assigned are dropped from the list.
        IgnoresForeignPartitions => [
            "pause::an_unassigned_partition_cannot_be_paused",
            "seek::an_unassigned_partition_cannot_be_moved",
        ],
        /// A seek waits until a call to consume has ended.
        SeeksAfterTheCall => ["seek::a_seek_during_a_call_to_consume_takes_effect"],
        /// A pause has no effect.
        IgnoresPauses => ["pause::a_paused_partition_is_not_read", "pause::a_resumed_partition_continues_without_a_gap", "pause::a_seek_keeps_the_pause"],
        /// A resumed partition continues with its newest records.
        ResumesAtTheEnd => ["pause::a_resumed_partition_continues_without_a_gap", "pause::a_seek_keeps_the_pause"],
        /// No partition is listed as paused.
        ListsNoPauses => ["pause::a_seek_keeps_the_pause", "pause::paused_partitions_are_listed"],
        /// A seek resumes its partitions.
        SeeksResume => ["pause::a_seek_keeps_the_pause"],
        /// Positions are those of the last messages.
        PositionsAreBehind => ["offsets::positions_follow_messages_and_seeks"],
        /// Offsets are listed in the order of the partitions.
        SortsOffsets => ["offsets::beginning_and_end_are_listed_in_order"],
        /// A time after the last record is the end.
        LateTimesAreTheEnd => ["offsets::times_are_listed"],
        /// An unknown partition is empty.
        EveryPartitionExists => ["offsets::offsets_of_an_unknown_partition_are_not_found"],
        /// Events have no epochs.
        EventsWithoutEpochs => [
            "rebalance::assigned_partitions_are_reported_with_their_epochs",
            "rebalance::lost_partitions_are_reported",
            "rebalance::revoked_partitions_are_reported",
        ],
        /// Revoked partitions are reported as lost.
        RevocationsAreLosses => ["rebalance::revoked_partitions_are_reported"],
        /// Lost partitions are reported as revoked.
        LossesAreRevocations => ["rebalance::lost_partitions_are_reported"],
        /// A consumer with a strategy or protocol is alone in its group.
        StrategiesSplitTheGroup => ["rebalance::each_strategy_and_protocol_divides_the_partitions"],
    }
}
