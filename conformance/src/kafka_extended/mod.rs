//! The suite of the extended Kafka operations, for [`KafkaExtended`](networking_spi::kafka::KafkaExtended).
//!
//! The clauses are in `docs/contract/kafka_extended.md`. Implement [`KafkaExtendedHarness`], and run [`suite`] or expand
//! [`kafka_extended_conformance!`](crate::kafka_extended_conformance).

mod declare;
mod harness;
mod operate;
mod scene;
mod schema;
mod stream;

pub use harness::KafkaExtendedHarness;

crate::kit::define_suite! {
    ($)
    /// Expands to one `#[test]` per case of the extended Kafka operations. The argument is a closure or function that makes the harness: a
    /// type that implements [`KafkaExtendedHarness`](crate::kafka_extended::KafkaExtendedHarness), or an `Arc` of it.
    macro kafka_extended_conformance;
    domain "kafka" in kafka_extended;
    harness dyn KafkaExtendedHarness;
    modules { declare, schema, stream, operate }
    cases {
        "KAFKAX-1" declare::all_instances_declare_the_same_capabilities,
        "KAFKAX-2" declare::undeclared_operations_are_unsupported,
        "KAFKAX-3" schema::a_registered_schema_is_returned if schema::has_schemas,
        "KAFKAX-4" schema::registering_again_changes_nothing if schema::has_schemas,
        "KAFKAX-5" schema::versions_count_from_1_in_each_subject if schema::has_schemas,
        "KAFKAX-6" schema::an_id_belongs_to_one_schema if schema::has_schemas,
        "KAFKAX-7" schema::an_unknown_subject_or_version_is_not_found if schema::has_schemas,
        "KAFKAX-8" schema::a_bad_schema_is_invalid if schema::has_schemas,
        "KAFKAX-9" schema::a_check_registers_nothing if schema::compares,
        "KAFKAX-10" schema::an_incompatible_schema_is_not_registered if schema::compares_levels,
        "KAFKAX-11" schema::each_level_checks_its_directions if schema::compares_levels,
        "KAFKAX-12" schema::only_transitive_levels_check_all_versions if schema::compares_levels,
        "KAFKAX-13" stream::a_processor_is_created_running_and_stopped if stream::has_streams,
        "KAFKAX-14" stream::outputs_go_to_their_topics_in_order if stream::has_streams,
        "KAFKAX-15" stream::a_stopped_processor_has_committed if stream::has_streams,
        "KAFKAX-16" stream::a_message_that_fails_the_processor_is_not_committed if stream::has_streams,
        "KAFKAX-17" stream::a_poison_message_is_skipped if stream::has_streams,
        "KAFKAX-18" stream::a_poison_message_is_dead_lettered if stream::has_streams,
        "KAFKAX-19" stream::a_transient_error_is_retried if stream::has_streams,
        "KAFKAX-20" stream::retries_end_after_max_attempts if stream::has_streams,
        "KAFKAX-21" stream::a_panic_is_a_failed_message if stream::has_streams,
        "KAFKAX-22" stream::messages_of_a_partition_are_processed_one_at_a_time if stream::has_streams,
        "KAFKAX-23" stream::stopping_finishes_messages_in_progress if stream::has_streams,
        "KAFKAX-24" stream::stopping_ends_after_drain_timeout if stream::has_streams,
        "KAFKAX-25" stream::a_bad_processor_names_its_field if stream::has_streams,
        "KAFKAX-26" stream::an_application_runs_once if stream::has_streams,
        "KAFKAX-27" stream::an_unknown_processor_is_not_found if stream::has_streams,
        "KAFKAX-28" operate::diagnostics_show_partitions if operate::diagnoses,
        "KAFKAX-29" operate::diagnostics_show_the_lag_of_groups if operate::diagnoses_groups,
        "KAFKAX-30" operate::diagnostics_of_an_unknown_topic_are_not_found if operate::diagnoses,
        "KAFKAX-31" operate::tuning_reports_what_it_changes if operate::tunes,
        "KAFKAX-32" operate::bad_security_names_its_field if operate::secures,
        "KAFKAX-33" operate::what_is_created_after_configuring_security_works if operate::secures,
    }
}
