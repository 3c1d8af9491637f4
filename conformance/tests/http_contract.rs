//! The clauses in `docs/contract/http.md` and the cases of the suite are the same.
#![cfg(feature = "http")]

#[test]
fn clauses_and_cases_agree() {
    networking_conformance::http::suite().assert_matches_contract("HTTP", include_str!("../../docs/contract/http.md"));
}
