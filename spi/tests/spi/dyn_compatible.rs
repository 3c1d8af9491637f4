//! Every contract is dyn-compatible, can be shared between threads, and is implemented by `Arc<dyn T>` and `Box<dyn T>`.

use std::fmt::Debug;
use std::sync::Arc;

use networking_spi::bridge::{BridgeSink, BridgeSource, CommunicationBridge};
use networking_spi::circuit_breaker::{Circuit, CircuitBreaker, ErrorClassifier};
use networking_spi::clock::Clock;
use networking_spi::http::{BodySource, HttpClient, HttpExtended, Interceptor, RetryPredicate};
use networking_spi::kafka::{KafkaAdmin, KafkaClient, KafkaExtended, KafkaReading, KafkaTransactions, StreamProcessor};
use networking_spi::websocket::{WebSocketClient, WebSocketConnection, WebSocketHandler};

fn shareable<T: Debug + Send + Sync + 'static + ?Sized>() {}

macro_rules! dyn_compatible {
    ($($contract:ident),+ $(,)?) => {
        #[test]
        fn contracts_are_dyn_compatible_and_shareable() {
            $(shareable::<dyn $contract>(); shareable::<Arc<dyn $contract>>();)+
        }
    };
}

dyn_compatible!(
    HttpClient,
    HttpExtended,
    KafkaAdmin,
    KafkaClient,
    KafkaExtended,
    KafkaTransactions,
    KafkaReading,
    CircuitBreaker,
    CommunicationBridge,
    WebSocketClient,
    WebSocketConnection,
    WebSocketHandler,
    Circuit,
    ErrorClassifier,
    Clock,
    BodySource,
    Interceptor,
    RetryPredicate,
    StreamProcessor,
    BridgeSource,
    BridgeSink,
);

macro_rules! pointers_implement {
    ($($test:ident: $contract:ident),+ $(,)?) => {$(
        #[test]
        fn $test() {
            fn implements<T: $contract>() {}
            implements::<Arc<dyn $contract>>();
            implements::<Box<dyn $contract>>();
            implements::<Arc<Box<dyn $contract>>>();
        }
    )+};
}

pointers_implement!(
    pointers_to_http_clients_are_http_clients: HttpClient,
    pointers_to_extended_http_are_extended_http: HttpExtended,
    pointers_to_kafka_clients_are_kafka_clients: KafkaClient,
    pointers_to_kafka_admins_are_kafka_admins: KafkaAdmin,
    pointers_to_extended_kafka_are_extended_kafka: KafkaExtended,
    pointers_to_transactions_are_transactions: KafkaTransactions,
    pointers_to_kafka_reading_are_kafka_reading: KafkaReading,
    pointers_to_breakers_are_breakers: CircuitBreaker,
    pointers_to_bridges_are_bridges: CommunicationBridge,
    pointers_to_websocket_clients_are_websocket_clients: WebSocketClient,
    pointers_to_connections_are_connections: WebSocketConnection,
    pointers_to_sources_are_sources: BridgeSource,
    pointers_to_sinks_are_sinks: BridgeSink,
);
