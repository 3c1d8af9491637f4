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
    suite().assert_every_case_bites(faults.flat_map(cases_that_find).copied());
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
            "observe::status_counts_the_work",
            "retry::waits_as_asked",
        ],
        Fault::HidesRejections => &[
            "dead_letter::a_failed_burial_is_told",
            "dead_letter::large_payloads_are_not_delivered",
            "dead_letter::without_target_the_source_is_told",
            "delivery::attempts_have_a_time_limit",
            "delivery::every_message_is_answered_for",
            "ending::a_panic_of_the_sink_is_an_error",
            "ending::draining_has_a_deadline",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "observe::health_looks_at_failures",
            "observe::status_shows_the_latest_error",
            "retry::attempts_are_bounded",
            "retry::final_failures_are_not",
            "retry::never_sooner_than_asked",
            "routing::what_nobody_wants_is_kept",
        ],
        Fault::LosesAnswers => &[
            "delivery::every_message_is_answered_for",
            "delivery::keyless_messages_run_side_by_side",
            "delivery::order_by_key",
            "delivery::work_is_bounded",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::hostile_conditions_do_no_harm",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::TrimsPayloads => &["delivery::byte_for_byte"],
        Fault::LosesRepeatedHeaders => &["delivery::byte_for_byte"],
        Fault::LosesKeys => &[
            "dead_letter::undeliverable_messages_are_kept",
            "delivery::byte_for_byte",
            "delivery::order_by_key",
        ],
        Fault::LosesPositions => &["delivery::receipts_say_where"],
        Fault::LosesRules => &[
            "dead_letter::a_rule_can_send_there",
            "flow::sent_messages_take_the_same_way",
            "routing::drop_acknowledges",
            "routing::the_first_match_decides",
        ],
        Fault::MiscountsAttempts => &[
            "delivery::attempts_have_a_time_limit",
            "retry::transient_failures_are_tried_again",
        ],
        Fault::IgnoresMaxInFlight => &[
            "delivery::work_is_bounded",
            "flow::sending_shares_the_bound",
            "lifecycle::wrong_configurations_are_refused",
        ],
        Fault::OneAtATime => &[
            "delivery::a_stuck_key_holds_up_no_other",
            "delivery::keyless_messages_run_side_by_side",
            "delivery::work_is_bounded",
            "ending::a_final_source_error_fails_the_bridge",
            "observe::status_counts_the_work",
        ],
        Fault::OneLane => &[
            "delivery::a_stuck_key_holds_up_no_other",
            "delivery::keyless_messages_run_side_by_side",
            "delivery::work_is_bounded",
            "routing::conditions_see_the_message",
        ],
        Fault::IgnoresKeys => &["delivery::order_by_key", "routing::conditions_see_the_message"],
        Fault::IgnoresDeliveryTimeout => &["delivery::attempts_have_a_time_limit"],
        Fault::NeverRetries => &[
            "dead_letter::dead_letters_say_why",
            "dead_letter::undeliverable_messages_are_kept",
            "delivery::attempts_have_a_time_limit",
            "delivery::order_by_key",
            "flow::sent_messages_take_the_same_way",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "retry::attempts_are_bounded",
            "retry::transient_failures_are_tried_again",
            "retry::waits_as_asked",
        ],
        Fault::RetriesTooOften => &[
            "dead_letter::a_failed_burial_is_told",
            "dead_letter::dead_letters_say_why",
            "dead_letter::undeliverable_messages_are_kept",
            "delivery::attempts_have_a_time_limit",
            "flow::sent_messages_take_the_same_way",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "retry::attempts_are_bounded",
        ],
        Fault::RetriesEverything => &[
            "dead_letter::a_failed_burial_is_told",
            "dead_letter::without_target_the_source_is_told",
            "flow::sending_tells_the_sinks_error",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "observe::health_looks_at_failures",
            "observe::status_shows_the_latest_error",
            "retry::final_failures_are_not",
        ],
        Fault::IgnoresRetryAfter => &["retry::never_sooner_than_asked", "retry::waits_as_asked"],
        Fault::CutsLongWaits => &["retry::never_sooner_than_asked"],
        Fault::IgnoresTheGrave => &[
            "dead_letter::a_failed_burial_is_told",
            "dead_letter::a_rule_can_send_there",
            "dead_letter::dead_letters_say_why",
            "dead_letter::large_payloads_are_not_delivered",
            "dead_letter::undeliverable_messages_are_kept",
            "flow::sent_messages_take_the_same_way",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::an_error_can_send_to_the_dead",
            "routing::what_nobody_wants_is_kept",
        ],
        Fault::SilentDeadLetters => &[
            "dead_letter::a_rule_can_send_there",
            "dead_letter::dead_letters_say_why",
            "dead_letter::large_payloads_are_not_delivered",
            "routing::an_error_can_send_to_the_dead",
            "routing::what_nobody_wants_is_kept",
        ],
        Fault::KeepsOldReasons => &["dead_letter::dead_letters_say_why"],
        Fault::StripsDeadLetters => &["dead_letter::undeliverable_messages_are_kept"],
        Fault::IgnoresMaxPayloadSize => &[
            "dead_letter::large_payloads_are_not_delivered",
            "flow::sending_checks_the_message",
        ],
        Fault::LastMatchDecides => &[
            "routing::an_error_can_send_to_the_dead",
            "routing::an_error_is_no_match",
            "routing::the_first_match_decides",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::IgnoresTheDefaultTarget => &[
            "flow::sent_messages_take_the_same_way",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::hostile_conditions_do_no_harm",
            "routing::only_booleans_match",
            "routing::the_default_target_takes_the_rest",
        ],
        Fault::DeliversDropped => &[
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::drop_acknowledges",
        ],
        Fault::DeliversDeadLetters => &[
            "dead_letter::a_rule_can_send_there",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::HidesHeadersFromConditions => &["routing::conditions_see_the_message"],
        Fault::HidesTheContentType => &["routing::conditions_see_the_message"],
        Fault::BreaksArithmetic => &["routing::numbers_are_numbers"],
        Fault::SwapsOnError => &[
            "flow::sent_messages_take_the_same_way",
            "routing::an_error_can_send_to_the_dead",
            "routing::an_error_is_no_match",
            "routing::only_booleans_match",
            "routing::other_payloads_are_null",
        ],
        Fault::HidesConditionErrors => &["routing::an_error_is_no_match", "routing::only_booleans_match"],
        Fault::TakesAnythingForTrue => &["routing::only_booleans_match"],
        Fault::MakesObjectsOfGarbage => &["routing::other_payloads_are_null"],
        Fault::KeepsOldRouting => &[
            "routing::hostile_conditions_do_no_harm",
            "routing::routing_can_be_replaced",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::AcceptsWrongRouting => &[
            "routing::hostile_conditions_do_no_harm",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::ForgetsFormerRouting => &[
            "routing::hostile_conditions_do_no_harm",
            "routing::wrong_routing_changes_nothing",
        ],
        Fault::NamesNoField => &["routing::wrong_routing_changes_nothing"],
        Fault::RefusesHostileRudely => &["routing::hostile_conditions_do_no_harm"],
        Fault::PausesInName => &["flow::paused_takes_nothing", "flow::sending_through_a_paused_bridge"],
        Fault::ResumesInName => &[
            "flow::pausing_twice_is_no_error",
            "flow::resumed_goes_on",
            "flow::sending_through_a_paused_bridge",
        ],
        Fault::PausesOnce => &["flow::pausing_twice_is_no_error"],
        Fault::ResumesByRestart => &["flow::resumed_goes_on"],
        Fault::SendsPastTheRules => &[
            "flow::sending_checks_the_message",
            "flow::sending_shares_the_bound",
            "flow::sent_messages_take_the_same_way",
        ],
        Fault::HidesSendErrors => &["flow::sending_tells_the_sinks_error"],
        Fault::SendsThroughPaused => &["flow::sending_through_a_paused_bridge"],
        Fault::SendsUnchecked => &[
            "flow::sending_checks_the_message",
            "flow::sent_messages_take_the_same_way",
        ],
        Fault::SendsUnbounded => &["flow::sending_shares_the_bound"],
        Fault::DestroysAtOnce => &[
            "ending::a_final_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "ending::destroying_takes_what_the_source_holds",
            "ending::draining_has_a_deadline",
        ],
        Fault::LeavesTheRest => &["ending::destroying_takes_what_the_source_holds"],
        Fault::DrainsForEver => &["ending::draining_has_a_deadline"],
        Fault::LeavesTheSinkRunning => &[
            "ending::a_final_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "ending::draining_has_a_deadline",
            "lifecycle::a_failed_start_leaves_nothing",
        ],
        Fault::LeavesTheSourceRunning => &[
            "ending::a_final_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "lifecycle::a_failed_start_leaves_nothing",
        ],
        Fault::RemembersDestroyed => &[
            "ending::destroying_finishes_the_work",
            "ending::destroying_takes_what_the_source_holds",
            "ending::draining_has_a_deadline",
            "lifecycle::a_name_is_used_once",
            "lifecycle::all_bridges_by_name",
        ],
        Fault::SharesNames => &[
            "dead_letter::dead_letters_say_why",
            "lifecycle::a_name_is_used_once",
            "lifecycle::wrong_configurations_are_refused",
        ],
        Fault::StartsTwice => &["lifecycle::starts_running"],
        Fault::IgnoresStartErrors => &["lifecycle::a_failed_start_leaves_nothing"],
        Fault::CorrectsConfigurations => &["lifecycle::wrong_configurations_are_refused"],
        Fault::KnowsEverybody => &["ending::draining_has_a_deadline", "lifecycle::unknown_ids"],
        Fault::ListsById => &["lifecycle::all_bridges_by_name"],
        Fault::ListsWrongStates => &["lifecycle::all_bridges_by_name"],
        Fault::FailsOnEveryError => &["ending::passing_source_errors_are_survived"],
        Fault::NeverFails => &[
            "ending::a_final_source_error_fails_the_bridge",
            "observe::health_looks_at_failures",
        ],
        Fault::FailsAtTheEnd => &["ending::a_source_that_ends_stops_the_bridge"],
        Fault::SwallowsPanics => &["ending::a_panic_of_the_sink_is_an_error"],
        Fault::HangsOnPanic => &["ending::a_panic_of_the_sink_is_an_error"],
        Fault::CountsTwice => &["flow::sent_messages_take_the_same_way", "observe::counters_add_up"],
        Fault::ForgetsTargets => &["observe::counters_by_target_and_rule"],
        Fault::HidesTheWork => &["observe::status_counts_the_work"],
        Fault::HidesTheLatestError => &[
            "ending::a_final_source_error_fails_the_bridge",
            "ending::passing_source_errors_are_survived",
            "observe::status_shows_the_latest_error",
        ],
        Fault::AlwaysUp => &[
            "observe::health_is_the_worse_of_both_ends",
            "observe::health_looks_at_failures",
        ],
        Fault::LooksAtTheSourceOnly => &[
            "observe::health_is_the_worse_of_both_ends",
            "observe::health_looks_at_failures",
        ],
        Fault::HidesTheErrorShare => &["observe::health_looks_at_failures"],
        Fault::HidesPause => &["lifecycle::undeclared_is_unsupported"],
    }
}
