//! The circuit breaker's clauses (`docs/contract/circuit_breaker.md`), one case each.
//!
//! Implement [`CircuitBreakerHarness`], and expand
//! [`circuit_breaker_conformance!`](crate::circuit_breaker_conformance) to one `#[test]` per case, or hand [`suite`] to the
//! runner:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use networking_conformance::circuit_breaker::CircuitBreakerHarness;
//! use networking_conformance::circuit_breaker::model::ModelBreaker as MyBreaker;
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
//!
//! [`model`] has a second implementation of the contract. It is the oracle of property tests and, with a
//! [`Defect`](model::Defect), the proof that each case can fail.

mod call;
mod configure;
mod events;
mod generation;
mod half_open;
mod metrics;
mod mode;
pub mod model;
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

use crate::case::{Applies, Harness};
use crate::suite::define_suite;

/// Makes circuit breakers for the cases, and moves their clock.
///
/// Cases take seconds of the breaker's time. Where they are real ones, [`runtime`](Harness::runtime) is
/// [`MultiThread`](crate::CaseRuntime::MultiThread) and [`advance`](Self::advance) sleeps; with
/// [`PausedClock`](crate::CaseRuntime::PausedClock) it calls `tokio::time::advance`.
#[async_trait]
pub trait CircuitBreakerHarness: Harness {
    /// A fresh breaker without circuits, whose circuits have `config` unless they are configured otherwise.
    fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker>;

    /// As [`breaker`](Self::breaker), with room for no more than `max_circuits`. `None` where that cannot be set.
    fn bounded_breaker(&self, config: CircuitBreakerConfig, max_circuits: usize) -> Option<Arc<dyn CircuitBreaker>>;

    /// How many events are kept for a subscriber that does not read. `None` where the breaker has no events, or where
    /// there are too many to fill it up.
    fn event_capacity(&self) -> Option<usize>;

    /// Returns when so much of the breaker's time has passed.
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
    /// One `#[test]` per circuit breaker case, against the breakers of the harness that the given function makes. See
    /// [`circuit_breaker`](crate::circuit_breaker).
    macro circuit_breaker_conformance;
    domain "breaker" in circuit_breaker;
    harness dyn CircuitBreakerHarness;
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

        "CB-15" rejection::rejected_never_builds,
        "CB-16" rejection::retry_after_reported,
        "CB-17" rejection::errors_say_what_to_do,

        "CB-18" open::stays_open_for_its_time,
        "CB-19" open::half_opens_unasked,
        "CB-20" open::backs_off_up_to_the_cap,
        "CB-21" open::recovery_restarts_the_backoff,
        "CB-22" open::jitter_stays_in_its_band,
        "CB-23" open::retry_after_lengthens,
        "CB-24" open::retry_after_of_an_earlier_failure_holds,
        "CB-25" open::retry_after_is_capped,
        "CB-26" open::retry_after_of_an_error_counts,

        "CB-27" half_open::stampede,
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
        "CB-46" call::timeout_inside_counts,
        "CB-47" call::configured_timeout_applies,
        "CB-48" call::explicit_timeout_overrides,
        "CB-49" call::timeouts_are_not_classified,
        "CB-50" call::panic_counts,
        "CB-51" call::cancellation_is_ignored,
        "CB-52" call::cancellation_counts_by_policy,
        "CB-53" call::classifier_decides,
        "CB-54" call::permits_outlive_their_task,

        "CB-55" mode::forced_open_is_sticky,
        "CB-56" mode::forced_closed_is_sticky,
        "CB-57" mode::orders_replace_each_other,
        "CB-58" mode::orders_outlive_configuration,
        "CB-59" mode::reset_starts_over,
        "CB-60" mode::configured_mode_is_where_it_starts,
        "CB-61" mode::metrics_only_never_rejects if metrics_only,
        "CB-62" mode::unknown_circuits_are_not_found,

        "CB-63" configure::keeps_state_and_counters,
        "CB-64" configure::new_thresholds_apply,
        "CB-65" configure::resized_window_keeps_the_newest if count_window,
        "CB-66" configure::invalid_is_refused,
        "CB-67" configure::handles_follow,
        "CB-68" configure::makes_the_circuit,

        "CB-69" registry::one_name_one_circuit,
        "CB-70" registry::names_are_isolated,
        "CB-71" registry::executing_makes_the_circuit,
        "CB-72" registry::lists_all_states,
        "CB-73" registry::bad_names_are_refused,
        "CB-74" registry::full_registry_makes_room if bounded,
        "CB-75" registry::full_registry_keeps_what_matters if bounded,
        "CB-76" registry::full_registry_refuses if bounded,

        "CB-77" metrics::calls_add_up,
        "CB-78" metrics::time_in_state,
        "CB-79" metrics::transitions_are_kept_in_order,
        "CB-80" metrics::transitions_are_bounded,
        "CB-87" metrics::transitions_are_counted,
        "CB-88" metrics::time_in_each_state,

        "CB-81" events::state_changes_in_order if has_events,
        "CB-82" events::operations_are_reported if has_events,
        "CB-83" events::every_subscriber_gets_all if has_events,
        "CB-84" events::slow_subscriber_is_told if known_event_capacity,
        "CB-85" events::subscribers_may_call_back if has_events,
        "CB-86" events::streams_stay_open if has_events,
    }
}
