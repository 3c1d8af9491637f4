//! The transport over hyper's connections.

mod counted;
mod download;
mod error;
mod gauge;
mod outgoing;
mod pool;
mod streams;
#[cfg(feature = "websocket")]
mod upgrade;
mod upload;

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use networking_spi::error::context;
use networking_spi::http::{
    ConnectionPoolStats, HttpCapabilities, HttpClient, HttpRequest, HttpResponse, Method, RequestTarget, StatusCode,
};
use networking_spi::{NetworkError, Result};
use rustls::ClientConfig;
use url::Url;

use self::gauge::{Gauges, InFlight};
use self::outgoing::Outgoing;
use self::pool::{Failed, Pool};
use self::upload::Upload;
use super::framing::{self, Framing};
use super::pool_stats::PoolStatsSource;
use super::silence::{ReadTimeouts, Silence};
use super::variants::{Variant, Variants};
use super::{check_head_size, check_sendable, length, without_wrappers};
use crate::connect::config::TransportConfig;
use crate::connect::connector::Connector;
use crate::connect::diagnosis::proxy_authentication;
use crate::connect::dns::{DnsResolver, SystemResolver};
use crate::connect::resolution::Setup;
use crate::connect::tls;
use crate::marks::host;
#[cfg(feature = "websocket")]
use crate::marks::is_handshake;

/// A bare [`HttpClient`] over hyper with rustls: it sends one request and returns its response.
///
/// It has a connection pool: an HTTP/1.1 connection serves one request at a time, an HTTP/2 connection many. Its
/// [statistics](PoolStatsSource) are exact, and its errors distinguish the phases: name resolution, connecting to the proxy, the
/// proxy's response, TLS, and the exchange.
///
/// It streams request and response bodies and supports the per-request options `max_response_size`, `proxy` and `verify_tls`.
/// Wrappers add timeouts of whole calls, retries, redirects, decompression and so on: use
/// [`HttpClientBuilder`](crate::client::HttpClientBuilder) for the client that has them.
///
/// A request that the peer did not process is sent again on another connection, at most twenty times and whatever its method: the
/// connection was closed before anything was sent, or the peer of an HTTP/2 connection refused the stream or was about to close the
/// connection (RFC 9113, section 8.7). An idempotent request is also sent again if a pooled HTTP/1.1 connection is closed before
/// the first byte of the response. A body that is a plain stream can be sent again until its first chunk was read. The retry
/// wrapper does all other retries.
///
/// Requests to one origin share an HTTP/2 connection up to the peer's limit of streams. Further connections are opened up to
/// [`max_connections_per_host`](TransportConfig::max_connections_per_host). Further requests wait in order of arrival, for at most
/// [`pool_timeout`](TransportConfig::pool_timeout).
///
/// Clones share the connection pool. Connections belong to the runtime in which they were opened.
///
/// It never takes the bytes after a response for the next response: a response that has a `Content-Length` beside a
/// `Transfer-Encoding` (which overrides it; RFC 9112, section 6.3), or a 204 that announces a body, ends its connection. Lengths that
/// are not one number, and transfer codings other than `chunked`, fail with [`Protocol`](networking_spi::ErrorKind::Protocol).
///
/// Interim responses are skipped. That includes 101 (Switching Protocols) over HTTP/2, which does not have it (RFC 9113, section 8.6).
///
/// On a machine without CA certificates the transport can be created, but requests to `https` URLs fail with
/// [`Tls`](networking_spi::ErrorKind::Tls).
///
/// # Cancel safety
///
/// Dropping the future of a request, or its response before the end of the body, ends the exchange: an HTTP/2 stream is reset,
/// and an HTTP/1.1 connection is closed unless the whole body had arrived. The peer may have processed the request.
///
/// ```no_run
/// # use networking_http::{HyperTransport, TransportConfig};
/// # use networking_spi::prelude::*;
/// # async fn example() -> Result<(), NetworkError> {
/// let transport = HyperTransport::new(TransportConfig::default())?;
/// let response = transport.get("https://example.com/").await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct HyperTransport(Arc<Inner>);

struct Inner {
    base: Base,
    outgoing: Outgoing,
    pools: Variants<Arc<Pool>>,
}

/// The state that all pools share.
struct Base {
    setup: Setup,
    verified: Option<Arc<ClientConfig>>,
    /// Created at the first use.
    unverified: OnceLock<Option<Arc<ClientConfig>>>,
    gauges: Arc<Gauges>,
}

impl HyperTransport {
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
        Self::of(Setup::new(config, resolver)?)
    }

    pub(super) fn of(setup: Setup) -> Result<Self> {
        let base = Base {
            verified: tls::client_config(&setup.config, true, setup.config.version.alpn_protocols())?,
            unverified: OnceLock::new(),
            gauges: Arc::default(),
            setup,
        };
        let config = &base.setup.config;
        Ok(Self(Arc::new(Inner {
            outgoing: Outgoing::new(config),
            pools: Variants::new(config, |variant| base.pool(variant))?,
            base,
        })))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpClient for HyperTransport {
    async fn request(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(Self::CAPABILITIES)?;
        request.take_user_information()?;
        let idempotent = request.is_idempotent();
        #[cfg(feature = "websocket")]
        let is_handshake = is_handshake(&request);
        let HttpRequest {
            method,
            target,
            headers,
            body,
            options,
            extensions,
            ..
        } = request;
        let url = match target {
            RequestTarget::Absolute(url) => url,
            RequestTarget::Relative(_) => return Err(target.url().expect_err("the target is relative")),
        };
        check_sendable(&method, &url)?;
        let length = length::announced(&headers, &body)?;
        let Inner { base, outgoing, pools } = &*self.0;
        let (pool, _) = pools.select(&url, &options, |variant| base.pool(variant))?;
        let in_flight = InFlight::enter(&base.gauges);
        let read_timeouts = ReadTimeouts::of(&base.setup.config, &extensions);

        let source = body.try_clone();
        let upload = Upload::new(body, length);
        let replay = upload.replay(source, length);
        let mut request = outgoing.request(method, headers, upload);
        #[cfg(feature = "websocket")]
        if is_handshake {
            return upgrade::request(&pool, request, &url, in_flight, read_timeouts.head)
                .await
                .map_err(|error| at(&url, error));
        }
        let mut resends = 0;
        let to_head = request.method() == Method::HEAD;
        let (head, mut connection) = loop {
            let mut connection = pool.acquire(&url).await.map_err(|error| at(&url, error))?;
            let again = connection
                .may_refuse()
                .then(|| (request.method().clone(), request.headers().clone()));
            connection.address(&mut request, &url)?;
            let (progress, movement) = (request.body().progress(), connection.movement(request.body_mut()));
            let failure =
                match download::await_head(connection.send(request), read_timeouts.head, progress, movement).await {
                    Ok(head) => break (head, connection),
                    Err(failure) => failure,
                };
            request = match (connection.fail(failure, idempotent), again) {
                (Failed::Unsent(request), _) => request,
                (Failed::Again(error), Some((method, headers))) if resends < MAX_RESENDS => {
                    resends += 1;
                    let Some(upload) = replay.upload() else {
                        return Err(at(&url, error));
                    };
                    outgoing::again(method, headers, upload)
                }
                (Failed::Again(error) | Failed::Final(error), _) => return Err(at(&url, error)),
            };
        };

        if connection.is_forwarded() && head.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            return Err(proxy_authentication(host::of(&url)));
        }
        let (mut parts, incoming) = head.into_parts();
        let max_head = base.setup.config.max_response_head;
        check_head_size(&parts.headers, max_head).map_err(|error| at(&url, error))?;
        // On an error, dropping the connection closes it.
        match framing::judge(parts.version, parts.status, to_head, &mut parts.headers)
            .map_err(|error| at(&url, error))?
        {
            Framing::Sound => {}
            Framing::Ambiguous | Framing::Excess => connection.retire(),
        }
        // Over HTTP/1.1 the library has read none.
        let bodiless = parts.status == StatusCode::NO_CONTENT && connection.is_http2();
        let mut response = HttpResponse::new(parts.status);
        response.version = parts.version;
        response.headers = parts.headers;
        response.url = Some(url);
        let silence = Silence::of(&response.headers, read_timeouts.body);
        let limits = download::Limits { silence, max_head };
        let (body, trailers) = download::body(incoming, connection, in_flight, limits, bodiless).await;
        response.body = body;
        response.trailers = trailers;
        if let Some(limit) = options.max_response_size {
            response = response.limited(limit)?;
        }
        Ok(response)
    }

    without_wrappers!();
}

/// All numbers are exact. A connection that is being closed counts as neither active, idle nor closed.
impl PoolStatsSource for HyperTransport {
    fn pool_stats(&self) -> ConnectionPoolStats {
        let mut stats = self.0.base.gauges.snapshot();
        stats.max_idle_per_host = Some(self.0.base.setup.config.pool_max_idle_per_host as u64);
        stats
    }
}

impl fmt::Debug for HyperTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HyperTransport")
            .field("config", &self.0.base.setup.config)
            .finish_non_exhaustive()
    }
}

/// How often a request that the peer did not process is sent again. A peer that ends its connections after few requests leaves over a
/// part of those that are sent to it at once, and the same request may be left over several times in a row.
const MAX_RESENDS: u32 = 20;

/// Adds the peer to an error.
fn at(url: &Url, error: NetworkError) -> NetworkError {
    error.with_context(context::HOST, host::of(url))
}

impl Base {
    fn pool(&self, variant: &Variant) -> Result<Arc<Pool>> {
        let tls = if variant.verify_tls {
            self.verified.clone()
        } else if let Some(unverified) = self.unverified.get() {
            unverified.clone()
        } else {
            let config = &self.setup.config;
            let made = tls::client_config(config, false, config.version.alpn_protocols())?;
            self.unverified.get_or_init(|| made).clone()
        };
        let connector = Connector::new(&self.setup, tls, variant.proxy.as_ref());
        Ok(Pool::new(connector, &self.setup.config, &self.gauges))
    }
}
