//! The circuit breaker suite, for [`CircuitBreaker`] and [`Circuit`](networking_spi::circuit_breaker::Circuit).
//!
//! The clauses are in `docs/contract/circuit_breaker.md`. Implement [`CircuitBreakerHarness`], and run [`suite`] or
//! expand [`circuit_breaker_conformance!`](crate::circuit_breaker_conformance):
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use networking_conformance::circuit_breaker::CircuitBreakerHarness;
//! use networking_conformance::proof::circuit_breaker::ModelBreaker as MyBreaker;
//! use networking_conformance::{CaseRuntime, Harness};
//! use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig};
//!
//! struct MyHarness;
//!
//! impl Harness for MyHarness {
//!     fn backend(&self) -> &'static str {
//!         "my_breaker"
//!     }
//!
//!     fn runtime(&self) -> CaseRuntime {
//!         CaseRuntime::PausedClock
//!     }
//! }
//!
//! #[async_trait::async_trait]
//! impl CircuitBreakerHarness for MyHarness {
//!     // What the breaker supports, as you know it: a case compares it with what the breaker declares.
//!     fn capabilities(&self) -> &'static CircuitBreakerCapabilities {
//!         const { &CircuitBreakerCapabilities::all() }
//!     }
//!
//!     fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker> {
//!         Arc::new(MyBreaker::new(config))
//!     }
//!
//!     fn bounded_breaker(&self, config: CircuitBreakerConfig, max_circuits: usize) -> Option<Arc<dyn CircuitBreaker>> {
//!         Some(Arc::new(MyBreaker::new(config).with_max_circuits(max_circuits)))
//!     }
//!
//!     fn event_capacity(&self) -> Option<usize> {
//!         Some(64)
//!     }
//!
//!     async fn advance(&self, time: Duration) {
//!         tokio::time::advance(time).await;
//!     }
//! }
//!
//! networking_conformance::circuit_breaker_conformance!(|| Arc::new(MyHarness));
//! # fn main() {}
//! ```

mod call;
mod completion;
mod configure;
mod declared;
mod events;
mod generation;
mod half_open;
mod metrics;
mod mode;
mod open;
mod registry;
mod rejection;
mod scenario;
mod trip;
mod window;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig};

use crate::kit::define_suite;
use crate::kit::{Applies, Harness};

/// Makes circuit breakers for the cases, and advances their clock.
///
/// Cases take seconds on the breaker's clock. For a breaker in real time, [`runtime`](Harness::runtime) is
/// [`MultiThread`](crate::CaseRuntime::MultiThread) and [`advance`](Self::advance) sleeps. For a breaker on tokio's
/// clock, [`runtime`](Harness::runtime) is [`PausedClock`](crate::CaseRuntime::PausedClock) and
/// [`advance`](Self::advance) calls `tokio::time::advance`.
#[async_trait]
pub trait CircuitBreakerHarness: Harness {
    /// What the author of the breaker knows that it supports. The cases of other capabilities are reported as
    /// unsupported, and a case compares this with what the breaker declares.
    ///
    /// It is a constant, so that it cannot be asked from the breaker: a breaker that loses a feature together with its
    /// declaration must fail.
    ///
    /// ```
    /// use networking_spi::circuit_breaker::CircuitBreakerCapabilities;
    ///
    /// const SUPPORTED: CircuitBreakerCapabilities = {
    ///     let mut supported = CircuitBreakerCapabilities::all();
    ///     supported.slow_call_rate = false;
    ///     supported
    /// };
    /// # let harness = || -> &'static CircuitBreakerCapabilities { &SUPPORTED };
    /// # assert!(!harness().slow_call_rate);
    /// ```
    fn capabilities(&self) -> &'static CircuitBreakerCapabilities;

    /// A fresh breaker without circuits. Its circuits have `config` unless they are configured otherwise. The wall clock
    /// of its metrics and events begins with the time of the system.
    fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker>;

    /// Like [`breaker`](Self::breaker), with at most `max_circuits` circuits. `None` if the number cannot be limited.
    fn bounded_breaker(&self, config: CircuitBreakerConfig, max_circuits: usize) -> Option<Arc<dyn CircuitBreaker>>;

    /// How many unread events the breaker keeps per subscriber. `None` if the breaker has no events, or if it keeps too
    /// many for a case to fill the buffer.
    fn event_capacity(&self) -> Option<usize>;

    /// Returns when `time` has passed on the breaker's clock.
    async fn advance(&self, time: Duration);
}

type Dyn = dyn CircuitBreakerHarness;

macro_rules! capabilities {
    ($($name:ident),+ $(,)?) => {$(
        fn $name(harness: &Dyn) -> Applies {
            Applies::capability(harness.capabilities().$name, stringify!($name))
        }
    )+};
}

capabilities!(
    count_window,
    time_window,
    slow_call_rate,
    metrics_only,
    events,
    probe_limits,
    probe_leases,
    overrides,
);

fn slow_calls(harness: &Dyn) -> Applies {
    slow_call_rate(harness).and(count_window(harness))
}

fn slow_calls_in_time(harness: &Dyn) -> Applies {
    slow_call_rate(harness).and(time_window(harness))
}

fn slow_calls_in_any_window(harness: &Dyn) -> Applies {
    let declared = harness.capabilities();
    slow_call_rate(harness).and(Applies::capability(
        declared.count_window || declared.time_window,
        "count_window or time_window",
    ))
}

fn both_windows(harness: &Dyn) -> Applies {
    count_window(harness).and(time_window(harness))
}

fn leased_probes(harness: &Dyn) -> Applies {
    probe_limits(harness).and(probe_leases(harness))
}

fn reported_overrides(harness: &Dyn) -> Applies {
    events(harness).and(overrides(harness))
}

fn reported_metrics_only(harness: &Dyn) -> Applies {
    events(harness).and(metrics_only(harness))
}

fn known_event_capacity(harness: &Dyn) -> Applies {
    events(harness).and(Applies::environment(
        harness.event_capacity().is_some(),
        "a known event capacity",
    ))
}

fn bounded(harness: &Dyn) -> Applies {
    let can = harness.bounded_breaker(CircuitBreakerConfig::new(), 1).is_some();
    Applies::environment(can, "a bounded registry")
}

fn bounded_metrics_only(harness: &Dyn) -> Applies {
    metrics_only(harness).and(bounded(harness))
}

fn reported_evictions(harness: &Dyn) -> Applies {
    events(harness).and(bounded(harness))
}

define_suite! {
    ($)
    /// Expands to one `#[test]` per circuit breaker case. The argument is a closure or function that makes the harness: a
    /// type that implements [`CircuitBreakerHarness`](crate::circuit_breaker::CircuitBreakerHarness), or an `Arc` of it.
    macro circuit_breaker_conformance;
    domain "breaker" in circuit_breaker;
    harness dyn CircuitBreakerHarness;
    modules {
        trip, window, declared, rejection, open, half_open, generation, call, completion, mode, configure, registry,
        metrics, events,
    }
    cases {
        "CB-1" trip::starts_closed,
        "CB-2" trip::consecutive_failures_open,
        "CB-3" trip::success_restarts_the_count,
        "CB-4" trip::ignored_counts_for_nothing,

        "CB-5" window::failure_rate_opens if count_window,
        "CB-6" window::minimum_calls if count_window,
        "CB-7" window::a_success_can_complete_the_minimum if count_window,
        "CB-90" window::a_success_completes_the_minimum_of_a_time_window if time_window,
        "CB-8" window::window_slides if count_window,
        "CB-9" window::old_failures_leave_the_window if count_window,
        "CB-10" window::recovery_empties_the_window if count_window,
        "CB-91" window::recovery_empties_the_time_window if time_window,
        "CB-11" window::time_window_opens if time_window,
        "CB-12" window::time_window_forgets if time_window,
        "CB-92" window::time_window_slides if time_window,
        "CB-13" window::slow_calls_open if slow_calls,
        "CB-93" window::slow_calls_open_a_time_window if slow_calls_in_time,
        "CB-94" window::a_slow_failure_counts_as_both if slow_calls,
        "CB-95" window::ignored_calls_are_never_slow if slow_calls,
        "CB-14" window::undeclared_is_unsupported,
        "CB-89" declared::breaker_and_harness_agree,

        "CB-15" rejection::a_rejected_operation_is_never_built,
        "CB-16" rejection::retry_after_reported,
        "CB-17" rejection::errors_say_when_to_retry,

        "CB-18" open::stays_open_for_its_time,
        "CB-19" open::half_opens_without_a_call,
        "CB-20" open::backs_off_up_to_the_cap,
        "CB-21" open::recovery_restarts_the_backoff,
        "CB-22" open::jitter_stays_in_its_band,
        "CB-96" open::jitter_never_exceeds_the_maximum,
        "CB-97" open::jitter_does_not_shorten_a_requested_delay,
        "CB-23" open::retry_after_lengthens,
        "CB-24" open::retry_after_of_an_earlier_failure_holds,
        "CB-25" open::retry_after_is_capped,
        "CB-26" open::retry_after_of_an_error_counts,

        "CB-98" half_open::one_probe_by_default if probe_limits,
        "CB-27" half_open::concurrent_probes_are_limited if probe_limits,
        "CB-28" half_open::full_slots_reject if probe_limits,
        "CB-29" half_open::success_threshold_closes if probe_limits,
        "CB-30" half_open::failed_probe_reopens if probe_limits,
        "CB-31" half_open::ignored_probe_frees_its_slot,
        "CB-32" half_open::cancelled_probe,
        "CB-33" half_open::hung_probe if leased_probes,
        "CB-34" half_open::default_lease if leased_probes,
        "CB-35" half_open::expired_probe_is_discarded if leased_probes,
        "CB-36" half_open::slow_probe_reopens if slow_calls_in_any_window,

        "CB-37" generation::late_result_after_trip,
        "CB-121" generation::late_result_of_a_call_that_the_breaker_runs,
        "CB-38" generation::late_failure_while_probing,
        "CB-39" generation::late_failures_after_recovery,
        "CB-40" generation::late_ignored_result if probe_limits,
        "CB-41" generation::late_retry_after,
        "CB-42" generation::probe_of_an_earlier_round,
        "CB-43" generation::reset_discards_calls_in_flight,
        "CB-99" generation::overrides_discard_calls_in_flight if overrides,

        "CB-44" call::results_pass_through,
        "CB-45" call::failures_of_operations_count,
        "CB-46" call::a_timeout_counts_as_a_failure,
        "CB-47" call::configured_timeout_applies,
        "CB-48" call::explicit_timeout_overrides,
        "CB-49" call::timeouts_are_not_classified,
        "CB-50" call::panic_counts,
        "CB-51" call::cancellation_is_ignored,
        "CB-52" call::cancellation_counts_by_policy,
        "CB-53" call::classifier_decides,
        "CB-100" call::the_default_classifier_applies,
        "CB-122" call::calls_that_the_breaker_runs_are_timed if slow_calls,
        "CB-54" call::permits_can_be_recorded_from_any_task,
        "CB-123" completion::recording_never_panics,

        "CB-55" mode::forced_open_stays_open if overrides,
        "CB-56" mode::forced_closed_stays_closed if overrides,
        "CB-57" mode::a_later_override_replaces_an_earlier_one if overrides,
        "CB-58" mode::overrides_take_precedence_over_configuration if overrides,
        "CB-59" mode::reset_starts_over,
        "CB-101" mode::reset_empties_the_window if count_window,
        "CB-102" mode::reset_restarts_the_backoff,
        "CB-103" mode::reset_ends_an_override if overrides,
        "CB-104" mode::reset_keeps_the_configuration,
        "CB-60" mode::a_circuit_starts_in_its_configured_mode if overrides,
        "CB-105" mode::configured_forced_modes_last if overrides,
        "CB-61" mode::metrics_only_never_rejects if metrics_only,
        "CB-119" mode::metrics_only_can_be_configured_while_open if metrics_only,
        "CB-106" mode::metrics_only_results_have_no_effect if metrics_only,
        "CB-62" mode::unknown_circuits_are_not_found,

        "CB-63" configure::keeps_state_and_counters,
        "CB-107" configure::keeps_probes if probe_limits,
        "CB-64" configure::new_thresholds_apply,
        "CB-108" configure::new_call_settings_apply,
        "CB-65" configure::resized_window_keeps_the_newest if count_window,
        "CB-120" configure::a_longer_time_window_keeps_its_calls if time_window,
        "CB-109" configure::another_kind_of_window_is_empty if both_windows,
        "CB-66" configure::invalid_is_refused,
        "CB-67" configure::handles_see_changes,
        "CB-68" configure::creates_the_circuit,

        "CB-69" registry::one_name_one_circuit,
        "CB-70" registry::names_are_isolated,
        "CB-71" registry::executing_creates_the_circuit,
        "CB-72" registry::lists_all_states,
        "CB-73" registry::bad_names_are_refused,
        "CB-74" registry::a_full_registry_evicts_an_unused_circuit if bounded,
        "CB-75" registry::circuits_in_use_are_not_evicted if bounded,
        "CB-110" registry::circuits_out_of_use_are_evicted if bounded,
        "CB-111" registry::metrics_only_circuits_are_evicted if bounded_metrics_only,
        "CB-112" registry::evictions_are_reported if reported_evictions,
        "CB-76" registry::a_full_registry_is_exhausted if bounded,

        "CB-77" metrics::calls_add_up,
        "CB-113" metrics::concurrent_calls_are_all_counted,
        "CB-114" metrics::metrics_only_calls_add_up if metrics_only,
        "CB-78" metrics::time_in_state,
        "CB-79" metrics::transitions_are_kept_in_order,
        "CB-115" metrics::times_are_of_the_wall_clock,
        "CB-80" metrics::transitions_are_bounded,
        "CB-87" metrics::transitions_are_counted if overrides,
        "CB-88" metrics::time_in_each_state,

        "CB-81" events::state_changes_in_order if events,
        "CB-82" events::operations_are_reported if events,
        "CB-116" events::mode_changes_are_reported if reported_overrides,
        "CB-117" events::metrics_only_rejections_are_reported if reported_metrics_only,
        "CB-118" events::times_and_delays_are_real if events,
        "CB-83" events::every_subscriber_gets_all if events,
        "CB-84" events::a_lagging_subscriber_is_notified if known_event_capacity,
        "CB-85" events::subscribers_may_call_back if events,
        "CB-86" events::streams_stay_open if events,
    }
}
