//! The list of saboteurs.

crate::saboteurs! {
    domain "breaker";

    /// A circuit breaker with one mistake. Most of the mistakes are those of existing breakers.
    pub enum Saboteur {
        /// `Circuit::name` is empty.
        ForgetsItsName => ["trip::starts_closed"],
        /// Opens one failure late.
        TripsLate => [
            "call::a_timeout_counts_as_a_failure",
            "call::cancellation_counts_by_policy",
            "call::configured_timeout_applies",
            "call::failures_of_operations_count",
            "call::panic_counts",
            "call::permits_can_be_recorded_from_any_task",
            "call::timeouts_are_not_classified",
            "configure::creates_the_circuit",
            "configure::handles_see_changes",
            "configure::invalid_is_refused",
            "configure::keeps_state_and_counters",
            "events::every_subscriber_gets_all",
            "events::state_changes_in_order",
            "events::streams_stay_open",
            "events::subscribers_may_call_back",
            "generation::late_failure_while_probing",
            "generation::late_failures_after_recovery",
            "generation::late_ignored_result",
            "generation::late_result_after_trip",
            "generation::late_retry_after",
            "generation::probe_of_an_earlier_round",
            "half_open::cancelled_probe",
            "half_open::concurrent_probes_are_limited",
            "half_open::default_lease",
            "half_open::expired_probe_is_discarded",
            "half_open::failed_probe_reopens",
            "half_open::full_slots_reject",
            "half_open::hung_probe",
            "half_open::ignored_probe_frees_its_slot",
            "half_open::success_threshold_closes",
            "metrics::calls_add_up",
            "metrics::time_in_each_state",
            "metrics::time_in_state",
            "metrics::transitions_are_kept_in_order",
            "mode::a_circuit_starts_in_its_configured_mode",
            "mode::forced_closed_stays_closed",
            "mode::metrics_only_never_rejects",
            "mode::reset_starts_over",
            "open::backs_off_up_to_the_cap",
            "open::half_opens_without_a_call",
            "open::jitter_stays_in_its_band",
            "open::recovery_restarts_the_backoff",
            "open::retry_after_is_capped",
            "open::retry_after_lengthens",
            "open::retry_after_of_an_earlier_failure_holds",
            "open::retry_after_of_an_error_counts",
            "open::stays_open_for_its_time",
            "registry::circuits_in_use_are_not_evicted",
            "registry::lists_all_states",
            "registry::names_are_isolated",
            "registry::one_name_one_circuit",
            "rejection::a_rejected_operation_is_never_built",
            "rejection::errors_say_when_to_retry",
            "rejection::retry_after_reported",
            "trip::consecutive_failures_open",
            "trip::ignored_counts_for_nothing",
            "trip::success_restarts_the_count",
        ],
        /// The metrics do not show the number of consecutive failures.
        HidesConsecutiveFailures => ["configure::keeps_state_and_counters", "trip::consecutive_failures_open"],
        /// A success does not reset the number of consecutive failures.
        SuccessKeepsConsecutiveFailures => ["trip::success_restarts_the_count"],
        /// Ignored calls are successes.
        IgnoredIsSuccess => [
            "call::cancellation_is_ignored",
            "call::classifier_decides",
            "half_open::cancelled_probe",
            "half_open::expired_probe_is_discarded",
            "half_open::ignored_probe_frees_its_slot",
            "metrics::calls_add_up",
            "trip::ignored_counts_for_nothing",
            "window::minimum_calls",
        ],
        /// A rate must exceed its threshold, not just reach it.
        RateMustBeExceeded => [
            "configure::resized_window_keeps_the_newest",
            "window::failure_rate_opens",
            "window::slow_calls_open",
            "window::time_window_opens",
            "window::window_slides",
        ],
        /// Rates are evaluated from the first call on.
        NoMinimumOfCalls => [
            "configure::resized_window_keeps_the_newest",
            "half_open::slow_probe_reopens",
            "window::a_success_can_complete_the_minimum",
            "window::minimum_calls",
            "window::old_failures_leave_the_window",
            "window::recovery_empties_the_window",
            "window::time_window_forgets",
        ],
        /// Rates are evaluated only after failures and slow calls.
        OnlyFailuresAreEvaluated => ["window::a_success_can_complete_the_minimum"],
        /// No call ever leaves a count window.
        WindowNeverSlides => [
            "configure::resized_window_keeps_the_newest",
            "window::failure_rate_opens",
            "window::old_failures_leave_the_window",
            "window::window_slides",
        ],
        /// A recovery does not empty the window.
        RecoveryKeepsTheWindow => ["window::recovery_empties_the_window"],
        /// A time window has a tenth of its configured length.
        TimeWindowTooShort => ["window::time_window_opens"],
        /// No call ever leaves a time window.
        TimeWindowNeverExpires => ["window::time_window_forgets"],
        /// No call is slow.
        NothingIsSlow => ["half_open::slow_probe_reopens", "window::slow_calls_open"],
        /// Declares time windows, and refuses them.
        RefusesWhatItDeclares => ["window::undeclared_is_unsupported"],
        /// Accepts time windows without declaring them.
        AcceptsWhatItDoesNotDeclare => ["window::undeclared_is_unsupported"],
        /// Builds the operation before the call is admitted.
        BuildsBeforeAsking => ["rejection::a_rejected_operation_is_never_built"],
        /// Rejections report the whole open time, not the remaining one.
        RetryAfterIsTheWholeTime => ["rejection::retry_after_reported"],
        /// Errors of rejected calls have neither the name of the circuit nor a delay.
        ErrorsNameNothing => ["rejection::errors_say_when_to_retry"],
        /// The open time ends 150 ms early.
        OpensTooShort => ["open::stays_open_for_its_time"],
        /// The list of all states shows circuits as open after their open time.
        ListsOutdatedStates => ["open::half_opens_without_a_call"],
        /// The state becomes half-open only with the next call.
        HalfOpensOnlyWhenCalled => [
            "events::every_subscriber_gets_all",
            "events::state_changes_in_order",
            "events::streams_stay_open",
            "generation::late_failure_while_probing",
            "generation::late_failures_after_recovery",
            "generation::late_ignored_result",
            "generation::late_result_after_trip",
            "generation::late_retry_after",
            "generation::probe_of_an_earlier_round",
            "half_open::cancelled_probe",
            "half_open::default_lease",
            "half_open::expired_probe_is_discarded",
            "half_open::failed_probe_reopens",
            "half_open::full_slots_reject",
            "half_open::hung_probe",
            "half_open::ignored_probe_frees_its_slot",
            "half_open::slow_probe_reopens",
            "half_open::success_threshold_closes",
            "metrics::time_in_each_state",
            "metrics::transitions_are_kept_in_order",
            "open::half_opens_without_a_call",
            "open::recovery_restarts_the_backoff",
        ],
        /// Open times do not grow.
        NoBackoff => ["open::backs_off_up_to_the_cap", "open::recovery_restarts_the_backoff"],
        /// Open times grow beyond their maximum.
        NoMaximum => ["open::backs_off_up_to_the_cap", "open::retry_after_is_capped"],
        /// A recovery does not reset the backoff.
        RecoveryKeepsTheBackoff => ["open::recovery_restarts_the_backoff"],
        /// All open times are the same.
        NoJitter => ["open::jitter_stays_in_its_band"],
        /// Twice the jitter that is configured.
        TooMuchJitter => ["open::jitter_stays_in_its_band"],
        /// The delay that a failure asks for is ignored.
        RetryAfterIsIgnored => [
            "open::retry_after_is_capped",
            "open::retry_after_lengthens",
            "open::retry_after_of_an_earlier_failure_holds",
            "open::retry_after_of_an_error_counts",
        ],
        /// The delay that a failure asks for also shortens the open time.
        RetryAfterShortens => ["open::retry_after_lengthens"],
        /// Only the failure that opens the circuit can ask for a delay.
        OnlyTheLastRetryAfter => ["open::retry_after_of_an_earlier_failure_holds"],
        /// The delay that a failure asks for is not capped.
        RetryAfterIsNotCapped => ["open::retry_after_is_capped"],
        /// Delays in errors of operations are ignored.
        ErrorsLoseTheirRetryAfter => ["open::retry_after_of_an_error_counts"],
        /// Every call is admitted as a probe.
        UnlimitedProbes => [
            "generation::late_ignored_result",
            "generation::late_result_after_trip",
            "half_open::concurrent_probes_are_limited",
            "half_open::default_lease",
            "half_open::expired_probe_is_discarded",
            "half_open::full_slots_reject",
            "half_open::hung_probe",
            "mode::metrics_only_never_rejects",
            "rejection::errors_say_when_to_retry",
        ],
        /// One probe more than allowed.
        OneProbeTooMany => [
            "generation::late_ignored_result",
            "generation::late_result_after_trip",
            "half_open::concurrent_probes_are_limited",
            "half_open::default_lease",
            "half_open::expired_probe_is_discarded",
            "half_open::full_slots_reject",
            "half_open::hung_probe",
            "mode::metrics_only_never_rejects",
            "rejection::errors_say_when_to_retry",
        ],
        /// Finding a free slot and taking it are two steps.
        TakesSlotsLater => ["half_open::concurrent_probes_are_limited"],
        /// The first successful probe closes the circuit.
        OneSuccessCloses => [
            "configure::new_thresholds_apply",
            "half_open::failed_probe_reopens",
            "half_open::full_slots_reject",
            "half_open::success_threshold_closes",
        ],
        /// Successful probes of an earlier round count.
        RoundsShareSuccesses => ["half_open::failed_probe_reopens"],
        /// An ignored probe keeps its slot.
        IgnoredKeepsItsSlot => [
            "half_open::cancelled_probe",
            "half_open::expired_probe_is_discarded",
            "half_open::ignored_probe_frees_its_slot",
        ],
        /// Permits that are dropped are not released.
        DroppedPermitsAreLost => [
            "call::cancellation_counts_by_policy",
            "call::cancellation_is_ignored",
            "call::panic_counts",
            "half_open::cancelled_probe",
        ],
        /// A probe that hangs keeps its slot forever.
        NoLease => ["half_open::default_lease", "half_open::expired_probe_is_discarded", "half_open::hung_probe"],
        /// The default lease ignores the call timeout.
        LeaseIgnoresTheTimeout => ["half_open::default_lease"],
        /// A probe counts even when its lease has ended.
        ExpiredProbesCount => ["half_open::expired_probe_is_discarded"],
        /// A slow probe closes the circuit.
        SlowProbesClose => ["half_open::slow_probe_reopens"],
        /// A late success counts as a successful probe.
        LateSuccessesClose => ["generation::late_result_after_trip", "generation::probe_of_an_earlier_round"],
        /// A late failure opens a half-open circuit.
        LateFailuresReopen => ["generation::late_failure_while_probing"],
        /// Failures from before a recovery count after it.
        LateFailuresCount => ["generation::late_failures_after_recovery", "generation::reset_discards_calls_in_flight"],
        /// A late ignored result frees the slot of another call.
        LateIgnoredFreesASlot => ["generation::late_ignored_result"],
        /// A late failure extends the open time.
        LateRetryAfterCounts => ["generation::late_retry_after"],
        /// Probes of an earlier round decide in a later one.
        OldProbesDecide => ["generation::probe_of_an_earlier_round"],
        /// A reset does not start a generation.
        ResetKeepsTheGeneration => ["generation::reset_discards_calls_in_flight"],
        /// Renames the operation in errors.
        RenamesErrors => ["call::results_pass_through"],
        /// Failures of executed operations do not count.
        ExecutedFailuresAreLost => [
            "call::classifier_decides",
            "call::failures_of_operations_count",
            "call::results_pass_through",
            "open::retry_after_of_an_error_counts",
        ],
        /// A timeout is a cancelled call.
        TimeoutsAreCancellations => [
            "call::a_timeout_counts_as_a_failure",
            "call::configured_timeout_applies",
            "call::timeouts_are_not_classified",
        ],
        /// The configured call timeout has no effect.
        NoConfiguredTimeout => ["call::configured_timeout_applies"],
        /// The shorter of the given and the configured timeout applies.
        ShorterTimeoutWins => ["call::explicit_timeout_overrides"],
        /// The classifier is asked about the breaker's own timeouts.
        TimeoutsAreClassified => ["call::timeouts_are_not_classified"],
        /// A panic is a cancelled call.
        PanicsAreCancellations => ["call::panic_counts"],
        /// A cancelled call is a failure, whatever the policy.
        CancellationsAreFailures => ["call::cancellation_is_ignored", "half_open::cancelled_probe"],
        /// A cancelled call is ignored, whatever the policy.
        CancellationsAreIgnored => ["call::cancellation_counts_by_policy"],
        /// Executed operations are classified by the default classifier.
        OwnClassifierOnly => ["call::classifier_decides"],
        /// A permit counts only if the task that acquired the latest permit records it.
        PermitsBelongToTasks => ["call::permits_can_be_recorded_from_any_task"],
        /// Panics after it has recorded a call that ended in a panic.
        PanicsAfterPanics => ["completion::recording_never_panics"],
        /// A forced-open circuit becomes half-open after the open time.
        ForcedOpenTimesOut => [
            "events::operations_are_reported",
            "mode::forced_open_stays_open",
            "rejection::errors_say_when_to_retry",
        ],
        /// Failures open a circuit that is forced closed.
        ForcedClosedTrips => [
            "mode::a_later_override_replaces_an_earlier_one",
            "mode::forced_closed_stays_closed",
            "mode::overrides_take_precedence_over_configuration",
        ],
        /// The first override stays until a reset.
        FirstOverrideStays => [
            "metrics::transitions_are_bounded",
            "metrics::transitions_are_counted",
            "mode::a_later_override_replaces_an_earlier_one",
            "mode::overrides_take_precedence_over_configuration",
        ],
        /// A configuration ends an override.
        ConfigurationEndsOverrides => ["mode::overrides_take_precedence_over_configuration"],
        /// A reset keeps the totals.
        ResetKeepsTotals => [
            "metrics::time_in_each_state",
            "metrics::transitions_are_counted",
            "mode::reset_starts_over",
        ],
        /// The configured mode has no effect on a new circuit.
        StartsAutomatic => ["mode::a_circuit_starts_in_its_configured_mode", "mode::metrics_only_never_rejects"],
        /// Metrics-only mode rejects.
        DryRunRejects => ["mode::metrics_only_never_rejects"],
        /// In metrics-only mode, results of calls beyond the probe slots decide.
        DryRunCallsDecide => ["mode::metrics_only_never_rejects"],
        /// A query creates the circuit.
        QueriesCreateCircuits => ["mode::unknown_circuits_are_not_found"],
        /// A configuration closes the circuit and empties its totals.
        ConfigurationStartsOver => [
            "configure::keeps_state_and_counters",
            "configure::new_thresholds_apply",
            "configure::resized_window_keeps_the_newest",
            "mode::overrides_take_precedence_over_configuration",
        ],
        /// Only the first configuration of a circuit has an effect on when it opens.
        ThresholdsAreFixed => [
            "configure::creates_the_circuit",
            "configure::handles_see_changes",
            "configure::keeps_state_and_counters",
            "configure::new_thresholds_apply",
            "configure::resized_window_keeps_the_newest",
        ],
        /// A resized window is empty.
        ResizingEmptiesTheWindow => ["configure::resized_window_keeps_the_newest"],
        /// Invalid configurations are accepted.
        AcceptsInvalidConfigurations => ["configure::invalid_is_refused"],
        /// Handles show the configuration that the circuit was created with.
        ShowsTheFirstConfiguration => ["configure::handles_see_changes"],
        /// Only circuits that exist can be configured.
        ConfiguresOnlyKnownCircuits => [
            "configure::creates_the_circuit",
            "registry::circuits_in_use_are_not_evicted",
            "window::undeclared_is_unsupported",
        ],
        /// A second handle of a circuit is another circuit.
        HandlesAreCopies => [
            "call::configured_timeout_applies",
            "call::results_pass_through",
            "configure::creates_the_circuit",
            "registry::one_name_one_circuit",
        ],
        /// All names refer to the first circuit.
        NamesCollide => [
            "open::half_opens_without_a_call",
            "open::jitter_stays_in_its_band",
            "registry::a_full_registry_evicts_an_unused_circuit",
            "registry::a_full_registry_is_exhausted",
            "registry::circuits_in_use_are_not_evicted",
            "registry::lists_all_states",
            "registry::names_are_isolated",
        ],
        /// The call that creates its circuit does not count.
        FirstCallIsLost => ["registry::executing_creates_the_circuit"],
        /// Lists only circuits that are closed.
        ListsOnlyClosedCircuits => [
            "open::half_opens_without_a_call",
            "registry::circuits_in_use_are_not_evicted",
            "registry::lists_all_states",
        ],
        /// Every text is accepted as a name.
        AcceptsAnyName => ["registry::bad_names_are_refused"],
        /// The registry grows without bound.
        UnboundedRegistry => [
            "registry::a_full_registry_evicts_an_unused_circuit",
            "registry::a_full_registry_is_exhausted",
            "registry::circuits_in_use_are_not_evicted",
        ],
        /// A full registry evicts no circuit.
        NeverEvicts => [
            "registry::a_full_registry_evicts_an_unused_circuit",
            "registry::circuits_in_use_are_not_evicted",
        ],
        /// A full registry evicts any circuit.
        EvictsAnything => ["registry::a_full_registry_is_exhausted", "registry::circuits_in_use_are_not_evicted"],
        /// A full registry evicts circuits with consecutive failures.
        EvictsFailingCircuits => ["registry::circuits_in_use_are_not_evicted"],
        /// Stale results also count as successes, failures or ignored.
        StaleCountsTwice => [
            "generation::late_failure_while_probing",
            "generation::late_result_after_trip",
            "metrics::calls_add_up",
        ],
        /// The time in a state counts from the creation of the breaker.
        TimeInStateSinceTheBeginning => ["metrics::time_in_state"],
        /// The newest transition comes first.
        NewestTransitionFirst => [
            "half_open::slow_probe_reopens",
            "metrics::transitions_are_bounded",
            "metrics::transitions_are_kept_in_order",
        ],
        /// Only transitions that are kept are counted.
        CountsRememberedTransitions => ["metrics::transitions_are_counted"],
        /// The time in the current state is added only when it ends.
        TimesOfPastStatesOnly => ["metrics::time_in_each_state"],
        /// All transitions are kept.
        UnboundedTransitions => ["metrics::transitions_are_bounded"],
        /// Events give the wrong reason.
        WrongReasons => ["events::state_changes_in_order"],
        /// Rejections are not reported as events.
        RejectionsAreNotReported => ["events::a_lagging_subscriber_is_notified", "events::operations_are_reported"],
        /// Every event is sent twice.
        EventsComeTwice => [
            "events::a_lagging_subscriber_is_notified",
            "events::every_subscriber_gets_all",
            "events::operations_are_reported",
            "events::state_changes_in_order",
            "events::streams_stay_open",
        ],
        /// Only the first subscriber receives events.
        OneSubscriber => ["events::every_subscriber_gets_all"],
        /// Events are dropped silently.
        LosesEventsSilently => ["events::a_lagging_subscriber_is_notified"],
        /// Subscribers are woken while the circuit's lock is held.
        WakesUnderTheLock => ["events::subscribers_may_call_back"],
        /// A stream ends after two events.
        StreamsEndEarly => [
            "events::a_lagging_subscriber_is_notified",
            "events::operations_are_reported",
            "events::state_changes_in_order",
            "events::streams_stay_open",
        ],
    }
}
