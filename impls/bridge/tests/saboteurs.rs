//! Proof that the cases of the bridge suite can fail: each saboteur fails exactly the cases listed for it, and each case fails
//! for at least one saboteur.

use std::sync::Arc;

use networking_bridge::InProcessBridge;
use networking_conformance::bridge::{BridgeHarness, suite};
use networking_conformance::{CaseRuntime, Harness, Outcome};
use networking_spi::bridge::{BridgeCapabilities, CommunicationBridge};

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
    fn capabilities(&self) -> &'static BridgeCapabilities {
        const ALL: BridgeCapabilities = BridgeCapabilities::all();
        const WITHOUT_PAUSE: BridgeCapabilities = {
            let mut capabilities = ALL;
            capabilities.pause = false;
            capabilities
        };
        match self.0 {
            Saboteur::PausesUndeclared => &WITHOUT_PAUSE,
            _ => &ALL,
        }
    }

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

/// A bridge that was built without its conditions does not pass as one with fewer features: the author's list decides.
#[test]
fn promised_routing_needs_conditions() {
    struct Promised;

    impl Harness for Promised {
        fn backend(&self) -> &'static str {
            "promised"
        }

        fn runtime(&self) -> CaseRuntime {
            CaseRuntime::PausedClock
        }
    }

    impl BridgeHarness for Promised {
        fn capabilities(&self) -> &'static BridgeCapabilities {
            const { &BridgeCapabilities::all() }
        }

        fn bridge(&self) -> Arc<dyn CommunicationBridge> {
            Arc::new(InProcessBridge::new())
        }
    }

    let suite = suite();
    let factory = suite.factory(|| Arc::new(Promised));
    let report = suite.run_id("bridge::lifecycle::bridge_and_harness_agree", &factory);
    if cfg!(feature = "cel") {
        assert_eq!(report.outcome, Outcome::Passed, "{}", report.reason);
    } else {
        assert_eq!(report.outcome, Outcome::Failed);
        assert!(report.reason.contains("routing: false"), "{}", report.reason);
    }
}

#[test]
fn each_case_finds_a_saboteur() {
    let saboteurs = Saboteur::ALL.iter().copied();
    suite().assert_every_case_catches(saboteurs.flat_map(cases_that_find).copied());
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
            "observe::status_counts_messages_in_flight",
            "retry::the_requested_delay_is_kept",
        ],
        Saboteur::HidesRejections => &[
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
        Saboteur::LosesResults => &[
            "delivery::every_message_is_settled_once",
            "delivery::keyless_messages_are_delivered_concurrently",
            "delivery::order_by_key",
            "delivery::deliveries_in_flight_are_bounded",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::TrimsPayloads => &["delivery::byte_for_byte"],
        Saboteur::RewritesJson => &["delivery::byte_for_byte", "observe::counters_add_up"],
        Saboteur::LosesRepeatedHeaders => &["delivery::byte_for_byte"],
        Saboteur::LosesKeys => &[
            "dead_letter::undeliverable_messages_are_dead_lettered",
            "delivery::byte_for_byte",
            "delivery::order_by_key",
        ],
        Saboteur::LosesPositions => &["delivery::receipts_describe_the_delivery"],
        Saboteur::LosesRules => &[
            "dead_letter::a_rule_can_dead_letter",
            "flow::sent_messages_are_processed_like_received_ones",
            "routing::dropped_messages_are_acknowledged",
            "routing::the_first_match_decides",
        ],
        Saboteur::MiscountsAttempts => &[
            "delivery::attempts_have_a_time_limit",
            "retry::transient_failures_are_retried",
        ],
        Saboteur::IgnoresMaxInFlight => &[
            "delivery::deliveries_in_flight_are_bounded",
            "flow::sent_messages_count_as_in_flight",
            "lifecycle::wrong_configurations_are_refused",
        ],
        Saboteur::DeliversOneAtATime => &[
            "delivery::a_blocked_key_blocks_no_other",
            "delivery::keyless_messages_are_delivered_concurrently",
            "delivery::deliveries_in_flight_are_bounded",
            "ending::a_permanent_source_error_fails_the_bridge",
            "observe::status_counts_messages_in_flight",
        ],
        Saboteur::PutsAllInOneLane => &[
            "delivery::a_blocked_key_blocks_no_other",
            "delivery::keyless_messages_are_delivered_concurrently",
            "delivery::deliveries_in_flight_are_bounded",
            "routing::conditions_see_the_message",
        ],
        Saboteur::IgnoresKeys => &["delivery::order_by_key", "routing::conditions_see_the_message"],
        Saboteur::IgnoresDeliveryTimeout => &["delivery::attempts_have_a_time_limit"],
        Saboteur::NeverRetries => &[
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
        Saboteur::RetriesTooOften => &[
            "dead_letter::a_failed_dead_lettering_rejects_the_message",
            "dead_letter::dead_letters_say_why",
            "dead_letter::undeliverable_messages_are_dead_lettered",
            "delivery::attempts_have_a_time_limit",
            "flow::sent_messages_are_processed_like_received_ones",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "retry::attempts_are_bounded",
        ],
        Saboteur::RetriesEverything => &[
            "dead_letter::a_failed_dead_lettering_rejects_the_message",
            "dead_letter::without_a_target_the_message_is_rejected",
            "flow::sending_returns_the_sinks_error",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "observe::health_reports_failures",
            "observe::status_shows_the_latest_error",
            "retry::permanent_failures_are_not_retried",
        ],
        Saboteur::IgnoresRetryAfter => &[
            "retry::a_delay_beyond_the_maximum_ends_the_retries",
            "retry::the_requested_delay_is_kept",
        ],
        Saboteur::ShortensLongWaits => &["retry::a_delay_beyond_the_maximum_ends_the_retries"],
        Saboteur::IgnoresTheDeadLetterTarget => &[
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
            "routing::rules_can_be_replaced_alone",
        ],
        Saboteur::OmitsDeadLetterReasons => &[
            "dead_letter::a_rule_can_dead_letter",
            "dead_letter::dead_letters_say_why",
            "dead_letter::large_payloads_are_not_delivered",
            "routing::an_error_can_dead_letter",
            "routing::unmatched_messages_are_dead_lettered",
        ],
        Saboteur::KeepsOldReasons => &["dead_letter::dead_letters_say_why"],
        Saboteur::StripsDeadLetters => &["dead_letter::undeliverable_messages_are_dead_lettered"],
        Saboteur::IgnoresMaxPayloadSize => &[
            "dead_letter::large_payloads_are_not_delivered",
            "flow::sending_checks_the_message",
        ],
        Saboteur::LastMatchDecides => &[
            "routing::an_error_can_dead_letter",
            "routing::an_error_is_no_match",
            "routing::the_first_match_decides",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::IgnoresTheDefaultTarget => &[
            "flow::sent_messages_are_processed_like_received_ones",
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::only_booleans_match",
            "routing::unmatched_messages_go_to_the_default_target",
            "routing::rules_can_be_replaced_alone",
        ],
        Saboteur::DeliversDropped => &[
            "observe::counters_add_up",
            "observe::counters_by_target_and_rule",
            "routing::dropped_messages_are_acknowledged",
        ],
        Saboteur::DeliversDeadLetters => &[
            "dead_letter::a_rule_can_dead_letter",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::HidesHeadersFromConditions => &["routing::conditions_see_the_message"],
        Saboteur::HidesTheContentType => &["routing::conditions_see_the_message"],
        Saboteur::BreaksArithmetic => &["routing::integers_support_arithmetic"],
        Saboteur::SwapsOnError => &[
            "flow::sent_messages_are_processed_like_received_ones",
            "routing::an_error_can_dead_letter",
            "routing::an_error_is_no_match",
            "routing::only_booleans_match",
            "routing::other_payloads_are_null",
            "routing::rules_can_be_replaced_alone",
        ],
        Saboteur::HidesConditionErrors => &["routing::an_error_is_no_match", "routing::only_booleans_match"],
        Saboteur::TakesAnythingAsTrue => &["routing::only_booleans_match"],
        Saboteur::MakesObjectsOfInvalidJson => &["routing::other_payloads_are_null"],
        Saboteur::KeepsOldRouting => &[
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::routing_can_be_replaced",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::DropsTheDefaultTarget => &["routing::rules_can_be_replaced_alone"],
        Saboteur::AcceptsInvalidRouting => &[
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::DropsTheFormerRouting => &[
            "routing::hostile_conditions_are_refused_or_fail",
            "routing::wrong_routing_changes_nothing",
        ],
        Saboteur::OmitsTheField => &["routing::wrong_routing_changes_nothing"],
        Saboteur::RejectsHostileAsInternal => &["routing::hostile_conditions_are_refused_or_fail"],
        Saboteur::OnlyReportsPaused => &[
            "flow::a_paused_bridge_receives_nothing",
            "flow::sending_through_a_paused_bridge_is_closed",
        ],
        Saboteur::OnlyReportsRunning => &[
            "flow::pausing_twice_is_no_error",
            "flow::a_resumed_bridge_continues",
            "flow::sending_through_a_paused_bridge_is_closed",
        ],
        Saboteur::FailsToPauseTwice => &["flow::pausing_twice_is_no_error"],
        Saboteur::ResumesByRestart => &["flow::a_resumed_bridge_continues"],
        Saboteur::SendsAroundTheRules => &[
            "flow::sending_checks_the_message",
            "flow::sent_messages_count_as_in_flight",
            "flow::sent_messages_are_processed_like_received_ones",
        ],
        Saboteur::HidesSendErrors => &["flow::sending_returns_the_sinks_error"],
        Saboteur::SendsThroughPaused => &["flow::sending_through_a_paused_bridge_is_closed"],
        Saboteur::SendsUnchecked => &[
            "flow::sending_checks_the_message",
            "flow::sent_messages_are_processed_like_received_ones",
        ],
        Saboteur::SendsWithoutLimit => &["flow::sent_messages_count_as_in_flight"],
        Saboteur::DestroysWithoutDraining => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "ending::destroying_delivers_what_the_source_holds",
            "ending::draining_has_a_deadline",
        ],
        Saboteur::LeavesMessagesOfTheSource => &["ending::destroying_delivers_what_the_source_holds"],
        Saboteur::DrainsForever => &["ending::draining_has_a_deadline"],
        Saboteur::LeavesTheSinkRunning => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "ending::draining_has_a_deadline",
            "lifecycle::a_failed_start_is_undone",
        ],
        Saboteur::LeavesTheSourceRunning => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "ending::destroying_finishes_the_work",
            "lifecycle::a_failed_start_is_undone",
        ],
        Saboteur::KeepsDestroyedBridges => &[
            "ending::destroying_finishes_the_work",
            "ending::destroying_delivers_what_the_source_holds",
            "ending::draining_has_a_deadline",
            "lifecycle::names_are_unique",
            "lifecycle::all_bridges_by_name",
        ],
        Saboteur::AllowsDuplicateNames => &[
            "dead_letter::dead_letters_say_why",
            "lifecycle::names_are_unique",
            "lifecycle::wrong_configurations_are_refused",
        ],
        Saboteur::StartsTwice => &["lifecycle::starts_running"],
        Saboteur::IgnoresStartErrors => &["lifecycle::a_failed_start_is_undone"],
        Saboteur::CorrectsInvalidConfigurations => &["lifecycle::wrong_configurations_are_refused"],
        Saboteur::DestroysUnknownIds => &[
            "ending::draining_has_a_deadline",
            "lifecycle::unknown_ids_are_not_found",
        ],
        Saboteur::ListsById => &["lifecycle::all_bridges_by_name"],
        Saboteur::ListsWrongStates => &["lifecycle::all_bridges_by_name"],
        Saboteur::FailsOnEveryError => &["ending::transient_source_errors_do_not_stop_the_bridge"],
        Saboteur::NeverFails => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "observe::health_reports_failures",
        ],
        Saboteur::FailsWhenTheSourceEnds => &["ending::a_source_that_ends_stops_the_bridge"],
        Saboteur::SwallowsPanics => &["ending::a_panic_of_the_sink_is_an_error"],
        Saboteur::HangsOnPanic => &["ending::a_panic_of_the_sink_is_an_error"],
        Saboteur::CountsTwice => &[
            "flow::sent_messages_are_processed_like_received_ones",
            "observe::counters_add_up",
        ],
        Saboteur::OmitsTargetsFromMetrics => &["observe::counters_by_target_and_rule"],
        Saboteur::HidesMessagesInFlight => &["observe::status_counts_messages_in_flight"],
        Saboteur::HidesTheLatestError => &[
            "ending::a_permanent_source_error_fails_the_bridge",
            "ending::transient_source_errors_do_not_stop_the_bridge",
            "observe::status_shows_the_latest_error",
        ],
        Saboteur::AlwaysReportsUp => &[
            "observe::health_is_the_worse_of_both_ends",
            "observe::health_reports_failures",
        ],
        Saboteur::ReportsTheSourceHealthOnly => &[
            "observe::health_is_the_worse_of_both_ends",
            "observe::health_reports_failures",
        ],
        Saboteur::HidesTheErrorShare => &["observe::health_reports_failures"],
        Saboteur::PausesUndeclared => &["lifecycle::undeclared_is_unsupported"],
        Saboteur::ForgetsACapability => &["lifecycle::bridge_and_harness_agree"],
    }
}
