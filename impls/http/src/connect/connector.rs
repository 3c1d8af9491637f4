//! Opens a stream to a URL: name resolution, TCP, proxy, TLS; all within the connect timeout.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use networking_spi::http::ProxyConfig;
use networking_spi::{NetworkError, Result, SendState};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;
use url::{Host, Url};

use super::config::HttpVersion;
use super::diagnosis::{self, no_connection_in_time};
use super::proxy::{self, Proxy, ProxyKind};
use super::resolution::{Resolution, Setup};
use super::socks;
use super::stream::Stream;
use super::tls;

pub(crate) struct Connector {
    tcp: HttpConnector<Names>,
    /// Resolves names of destinations, with the guard. If there is a proxy, `tcp` resolves only the proxy's name.
    resolution: Resolution,
    /// `None` in a build without cryptography.
    tls: Option<Tls>,
    proxy: Option<Proxy>,
    version: HttpVersion,
    limit: Duration,
}

struct Tls {
    origin: TlsConnector,
    /// Offers only HTTP/1.1: for proxies, to which CONNECT requests are sent in it, and for servers that require it.
    http1: TlsConnector,
}

/// An open stream, and the protocol to use on it.
pub(crate) struct Opened {
    pub(crate) stream: Stream,
    pub(crate) http2: bool,
    /// Whether the peer is a forwarding HTTP proxy.
    pub(crate) forwarded: bool,
}

impl Connector {
    pub(crate) fn new(setup: &Setup, tls: Option<Arc<ClientConfig>>, proxy: Option<&ProxyConfig>) -> Self {
        let Setup { config, resolution } = setup;
        let names = Names(match proxy {
            Some(_) => resolution.unguarded(),
            None => resolution.clone(),
        });
        let mut tcp = HttpConnector::new_with_resolver(names);
        tcp.set_nodelay(true);
        tcp.set_keepalive(config.tcp_keepalive);
        // The connector divides it among the addresses of a name, so that the first one cannot use all of it.
        tcp.set_connect_timeout(Some(config.connect_timeout));
        Self {
            tcp,
            resolution: resolution.clone(),
            tls: tls.map(Tls::new),
            proxy: proxy.map(Proxy::new),
            version: config.version,
            limit: config.connect_timeout,
        }
    }

    /// The credentials for a forwarding proxy.
    pub(crate) fn proxy_authorization(&self) -> Option<&HeaderValue> {
        match &self.proxy.as_ref()?.kind {
            ProxyKind::Http { authorization } => authorization.as_ref(),
            ProxyKind::Socks { .. } => None,
        }
    }

    /// Opens a connection for a URL and runs `handshake` on it, within the connect timeout.
    ///
    /// `only_http1`: the server is offered HTTP/1.1 only.
    pub(crate) async fn connect<T>(
        &self,
        url: &Url,
        only_http1: bool,
        handshake: impl AsyncFnOnce(Opened) -> Result<T>,
    ) -> Result<T> {
        self.in_time(async { handshake(self.open(url, true, only_http1).await?).await })
            .await
    }

    /// Opens a connection to the URL's server for HTTP/1.1, through a tunnel if there is a proxy, and runs `handshake` on it, within
    /// the connect timeout.
    #[cfg(feature = "websocket")]
    pub(crate) async fn tunnel<T>(&self, url: &Url, handshake: impl AsyncFnOnce(Opened) -> Result<T>) -> Result<T> {
        self.in_time(async { handshake(self.open(url, false, true).await?).await })
            .await
    }

    /// Applies the connect timeout.
    async fn in_time<T>(&self, opening: impl Future<Output = Result<T>>) -> Result<T> {
        match timeout(self.limit, opening).await {
            Ok(outcome) => outcome,
            Err(_) => Err(no_connection_in_time()),
        }
    }

    /// `forwards`: the stream is used for HTTP requests, which a proxy may forward.
    async fn open(&self, url: &Url, forwards: bool, only_http1: bool) -> Result<Opened> {
        let https = matches!(url.scheme(), "https" | "wss");
        let Some(proxy) = &self.proxy else {
            if let Some(guard) = &self.resolution.guard {
                guard.check_url(url)?;
            }
            let tcp = self.tcp(url, url.port_or_known_default().unwrap_or(80)).await?;
            return if https {
                self.origin_tls(url, only_http1, tcp, |stream| Stream::Tls(Box::new(stream)))
                    .await
            } else {
                Ok(self.plain(Stream::Plain(tcp), false))
            };
        };
        self.resolution.check_before_proxy(url).await?;
        let tcp = self
            .tcp(&proxy.url, proxy.port())
            .await
            .map_err(|cause| proxy.unreachable(cause))?;
        let authorization = match &proxy.kind {
            ProxyKind::Socks { credentials, resolves } => {
                let target = self.socks_target(url, *resolves).await?;
                let tcp = socks::connect(tcp, target, credentials.as_ref()).await?;
                return if https {
                    self.origin_tls(url, only_http1, tcp, |stream| Stream::Tls(Box::new(stream)))
                        .await
                } else {
                    Ok(self.plain(Stream::Plain(tcp), false))
                };
            }
            ProxyKind::Http { authorization } => authorization.as_ref(),
        };
        // Proxies forward HTTP/1.1 only.
        let forwarded = forwards && !https && self.version != HttpVersion::Http2;
        if proxy.url.scheme() == "https" {
            let name = server_name(&proxy.url)?;
            let tls = self
                .tls()?
                .http1
                .connect(name, tcp)
                .await
                .map_err(|cause| proxy.unreachable(handshake_failed(cause)))?;
            if forwarded {
                return Ok(self.plain(Stream::Tls(Box::new(tls)), true));
            }
            let tls = proxy::tunnel(tls, &authority(url), authorization).await?;
            return if https {
                self.origin_tls(url, only_http1, tls, |stream| Stream::TlsInTls(Box::new(stream)))
                    .await
            } else {
                Ok(self.plain(Stream::Tls(Box::new(tls)), false))
            };
        }
        if forwarded {
            return Ok(self.plain(Stream::Plain(tcp), true));
        }
        let tcp = proxy::tunnel(tcp, &authority(url), authorization).await?;
        if https {
            self.origin_tls(url, only_http1, tcp, |stream| Stream::Tls(Box::new(stream)))
                .await
        } else {
            Ok(self.plain(Stream::Plain(tcp), false))
        }
    }

    fn tls(&self) -> Result<&Tls> {
        self.tls.as_ref().ok_or_else(tls::not_built)
    }

    fn plain(&self, stream: Stream, forwarded: bool) -> Opened {
        Opened {
            stream,
            http2: self.version == HttpVersion::Http2,
            forwarded,
        }
    }

    async fn origin_tls<S>(
        &self,
        url: &Url,
        only_http1: bool,
        stream: S,
        wrap: impl FnOnce(TlsStream<S>) -> Stream,
    ) -> Result<Opened>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = self.tls()?;
        let connector = if only_http1 { &tls.http1 } else { &tls.origin };
        let tls = connector
            .connect(server_name(url)?, stream)
            .await
            .map_err(handshake_failed)?;
        let negotiated = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Opened {
            http2: negotiated || self.version == HttpVersion::Http2,
            forwarded: false,
            stream: wrap(tls),
        })
    }

    async fn tcp(&self, url: &Url, port: u16) -> Result<TcpStream> {
        let address = format!("http://{}:{port}/", url.host_str().unwrap_or_default());
        let address: Uri = address.parse().map_err(|error| {
            NetworkError::invalid_input("url", "has a host that cannot be connected to").with_source(error)
        })?;
        // `call` takes `&mut self`; the clone is a cheap handle.
        let mut tcp = self.tcp.clone();
        match tcp.call(address).await {
            Ok(stream) => Ok(stream.into_inner()),
            Err(error) => Err(unconnected(error)),
        }
    }

    async fn socks_target(&self, url: &Url, proxy_resolves: bool) -> Result<socks::Target> {
        let port = url.port_or_known_default().unwrap_or(80);
        let address = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(host)) if proxy_resolves => {
                return Ok(socks::Target::Name(host.to_owned(), port));
            }
            Some(Host::Domain(host)) => self.resolution.resolve(host).await?[0],
            None => return Err(NetworkError::invalid_input("url", "must have a host")),
        };
        Ok(socks::Target::Address(SocketAddr::new(address, port)))
    }
}

impl Tls {
    fn new(config: Arc<ClientConfig>) -> Self {
        let mut http1 = ClientConfig::clone(&config);
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            origin: TlsConnector::from(config),
            http1: TlsConnector::from(Arc::new(http1)),
        }
    }
}

/// `host:port`, for CONNECT.
fn authority(url: &Url) -> String {
    let port = url.port_or_known_default().unwrap_or(443);
    format!("{}:{port}", url.host_str().unwrap_or_default())
}

fn server_name(url: &Url) -> Result<ServerName<'static>> {
    let name = match url.host() {
        Some(Host::Ipv4(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::from(address).into())),
        Some(Host::Ipv6(address)) => Ok(ServerName::IpAddress(std::net::IpAddr::from(address).into())),
        Some(Host::Domain(host)) => ServerName::try_from(host.to_owned()),
        None => ServerName::try_from(String::new()),
    };
    name.map_err(|error| {
        NetworkError::invalid_input("url", "has a host that cannot have a certificate").with_source(error)
    })
}

/// Maps a failed attempt to connect. The connector wraps an error of the resolver or an I/O error.
fn unconnected(error: impl StdError + Send + Sync + 'static) -> NetworkError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    let mut io = None;
    while let Some(current) = cause {
        if let Some(own) = current.downcast_ref::<NetworkError>() {
            return diagnosis::resolution(own)
                .into_error()
                .with_retryability(own.retryability())
                .with_send_state(SendState::NotSent)
                .with_source(error);
        }
        if let Some(found) = current.downcast_ref::<io::Error>() {
            io = Some(found.kind());
        }
        cause = current.source();
    }
    let mapped = match io {
        Some(io::ErrorKind::TimedOut) => no_connection_in_time(),
        io => diagnosis::connect(io).into_error().with_send_state(SendState::NotSent),
    };
    mapped.with_source(error)
}

/// Maps a failed TLS handshake: alerts and certificate errors are `Tls`, I/O errors are connection errors.
fn handshake_failed(error: io::Error) -> NetworkError {
    let diagnosis = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => diagnosis::tls(tls),
        None => diagnosis::connect(Some(error.kind())),
    };
    diagnosis
        .into_error()
        .with_send_state(SendState::NotSent)
        .with_source(error)
}

/// Adapts [`Resolution`] to hyper-util's connector.
#[derive(Clone)]
struct Names(Resolution);

impl Service<Name> for Names {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NetworkError;
    type Future = BoxFuture<'static, Result<Self::Response>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolution = self.0.clone();
        Box::pin(async move {
            let addresses = resolution.resolve(name.as_str()).await?;
            // The connector replaces port 0 with the port of the URL.
            let addresses: Vec<_> = addresses
                .into_iter()
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            Ok(addresses.into_iter())
        })
    }
}
