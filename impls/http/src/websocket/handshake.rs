//! The opening handshake.

use std::time::Duration;

use bytes::Bytes;
use networking_spi::error::ResultExt;
use networking_spi::http::{
    ErrorResponse, HeaderMap, HeaderName, HeaderValue, HttpClient, HttpRequest, HttpResponse, Method, header,
};
use networking_spi::validate::{self, Validate};
use networking_spi::websocket::WebSocketRequest;
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::Url;

use super::OPERATION;
use super::extension::{self, Agreement};
use crate::marks::{Handshake, is_token_byte, use_http_scheme};
use crate::transport::upgrade::{CanSwitch, Switched, SwitchedStream};

/// How long the body of a refusal is read.
const REFUSAL_TIME: Duration = Duration::from_secs(1);

/// What the peer agreed to.
pub(super) struct Agreed {
    pub(super) switched: SwitchedStream,
    /// The sub-protocol.
    pub(super) protocol: Option<String>,
    /// How messages are compressed.
    pub(super) compression: Option<Agreement>,
}

/// Fails for requests that no peer can answer.
pub(super) fn check(request: &WebSocketRequest) -> Result<()> {
    let known = matches!(request.url.scheme(), "ws" | "wss") && request.url.has_host();
    validate::ensure(known, "url", "must be a ws or wss URL")?;
    request.options.validate().in_field("options")?;
    if request.options.compression.is_some() && !extension::IS_BUILT {
        return Err(NetworkError::not_built(
            OPERATION,
            "compression",
            "websocket-compression",
        ));
    }
    for (index, protocol) in request.protocols.iter().enumerate() {
        let first = !request.protocols[..index].contains(protocol);
        validate::ensure(is_token(protocol) && first, "protocols", "must be distinct tokens")?;
    }
    let own = |name: &HeaderName| {
        matches!(*name, header::CONNECTION | header::UPGRADE | header::HOST)
            || name.as_str().starts_with("sec-websocket-")
    };
    match request.headers.keys().find(|name| own(name)) {
        Some(name) => Err(NetworkError::invalid_input(
            format!("headers.{name}"),
            "is set by the handshake",
        )),
        None => Ok(()),
    }
}

/// Sends the handshake with `http`, and checks the answer.
pub(super) async fn perform(http: &dyn HttpClient, request: &WebSocketRequest) -> Result<Agreed> {
    let limit = request.options.handshake_timeout;
    let response = timeout(limit, http.request(to_http(request)?))
        .await
        .unwrap_or_else(|_| Err(NetworkError::timeout(OPERATION, Phase::Connect, limit)))
        .in_operation(OPERATION)?;
    let Some(switched) = response.extensions.get::<Switched>().and_then(Switched::take) else {
        return Err(refused(response).await);
    };
    let headers = &response.headers;
    if !has_token(headers, &header::UPGRADE, "websocket") {
        return Err(violation("the peer did not switch to WebSocket"));
    }
    if !has_token(headers, &header::CONNECTION, "upgrade") {
        return Err(violation(
            "the peer's Connection header does not have the token upgrade",
        ));
    }
    let accept = headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accept != Some(derive_accept_key(switched.key.as_bytes()).as_bytes()) {
        return Err(violation(
            "the peer's Sec-WebSocket-Accept does not follow from the key",
        ));
    }
    let protocol = chosen_protocol(headers, &request.protocols)?;
    let compression = extension::agreed(headers, request.options.compression.as_ref())?;
    Ok(Agreed {
        switched,
        protocol,
        compression,
    })
}

/// The request of the handshake.
fn to_http(request: &WebSocketRequest) -> Result<HttpRequest> {
    let mut outgoing = HttpRequest::new(Method::GET, http_url(&request.url));
    outgoing.headers.clone_from(&request.headers);
    if !request.protocols.is_empty() {
        let offered = HeaderValue::from_str(&request.protocols.join(", "))
            .map_err(|_| NetworkError::invalid_input("protocols", "must be distinct tokens"))?;
        outgoing.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, offered);
    }
    if let Some(compression) = &request.options.compression {
        let offer = extension::offer(compression);
        outgoing.headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, offer);
    }
    outgoing.extensions.insert(Handshake);
    // A refusal is mapped here.
    outgoing.options.raise_for_status = Some(false);
    Ok(outgoing)
}

/// The URL of the handshake, without a fragment (RFC 6455, section 3).
fn http_url(url: &Url) -> Url {
    let mut http = url.clone();
    http.set_fragment(None);
    use_http_scheme(&mut http);
    http
}

/// The error for an answer that does not switch protocols.
async fn refused(mut response: HttpResponse) -> NetworkError {
    if response.extensions.get::<CanSwitch>().is_none() {
        return NetworkError::unsupported(OPERATION, "websocket");
    }
    // A body that does not end must not hide the status.
    let _ = timeout(REFUSAL_TIME, response.body.read_ahead(ErrorResponse::MAX_BODY)).await;
    if let Some(error) = response.status_error() {
        return error.with_operation(OPERATION);
    }
    let complete = response.body.as_bytes().is_some() || response.body.is_empty();
    let body = Bytes::copy_from_slice(response.body.ahead());
    let complete = complete && body.len() <= ErrorResponse::MAX_BODY;
    let answer = ErrorResponse::new(response.status, response.headers, body).with_complete(complete);
    NetworkError::new(ErrorKind::Status, OPERATION, "the peer did not switch protocols")
        .with_status(response.status.as_u16())
        .with_source(answer)
}

/// The sub-protocol that the peer chose, which must be an offered one.
fn chosen_protocol(headers: &HeaderMap, offered: &[String]) -> Result<Option<String>> {
    let mut chosen = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let (Some(first), rest) = (chosen.next(), chosen.next()) else {
        return Ok(None);
    };
    let found = offered.iter().find(|offered| offered.as_bytes() == first.as_bytes());
    match (found, rest) {
        (Some(found), None) => Ok(Some(found.clone())),
        (_, Some(_)) => Err(violation("the peer chose several sub-protocols")),
        (None, None) => Err(violation("the peer chose a sub-protocol that was not offered")),
    }
}

/// Whether the values of a header, which are lists, have this token. Case is ignored.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token_byte)
}

/// The error for an answer that RFC 6455 does not allow.
pub(super) fn violation(message: &'static str) -> NetworkError {
    NetworkError::new(ErrorKind::Protocol, OPERATION, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_in_lists() {
        let mut headers = HeaderMap::new();
        for value in ["keep-alive", "x , Upgrade,y"] {
            headers.append(header::CONNECTION, HeaderValue::from_static(value));
        }
        assert!(has_token(&headers, &header::CONNECTION, "upgrade"));
        assert!(!has_token(&headers, &header::CONNECTION, "grade"));
    }
}
