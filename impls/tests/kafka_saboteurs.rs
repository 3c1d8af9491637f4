//! The Kafka suite notices mistakes: each flaw fails the cases that it names, and no others.

mod kafka_memory_harness;

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_memory_harness::MemoryHarness;
use networking_conformance::kafka::saboteur::{Flaw, Sabotaged};
use networking_conformance::kafka::suite;

#[test]
fn each_flaw_is_caught_by_exactly_the_cases_it_names() {
    let suite = suite();
    let mut wrong = Vec::new();
    for flaw in Flaw::ALL {
        let factory = suite.factory(|| Arc::new(Sabotaged::new(MemoryHarness::new(false), *flaw)));
        let report = suite.run(&factory);
        let failed: Vec<&str> = report
            .failed_ids()
            .into_iter()
            .map(|id| id.trim_start_matches("kafka::"))
            .collect();
        if failed != flaw.caught_by() {
            wrong.push(format!(
                "{flaw:?}: failed {failed:#?}, expected {:#?}",
                flaw.caught_by()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_case_catches_some_flaw() {
    let caught: BTreeSet<&str> = Flaw::ALL.iter().flat_map(|flaw| flaw.caught_by()).copied().collect();
    let cases: BTreeSet<&str> = suite()
        .cases
        .iter()
        .map(|case| case.id.trim_start_matches("kafka::"))
        .collect();
    assert_eq!(
        cases.difference(&caught).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "cases that no flaw fails"
    );
}
