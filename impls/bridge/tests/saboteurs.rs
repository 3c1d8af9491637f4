//! The bridge's cases can fail: each saboteur, the in-process bridge with one fault, is found by exactly the cases that it breaks,
//! and each case finds at least one.

use std::sync::Arc;

use networking_conformance::bridge::{BridgeHarness, suite};
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::bridge::CommunicationBridge;

use crate::saboteur::{Fault, Saboteur};

struct Sabotaged(Fault);

impl Harness for Sabotaged {
    fn backend(&self) -> &'static str {
        "saboteur"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

impl BridgeHarness for Sabotaged {
    fn bridge(&self) -> Arc<dyn CommunicationBridge> {
        Arc::new(Saboteur::new(self.0))
    }
}

#[test]
fn each_fault_is_found_by_exactly_its_cases() {
    suite().assert_catches(Fault::ALL.iter().copied(), cases_that_find, |fault| {
        Arc::new(Sabotaged(fault))
    });
}

#[test]
fn each_case_finds_a_fault() {
    let faults = Fault::ALL.iter().copied();
    suite().assert_every_case_catches(faults.flat_map(cases_that_find).copied());
}

#[test]
fn clauses_and_cases_agree() {
    suite().assert_matches_contract("BRIDGE", include_str!("../../../docs/contract/bridge.md"));
}

/// The cases that each fault breaks, without the domain.
#[allow(clippy::match_same_arms, reason = "a table: one row a fault")]
fn cases_that_find(fault: Fault) -> &'static [&'static str] {
    match fault {
        Fault::AcknowledgesEarly => &[
            "delivery::acknowledges_after_the_sink",
            "delivery::attempts_have_a_time_limit",
            "ending::destroying_finishes_the_work",
            "ending::draining_has_a_deadline",
            "observe::status_counts_messages_in_flight",
            "retry::the_requested_delay_is_kept",
        ],
        Fault::HidesRejections => &[
            "dead_letter::a_failed_dead_lettering_rejects_the_message",
            "dead_letter::large_payloads_are_not_delivered",
            "dead_letter::without_a_target_the_message_is_rejected",
            "delivery::attempts_have_a_time_limit",
            "delivery::every_message_is_settled_once",
            "ending::a_panic_of_the_sink_is_an_error",
            "ending::draining_has_a_deadline",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "observe::health_reports_failures",
            "observe::status_shows_the_latest_error",
            "retry::attempts_are_bounded",
            "retry::permanent_failures_are_not_retried",
            "retry::a_delay_beyond_the_maximum_ends_the_retries",
            "routing::unmatched_messages_are_dead_lettered",
        ],
        Fault::LosesAnswers => &[
            "delivery::every_message_is_settled_once",
            "delivery::keyless_messages_are_delivered_concurrently",
            "delivery::order_by_key",
            "delivery::deliveries_in_flight_are_bounded",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::TrimsPayloads => &["delivery::byte_for_byte"],
        Fault::LosesRepeatedHeaders => &["delivery::byte_for_byte"],
        Fault::LosesKeys => &[
            "dead_letter::undeliverable_messages_are_dead_lettered",
            "delivery::byte_for_byte",
            "delivery::order_by_key",
        ],
        Fault::LosesPositions => &["delivery::receipts_describe_the_delivery"],
        Fault::LosesRules => &[
            "dead_letter::a_rule_can_dead_letter",
            "flow::sent_messages_are_processed_like_received_ones",
            "routing::dropped_messages_are_acknowledged",
            "routing::the_first_match_decides",
        ],
        Fault::MiscountsAttempts => &[
            "delivery::attempts_have_a_time_limit",
            "retry::transient_failures_are_retried",
        ],
        Fault::IgnoresMaxInFlight => &[
            "delivery::deliveries_in_flight_are_bounded",
            "flow::sent_messages_count_as_in_flight",
            "lifecycle::wrong_configurations_are_refused",
        ],
        Fault::OneAtATime => &[
            "delivery::a_blocked_key_blocks_no_other",
            "delivery::keyless_messages_are_delivered_concurrently",
            "delivery::deliveries_in_flight_are_bounded",
            "ending::a_permanent_source_error_fails_the_bridge",
            "observe::status_counts_messages_in_flight",
        ],
        Fault::OneLane => &[
            "delivery::a_blocked_key_blocks_no_other",
            "delivery::keyless_messages_are_delivered_concurrently",
            "delivery::deliveries_in_flight_are_bounded",
            "routing::conditions_see_the_message",
        ],
        Fault::IgnoresKeys => &["delivery::order_by_key", "routing::conditions_see_the_message"],
        Fault::IgnoresDeliveryTimeout => &["delivery::attempts_have_a_time_limit"],
        Fault::NeverRetries => &[
            "dead_letter::dead_letters_say_why",
            "dead_letter::undeliverable_messages_are_dead_lettered",
            "delivery::attempts_have_a_time_limit",
            "delivery::order_by_key",
            "flow::sent_messages_are_processed_like_received_ones",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "retry::attempts_are_bounded",
            "retry::transient_failures_are_retried",
            "retry::the_requested_delay_is_kept",
        ],
        Fault::RetriesTooOften => &[
            "dead_letter::a_failed_dead_lettering_rejects_the_message",
            "dead_letter::dead_letters_say_why",
            "dead_letter::undeliverable_messages_are_dead_lettered",
            "delivery::attempts_have_a_time_limit",
            "flow::sent_messages_are_processed_like_received_ones",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "retry::attempts_are_bounded",
        ],
        Fault::RetriesEverything => &[
            "dead_letter::a_failed_dead_lettering_rejects_the_message",
            "dead_letter::without_a_target_the_message_is_rejected",
            "flow::sending_returns_the_sinks_error",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "observe::health_reports_failures",
            "observe::status_shows_the_latest_error",
            "retry::permanent_failures_are_not_retried",
        ],
        Fault::IgnoresRetryAfter => &[
            "retry::a_delay_beyond_the_maximum_ends_the_retries",
            "retry::the_requested_delay_is_kept",
        ],
        Fault::CutsLongWaits => &["retry::a_delay_beyond_the_maximum_ends_the_retries"],
        Fault::IgnoresTheGrave => &[
            "dead_letter::a_failed_dead_lettering_rejects_the_message",
            "dead_letter::a_rule_can_dead_letter",
            "dead_letter::dead_letters_say_why",
            "dead_letter::large_payloads_are_not_delivered",
            "dead_letter::undeliverable_messages_are_dead_lettered",
            "flow::sent_messages_are_processed_like_received_ones",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::an_error_can_dead_letter",
            "routing::unmatched_messages_are_dead_lettered",
        ],
        Fault::SilentDeadLetters => &[
            "dead_letter::a_rule_can_dead_letter",
            "dead_letter::dead_letters_say_why",
            "dead_letter::large_payloads_are_not_delivered",
            "routing::an_error_can_dead_letter",
            "routing::unmatched_messages_are_dead_lettered",
        ],
        Fault::KeepsOldReasons => &["dead_letter::dead_letters_say_why"],
        Fault::StripsDeadLetters => &["dead_letter::undeliverable_messages_are_dead_lettered"],
        Fault::IgnoresMaxPayloadSize => &[
            "dead_letter::large_payloads_are_not_delivered",
            "flow::sending_checks_the_message",
        ],
        Fault::LastMatchDecides => &[
            "routing::an_error_can_dead_letter",
            "routing::an_error_is_no_match",
            "routing::the_first_match_decides",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::IgnoresTheDefaultTarget => &[
            "flow::sent_messages_are_processed_like_received_ones",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::only_booleans_match",
            "routing::unmatched_messages_go_to_the_default_target",
        ],
        Fault::DeliversDropped => &[
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::dropped_messages_are_acknowledged",
        ],
        Fault::DeliversDeadLetters => &[
            "dead_letter::a_rule_can_dead_letter",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::HidesHeadersFromConditions => &["routing::conditions_see_the_message"],
        Fault::HidesTheContentType => &["routing::conditions_see_the_message"],
        Fault::BreaksArithmetic => &["routing::integers_support_arithmetic"],
        Fault::SwapsOnError => &[
            "flow::sent_messages_are_processed_like_received_ones",
            "routing::an_error_can_dead_letter",
            "routing::an_error_is_no_match",
            "routing::only_booleans_match",
            "routing::other_payloads_are_null",
        ],
        Fault::HidesConditionErrors => &["routing::an_error_is_no_match", "routing::only_booleans_match"],
        Fault::TakesAnythingForTrue => &["routing::only_booleans_match"],
        Fault::MakesObjectsOfGarbage => &["routing::other_payloads_are_null"],
        Fault::KeepsOldRouting => &[
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::routing_can_be_replaced",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::AcceptsWrongRouting => &[
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::ForgetsFormerRouting => &[
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::NamesNoField => &["routing::wrong_routing_changes_nothing"],
        Fault::RefusesHostileRudely => &["routing::hostile_conditions_are_refused_or_fail"],
        Fault::PausesInName => &[
            "flow::a_paused_bridge_receives_nothing",
            "flow::sending_through_a_paused_bridge_is_closed",
        ],
        Fault::ResumesInName => &[
            "flow::pausing_twice_is_no_error",
            "flow::a_resumed_bridge_continues",
            "flow::sending_through_a_paused_bridge_is_closed",
        ],
        Fault::PausesOnce => &["flow::pausing_twice_is_no_error"],
        Fault::ResumesByRestart => &["flow::a_resumed_bridge_continues"],
        Fault::SendsPastTheRules => &[
            "flow::sending_checks_the_message",
            "flow::sent_messages_count_as_in_flight",
            "flow::sent_messages_are_processed_like_received_ones",
        ],
        Fault::HidesSendErrors => &["flow::sending_returns_the_sinks_error"],
        Fault::SendsThroughPaused => &["flow::sending_through_a_paused_bridge_is_closed"],
        Fault::SendsUnchecked => &[
            "flow::sending_checks_the_message",
            "flow::sent_messages_are_processed_like_received_ones",
        ],
        Fault::SendsUnbounded => &["flow::sent_messages_count_as_in_flight"],
        Fault::DestroysAtOnce => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "ending::destroying_delivers_what_the_source_holds",
            "ending::draining_has_a_deadline",
        ],
        Fault::LeavesTheRest => &["ending::destroying_delivers_what_the_source_holds"],
        Fault::DrainsForEver => &["ending::draining_has_a_deadline"],
        Fault::LeavesTheSinkRunning => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "ending::draining_has_a_deadline",
            "lifecycle::a_failed_start_is_undone",
        ],
        Fault::LeavesTheSourceRunning => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "lifecycle::a_failed_start_is_undone",
        ],
        Fault::RemembersDestroyed => &[
            "ending::destroying_finishes_the_work",
            "ending::destroying_delivers_what_the_source_holds",
            "ending::draining_has_a_deadline",
            "lifecycle::names_are_unique",
            "lifecycle::all_bridges_by_name",
        ],
        Fault::SharesNames => &[
            "dead_letter::dead_letters_say_why",
            "lifecycle::names_are_unique",
            "lifecycle::wrong_configurations_are_refused",
        ],
        Fault::StartsTwice => &["lifecycle::starts_running"],
        Fault::IgnoresStartErrors => &["lifecycle::a_failed_start_is_undone"],
        Fault::CorrectsConfigurations => &["lifecycle::wrong_configurations_are_refused"],
        Fault::KnowsEverybody => &[
            "ending::draining_has_a_deadline",
            "lifecycle::unknown_ids_are_not_found",
        ],
        Fault::ListsById => &["lifecycle::all_bridges_by_name"],
        Fault::ListsWrongStates => &["lifecycle::all_bridges_by_name"],
        Fault::FailsOnEveryError => &["ending::transient_source_errors_do_not_stop_the_bridge"],
        Fault::NeverFails => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "observe::health_reports_failures",
        ],
        Fault::FailsAtTheEnd => &["ending::a_source_that_ends_stops_the_bridge"],
        Fault::SwallowsPanics => &["ending::a_panic_of_the_sink_is_an_error"],
        Fault::HangsOnPanic => &["ending::a_panic_of_the_sink_is_an_error"],
        Fault::CountsTwice => &[
            "flow::sent_messages_are_processed_like_received_ones",
            "observe::counters_add_up",
        ],
        Fault::ForgetsTargets => &["observe::counters_by_target_and_rule"],
        Fault::HidesTheWork => &["observe::status_counts_messages_in_flight"],
        Fault::HidesTheLatestError => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "ending::transient_source_errors_do_not_stop_the_bridge",
            "observe::status_shows_the_latest_error",
        ],
        Fault::AlwaysUp => &[
            "observe::health_is_the_worse_of_both_ends",
            "observe::health_reports_failures",
        ],
        Fault::LooksAtTheSourceOnly => &[
            "observe::health_is_the_worse_of_both_ends",
            "observe::health_reports_failures",
        ],
        Fault::HidesTheErrorShare => &["observe::health_reports_failures"],
        Fault::HidesPause => &["lifecycle::undeclared_is_unsupported"],
    }
}
