//! Pings and pongs.

use std::time::Duration;

use bytes::Bytes;
use networking_spi::ErrorKind;
use networking_spi::websocket::{
    UnreadPolicy, WebSocketClient, WebSocketConnection, WebSocketConnectionExt, WebSocketMessage,
};

use super::{H, client_of, soon};
use crate::kit::CaseResult;
use crate::websocket::server::{FLOOD, Server, TORRENT, TORRENT_MESSAGE};
use crate::{check, check_eq, check_error};

pub(in crate::websocket) async fn an_idle_connection_is_pinged(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let mut request = server.request("/echo")?;
    request.options.ping_interval = Some(Duration::from_millis(1));
    request.options.pong_timeout = Duration::from_secs(30);
    let connection = client_of(&harness).connect(request).await?;
    // The second ping is sent only after the pong of the first. No call receives meanwhile.
    soon(&harness, "pings", server.sees(|seen| seen.pings >= 3)).await?;
    connection.send_text("still here").await?;
    let back = soon(&harness, "an echo", connection.next()).await??;
    check_eq!(back, Some(WebSocketMessage::text("still here")), "the echo");
    Ok(())
}

pub(in crate::websocket) async fn a_missing_pong_is_a_timeout(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let mut request = server.request("/deaf")?;
    // The peer does not answer.
    request.options.ping_interval = Some(Duration::from_millis(1));
    request.options.pong_timeout = Duration::from_millis(1);
    let connection = client_of(&harness).connect(request).await?;
    let received = soon(&harness, "the error", connection.receive()).await?;
    check_error!(received, ErrorKind::Timeout, "a ping without an answer");
    Ok(())
}

pub(in crate::websocket) async fn pings_of_the_peer_are_answered(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/ping").await?;
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

pub(in crate::websocket) async fn unreceived_messages_do_not_stop_the_reader(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/flood").await?;
    // No call receives.
    soon(&harness, "our pong", server.sees(|seen| seen.pong.is_some())).await?;
    let end = async {
        while connection.is_open() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    soon(&harness, "the end of the connection", end).await?;
    for number in 0..FLOOD {
        let message = soon(&harness, "a message", connection.next()).await??;
        check_eq!(
            message,
            Some(WebSocketMessage::text(number.to_string())),
            "the next message"
        );
    }
    let received = soon(&harness, "the error", connection.next()).await?;
    check_error!(received, ErrorKind::ConnectionClosed, "the end");
    Ok(())
}

pub(in crate::websocket) async fn unreceived_messages_are_bounded(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let mut request = server.request("/echo")?;
    request.options = request.options.with_unread(1_000, UnreadPolicy::Close);
    let connection = client_of(&harness).connect(request).await?;
    connection.send_binary(vec![7; 1_000]).await?;
    for _ in 0..2 {
        // The connection may have ended at the second echo.
        let _ = connection.send_binary(vec![7; 1_000]).await;
    }
    soon(&harness, "a close frame", server.sees(|seen| seen.close.is_some())).await?;
    check_eq!(
        server.close_frame().map(|frame| frame.0),
        Some(1008),
        "the close code that the peer received"
    );
    let message = soon(&harness, "a message", connection.next()).await??;
    check_eq!(
        message.map(|message| message.len()),
        Some(1_000),
        "the message that was kept"
    );
    let received = soon(&harness, "the error", connection.next()).await?;
    check_error!(received, ErrorKind::Exhausted, "the end");
    Ok(())
}

pub(in crate::websocket) async fn unreceived_messages_slow_the_peer_down(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let mut request = server.request("/torrent")?;
    request.options = request.options.with_unread(TORRENT_MESSAGE, UnreadPolicy::Wait);
    let connection = client_of(&harness).connect(request).await?;
    let mut sent = 0;
    // A stop is a pause in which the peer sends nothing: it has sent everything, or it waits for the connection to read.
    let stopped = async {
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = server.sent();
            if now > 0 && now == sent {
                break;
            }
            sent = now;
        }
    };
    soon(&harness, "a stop of the peer", stopped).await?;
    check!(
        sent < TORRENT,
        "the connection kept all {TORRENT} messages of {TORRENT_MESSAGE} bytes above its limit"
    );
    for number in 0..TORRENT {
        let message = soon(&harness, "a message", connection.next()).await??;
        check!(
            matches!(&message, Some(WebSocketMessage::Binary(bytes))
                if bytes.len() == TORRENT_MESSAGE && bytes[0] as usize == number % 251),
            "message {number} is missing, or is not next"
        );
    }
    Ok(())
}
