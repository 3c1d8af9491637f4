//! `HttpSink`, over a client in memory.

use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use networking_bridge::HttpSink;
use networking_conformance::endpoint::sink::{Received, SinkHarness, SinkPeer, SinkProfile, SinkSubject};
use networking_conformance::endpoint::{Carries, Content};
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::bridge::{BridgeMessage, BridgeProtocol};
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse, RetryPolicy,
    StatusCode,
};
use networking_spi::{NetworkError, Result};
use tokio::sync::watch;

const BASE: &str = "https://user:hunter2-of-the-url@api.example.com/v1/";
const SECRET: &str = "hunter2-of-the-header";

pub(crate) struct Http;

impl Harness for Http {
    fn backend(&self) -> &'static str {
        "http_sink"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl SinkHarness for Http {
    fn profile(&self) -> SinkProfile {
        let mut content = Content::all();
        content.key = Carries::Nothing;
        content.headers = Carries::FieldValues;
        content.header_order = false;
        SinkProfile::new(BridgeProtocol::Http, content, "events")
            .with_other_target("others")
            .with_invalid_target("https://[::1")
            .with_unavailable_peer()
            .with_held_acknowledgements()
            .with_refusals()
            .with_secret("hunter2-of-the-url")
            .with_secret(SECRET)
    }

    async fn sink(&self) -> Result<SinkSubject> {
        let server = Arc::new(Server {
            state: Mutex::default(),
            held: watch::Sender::new(false),
        });
        let sink = HttpSink::new(Arc::new(Client(Arc::clone(&server))))
            .with_base_url(BASE.parse()?)
            .with_header("authorization", &format!("Bearer {SECRET}"))?;
        Ok(SinkSubject::new(Arc::new(sink), server))
    }
}

#[derive(Debug)]
struct Server {
    state: Mutex<State>,
    held: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// The path and the message of each request.
    received: Vec<(String, BridgeMessage)>,
    unavailable: bool,
    refuses: bool,
}

impl Server {
    fn respond(&self, request: &HttpRequest) -> StatusCode {
        let mut state = self.state.lock().unwrap();
        if state.unavailable {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        if std::mem::take(&mut state.refuses) {
            return StatusCode::UNPROCESSABLE_ENTITY;
        }
        let url = request.target.url().expect("the sink resolves its targets");
        state.received.push((url.path().to_owned(), message(request)));
        StatusCode::NO_CONTENT
    }
}

/// The message that a request carries.
fn message(request: &HttpRequest) -> BridgeMessage {
    let text = |name: &str| {
        request
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
    };
    let body = request.body.as_bytes().cloned().unwrap_or_default();
    let mut message = BridgeMessage::new(text("x-bridge-message-id").unwrap(), body, SystemTime::UNIX_EPOCH);
    message.content_type = text("content-type");
    let fields = request.headers.iter();
    message.headers = fields
        .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        .collect();
    message
}

#[async_trait]
impl SinkPeer for Server {
    async fn received(&self, target: &str) -> Vec<Received> {
        let state = self.state.lock().unwrap();
        let of_target = state.received.iter().filter(|(path, _)| path.ends_with(target));
        of_target.map(|(_, message)| Received::new(message.clone())).collect()
    }

    async fn set_available(&self, available: bool) -> Result<()> {
        self.state.lock().unwrap().unavailable = !available;
        Ok(())
    }

    async fn set_held(&self, held: bool) -> Result<()> {
        self.held.send_replace(held);
        Ok(())
    }

    async fn refuse_next(&self) -> Result<()> {
        self.state.lock().unwrap().refuses = true;
        Ok(())
    }
}

#[derive(Debug)]
struct Client(Arc<Server>);

#[async_trait]
impl HttpClient for Client {
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
        let mut held = self.0.held.subscribe();
        held.wait_for(|held| !held).await.unwrap();
        tokio::task::yield_now().await;
        Ok(HttpResponse::new(self.0.respond(&request)))
    }

    fn capabilities(&self) -> HttpCapabilities {
        HttpCapabilities::none()
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        Err(NetworkError::unsupported("test.client_metrics", "metrics"))
    }

    fn configure_retry_policy(&self, _policy: RetryPolicy) -> Result<()> {
        Err(NetworkError::unsupported("test.configure_retry_policy", "retry"))
    }

    fn configure_circuit_breaker(&self, _: Arc<dyn CircuitBreaker>, _: HttpCircuitOptions) -> Result<()> {
        Err(NetworkError::unsupported(
            "test.configure_circuit_breaker",
            "circuit_breaker",
        ))
    }
}
