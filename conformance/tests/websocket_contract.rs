//! The clauses in `docs/contract/websocket.md` and the cases of the suite are the same.
#![cfg(feature = "websocket")]

#[test]
fn clauses_and_cases_agree() {
    let contract = include_str!("../../docs/contract/websocket.md");
    let written: Vec<(&str, &str)> = contract
        .lines()
        .filter(|line| line.starts_with("| WS-"))
        .map(|line| {
            let mut columns = line.trim_matches('|').split('|').map(str::trim);
            (
                columns.next().unwrap_or_default(),
                columns.next_back().unwrap_or_default().trim_matches('`'),
            )
        })
        .collect();
    let suite = networking_conformance::websocket::suite();
    let tested: Vec<(&str, &str)> = suite
        .cases
        .iter()
        .map(|case| (case.clause, case.id.trim_start_matches("websocket::")))
        .collect();
    assert_eq!(written, tested);
}
