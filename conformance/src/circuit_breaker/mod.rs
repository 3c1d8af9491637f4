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
//! use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig};
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
    /// A fresh breaker without circuits. Its circuits have `config` unless they are configured otherwise.
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

fn capabilities(harness: &Dyn) -> CircuitBreakerCapabilities {
    harness.breaker(CircuitBreakerConfig::new()).capabilities()
}

fn count_window(harness: &Dyn) -> Applies {
    Applies::capability(capabilities(harness).count_window, "count_window")
}

fn time_window(harness: &Dyn) -> Applies {
    Applies::capability(capabilities(harness).time_window, "time_window")
}

fn slow_calls(harness: &Dyn) -> Applies {
    let declared = capabilities(harness);
    Applies::capability(declared.slow_call_rate, "slow_call_rate").and(count_window(harness))
}

fn metrics_only(harness: &Dyn) -> Applies {
    Applies::capability(capabilities(harness).metrics_only, "metrics_only")
}

fn has_events(harness: &Dyn) -> Applies {
    Applies::capability(capabilities(harness).events, "events")
}

fn known_event_capacity(harness: &Dyn) -> Applies {
    has_events(harness).and(Applies::environment(
        harness.event_capacity().is_some(),
        "a known event capacity",
    ))
}

fn bounded(harness: &Dyn) -> Applies {
    let can = harness.bounded_breaker(CircuitBreakerConfig::new(), 1).is_some();
    Applies::environment(can, "a bounded registry")
}

define_suite! {
    ($)
    /// Expands to one `#[test]` per circuit breaker case. The argument is a closure or function that makes the harness,
    /// as an `Arc` of a type that implements
    /// [`CircuitBreakerHarness`](crate::circuit_breaker::CircuitBreakerHarness).
    macro circuit_breaker_conformance;
    domain "breaker" in circuit_breaker;
    harness dyn CircuitBreakerHarness;
    modules { trip, window, rejection, open, half_open, generation, call, completion, mode, configure, registry, metrics, events }
    cases {
        "CB-1" trip::starts_closed,
        "CB-2" trip::consecutive_failures_open,
        "CB-3" trip::success_restarts_the_count,
        "CB-4" trip::ignored_counts_for_nothing,

        "CB-5" window::failure_rate_opens if count_window,
        "CB-6" window::minimum_calls if count_window,
        "CB-7" window::a_success_can_complete_the_minimum if count_window,
        "CB-8" window::window_slides if count_window,
        "CB-9" window::old_failures_leave_the_window if count_window,
        "CB-10" window::recovery_empties_the_window if count_window,
        "CB-11" window::time_window_opens if time_window,
        "CB-12" window::time_window_forgets if time_window,
        "CB-13" window::slow_calls_open if slow_calls,
        "CB-14" window::undeclared_is_unsupported,

        "CB-15" rejection::a_rejected_operation_is_never_built,
        "CB-16" rejection::retry_after_reported,
        "CB-17" rejection::errors_say_when_to_retry,

        "CB-18" open::stays_open_for_its_time,
        "CB-19" open::half_opens_without_a_call,
        "CB-20" open::backs_off_up_to_the_cap,
        "CB-21" open::recovery_restarts_the_backoff,
        "CB-22" open::jitter_stays_in_its_band,
        "CB-23" open::retry_after_lengthens,
        "CB-24" open::retry_after_of_an_earlier_failure_holds,
        "CB-25" open::retry_after_is_capped,
        "CB-26" open::retry_after_of_an_error_counts,

        "CB-27" half_open::concurrent_probes_are_limited,
        "CB-28" half_open::full_slots_reject,
        "CB-29" half_open::success_threshold_closes,
        "CB-30" half_open::failed_probe_reopens,
        "CB-31" half_open::ignored_probe_frees_its_slot,
        "CB-32" half_open::cancelled_probe,
        "CB-33" half_open::hung_probe,
        "CB-34" half_open::default_lease,
        "CB-35" half_open::expired_probe_is_discarded,
        "CB-36" half_open::slow_probe_reopens if slow_calls,

        "CB-37" generation::late_result_after_trip,
        "CB-38" generation::late_failure_while_probing,
        "CB-39" generation::late_failures_after_recovery,
        "CB-40" generation::late_ignored_result,
        "CB-41" generation::late_retry_after,
        "CB-42" generation::probe_of_an_earlier_round,
        "CB-43" generation::reset_discards_calls_in_flight,

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
        "CB-54" call::permits_can_be_recorded_from_any_task,
        "CB-140" completion::recording_never_panics,

        "CB-55" mode::forced_open_stays_open,
        "CB-56" mode::forced_closed_stays_closed,
        "CB-57" mode::a_later_override_replaces_an_earlier_one,
        "CB-58" mode::overrides_take_precedence_over_configuration,
        "CB-59" mode::reset_starts_over,
        "CB-60" mode::a_circuit_starts_in_its_configured_mode,
        "CB-61" mode::metrics_only_never_rejects if metrics_only,
        "CB-62" mode::unknown_circuits_are_not_found,

        "CB-63" configure::keeps_state_and_counters,
        "CB-64" configure::new_thresholds_apply,
        "CB-65" configure::resized_window_keeps_the_newest if count_window,
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
        "CB-76" registry::a_full_registry_is_exhausted if bounded,

        "CB-77" metrics::calls_add_up,
        "CB-78" metrics::time_in_state,
        "CB-79" metrics::transitions_are_kept_in_order,
        "CB-80" metrics::transitions_are_bounded,
        "CB-87" metrics::transitions_are_counted,
        "CB-88" metrics::time_in_each_state,

        "CB-81" events::state_changes_in_order if has_events,
        "CB-82" events::operations_are_reported if has_events,
        "CB-83" events::every_subscriber_gets_all if has_events,
        "CB-84" events::a_lagging_subscriber_is_notified if known_event_capacity,
        "CB-85" events::subscribers_may_call_back if has_events,
        "CB-86" events::streams_stay_open if has_events,
    }
}
