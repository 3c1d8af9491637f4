//! Closing handshakes, and connections without one.

use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::websocket::{
    CloseFrame, WebSocketClient, WebSocketConnection, WebSocketConnectionExt, WebSocketMessage,
};

use super::{H, client_of, soon};
use crate::kit::CaseResult;
use crate::websocket::server::Server;
use crate::{check, check_eq, check_error};

pub(in crate::websocket) async fn our_close_reaches_the_peer(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/echo").await?;
    let frame = || CloseFrame::new(CloseFrame::NORMAL, "done");
    soon(&harness, "the end", connection.close_with(frame())).await??;
    check_eq!(
        server.close_frame(),
        Some((1000, "done".to_owned())),
        "the code and reason that the peer received"
    );
    check!(
        !connection.is_open(),
        "the connection is open after the closing handshake"
    );
    check_error!(
        connection.send_text("late").await,
        ErrorKind::Closed,
        "sending after the close"
    );
    check_eq!(
        soon(&harness, "the end", connection.next()).await??,
        None,
        "a message after the close"
    );
    soon(&harness, "the second close", connection.close_with(frame())).await??;
    Ok(())
}

pub(in crate::websocket) async fn the_peers_close_is_received(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/bye").await?;
    let received = soon(&harness, "the close frame", connection.receive()).await??;
    let frame = CloseFrame::new(4000, "bye");
    check_eq!(received, Some(WebSocketMessage::Close(Some(frame))), "the peer's close");
    check_eq!(
        soon(&harness, "the end", connection.receive()).await??,
        None,
        "a message after the peer's close"
    );
    check!(!connection.is_open(), "the connection is open after the peer's close");
    soon(&harness, "our answer", server.sees(|seen| seen.close.is_some())).await?;
    Ok(())
}

pub(in crate::websocket) async fn a_lost_connection_is_connection_closed(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/lost").await?;
    connection.send_text("go").await?;
    let received = soon(&harness, "the error", connection.receive()).await?;
    check_error!(
        received,
        ErrorKind::ConnectionClosed,
        "a connection that ends without a closing handshake"
    );
    check!(!connection.is_open(), "the connection is open after it was lost");
    Ok(())
}

pub(in crate::websocket) async fn a_close_without_an_answer_is_a_timeout(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let mut request = server.request("/deaf")?;
    // The peer does not answer.
    request.options.close_timeout = Duration::from_millis(1);
    let connection = client_of(&harness).connect(request).await?;
    let closed = soon(
        &harness,
        "the timeout",
        connection.close_with(CloseFrame::new(1000, "")),
    )
    .await?;
    check_error!(closed, ErrorKind::Timeout, "a peer that does not answer");
    check!(!connection.is_open(), "the connection is open after the close");
    Ok(())
}

pub(in crate::websocket) async fn an_invalid_close_leaves_the_connection_open(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/echo").await?;
    for (what, frame) in [
        ("the code 0", CloseFrame::new(0, "")),
        ("the code for an absent code", CloseFrame::new(1005, "")),
        ("the code for a lost connection", CloseFrame::new(1006, "")),
        ("a reason of 124 bytes", CloseFrame::new(1000, "x".repeat(124))),
    ] {
        let closed = soon(
            &harness,
            "the result of the invalid close",
            connection.close_with(frame),
        )
        .await?;
        check_error!(closed, ErrorKind::InvalidInput, "{what}");
    }
    check!(connection.is_open(), "an invalid close closed the connection");
    connection.send_text("still here").await?;
    let back = soon(&harness, "an echo", connection.next()).await??;
    check_eq!(back, Some(WebSocketMessage::text("still here")), "the echo");
    let longest = CloseFrame::new(4999, "x".repeat(123));
    soon(&harness, "the end", connection.close_with(longest)).await??;
    check_eq!(
        server.close_frame(),
        Some((4999, "x".repeat(123))),
        "the code and reason that the peer received"
    );
    Ok(())
}

pub(in crate::websocket) async fn sending_a_close_frame_closes(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/echo").await?;
    let frame = CloseFrame::new(4001, "sent");
    let sending = connection.send(WebSocketMessage::Close(Some(frame)));
    soon(&harness, "the end", sending).await??;
    check_eq!(
        server.close_frame(),
        Some((4001, "sent".to_owned())),
        "the code and reason that the peer received"
    );
    check!(!connection.is_open(), "the connection is open after the close frame");
    Ok(())
}

pub(in crate::websocket) async fn dropping_the_connection_closes_its_socket(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/echo").await?;
    connection.send_text("here").await?;
    soon(&harness, "an echo", connection.next()).await??;
    drop(connection);
    soon(
        &harness,
        "the end of the connection",
        server.sees(|seen| seen.ended == 1),
    )
    .await
}

pub(in crate::websocket) async fn close_codes_are_shown_as_they_came(harness: H) -> CaseResult {
    let server = Server::start().await?;
    // Registered by IANA, and codes that a peer must not send.
    for code in [1001, 1011, 1012, 1013, 1014, 3000, 4999, 999, 1005, 2999, 5000] {
        let connection = server.connect(&client_of(&harness), &format!("/close/{code}")).await?;
        let received = soon(&harness, "the close frame", connection.receive()).await??;
        let frame = CloseFrame::new(code, "as sent");
        check_eq!(received, Some(WebSocketMessage::Close(Some(frame))), "the peer's close");
        let end = soon(&harness, "the end", connection.receive()).await??;
        check_eq!(end, None, "a message after the peer's close");
    }
    Ok(())
}
