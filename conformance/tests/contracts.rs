//! The clauses of each contract in `docs/contract` and the cases of its suite are the same.

#[cfg(feature = "bridge")]
#[test]
fn bridge() {
    networking_conformance::bridge::suite()
        .assert_matches_contract("BRIDGE", include_str!("../../docs/contract/bridge.md"));
}

#[cfg(feature = "circuit-breaker")]
#[test]
fn circuit_breaker() {
    networking_conformance::circuit_breaker::suite()
        .assert_matches_contract("CB", include_str!("../../docs/contract/circuit_breaker.md"));
}

#[cfg(feature = "bridge")]
#[test]
fn endpoint() {
    let contract = include_str!("../../docs/contract/endpoint.md");
    let (sources, sinks) = contract
        .split_once("## Sinks")
        .expect("the clauses of sinks follow those of sources");
    networking_conformance::endpoint::source::suite().assert_matches_contract("ENDPOINT", sources);
    networking_conformance::endpoint::sink::suite().assert_matches_contract("ENDPOINT", sinks);
}

#[cfg(feature = "http")]
#[test]
fn http() {
    networking_conformance::http::suite().assert_matches_contract("HTTP", include_str!("../../docs/contract/http.md"));
}

#[cfg(feature = "kafka")]
#[test]
fn kafka() {
    networking_conformance::kafka::suite()
        .assert_matches_contract("KAFKA", include_str!("../../docs/contract/kafka.md"));
}

#[cfg(feature = "kafka")]
#[test]
fn kafka_admin() {
    networking_conformance::kafka_admin::suite()
        .assert_matches_contract("KADM", include_str!("../../docs/contract/kafka_admin.md"));
}

#[cfg(feature = "kafka")]
#[test]
fn kafka_transactions() {
    networking_conformance::kafka_transactions::suite()
        .assert_matches_contract("KTX", include_str!("../../docs/contract/kafka_transactions.md"));
}

#[cfg(feature = "kafka")]
#[test]
fn kafka_extended() {
    networking_conformance::kafka_extended::suite()
        .assert_matches_contract("KAFKAX", include_str!("../../docs/contract/kafka_extended.md"));
}

#[cfg(feature = "kafka")]
#[test]
fn kafka_reading() {
    networking_conformance::kafka_reading::suite()
        .assert_matches_contract("KREAD", include_str!("../../docs/contract/kafka_reading.md"));
}

#[cfg(feature = "websocket")]
#[test]
fn websocket() {
    networking_conformance::websocket::suite()
        .assert_matches_contract("WS", include_str!("../../docs/contract/websocket.md"));
}
