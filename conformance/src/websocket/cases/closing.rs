//! Ends, good and bad.

use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::websocket::{CloseFrame, WebSocketConnectionExt, WebSocketMessage};

use super::{H, soon};
use crate::case::CaseResult;
use crate::websocket::server::Server;
use crate::{check, check_eq, check_error};

pub(in crate::websocket) async fn our_close_reaches_the_peer(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&harness.client(), "/echo").await?;
    let frame = || CloseFrame::new(CloseFrame::NORMAL, "done");
    soon("the end", connection.close(frame())).await??;
    check_eq!(
        server.close_frame(),
        Some((1000, "done".to_owned())),
        "what the peer was told"
    );
    check!(!connection.is_open(), "open after the closing handshake");
    check_error!(
        connection.send_text("late").await,
        ErrorKind::Closed,
        "sending after the end"
    );
    check_eq!(soon("the end", connection.next_data()).await??, None, "after the end");
    soon("the second close", connection.close(frame())).await??;
    Ok(())
}

pub(in crate::websocket) async fn the_peers_close_is_received(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&harness.client(), "/bye").await?;
    let received = soon("the close frame", connection.receive()).await??;
    let frame = CloseFrame::new(4000, "bye");
    check_eq!(received, Some(WebSocketMessage::Close(Some(frame))), "the peer's close");
    check_eq!(soon("the end", connection.receive()).await??, None, "after the close");
    check!(!connection.is_open(), "open after the peer's close");
    soon("our answer", server.sees(|seen| seen.close.is_some())).await?;
    Ok(())
}

pub(in crate::websocket) async fn a_peer_that_vanishes_is_an_error(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&harness.client(), "/vanish").await?;
    connection.send_text("go").await?;
    let received = soon("the error", connection.receive()).await?;
    check_error!(received, ErrorKind::ConnectionClosed, "no closing handshake");
    check!(!connection.is_open(), "open without a peer");
    Ok(())
}

pub(in crate::websocket) async fn a_close_without_an_answer_is_a_timeout(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let mut request = server.request("/deaf")?;
    request.options.close_timeout = Duration::from_millis(50);
    let connection = harness.client().websocket_connect(request).await?;
    let closed = soon("the timeout", connection.close(CloseFrame::new(1000, ""))).await?;
    check_error!(closed, ErrorKind::Timeout, "a peer that does not answer");
    check!(!connection.is_open(), "open after the close");
    Ok(())
}
