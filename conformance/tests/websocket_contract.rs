//! The clauses in `docs/contract/websocket.md` and the cases of the suite are the same.
#![cfg(feature = "websocket")]

#[test]
fn clauses_and_cases_agree() {
    networking_conformance::websocket::suite()
        .assert_matches_contract("WS", include_str!("../../docs/contract/websocket.md"));
}
