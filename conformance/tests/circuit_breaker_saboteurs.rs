//! The circuit breaker's cases can fail: each defect of the model is found by exactly the cases that it breaks, each case finds
//! at least one defect, and the model without a defect passes them all.
#![cfg(feature = "circuit-breaker")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_conformance::circuit_breaker::model::{Defect, ModelBreaker};
use networking_conformance::circuit_breaker::{CircuitBreakerHarness, suite};
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig};

struct Model {
    defect: Option<Defect>,
}

impl Harness for Model {
    fn backend(&self) -> &'static str {
        "model"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl CircuitBreakerHarness for Model {
    fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker> {
        Arc::new(self.model(config))
    }

    fn bounded_breaker(&self, config: CircuitBreakerConfig, max_circuits: usize) -> Option<Arc<dyn CircuitBreaker>> {
        Some(Arc::new(self.model(config).with_max_circuits(max_circuits)))
    }

    fn event_capacity(&self) -> Option<usize> {
        Some(64)
    }

    async fn advance(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

impl Model {
    fn model(&self, config: CircuitBreakerConfig) -> ModelBreaker {
        let model = ModelBreaker::new(config);
        match self.defect {
            Some(defect) => model.with_defect(defect),
            None => model,
        }
    }
}

mod model_without_defect {
    networking_conformance::circuit_breaker_conformance!(|| std::sync::Arc::new(super::Model { defect: None }));
}

#[test]
fn each_defect_is_found_by_exactly_its_cases() {
    suite().assert_catches(Defect::ALL.iter().copied(), cases_that_find, |defect| {
        Arc::new(Model { defect: Some(defect) })
    });
}

#[test]
fn each_case_finds_a_defect() {
    let defects = Defect::ALL.iter().copied();
    suite().assert_every_case_bites(defects.flat_map(cases_that_find).copied());
}

#[test]
fn clauses_and_cases_agree() {
    suite().assert_matches_contract("CB", include_str!("../../docs/contract/circuit_breaker.md"));
}

/// The cases that must find a defect, without the domain and the module.
#[allow(clippy::match_same_arms, reason = "one arm a defect")]
fn cases_that_find(defect: Defect) -> &'static [&'static str] {
    match defect {
        Defect::ForgetsItsName => &["starts_closed"],
        Defect::TripsLate => &[
            "backs_off_up_to_the_cap",
            "calls_add_up",
            "cancellation_counts_by_policy",
            "cancelled_probe",
            "configured_mode_is_where_it_starts",
            "configured_timeout_applies",
            "consecutive_failures_open",
            "default_lease",
            "errors_say_what_to_do",
            "every_subscriber_gets_all",
            "expired_probe_is_discarded",
            "failed_probe_reopens",
            "failures_of_operations_count",
            "forced_closed_is_sticky",
            "full_registry_keeps_what_matters",
            "full_slots_reject",
            "half_opens_unasked",
            "handles_follow",
            "hung_probe",
            "ignored_counts_for_nothing",
            "ignored_probe_frees_its_slot",
            "invalid_is_refused",
            "jitter_stays_in_its_band",
            "keeps_state_and_counters",
            "late_failure_while_probing",
            "late_failures_after_recovery",
            "late_ignored_result",
            "late_result_after_trip",
            "late_retry_after",
            "lists_all_states",
            "makes_the_circuit",
            "metrics_only_never_rejects",
            "names_are_isolated",
            "one_name_one_circuit",
            "panic_counts",
            "permits_outlive_their_task",
            "probe_of_an_earlier_round",
            "recovery_restarts_the_backoff",
            "rejected_never_builds",
            "reset_starts_over",
            "retry_after_is_capped",
            "retry_after_lengthens",
            "retry_after_of_an_earlier_failure_holds",
            "retry_after_of_an_error_counts",
            "retry_after_reported",
            "stampede",
            "state_changes_in_order",
            "stays_open_for_its_time",
            "streams_stay_open",
            "subscribers_may_call_back",
            "success_restarts_the_count",
            "success_threshold_closes",
            "time_in_each_state",
            "time_in_state",
            "timeout_inside_counts",
            "timeouts_are_not_classified",
            "transitions_are_kept_in_order",
        ],
        Defect::HidesTheRow => &["consecutive_failures_open", "keeps_state_and_counters"],
        Defect::SuccessKeepsTheRow => &["success_restarts_the_count"],
        Defect::IgnoredIsSuccess => &[
            "calls_add_up",
            "cancellation_is_ignored",
            "cancelled_probe",
            "classifier_decides",
            "expired_probe_is_discarded",
            "ignored_counts_for_nothing",
            "ignored_probe_frees_its_slot",
            "minimum_calls",
        ],
        Defect::RateMustBeExceeded => &[
            "failure_rate_opens",
            "resized_window_keeps_the_newest",
            "slow_calls_open",
            "time_window_opens",
            "window_slides",
        ],
        Defect::NoMinimumOfCalls => &[
            "a_success_can_complete_the_minimum",
            "minimum_calls",
            "old_failures_leave_the_window",
            "recovery_empties_the_window",
            "resized_window_keeps_the_newest",
            "slow_probe_reopens",
            "time_window_forgets",
        ],
        Defect::OnlyFailuresAreEvaluated => &["a_success_can_complete_the_minimum"],
        Defect::WindowNeverSlides => &[
            "failure_rate_opens",
            "old_failures_leave_the_window",
            "resized_window_keeps_the_newest",
            "window_slides",
        ],
        Defect::RecoveryKeepsTheWindow => &["recovery_empties_the_window"],
        Defect::TimeWindowTooShort => &["time_window_opens"],
        Defect::TimeWindowNeverForgets => &["time_window_forgets"],
        Defect::NothingIsSlow => &["slow_calls_open", "slow_probe_reopens"],
        Defect::RefusesWhatItDeclares => &["undeclared_is_unsupported"],
        Defect::AcceptsWhatItDoesNotDeclare => &["undeclared_is_unsupported"],
        Defect::BuildsBeforeAsking => &["rejected_never_builds"],
        Defect::RetryAfterIsTheWholeTime => &["retry_after_reported"],
        Defect::MuteErrors => &["errors_say_what_to_do"],
        Defect::OpensTooShort => &["stays_open_for_its_time"],
        Defect::ListsOutdatedStates => &["half_opens_unasked"],
        Defect::HalfOpensOnlyWhenCalled => &[
            "cancelled_probe",
            "default_lease",
            "every_subscriber_gets_all",
            "expired_probe_is_discarded",
            "failed_probe_reopens",
            "full_slots_reject",
            "half_opens_unasked",
            "hung_probe",
            "ignored_probe_frees_its_slot",
            "late_failure_while_probing",
            "late_failures_after_recovery",
            "late_ignored_result",
            "late_result_after_trip",
            "late_retry_after",
            "probe_of_an_earlier_round",
            "recovery_restarts_the_backoff",
            "slow_probe_reopens",
            "state_changes_in_order",
            "streams_stay_open",
            "success_threshold_closes",
            "time_in_each_state",
            "transitions_are_kept_in_order",
        ],
        Defect::NoBackoff => &["backs_off_up_to_the_cap", "recovery_restarts_the_backoff"],
        Defect::NoCap => &["backs_off_up_to_the_cap", "retry_after_is_capped"],
        Defect::RecoveryKeepsTheBackoff => &["recovery_restarts_the_backoff"],
        Defect::NoJitter => &["jitter_stays_in_its_band"],
        Defect::TooMuchJitter => &["jitter_stays_in_its_band"],
        Defect::RetryAfterIsIgnored => &[
            "retry_after_is_capped",
            "retry_after_lengthens",
            "retry_after_of_an_earlier_failure_holds",
            "retry_after_of_an_error_counts",
        ],
        Defect::RetryAfterShortens => &["retry_after_lengthens"],
        Defect::OnlyTheLastRetryAfter => &["retry_after_of_an_earlier_failure_holds"],
        Defect::RetryAfterIsNotCapped => &["retry_after_is_capped"],
        Defect::ErrorsLoseTheirRetryAfter => &["retry_after_of_an_error_counts"],
        Defect::UnlimitedProbes => &[
            "default_lease",
            "errors_say_what_to_do",
            "expired_probe_is_discarded",
            "full_slots_reject",
            "hung_probe",
            "late_ignored_result",
            "late_result_after_trip",
            "metrics_only_never_rejects",
            "stampede",
        ],
        Defect::OneProbeTooMany => &[
            "default_lease",
            "errors_say_what_to_do",
            "expired_probe_is_discarded",
            "full_slots_reject",
            "hung_probe",
            "late_ignored_result",
            "late_result_after_trip",
            "metrics_only_never_rejects",
            "stampede",
        ],
        Defect::TakesSlotsLater => &["stampede"],
        Defect::OneSuccessCloses => &[
            "failed_probe_reopens",
            "full_slots_reject",
            "new_thresholds_apply",
            "success_threshold_closes",
        ],
        Defect::RoundsShareSuccesses => &["failed_probe_reopens"],
        Defect::IgnoredKeepsItsSlot => &[
            "cancelled_probe",
            "expired_probe_is_discarded",
            "ignored_probe_frees_its_slot",
        ],
        Defect::DroppedPermitsAreLost => &[
            "cancellation_counts_by_policy",
            "cancellation_is_ignored",
            "cancelled_probe",
            "panic_counts",
        ],
        Defect::NoLease => &["default_lease", "expired_probe_is_discarded", "hung_probe"],
        Defect::LeaseIgnoresTheTimeout => &["default_lease"],
        Defect::ExpiredProbesCount => &["expired_probe_is_discarded"],
        Defect::SlowProbesClose => &["slow_probe_reopens"],
        Defect::LateSuccessesClose => &["late_result_after_trip", "probe_of_an_earlier_round"],
        Defect::LateFailuresReopen => &["late_failure_while_probing"],
        Defect::LateFailuresCount => &["late_failures_after_recovery", "reset_discards_calls_in_flight"],
        Defect::LateIgnoredFreesASlot => &["late_ignored_result"],
        Defect::LateRetryAfterCounts => &["late_retry_after"],
        Defect::OldProbesDecide => &["probe_of_an_earlier_round"],
        Defect::ResetKeepsTheGeneration => &["reset_discards_calls_in_flight"],
        Defect::RenamesErrors => &["results_pass_through"],
        Defect::ExecutedFailuresAreLost => &[
            "classifier_decides",
            "failures_of_operations_count",
            "results_pass_through",
            "retry_after_of_an_error_counts",
        ],
        Defect::TimeoutsAreCancellations => &[
            "configured_timeout_applies",
            "timeout_inside_counts",
            "timeouts_are_not_classified",
        ],
        Defect::NoConfiguredTimeout => &["configured_timeout_applies"],
        Defect::ShorterTimeoutWins => &["explicit_timeout_overrides"],
        Defect::TimeoutsAreClassified => &["timeouts_are_not_classified"],
        Defect::PanicsAreCancellations => &["panic_counts"],
        Defect::CancellationsAreFailures => &["cancellation_is_ignored", "cancelled_probe"],
        Defect::CancellationsAreIgnored => &["cancellation_counts_by_policy"],
        Defect::OwnClassifierOnly => &["classifier_decides"],
        Defect::PermitsBelongToTasks => &["permits_outlive_their_task"],
        Defect::ForcedOpenTimesOut => &[
            "errors_say_what_to_do",
            "forced_open_is_sticky",
            "operations_are_reported",
        ],
        Defect::ForcedClosedTrips => &[
            "forced_closed_is_sticky",
            "orders_outlive_configuration",
            "orders_replace_each_other",
        ],
        Defect::FirstOrderStands => &[
            "orders_outlive_configuration",
            "orders_replace_each_other",
            "transitions_are_bounded",
            "transitions_are_counted",
        ],
        Defect::ConfigurationLiftsOrders => &["orders_outlive_configuration"],
        Defect::ResetKeepsTotals => &["reset_starts_over", "time_in_each_state", "transitions_are_counted"],
        Defect::StartsAutomatic => &["configured_mode_is_where_it_starts", "metrics_only_never_rejects"],
        Defect::DryRunRejects => &["metrics_only_never_rejects"],
        Defect::DryRunCallsDecide => &["metrics_only_never_rejects"],
        Defect::LookingMakesCircuits => &["unknown_circuits_are_not_found"],
        Defect::ConfigurationStartsOver => &[
            "keeps_state_and_counters",
            "new_thresholds_apply",
            "orders_outlive_configuration",
            "resized_window_keeps_the_newest",
        ],
        Defect::ThresholdsAreFixed => &[
            "handles_follow",
            "keeps_state_and_counters",
            "makes_the_circuit",
            "new_thresholds_apply",
            "resized_window_keeps_the_newest",
        ],
        Defect::ResizingEmptiesTheWindow => &["resized_window_keeps_the_newest"],
        Defect::AcceptsInvalidConfigurations => &["invalid_is_refused"],
        Defect::ShowsTheFirstConfiguration => &["handles_follow"],
        Defect::ConfiguresOnlyKnownCircuits => &[
            "full_registry_keeps_what_matters",
            "makes_the_circuit",
            "undeclared_is_unsupported",
        ],
        Defect::HandlesAreCopies => &[
            "configured_timeout_applies",
            "makes_the_circuit",
            "one_name_one_circuit",
            "results_pass_through",
        ],
        Defect::NamesCollide => &[
            "full_registry_keeps_what_matters",
            "full_registry_makes_room",
            "full_registry_refuses",
            "half_opens_unasked",
            "jitter_stays_in_its_band",
            "lists_all_states",
            "names_are_isolated",
        ],
        Defect::FirstCallIsLost => &["executing_makes_the_circuit"],
        Defect::ListsOnlyClosedCircuits => &[
            "full_registry_keeps_what_matters",
            "half_opens_unasked",
            "lists_all_states",
        ],
        Defect::AcceptsAnyName => &["bad_names_are_refused"],
        Defect::UnboundedRegistry => &[
            "full_registry_keeps_what_matters",
            "full_registry_makes_room",
            "full_registry_refuses",
        ],
        Defect::NeverMakesRoom => &["full_registry_keeps_what_matters", "full_registry_makes_room"],
        Defect::EvictsAnything => &["full_registry_keeps_what_matters", "full_registry_refuses"],
        Defect::EvictsFailingCircuits => &["full_registry_keeps_what_matters"],
        Defect::StaleCountsTwice => &["calls_add_up", "late_failure_while_probing", "late_result_after_trip"],
        Defect::TimeInStateSinceTheBeginning => &["time_in_state"],
        Defect::NewestTransitionFirst => &[
            "slow_probe_reopens",
            "transitions_are_bounded",
            "transitions_are_kept_in_order",
        ],
        Defect::CountsRememberedTransitions => &["transitions_are_counted"],
        Defect::TimesOfPastStatesOnly => &["time_in_each_state"],
        Defect::UnboundedTransitions => &["transitions_are_bounded"],
        Defect::WrongReasons => &["state_changes_in_order"],
        Defect::RejectionsAreNotReported => &["operations_are_reported", "slow_subscriber_is_told"],
        Defect::EventsComeTwice => &[
            "every_subscriber_gets_all",
            "operations_are_reported",
            "slow_subscriber_is_told",
            "state_changes_in_order",
            "streams_stay_open",
        ],
        Defect::OneSubscriber => &["every_subscriber_gets_all"],
        Defect::LosesEventsSilently => &["slow_subscriber_is_told"],
        Defect::WakesUnderTheLock => &["subscribers_may_call_back"],
        Defect::StreamsEndEarly => &[
            "operations_are_reported",
            "slow_subscriber_is_told",
            "state_changes_in_order",
            "streams_stay_open",
        ],
        // A defect that is new here is found by nothing, which fails the test.
        _ => &[],
    }
}
