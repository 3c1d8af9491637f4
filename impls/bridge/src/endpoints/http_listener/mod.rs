//! Receives webhooks: an HTTP server whose request bodies are messages.

mod response;
mod serve;
mod signature;

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderName, Method};
use networking_spi::bridge::{
    Acknowledge, BridgeMessage, BridgeProtocol, BridgeReceipt, BridgeSource, Delivery, EndpointHealth, HealthState,
};
use networking_spi::clock::Clock;
use networking_spi::error::context;
use networking_spi::validate;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use networking_runtime::clock::TokioClock;
pub use signature::HmacSha256;
use signature::Verifier;

/// A source that listens for HTTP requests. Each request body is a message.
///
/// # Responses
///
/// | status | when |
/// |---|---|
/// | 202 | the bridge has acknowledged the message; the JSON body has `id`, `disposition`, `target` and `position` |
/// | 400 | the body cannot be read, or the message is not valid |
/// | 401 | the signature is missing or wrong; the message never enters the bridge |
/// | 404, 405 | the path or the method is not configured |
/// | 408 | the body did not arrive within the request timeout |
/// | 413 | the body is too large |
/// | 422 | no rule matches the message, or its payload does not have the encoding that the target needs |
/// | 500, 502 | the message cannot be delivered, and a retry would not help |
/// | 503 with `Retry-After` | the peer may retry: a transient failure of the sink, a full backlog (for example of a paused bridge), no result within the request timeout, or shutdown |
/// | 503 | an injected fault |
///
/// The status is 202 only after the bridge has acknowledged the message. If the peer disconnects or the request timeout passes
/// while the message is in the backlog, the message is withdrawn. After that it may still be delivered, so a peer that retries
/// delivers at least once.
///
/// # Messages
///
/// The id is the value of the id header; without one, the listener generates an id. The header fields of the request become
/// those of the message, with names in lower case. Hop-by-hop fields are left out. Credentials (`authorization`, `cookie`,
/// signatures, tokens) are also left out, so that they are not stored with the message. `Content-Type` becomes the content
/// type, and the path becomes the origin.
///
/// # Limits
///
/// The number of connections, the sizes of headers and bodies, the times for headers and for requests, and the backlog are
/// limited. The listener has no TLS: put it behind a proxy that terminates TLS, or listen on a loopback address.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use networking_bridge::{HmacSha256, HttpListenerSource};
/// use networking_spi::prelude::*;
///
/// let listener = HttpListenerSource::builder(([127, 0, 0, 1], 0))
///     .path("/webhooks")
///     .id_header("x-github-delivery")
///     .signature(HmacSha256::github("secret"))
///     .build()?;
/// listener.start().await?;
/// println!("http://{}/webhooks", listener.local_addr().unwrap());
/// listener.stop().await?;
/// # Ok::<_, NetworkError>(()) }).unwrap();
/// ```
pub struct HttpListenerSource {
    shared: Arc<Shared>,
    queue: tokio::sync::Mutex<mpsc::Receiver<Queued>>,
    started: AtomicBool,
    /// Stops the listener when it is dropped.
    _stop_on_drop: DropGuard,
}

/// The state that connections share.
struct Shared {
    settings: Settings,
    verifier: Option<Verifier>,
    faults: Option<Faults>,
    clock: Arc<dyn Clock>,
    queue: mpsc::Sender<Queued>,
    connections: TaskTracker,
    connection_permits: Arc<Semaphore>,
    stopping: CancellationToken,
    /// Cancelled when the listener has stopped and all its connections are closed.
    drained: CancellationToken,
    address: OnceLock<SocketAddr>,
    counters: Counters,
    next_id: AtomicU64,
    /// Random, so that two listeners generate different ids.
    id_prefix: u64,
}

struct Settings {
    bind: SocketAddr,
    paths: BTreeSet<String>,
    methods: Vec<Method>,
    id_header: Option<HeaderName>,
    key_header: Option<HeaderName>,
    max_body_size: usize,
    header_read_timeout: Duration,
    request_timeout: Duration,
}

struct Faults {
    rate: f64,
    random: Mutex<fastrand::Rng>,
}

/// A message whose request waits for the result.
struct Queued {
    message: BridgeMessage,
    sender: oneshot::Sender<Result<BridgeReceipt>>,
}

#[derive(Default)]
struct Counters {
    connections: AtomicU64,
    requests: AtomicU64,
    accepted: AtomicU64,
    rejected_signatures: AtomicU64,
    injected_faults: AtomicU64,
    overloaded: AtomicU64,
    timed_out: AtomicU64,
    withdrawn: AtomicU64,
}

/// The counters of a listener, from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HttpListenerCounters {
    /// Accepted connections.
    pub connections: u64,
    /// All requests, with any response.
    pub requests: u64,
    /// Requests answered with 202.
    pub accepted: u64,
    /// Requests whose signature is missing or wrong.
    pub rejected_signatures: u64,
    /// Requests answered with an injected fault.
    pub injected_faults: u64,
    /// Requests refused because the backlog was full.
    pub overloaded: u64,
    /// Requests whose message was neither acknowledged nor rejected within the request timeout.
    pub timed_out: u64,
    /// Messages removed from the backlog because their request had ended.
    pub withdrawn: u64,
}

impl HttpListenerSource {
    /// Starts to configure a listener on this address; with port 0 the system chooses the port. The defaults: any path,
    /// `POST`, bodies up to 25 MiB, 1024 connections, a backlog of 256 messages, 10 s for the headers and 30 s for a request.
    pub fn builder(bind: impl Into<SocketAddr>) -> HttpListenerBuilder {
        HttpListenerBuilder {
            bind: bind.into(),
            paths: BTreeSet::new(),
            methods: vec![Method::POST],
            id_header: None,
            key_header: None,
            max_body_size: 25 << 20,
            max_connections: 1024,
            backlog: 256,
            header_read_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            signature: None,
            faults: None,
            clock: None,
        }
    }

    /// The address on which it listens; `None` before it has started.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.shared.address.get().copied()
    }

    /// The counters.
    pub fn counters(&self) -> HttpListenerCounters {
        let counters = &self.shared.counters;
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HttpListenerCounters {
            connections: get(&counters.connections),
            requests: get(&counters.requests),
            accepted: get(&counters.accepted),
            rejected_signatures: get(&counters.rejected_signatures),
            injected_faults: get(&counters.injected_faults),
            overloaded: get(&counters.overloaded),
            timed_out: get(&counters.timed_out),
            withdrawn: get(&counters.withdrawn),
        }
    }
}

#[async_trait]
impl BridgeSource for HttpListenerSource {
    fn protocol(&self) -> BridgeProtocol {
        BridgeProtocol::Http
    }

    async fn start(&self) -> Result<()> {
        if self.shared.stopping.is_cancelled() {
            return Err(NetworkError::closed("http_listener.start", "the listener"));
        }
        if self.started.swap(true, Ordering::AcqRel) {
            return Err(NetworkError::new(
                ErrorKind::Conflict,
                "http_listener.start",
                "the listener is already started",
            ));
        }
        let bind = self.shared.settings.bind;
        let listening = TcpListener::bind(bind)
            .await
            .and_then(|listener| Ok((listener.local_addr()?, listener)));
        let (address, listener) = listening.map_err(|error| {
            self.started.store(false, Ordering::Release);
            NetworkError::new(
                ErrorKind::Connection,
                "http_listener.start",
                "the listener cannot bind its address",
            )
            .with_context(context::ADDRESS, bind.to_string())
            .with_source(error)
        })?;
        let _ = self.shared.address.set(address);
        tokio::spawn(serve::accept(Arc::clone(&self.shared), listener));
        Ok(())
    }

    async fn receive(&self) -> Result<Option<Delivery>> {
        let mut queue = self.queue.lock().await;
        loop {
            let queued = tokio::select! {
                biased;
                queued = queue.recv() => queued,
                () = self.shared.drained.cancelled() => queue.try_recv().ok(),
            };
            let Some(queued) = queued else { return Ok(None) };
            if queued.sender.is_closed() {
                self.shared.counters.withdrawn.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            return Ok(Some(Delivery::new(queued.message, Box::new(Completion(queued.sender)))));
        }
    }

    async fn stop(&self) -> Result<()> {
        self.shared.stopping.cancel();
        if !self.started.load(Ordering::Acquire) {
            self.shared.drained.cancel();
        }
        Ok(())
    }

    async fn health(&self) -> EndpointHealth {
        match self.local_addr() {
            Some(address) if !self.shared.stopping.is_cancelled() => {
                EndpointHealth::new(HealthState::Up).with_detail(format!("listens on {address}"))
            }
            _ => EndpointHealth::new(HealthState::Down).with_detail("the listener is not listening"),
        }
    }
}

impl fmt::Debug for HttpListenerSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpListenerSource")
            .field("bind", &self.shared.settings.bind)
            .field("address", &self.shared.address.get())
            .field("paths", &self.shared.settings.paths)
            .field("signed", &self.shared.verifier.is_some())
            .finish_non_exhaustive()
    }
}

struct Completion(oneshot::Sender<Result<BridgeReceipt>>);

impl Acknowledge for Completion {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        // Fails if the request has ended.
        let _ = self.0.send(result);
    }
}

/// Builds an [`HttpListenerSource`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct HttpListenerBuilder {
    bind: SocketAddr,
    paths: BTreeSet<String>,
    methods: Vec<Method>,
    id_header: Option<String>,
    key_header: Option<String>,
    max_body_size: usize,
    max_connections: usize,
    backlog: usize,
    header_read_timeout: Duration,
    request_timeout: Duration,
    signature: Option<HmacSha256>,
    faults: Option<(f64, u64)>,
    clock: Option<Arc<dyn Clock>>,
}

impl HttpListenerBuilder {
    /// Accepts only requests to this path. Further calls add paths.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.paths.insert(path.into());
        self
    }

    /// Accepts these methods instead of `POST`.
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        self
    }

    /// Sets the header with the message's id, such as `x-github-delivery`. Requests without it get a generated id.
    pub fn id_header(mut self, name: impl Into<String>) -> Self {
        self.id_header = Some(name.into());
        self
    }

    /// Sets the header with the message's key. Requests without it have no key.
    pub fn key_header(mut self, name: impl Into<String>) -> Self {
        self.key_header = Some(name.into());
        self
    }

    /// Sets the maximum size of a body, in bytes. A larger body is answered with 413.
    pub fn max_body_size(mut self, bytes: usize) -> Self {
        self.max_body_size = bytes;
        self
    }

    /// Sets the maximum number of connections. Further ones wait to be accepted.
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets the maximum number of messages that wait for the bridge. Further requests are answered with 503.
    pub fn backlog(mut self, messages: usize) -> Self {
        self.backlog = messages;
        self
    }

    /// Sets how long a peer may take to send the headers of a request.
    pub fn header_read_timeout(mut self, timeout: Duration) -> Self {
        self.header_read_timeout = timeout;
        self
    }

    /// Sets how long a request may take, from its headers to its response.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Accepts only signed requests. Others are answered with 401.
    pub fn signature(mut self, signature: HmacSha256) -> Self {
        self.signature = Some(signature);
        self
    }

    /// For demonstrations and tests: answers a share of the valid requests, from 0.0 to 1.0, with 503 before the message enters
    /// the bridge. The same seed gives the same sequence.
    pub fn fault_injection(mut self, rate: f64, seed: u64) -> Self {
        self.faults = Some((rate, seed));
        self
    }

    /// Sets the clock for [`received_at`](BridgeMessage::received_at). Time limits use tokio's clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Builds the listener. It listens when the bridge starts it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn build(self) -> Result<HttpListenerSource> {
        for path in &self.paths {
            validate::ensure(path.starts_with('/'), "path", "must start with a slash")?;
        }
        validate::ensure(!self.methods.is_empty(), "methods", "must not be empty")?;
        validate::ensure(self.max_body_size > 0, "max_body_size", "must be at least 1")?;
        let connections = 1..=Semaphore::MAX_PERMITS;
        validate::ensure(
            connections.contains(&self.max_connections),
            "max_connections",
            "must be at least 1",
        )?;
        validate::ensure(
            (1..=1_000_000).contains(&self.backlog),
            "backlog",
            "must be between 1 and 1000000",
        )?;
        validate::positive(self.header_read_timeout, "header_read_timeout")?;
        validate::positive(self.request_timeout, "request_timeout")?;
        if let Some((rate, _)) = self.faults {
            validate::share(rate, "fault_injection.rate")?;
        }
        let verifier = self.signature.as_ref().map(Verifier::new).transpose()?;
        let settings = Settings {
            bind: self.bind,
            id_header: header_name(self.id_header, "id_header")?,
            key_header: header_name(self.key_header, "key_header")?,
            paths: self.paths,
            methods: self.methods,
            max_body_size: self.max_body_size,
            header_read_timeout: self.header_read_timeout,
            request_timeout: self.request_timeout,
        };
        let (sender, receiver) = mpsc::channel(self.backlog);
        let stopping = CancellationToken::new();
        let shared = Shared {
            settings,
            verifier,
            faults: self.faults.map(|(rate, seed)| Faults {
                rate,
                random: Mutex::new(fastrand::Rng::with_seed(seed)),
            }),
            clock: self.clock.unwrap_or_else(|| Arc::new(TokioClock::new())),
            queue: sender,
            connections: TaskTracker::new(),
            connection_permits: Arc::new(Semaphore::new(self.max_connections)),
            stopping: stopping.clone(),
            drained: CancellationToken::new(),
            address: OnceLock::new(),
            counters: Counters::default(),
            next_id: AtomicU64::new(1),
            id_prefix: fastrand::u64(..),
        };
        Ok(HttpListenerSource {
            shared: Arc::new(shared),
            queue: tokio::sync::Mutex::new(receiver),
            started: AtomicBool::new(false),
            _stop_on_drop: stopping.drop_guard(),
        })
    }
}

fn header_name(name: Option<String>, field: &str) -> Result<Option<HeaderName>> {
    let parse = |name: String| {
        HeaderName::try_from(name).map_err(|_| NetworkError::invalid_input(field, "is not a header name"))
    };
    name.map(parse).transpose()
}
