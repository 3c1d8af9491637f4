//! Opening handshakes.

use std::time::Duration;

use networking_spi::websocket::{
    ErrorResponse, WebSocketClient, WebSocketCompression, WebSocketConnectionExt, WebSocketMessage, WebSocketRequest,
};
use networking_spi::{ErrorKind, SendState};
use tokio::net::TcpListener;

use super::{H, client_of, soon};
use crate::closed_port::closed_port;
use crate::kit::{CaseResult, Failure, chain};
use crate::websocket::server::{REFUSAL, Server, WRONG_ANSWERS};
use crate::{check, check_eq, check_error};

pub(in crate::websocket) async fn headers_and_sub_protocols_are_negotiated(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let client = client_of(&harness);
    let request = server
        .request("/headers")?
        .with_header("x-test", "sent")?
        .with_protocol("chat.v3")
        .with_protocol("chat.v2");
    let connection = client.connect(request).await?;
    check_eq!(
        connection.protocol().as_deref(),
        Some("chat.v2"),
        "the chosen sub-protocol"
    );
    let echo = soon(&harness, "the header", connection.next()).await??;
    check_eq!(echo, Some(WebSocketMessage::text("sent")), "the header that arrived");
    let plain = server.connect(&client, "/echo").await?;
    check_eq!(plain.protocol(), None, "a sub-protocol that was not offered");
    Ok(())
}

pub(in crate::websocket) async fn invalid_urls_and_options_are_invalid_input(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let client = client_of(&harness);
    let mut scheme = server.request("/echo")?;
    scheme.url = scheme.url.as_str().replace("ws://", "http://").parse().expect("a URL");
    let mut limit = server.request("/echo")?;
    limit.options.max_frame_size = 0;
    for (what, request) in [("an http URL", scheme), ("a limit of 0 bytes", limit)] {
        check_error!(client.connect(request).await, ErrorKind::InvalidInput, "{what}");
    }
    Ok(())
}

pub(in crate::websocket) async fn refusals_have_their_status(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let client = client_of(&harness);
    for (status, kind) in [
        (401, ErrorKind::Authentication),
        (407, ErrorKind::Authentication),
        (403, ErrorKind::PermissionDenied),
        (404, ErrorKind::NotFound),
        (410, ErrorKind::NotFound),
        (429, ErrorKind::RateLimited),
        (302, ErrorKind::Status),
        (503, ErrorKind::Status),
    ] {
        let result = client.connect(server.request(&format!("/refuse/{status}"))?).await;
        let error = check_error!(result, kind, "status {status}");
        check_eq!(error.status(), Some(status), "the status in the error");
        check!(
            error.is_a(ErrorKind::Status),
            "{status} is not a Status error: {}",
            chain(&error)
        );
    }
    Ok(())
}

pub(in crate::websocket) async fn refused_and_slow_connections_have_their_kinds(harness: H) -> CaseResult {
    let no_port = |error: std::io::Error| Failure::with_error("no port", &error);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(no_port)?;
    let url = format!("ws://{}/", listener.local_addr().map_err(no_port)?);
    let client = client_of(&harness);
    // The kernel accepts the connection, and no server answers.
    let mut request = WebSocketRequest::new(&url)?;
    request.options.handshake_timeout = Duration::from_millis(1);
    let result = soon(&harness, "the timeout", client.connect(request)).await?;
    check_error!(result, ErrorKind::Timeout, "a server that does not answer");
    let closed = format!("ws://127.0.0.1:{}/", closed_port()?);
    let result = client.connect(WebSocketRequest::new(&closed)?).await;
    let error = check_error!(result, ErrorKind::ConnectionRefused, "a closed port");
    check_eq!(error.send_state(), SendState::NotSent, "the send state");
    Ok(())
}

pub(in crate::websocket) async fn path_and_query_arrive(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server
        .connect(&client_of(&harness), "/uri/a%20b?q=%2F&empty#fragment")
        .await?;
    let echo = soon(&harness, "the URI", connection.next()).await??;
    check_eq!(
        echo,
        Some(WebSocketMessage::text("/uri/a%20b?q=%2F&empty")),
        "the path and query that arrived"
    );
    Ok(())
}

pub(in crate::websocket) async fn reserved_headers_are_invalid_input(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let client = client_of(&harness);
    for name in [
        "host",
        "connection",
        "upgrade",
        "sec-websocket-key",
        "sec-websocket-protocol",
    ] {
        let request = server.request("/echo")?.with_header(name, "mine")?;
        check_error!(
            client.connect(request).await,
            ErrorKind::InvalidInput,
            "the header {name}"
        );
    }
    for protocols in [&["a b"][..], &[""], &["chat", "chat"]] {
        let mut request = server.request("/echo")?;
        request.protocols = protocols.iter().map(|protocol| (*protocol).to_owned()).collect();
        check_error!(
            client.connect(request).await,
            ErrorKind::InvalidInput,
            "the sub-protocols {protocols:?}"
        );
    }
    Ok(())
}

pub(in crate::websocket) async fn unoffered_sub_protocols_are_refused(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let request = server.request("/unasked")?.with_protocol("chat.v3");
    let result = client_of(&harness).connect(request).await;
    check_error!(result, ErrorKind::Protocol, "a sub-protocol that was not offered");
    Ok(())
}

pub(in crate::websocket) async fn tokens_are_found_in_lists(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/tokens").await?;
    connection.send_text("here").await?;
    let echo = soon(&harness, "an echo", connection.next()).await??;
    check_eq!(echo, Some(WebSocketMessage::text("here")), "the echo");
    Ok(())
}

pub(in crate::websocket) async fn unoffered_extensions_are_refused(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let result = client_of(&harness).connect(server.request("/extension")?).await;
    check_error!(result, ErrorKind::Protocol, "an extension that was not offered");
    Ok(())
}

pub(in crate::websocket) async fn refusals_are_shown_as_they_came(harness: H) -> CaseResult {
    let server = Server::start().await?;
    for status in [403, 503] {
        let result = harness
            .client()
            .connect(server.request(&format!("/refuse/{status}"))?)
            .await;
        let Err(error) = result else {
            return Err(Failure::new(format!(
                "a handshake that was refused with {status} succeeded"
            )));
        };
        let Some(refusal) = ErrorResponse::of(&error) else {
            return Err(Failure::with_error(
                "an error without an ErrorResponse as its source",
                &error,
            ));
        };
        check_eq!(refusal.status.as_u16(), status, "the status");
        let reason = refusal.headers.get("x-reason").and_then(|value| value.to_str().ok());
        check_eq!(reason, Some("closed"), "a header");
        check_eq!(refusal.body.as_ref(), REFUSAL.as_bytes(), "the body");
    }
    Ok(())
}

pub(in crate::websocket) async fn wrong_answers_are_refused(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let client = client_of(&harness);
    for how in WRONG_ANSWERS {
        let result = client.connect(server.request(&format!("/wrong/{how}"))?).await;
        check_error!(result, ErrorKind::Protocol, "an answer with {how}");
    }
    Ok(())
}

pub(in crate::websocket) async fn compression_is_offered_or_unsupported(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let client = client_of(&harness);
    let mut request = server.request("/offer")?;
    request.options = request.options.with_compression(WebSocketCompression::default());
    let result = client.connect(request).await;
    if !client.capabilities().compression {
        check_error!(
            result,
            ErrorKind::Unsupported,
            "compression without the capability `compression`"
        );
        return Ok(());
    }
    let offer = soon(&harness, "the offer", result?.next()).await??;
    check!(
        matches!(&offer, Some(WebSocketMessage::Text(text)) if text.starts_with("permessage-deflate")),
        "the offer is {offer:?}"
    );
    Ok(())
}
