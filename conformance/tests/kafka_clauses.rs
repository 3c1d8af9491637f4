//! The clauses in `docs/contract/kafka.md` and the cases of the suite are the same.
#![cfg(feature = "kafka")]

#[test]
fn clauses_and_cases_agree() {
    networking_conformance::kafka::suite()
        .assert_matches_contract("KAFKA", include_str!("../../docs/contract/kafka.md"));
}
