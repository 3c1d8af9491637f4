//! The list of saboteurs.

crate::saboteurs! {
    domain "kafka";

    /// A client with one mistake in its transactions.
    pub enum Saboteur {
        /// Does not declare that it has transactions.
        DeclaresNothing => ["declare::all_clients_declare_what_the_harness_states"],
        /// Declares no transactions, but has them.
        HidesTransactions => ["declare::undeclared_transactions_are_unsupported"],
        /// A bad configuration is replaced by the defaults.
        AcceptsBadConfigurations => ["declare::a_bad_configuration_names_its_field"],
        /// `InvalidInput` does not name its field.
        FieldsAreUnnamed => [
            "declare::a_bad_configuration_names_its_field",
            "declare::a_producer_without_an_id_is_invalid",
            "offsets::a_bad_offset_or_consumer_is_named",
        ],
        /// Operations with a producer that does not exist succeed.
        EveryProducerExists => ["declare::an_unknown_producer_is_not_found"],
        /// Operations with a producer without an id succeed.
        AcceptsPlainProducers => ["declare::a_producer_without_an_id_is_invalid"],
        /// Producers are registered when they are created.
        InitOnCreation => ["order::nothing_works_before_init"],
        /// A second begin continues the open transaction.
        BeginsAgain => ["order::nothing_works_before_init", "order::one_transaction_is_open_at_a_time"],
        /// Ending a transaction that is not open succeeds.
        EndsTwice => ["order::nothing_works_before_init", "order::one_transaction_is_open_at_a_time"],
        /// Outside of a transaction, records are written without one.
        WritesOutside => [
            "order::nothing_is_written_outside_of_a_transaction",
            "order::nothing_works_before_init",
        ],
        /// A transaction without records and offsets cannot be ended.
        RefusesEmpty => ["declare::an_unknown_producer_is_not_found", "order::transactions_may_be_empty"],
        /// A transaction with a failed record is committed without it.
        CommitsTheRest => [
            "offsets::a_partition_of_nobody_means_abort",
            "order::a_failed_record_means_abort",
        ],
        /// Errors do not say what to do.
        NoRemedies => [
            "fence::a_fenced_producer_stays_fenced",
            "fence::init_fences_an_older_producer",
            "isolation::a_transaction_ends_at_its_timeout",
            "offsets::a_partition_of_nobody_means_abort",
            "offsets::a_replaced_member_means_abort",
            "order::a_failed_record_means_abort",
        ],
        /// A commit aborts.
        CommitAborts => [
            "fence::init_aborts_what_is_unfinished",
            "isolation::aborted_records_are_not_read",
            "isolation::an_open_transaction_is_not_read",
            "isolation::committed_records_are_read",
            "isolation::latest_begins_before_an_open_transaction",
            "isolation::the_end_of_a_transaction_is_no_lag",
            "offsets::a_new_owner_waits_for_pending_offsets",
            "offsets::a_partition_of_nobody_means_abort",
            "offsets::messages_are_processed_once",
            "offsets::offsets_are_committed_with_the_transaction",
            "order::a_failed_record_means_abort",
        ],
        /// An abort commits.
        AbortCommits => [
            "isolation::aborted_records_are_not_read",
            "isolation::an_open_transaction_holds_back_later_records",
            "offsets::messages_are_processed_once",
            "offsets::offsets_of_an_aborted_transaction_are_dropped",
        ],
        /// `read_committed` is ignored.
        ReadsEverything => [
            "fence::init_aborts_what_is_unfinished",
            "isolation::a_transaction_ends_at_its_timeout",
            "isolation::aborted_records_are_not_read",
            "isolation::an_open_transaction_holds_back_later_records",
            "isolation::an_open_transaction_is_not_read",
            "isolation::closing_a_producer_aborts",
            "isolation::latest_begins_before_an_open_transaction",
            "offsets::messages_are_processed_once",
        ],
        /// `read_uncommitted` is ignored.
        ReadsOnlyCommitted => [
            "isolation::aborted_records_are_not_read",
            "isolation::an_open_transaction_is_not_read",
        ],
        /// Offsets count records only.
        CountsRecords => ["isolation::the_end_of_a_transaction_takes_an_offset"],
        /// The lag counts the ends of transactions.
        CountsEnds => ["isolation::the_end_of_a_transaction_is_no_lag"],
        /// Closing a producer commits its transaction.
        ClosingCommits => ["isolation::closing_a_producer_aborts"],
        /// Transactions may be open for a day.
        NoTimeout => ["isolation::a_transaction_ends_at_its_timeout"],
        /// Each producer has an id of its own.
        NeverFences => [
            "fence::a_fenced_producer_stays_fenced",
            "fence::init_aborts_what_is_unfinished",
            "fence::init_fences_an_older_producer",
        ],
        /// A fenced producer can begin a transaction.
        ForgetsFencing => ["fence::a_fenced_producer_stays_fenced"],
        /// All producers have the same id.
        OneId => ["fence::ids_do_not_fence_each_other"],
        /// Offsets are not sent.
        DropsOffsets => [
            "offsets::a_bad_offset_or_consumer_is_named",
            "offsets::a_new_owner_waits_for_pending_offsets",
            "offsets::a_partition_of_nobody_means_abort",
            "offsets::a_replaced_member_means_abort",
            "offsets::messages_are_processed_once",
            "offsets::offsets_are_committed_with_the_transaction",
        ],
        /// Offsets are committed when they are sent.
        CommitsOffsetsAtOnce => [
            "offsets::a_bad_offset_or_consumer_is_named",
            "offsets::a_new_owner_waits_for_pending_offsets",
            "offsets::a_partition_of_nobody_means_abort",
            "offsets::a_replaced_member_means_abort",
            "offsets::messages_are_processed_once",
            "offsets::offsets_of_an_aborted_transaction_are_dropped",
        ],
        /// Offsets that conflict with the group are ignored.
        IgnoresConflicts => [
            "offsets::a_bad_offset_or_consumer_is_named",
            "offsets::a_partition_of_nobody_means_abort",
            "offsets::a_replaced_member_means_abort",
        ],
        /// A negative offset is ignored.
        AcceptsBadOffsets => ["offsets::a_bad_offset_or_consumer_is_named"],
        /// Records are written twice.
        WritesTwice => [
            "fence::ids_do_not_fence_each_other",
            "fence::init_aborts_what_is_unfinished",
            "isolation::aborted_records_are_not_read",
            "isolation::an_open_transaction_is_not_read",
            "isolation::committed_records_are_read",
            "isolation::the_end_of_a_transaction_is_no_lag",
            "isolation::the_end_of_a_transaction_takes_an_offset",
            "offsets::messages_are_processed_once",
            "order::nothing_is_written_outside_of_a_transaction",
            "order::nothing_works_before_init",
            "order::transactions_may_be_empty",
        ],
    }
}
