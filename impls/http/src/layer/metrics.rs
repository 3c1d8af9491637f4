//! Counting and tracing.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use networking_spi::error::context;
use networking_spi::http::{
    HttpBody, HttpCapabilities, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse, RequestTarget,
};
use networking_spi::{NetworkError, Result};
use tokio::time::Instant;
use tracing::{Instrument, Span, field};

use super::HttpCounters;
use super::conventions::{client_span, method_name, note_error, note_status, report_failure};
#[cfg(feature = "metrics")]
use super::recorder::Recorder;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::Attempts;
use crate::marks::host;

/// Counts calls, and opens a span for each (`http.request`, level `INFO`, with the attributes of OpenTelemetry's semantic
/// conventions for HTTP clients).
///
/// The span ends with the response head. Headers, bodies, and secrets in the URL are not recorded. An error of the call or of its
/// response body is also an event of the level `ERROR`.
///
/// # Order
///
/// Right: outermost, so that a call is counted once, including all its waits.
///
/// ```
/// # use networking_http::{MemoryHttpClient, layer::{MetricsClient, RetryClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let client = MetricsClient::new(RetryClient::new(transport, RetryPolicy::default())?);
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside a [`RetryClient`](super::RetryClient). Each attempt would count as a call, and latencies would exclude the
/// waits.
#[derive(Debug)]
pub struct MetricsClient<C> {
    inner: C,
    counters: Arc<HttpCounters>,
    #[cfg(feature = "metrics")]
    recorder: Option<Recorder>,
}

inner_access!(
    MetricsClient,
    "Counters that were passed to [`with_counters`](Self::with_counters) stay readable; others are dropped."
);

impl<C> MetricsClient<C> {
    /// Counts the calls to `inner`.
    pub fn new(inner: C) -> Self {
        Self::with_counters(inner, Arc::default())
    }

    /// Counts into `counters`, which can be shared with other wrappers.
    pub fn with_counters(inner: C, counters: Arc<HttpCounters>) -> Self {
        Self {
            inner,
            counters,
            #[cfg(feature = "metrics")]
            recorder: None,
        }
    }

    /// Also writes measurements to the installed recorder of the crate `metrics`, under the names of OpenTelemetry's semantic
    /// conventions:
    ///
    /// | name | kind | unit | |
    /// |---|---|---|---|
    /// | `http.client.request.duration` | histogram | seconds | up to the response head or the error, with retries and waits |
    /// | `http.client.active_requests` | gauge | calls | up to the response head or the error |
    /// | `http.client.request.body.size` | histogram | bytes | of requests that got a response, if the size is known |
    /// | `http.client.response.body.size` | histogram | bytes | if the size is known when the head arrives |
    ///
    /// Labels: `http.request.method`, `server.address` (`_other` after the first 200 hosts), `server.port`, and, except for the
    /// gauge, `http.response.status_code` and `error.type`.
    #[cfg(feature = "metrics")]
    pub fn recorded(mut self) -> Self {
        self.recorder = Some(Recorder::new());
        self
    }
}

impl<C: HttpClient> Wrapper for MetricsClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let call = self.counters.start();
        let started = Instant::now();
        let sent = request.body.length();
        let span = client_span!("http.request", &request, http.request.resend_count = field::Empty);
        let host = peer(&request);
        let method = method_name(&request.method);
        #[cfg(feature = "metrics")]
        let measured = self.recorder.as_ref().map(|recorder| recorder.start(&request));
        let result = if span.is_disabled() {
            next.send(request).await
        } else {
            // Boxed, so that the futures of calls that are not traced stay small.
            Box::pin(next.send(request).instrument(span.clone())).await
        };
        match result {
            Ok(mut response) => {
                call.responded(response.status, started.elapsed());
                self.counters.bytes_sent.fetch_add(sent.unwrap_or_default(), Relaxed);
                note_response(&span, &response);
                #[cfg(feature = "metrics")]
                if let Some(measured) = &measured {
                    measured.responded(response.status, started.elapsed(), sent, response.body.length());
                }
                response.body = self.count(response.body, host, method);
                Ok(response)
            }
            Err(error) => {
                let error = with_host(error, host.as_deref());
                note_error(&span, &error);
                note_attempts(&span, error.attempts());
                report_failure(&span, method, &error);
                #[cfg(feature = "metrics")]
                if let Some(measured) = &measured {
                    measured.failed(&error, started.elapsed());
                }
                call.failed(&error);
                Err(error)
            }
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for MetricsClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.metrics = true;
        capabilities
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        Ok(self.counters.snapshot())
    }

    pass_on!(request, configure_retry_policy, configure_circuit_breaker);
}

impl<C> MetricsClient<C> {
    /// Counts the bytes of a body: immediately if it is in memory, and while it is read if it is a stream.
    fn count(&self, body: HttpBody, host: Option<Box<str>>, method: &'static str) -> HttpBody {
        if let Some(bytes) = body.as_bytes() {
            self.counters.bytes_received.fetch_add(bytes.len() as u64, Relaxed);
            return body;
        }
        let counters = Arc::clone(&self.counters);
        body.inspect(move |chunk| {
            let chunk = chunk.map_err(|error| {
                let error = with_host(error, host.as_deref());
                report_failure(&Span::current(), method, &error);
                error
            })?;
            counters.bytes_received.fetch_add(chunk.len() as u64, Relaxed);
            Ok(chunk)
        })
    }
}

/// The peer, as errors show it.
fn peer(request: &HttpRequest) -> Option<Box<str>> {
    match &request.target {
        RequestTarget::Absolute(url) => Some(host::of(url).into()),
        RequestTarget::Relative(_) => None,
    }
}

/// Adds the host to errors that do not have it, such as those of wrappers.
fn with_host(error: NetworkError, host: Option<&str>) -> NetworkError {
    match host {
        Some(host) if error.context().all(|(key, _)| key != "host") => error.with_context(context::HOST, host),
        _ => error,
    }
}

fn note_response(span: &Span, response: &HttpResponse) {
    note_status(span, response.status);
    note_attempts(
        span,
        response.extensions.get::<Attempts>().map_or(1, |attempts| attempts.0),
    );
}

fn note_attempts(span: &Span, attempts: u32) {
    if attempts > 1 {
        span.record("http.request.resend_count", attempts - 1);
    }
}
