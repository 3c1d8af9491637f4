//! The suite of the administration of Kafka, for [`KafkaAdmin`](networking_spi::kafka::KafkaAdmin).
//!
//! The clauses are in `docs/contract/kafka_admin.md`. Implement [`KafkaAdminHarness`], and run [`suite`] or expand
//! [`kafka_admin_conformance!`](crate::kafka_admin_conformance).

mod admin_cluster;
mod admin_config;
mod admin_group;
mod admin_offset;
mod admin_record;
mod admin_topic;
mod harness;

pub use harness::KafkaAdminHarness;

crate::kit::define_suite! {
    ($)
    /// Expands to one `#[test]` per case of the administration of Kafka. The argument is a closure or function that makes the harness: a
    /// type that implements [`KafkaAdminHarness`](crate::kafka_admin::KafkaAdminHarness), or an `Arc` of it.
    macro kafka_admin_conformance;
    domain "kafka" in kafka_admin;
    harness dyn KafkaAdminHarness;
    modules { admin_cluster, admin_topic, admin_config, admin_record, admin_group, admin_offset }
    cases {
        "KADM-1" admin_cluster::all_instances_declare_the_same_capabilities,
        "KADM-2" admin_cluster::undeclared_operations_are_unsupported,
        "KADM-3" admin_cluster::the_cluster_has_its_brokers if admin_cluster::describes,
        "KADM-4" admin_topic::topics_are_listed if admin_topic::lists,
        "KADM-5" admin_topic::all_topics_are_described if admin_topic::lists,
        "KADM-6" admin_topic::added_partitions_can_be_used if admin_topic::grows,
        "KADM-7" admin_topic::partitions_are_never_removed if admin_topic::grows,
        "KADM-8" admin_topic::partitions_of_an_unknown_topic_are_not_found if admin_topic::grows,
        "KADM-9" admin_config::a_setting_has_its_source if admin_config::configures,
        "KADM-10" admin_config::only_named_settings_change if admin_config::configures,
        "KADM-11" admin_config::a_deleted_setting_has_its_default if admin_config::configures,
        "KADM-12" admin_config::lists_are_extended_and_reduced if admin_config::configures,
        "KADM-13" admin_config::a_bad_change_names_its_setting if admin_config::configures,
        "KADM-14" admin_config::a_changed_setting_is_obeyed if admin_config::configures,
        "KADM-15" admin_config::a_broker_has_settings if admin_config::configures_brokers,
        "KADM-16" admin_config::settings_of_nothing_are_not_found if admin_config::configures,
        "KADM-17" admin_record::deleted_records_cannot_be_read if admin_record::deletes,
        "KADM-18" admin_record::deleting_before_the_first_record_changes_nothing if admin_record::deletes,
        "KADM-19" admin_record::a_bad_offset_deletes_nothing if admin_record::deletes,
        "KADM-20" admin_record::a_compacted_topic_keeps_its_records if admin_record::deletes,
        "KADM-21" admin_group::groups_are_listed if admin_group::administers,
        "KADM-22" admin_group::a_group_is_described if admin_group::administers,
        "KADM-23" admin_group::an_unknown_group_is_not_found if admin_group::administers,
        "KADM-24" admin_group::a_deleted_group_has_no_offsets if admin_group::administers,
        "KADM-25" admin_group::a_group_with_members_is_not_deleted if admin_group::administers,
        "KADM-26" admin_offset::offsets_are_reset_to_both_ends if admin_offset::resets,
        "KADM-27" admin_offset::offsets_are_reset_to_an_offset if admin_offset::resets,
        "KADM-28" admin_offset::offsets_are_reset_to_a_time if admin_offset::resets_to_times,
        "KADM-29" admin_offset::only_named_partitions_are_reset if admin_offset::resets,
        "KADM-30" admin_offset::a_group_with_members_is_not_reset if admin_offset::resets,
        "KADM-31" admin_offset::a_bad_reset_changes_nothing if admin_offset::resets,
    }
}
