//! One connection, and its use for one exchange.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use http::uri::{Authority, Parts, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use url::{Position, Url};

use super::Pool;
use super::end::End;
use super::queue::Queue;
use crate::connect::diagnosis::Stage;
use crate::transport::hyper::counted::Activity;
use crate::transport::hyper::streams::{StreamTasks, StreamWatch};
use crate::transport::hyper::upload::{Progress, Upload};
use crate::transport::hyper::{error, outgoing};
use crate::transport::name_te_to_the_connection;
use crate::transport::silence::read_timeout;

/// The peer of a connection, and how requests to it are written.
pub(super) struct Peer {
    pub(super) origin: Box<str>,
    host: HeaderValue,
    scheme: Scheme,
    authority: Authority,
    /// Whether the request target is the whole URL instead of the path: over HTTP/2, and to forwarding proxies.
    absolute: bool,
    http2: bool,
    /// Sent to a forwarding proxy.
    proxy_authorization: Option<HeaderValue>,
    /// The task that drives the connection. When the sender is dropped, it ends after the current exchange.
    task: AbortHandle,
    /// Open streams of an HTTP/2 connection.
    streams: AtomicUsize,
    /// When the last stream of an HTTP/2 connection ended.
    pub(super) idle_since: Mutex<Instant>,
    state: ConnectionState,
}

/// What the task that drives a connection and the pool share about it.
pub(super) struct ConnectionState {
    pub(super) activity: Arc<Activity>,
    pub(super) end: Arc<End>,
    /// The largest number of open streams of an HTTP/2 connection: 1 until the peer has announced it.
    pub(super) max_streams: Arc<AtomicUsize>,
    /// The requests that wait for a connection to this peer.
    pub(super) queue: Arc<Queue>,
    /// Sees what arrives on the streams of an HTTP/2 connection.
    pub(super) streams: StreamTasks,
}

/// What tells that an exchange advances.
pub(in crate::transport::hyper) enum Movement {
    /// Every byte in either direction, on a connection that serves one request at a time: a slow head, interim responses, an upload.
    Connection(Arc<Activity>),
    /// Every frame on the stream of HTTP/2: interim responses. The bytes of the connection can be those of other streams.
    Stream(Arc<StreamWatch>),
}

impl Movement {
    pub(in crate::transport::hyper) fn latest(&self) -> Instant {
        match self {
            Self::Connection(activity) => activity.latest(),
            Self::Stream(watch) => watch.latest.get(),
        }
    }
}

pub(super) enum Sender {
    Http1(http1::SendRequest<Upload>),
    Http2(http2::SendRequest<Upload>),
}

/// A connection that is in use for one exchange.
///
/// Dropping it before it is released closes an HTTP/1.1 connection, because the exchange is unfinished.
pub(in crate::transport::hyper) struct PooledConnection {
    /// `None` after it was returned, and after a request was sent over HTTP/2.
    sender: Option<Sender>,
    /// Whether the exchange has ended, so that it is counted no longer.
    ended: bool,
    peer: Arc<Peer>,
    pool: Arc<Pool>,
    /// The connection was opened for an earlier exchange.
    reused: bool,
    /// The progress of the request body, if there is one.
    progress: Option<Arc<Progress>>,
    /// The bytes that the connection had received when the request was sent.
    received_before: u64,
    /// The connection is closed after this exchange.
    retired: bool,
    /// The stream of HTTP/2.
    stream: Option<Arc<StreamWatch>>,
}

/// Why there is no response head, and what can be done about it.
#[expect(clippy::large_enum_variant, reason = "moved once, and seldom made")]
pub(in crate::transport::hyper) enum Failed {
    /// Nothing of the request was sent, because the connection was closed while it was idle in the pool.
    Unsent(Request<Upload>),
    /// The request can be sent again on another connection, because the peer did not process it, or it may be processed twice.
    Again(NetworkError),
    /// The error of the request.
    Final(NetworkError),
}

/// Why there is no response head.
#[expect(clippy::large_enum_variant, reason = "moved once, and rarely created")]
pub(in crate::transport::hyper) enum Failure {
    /// The peer sent nothing within the read timeout.
    ReadTimeout,
    Exchange(TrySendError<Request<Upload>>),
}

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// The key of the pool: scheme, host and port.
pub(super) fn origin(url: &Url) -> &str {
    &url[..Position::BeforePath]
}

impl Peer {
    pub(super) fn new(
        url: &Url,
        http2: bool,
        forwarded: bool,
        authorization: Option<&HeaderValue>,
        task: AbortHandle,
        state: ConnectionState,
    ) -> Result<Self> {
        let host = outgoing::host(url)?;
        let authority =
            Authority::try_from(host.as_bytes()).map_err(|error| outgoing::unusable_host().with_source(error))?;
        Ok(Self {
            origin: origin(url).into(),
            host,
            scheme: if url.scheme() == "https" {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            authority,
            absolute: http2 || forwarded,
            http2,
            proxy_authorization: authorization.filter(|_| forwarded).cloned(),
            task,
            streams: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
            state,
        })
    }

    /// Whether the task that drives the connection has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.state.end.is_reached()
    }

    /// Whether this is the end of the connection.
    pub(super) fn ends_with(&self, end: &Arc<End>) -> bool {
        Arc::ptr_eq(&self.state.end, end)
    }

    /// Whether no stream of an HTTP/2 connection is open.
    pub(super) fn is_idle(&self) -> bool {
        self.streams.load(SeqCst) == 0
    }

    /// Whether the peer of an HTTP/2 connection accepts one more stream.
    pub(super) fn has_free_stream(&self) -> bool {
        self.streams.load(SeqCst) < self.state.max_streams.load(SeqCst)
    }

    /// Has the first waiting request look for a connection.
    pub(super) fn wake_queue(&self) {
        self.state.queue.wake();
    }

    /// `host`: the authority that the request names in place of the peer's.
    fn uri(&self, url: &Url, host: Option<Authority>) -> Result<Uri> {
        let target = outgoing::target(url)?;
        if !self.absolute {
            return Ok(Uri::from(target));
        }
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(host.unwrap_or_else(|| self.authority.clone()));
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).map_err(|error| NetworkError::invalid_input("url", "is not a URI").with_source(error))
    }
}

impl PooledConnection {
    pub(super) fn new(sender: Sender, peer: Arc<Peer>, pool: Arc<Pool>, reused: bool) -> Self {
        if !peer.http2 || peer.streams.fetch_add(1, SeqCst) == 0 {
            pool.gauges.activate();
        }
        Self {
            received_before: 0,
            sender: Some(sender),
            ended: false,
            peer,
            pool,
            reused,
            progress: None,
            retired: false,
            stream: None,
        }
    }

    /// Whether the peer is a forwarding proxy.
    pub(in crate::transport::hyper) fn is_forwarded(&self) -> bool {
        self.peer.absolute && !self.peer.http2
    }

    /// Whether a request may have to be sent again on another connection: the peer may be closing this one.
    pub(in crate::transport::hyper) fn may_refuse(&self) -> bool {
        self.reused || self.peer.http2
    }

    pub(in crate::transport::hyper) fn is_http2(&self) -> bool {
        self.peer.http2
    }

    /// What tells that the exchange of this request advances.
    pub(in crate::transport::hyper) fn movement(&mut self, body: &mut Upload) -> Movement {
        if !self.peer.http2 {
            body.opens(None);
            return Movement::Connection(Arc::clone(&self.peer.state.activity));
        }
        let (opening, watch) = self.peer.state.streams.watch();
        body.opens(Some(opening));
        self.stream = Some(Arc::clone(&watch));
        Movement::Stream(watch)
    }

    /// Host and port, as errors show them.
    pub(in crate::transport::hyper) fn host(&self) -> &str {
        self.peer.authority.as_str()
    }

    /// Waits until the connection can take a request. Returns `false` if it was closed.
    pub(super) async fn ready(&mut self) -> bool {
        match &mut self.sender {
            Some(Sender::Http1(sender)) if sender.is_ready() => true,
            // Bounded, because the runtime that drives the connection may have stopped.
            Some(Sender::Http1(sender)) => {
                matches!(timeout(self.pool.settle_timeout, sender.ready()).await, Ok(Ok(())))
            }
            Some(Sender::Http2(sender)) => !sender.is_closed(),
            None => false,
        }
    }

    /// Sets the target of a request, and the headers that depend on the connection.
    pub(in crate::transport::hyper) fn address(&mut self, request: &mut Request<Upload>, url: &Url) -> Result<()> {
        let chunked = request.body().size_hint().exact().is_none();
        let headers = request.headers_mut();
        let mut authority = None;
        if self.peer.http2 {
            // RFC 9113, section 8.3.1: the authority takes the place of the field.
            if let Some(host) = headers.remove(header::HOST) {
                let host = Authority::try_from(host.as_bytes()).map_err(|error| {
                    NetworkError::invalid_input("headers.host", "is not a host and port").with_source(error)
                })?;
                authority = Some(host);
            }
        } else {
            headers.entry(header::HOST).or_insert_with(|| self.peer.host.clone());
            if chunked {
                // Without the header, hyper does not send the body of a GET.
                headers.entry(header::TRANSFER_ENCODING).or_insert(CHUNKED);
            }
            name_te_to_the_connection(headers);
        }
        if let Some(authorization) = &self.peer.proxy_authorization {
            headers
                .entry(header::PROXY_AUTHORIZATION)
                .or_insert_with(|| authorization.clone());
        }
        *request.uri_mut() = self.peer.uri(url, authority)?;
        self.progress = request.body().progress();
        self.received_before = self.peer.state.activity.received();
        if !self.peer.http2 {
            self.peer.state.activity.expect_head(Some(self.pool.max_before_head));
        }
        Ok(())
    }

    /// Sends the request, and waits for the head of the response.
    ///
    /// A request that is handed to hyper at the moment in which the connection ends can stay in hyper's queue, where it is dropped,
    /// and reported as not sent, with the last sender. So no sender is kept longer than the connection.
    pub(in crate::transport::hyper) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        let response = match self.sender.take().expect("a connection is used for one exchange") {
            Sender::Http1(mut sender) => {
                let mut response = pin!(sender.try_send_request(request));
                let mut sender = Some(sender);
                let response = poll_fn(|cx| {
                    let polled = response.as_mut().poll(cx);
                    if polled.is_pending() && sender.is_some() && self.peer.state.end.poll(cx).is_ready() {
                        sender = None;
                        return response.as_mut().poll(cx);
                    }
                    polled
                })
                .await;
                self.sender = sender.map(Sender::Http1);
                response?
            }
            Sender::Http2(mut sender) => {
                let response = sender.try_send_request(request);
                drop(sender);
                response.await?
            }
        };
        self.peer.state.activity.expect_head(None);
        if self.reused {
            self.pool.gauges.reuse();
        }
        Ok(response)
    }

    /// What follows from a failure before the response head. `idempotent`: the request may be processed twice.
    pub(in crate::transport::hyper) fn fail(self, failure: Failure, idempotent: bool) -> Failed {
        let Failure::Exchange(mut failure) = failure else {
            self.exclude_if_silent(self.pool.settle_timeout);
            return Failed::Final(read_timeout(SendState::MaybeSent));
        };
        match failure.take_message() {
            Some(request) if self.reused => return Failed::Unsent(request),
            Some(_) => {
                let error = error::classify(failure.into_error(), Stage::Head, SendState::NotSent, false);
                // A server that is shutting down may accept an HTTP/2 connection and end it at once.
                return if self.peer.http2 {
                    Failed::Again(error)
                } else {
                    Failed::Final(error)
                };
            }
            None => {}
        }
        let failure = failure.into_error();
        if let Some(own) = self.progress.as_ref().and_then(|progress| progress.take_failure()) {
            return Failed::Final(error::failed_upload(&own, SendState::MaybeSent).with_source(failure));
        }
        if self.peer.state.activity.is_flooded() {
            return Failed::Final(error::interim_flood().with_source(failure));
        }
        let asks_for_http1 = error::asks_for_http1(&failure);
        let error = error::classify(failure, Stage::Head, SendState::MaybeSent, false);
        if asks_for_http1 {
            return if self.pool.require_http1(&self.peer) {
                Failed::Again(error)
            } else {
                Failed::Final(error.with_retryability(Retryability::Never))
            };
        }
        if error.send_state() == SendState::NotSent {
            self.exclude_from_pool();
            return Failed::Again(error);
        }
        // The peer closed the connection while the request was on its way (RFC 9112, section 9.3.1).
        let closed_before = self.reused
            && !self.peer.http2
            && error.kind() == ErrorKind::ConnectionClosed
            && self.has_received_nothing();
        if closed_before && idempotent {
            Failed::Again(error)
        } else {
            Failed::Final(error)
        }
    }

    /// Closes an HTTP/1.1 connection after this exchange.
    pub(in crate::transport::hyper) const fn retire(&mut self) {
        self.retired = true;
    }

    /// Returns the connection to the pool after the whole response was read.
    pub(in crate::transport::hyper) fn release(mut self) {
        if self.retired {
            self.close();
        } else if self.is_sent() {
            let sender = self.sender.take();
            self.end_exchange();
            if let Some(sender) = sender {
                self.pool.put(sender, &self.peer);
            }
        } else {
            // The peer responded before it had received the whole request.
            self.release_when_idle();
        }
    }

    /// Removes an HTTP/2 connection from the pool after a read timeout of `limit`, unless its peer has sent anything in the second
    /// half of this time: then only this stream is silent.
    pub(in crate::transport::hyper) fn exclude_if_silent(&self, limit: Duration) {
        if self.peer.state.activity.latest_received() + limit / 2 <= Instant::now() {
            self.exclude_from_pool();
        }
    }

    fn has_received_nothing(&self) -> bool {
        self.peer.state.activity.received() == self.received_before
    }

    /// Removes an HTTP/2 connection from the pool, so that no further request uses it.
    fn exclude_from_pool(&self) {
        if self.peer.http2 {
            self.pool.remove_shared(&self.peer);
        }
    }

    /// Whether the whole request was written. Data that hyper has buffered may still be unsent because the peer does not read.
    fn is_sent(&self) -> bool {
        match &self.sender {
            Some(Sender::Http1(sender)) => {
                let uploaded = |progress: &Arc<Progress>| progress.ended() && sender.is_ready();
                self.progress.as_ref().is_none_or(uploaded)
            }
            _ => true,
        }
    }

    fn close(mut self) {
        self.sender = None;
        self.end_exchange();
        if !self.peer.http2 {
            self.peer.task.abort();
        }
    }

    /// Returns an HTTP/1.1 connection to the pool when its exchange ends within `settle_timeout`, and closes it otherwise.
    pub(in crate::transport::hyper) fn release_when_idle(mut self) {
        if self.retired {
            return self.close();
        }
        let sender = self.sender.take();
        self.end_exchange();
        let Some(Sender::Http1(mut sender)) = sender else {
            return;
        };
        let (pool, peer) = (Arc::clone(&self.pool), Arc::clone(&self.peer));
        if peer.state.activity.is_broken() {
            peer.task.abort();
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            peer.task.abort();
            return;
        };
        runtime.spawn(async move {
            match timeout(pool.settle_timeout, sender.ready()).await {
                Ok(Ok(())) => pool.put(Sender::Http1(sender), &peer),
                _ => peer.task.abort(),
            }
        });
    }

    fn end_exchange(&mut self) {
        self.ended = true;
        if !self.peer.http2 {
            self.pool.gauges.deactivate();
            return;
        }
        if let Some(stream) = &self.stream
            && self.progress.as_ref().is_some_and(|progress| !progress.closed())
        {
            stream.abandon();
        }
        if self.peer.streams.fetch_sub(1, SeqCst) == 1 {
            *self.peer.idle_since.lock() = Instant::now();
            self.pool.gauges.deactivate();
        }
        self.peer.wake_queue();
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if !self.ended {
            self.end_exchange();
            if !self.peer.http2 {
                // An upload or a response that never ends would keep the connection open.
                self.peer.task.abort();
            }
        }
    }
}
