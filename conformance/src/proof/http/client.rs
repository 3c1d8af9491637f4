//! The client of each saboteur.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use networking_spi::circuit_breaker::{CallOutcome, CircuitBreaker};
use networking_spi::http::{
    ByteStream, HttpBody, HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest,
    HttpResponse, Method, RequestTarget, RetryPolicy, RetryPredicate, StatusCode, Trailers, header,
};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState};
use tokio::sync::{Semaphore, mpsc};

use super::breaker::AlteringBreaker;
use super::fidelity::{self, Memory};
use super::{Saboteur, waits};

pub(super) struct SaboteurClient {
    inner: Arc<dyn HttpClient>,
    saboteur: Saboteur,
    turns: Semaphore,
    memory: Memory,
}

impl SaboteurClient {
    pub(super) fn new(inner: Arc<dyn HttpClient>, saboteur: Saboteur) -> Self {
        Self {
            inner,
            saboteur,
            turns: Semaphore::new(if saboteur == Saboteur::OneCallAtATime { 1 } else { 8 }),
            memory: Memory::default(),
        }
    }
}

#[async_trait]
impl HttpClient for SaboteurClient {
    async fn request(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        let head = Head::of(&request);
        self.before(&mut request, &head).await?;
        fidelity::before(self.saboteur, &mut request, &head, &self.memory)?;
        waits::before(self.saboteur, &mut request, &head);
        let again = request.try_clone();
        let result = match self.saboteur {
            Saboteur::OneCallAtATime | Saboteur::EightCallsAtATime => {
                let _turn = self.turns.acquire().await;
                self.inner.request(request).await
            }
            Saboteur::IgnoresCancellation if head.path == "/" => {
                let inner = Arc::clone(&self.inner);
                tokio::spawn(async move { inner.request(request).await })
                    .await
                    .unwrap_or_else(|_| Err(NetworkError::new(ErrorKind::Internal, "saboteur", "the call panicked")))
            }
            Saboteur::KeepsCredentialsOnRedirect if head.path == "/away" => self.follow_with_everything(request).await,
            _ => self.inner.request(request).await,
        };
        let result = match (result, again) {
            (Err(error), Some(again)) if self.sends_again(&error, &head) => self.inner.request(again).await,
            (result, _) => result,
        };
        self.memory.succeeded.fetch_or(result.is_ok(), Ordering::Relaxed);
        match result {
            Ok(mut response) => {
                fidelity::after(self.saboteur, &mut response, &head, &self.memory);
                let response = waits::after(self.saboteur, response, &head).await?;
                self.after(response, &head).await
            }
            Err(error) => self.on_error(waits::on_error(self.saboteur, error, &head), &head),
        }
    }

    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.http2 ^= self.saboteur == Saboteur::DeclaresTooMuch;
        capabilities
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        if self.saboteur == Saboteur::InventsMetrics {
            return Ok(HttpClientMetrics::default());
        }
        let mut metrics = self.inner.client_metrics()?;
        match self.saboteur {
            Saboteur::OmitsSentBytes => metrics.bytes_sent = 0,
            Saboteur::OmitsErrorKinds => metrics.by_error.clear(),
            Saboteur::OmitsCancelledCalls => metrics.cancelled = 0,
            Saboteur::OmitsRetries => metrics.retries = 0,
            _ => {}
        }
        Ok(metrics)
    }

    fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()> {
        self.memory.retries.store(true, Ordering::Relaxed);
        let policy = match self.saboteur {
            Saboteur::NeverRetries429 => {
                let statuses: Vec<u16> = policy
                    .statuses
                    .iter()
                    .copied()
                    .filter(|status| *status != 429)
                    .collect();
                policy.with_statuses(statuses)
            }
            Saboteur::RetriesEveryMethod => policy.with_retry_non_idempotent(true),
            Saboteur::IgnoresMaxRetryAfter => policy.with_max_retry_after(Duration::from_secs(86_400)),
            Saboteur::NeverRetriesRejections => policy.with_predicate(Arc::new(NoRejections)),
            Saboteur::AcceptsBadPolicy if policy.max_attempts == 0 => return Ok(()),
            _ => policy,
        };
        self.inner.configure_retry_policy(policy)
    }

    fn configure_circuit_breaker(&self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<()> {
        let breaker: Arc<dyn CircuitBreaker> = match self.saboteur {
            Saboteur::CountsNotFoundAsFailure => Arc::new(AlteringBreaker {
                inner: breaker,
                alter: |mut record| {
                    record.outcome = record.outcome.map(|_| CallOutcome::Failure);
                    record
                },
            }),
            Saboteur::CountsIgnoredAsFailure => Arc::new(AlteringBreaker {
                inner: breaker,
                alter: |mut record| {
                    if record.outcome == Some(CallOutcome::Ignored) {
                        record.outcome = Some(CallOutcome::Failure);
                    }
                    record
                },
            }),
            Saboteur::DropsRetryAfter => Arc::new(AlteringBreaker {
                inner: breaker,
                alter: |mut record| {
                    record.retry_after = None;
                    record
                },
            }),
            _ => breaker,
        };
        self.inner.configure_circuit_breaker(breaker, options)
    }
}

/// The parts of a request that are needed after it was sent.
pub(super) struct Head {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) url: String,
}

impl Head {
    fn of(request: &HttpRequest) -> Self {
        let (path, url) = match &request.target {
            RequestTarget::Absolute(url) => (url.path().to_owned(), url.to_string()),
            RequestTarget::Relative(reference) => (reference.clone(), reference.clone()),
        };
        Self {
            method: request.method.clone(),
            path,
            url,
        }
    }
}

impl SaboteurClient {
    /// Whether a call that has failed is sent again, although its method is not idempotent.
    fn sends_again(&self, error: &NetworkError, head: &Head) -> bool {
        let closed = error.is_a(ErrorKind::ConnectionClosed) && head.method == Method::POST && head.path == "/lost";
        closed
            && match self.saboteur {
                Saboteur::RepeatsClosedPosts => true,
                // The case of retries sends other requests before.
                Saboteur::RepeatsOnReusedConnections => {
                    self.memory.succeeded.load(Ordering::Relaxed) && !self.memory.retries.load(Ordering::Relaxed)
                }
                Saboteur::RetriesClosedPosts => self.memory.retries.load(Ordering::Relaxed),
                _ => false,
            }
    }

    async fn before(&self, request: &mut HttpRequest, head: &Head) -> Result<()> {
        let streamed = !request.body.is_empty() && request.body.as_bytes().is_none();
        let once = request.body.try_clone().is_none();
        let options = &mut request.options;
        match self.saboteur {
            Saboteur::ChangesMethods if head.method.as_str() == "PURGE" => request.method = Method::GET,
            Saboteur::SendsGetForHead if head.method == Method::HEAD => request.method = Method::GET,
            Saboteur::LosesEmptyHeaders => {
                request.headers.remove("x-empty");
            }
            Saboteur::CutsNonAsciiQueries if head.path == "/query" => {
                request.target = head.url.replace("%C3%BC", "").into();
            }
            Saboteur::OmitsContentTypes
                if head.path == "/typed" && request.body.as_bytes().is_some_and(|body| !body.starts_with(b"{")) =>
            {
                request.headers.remove(header::CONTENT_TYPE);
            }
            Saboteur::LeavesTheBaseUrl => request.target = head.url.replacen("//127.0.0.2", "", 1).into(),
            Saboteur::LosesLastChunk if once && request.body.length().is_none() => {
                let mut chunks: Vec<_> = std::mem::take(&mut request.body).into_stream().try_collect().await?;
                chunks.pop();
                request.body = HttpBody::stream(stream::iter(chunks.into_iter().map(Ok)).boxed(), None);
            }
            Saboteur::BuffersUploads if once => {
                let whole = std::mem::take(&mut request.body).collect(usize::MAX).await?;
                let length = whole.len() as u64;
                request.body = HttpBody::stream(stream::once(future::ready(Ok(whole))).boxed(), Some(length));
            }
            Saboteur::RepeatsStreams if head.path == "/stream" => {
                request.body = std::mem::take(&mut request.body).collect(usize::MAX).await?.into();
            }
            Saboteur::OpensSourcesTwice if streamed => {
                drop(request.body.try_clone().map(HttpBody::into_stream));
            }
            Saboteur::IgnoresProxies => options.proxy = None,
            Saboteur::IgnoresRequestPolicy => options.retry = None,
            Saboteur::IgnoresRequestRetries => options.retries = None,
            Saboteur::IgnoresTimeouts => options.timeout = None,
            Saboteur::IgnoresTotalTimeouts => options.total_timeout = None,
            Saboteur::IgnoresRequestCircuit => options.circuit = None,
            Saboteur::AlwaysFollows => options.follow_redirects = None,
            Saboteur::StopsAtSeeOther if head.path == "/from/303" && head.method == Method::GET => {
                options.follow_redirects = Some(false);
            }
            Saboteur::StopsAfterPost if head.path == "/from/302" && head.method == Method::POST => {
                options.follow_redirects = Some(false);
            }
            Saboteur::AttemptTimeoutCoversTheBody => options.timeout = options.timeout.or(options.attempt_timeout),
            Saboteur::LimitCountsEncodedBytes if head.path.starts_with("/encoded/longer") => {
                options.max_response_size = None;
            }
            Saboteur::LimitIsOffByOne => options.max_response_size = options.max_response_size.map(|limit| limit + 1),
            _ => {}
        }
        Ok(())
    }

    async fn after(&self, mut response: HttpResponse, head: &Head) -> Result<HttpResponse> {
        match self.saboteur {
            Saboteur::RaisesStatus599 if response.status.as_u16() == 599 => {
                return Err(NetworkError::new(ErrorKind::Status, "http.request", "an unknown status").with_status(599));
            }
            Saboteur::DropsRepeatedHeaders => {
                if let Some(first) = response.headers.get(header::SET_COOKIE).cloned() {
                    response.headers.insert(header::SET_COOKIE, first);
                }
            }
            Saboteur::LosesTrailers => response.trailers = Trailers::none(),
            Saboteur::ReportsAnotherUrl => {
                if let Some(url) = &mut response.url {
                    url.set_query(None);
                }
            }
            Saboteur::KeepsContentEncoding if head.path == "/packed" => {
                response
                    .headers
                    .insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
            }
            Saboteur::BuffersDownloads if head.path == "/slow" => {
                response.body = response.body.collect(usize::MAX).await?.into();
            }
            Saboteur::AcceptsTruncation => {
                response.body = response.body.map_stream(|s| until(s, ErrorKind::TruncatedBody));
            }
            Saboteur::AcceptsCorruption => response.body = response.body.map_stream(|s| until(s, ErrorKind::Decode)),
            Saboteur::EndsLateBodies => response.body = response.body.map_stream(|s| until(s, ErrorKind::Timeout)),
            Saboteur::ReadsAhead if head.path == "/" => response.body = response.body.map_stream(read_ahead),
            _ => {}
        }
        Ok(response)
    }

    fn on_error(&self, error: NetworkError, head: &Head) -> Result<HttpResponse> {
        let kind = error.kind();
        let replaced = |kind| Err(NetworkError::new(kind, "http.request", "another kind of error"));
        match self.saboteur {
            Saboteur::WrongKindForBadUrls if head.url.starts_with("mailto") => replaced(ErrorKind::Unsupported),
            Saboteur::WrongKindForStatuses if error.status() == Some(401) => {
                Err(NetworkError::new(ErrorKind::Status, "http.request", "401").with_status(401))
            }
            Saboteur::ShowsSecrets => Err(error.with_context("url", head.url.clone())),
            Saboteur::MaybeSentAfterRefusal if kind == ErrorKind::ConnectionRefused => {
                Err(error.with_send_state(SendState::MaybeSent))
            }
            Saboteur::MaybeSentAfterDns if kind == ErrorKind::Dns => Err(error.with_send_state(SendState::MaybeSent)),
            Saboteur::HidesTlsErrors if kind == ErrorKind::Tls && head.path == "/" => replaced(ErrorKind::Connection),
            Saboteur::ClaimsNotSent if kind == ErrorKind::ConnectionClosed => {
                Err(error.with_send_state(SendState::NotSent))
            }
            Saboteur::HidesProtocolErrors if kind == ErrorKind::Protocol => replaced(ErrorKind::Connection),
            Saboteur::ReplacesSourceErrors if kind == ErrorKind::Rejected => replaced(ErrorKind::Remote),
            Saboteur::WrongKindForTimeouts if kind == ErrorKind::Timeout && head.path == "/silent" => {
                replaced(ErrorKind::Remote)
            }
            Saboteur::AcceptsLoops if kind == ErrorKind::Redirect => Ok(HttpResponse::new(StatusCode::FOUND)),
            Saboteur::HidesAttempts if kind != ErrorKind::Timeout => Err(error.with_attempts(1)),
            Saboteur::HidesRejectionDelay if kind == ErrorKind::CircuitOpen => {
                Err(error.with_retryability(Retryability::Never))
            }
            _ => Err(error),
        }
    }

    async fn follow_with_everything(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        request.options.follow_redirects = Some(false);
        let headers = request.headers.clone();
        let response = self.inner.request(request).await?;
        let location = response
            .headers
            .get(header::LOCATION)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let mut next = HttpRequest::new(Method::GET, location);
        next.headers = headers;
        self.inner.request(next).await
    }
}

/// Ends the stream without an error in place of an error of this kind.
fn until(chunks: ByteStream, kind: ErrorKind) -> ByteStream {
    chunks
        .take_while(move |chunk| future::ready(!matches!(chunk, Err(error) if error.is_a(kind))))
        .boxed()
}

fn read_ahead(mut chunks: ByteStream) -> ByteStream {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(chunk) = chunks.next().await {
            if sender.send(chunk).is_err() {
                return;
            }
        }
    });
    stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
    .boxed()
}

#[derive(Debug)]
struct NoRejections;

impl RetryPredicate for NoRejections {
    fn on_status(&self, _status: StatusCode) -> Option<bool> {
        None
    }

    fn on_error(&self, error: &NetworkError) -> Option<bool> {
        (error.kind() == ErrorKind::CircuitOpen).then_some(false)
    }
}

impl fmt::Debug for SaboteurClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaboteurClient")
            .field("inner", &self.inner)
            .field("saboteur", &self.saboteur)
            .finish_non_exhaustive()
    }
}
