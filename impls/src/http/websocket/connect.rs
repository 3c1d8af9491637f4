//! From a request to an open stream: name, socket, proxy, TLS, handshake.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use networking_spi::http::{HeaderValue, ProxyConfig, header};
use networking_spi::websocket::WebSocketRequest;
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};
use url::{Host, Url};

use super::{OPERATION, WebSocketConnector, error};
use crate::http::transport::dns::Resolution;

/// The largest answer of a proxy to CONNECT.
const MAX_PROXY_HEAD: usize = 16 << 10;

/// Where frames are written before they go out.
const WRITE_BUFFER: usize = 16 << 10;

/// What a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

pub(super) type Socket = WebSocketStream<Box<dyn Stream>>;

/// The open connection and its sub-protocol.
pub(super) async fn open(
    connector: &WebSocketConnector,
    request: &WebSocketRequest,
) -> Result<(Socket, Option<String>)> {
    let handshake = to_http(connector, request)?;
    let url = &request.url;
    let tcp = match connector.proxy() {
        Some(proxy) => tunnel(connector.resolution(), proxy, url).await?,
        None => direct(connector.resolution(), url).await?,
    };
    let stream: Box<dyn Stream> = if url.scheme() == "wss" {
        let name = ServerName::try_from(bare_host(url))
            .map_err(|_| NetworkError::invalid_input("url", "has a host that cannot have a certificate"))?;
        let connected = connector.tls()?.connect(name, tcp).await;
        Box::new(connected.map_err(|failure| error::tls(&failure))?)
    } else {
        Box::new(tcp)
    };
    let options = &request.options;
    let config = WebSocketConfig::default()
        .read_buffer_size(16 << 10)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(options.max_message_size.saturating_add(4 * WRITE_BUFFER))
        .max_message_size(Some(options.max_message_size))
        .max_frame_size(Some(options.max_frame_size));
    let (socket, response) = client_async_with_config(handshake, stream, Some(config))
        .await
        .map_err(error::handshake)?;
    let protocol = response
        .headers()
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    Ok((socket, protocol))
}

fn to_http(connector: &WebSocketConnector, request: &WebSocketRequest) -> Result<Request> {
    let mut url = request.url.clone();
    url.set_fragment(None);
    let user = (!url.username().is_empty() || url.password().is_some())
        .then(|| basic(&decoded(url.username()), &decoded(url.password().unwrap_or_default())));
    // Neither fails for a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    let mut handshake = url
        .as_str()
        .into_client_request()
        .map_err(|_| NetworkError::invalid_input("url", "is not a URI"))?;
    let headers = handshake.headers_mut();
    for (name, value) in &request.headers {
        headers.append(name, value.clone());
    }
    if let Some(user) = user {
        headers.entry(header::AUTHORIZATION).or_insert(user?);
    }
    if let Some(agent) = connector
        .0
        .config
        .user_agent
        .as_deref()
        .and_then(|agent| agent.parse().ok())
    {
        headers.entry(header::USER_AGENT).or_insert(agent);
    }
    if !request.protocols.is_empty() {
        let offered = HeaderValue::from_str(&request.protocols.join(", "))
            .map_err(|_| NetworkError::invalid_input("protocols", "must be different tokens"))?;
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    }
    Ok(handshake)
}

fn decoded(text: &str) -> String {
    // `+` is itself in user information.
    let text = text.replace('+', "%2B");
    let text = format!("x={text}");
    url::form_urlencoded::parse(text.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn basic(username: &str, password: &str) -> Result<HeaderValue> {
    let pair = STANDARD.encode(format!("{username}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}"))
        .map_err(|_| NetworkError::invalid_input("url", "has user information that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// The host without the brackets of an IPv6 address.
fn bare_host(url: &Url) -> String {
    match url.host() {
        Some(Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => String::new(),
    }
}

async fn direct(resolution: &Resolution, url: &Url) -> Result<TcpStream> {
    if let Some(guard) = &resolution.guard {
        guard.check_url(url).map_err(|error| error.with_operation(OPERATION))?;
    }
    connect(resolution, url).await
}

async fn connect(resolution: &Resolution, url: &Url) -> Result<TcpStream> {
    let port = url.port_or_known_default().unwrap_or(80);
    let addresses = match url.host() {
        Some(Host::Ipv4(address)) => vec![address.into()],
        Some(Host::Ipv6(address)) => vec![address.into()],
        Some(Host::Domain(host)) => resolution
            .resolve(host)
            .await
            .map_err(|error| error.with_operation(OPERATION))?,
        None => Vec::new(),
    };
    let mut latest = None;
    for address in addresses {
        match TcpStream::connect((address, port)).await {
            Ok(stream) => {
                // Frames are flushed when they are complete: waiting for more gains nothing.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(failure) => latest = Some(error::connecting(&failure)),
        }
    }
    Err(latest.unwrap_or_else(|| NetworkError::new(ErrorKind::Dns, OPERATION, "the name has no address")))
}

/// A tunnel through an HTTP proxy (RFC 9110, section 9.3.6).
async fn tunnel(resolution: &Resolution, proxy: &ProxyConfig, url: &Url) -> Result<TcpStream> {
    if proxy.url.scheme() != "http" {
        return Err(NetworkError::unsupported(OPERATION, "websocket_proxy"));
    }
    let failed = |message| NetworkError::new(ErrorKind::Proxy, OPERATION, message).with_send_state(SendState::NotSent);
    if let Some(guard) = &resolution.guard {
        let checked = guard.check_before_proxy(url, resolution).await;
        checked.map_err(|error| error.with_operation(OPERATION))?;
    }
    let mut stream = connect(&resolution.unguarded(), &proxy.url)
        .await
        .map_err(|cause| failed("the proxy cannot be reached").with_source(cause))?;
    let target = format!(
        "{}:{}",
        url.host_str().unwrap_or_default(),
        url.port_or_known_default().unwrap_or(80)
    );
    let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(username) = &proxy.username {
        let password = proxy.password.as_ref().map_or("", |password| password.expose());
        let pair = STANDARD.encode(format!("{username}:{password}"));
        head = format!("{head}Proxy-Authorization: Basic {pair}\r\n");
    }
    head.push_str("\r\n");
    let broken = |cause| failed("the proxy broke the connection").with_source(cause);
    stream.write_all(head.as_bytes()).await.map_err(broken)?;

    let mut answer = Vec::with_capacity(256);
    // The peer speaks only after the handshake, so nothing behind the head is read by single bytes.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() == MAX_PROXY_HEAD {
            return Err(failed("the proxy's answer is too long"));
        }
        answer.push(stream.read_u8().await.map_err(broken)?);
    }
    let status = std::str::from_utf8(&answer)
        .ok()
        .and_then(|text| text.strip_prefix("HTTP/1."))
        .and_then(|text| text.get(2..5)?.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(stream),
        Some(407) => Err(failed("the proxy wants credentials")),
        Some(_) => Err(failed("the proxy did not open a tunnel")),
        None => Err(failed("the proxy does not speak HTTP")),
    }
}
