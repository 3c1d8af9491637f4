//! The suite of Kafka transactions, for [`KafkaTransactions`](networking_spi::kafka::KafkaTransactions).
//!
//! The clauses are in `docs/contract/kafka_transactions.md`. Implement [`KafkaTransactionsHarness`], and run [`suite`] or expand
//! [`kafka_transactions_conformance!`](crate::kafka_transactions_conformance).

mod declare;
mod fence;
mod harness;
mod isolation;
mod offsets;
mod order;
mod scene;

pub use harness::{KafkaTransactionsHarness, TransactionalClient};

crate::kit::define_suite! {
    ($)
    /// Expands to one `#[test]` per case of Kafka transactions. The argument is a closure or function that makes the harness: a
    /// type that implements [`KafkaTransactionsHarness`](crate::kafka_transactions::KafkaTransactionsHarness), or an `Arc` of it.
    macro kafka_transactions_conformance;
    domain "kafka" in kafka_transactions;
    harness dyn KafkaTransactionsHarness;
    modules { declare, order, isolation, fence, offsets }
    cases {
        "KTX-1" declare::all_clients_declare_what_the_harness_states,
        "KTX-2" declare::undeclared_transactions_are_unsupported,
        "KTX-3" declare::a_bad_configuration_names_its_field if declare::has_transactions,
        "KTX-4" declare::an_unknown_producer_is_not_found if declare::has_transactions,
        "KTX-5" declare::a_producer_without_an_id_is_invalid if declare::has_transactions,
        "KTX-6" order::nothing_works_before_init if declare::has_transactions,
        "KTX-7" order::one_transaction_is_open_at_a_time if declare::has_transactions,
        "KTX-8" order::nothing_is_written_outside_of_a_transaction if declare::has_transactions,
        "KTX-9" order::transactions_may_be_empty if declare::has_transactions,
        "KTX-10" order::a_failed_record_means_abort if declare::has_transactions,
        "KTX-11" isolation::committed_records_are_read if isolation::has_isolation,
        "KTX-12" isolation::an_open_transaction_is_not_read if isolation::has_isolation,
        "KTX-13" isolation::aborted_records_are_not_read if isolation::has_isolation,
        "KTX-14" isolation::an_open_transaction_holds_back_later_records if isolation::has_isolation,
        "KTX-15" isolation::latest_begins_before_an_open_transaction if isolation::has_isolation,
        "KTX-16" isolation::the_end_of_a_transaction_takes_an_offset if declare::has_transactions,
        "KTX-17" isolation::the_end_of_a_transaction_is_no_lag if isolation::reports_lag,
        "KTX-18" isolation::closing_a_producer_aborts if isolation::has_isolation,
        "KTX-19" isolation::a_transaction_ends_at_its_timeout if isolation::has_isolation,
        "KTX-20" fence::init_fences_an_older_producer if declare::has_transactions,
        "KTX-21" fence::a_fenced_producer_stays_fenced if declare::has_transactions,
        "KTX-22" fence::init_aborts_what_is_unfinished if isolation::has_isolation,
        "KTX-23" fence::ids_do_not_fence_each_other if declare::has_transactions,
        "KTX-24" offsets::offsets_are_committed_with_the_transaction if offsets::has_groups,
        "KTX-25" offsets::offsets_of_an_aborted_transaction_are_dropped if offsets::has_groups,
        "KTX-26" offsets::a_new_owner_waits_for_pending_offsets if offsets::has_groups_and_isolation,
        "KTX-27" offsets::a_partition_of_nobody_means_abort if offsets::has_groups,
        "KTX-28" offsets::a_replaced_member_means_abort if offsets::fences_members,
        "KTX-29" offsets::a_bad_offset_or_consumer_is_named if offsets::has_groups,
        "KTX-30" offsets::messages_are_processed_once if offsets::has_groups_and_isolation,
    }
}
