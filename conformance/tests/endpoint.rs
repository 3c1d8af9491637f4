//! The endpoint suites: correct models pass, and each saboteur is caught by exactly its cases.

use std::collections::BTreeSet;
use std::sync::Arc;

use networking_conformance::endpoint::source::PeerOutcomes;
use networking_conformance::endpoint::{sink, source};
use networking_conformance::proof::endpoint::sink::{ModelSinkHarness, Saboteur as SinkSaboteur};
use networking_conformance::proof::endpoint::source::{ModelSourceHarness, Saboteur as SourceSaboteur};

#[test]
fn correct_sources_pass_whatever_their_peer_learns() {
    for outcomes in [PeerOutcomes::Reported, PeerOutcomes::Kept, PeerOutcomes::Unseen] {
        let suite = source::suite();
        suite
            .run(&suite.factory(move || Arc::new(ModelSourceHarness::new(outcomes))))
            .assert_conformant();
    }
}

#[test]
fn a_correct_sink_passes() {
    let suite = sink::suite();
    suite
        .run(&suite.factory(|| Arc::new(ModelSinkHarness::new())))
        .assert_conformant();
}

#[test]
fn each_saboteur_of_sources_is_caught_by_exactly_its_cases() {
    let suite = source::suite();
    let saboteurs = SourceSaboteur::ALL.iter().copied();
    suite.assert_catches(saboteurs.clone(), SourceSaboteur::caught_by, |saboteur| {
        Arc::new(ModelSourceHarness::broken(saboteur))
    });
    suite.assert_every_case_catches(saboteurs.flat_map(SourceSaboteur::caught_by).copied());
}

#[test]
fn each_saboteur_of_sinks_is_caught_by_exactly_its_cases() {
    let suite = sink::suite();
    let saboteurs = SinkSaboteur::ALL.iter().copied();
    suite.assert_catches(saboteurs.clone(), SinkSaboteur::caught_by, |saboteur| {
        Arc::new(ModelSinkHarness::broken(saboteur))
    });
    suite.assert_every_case_catches(saboteurs.flat_map(SinkSaboteur::caught_by).copied());
}

#[test]
fn the_suites_share_no_case() {
    let of_sources: BTreeSet<&str> = source::suite().cases.iter().map(|case| case.id).collect();
    assert!(sink::suite().cases.iter().all(|case| !of_sources.contains(case.id)));
}

mod model_source {
    use super::*;

    networking_conformance::source_conformance!(|| Arc::new(ModelSourceHarness::new(PeerOutcomes::Kept)));
}

mod model_sink {
    use super::*;

    networking_conformance::sink_conformance!(ModelSinkHarness::new);
}
