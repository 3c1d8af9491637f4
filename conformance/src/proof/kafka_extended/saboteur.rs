//! The list of saboteurs.

crate::saboteurs! {
    domain "kafka";

    /// An implementation of the extended Kafka operations with one mistake.
    pub enum Saboteur {
        /// Declares exactly-once processing, which the harness does not.
        ClaimsExactlyOnce => ["declare::all_instances_declare_the_same_capabilities"],
        /// Declares nothing, but does everything.
        HidesCapabilities => ["declare::undeclared_operations_are_unsupported"],
        /// Treats a guarantee that it lacks as at-least-once.
        IgnoresGuarantees => ["declare::undeclared_operations_are_unsupported"],
        /// Schemas are returned in another spelling.
        RewritesSchemas => [
            "schema::a_registered_schema_is_returned",
            "schema::versions_count_from_1_in_each_subject",
        ],
        /// A schema that is registered again becomes a new version.
        RepeatsVersions => ["schema::registering_again_changes_nothing"],
        /// Versions count from 0.
        VersionsFromZero => [
            "schema::a_check_registers_nothing",
            "schema::a_registered_schema_is_returned",
            "schema::an_incompatible_schema_is_not_registered",
            "schema::versions_count_from_1_in_each_subject",
        ],
        /// The latest version is always the first.
        LatestIsFirst => [
            "schema::registering_again_changes_nothing",
            "schema::versions_count_from_1_in_each_subject",
        ],
        /// Ids count per subject.
        IdsPerSubject => ["schema::an_id_belongs_to_one_schema"],
        /// An unknown subject or version has an empty schema.
        EverySubjectExists => [
            "schema::a_bad_schema_is_invalid",
            "schema::a_check_registers_nothing",
            "schema::an_unknown_subject_or_version_is_not_found",
        ],
        /// A schema that cannot be parsed is accepted.
        AcceptsBadSchemas => ["schema::a_bad_schema_is_invalid"],
        /// A check registers the schema.
        ChecksRegister => ["schema::a_check_registers_nothing"],
        /// An incompatible schema is reported as registered.
        AcceptsIncompatible => [
            "schema::an_incompatible_schema_is_not_registered",
            "schema::each_level_checks_its_directions",
        ],
        /// Every schema is compatible.
        AlwaysCompatible => [
            "schema::an_incompatible_schema_is_not_registered",
            "schema::each_level_checks_its_directions",
            "schema::only_transitive_levels_check_all_versions",
        ],
        /// The level of a subject is always `BACKWARD`.
        OnlyBackward => [
            "schema::each_level_checks_its_directions",
            "schema::only_transitive_levels_check_all_versions",
        ],
        /// Transitive levels check only the latest version.
        NotTransitive => [
            "schema::each_level_checks_its_directions",
            "schema::only_transitive_levels_check_all_versions",
        ],
        /// A processor runs as soon as it is created.
        StartsOnCreation => ["stream::a_processor_is_created_running_and_stopped"],
        /// Starting a stopped processor succeeds and does nothing.
        RestartsStopped => ["stream::a_processor_is_created_running_and_stopped"],
        /// Outputs that name their topic go to the output topic.
        OneOutputTopic => ["stream::outputs_go_to_their_topics_in_order"],
        /// Outputs are written with the next message.
        OneBehind => [
            "operate::what_is_created_after_configuring_security_works",
            "stream::a_message_that_fails_the_processor_is_not_committed",
            "stream::a_panic_is_a_failed_message",
            "stream::a_poison_message_is_dead_lettered",
            "stream::a_poison_message_is_skipped",
            "stream::a_stopped_processor_has_committed",
            "stream::a_transient_error_is_retried",
            "stream::outputs_go_to_their_topics_in_order",
            "stream::stopping_ends_after_drain_timeout",
            "stream::stopping_finishes_messages_in_progress",
        ],
        /// Each processor has its own group.
        NoCommits => [
            "operate::diagnostics_show_the_lag_of_groups",
            "stream::a_stopped_processor_has_committed",
            "stream::an_application_runs_once",
            "stream::stopping_finishes_messages_in_progress",
        ],
        /// A message that cannot be processed is skipped, whatever the policy is.
        AlwaysSkips => ["stream::a_message_that_fails_the_processor_is_not_committed"],
        /// A message that cannot be processed stops the processor, whatever the policy is.
        AlwaysFails => [
            "stream::a_panic_is_a_failed_message",
            "stream::a_poison_message_is_skipped",
            "stream::retries_end_after_max_attempts",
        ],
        /// A message that cannot be processed is skipped where it should be dead-lettered.
        NoDeadLetters => ["stream::a_poison_message_is_dead_lettered"],
        /// Errors of the application are ignored.
        SwallowsErrors => [
            "stream::a_message_that_fails_the_processor_is_not_committed",
            "stream::a_poison_message_is_dead_lettered",
            "stream::a_poison_message_is_skipped",
            "stream::a_transient_error_is_retried",
            "stream::retries_end_after_max_attempts",
        ],
        /// No message is processed twice.
        NeverRetries => ["stream::a_transient_error_is_retried", "stream::retries_end_after_max_attempts"],
        /// `max_attempts` is one more than configured.
        RetriesOnceMore => ["stream::retries_end_after_max_attempts"],
        /// A panic of the application is ignored.
        SwallowsPanics => ["stream::a_panic_is_a_failed_message"],
        /// Messages are processed in the background, all at once.
        ProcessesConcurrently => [
            "operate::what_is_created_after_configuring_security_works",
            "stream::a_message_that_fails_the_processor_is_not_committed",
            "stream::a_panic_is_a_failed_message",
            "stream::a_poison_message_is_dead_lettered",
            "stream::a_poison_message_is_skipped",
            "stream::a_stopped_processor_has_committed",
            "stream::a_transient_error_is_retried",
            "stream::messages_of_a_partition_are_processed_one_at_a_time",
            "stream::outputs_go_to_their_topics_in_order",
            "stream::retries_end_after_max_attempts",
            "stream::stopping_ends_after_drain_timeout",
            "stream::stopping_finishes_messages_in_progress",
        ],
        /// Stopping does not wait for messages in progress.
        StopsAtOnce => ["stream::stopping_ends_after_drain_timeout", "stream::stopping_finishes_messages_in_progress"],
        /// `drain_timeout` is ignored.
        NoDrainTimeout => ["stream::stopping_ends_after_drain_timeout"],
        /// `InvalidInput` does not name its field.
        FieldsAreUnnamed => ["operate::bad_security_names_its_field", "stream::a_bad_processor_names_its_field"],
        /// An application may run twice.
        RunsTwice => ["stream::an_application_runs_once"],
        /// An unknown processor is reported as a stopped one.
        EveryProcessorExists => ["stream::an_unknown_processor_is_not_found"],
        /// Diagnostics do not count messages.
        CountsNoMessages => ["operate::diagnostics_show_partitions"],
        /// Diagnostics omit groups.
        NoGroups => ["operate::diagnostics_show_the_lag_of_groups"],
        /// A topic that does not exist is healthy.
        EveryTopicIsHealthy => ["operate::diagnostics_of_an_unknown_topic_are_not_found"],
        /// Tuning reports the same changes again.
        RepeatsChanges => ["operate::tuning_reports_what_it_changes"],
        /// Tuning always reports the goal `balanced`.
        AlwaysBalanced => ["operate::tuning_reports_what_it_changes"],
        /// Bad security settings are accepted.
        AcceptsBadSecurity => ["operate::bad_security_names_its_field"],
        /// After security was configured, nothing works.
        SecurityBreaksEverything => ["operate::what_is_created_after_configuring_security_works"],
    }
}
