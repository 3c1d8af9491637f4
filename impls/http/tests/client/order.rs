//! The order of the standard stack.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use networking_http::layer::{CircuitBreakerClient, Credentials};
use networking_http::{HttpClientBuilder, HyperTransport, MemoryHttpClient, Reply, SsrfGuard, TransportConfig};
use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, MockCircuitBreaker, ScriptedCircuit, ScriptedCircuitBreaker, always_closed,
};
use networking_spi::http::{
    HttpCircuitOptions, HttpClient, HttpClientExt, HttpRequest, HttpResponse, Intercepted, Interceptor, Method,
    RequestHead, RequestOptions, StatusCode,
};
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;

fn hanging() -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", Reply::hang()).unwrap();
    memory
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_is_a_failure_of_its_circuit() {
    let breaker = Arc::new(ScriptedCircuitBreaker::default());
    let client = HttpClientBuilder::over(hanging())
        .attempt_timeout(Duration::from_secs(1))
        .retries(0)
        .circuit_breaker(breaker.clone(), HttpCircuitOptions::new())
        .build()
        .unwrap();
    client.get("http://api.test/x").await.unwrap_err();
    assert_eq!(breaker.scripted("http://api.test").outcomes(), [CallOutcome::Failure]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_times_out_as_a_whole_is_a_cancelled_attempt() {
    let breaker = Arc::new(ScriptedCircuitBreaker::default());
    let client = HttpClientBuilder::over(hanging())
        .total_timeout(Duration::from_secs(1))
        .circuit_breaker(breaker.clone(), HttpCircuitOptions::new())
        .build()
        .unwrap();
    client.get("http://api.test/x").await.unwrap_err();
    assert_eq!(
        breaker.scripted("http://api.test").records(),
        [CallRecord::dropped(false)]
    );
}

#[tokio::test]
async fn a_destination_that_the_client_denies_says_nothing_about_the_peer() {
    let breaker = Arc::new(ScriptedCircuitBreaker::default());
    let guarded = TransportConfig::new().with_ssrf_guard(SsrfGuard::new());
    let client = HttpClientBuilder::over(HyperTransport::new(guarded).unwrap())
        .circuit_breaker(breaker.clone(), HttpCircuitOptions::new())
        .build()
        .unwrap();
    let error = client.get("http://127.0.0.1:9/").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DestinationDenied);
    let outcomes = breaker.scripted("http://127.0.0.1:9").outcomes();
    assert_eq!(outcomes, [CallOutcome::Ignored]);
}

#[tokio::test]
async fn circuit_handles_are_requested_once_per_host() {
    let mut breaker = MockCircuitBreaker::new();
    for name in ["http://a.test", "http://a.test:8080", "https://b.test"] {
        breaker
            .expect_circuit()
            .withf(move |asked| asked == name)
            .times(1)
            .returning(|_| Ok(always_closed()));
    }
    let wrapper = CircuitBreakerClient::new(MemoryHttpClient::new());
    wrapper
        .configure_circuit_breaker(Arc::new(breaker), HttpCircuitOptions::new())
        .unwrap();
    for url in [
        "http://a.test/1",
        "http://a.test:80/2",
        "http://a.test:8080/",
        "https://user:pw@b.test/",
        "https://b.test/",
    ] {
        wrapper.get(url).await.unwrap();
    }
}

#[tokio::test]
async fn cached_handles_are_dropped_if_the_breaker_is_exhausted() {
    let made = Mutex::new(Vec::<Weak<ScriptedCircuit>>::new());
    let mut breaker = MockCircuitBreaker::new();
    breaker.expect_circuit().returning(move |_| {
        let mut made = made.lock();
        made.retain(|circuit| circuit.strong_count() > 0);
        if made.len() == 2 {
            let message = "all circuits are in use";
            return Err(NetworkError::new(
                ErrorKind::Exhausted,
                "circuit_breaker.circuit",
                message,
            ));
        }
        let circuit = always_closed();
        made.push(Arc::downgrade(&circuit));
        Ok(circuit)
    });
    let wrapper = CircuitBreakerClient::new(MemoryHttpClient::new());
    wrapper
        .configure_circuit_breaker(Arc::new(breaker), HttpCircuitOptions::new())
        .unwrap();
    for host in ["a", "b", "c", "d", "a"] {
        wrapper.get(format!("http://{host}.test/")).await.unwrap();
    }
}

#[tokio::test]
async fn a_circuit_without_a_breaker_is_invalid_input() {
    let client = HttpClientBuilder::over(MemoryHttpClient::new()).build().unwrap();
    let options = RequestOptions::new().with_circuit("payments");
    let error = client.get("http://api.test/").options(options).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidInput, Some("circuit"))
    );
}

/// Checks what interceptors can see.
#[derive(Debug)]
struct CheckVisibility;

#[async_trait]
impl Interceptor for CheckVisibility {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        assert!(
            !request.headers.contains_key("authorization"),
            "interceptors do not see the client's credentials"
        );
        Ok(Intercepted::Continue(request))
    }

    async fn after(&self, _request: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        assert!(
            !response.headers.contains_key("content-encoding"),
            "bodies are decoded before interceptors see them"
        );
        Ok(response)
    }
}

#[tokio::test]
async fn interceptors_are_inside_attempts_and_outside_credentials() {
    let memory = MemoryHttpClient::new();
    // An empty gzip file.
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let reply = Reply::new(StatusCode::OK)
        .with_body(gzip)
        .with_header("content-encoding", "gzip")
        .unwrap();
    memory.route(Method::GET, "/x", reply).unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .interceptor(Arc::new(CheckVisibility))
        .credentials(Credentials::bearer("t").unwrap())
        .build()
        .unwrap();
    assert_eq!(
        client.get("http://api.test/x").await.unwrap().bytes().await.unwrap(),
        ""
    );
    assert_eq!(memory.received()[0].header("authorization"), Some("Bearer t"));
}
