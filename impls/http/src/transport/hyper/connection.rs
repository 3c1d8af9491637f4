//! One connection, and the use of it for one exchange.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use networking_spi::{NetworkError, Result, SendState};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use url::{Position, Url};

use super::error;
use super::pool::Pool;
use super::upload::{Progress, Upload};
use crate::connect::diagnosis::Stage;

/// The peer of a connection, and how to speak to it.
pub(super) struct Peer {
    pub(super) origin: Box<str>,
    host: HeaderValue,
    scheme: Scheme,
    authority: Authority,
    /// Whole URLs are requested, not paths: HTTP/2, and proxies that forward.
    absolute: bool,
    http2: bool,
    /// For a proxy that forwards.
    proxy_authorization: Option<HeaderValue>,
    /// The connection itself. Without its sender it ends by itself, but only after the exchange that is going on.
    task: AbortHandle,
    /// The streams of an HTTP/2 connection.
    streams: AtomicU64,
    /// When the last stream of an HTTP/2 connection ended.
    pub(super) quiet_since: Mutex<Instant>,
}

pub(super) enum Sender {
    Http1(http1::SendRequest<Upload>),
    Http2(http2::SendRequest<Upload>),
}

/// The right to use a connection for one exchange.
///
/// Dropped, it closes an HTTP/1.1 connection: something was left unfinished on it.
pub(super) struct Lease {
    /// `None` after it was handed back.
    sender: Option<Sender>,
    peer: Arc<Peer>,
    pool: Arc<Pool>,
    /// The connection was opened for an earlier exchange.
    reused: bool,
    /// Of the request's body, if it has one.
    progress: Option<Arc<Progress>>,
}

/// Why there is no response head.
#[expect(clippy::large_enum_variant, reason = "moved once, and seldom made")]
pub(super) enum Failure {
    Silence,
    Exchange(TrySendError<Request<Upload>>),
}

const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// The key of the pool: scheme, host and port, and the user if the URL names one.
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
    ) -> Result<Self> {
        let unusable = || NetworkError::invalid_input("url", "has a host that cannot be sent");
        let host = &url[Position::BeforeHost..Position::AfterPort];
        let authority = Authority::try_from(host).map_err(|error| unusable().with_source(error))?;
        Ok(Self {
            origin: origin(url).into(),
            host: HeaderValue::from_str(host).map_err(|error| unusable().with_source(error))?,
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
            streams: AtomicU64::new(0),
            quiet_since: Mutex::new(Instant::now()),
        })
    }

    /// Whether no stream of an HTTP/2 connection is open.
    pub(super) fn is_quiet(&self) -> bool {
        self.streams.load(Relaxed) == 0
    }

    fn uri(&self, url: &Url) -> Result<Uri> {
        let target = &url[Position::BeforePath..Position::AfterQuery];
        let target = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(target.as_bytes()))
            .map_err(|error| NetworkError::invalid_input("url", "is not a URI").with_source(error))?;
        if !self.absolute {
            return Ok(Uri::from(target));
        }
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(target);
        Uri::from_parts(parts).map_err(|error| NetworkError::invalid_input("url", "is not a URI").with_source(error))
    }
}

impl Lease {
    pub(super) fn new(sender: Sender, peer: Arc<Peer>, pool: Arc<Pool>, reused: bool) -> Self {
        if !peer.http2 || peer.streams.fetch_add(1, Relaxed) == 0 {
            pool.gauges.activate();
        }
        Self {
            sender: Some(sender),
            peer,
            pool,
            reused,
            progress: None,
        }
    }

    /// Whether the peer is a proxy that forwards.
    pub(super) fn is_forwarded(&self) -> bool {
        self.peer.absolute && !self.peer.http2
    }

    /// Host and port, as errors name them.
    pub(super) fn host(&self) -> &str {
        self.peer.authority.as_str()
    }

    /// Waits until the connection of the pool has come to rest after its last exchange; `false` if it was closed.
    pub(super) async fn settled(&mut self) -> bool {
        match &mut self.sender {
            Some(Sender::Http1(sender)) if sender.is_ready() => true,
            // Bounded, because its runtime may not be running any more.
            Some(Sender::Http1(sender)) => {
                matches!(timeout(self.pool.settle_timeout, sender.ready()).await, Ok(Ok(())))
            }
            Some(Sender::Http2(sender)) => !sender.is_closed(),
            None => false,
        }
    }

    /// Gives a request the target, and the headers for it, that this connection wants.
    pub(super) fn address(&mut self, request: &mut Request<Upload>, url: &Url) -> Result<()> {
        *request.uri_mut() = self.peer.uri(url)?;
        let chunked = request.body().size_hint().exact().is_none();
        let headers = request.headers_mut();
        if !self.peer.http2 {
            headers.entry(header::HOST).or_insert_with(|| self.peer.host.clone());
            if chunked {
                // Without it, hyper leaves the body of a GET out.
                headers.entry(header::TRANSFER_ENCODING).or_insert(CHUNKED);
            }
        }
        if let Some(authorization) = &self.peer.proxy_authorization {
            headers
                .entry(header::PROXY_AUTHORIZATION)
                .or_insert_with(|| authorization.clone());
        }
        self.progress = request.body().progress();
        Ok(())
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        let response = match self.sender.as_mut().expect("a lease that is used was not handed back") {
            Sender::Http1(sender) => sender.try_send_request(request).await?,
            Sender::Http2(sender) => sender.try_send_request(request).await?,
        };
        if self.reused {
            self.pool.gauges.reuse();
        }
        Ok(response)
    }

    /// The request, if nothing of it was sent and another connection may do better: this one was closed while it waited in
    /// the pool.
    pub(super) fn take_back(self, failure: Failure) -> Result<Request<Upload>> {
        match failure {
            Failure::Silence => {
                self.distrust();
                Err(error::silent(SendState::MaybeSent))
            }
            Failure::Exchange(mut failure) => match failure.take_message() {
                Some(request) if self.reused => Ok(request),
                Some(_) => Err(error::classify(failure.into_error(), Stage::Head, SendState::NotSent)),
                None => Err(error::classify(failure.into_error(), Stage::Head, SendState::MaybeSent)),
            },
        }
    }

    /// Hands the connection back after the whole response was read.
    pub(super) fn release(mut self) {
        if self.is_sent() {
            let sender = self.sender.take();
            self.retire();
            if let Some(sender) = sender {
                self.pool.put(sender, &self.peer);
            }
        } else {
            // The peer answered before it had the whole request.
            self.settle();
        }
    }

    /// Keeps later requests off an HTTP/2 connection whose peer is silent. Those that are on it stay there.
    pub(super) fn distrust(&self) {
        if self.peer.http2 {
            self.pool.forget(&self.peer);
        }
    }

    /// Whether nothing of the request is left to be written. What hyper took may wait for a peer that does not read.
    fn is_sent(&self) -> bool {
        match &self.sender {
            Some(Sender::Http1(sender)) => {
                let uploaded = |progress: &Arc<Progress>| progress.ended() && sender.is_ready();
                self.progress.as_ref().is_none_or(uploaded)
            }
            _ => true,
        }
    }

    /// Hands the connection back once it has come to rest by itself, if it does so in time.
    pub(super) fn settle(mut self) {
        let sender = self.sender.take();
        self.retire();
        let Some(Sender::Http1(mut sender)) = sender else {
            return;
        };
        let (pool, peer) = (Arc::clone(&self.pool), Arc::clone(&self.peer));
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

    fn retire(&self) {
        if !self.peer.http2 {
            self.pool.gauges.deactivate();
        } else if self.peer.streams.fetch_sub(1, Relaxed) == 1 {
            *self.peer.quiet_since.lock() = Instant::now();
            self.pool.gauges.deactivate();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.sender.take().is_some() {
            self.retire();
            if !self.peer.http2 {
                // An upload, or an answer, that never ends would keep it open.
                self.peer.task.abort();
            }
        }
    }
}
