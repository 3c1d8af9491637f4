//! Each saboteur of the HTTP suite is caught by its cases, and by no other case.

use std::sync::Arc;

use networking_conformance::Applies;
use networking_conformance::http::{HttpHarness, suite};
use networking_conformance::proof::http::{Saboteur, SaboteurHarness};
use networking_conformance::report::Outcome;

use crate::client::transport::run_child;
use crate::http_harness;

/// The in-memory client is fast, so every saboteur that can be caught in memory is tested there.
#[test]
fn saboteurs_are_caught_in_memory() {
    let saboteurs = Saboteur::ALL.iter().copied();
    check(
        saboteurs.filter(|saboteur| applies(*saboteur, &http_harness::Memory)),
        |saboteur| SaboteurHarness::new(http_harness::Memory, saboteur),
    );
}

#[test]
fn saboteurs_are_caught_without_layers() {
    check([Saboteur::InventsMetrics], |saboteur| {
        SaboteurHarness::new(http_harness::BareMemory, saboteur)
    });
}

#[test]
fn saboteurs_are_caught_on_the_network() {
    check(network_saboteurs(), |saboteur| {
        SaboteurHarness::new(http_harness::Reqwest, saboteur)
    });
}

#[test]
fn a_call_that_does_not_end_says_what_the_case_waited_for() {
    let suite = suite();
    let factory = suite.factory(|| Arc::new(SaboteurHarness::new(http_harness::Memory, Saboteur::IgnoresTimeouts)));
    for (case, what) in [
        (
            "http::limits::a_silent_peer_times_out",
            "the case waited 5s for the response of GET http://origin.test/silent",
        ),
        (
            "http::limits::the_timeout_covers_the_body",
            "the case waited 5s for the next part of the body of GET http://origin.test/stall",
        ),
    ] {
        let report = suite.run_id(case, &factory);
        assert!(report.reason.contains(what), "{}", report.reason);
    }
}

const NO_PROXIES: &str = "http::connection::proxies_of_the_environment_are_not_used";

/// Set for the child only: see `child_with_proxies_in_the_environment`.
#[test]
fn proxies_of_the_environment_are_noticed() {
    let suite = suite();
    let case = suite.cases.iter().find(|case| case.id == NO_PROXIES);
    let applies = case.expect("the case exists").applies;
    let Applies::InEnvironment(variables) = applies(&http_harness::Hyper) else {
        panic!("the environment of the tests has the proxies of the suite");
    };
    run_child("http_saboteurs::child_with_proxies_in_the_environment", variables);
}

#[test]
#[ignore = "run by proxies_of_the_environment_are_noticed, with its environment"]
fn child_with_proxies_in_the_environment() {
    let suite = suite();
    let run = |factory| suite.run_id(NO_PROXIES, &factory).outcome;
    assert_eq!(run(suite.factory(|| Arc::new(http_harness::Hyper))), Outcome::Passed);
    assert_eq!(run(suite.factory(|| Arc::new(http_harness::Reqwest))), Outcome::Passed);
    let saboteur = || SaboteurHarness::new(http_harness::Hyper, Saboteur::UsesProxiesOfTheEnvironment);
    assert_eq!(run(suite.factory(move || Arc::new(saboteur()))), Outcome::Failed);
}

fn network_saboteurs() -> impl Iterator<Item = Saboteur> {
    let saboteurs = Saboteur::ALL.iter().copied();
    let elsewhere = [Saboteur::InventsMetrics, Saboteur::UsesProxiesOfTheEnvironment];
    saboteurs.filter(move |saboteur| !applies(*saboteur, &http_harness::Memory) && !elsewhere.contains(saboteur))
}

#[test]
fn every_case_has_a_saboteur() {
    suite().assert_every_case_catches(Saboteur::ALL.iter().flat_map(|saboteur| saboteur.caught_by()).copied());
}

/// Whether the saboteur can be caught with this harness.
fn applies(saboteur: Saboteur, harness: &dyn HttpHarness) -> bool {
    let suite = suite();
    let case = suite
        .cases
        .iter()
        .find(|case| saboteur.caught_by().contains(&case.id))
        .expect("saboteurs name cases");
    let elsewhere = match saboteur {
        Saboteur::InventsMetrics => true,
        // Its case closes a connection where there is one.
        Saboteur::RetriesClosedPosts => !harness.network(),
        _ => false,
    };
    (case.applies)(harness) == Applies::Yes && !elsewhere
}

fn check<H: HttpHarness>(saboteurs: impl IntoIterator<Item = Saboteur>, harness: fn(Saboteur) -> H) {
    suite().assert_catches(saboteurs, Saboteur::caught_by, move |saboteur| {
        Arc::new(harness(saboteur))
    });
}
