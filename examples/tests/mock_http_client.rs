//! Three ways to test code that sends HTTP requests through `Arc<dyn HttpClient>`, without a network.
//!
//! | client in the test | use it to test |
//! |---|---|
//! | `MockHttpClient`, a mockall mock (feature `mock` of `networking-spi`) | that the code sends exactly the expected requests, and how many |
//! | `MemoryHttpClient` | the code together with the real wrappers (retries, timeouts, credentials): routes respond, in order if they have several responses |
//! | `ReplayClient` | the code against responses of the real service that were recorded to a file |

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use networking_examples::orders::{NewOrder, Order, OrdersApi, OrdersError};
use networking_impls::http::recording::{Cassette, CassetteConfig, CassetteMode, ReplayClient};
use networking_impls::http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::http::{HttpResponse, Method, MockHttpClient, RequestTarget, RetryPolicy, StatusCode};
use networking_spi::prelude::*;
use networking_spi::{ErrorKind, Result};

const LAMPS: NewOrder<'static> = NewOrder {
    item: "lamp",
    quantity: 2,
};

fn lamps() -> Order {
    Order {
        id: 1,
        item: "lamp".to_owned(),
        quantity: 2,
    }
}

// A mock. The verbs (`get`, `post`) are methods of an extension trait, so only the method `request` is mocked.

#[tokio::test]
async fn mock_an_order_is_requested_by_its_id() {
    let mut http = MockHttpClient::new();
    http.expect_request()
        .withf(|request| {
            request.method == Method::GET && request.target == RequestTarget::Relative("orders/1".to_owned())
        })
        .times(1)
        .returning(|_| HttpResponse::new(StatusCode::OK).with_json(&lamps()));
    let orders = OrdersApi::new(Arc::new(http));
    assert_eq!(orders.order(1).await.unwrap(), lamps());
}

#[tokio::test]
async fn mock_an_order_carries_its_key_and_its_body() {
    let mut http = MockHttpClient::new();
    http.expect_request()
        .withf(|request| {
            let body = request.body.as_bytes().map(AsRef::as_ref);
            request.headers["idempotency-key"] == "key-1" && body == Some(br#"{"item":"lamp","quantity":2}"#)
        })
        .times(1)
        .returning(|_| HttpResponse::new(StatusCode::CREATED).with_json(&lamps()));
    let orders = OrdersApi::new(Arc::new(http));
    assert_eq!(orders.place(&LAMPS, "key-1").await.unwrap(), lamps());
}

#[tokio::test]
async fn mock_errors_keep_their_cause() {
    let mut http = MockHttpClient::new();
    http.expect_request()
        .returning(|_| Err(NetworkError::new(ErrorKind::Dns, "http.request", "no such host")));
    let error = OrdersApi::new(Arc::new(http)).order(1).await.unwrap_err();
    assert_eq!(error.to_string(), "the request to the shop failed");
    assert!(matches!(error, OrdersError::Http(cause) if cause.is_a(ErrorKind::Connection)));
}

// An in-memory server, under the wrappers that the application uses. The clock is paused, so waits take no real time.

fn shop(memory: &MemoryHttpClient) -> Result<OrdersApi> {
    let http = HttpClientBuilder::over(memory.clone())
        .base_url("https://shop.example/v1")
        .retry(RetryPolicy::new(3))
        .build()?;
    Ok(OrdersApi::new(Arc::new(http)))
}

#[tokio::test(start_paused = true)]
async fn memory_a_busy_shop_is_retried_after_its_delay() -> Result<()> {
    let memory = MemoryHttpClient::new();
    let busy = Reply::new(StatusCode::TOO_MANY_REQUESTS).with_header("retry-after", "7")?;
    let done = Reply::new(StatusCode::CREATED).with_json(&lamps())?;
    memory.route(Method::POST, "/v1/orders", [busy, done])?;
    let started = tokio::time::Instant::now();

    assert_eq!(shop(&memory)?.place(&LAMPS, "key-1").await.unwrap(), lamps());
    assert!(started.elapsed() >= Duration::from_secs(7));
    let keys: Vec<String> = memory
        .received()
        .iter()
        .filter_map(|request| request.header("idempotency-key").map(str::to_owned))
        .collect();
    assert_eq!(keys, ["key-1", "key-1"]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn memory_each_response_has_its_error() -> Result<()> {
    let memory = MemoryHttpClient::new();
    let problem = serde_json::json!({"detail": "no lamps left"});
    let refused = Reply::new(StatusCode::UNPROCESSABLE_ENTITY).with_json(&problem)?;
    let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE).with_header("retry-after", "60")?;
    memory.route(Method::POST, "/v1/orders", refused)?;
    memory.route(Method::GET, "/v1/orders/1", Reply::new(StatusCode::NOT_FOUND))?;
    memory.route(Method::GET, "/v1/orders/2", busy)?;
    memory.route(Method::GET, "/v1/orders/3", Reply::ok().with_body("not JSON"))?;
    let orders = shop(&memory)?;

    let refused = orders.place(&LAMPS, "key-1").await.unwrap_err();
    assert_eq!(refused.to_string(), "the order was refused: no lamps left");
    assert!(matches!(orders.order(1).await.unwrap_err(), OrdersError::NotFound(1)));
    let busy = orders.order(2).await.unwrap_err();
    assert!(matches!(busy, OrdersError::Busy { retry_after: Some(after) } if after.as_secs() == 60));
    let invalid = orders.order(3).await.unwrap_err();
    assert!(matches!(invalid, OrdersError::Http(cause) if cause.kind() == ErrorKind::Decode));
    Ok(())
}

// A recording. The file was written by a `RecordingClient` around the application's transport, with `CassetteMode::Record`. Its
// credentials are redacted.

#[tokio::test(start_paused = true)]
async fn replay_a_recorded_conversation() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/orders.json");
    let cassette = Cassette::open(file, CassetteMode::Replay, CassetteConfig::new()).await?;
    let http = HttpClientBuilder::over(ReplayClient::new(cassette.clone()))
        .base_url("https://shop.example/v1")
        .retry(RetryPolicy::new(3))
        .build()?;
    let orders = OrdersApi::new(Arc::new(http));

    assert_eq!(orders.place(&LAMPS, "key-1").await.unwrap(), lamps());
    assert_eq!(orders.order(1).await.unwrap(), lamps());
    assert!(matches!(orders.order(2).await.unwrap_err(), OrdersError::NotFound(2)));
    cassette.verify_all_used()
}
