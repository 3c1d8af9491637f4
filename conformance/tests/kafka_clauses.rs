//! The Kafka contract and its cases belong together.
#![cfg(feature = "kafka")]

use std::collections::BTreeSet;

use networking_conformance::kafka::suite;

const CONTRACT: &str = include_str!("../../docs/contract/kafka.md");

#[test]
fn each_clause_has_one_case_and_each_case_a_clause() {
    let written: Vec<&str> = CONTRACT
        .lines()
        .filter_map(|line| line.strip_prefix("| KAFKA-")?.split(' ').next())
        .collect();
    let suite = suite();
    let tested: Vec<&str> = suite
        .cases
        .iter()
        .filter_map(|case| case.clause.strip_prefix("KAFKA-"))
        .collect();
    assert_eq!(tested.len(), suite.cases.len(), "every clause is called KAFKA-");
    assert_eq!(written, tested, "clauses in the contract, and clauses of the cases");
}

#[test]
fn ids_are_unique() {
    let suite = suite();
    let ids: BTreeSet<&str> = suite.cases.iter().map(|case| case.id).collect();
    assert_eq!(ids.len(), suite.cases.len());
}
