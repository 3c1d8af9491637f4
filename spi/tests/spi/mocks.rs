//! Every contract has a mock, which can be used as `Arc<dyn T>`.

use std::sync::Arc;

use mockall::predicate::eq;
use networking_spi::bridge::MockCommunicationBridge;
use networking_spi::circuit_breaker::{CallRecord, MockCircuit, MockCircuitBreaker, Permit, PermitToken};
use networking_spi::clock::MockClock;
use networking_spi::http::{HttpResponse, Method, MockHttpClient, MockHttpExtended, StatusCode};
use networking_spi::kafka::{
    MockKafkaAdmin, MockKafkaClient, MockKafkaExtended, MockKafkaReading, MockKafkaTransactions, ProducerId,
    ProducerRecord, RecordMetadata, TopicPartition,
};
use networking_spi::prelude::*;
use networking_spi::websocket::{MockWebSocketClient, MockWebSocketConnection, MockWebSocketHandler, WebSocketHandler};

#[tokio::test]
async fn an_http_client_can_be_mocked_by_method_and_url() {
    let mut mock = MockHttpClient::new();
    mock.expect_request()
        .withf(|request| {
            request.method == Method::GET && request.target.url().is_ok_and(|url| url.path() == "/users/7")
        })
        .times(1)
        .returning(|_| HttpResponse::new(StatusCode::OK).with_json(&serde_json::json!({"name": "Ada"})));
    let client: Arc<dyn HttpClient> = Arc::new(mock);

    let user: serde_json::Value = client
        .get("https://api.example.com/users/7")
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(user["name"], "Ada");
}

#[tokio::test]
async fn a_kafka_client_can_be_mocked() {
    let producer = ProducerId::new("p-1");
    let mut mock = MockKafkaClient::new();
    mock.expect_produce_message()
        .withf(|_, record| record.topic == "orders")
        .returning(|_, record| Ok(RecordMetadata::new(record.topic, 0, Some(41), None)));
    let client: Arc<dyn KafkaClient> = Arc::new(mock);

    let written = client
        .produce_message(&producer, ProducerRecord::new("orders"))
        .await
        .unwrap();
    assert_eq!(written.offset, Some(41));
}

#[tokio::test]
async fn a_kafka_admin_can_be_mocked() {
    let mut mock = MockKafkaAdmin::new();
    mock.expect_delete_group()
        .with(eq("billing"))
        .times(1)
        .returning(|_| Ok(()));
    mock.expect_delete_records()
        .withf(|partition, before| partition.topic == "orders" && *before == 7)
        .returning(|_, before| Ok(before));
    let admin: Arc<dyn KafkaAdmin> = Arc::new(mock);

    admin.delete_group("billing").await.unwrap();
    let orders = TopicPartition::new("orders", 0);
    assert_eq!(admin.delete_records(orders, 7).await.unwrap(), 7);
}

#[tokio::test]
async fn a_circuit_can_be_mocked_with_its_permits() {
    let mut circuit = MockCircuit::new();
    circuit
        .expect_complete()
        .with(eq(PermitToken::default()), eq(CallRecord::new(CallOutcome::Success)))
        .times(1)
        .return_const(());
    circuit.expect_name().return_const("payments".to_owned());
    let permit = Permit::new(&circuit, PermitToken::default());
    permit.record(CallOutcome::Success);
}

#[test]
fn every_contract_has_a_mock() {
    fn mock<T: ?Sized>(_: &T) {}
    mock::<dyn HttpClient>(&MockHttpClient::new());
    mock::<dyn HttpExtended>(&MockHttpExtended::new());
    mock::<dyn KafkaClient>(&MockKafkaClient::new());
    mock::<dyn KafkaExtended>(&MockKafkaExtended::new());
    mock::<dyn KafkaTransactions>(&MockKafkaTransactions::new());
    mock::<dyn KafkaReading>(&MockKafkaReading::new());
    mock::<dyn CircuitBreaker>(&MockCircuitBreaker::new());
    mock::<dyn CommunicationBridge>(&MockCommunicationBridge::new());
    mock::<dyn WebSocketClient>(&MockWebSocketClient::new());
    mock::<dyn WebSocketConnection>(&MockWebSocketConnection::new());
    mock::<dyn WebSocketHandler>(&MockWebSocketHandler::new());
    mock::<dyn networking_spi::clock::Clock>(&MockClock::new());
}
