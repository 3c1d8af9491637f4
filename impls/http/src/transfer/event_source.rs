//! Server-sent events with reconnection.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use futures_core::future::BoxFuture;
use futures_util::StreamExt;
use http::{HeaderValue, StatusCode, header};
use networking_spi::clock::Clock;
use networking_spi::error::ResultExt;
use networking_spi::http::{
    EventLimits, EventParser, EventStream, HttpClient, HttpRequest, HttpResponse, RetryPolicy, ServerSentEvent,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};
use tokio::time::{Sleep, sleep};

use super::attempt_policy;
use crate::marks::given_up;
use networking_runtime::clock::TokioClock;

/// A stream of server-sent events (WHATWG HTML standard) over any client, which reconnects.
///
/// * When a connection ends or fails, the source reconnects with `Last-Event-ID`, after the delay of its policy, and not before
///   the time in the server's `retry` field (at most an hour). After `max_attempts` attempts in a row without an event stream,
///   the source ends with the last error. An event stream that ends, with or without an error, does not end the source.
/// * Statuses that the policy lists (429, 503, ...) are retried, and `Retry-After` is obeyed. Other statuses except 200 and 204,
///   and content types other than `text/event-stream`, end the stream with an error.
/// * 204 ends the stream without an error.
///
/// The client's size limit for responses does not apply: [`EventLimits`] limit the events. The client's time limits apply until the
/// response head, and its retries not at all; a limit or a number of retries that the request itself sets applies. Nor does the
/// [read timeout](crate::TransportConfig::read_timeout) of the transports apply to the events: they may be as rare as they like, and
/// TCP keep-alive and the pings of HTTP/2 notice a lost peer.
///
/// Cancel safety: dropping the future of the next event loses neither events nor a connection attempt. Dropping the source
/// closes its connection.
///
/// ```no_run
/// use networking_http::EventSource;
/// use networking_spi::http::{HttpRequest, Method};
/// use networking_spi::prelude::*;
///
/// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
/// let mut events = EventSource::new(http, HttpRequest::new(Method::GET, "https://example.com/prices"))?;
/// while let Some(event) = events.try_next().await? {
///     println!("{} {}: {}", event.id, event.event, event.data);
/// }
/// # Ok(()) }
/// ```
#[must_use = "the source connects when it is polled for the first event"]
pub struct EventSource {
    client: Arc<dyn HttpClient>,
    request: HttpRequest,
    retry: RetryPolicy,
    limits: EventLimits,
    observer: Option<Observer>,
    clock: Arc<dyn Clock>,
    last_event_id: String,
    /// The `retry` field of the server.
    server_delay: Option<Duration>,
    /// Attempts since the last event stream.
    attempts: u32,
    state: State,
}

type Observer = Box<dyn Fn(&Reconnect<'_>) + Send + Sync>;

/// The upper limit of the server's `retry` field.
const MAX_SERVER_DELAY: Duration = Duration::from_secs(3600);

enum State {
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Connecting(BoxFuture<'static, Result<HttpResponse>>),
    Open(EventStream),
    Ended,
}

/// A connection ended or an attempt failed, and another attempt follows.
#[derive(Debug)]
#[non_exhaustive]
pub struct Reconnect<'e> {
    /// The error; `None` if the response ended without one.
    pub error: Option<&'e NetworkError>,
    /// The wait before the next connection attempt.
    pub delay: Duration,
    /// Attempts since the last event stream; 0 if one has ended.
    pub attempts: u32,
}

impl EventSource {
    /// The events of `request`. At most 10 attempts in a row without an event stream, with delays from 1 s to 30 s.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a body that can be sent only once.
    pub fn new(client: Arc<dyn HttpClient>, mut request: HttpRequest) -> Result<Self> {
        if request.body.try_clone().is_none() {
            return Err(NetworkError::invalid_input(
                "body",
                "must be a body that can be sent again",
            ));
        }
        let headers = &mut request.headers;
        headers
            .entry(header::ACCEPT)
            .or_insert(HeaderValue::from_static("text/event-stream"));
        headers
            .entry(header::CACHE_CONTROL)
            .or_insert(HeaderValue::from_static("no-store"));
        attempt_policy::prepare(&mut request, client.capabilities());
        Ok(Self {
            client,
            request,
            retry: RetryPolicy::new(10).with_delays(Duration::from_secs(1), Duration::from_secs(30)),
            limits: EventLimits::default(),
            observer: None,
            clock: Arc::new(TokioClock::new()),
            last_event_id: String::new(),
            server_delay: None,
            attempts: 0,
            state: State::Idle,
        })
    }

    /// Sets the number of attempts in a row without an event stream, the delays between them, and the statuses that are retried. The
    /// policy's predicate takes precedence; its budget is not used.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn with_reconnect(mut self, policy: RetryPolicy) -> Result<Self> {
        policy.validate().in_field("reconnect")?;
        self.retry = policy;
        Ok(self)
    }

    /// Sets the largest sizes of lines and events.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn with_limits(mut self, limits: EventLimits) -> Result<Self> {
        limits.validate()?;
        self.limits = limits;
        Ok(self)
    }

    /// Resumes after an event that was received earlier, for example by another process.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an id that a header cannot have.
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        if HeaderValue::try_from(id.as_str()).is_err() {
            return Err(NetworkError::invalid_input(
                "last_event_id",
                "has characters that a header cannot have",
            ));
        }
        self.last_event_id = id;
        Ok(self)
    }

    /// Sets the clock that dates in `Retry-After` are compared with. The default is tokio's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Reports each reconnection to `observer`, which must not block.
    pub fn on_reconnect(mut self, observer: impl Fn(&Reconnect<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Returns the next event; `None` after the end. The same as the method of futures' `StreamExt`, which is not needed.
    ///
    /// Cancel safety: if the future is dropped, neither events nor a connection attempt are lost.
    pub async fn next(&mut self) -> Option<Result<ServerSentEvent>> {
        StreamExt::next(self).await
    }

    /// Returns the next event, or the error that ends the stream; `None` after the end. The same as the method of futures'
    /// `TryStreamExt`, which is not needed.
    ///
    /// Cancel safety: if the future is dropped, neither events nor a connection attempt are lost.
    ///
    /// # Errors
    /// The last error, when the source does not reconnect any more.
    pub async fn try_next(&mut self) -> Result<Option<ServerSentEvent>> {
        self.next().await.transpose()
    }

    /// The id of the last event; empty if no event had an id.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    fn connect(&mut self) -> State {
        let Some(mut request) = self.request.try_clone() else {
            return State::Ended;
        };
        self.attempts += 1;
        if !self.last_event_id.is_empty() {
            // An id that is not a valid header value cannot be sent.
            if let Ok(id) = HeaderValue::try_from(self.last_event_id.as_str()) {
                request.headers.insert("last-event-id", id);
            } else {
                tracing::debug!("the last event id cannot be sent");
            }
        }
        let client = Arc::clone(&self.client);
        State::Connecting(Box::pin(async move { client.request(request).await }))
    }

    /// Handles a response head; `Ok(None)` ends the stream.
    fn accept(&self, response: HttpResponse) -> Result<Option<EventStream>> {
        if response.status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        if let Some(error) = attempt_policy::status_error(&response, &self.retry, &*self.clock) {
            return Err(error);
        }
        let parser = EventParser::new(self.limits).with_last_event_id(self.last_event_id.as_str());
        response.into_events_with(parser).map(Some)
    }

    /// Whether another connection attempt may follow this error.
    fn may_reconnect(&self, error: &NetworkError) -> bool {
        match self.state {
            // However an event stream ends, the client reconnects, unless another connection would bring the same line or event.
            State::Open(_) => {
                let decided = attempt_policy::decided(error, &self.retry);
                decided.unwrap_or_else(|| error.kind() != ErrorKind::TooLarge)
            }
            _ => attempt_policy::may_retry(error, &self.retry),
        }
    }

    /// Starts the wait before the next connection attempt, or ends the stream and returns its error.
    fn reconnect(&mut self, error: Option<NetworkError>) -> Option<NetworkError> {
        let asked = error.as_ref().and_then(|error| error.retryability().delay());
        if self.attempts >= self.retry.max_attempts || asked.is_some_and(|asked| asked > self.retry.max_retry_after) {
            self.state = State::Ended;
            let none = || {
                NetworkError::new(
                    ErrorKind::ConnectionClosed,
                    "http.events",
                    "the connections ended without an event",
                )
            };
            return Some(given_up(error.unwrap_or_else(none), self.attempts));
        }
        let delay = self
            .retry
            .backoff
            .delay(self.attempts.max(1), fastrand::f64())
            .max(asked.unwrap_or_default())
            .max(self.server_delay.unwrap_or_default().min(MAX_SERVER_DELAY));
        tracing::debug!(?delay, attempts = self.attempts, "reconnecting to an event stream");
        if let Some(observer) = &self.observer {
            observer(&Reconnect {
                error: error.as_ref(),
                delay,
                attempts: self.attempts,
            });
        }
        self.state = State::Waiting(Box::pin(sleep(delay)));
        None
    }
}

impl Stream for EventSource {
    type Item = Result<ServerSentEvent>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            let ended = match &mut this.state {
                State::Idle => {
                    this.state = this.connect();
                    continue;
                }
                State::Waiting(until) => {
                    ready!(until.as_mut().poll(cx));
                    this.state = this.connect();
                    continue;
                }
                State::Connecting(response) => {
                    match ready!(response.as_mut().poll(cx)).and_then(|response| this.accept(response)) {
                        Ok(Some(events)) => {
                            this.attempts = 0;
                            this.state = State::Open(events);
                            continue;
                        }
                        Ok(None) => {
                            this.state = State::Ended;
                            continue;
                        }
                        Err(error) => Some(error),
                    }
                }
                State::Open(events) => {
                    let next = ready!(events.poll_next_unpin(cx));
                    // An id and a delay may be sent without an event.
                    events.last_event_id().clone_into(&mut this.last_event_id);
                    this.server_delay = events.retry().or(this.server_delay);
                    match next {
                        Some(Ok(event)) => return Poll::Ready(Some(Ok(event))),
                        Some(Err(error)) => Some(error),
                        None => None,
                    }
                }
                State::Ended => return Poll::Ready(None),
            };
            let fatal = match ended {
                Some(error) if !this.may_reconnect(&error) => {
                    this.state = State::Ended;
                    Some(given_up(error, this.attempts))
                }
                ended => this.reconnect(ended),
            };
            if let Some(error) = fatal {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource")
            .field("request", &self.request)
            .field("last_event_id", &self.last_event_id)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
