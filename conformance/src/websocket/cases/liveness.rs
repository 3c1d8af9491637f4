//! Pings and pongs.

use std::time::Duration;

use bytes::Bytes;
use networking_spi::ErrorKind;
use networking_spi::websocket::{WebSocketConnection, WebSocketConnectionExt, WebSocketMessage};

use super::{H, soon};
use crate::kit::CaseResult;
use crate::websocket::server::Server;
use crate::{check_eq, check_error};

pub(in crate::websocket) async fn an_idle_connection_is_pinged(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let mut request = server.request("/echo")?;
    request.options.ping_interval = Some(Duration::from_millis(1));
    request.options.pong_timeout = Duration::from_secs(30);
    let connection = harness.client().websocket_connect(request).await?;
    // The second ping is sent only after the pong of the first. No call receives meanwhile.
    soon(&harness, "pings", server.sees(|seen| seen.pings >= 3)).await?;
    connection.send_text("still here").await?;
    let back = soon(&harness, "an echo", connection.next_data()).await??;
    check_eq!(back, Some(WebSocketMessage::text("still here")), "the echo");
    Ok(())
}

pub(in crate::websocket) async fn a_missing_pong_is_a_timeout(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let mut request = server.request("/deaf")?;
    // The peer does not answer.
    request.options.ping_interval = Some(Duration::from_millis(1));
    request.options.pong_timeout = Duration::from_millis(1);
    let connection = harness.client().websocket_connect(request).await?;
    let received = soon(&harness, "the error", connection.receive()).await?;
    check_error!(received, ErrorKind::Timeout, "a ping without an answer");
    Ok(())
}

pub(in crate::websocket) async fn pings_of_the_peer_are_answered(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&harness.client(), "/ping").await?;
    // No call receives.
    soon(&harness, "our pong", server.sees(|seen| seen.pong.is_some())).await?;
    check_eq!(
        server.pong().as_deref(),
        Some(&b"are you there"[..]),
        "the pong's payload"
    );
    let received = soon(&harness, "the ping", connection.receive()).await??;
    let ping = WebSocketMessage::Ping(Bytes::from_static(b"are you there"));
    check_eq!(received, Some(ping), "the ping that `receive` returns");
    Ok(())
}
