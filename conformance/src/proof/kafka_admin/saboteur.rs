//! The list of saboteurs.

crate::saboteurs! {
    domain "kafka";

    /// An administrator of Kafka with one mistake.
    pub enum Saboteur {
        /// Declares one capability less than the harness states.
        LosesCapability => ["admin_cluster::all_instances_declare_the_same_capabilities"],
        /// Declares nothing, but does everything.
        HidesCapabilities => ["admin_cluster::undeclared_operations_are_unsupported"],
        /// Each instance has its own id of the cluster.
        IdPerInstance => ["admin_cluster::the_cluster_has_its_brokers"],
        /// The controller is no broker.
        ForeignController => ["admin_cluster::the_cluster_has_its_brokers"],
        /// Each topic has one partition in the list.
        CountsNoPartitions => ["admin_topic::topics_are_listed"],
        /// Topics are listed twice.
        ListsTwice => ["admin_topic::topics_are_listed"],
        /// Every topic is internal.
        AllInternal => ["admin_topic::topics_are_listed"],
        /// Descriptions of all topics have no offsets.
        DescribesWithoutOffsets => ["admin_topic::all_topics_are_described"],
        /// Adding partitions does nothing.
        AddsNoPartitions => ["admin_topic::added_partitions_can_be_used"],
        /// The number is that of the added partitions.
        AddsToThem => ["admin_topic::added_partitions_can_be_used", "admin_topic::partitions_are_never_removed"],
        /// Fewer partitions than the topic has are accepted, and nothing happens.
        AcceptsFewerPartitions => ["admin_topic::partitions_are_never_removed"],
        /// Partitions of an unknown topic are added.
        EveryTopicExists => ["admin_topic::partitions_of_an_unknown_topic_are_not_found"],
        /// Every setting is a default.
        NoSources => [
            "admin_config::a_broker_has_settings",
            "admin_config::a_changed_setting_is_obeyed",
            "admin_config::a_deleted_setting_has_its_default",
            "admin_config::a_setting_has_its_source",
            "admin_config::lists_are_extended_and_reduced",
            "admin_config::only_named_settings_change",
        ],
        /// The default of a setting is its value.
        DefaultsAreValues => ["admin_config::a_setting_has_its_source"],
        /// A change replaces all settings.
        ReplacesSettings => ["admin_config::only_named_settings_change"],
        /// Settings are not deleted.
        KeepsDeleted => ["admin_config::a_broker_has_settings", "admin_config::a_deleted_setting_has_its_default"],
        /// Adding to a list replaces it.
        AppendReplaces => ["admin_config::a_bad_change_names_its_setting", "admin_config::lists_are_extended_and_reduced"],
        /// Changes take effect one by one, until one is refused.
        AppliesPartially => ["admin_config::a_bad_change_names_its_setting"],
        /// `InvalidInput` does not name its field.
        FieldsAreUnnamed => [
            "admin_config::a_bad_change_names_its_setting",
            "admin_config::a_broker_has_settings",
            "admin_config::settings_of_nothing_are_not_found",
            "admin_group::an_unknown_group_is_not_found",
            "admin_offset::a_bad_reset_changes_nothing",
            "admin_record::a_bad_offset_deletes_nothing",
            "admin_topic::partitions_are_never_removed",
            "admin_topic::partitions_of_an_unknown_topic_are_not_found",
        ],
        /// Reports the new limit of a topic, but does not apply it.
        PretendsLimits => ["admin_config::a_changed_setting_is_obeyed"],
        /// A setting that cannot be changed is not marked.
        NothingIsReadOnly => ["admin_config::a_broker_has_settings"],
        /// A topic or broker that does not exist has no settings.
        SettingsOfNothing => ["admin_config::settings_of_nothing_are_not_found"],
        /// Deletes one record less.
        DeletesOneLess => [
            "admin_record::deleted_records_cannot_be_read",
            "admin_record::deleting_before_the_first_record_changes_nothing",
        ],
        /// Reports the offset of the call.
        ReportsWhatWasAsked => ["admin_record::deleting_before_the_first_record_changes_nothing"],
        /// An offset after the last record deletes all records.
        ClampsOffsets => ["admin_record::a_bad_offset_deletes_nothing"],
        /// Records of a compacted topic are reported as deleted.
        DeletesCompacted => ["admin_record::a_compacted_topic_keeps_its_records"],
        /// Groups without members are not listed.
        HidesEmptyGroups => ["admin_group::groups_are_listed"],
        /// Descriptions of groups have no members.
        NoMembers => ["admin_group::a_group_is_described"],
        /// A group that does not exist is dead.
        DeadGroups => ["admin_group::a_deleted_group_has_no_offsets", "admin_group::an_unknown_group_is_not_found"],
        /// Groups are not deleted.
        KeepsGroups => ["admin_group::a_deleted_group_has_no_offsets"],
        /// Deleting a group with members asks for a retry.
        ConflictsAreRetried => [
            "admin_group::a_group_with_members_is_not_deleted",
            "admin_offset::a_group_with_members_is_not_reset",
        ],
        /// The first and the last record are mixed up.
        SwapsEnds => [
            "admin_offset::a_group_with_members_is_not_reset",
            "admin_offset::offsets_are_reset_to_both_ends",
            "admin_offset::only_named_partitions_are_reset",
        ],
        /// Offsets are reset to the one after.
        OffByOne => ["admin_offset::offsets_are_reset_to_an_offset"],
        /// Times are ignored.
        IgnoresTimes => ["admin_offset::offsets_are_reset_to_a_time"],
        /// All partitions of the topics are reset.
        ResetsWholeTopics => ["admin_offset::only_named_partitions_are_reset"],
        /// A reset of a group with members is reported as done.
        PretendsResets => ["admin_offset::a_group_with_members_is_not_reset"],
        /// An offset that a partition does not have becomes the last one.
        ClampsResets => ["admin_offset::a_bad_reset_changes_nothing"],
    }
}
