//! The bridge suite, for [`CommunicationBridge`].
//!
//! The clauses are in `docs/contract/bridge.md`. Implement [`BridgeHarness`], and run [`suite`] or expand
//! [`bridge_conformance!`](crate::bridge_conformance). The source and the sink of the bridges are part of the suite.
//!
//! ```
//! use std::sync::Arc;
//! use networking_conformance::bridge::BridgeHarness;
//!
//! # fn my_harness() -> Arc<dyn BridgeHarness> { unreachable!("the example is only compiled") }
//! networking_conformance::bridge_conformance!(my_harness);
//! ```

mod dead_letter;
mod delivery;
mod ending;
mod flow;
mod lifecycle;
mod observe;
mod retry;
mod routing;
mod scene;
mod sink;
mod source;

use std::sync::Arc;

use networking_spi::bridge::{BridgeCapabilities, CommunicationBridge};

use crate::kit::define_suite;
use crate::kit::{Applies, Harness};

/// Makes bridges for the cases.
///
/// The suite's source and sink wait only for tokio's timers and channels. If the backend does the same, its cases can
/// run with [`PausedClock`](crate::CaseRuntime::PausedClock), without waiting in real time.
pub trait BridgeHarness: Harness {
    /// What the author of the bridge knows that it supports. The cases of other capabilities are reported as unsupported.
    ///
    /// Write it out as a constant, and do not ask an instance. A case compares it with what the instances declare: a bridge
    /// that loses a feature then fails, in place of passing with fewer cases.
    ///
    /// ```
    /// use networking_spi::bridge::BridgeCapabilities;
    ///
    /// const SUPPORTED: BridgeCapabilities = {
    ///     let mut supported = BridgeCapabilities::none();
    ///     supported.pause = true;
    ///     supported
    /// };
    /// # let harness = || -> &'static BridgeCapabilities { &SUPPORTED };
    /// # assert!(harness().pause);
    /// ```
    fn capabilities(&self) -> &'static BridgeCapabilities;

    /// A fresh instance without bridges. Called inside the case's runtime.
    fn bridge(&self) -> Arc<dyn CommunicationBridge>;
}

type Dyn = dyn BridgeHarness;

fn has_routing(harness: &Dyn) -> Applies {
    Applies::capability(harness.capabilities().routing, "routing")
}

fn has_dead_letters(harness: &Dyn) -> Applies {
    Applies::capability(harness.capabilities().dead_letters, "dead_letters")
}

fn has_both(harness: &Dyn) -> Applies {
    has_routing(harness).and(has_dead_letters(harness))
}

fn has_pause(harness: &Dyn) -> Applies {
    Applies::capability(harness.capabilities().pause, "pause")
}

fn has_order(harness: &Dyn) -> Applies {
    Applies::capability(harness.capabilities().ordering_by_key, "ordering_by_key")
}

define_suite! {
    ($)
    /// Expands to one `#[test]` per bridge case. The argument is a closure or function that makes the harness: a
    /// type that implements [`BridgeHarness`](crate::bridge::BridgeHarness), or an `Arc` of it.
    macro bridge_conformance;
    domain "bridge" in bridge;
    harness dyn BridgeHarness;
    modules { lifecycle, delivery, retry, dead_letter, routing, flow, ending, observe }
    cases {
        "BRIDGE-1" lifecycle::starts_running,
        "BRIDGE-2" lifecycle::names_are_unique,
        "BRIDGE-3" lifecycle::wrong_configurations_are_refused if has_routing,
        "BRIDGE-4" lifecycle::a_failed_start_is_undone,
        "BRIDGE-5" lifecycle::unknown_ids_are_not_found,
        "BRIDGE-6" lifecycle::all_bridges_by_name,
        "BRIDGE-7" lifecycle::undeclared_is_unsupported,
        "BRIDGE-63" lifecycle::bridge_and_harness_agree,

        "BRIDGE-8" delivery::acknowledges_after_the_sink,
        "BRIDGE-9" delivery::byte_for_byte,
        "BRIDGE-10" delivery::receipts_describe_the_delivery,
        "BRIDGE-11" delivery::deliveries_in_flight_are_bounded,
        "BRIDGE-12" delivery::keyless_messages_are_delivered_concurrently,
        "BRIDGE-13" delivery::order_by_key if has_order,
        "BRIDGE-14" delivery::a_blocked_key_blocks_no_other,
        "BRIDGE-15" delivery::attempts_have_a_time_limit,
        "BRIDGE-16" delivery::every_message_is_settled_once,

        "BRIDGE-17" retry::transient_failures_are_retried,
        "BRIDGE-18" retry::attempts_are_bounded,
        "BRIDGE-19" retry::permanent_failures_are_not_retried,
        "BRIDGE-20" retry::the_requested_delay_is_kept,
        "BRIDGE-21" retry::a_delay_beyond_the_maximum_ends_the_retries,

        "BRIDGE-22" dead_letter::without_a_target_the_message_is_rejected,
        "BRIDGE-23" dead_letter::undeliverable_messages_are_dead_lettered if has_dead_letters,
        "BRIDGE-24" dead_letter::dead_letters_say_why if has_both,
        "BRIDGE-25" dead_letter::a_failed_dead_lettering_rejects_the_message if has_dead_letters,
        "BRIDGE-26" dead_letter::large_payloads_are_not_delivered if has_dead_letters,
        "BRIDGE-27" dead_letter::a_rule_can_dead_letter if has_both,

        "BRIDGE-28" routing::the_first_match_decides if has_both,
        "BRIDGE-29" routing::unmatched_messages_go_to_the_default_target if has_both,
        "BRIDGE-30" routing::unmatched_messages_are_dead_lettered if has_both,
        "BRIDGE-31" routing::dropped_messages_are_acknowledged if has_both,
        "BRIDGE-32" routing::conditions_see_the_message if has_both,
        "BRIDGE-33" routing::integers_support_arithmetic if has_both,
        "BRIDGE-34" routing::an_error_is_no_match if has_both,
        "BRIDGE-35" routing::an_error_can_dead_letter if has_both,
        "BRIDGE-36" routing::only_booleans_match if has_both,
        "BRIDGE-37" routing::other_payloads_are_null if has_both,
        "BRIDGE-38" routing::routing_can_be_replaced if has_both,
        "BRIDGE-39" routing::wrong_routing_changes_nothing if has_routing,
        "BRIDGE-40" routing::hostile_conditions_are_refused_or_fail if has_both,

        "BRIDGE-41" flow::a_paused_bridge_receives_nothing if has_pause,
        "BRIDGE-42" flow::a_resumed_bridge_continues if has_pause,
        "BRIDGE-43" flow::pausing_twice_is_no_error if has_pause,
        "BRIDGE-44" flow::sent_messages_are_processed_like_received_ones if has_both,
        "BRIDGE-45" flow::sending_returns_the_sinks_error,
        "BRIDGE-46" flow::sending_through_a_paused_bridge_is_closed if has_pause,
        "BRIDGE-47" flow::sending_checks_the_message,
        "BRIDGE-48" flow::sent_messages_count_as_in_flight,

        "BRIDGE-49" ending::destroying_finishes_the_work,
        "BRIDGE-50" ending::destroying_delivers_what_the_source_holds,
        "BRIDGE-51" ending::draining_has_a_deadline if has_dead_letters,
        "BRIDGE-52" ending::transient_source_errors_do_not_stop_the_bridge,
        "BRIDGE-53" ending::a_permanent_source_error_fails_the_bridge,
        "BRIDGE-54" ending::a_source_that_ends_stops_the_bridge,
        "BRIDGE-55" ending::a_panic_of_the_sink_is_an_error,

        "BRIDGE-56" observe::counters_add_up if has_both,
        "BRIDGE-57" observe::counters_by_target_and_rule if has_both,
        "BRIDGE-58" observe::status_counts_messages_in_flight,
        "BRIDGE-59" observe::status_shows_the_latest_error,
        "BRIDGE-60" observe::health_is_the_worse_of_both_ends,
        "BRIDGE-61" observe::health_reports_failures,

        "BRIDGE-62" routing::rules_can_be_replaced_alone if has_both,
    }
}
