//! The transport over hyper's connections.

mod counted;
mod download;
mod error;
mod gauge;
mod outgoing;
mod pool;
#[cfg(feature = "websocket")]
mod upgrade;
mod upload;

use std::fmt;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use networking_spi::error::context;
use networking_spi::http::{
    ConnectionPoolStats, HeaderMap, HttpCapabilities, HttpClient, HttpRequest, HttpResponse, RequestTarget, StatusCode,
};
use networking_spi::{NetworkError, Result, SendState};
use rustls::ClientConfig;
use url::Url;

use self::gauge::{Gauges, InFlight};
use self::outgoing::Outgoing;
use self::pool::{Failed, Pool};
use self::upload::Upload;
use super::pool_stats::PoolStatsSource;
use super::variants::{Variant, Variants};
use super::{check_sendable, length, without_wrappers};
use crate::connect::config::TransportConfig;
use crate::connect::connector::Connector;
use crate::connect::diagnosis::{self, proxy_authentication};
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
/// A request that the peer did not process is sent again on another connection, at most ten times and whatever its method: the
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
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(Self::CAPABILITIES)?;
        let idempotent = request.is_idempotent();
        #[cfg(feature = "websocket")]
        let is_handshake = is_handshake(&request);
        let HttpRequest {
            method,
            target,
            headers,
            body,
            options,
            ..
        } = request;
        let url = match target {
            RequestTarget::Absolute(url) => url,
            RequestTarget::Relative(_) => return Err(target.url().expect_err("the target is relative")),
        };
        check_sendable(&method, &url)?;
        let length = length::announced(&headers, &body)?;
        let Inner { base, outgoing, pools } = &*self.0;
        let (pool, _) = pools.select(&base.setup.config, &options, |variant| base.pool(variant))?;
        let in_flight = InFlight::enter(&base.gauges);
        let read_timeout = base.setup.config.read_timeout;

        let source = body.try_clone();
        let upload = Upload::new(body, length);
        let replay = upload.replay(source, length);
        let mut request = outgoing.request(method, &url, headers, upload);
        #[cfg(feature = "websocket")]
        if is_handshake {
            return upgrade::request(&pool, request, &url, in_flight, read_timeout)
                .await
                .map_err(|error| at(&url, error));
        }
        let mut resends = 0;
        let (head, connection) = loop {
            let mut connection = pool.acquire(&url).await.map_err(|error| at(&url, error))?;
            let again = connection
                .may_refuse()
                .then(|| (request.method().clone(), request.headers().clone()));
            connection.address(&mut request, &url)?;
            let (progress, activity) = (request.body().progress(), connection.own_activity());
            let failure = match download::await_head(connection.send(request), read_timeout, progress, activity).await {
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
        let (parts, incoming) = head.into_parts();
        check_head_size(&parts.headers, base.setup.config.max_response_head).map_err(|error| at(&url, error))?;
        let mut response = HttpResponse::new(parts.status);
        response.version = parts.version;
        response.headers = parts.headers;
        response.url = Some(url);
        response.body = download::body(incoming, connection, in_flight, read_timeout).await;
        if let Some(limit) = options.max_response_size {
            response.body = response.body.limited(limit)?;
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

/// How often a request that the peer did not process is sent again.
const MAX_RESENDS: u32 = 10;

/// Fails for a head above the limit, which the parsers do not check exactly. Dropping the response then ends its exchange, and no
/// other of an HTTP/2 connection.
fn check_head_size(headers: &HeaderMap, limit: u32) -> Result<()> {
    // RFC 9113, section 6.5.2.
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    if size <= limit as usize {
        return Ok(());
    }
    let error = diagnosis::large_head().into_error().with_send_state(SendState::Sent);
    Err(error.with_context(context::LIMIT, limit.to_string()))
}

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
