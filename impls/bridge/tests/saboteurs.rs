//! Proof that the cases of the bridge suite can fail: each saboteur fails exactly the cases listed for it, and each case fails
//! for at least one saboteur.

use std::sync::Arc;

use networking_conformance::bridge::{BridgeHarness, suite};
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::bridge::CommunicationBridge;

use crate::saboteur::{Saboteur, SaboteurBridge};

struct SaboteurHarness(Saboteur);

impl Harness for SaboteurHarness {
    fn backend(&self) -> &'static str {
        "saboteur"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

impl BridgeHarness for SaboteurHarness {
    fn bridge(&self) -> Arc<dyn CommunicationBridge> {
        Arc::new(SaboteurBridge::new(self.0))
    }
}

#[test]
#[cfg_attr(not(feature = "cel"), ignore = "the suite's rules need the feature cel")]
fn each_saboteur_is_found_by_exactly_its_cases() {
    suite().assert_catches(Saboteur::ALL.iter().copied(), cases_that_find, |saboteur| {
        Arc::new(SaboteurHarness(saboteur))
    });
}

#[test]
fn each_case_finds_a_saboteur() {
    let saboteurs = Saboteur::ALL.iter().copied();
    suite().assert_every_case_bites(saboteurs.flat_map(cases_that_find).copied());
}

#[test]
fn clauses_and_cases_agree() {
    suite().assert_matches_contract("BRIDGE", include_str!("../../../docs/contract/bridge.md"));
}

/// The cases that each saboteur fails, without the domain.
#[allow(clippy::match_same_arms, reason = "a table with one row for each saboteur")]
fn cases_that_find(saboteur: Saboteur) -> &'static [&'static str] {
    match saboteur {
        Saboteur::AcknowledgesEarly => &[
            "delivery::acknowledges_after_the_sink",
            "delivery::attempts_have_a_time_limit",
            "ending::destroying_finishes_the_work",
            "ending::draining_has_a_deadline",
            "observe::status_counts_the_work",
            "retry::waits_as_asked",
        ],
        Saboteur::HidesRejections => &[
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
        Saboteur::LosesResults => &[
            "delivery::every_message_is_answered_for",
            "delivery::keyless_messages_run_side_by_side",
            "delivery::order_by_key",
            "delivery::work_is_bounded",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::hostile_conditions_do_no_harm",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::TrimsPayloads => &["delivery::byte_for_byte"],
        Saboteur::LosesRepeatedHeaders => &["delivery::byte_for_byte"],
        Saboteur::LosesKeys => &[
            "dead_letter::undeliverable_messages_are_kept",
            "delivery::byte_for_byte",
            "delivery::order_by_key",
        ],
        Saboteur::LosesPositions => &["delivery::receipts_say_where"],
        Saboteur::LosesRules => &[
            "dead_letter::a_rule_can_send_there",
            "flow::sent_messages_take_the_same_way",
            "routing::drop_acknowledges",
            "routing::the_first_match_decides",
        ],
        Saboteur::MiscountsAttempts => &[
            "delivery::attempts_have_a_time_limit",
            "retry::transient_failures_are_tried_again",
        ],
        Saboteur::IgnoresMaxInFlight => &[
            "delivery::work_is_bounded",
            "flow::sending_shares_the_bound",
            "lifecycle::wrong_configurations_are_refused",
        ],
        Saboteur::DeliversOneAtATime => &[
            "delivery::a_stuck_key_holds_up_no_other",
            "delivery::keyless_messages_run_side_by_side",
            "delivery::work_is_bounded",
            "ending::a_final_source_error_fails_the_bridge",
            "observe::status_counts_the_work",
        ],
        Saboteur::PutsAllInOneLane => &[
            "delivery::a_stuck_key_holds_up_no_other",
            "delivery::keyless_messages_run_side_by_side",
            "delivery::work_is_bounded",
            "routing::conditions_see_the_message",
        ],
        Saboteur::IgnoresKeys => &["delivery::order_by_key", "routing::conditions_see_the_message"],
        Saboteur::IgnoresDeliveryTimeout => &["delivery::attempts_have_a_time_limit"],
        Saboteur::NeverRetries => &[
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
        Saboteur::RetriesTooOften => &[
            "dead_letter::a_failed_burial_is_told",
            "dead_letter::dead_letters_say_why",
            "dead_letter::undeliverable_messages_are_kept",
            "delivery::attempts_have_a_time_limit",
            "flow::sent_messages_take_the_same_way",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "retry::attempts_are_bounded",
        ],
        Saboteur::RetriesEverything => &[
            "dead_letter::a_failed_burial_is_told",
            "dead_letter::without_target_the_source_is_told",
            "flow::sending_tells_the_sinks_error",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "observe::health_looks_at_failures",
            "observe::status_shows_the_latest_error",
            "retry::final_failures_are_not",
        ],
        Saboteur::IgnoresRetryAfter => &["retry::never_sooner_than_asked", "retry::waits_as_asked"],
        Saboteur::ShortensLongWaits => &["retry::never_sooner_than_asked"],
        Saboteur::IgnoresTheDeadLetterTarget => &[
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
        Saboteur::OmitsDeadLetterReasons => &[
            "dead_letter::a_rule_can_send_there",
            "dead_letter::dead_letters_say_why",
            "dead_letter::large_payloads_are_not_delivered",
            "routing::an_error_can_send_to_the_dead",
            "routing::what_nobody_wants_is_kept",
        ],
        Saboteur::KeepsOldReasons => &["dead_letter::dead_letters_say_why"],
        Saboteur::StripsDeadLetters => &["dead_letter::undeliverable_messages_are_kept"],
        Saboteur::IgnoresMaxPayloadSize => &[
            "dead_letter::large_payloads_are_not_delivered",
            "flow::sending_checks_the_message",
        ],
        Saboteur::LastMatchDecides => &[
            "routing::an_error_can_send_to_the_dead",
            "routing::an_error_is_no_match",
            "routing::the_first_match_decides",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::IgnoresTheDefaultTarget => &[
            "flow::sent_messages_take_the_same_way",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::hostile_conditions_do_no_harm",
            "routing::only_booleans_match",
            "routing::the_default_target_takes_the_rest",
        ],
        Saboteur::DeliversDropped => &[
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::drop_acknowledges",
        ],
        Saboteur::DeliversDeadLetters => &[
            "dead_letter::a_rule_can_send_there",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::HidesHeadersFromConditions => &["routing::conditions_see_the_message"],
        Saboteur::HidesTheContentType => &["routing::conditions_see_the_message"],
        Saboteur::BreaksArithmetic => &["routing::numbers_are_numbers"],
        Saboteur::SwapsOnError => &[
            "flow::sent_messages_take_the_same_way",
            "routing::an_error_can_send_to_the_dead",
            "routing::an_error_is_no_match",
            "routing::only_booleans_match",
            "routing::other_payloads_are_null",
        ],
        Saboteur::HidesConditionErrors => &["routing::an_error_is_no_match", "routing::only_booleans_match"],
        Saboteur::TakesAnythingAsTrue => &["routing::only_booleans_match"],
        Saboteur::MakesObjectsOfInvalidJson => &["routing::other_payloads_are_null"],
        Saboteur::KeepsOldRouting => &[
            "routing::hostile_conditions_do_no_harm",
            "routing::routing_can_be_replaced",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::AcceptsInvalidRouting => &[
            "routing::hostile_conditions_do_no_harm",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::DropsTheFormerRouting => &[
            "routing::hostile_conditions_do_no_harm",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::OmitsTheField => &["routing::wrong_routing_changes_nothing"],
        Saboteur::RejectsHostileAsInternal => &["routing::hostile_conditions_do_no_harm"],
        Saboteur::OnlyReportsPaused => &["flow::paused_takes_nothing", "flow::sending_through_a_paused_bridge"],
        Saboteur::OnlyReportsRunning => &[
            "flow::pausing_twice_is_no_error",
            "flow::resumed_goes_on",
            "flow::sending_through_a_paused_bridge",
        ],
        Saboteur::FailsToPauseTwice => &["flow::pausing_twice_is_no_error"],
        Saboteur::ResumesByRestart => &["flow::resumed_goes_on"],
        Saboteur::SendsAroundTheRules => &[
            "flow::sending_checks_the_message",
            "flow::sending_shares_the_bound",
            "flow::sent_messages_take_the_same_way",
        ],
        Saboteur::HidesSendErrors => &["flow::sending_tells_the_sinks_error"],
        Saboteur::SendsThroughPaused => &["flow::sending_through_a_paused_bridge"],
        Saboteur::SendsUnchecked => &[
            "flow::sending_checks_the_message",
            "flow::sent_messages_take_the_same_way",
        ],
        Saboteur::SendsWithoutLimit => &["flow::sending_shares_the_bound"],
        Saboteur::DestroysWithoutDraining => &[
            "ending::a_final_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "ending::destroying_takes_what_the_source_holds",
            "ending::draining_has_a_deadline",
        ],
        Saboteur::LeavesMessagesOfTheSource => &["ending::destroying_takes_what_the_source_holds"],
        Saboteur::DrainsForever => &["ending::draining_has_a_deadline"],
        Saboteur::LeavesTheSinkRunning => &[
            "ending::a_final_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "ending::draining_has_a_deadline",
            "lifecycle::a_failed_start_leaves_nothing",
        ],
        Saboteur::LeavesTheSourceRunning => &[
            "ending::a_final_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "lifecycle::a_failed_start_leaves_nothing",
        ],
        Saboteur::KeepsDestroyedBridges => &[
            "ending::destroying_finishes_the_work",
            "ending::destroying_takes_what_the_source_holds",
            "ending::draining_has_a_deadline",
            "lifecycle::a_name_is_used_once",
            "lifecycle::all_bridges_by_name",
        ],
        Saboteur::AllowsDuplicateNames => &[
            "dead_letter::dead_letters_say_why",
            "lifecycle::a_name_is_used_once",
            "lifecycle::wrong_configurations_are_refused",
        ],
        Saboteur::StartsTwice => &["lifecycle::starts_running"],
        Saboteur::IgnoresStartErrors => &["lifecycle::a_failed_start_leaves_nothing"],
        Saboteur::CorrectsInvalidConfigurations => &["lifecycle::wrong_configurations_are_refused"],
        Saboteur::DestroysUnknownIds => &["ending::draining_has_a_deadline", "lifecycle::unknown_ids"],
        Saboteur::ListsById => &["lifecycle::all_bridges_by_name"],
        Saboteur::ListsWrongStates => &["lifecycle::all_bridges_by_name"],
        Saboteur::FailsOnEveryError => &["ending::passing_source_errors_are_survived"],
        Saboteur::NeverFails => &[
            "ending::a_final_source_error_fails_the_bridge",
            "observe::health_looks_at_failures",
        ],
        Saboteur::FailsWhenTheSourceEnds => &["ending::a_source_that_ends_stops_the_bridge"],
        Saboteur::SwallowsPanics => &["ending::a_panic_of_the_sink_is_an_error"],
        Saboteur::HangsOnPanic => &["ending::a_panic_of_the_sink_is_an_error"],
        Saboteur::CountsTwice => &["flow::sent_messages_take_the_same_way", "observe::counters_add_up"],
        Saboteur::OmitsTargetsFromMetrics => &["observe::counters_by_target_and_rule"],
        Saboteur::HidesMessagesInFlight => &["observe::status_counts_the_work"],
        Saboteur::HidesTheLatestError => &[
            "ending::a_final_source_error_fails_the_bridge",
            "ending::passing_source_errors_are_survived",
            "observe::status_shows_the_latest_error",
        ],
        Saboteur::AlwaysReportsUp => &[
            "observe::health_is_the_worse_of_both_ends",
            "observe::health_looks_at_failures",
        ],
        Saboteur::ReportsTheSourceHealthOnly => &[
            "observe::health_is_the_worse_of_both_ends",
            "observe::health_looks_at_failures",
        ],
        Saboteur::HidesTheErrorShare => &["observe::health_looks_at_failures"],
        Saboteur::HidesPause => &["lifecycle::undeclared_is_unsupported"],
    }
}
