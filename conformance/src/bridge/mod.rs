//! The bridge's clauses (`docs/contract/bridge.md`), one case each.
//!
//! Implement [`BridgeHarness`] and run [`suite`], or expand [`bridge_conformance!`](crate::bridge_conformance) to one
//! `#[test]` per case. The suite brings its own source and sink.

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

use crate::case::{Applies, Harness};
use crate::suite::define_suite;

/// Makes bridges for the cases.
///
/// Endpoints of the suite wait on tokio's clock and wakers only. A backend that lives in memory and does the same runs its
/// cases with [`PausedClock`](crate::CaseRuntime::PausedClock), in no time.
pub trait BridgeHarness: Harness {
    /// A fresh one without bridges. Called inside the case's runtime.
    fn bridge(&self) -> Arc<dyn CommunicationBridge>;
}

type Dyn = dyn BridgeHarness;

fn capabilities(harness: &Dyn) -> BridgeCapabilities {
    harness.bridge().capabilities()
}

fn has_routing(harness: &Dyn) -> Applies {
    Applies::capability(capabilities(harness).routing, "routing")
}

fn has_dead_letters(harness: &Dyn) -> Applies {
    Applies::capability(capabilities(harness).dead_letters, "dead_letters")
}

fn has_both(harness: &Dyn) -> Applies {
    has_routing(harness).and(has_dead_letters(harness))
}

fn has_pause(harness: &Dyn) -> Applies {
    Applies::capability(capabilities(harness).pause, "pause")
}

fn has_order(harness: &Dyn) -> Applies {
    Applies::capability(capabilities(harness).ordering_by_key, "ordering_by_key")
}

define_suite! {
    ($)
    /// One `#[test]` per bridge case, against the bridges of the harness that the given function makes.
    ///
    /// ```ignore
    /// mod my_bridge {
    ///     networking_conformance::bridge_conformance!(|| std::sync::Arc::new(super::MyHarness));
    /// }
    /// ```
    macro bridge_conformance;
    domain "bridge" in bridge;
    harness dyn BridgeHarness;
    cases {
        "BRIDGE-1" lifecycle::starts_running,
        "BRIDGE-2" lifecycle::a_name_is_used_once,
        "BRIDGE-3" lifecycle::wrong_configurations_are_refused if has_routing,
        "BRIDGE-4" lifecycle::a_failed_start_leaves_nothing,
        "BRIDGE-5" lifecycle::unknown_ids,
        "BRIDGE-6" lifecycle::all_bridges_by_name,
        "BRIDGE-7" lifecycle::undeclared_is_unsupported,

        "BRIDGE-8" delivery::acknowledges_after_the_sink,
        "BRIDGE-9" delivery::byte_for_byte,
        "BRIDGE-10" delivery::receipts_say_where,
        "BRIDGE-11" delivery::work_is_bounded,
        "BRIDGE-12" delivery::keyless_messages_run_side_by_side,
        "BRIDGE-13" delivery::order_by_key if has_order,
        "BRIDGE-14" delivery::a_stuck_key_holds_up_no_other,
        "BRIDGE-15" delivery::attempts_have_a_time_limit,
        "BRIDGE-16" delivery::every_message_is_answered_for,

        "BRIDGE-17" retry::transient_failures_are_tried_again,
        "BRIDGE-18" retry::attempts_are_bounded,
        "BRIDGE-19" retry::final_failures_are_not,
        "BRIDGE-20" retry::waits_as_asked,
        "BRIDGE-21" retry::never_sooner_than_asked,

        "BRIDGE-22" dead_letter::without_target_the_source_is_told,
        "BRIDGE-23" dead_letter::undeliverable_messages_are_kept if has_dead_letters,
        "BRIDGE-24" dead_letter::dead_letters_say_why if has_both,
        "BRIDGE-25" dead_letter::a_failed_burial_is_told if has_dead_letters,
        "BRIDGE-26" dead_letter::large_payloads_are_not_delivered if has_dead_letters,
        "BRIDGE-27" dead_letter::a_rule_can_send_there if has_both,

        "BRIDGE-28" routing::the_first_match_decides if has_both,
        "BRIDGE-29" routing::the_default_target_takes_the_rest if has_both,
        "BRIDGE-30" routing::what_nobody_wants_is_kept if has_both,
        "BRIDGE-31" routing::drop_acknowledges if has_both,
        "BRIDGE-32" routing::conditions_see_the_message if has_both,
        "BRIDGE-33" routing::numbers_are_numbers if has_both,
        "BRIDGE-34" routing::an_error_is_no_match if has_both,
        "BRIDGE-35" routing::an_error_can_send_to_the_dead if has_both,
        "BRIDGE-36" routing::only_booleans_match if has_both,
        "BRIDGE-37" routing::other_payloads_are_null if has_both,
        "BRIDGE-38" routing::routing_can_be_replaced if has_both,
        "BRIDGE-39" routing::wrong_routing_changes_nothing if has_routing,
        "BRIDGE-40" routing::hostile_conditions_do_no_harm if has_both,

        "BRIDGE-41" flow::paused_takes_nothing if has_pause,
        "BRIDGE-42" flow::resumed_goes_on if has_pause,
        "BRIDGE-43" flow::pausing_twice_is_no_error if has_pause,
        "BRIDGE-44" flow::sent_messages_take_the_same_way if has_both,
        "BRIDGE-45" flow::sending_tells_the_sinks_error,
        "BRIDGE-46" flow::sending_through_a_paused_bridge if has_pause,
        "BRIDGE-47" flow::sending_checks_the_message,
        "BRIDGE-48" flow::sending_shares_the_bound,

        "BRIDGE-49" ending::destroying_finishes_the_work,
        "BRIDGE-50" ending::destroying_takes_what_the_source_holds,
        "BRIDGE-51" ending::draining_has_a_deadline if has_dead_letters,
        "BRIDGE-52" ending::passing_source_errors_are_survived,
        "BRIDGE-53" ending::a_final_source_error_fails_the_bridge,
        "BRIDGE-54" ending::a_source_that_ends_stops_the_bridge,
        "BRIDGE-55" ending::a_panic_of_the_sink_is_an_error,

        "BRIDGE-56" observe::counters_add_up if has_both,
        "BRIDGE-57" observe::counters_by_target_and_rule if has_both,
        "BRIDGE-58" observe::status_counts_the_work,
        "BRIDGE-59" observe::status_shows_the_latest_error,
        "BRIDGE-60" observe::health_is_the_worse_of_both_ends,
        "BRIDGE-61" observe::health_looks_at_failures,
    }
}
