//! Propagation of trace contexts.

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use networking_spi::Result;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse};
use tracing::{Instrument, field};

use super::TraceContext;
use super::conventions::{client_span, note_error, note_status};
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::ResendCount;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Provides the trace context for requests that have none in their extensions: the adapter to a tracing system.
///
/// ```
/// use networking_http::layer::{TraceContext, TraceContextSource};
///
/// tokio::task_local! {
///     static INCOMING: TraceContext;
/// }
///
/// #[derive(Debug)]
/// struct OfTheTask;
///
/// impl TraceContextSource for OfTheTask {
///     fn current(&self) -> Option<TraceContext> {
///         INCOMING.try_with(Clone::clone).ok()
///     }
/// }
/// ```
pub trait TraceContextSource: fmt::Debug + Send + Sync + 'static {
    /// The context of the current span. Called once per attempt, inside the span of the attempt: if the tracing system assigns
    /// ids to spans, return the id of that span. Must not block.
    fn current(&self) -> Option<TraceContext>;
}

/// Sends `traceparent` and `tracestate` (W3C Trace Context) with each attempt, and opens a span for it (`http.attempt`, level
/// `INFO`, with the attributes of OpenTelemetry's semantic conventions for HTTP clients).
///
/// * The context is taken from the request's [extensions](networking_spi::http::HttpRequest::extensions), or else from the
///   [`TraceContextSource`]. Requests without a context, and requests with a `traceparent` header, are sent unchanged.
/// * A context in the extensions is the caller's. Each attempt gets a child context with a new span id, which is sent to the peer
///   and recorded as `span_id`. If the span is disabled, the caller's context is sent unchanged.
/// * A context from the source is sent unchanged.
///
/// # Order
///
/// Right: inside the retries and the circuit breaker, so that each attempt that is sent has its own span, and outside the attempt
/// timeout, so that the span records the timeout.
///
/// ```
/// # use std::time::Duration;
/// # use networking_http::{MemoryHttpClient, layer::{AttemptTimeoutClient, RetryClient, TraceClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let traced = TraceClient::new(AttemptTimeoutClient::new(transport, Some(Duration::from_secs(5))), None);
/// let client = RetryClient::new(traced, RetryPolicy::default())?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: outside the retries. All attempts would have the same span.
#[derive(Debug)]
pub struct TraceClient<C> {
    inner: C,
    source: Option<Arc<dyn TraceContextSource>>,
}

inner_access!(TraceClient);

impl<C> TraceClient<C> {
    /// Sends requests to `inner` with their trace context, or with that of `source` if they have none.
    pub fn new(inner: C, source: Option<Arc<dyn TraceContextSource>>) -> Self {
        Self { inner, source }
    }
}

impl<C: HttpClient> Wrapper for TraceClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let own = request.extensions.get::<TraceContext>();
        if (own.is_none() && self.source.is_none()) || request.headers.contains_key(TRACEPARENT) {
            return next.send(request).await;
        }
        let span = client_span!(
            "http.attempt",
            &request,
            http.request.resend_count = request.extensions.get::<ResendCount>().map(|count| count.0),
            trace_id = field::Empty,
            span_id = field::Empty,
            parent_id = field::Empty
        );
        let context = match (own, &self.source) {
            (Some(caller), _) if span.is_disabled() => Some(caller.clone()),
            (Some(caller), _) => {
                let own = caller.child();
                span.record("parent_id", format!("{:016x}", caller.span_id()));
                Some(own)
            }
            (None, Some(source)) => span.in_scope(|| source.current()),
            (None, None) => None,
        };
        let Some(context) = context else {
            return next.send(request).await;
        };
        if !span.is_disabled() {
            span.record("trace_id", format!("{:032x}", context.trace_id()));
            span.record("span_id", format!("{:016x}", context.span_id()));
        }
        if let Ok(value) = HeaderValue::from_str(&context.to_string()) {
            request.headers.insert(TRACEPARENT, value);
            // A `tracestate` without `traceparent` belongs to another trace.
            request.headers.remove(TRACESTATE);
            if let Some(state) = context.state() {
                request.headers.insert(TRACESTATE, state.clone());
            }
        }
        // Boxed, so that the futures of requests without a trace stay small.
        let result = Box::pin(next.send(request).instrument(span.clone())).await;
        match &result {
            Ok(response) => note_status(&span, response.status),
            Err(error) => note_error(&span, error),
        }
        result
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for TraceClient<C> {
    pass_on!(
        request,
        capabilities,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}
