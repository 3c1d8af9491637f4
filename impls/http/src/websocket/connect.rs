//! The opening handshake.

use networking_spi::error::ResultExt;
use networking_spi::http::{HeaderValue, header};
use networking_spi::websocket::WebSocketRequest;
use networking_spi::{NetworkError, Result};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::wire::Wire;
use super::{OPERATION, WebSocketConnector, error};
use crate::connect::basic;
use crate::connect::stream::Stream;

/// The size of the write buffer, in bytes.
const WRITE_BUFFER: usize = 16 << 10;

pub(super) type Socket = WebSocketStream<Wire>;

/// Opens a connection, and returns it with its sub-protocol.
pub(super) async fn open(
    connector: &WebSocketConnector,
    request: &WebSocketRequest,
) -> Result<(Socket, Option<String>)> {
    let handshake = to_http(connector, request)?;
    let stream = connector
        .sockets(&request.url)?
        .tunnel(&request.url)
        .await
        .in_operation(OPERATION)?;
    let stream = match stream {
        Stream::Plain(stream) => Wire::new(stream),
        Stream::Tls(stream) => Wire::new(stream),
        Stream::TlsInTls(stream) => Wire::new(stream),
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
    let mut fields = request.headers.clone();
    basic::take_from_url(&mut url, &mut fields)?;
    let mut handshake = url
        .as_str()
        .into_client_request()
        .map_err(|_| NetworkError::invalid_input("url", "is not a URI"))?;
    let headers = handshake.headers_mut();
    for (name, value) in &fields {
        headers.append(name, value.clone());
    }
    if let Some(agent) = connector.user_agent().and_then(|agent| agent.parse().ok()) {
        headers.entry(header::USER_AGENT).or_insert(agent);
    }
    if !request.protocols.is_empty() {
        let offered = HeaderValue::from_str(&request.protocols.join(", "))
            .map_err(|_| NetworkError::invalid_input("protocols", "must be distinct tokens"))?;
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    }
    Ok(handshake)
}
