//! The transport over reqwest.

mod build;
mod error;
mod upload;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use http::header;
use http_body::Body;
use networking_spi::error::context;
use networking_spi::http::{
    ConnectionPoolStats, HeaderValue, HttpBody, HttpCapabilities, HttpClient, HttpRequest, HttpResponse, Method,
    StatusCode, Trailers, Version,
};
use networking_spi::{Result, SendState};
use tokio::time::timeout;

use self::error::{Stage, classify};
use super::framing::{self, Framing};
use super::pool_stats::PoolStatsSource;
use super::silence::{ReadTimeouts, Silence, read_timeout};
use super::variants::Variants;
use super::{check_head_size, check_sendable, length, name_te_to_the_connection, without_wrappers};
use crate::connect::config::{HttpVersion, TransportConfig};
use crate::connect::diagnosis::{no_connection_in_time, proxy_authentication, short_body};
use crate::connect::dns::{DnsResolver, SystemResolver};
use crate::connect::resolution::Setup;
use crate::marks::host;

/// A bare [`HttpClient`] over reqwest with rustls: it sends one request and returns its response.
///
/// It streams request and response bodies and supports the per-request options `max_response_size`, `proxy` and `verify_tls`.
/// Wrappers add timeouts of whole calls, retries, redirects, decompression and so on: use
/// [`HttpClientBuilder`](crate::client::HttpClientBuilder) for the client that has them.
///
/// Clones share the connection pool.
///
/// Differences from [`HyperTransport`](super::HyperTransport), which reqwest's API does not let this transport avoid: over HTTP/2,
/// a `Host` header does not become the `:authority`, further connections are not opened when a peer allows no more streams, and a
/// head far above the limit fails with `Protocol`. A request that the peer did not process is sent again at most twice. Interim
/// responses do not extend the [read timeout](TransportConfig::read_timeout). A response that has both a `Content-Length` and a
/// `Transfer-Encoding` fails with `Protocol` (RFC 9112, section 6.3), because the transport cannot keep its connection from being
/// used again; after a 204 that announces a body, the connection is closed only if that body has arrived. A request that is sent at
/// the moment in which its connection ends may stay in a queue of hyper, unsent, until the read timeout.
///
/// On a machine without CA certificates the transport can be created, but requests to `https` URLs fail with
/// [`Tls`](networking_spi::ErrorKind::Tls).
///
/// ```no_run
/// # use networking_http::{ReqwestTransport, TransportConfig};
/// # use networking_spi::prelude::*;
/// # async fn example() -> Result<(), NetworkError> {
/// let transport = ReqwestTransport::new(TransportConfig::default())?;
/// let response = transport.get("https://example.com/").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ReqwestTransport(Arc<Inner>);

struct Inner {
    setup: Setup,
    clients: Variants<reqwest::Client>,
    in_flight: AtomicU64,
    /// Opens WebSocket connections: reqwest can neither demand HTTP/1.1 for one request nor open a tunnel for one without TLS.
    #[cfg(feature = "websocket")]
    switching: std::sync::OnceLock<crate::HyperTransport>,
}

impl ReqwestTransport {
    /// The capabilities of the transport.
    pub const CAPABILITIES: HttpCapabilities = super::CAPABILITIES;

    /// A transport with this configuration. Reads the machine's CA certificates, which blocks for some milliseconds.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    pub fn new(config: TransportConfig) -> Result<Self> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// A transport that resolves names with `resolver`.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_resolver(config: TransportConfig, resolver: Arc<dyn DnsResolver>) -> Result<Self> {
        let setup = Setup::new(config, resolver)?;
        let clients = Variants::new(&setup.config, |variant| build::client(&setup, variant))?;
        Ok(Self(Arc::new(Inner {
            setup,
            clients,
            in_flight: AtomicU64::new(0),
            #[cfg(feature = "websocket")]
            switching: std::sync::OnceLock::new(),
        })))
    }

    #[cfg(feature = "websocket")]
    fn switching(&self) -> Result<&crate::HyperTransport> {
        if let Some(made) = self.0.switching.get() {
            return Ok(made);
        }
        let made = crate::HyperTransport::of(self.0.setup.clone())?;
        Ok(self.0.switching.get_or_init(|| made))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpClient for ReqwestTransport {
    async fn request(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(Self::CAPABILITIES)?;
        request.take_user_information()?;
        #[cfg(feature = "websocket")]
        if crate::marks::is_handshake(&request) {
            return self.switching()?.request(request).await;
        }
        let HttpRequest {
            method,
            target,
            headers,
            body,
            options,
            extensions,
            ..
        } = request;
        let url = target.url()?.clone();
        check_sendable(&method, &url)?;
        length::announced(&headers, &body)?;
        let Inner { setup, clients, .. } = &*self.0;
        let Setup { config, resolution } = setup;
        let read_timeouts = ReadTimeouts::of(config, &extensions);
        let (client, proxied) = clients.select(&url, &options, |variant| build::client(setup, variant))?;
        let host: Box<str> = host::of(&url).into();
        let tunneled = url.scheme() == "https";
        if let Some(guard) = &resolution.guard {
            if proxied {
                let checked = resolution.check_before_proxy(&url);
                timeout(config.connect_timeout, checked)
                    .await
                    .unwrap_or_else(|_| Err(no_connection_in_time()))
                    .map_err(|error| error.with_context(context::HOST, &*host))?;
            } else {
                guard
                    .check_url(&url)
                    .map_err(|error| error.with_context(context::HOST, &*host))?;
            }
        }

        let mut outgoing = reqwest::Request::new(method, url);
        *outgoing.headers_mut() = headers;
        if body.length() == Some(0) && matches!(*outgoing.method(), Method::POST | Method::PUT | Method::PATCH) {
            let headers = outgoing.headers_mut();
            headers
                .entry(header::CONTENT_LENGTH)
                .or_insert(HeaderValue::from_static("0"));
        }
        let http1 = match config.version {
            HttpVersion::Http1 => true,
            HttpVersion::Negotiated => !tunneled,
            HttpVersion::Http2 => false,
        };
        if http1 {
            name_te_to_the_connection(outgoing.headers_mut());
        }
        let (body, progress) = upload::to_reqwest(body);
        *outgoing.body_mut() = body;

        let to_head = *outgoing.method() == Method::HEAD;
        let in_flight = InFlight::enter(Arc::clone(&self.0));
        let answered = progress.limit(read_timeouts.head, client.execute(outgoing)).await;
        let mut incoming = answered
            .ok_or_else(|| read_timeout(SendState::MaybeSent).with_context(context::HOST, &*host))?
            .map_err(|error| classify(error, Stage::Head, proxied, false, &host))?;

        if proxied && !tunneled && incoming.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(proxy_authentication(&host));
        }
        let mut response = HttpResponse::new(incoming.status());
        response.version = incoming.version();
        response.headers = std::mem::take(incoming.headers_mut());
        check_head_size(&response.headers, config.max_response_head)
            .map_err(|error| error.with_context(context::HOST, &*host))?;
        let framing = framing::judge(response.version, response.status, to_head, &mut response.headers);
        if framing.map_err(|error| error.with_context(context::HOST, &*host))? == Framing::Ambiguous {
            return Err(framing::ambiguous().with_context(context::HOST, &*host));
        }
        response.url = Some(incoming.url().clone());
        let http2 = incoming.version() == Version::HTTP_2;
        let body = http::Response::from(incoming).into_body();
        let length = body.size_hint().exact();
        let bodiless = response.status == StatusCode::NO_CONTENT;
        if !(bodiless || body.is_end_stream() || length == Some(0) && !http2) {
            response.trailers = Trailers::pending();
            let download = Download {
                body,
                trailers: response.trailers.clone(),
                max_head: config.max_response_head,
                silence: Silence::of(&response.headers, read_timeouts.body),
                ended: false,
                peer: Peer { host, proxied, http2 },
                _in_flight: in_flight,
            };
            response.body = HttpBody::stream(download.boxed(), length);
        }
        if let Some(limit) = options.max_response_size {
            response = response.limited(limit)?;
        }
        Ok(response)
    }

    without_wrappers!();
}

/// reqwest reports nothing about its connections: only the number of requests in flight and the limit of the pool are known.
impl PoolStatsSource for ReqwestTransport {
    fn pool_stats(&self) -> ConnectionPoolStats {
        let mut stats = ConnectionPoolStats::default();
        stats.in_flight = Some(self.0.in_flight.load(Ordering::Relaxed));
        stats.max_idle_per_host = Some(self.0.setup.config.pool_max_idle_per_host as u64);
        stats
    }
}

impl fmt::Debug for ReqwestTransport {
    /// The configuration only, because reqwest's `Debug` shows secret headers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport")
            .field("config", &self.0.setup.config)
            .finish_non_exhaustive()
    }
}

/// A response body.
struct Download {
    body: reqwest::Body,
    trailers: Trailers,
    /// The largest trailer section, in bytes.
    max_head: u32,
    silence: Silence,
    ended: bool,
    peer: Peer,
    _in_flight: InFlight,
}

/// What the errors of an exchange need to know.
struct Peer {
    host: Box<str>,
    proxied: bool,
    http2: bool,
}

impl Stream for Download {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.ended {
            let Poll::Ready(next) = Pin::new(&mut self.body).poll_frame(cx) else {
                ready!(self.silence.poll_limit(cx));
                self.ended = true;
                let error = read_timeout(SendState::Sent).with_context(context::HOST, &*self.peer.host);
                return Poll::Ready(Some(Err(error)));
            };
            match next {
                Some(Ok(frame)) => {
                    self.silence.end();
                    let fields = match frame.into_data() {
                        Ok(data) => return Poll::Ready(Some(Ok(data))),
                        Err(frame) => frame.into_trailers().unwrap_or_default(),
                    };
                    if let Err(error) = check_head_size(&fields, self.max_head) {
                        self.ended = true;
                        return Poll::Ready(Some(Err(error.with_context(context::HOST, &*self.peer.host))));
                    }
                    self.trailers.set(fields);
                }
                Some(Err(error)) => {
                    self.ended = true;
                    let missing = self.body.size_hint().exact().is_some_and(|left| left > 0);
                    let Peer { host, proxied, .. } = &self.peer;
                    let error = classify(error, Stage::Body, *proxied, missing, host);
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    self.ended = true;
                    // A reset without an error ends the body, too.
                    if self.peer.http2 && !self.body.is_end_stream() {
                        let error = short_body().into_error().with_send_state(SendState::Sent);
                        return Poll::Ready(Some(Err(error.with_context(context::HOST, &*self.peer.host))));
                    }
                }
            }
        }
        Poll::Ready(None)
    }
}

/// Counts a request from its start to the end of its response body.
struct InFlight(Arc<Inner>);

impl InFlight {
    fn enter(inner: Arc<Inner>) -> Self {
        inner.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(inner)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
