//! The list of saboteurs.

crate::saboteurs! {
    domain "breaker";

    /// A circuit breaker with one mistake. Most of the mistakes are those of existing breakers.
    pub enum Saboteur {
        /// `Circuit::name` is empty.
        ForgetsItsName => ["trip::starts_closed"],
        /// Opens one failure late.
        TripsLate => ["call::a_timeout_counts_as_a_failure", "call::cancellation_counts_by_policy", "call::configured_timeout_applies", "call::failures_of_operations_count", "call::panic_counts", "call::permits_can_be_recorded_from_any_task", "call::timeouts_are_not_classified", "configure::creates_the_circuit", "configure::handles_see_changes", "configure::invalid_is_refused", "configure::keeps_probes", "configure::keeps_state_and_counters", "events::every_subscriber_gets_all", "events::metrics_only_rejections_are_reported", "events::operations_are_reported", "events::state_changes_in_order", "events::streams_stay_open", "events::subscribers_may_call_back", "events::times_and_delays_are_real", "generation::late_failure_while_probing", "generation::late_failures_after_recovery", "generation::late_ignored_result", "generation::late_result_after_trip", "generation::late_result_of_a_call_that_the_breaker_runs", "generation::late_retry_after", "generation::probe_of_an_earlier_round", "half_open::cancelled_probe", "half_open::concurrent_probes_are_limited", "half_open::default_lease", "half_open::expired_probe_is_discarded", "half_open::failed_probe_reopens", "half_open::full_slots_reject", "half_open::hung_probe", "half_open::ignored_probe_frees_its_slot", "half_open::one_probe_by_default", "half_open::success_threshold_closes", "metrics::calls_add_up", "metrics::metrics_only_calls_add_up", "metrics::time_in_each_state", "metrics::time_in_state", "metrics::times_are_of_the_wall_clock", "metrics::transitions_are_bounded", "metrics::transitions_are_kept_in_order", "mode::a_circuit_starts_in_its_configured_mode", "mode::configured_forced_modes_last", "mode::forced_closed_stays_closed", "mode::metrics_only_can_be_configured_while_open", "mode::metrics_only_never_rejects", "mode::metrics_only_results_have_no_effect", "mode::reset_ends_an_override", "mode::reset_keeps_the_configuration", "mode::reset_restarts_the_backoff", "mode::reset_starts_over", "open::backs_off_up_to_the_cap", "open::half_opens_without_a_call", "open::jitter_does_not_shorten_a_requested_delay", "open::jitter_never_exceeds_the_maximum", "open::jitter_stays_in_its_band", "open::recovery_restarts_the_backoff", "open::retry_after_is_capped", "open::retry_after_lengthens", "open::retry_after_of_an_earlier_failure_holds", "open::retry_after_of_an_error_counts", "open::stays_open_for_its_time", "registry::circuits_in_use_are_not_evicted", "registry::circuits_out_of_use_are_evicted", "registry::lists_all_states", "registry::names_are_isolated", "registry::one_name_one_circuit", "rejection::a_rejected_operation_is_never_built", "rejection::errors_say_when_to_retry", "rejection::retry_after_reported", "trip::consecutive_failures_open", "trip::ignored_counts_for_nothing", "trip::success_restarts_the_count"],
        /// The metrics do not show the number of consecutive failures.
        HidesConsecutiveFailures => ["configure::keeps_state_and_counters", "generation::late_failures_after_recovery", "trip::consecutive_failures_open"],
        /// A success does not reset the number of consecutive failures.
        SuccessKeepsConsecutiveFailures => ["generation::late_failures_after_recovery", "open::retry_after_of_an_earlier_failure_holds", "trip::success_restarts_the_count"],
        /// Ignored calls are successes.
        IgnoredIsSuccess => ["call::cancellation_is_ignored", "call::classifier_decides", "call::the_default_classifier_applies", "configure::keeps_state_and_counters", "half_open::cancelled_probe", "half_open::expired_probe_is_discarded", "half_open::ignored_probe_frees_its_slot", "half_open::slow_probe_reopens", "metrics::calls_add_up", "metrics::concurrent_calls_are_all_counted", "metrics::metrics_only_calls_add_up", "trip::ignored_counts_for_nothing", "window::ignored_calls_are_never_slow", "window::minimum_calls"],
        /// A rate must exceed its threshold, not just reach it.
        RateMustBeExceeded => ["configure::a_longer_time_window_keeps_its_calls", "configure::resized_window_keeps_the_newest", "open::retry_after_of_an_earlier_failure_holds", "window::a_slow_failure_counts_as_both", "window::failure_rate_opens", "window::slow_calls_open", "window::slow_calls_open_a_time_window", "window::time_window_opens", "window::window_slides"],
        /// Rates are evaluated from the first call on.
        NoMinimumOfCalls => ["call::calls_that_the_breaker_runs_are_timed", "configure::a_longer_time_window_keeps_its_calls", "configure::another_kind_of_window_is_empty", "configure::new_call_settings_apply", "configure::resized_window_keeps_the_newest", "half_open::failed_probe_reopens", "half_open::slow_probe_reopens", "mode::reset_empties_the_window", "registry::circuits_in_use_are_not_evicted", "window::a_slow_failure_counts_as_both", "window::a_success_can_complete_the_minimum", "window::a_success_completes_the_minimum_of_a_time_window", "window::minimum_calls", "window::old_failures_leave_the_window", "window::recovery_empties_the_time_window", "window::recovery_empties_the_window", "window::time_window_forgets", "window::time_window_slides"],
        /// Rates are evaluated only after failures and slow calls.
        OnlyFailuresAreEvaluated => ["window::a_success_can_complete_the_minimum", "window::a_success_completes_the_minimum_of_a_time_window"],
        /// No call ever leaves a count window.
        WindowNeverSlides => ["configure::resized_window_keeps_the_newest", "window::a_slow_failure_counts_as_both", "window::failure_rate_opens", "window::old_failures_leave_the_window", "window::window_slides"],
        /// A recovery does not empty the window.
        RecoveryKeepsTheWindow => ["mode::reset_empties_the_window", "window::recovery_empties_the_time_window", "window::recovery_empties_the_window"],
        /// A time window has a tenth of its configured length.
        TimeWindowTooShort => ["configure::a_longer_time_window_keeps_its_calls", "window::slow_calls_open_a_time_window", "window::time_window_opens", "window::time_window_slides"],
        /// No call ever leaves a time window.
        TimeWindowNeverExpires => ["window::time_window_forgets", "window::time_window_slides"],
        /// No call is slow.
        NothingIsSlow => ["call::calls_that_the_breaker_runs_are_timed", "configure::new_call_settings_apply", "half_open::slow_probe_reopens", "window::a_slow_failure_counts_as_both", "window::slow_calls_open", "window::slow_calls_open_a_time_window"],
        /// Declares time windows, and refuses them.
        RefusesWhatItDeclares => ["configure::a_longer_time_window_keeps_its_calls", "configure::another_kind_of_window_is_empty", "window::undeclared_is_unsupported"],
        /// Accepts time windows without declaring them.
        AcceptsWhatItDoesNotDeclare => ["declared::breaker_and_harness_agree", "window::undeclared_is_unsupported"],
        /// Builds the operation before the call is admitted.
        BuildsBeforeAsking => ["rejection::a_rejected_operation_is_never_built"],
        /// Rejections report the whole open time, not the remaining one.
        RetryAfterIsTheWholeTime => ["configure::keeps_state_and_counters", "events::times_and_delays_are_real", "rejection::retry_after_reported"],
        /// Errors of rejected calls have neither the name of the circuit nor a delay.
        ErrorsNameNothing => ["rejection::errors_say_when_to_retry"],
        /// The open time ends 150 ms early.
        OpensTooShort => ["open::stays_open_for_its_time"],
        /// The list of all states shows circuits as open after their open time.
        ListsOutdatedStates => ["open::half_opens_without_a_call"],
        /// The state becomes half-open only with the next call.
        HalfOpensOnlyWhenCalled => ["configure::keeps_probes", "events::every_subscriber_gets_all", "events::state_changes_in_order", "events::streams_stay_open", "generation::late_failure_while_probing", "generation::late_failures_after_recovery", "generation::late_ignored_result", "generation::late_result_after_trip", "generation::late_result_of_a_call_that_the_breaker_runs", "generation::late_retry_after", "generation::probe_of_an_earlier_round", "half_open::cancelled_probe", "half_open::default_lease", "half_open::expired_probe_is_discarded", "half_open::failed_probe_reopens", "half_open::full_slots_reject", "half_open::hung_probe", "half_open::ignored_probe_frees_its_slot", "half_open::one_probe_by_default", "half_open::slow_probe_reopens", "half_open::success_threshold_closes", "metrics::time_in_each_state", "metrics::transitions_are_bounded", "metrics::transitions_are_kept_in_order", "mode::metrics_only_results_have_no_effect", "mode::reset_restarts_the_backoff", "open::half_opens_without_a_call", "open::recovery_restarts_the_backoff", "registry::circuits_in_use_are_not_evicted", "registry::circuits_out_of_use_are_evicted"],
        /// Open times do not grow.
        NoBackoff => ["configure::keeps_state_and_counters", "mode::reset_restarts_the_backoff", "open::backs_off_up_to_the_cap", "open::recovery_restarts_the_backoff"],
        /// Open times grow beyond their maximum.
        NoMaximum => ["open::backs_off_up_to_the_cap", "open::jitter_never_exceeds_the_maximum", "open::retry_after_is_capped"],
        /// A recovery does not reset the backoff.
        RecoveryKeepsTheBackoff => ["mode::reset_restarts_the_backoff", "open::recovery_restarts_the_backoff"],
        /// All open times are the same.
        NoJitter => ["open::jitter_never_exceeds_the_maximum", "open::jitter_stays_in_its_band"],
        /// Twice the jitter that is configured.
        TooMuchJitter => ["open::jitter_never_exceeds_the_maximum", "open::jitter_stays_in_its_band"],
        /// The delay that a failure asks for is ignored.
        RetryAfterIsIgnored => ["open::jitter_does_not_shorten_a_requested_delay", "open::retry_after_is_capped", "open::retry_after_lengthens", "open::retry_after_of_an_earlier_failure_holds", "open::retry_after_of_an_error_counts"],
        /// The delay that a failure asks for also shortens the open time.
        RetryAfterShortens => ["open::retry_after_lengthens"],
        /// Only the failure that opens the circuit can ask for a delay.
        OnlyTheLastRetryAfter => ["open::retry_after_of_an_earlier_failure_holds"],
        /// The delay that a failure asks for is not capped.
        RetryAfterIsNotCapped => ["open::retry_after_is_capped"],
        /// Delays in errors of operations are ignored.
        ErrorsLoseTheirRetryAfter => ["open::retry_after_of_an_error_counts"],
        /// Every call is admitted as a probe.
        UnlimitedProbes => ["configure::keeps_probes", "generation::late_ignored_result", "generation::late_result_after_trip", "half_open::concurrent_probes_are_limited", "half_open::default_lease", "half_open::expired_probe_is_discarded", "half_open::full_slots_reject", "half_open::hung_probe", "half_open::one_probe_by_default", "metrics::calls_add_up", "mode::metrics_only_never_rejects", "mode::metrics_only_results_have_no_effect", "rejection::errors_say_when_to_retry"],
        /// One probe more than allowed.
        OneProbeTooMany => ["configure::keeps_probes", "generation::late_ignored_result", "generation::late_result_after_trip", "half_open::concurrent_probes_are_limited", "half_open::default_lease", "half_open::expired_probe_is_discarded", "half_open::full_slots_reject", "half_open::hung_probe", "half_open::one_probe_by_default", "metrics::calls_add_up", "mode::metrics_only_never_rejects", "mode::metrics_only_results_have_no_effect", "rejection::errors_say_when_to_retry"],
        /// Finding a free slot and taking it are two steps.
        TakesSlotsLater => ["half_open::concurrent_probes_are_limited"],
        /// The first successful probe closes the circuit.
        OneSuccessCloses => ["configure::keeps_probes", "configure::new_thresholds_apply", "half_open::failed_probe_reopens", "half_open::full_slots_reject", "half_open::success_threshold_closes"],
        /// Successful probes of an earlier round count.
        RoundsShareSuccesses => ["half_open::failed_probe_reopens"],
        /// An ignored probe keeps its slot.
        IgnoredKeepsItsSlot => ["half_open::cancelled_probe", "half_open::expired_probe_is_discarded", "half_open::ignored_probe_frees_its_slot", "half_open::slow_probe_reopens"],
        /// Permits that are dropped are not released.
        DroppedPermitsAreLost => ["call::cancellation_counts_by_policy", "call::cancellation_is_ignored", "call::panic_counts", "configure::new_call_settings_apply", "half_open::cancelled_probe", "metrics::calls_add_up", "metrics::metrics_only_calls_add_up", "registry::circuits_in_use_are_not_evicted"],
        /// A probe that hangs keeps its slot forever.
        NoLease => ["half_open::default_lease", "half_open::expired_probe_is_discarded", "half_open::hung_probe"],
        /// The default lease ignores the call timeout.
        LeaseIgnoresTheTimeout => ["half_open::default_lease"],
        /// A probe counts even when its lease has ended.
        ExpiredProbesCount => ["half_open::expired_probe_is_discarded"],
        /// A slow probe closes the circuit.
        SlowProbesClose => ["half_open::slow_probe_reopens"],
        /// A late success counts as a successful probe.
        LateSuccessesClose => ["generation::late_result_after_trip", "generation::late_result_of_a_call_that_the_breaker_runs", "generation::probe_of_an_earlier_round"],
        /// A late failure opens a half-open circuit.
        LateFailuresReopen => ["generation::late_failure_while_probing", "generation::probe_of_an_earlier_round"],
        /// Failures from before a recovery count after it.
        LateFailuresCount => ["generation::late_failures_after_recovery", "generation::reset_discards_calls_in_flight"],
        /// A late success ends consecutive failures.
        LateSuccessesCount => ["generation::late_failures_after_recovery"],
        /// A success that asks for a delay lengthens the open time.
        SuccessesAskForDelays => ["open::retry_after_of_an_earlier_failure_holds"],
        /// Keeps the first transitions, and the newest one.
        KeepsTheFirstTransitions => ["metrics::transitions_are_bounded"],
        /// Late results are noticed only after the state was read.
        LateResultsNeedAQuery => ["metrics::metrics_only_calls_add_up"],
        /// Late successes of executed operations close the circuit.
        ExecutedLateSuccessesClose => ["generation::late_result_of_a_call_that_the_breaker_runs"],
        /// Executed operations are not timed.
        ExecutedCallsAreNotTimed => ["call::calls_that_the_breaker_runs_are_timed"],
        /// A late ignored result frees the slot of another call.
        LateIgnoredFreesASlot => ["generation::late_ignored_result"],
        /// A late success closes an open circuit.
        LateSuccessesCloseOpenCircuits => ["generation::late_result_after_trip", "generation::late_result_of_a_call_that_the_breaker_runs", "metrics::calls_add_up", "mode::forced_open_stays_open"],
        /// A late success of an executed operation closes an open circuit.
        ExecutedLateSuccessesCloseOpenCircuits => ["generation::late_result_of_a_call_that_the_breaker_runs"],
        /// A late failure starts the open time again.
        LateFailuresRestartTheOpenTime => ["generation::late_failure_while_probing", "generation::late_result_of_a_call_that_the_breaker_runs"],
        /// A late failure of an executed operation starts the open time again.
        ExecutedLateFailuresRestartTheOpenTime => ["generation::late_result_of_a_call_that_the_breaker_runs"],
        /// A late failure of an open circuit counts as one more opening.
        LateFailuresOpenAgain => ["generation::late_failure_while_probing", "generation::late_result_of_a_call_that_the_breaker_runs"],
        /// A failed probe of a count window opens the circuit only from the minimum of calls on.
        ProbesNeedTheMinimumOfCalls => ["half_open::failed_probe_reopens"],
        /// A failed probe of a time window opens the circuit only from the minimum of calls on.
        ProbesNeedTheMinimumOfATimeWindow => ["half_open::failed_probe_reopens"],
        /// A late failure extends the open time.
        LateRetryAfterCounts => ["generation::late_retry_after"],
        /// Probes of an earlier round decide in a later one.
        OldProbesDecide => ["generation::probe_of_an_earlier_round"],
        /// A reset does not start a generation.
        ResetKeepsTheGeneration => ["generation::reset_discards_calls_in_flight"],
        /// Renames the operation in errors.
        RenamesErrors => ["call::results_pass_through"],
        /// Failures of executed operations do not count.
        ExecutedFailuresAreLost => ["call::classifier_decides", "call::failures_of_operations_count", "call::results_pass_through", "call::the_default_classifier_applies", "configure::new_call_settings_apply", "open::retry_after_of_an_error_counts"],
        /// A timeout is a cancelled call.
        TimeoutsAreCancellations => ["call::a_timeout_counts_as_a_failure", "call::configured_timeout_applies", "call::timeouts_are_not_classified", "metrics::calls_add_up"],
        /// The configured call timeout has no effect.
        NoConfiguredTimeout => ["call::configured_timeout_applies", "configure::new_call_settings_apply"],
        /// The shorter of the given and the configured timeout applies.
        ShorterTimeoutWins => ["call::explicit_timeout_overrides"],
        /// The classifier is asked about the breaker's own timeouts.
        TimeoutsAreClassified => ["call::timeouts_are_not_classified", "configure::new_call_settings_apply"],
        /// A panic is a cancelled call.
        PanicsAreCancellations => ["call::panic_counts"],
        /// A cancelled call is a failure, whatever the policy.
        CancellationsAreFailures => ["call::cancellation_is_ignored", "half_open::cancelled_probe", "metrics::calls_add_up", "metrics::metrics_only_calls_add_up", "registry::circuits_in_use_are_not_evicted"],
        /// A cancelled call is ignored, whatever the policy.
        CancellationsAreIgnored => ["call::cancellation_counts_by_policy", "configure::new_call_settings_apply"],
        /// Executed operations are classified by the default classifier.
        OwnClassifierOnly => ["call::classifier_decides", "configure::new_call_settings_apply"],
        /// A permit counts only if the task that acquired the latest permit records it.
        PermitsBelongToTasks => ["call::permits_can_be_recorded_from_any_task"],
        /// Panics after it has recorded a call that ended in a panic.
        PanicsAfterPanics => ["completion::recording_never_panics"],
        /// A forced-open circuit becomes half-open after the open time.
        ForcedOpenTimesOut => ["events::mode_changes_are_reported", "mode::configured_forced_modes_last", "mode::forced_open_stays_open", "rejection::errors_say_when_to_retry"],
        /// Failures open a circuit that is forced closed.
        ForcedClosedTrips => ["mode::a_later_override_replaces_an_earlier_one", "mode::configured_forced_modes_last", "mode::forced_closed_stays_closed", "mode::overrides_take_precedence_over_configuration"],
        /// The first override stays until a reset.
        FirstOverrideStays => ["events::mode_changes_are_reported", "metrics::transitions_are_counted", "mode::a_later_override_replaces_an_earlier_one", "mode::overrides_take_precedence_over_configuration"],
        /// A configuration ends an override.
        ConfigurationEndsOverrides => ["mode::overrides_take_precedence_over_configuration"],
        /// A reset keeps the totals.
        ResetKeepsTotals => ["metrics::time_in_each_state", "metrics::transitions_are_counted", "mode::reset_empties_the_window", "mode::reset_starts_over"],
        /// The configured mode has no effect on a new circuit.
        StartsAutomatic => ["events::metrics_only_rejections_are_reported", "metrics::metrics_only_calls_add_up", "mode::a_circuit_starts_in_its_configured_mode", "mode::metrics_only_never_rejects", "mode::metrics_only_results_have_no_effect", "registry::metrics_only_circuits_are_evicted"],
        /// Metrics-only mode rejects.
        DryRunRejects => ["events::metrics_only_rejections_are_reported", "metrics::metrics_only_calls_add_up", "mode::metrics_only_can_be_configured_while_open", "mode::metrics_only_never_rejects", "mode::metrics_only_results_have_no_effect"],
        /// In metrics-only mode, results of calls beyond the probe slots decide.
        DryRunCallsDecide => ["metrics::metrics_only_calls_add_up", "mode::metrics_only_never_rejects", "mode::metrics_only_results_have_no_effect"],
        /// A query creates the circuit.
        QueriesCreateCircuits => ["mode::unknown_circuits_are_not_found", "registry::circuits_out_of_use_are_evicted"],
        /// A configuration closes the circuit and empties its totals.
        ConfigurationStartsOver => ["configure::a_longer_time_window_keeps_its_calls", "configure::keeps_probes", "configure::keeps_state_and_counters", "configure::new_thresholds_apply", "configure::resized_window_keeps_the_newest", "events::subscribers_may_call_back", "mode::configured_forced_modes_last", "mode::metrics_only_can_be_configured_while_open", "mode::overrides_take_precedence_over_configuration"],
        /// Only the first configuration of a circuit has an effect on when it opens.
        ThresholdsAreFixed => ["configure::a_longer_time_window_keeps_its_calls", "configure::another_kind_of_window_is_empty", "configure::creates_the_circuit", "configure::handles_see_changes", "configure::keeps_state_and_counters", "configure::new_call_settings_apply", "configure::new_thresholds_apply", "configure::resized_window_keeps_the_newest", "mode::reset_keeps_the_configuration"],
        /// A resized window is empty.
        ResizingEmptiesTheWindow => ["configure::a_longer_time_window_keeps_its_calls", "configure::resized_window_keeps_the_newest"],
        /// Invalid configurations are accepted.
        AcceptsInvalidConfigurations => ["configure::invalid_is_refused"],
        /// Handles show the configuration that the circuit was created with.
        ShowsTheFirstConfiguration => ["configure::handles_see_changes", "configure::new_call_settings_apply", "mode::reset_keeps_the_configuration"],
        /// Only circuits that exist can be configured.
        ConfiguresOnlyKnownCircuits => ["configure::creates_the_circuit"],
        /// A second handle of a circuit is another circuit.
        HandlesAreCopies => [
            "call::configured_timeout_applies",
            "call::results_pass_through",
            "configure::creates_the_circuit",
            "registry::one_name_one_circuit",
        ],
        /// All names refer to the first circuit.
        NamesCollide => ["open::half_opens_without_a_call", "open::jitter_does_not_shorten_a_requested_delay", "open::jitter_never_exceeds_the_maximum", "open::jitter_stays_in_its_band", "registry::a_full_registry_evicts_an_unused_circuit", "registry::a_full_registry_is_exhausted", "registry::circuits_in_use_are_not_evicted", "registry::circuits_out_of_use_are_evicted", "registry::evictions_are_reported", "registry::lists_all_states", "registry::names_are_isolated"],
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
        UnboundedRegistry => ["registry::a_full_registry_evicts_an_unused_circuit", "registry::a_full_registry_is_exhausted", "registry::circuits_in_use_are_not_evicted", "registry::circuits_out_of_use_are_evicted", "registry::evictions_are_reported"],
        /// A full registry evicts no circuit.
        NeverEvicts => ["registry::a_full_registry_evicts_an_unused_circuit", "registry::circuits_in_use_are_not_evicted", "registry::circuits_out_of_use_are_evicted", "registry::evictions_are_reported", "registry::metrics_only_circuits_are_evicted"],
        /// A full registry evicts any circuit.
        EvictsAnything => ["registry::a_full_registry_is_exhausted", "registry::circuits_in_use_are_not_evicted"],
        /// A full registry evicts circuits with consecutive failures.
        EvictsFailingCircuits => ["registry::circuits_in_use_are_not_evicted"],
        /// Stale results also count as successes, failures or ignored.
        StaleCountsTwice => ["generation::late_failure_while_probing", "generation::late_failures_after_recovery", "generation::late_result_after_trip", "generation::late_result_of_a_call_that_the_breaker_runs", "generation::overrides_discard_calls_in_flight", "metrics::calls_add_up", "metrics::metrics_only_calls_add_up", "mode::reset_starts_over"],
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
        WrongReasons => ["events::mode_changes_are_reported", "events::state_changes_in_order"],
        /// Rejections are not reported as events.
        RejectionsAreNotReported => ["events::metrics_only_rejections_are_reported", "events::mode_changes_are_reported", "events::operations_are_reported", "events::times_and_delays_are_real"],
        /// Every event is sent twice.
        EventsComeTwice => ["events::a_lagging_subscriber_is_notified", "events::every_subscriber_gets_all", "events::metrics_only_rejections_are_reported", "events::mode_changes_are_reported", "events::operations_are_reported", "events::state_changes_in_order", "events::streams_stay_open", "events::times_and_delays_are_real"],
        /// Only the first subscriber receives events.
        OneSubscriber => ["events::every_subscriber_gets_all"],
        /// Events are dropped silently.
        LosesEventsSilently => ["events::a_lagging_subscriber_is_notified"],
        /// Subscribers are woken while the circuit's lock is held.
        WakesUnderTheLock => ["events::subscribers_may_call_back"],
        /// A stream ends after two events.
        StreamsEndEarly => ["events::a_lagging_subscriber_is_notified", "events::mode_changes_are_reported", "events::operations_are_reported", "events::state_changes_in_order", "events::streams_stay_open", "events::times_and_delays_are_real"],
        /// Limits probes without declaring it.
        HidesItsProbeLimits => ["window::undeclared_is_unsupported", "declared::breaker_and_harness_agree"],
        /// Ends the leases of probes without declaring it.
        HidesItsProbeLeases => ["window::undeclared_is_unsupported", "declared::breaker_and_harness_agree"],
        /// Obeys overrides without declaring them.
        HidesItsOverrides => ["window::undeclared_is_unsupported", "declared::breaker_and_harness_agree"],
        /// A time window is emptied when it has its length, instead of losing its oldest calls.
        TumblingTimeWindow => ["window::time_window_slides"],
        /// No call is slow in a time window.
        TimesOnlyCountWindows => ["half_open::slow_probe_reopens", "window::slow_calls_open_a_time_window"],
        /// Only successes can be slow.
        FailuresAreNeverSlow => ["window::a_slow_failure_counts_as_both"],
        /// Ignored calls count as slow.
        IgnoredCallsAreSlow => ["window::ignored_calls_are_never_slow"],
        /// The open time doubles, whatever the multiplier.
        AlwaysDoubles => ["open::backs_off_up_to_the_cap"],
        /// The maximum applies before jitter.
        JitterExceedsTheMaximum => ["open::jitter_does_not_shorten_a_requested_delay", "open::jitter_never_exceeds_the_maximum"],
        /// Jitter also applies to the delay that a failure asks for.
        JitterShortensRetryAfter => ["open::jitter_does_not_shorten_a_requested_delay"],
        /// The latest requested delay replaces an earlier, longer one.
        ANewerRetryAfterWins => ["open::retry_after_of_an_earlier_failure_holds"],
        /// A success ends the delay that an earlier failure asked for.
        SuccessEndsRetryAfter => ["open::retry_after_of_an_earlier_failure_holds"],
        /// Two probes at a time unless configured.
        TwoProbesByDefault => ["generation::late_ignored_result", "generation::late_result_after_trip", "half_open::default_lease", "half_open::one_probe_by_default", "metrics::calls_add_up", "mode::metrics_only_never_rejects", "mode::metrics_only_results_have_no_effect", "rejection::errors_say_when_to_retry"],
        /// An ignored probe resets the number of successful ones.
        IgnoredProbesRestart => ["half_open::ignored_probe_frees_its_slot"],
        /// The default lease is the call timeout, even if the open time is longer.
        LeaseIsTheTimeout => ["half_open::default_lease"],
        /// The default lease grows with the open time.
        LeaseGrowsWithTheBackoff => ["half_open::default_lease"],
        /// Failed probes of an earlier round open the circuit again.
        OldProbeFailuresReopen => ["generation::probe_of_an_earlier_round"],
        /// An override of a closed circuit does not start a generation.
        OverridesKeepTheGeneration => ["generation::overrides_discard_calls_in_flight"],
        /// The mode of an open circuit that is configured as metrics-only applies after its recovery.
        OpenCircuitsStayAutomatic => ["mode::metrics_only_can_be_configured_while_open"],
        /// A time window that becomes longer is empty.
        LongerTimeWindowsAreEmpty => ["configure::a_longer_time_window_keeps_its_calls"],
        /// A call is not timed if it starts at the same moment as the clock.
        TimesNothingAtFirst => ["call::calls_that_the_breaker_runs_are_timed", "window::a_slow_failure_counts_as_both"],
        /// A half-open circuit can be evicted.
        EvictsHalfOpenCircuits => ["registry::circuits_in_use_are_not_evicted"],
        /// A late result of a probe counts if no other probe has taken its slot.
        ExpiredProbesCountInFreeSlots => ["half_open::expired_probe_is_discarded"],
        /// A reset forgets the calls in flight.
        ResetForgetsCallsInFlight => ["generation::reset_discards_calls_in_flight"],
        /// Calls time out after half of their limit.
        TimeoutsComeEarly => ["call::a_timeout_counts_as_a_failure"],
        /// Calls time out after ten times their limit.
        TimeoutsComeLate => ["call::a_timeout_counts_as_a_failure", "configure::new_call_settings_apply"],
        /// A destination that the client denies counts as a failure of the dependency.
        DeniedDestinationsAreFailures => ["call::the_default_classifier_applies"],
        /// A reset does not end an override.
        ResetKeepsOverrides => ["events::mode_changes_are_reported", "mode::configured_forced_modes_last", "mode::reset_ends_an_override"],
        /// A reset does not empty the window.
        ResetKeepsTheWindow => ["mode::reset_empties_the_window"],
        /// A reset does not reset the backoff.
        ResetKeepsTheBackoff => ["mode::reset_restarts_the_backoff"],
        /// A reset keeps the delays that failures asked for.
        ResetKeepsRequestedDelays => ["mode::reset_restarts_the_backoff"],
        /// A reset also removes the kept transitions.
        ResetForgetsTransitions => ["metrics::transitions_are_bounded"],
        /// A reset restores the configuration that the circuit was created with.
        ResetRestoresTheFirstConfiguration => ["mode::reset_keeps_the_configuration"],
        /// A reset ends metrics-only mode.
        ResetEndsMetricsOnly => ["mode::reset_keeps_the_configuration"],
        /// A reset returns to a configured forced mode.
        ResetReturnsToAForcedMode => ["mode::reset_ends_an_override", "registry::circuits_in_use_are_not_evicted"],
        /// A circuit stays open when another mode is configured than forced open.
        ConfigurationLeavesForcedOpen => ["mode::a_circuit_starts_in_its_configured_mode"],
        /// In metrics-only mode, calls beyond the probe slots lengthen the open time.
        DryRunFailuresLengthen => ["mode::metrics_only_results_have_no_effect"],
        /// In metrics-only mode, no call counts as rejected.
        DryRunRejectionsAreNotCounted => ["metrics::metrics_only_calls_add_up", "mode::metrics_only_can_be_configured_while_open", "mode::metrics_only_never_rejects"],
        /// In metrics-only mode, no call is reported as rejected.
        DryRunRejectionsAreNotReported => ["events::metrics_only_rejections_are_reported"],
        /// In metrics-only mode, calls that would be rejected do not count when they end.
        DryRunCallsAreNotCounted => ["metrics::metrics_only_calls_add_up", "mode::metrics_only_never_rejects"],
        /// A configuration starts the open time again.
        ConfigurationRestartsTheOpenTime => ["configure::keeps_state_and_counters"],
        /// A configuration forgets the probes of a half-open circuit.
        ConfigurationForgetsProbes => ["configure::keeps_probes"],
        /// A configuration starts a generation.
        ConfigurationMakesCallsStale => ["configure::keeps_probes", "configure::keeps_state_and_counters"],
        /// Only the first call timeout and cancellation policy of a circuit apply.
        CallSettingsAreFixed => ["configure::new_call_settings_apply"],
        /// A window that grows is empty.
        GrowingEmptiesTheWindow => ["configure::resized_window_keeps_the_newest"],
        /// A window keeps its calls when another kind replaces it.
        KeepsAnotherKindOfWindow => ["configure::another_kind_of_window_is_empty"],
        /// A full registry evicts circuits that have handles.
        EvictsHeldCircuits => ["registry::a_full_registry_is_exhausted", "registry::circuits_in_use_are_not_evicted"],
        /// A full registry evicts circuits that are not closed.
        EvictsOpenCircuits => ["registry::circuits_in_use_are_not_evicted"],
        /// A full registry evicts circuits that are forced closed.
        EvictsForcedCircuits => ["registry::circuits_in_use_are_not_evicted"],
        /// A full registry evicts circuits with their own configuration.
        EvictsConfiguredCircuits => ["registry::circuits_in_use_are_not_evicted"],
        /// A full registry evicts circuits with calls in flight.
        EvictsBusyCircuits => ["registry::circuits_in_use_are_not_evicted"],
        /// No circuit in metrics-only mode is evicted.
        NeverEvictsMetricsOnly => ["registry::circuits_in_use_are_not_evicted", "registry::metrics_only_circuits_are_evicted"],
        /// Evictions are not reported as events.
        EvictionsAreNotReported => ["registry::evictions_are_reported"],
        /// Counts of concurrent calls are lost.
        LosesConcurrentCounts => ["metrics::concurrent_calls_are_all_counted"],
        /// All transitions have the time at which the breaker was made.
        TimesOfTransitionsStandStill => ["metrics::transitions_are_kept_in_order"],
        /// Times count from 1970.
        TimesFromTheEpoch => ["metrics::times_are_of_the_wall_clock"],
        /// Changes of mode are not reported as events.
        ModeChangesAreNotReported => ["events::mode_changes_are_reported"],
        /// Events of rejections have no delay.
        EventsHaveNoDelays => ["events::metrics_only_rejections_are_reported", "events::times_and_delays_are_real"],
        /// All events have the time at which the breaker was made.
        TimesOfEventsStandStill => ["events::times_and_delays_are_real"],
    }
}
