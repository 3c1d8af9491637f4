//! Messages in both directions.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use networking_spi::ErrorKind;
use networking_spi::websocket::{WebSocketClient, WebSocketConnection, WebSocketConnectionExt, WebSocketMessage};

use super::{H, client_of, soon};
use crate::kit::{CaseResult, Failure};
use crate::websocket::server::{Server, VIOLATIONS};
use crate::{check, check_eq, check_error, within};

pub(in crate::websocket) async fn messages_arrive_unchanged(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/echo").await?;
    check!(connection.is_open(), "a fresh connection is not open");
    let every_byte: Vec<u8> = (0..=255).collect();
    for message in [
        WebSocketMessage::text("gr\u{fc}\u{df}e \u{1f980}"),
        WebSocketMessage::binary(every_byte),
        WebSocketMessage::text(""),
        WebSocketMessage::binary(Bytes::new()),
        WebSocketMessage::binary(vec![7; 300_000]),
    ] {
        connection.send(message.clone()).await?;
        let back = soon(&harness, "an echo", connection.next()).await??;
        check!(
            back.as_ref() == Some(&message),
            "a message of {} bytes was changed",
            message.len()
        );
    }
    Ok(())
}

pub(in crate::websocket) async fn sending_does_not_wait_for_receiving(harness: H) -> CaseResult {
    const MESSAGES: usize = 200;
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/echo").await?;
    let other_half = Arc::clone(&connection);
    let mut receiving = Box::pin(async move {
        let mut received = 0;
        while received < MESSAGES {
            match other_half.next().await {
                Ok(Some(_)) => received += 1,
                _ => break,
            }
        }
        received
    });
    // The receiver waits before the first message is sent.
    check!(
        receiving.as_mut().now_or_never().is_none(),
        "a message was received before any was sent"
    );
    let receiving = tokio::spawn(receiving);
    let sending = async {
        for _ in 0..MESSAGES {
            connection.send_binary(vec![1; 64 << 10]).await?;
        }
        Ok::<_, Failure>(())
    };
    soon(&harness, "the end of sending", sending).await??;
    let received = soon(&harness, "all echoes", receiving).await?;
    check_eq!(received.unwrap_or_default(), MESSAGES, "echoes");
    Ok(())
}

pub(in crate::websocket) async fn a_cancelled_receive_loses_nothing(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/echo").await?;
    for number in 0..20 {
        connection.send_text(number.to_string()).await?;
    }
    let receiving = async {
        let mut received = 0;
        while received < 20 {
            // The call is polled once and then dropped.
            match connection.receive().now_or_never() {
                Some(Ok(Some(WebSocketMessage::Text(text)))) => {
                    check_eq!(text, received.to_string(), "the next echo");
                    received += 1;
                }
                Some(Ok(Some(_))) => {}
                Some(other) => return Err(Failure::new(format!("expected an echo, got {other:?}"))),
                None => tokio::task::yield_now().await,
            }
        }
        Ok(())
    };
    soon(&harness, "every echo", receiving).await?
}

pub(in crate::websocket) async fn the_size_limit_is_exact(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let client = client_of(&harness);
    let mut request = server.request("/long")?;
    request.options.max_message_size = 1_000;
    request.options.max_frame_size = 1_000;

    let connection = client.connect(request.clone()).await?;
    connection.send_text("1000").await?;
    let message = soon(&harness, "the message", connection.next()).await??;
    check_eq!(
        message.map(|message| message.len()),
        Some(1_000),
        "a message of exactly the limit"
    );
    let error = connection.send_binary(vec![0; 1_001]).await;
    check_error!(error, ErrorKind::TooLarge, "sending more than the limit");

    let connection = client.connect(request).await?;
    connection.send_text("1001").await?;
    let received = soon(&harness, "the error", connection.next()).await?;
    check_error!(received, ErrorKind::TooLarge, "a received message of one byte more");
    soon(&harness, "a close frame", server.sees(|seen| seen.close.is_some())).await?;
    check_eq!(
        server.close_frame().map(|frame| frame.0),
        Some(1009),
        "the close code that the peer received"
    );
    Ok(())
}

pub(in crate::websocket) async fn fragments_are_reassembled(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/fragments").await?;
    let received = soon(&harness, "the message", connection.next()).await??;
    check_eq!(
        received,
        Some(WebSocketMessage::text("one|two|three")),
        "a message in three frames with a ping between them"
    );
    Ok(())
}

pub(in crate::websocket) async fn frames_have_a_size_limit(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let client = client_of(&harness);
    let mut request = server.request("/fragments")?;
    request.options.max_frame_size = 5;
    request.options.max_message_size = 100;
    let connection = client.connect(request).await?;
    let received = soon(&harness, "the message", connection.next()).await??;
    check_eq!(
        received.map(|message| message.len()),
        Some(13),
        "a message of frames within the limit"
    );
    let mut request = server.request("/long")?;
    request.options.max_frame_size = 5;
    request.options.max_message_size = 100;
    let connection = client.connect(request).await?;
    connection.send_text("6").await?;
    let received = soon(&harness, "the error", connection.next()).await?;
    check_error!(received, ErrorKind::TooLarge, "a frame of one byte more than the limit");
    Ok(())
}

pub(in crate::websocket) async fn text_must_be_utf8(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/garbled").await?;
    let received = soon(&harness, "the error", connection.next()).await?;
    check_error!(received, ErrorKind::Decode, "text that is not UTF-8");
    soon(&harness, "a close frame", server.sees(|seen| seen.close.is_some())).await?;
    check_eq!(
        server.close_frame().map(|frame| frame.0),
        Some(1007),
        "the close code that the peer received"
    );
    Ok(())
}

pub(in crate::websocket) async fn pings_of_the_application_are_answered(harness: H) -> CaseResult {
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/echo").await?;
    let payload = Bytes::from(vec![7; 125]);
    connection.send(WebSocketMessage::Ping(payload.clone())).await?;
    let received = soon(&harness, "the pong", connection.receive()).await??;
    check_eq!(received, Some(WebSocketMessage::Pong(payload)), "the answer");
    let long = WebSocketMessage::Ping(Bytes::from(vec![7; 126]));
    check_error!(connection.send(long).await, ErrorKind::TooLarge, "a ping of 126 bytes");
    Ok(())
}

pub(in crate::websocket) async fn the_default_limits_take_16_mib(harness: H) -> CaseResult {
    const LENGTH: usize = 16 << 20;
    let server = Server::start().await?;
    let connection = server.connect(&client_of(&harness), "/long").await?;
    connection.send_text(LENGTH.to_string()).await?;
    // So many bytes take long on a busy machine.
    let limit = harness.patience().saturating_mul(4);
    let message = within(limit, "the message", connection.next()).await??;
    check_eq!(
        message.map(|message| message.len()),
        Some(LENGTH),
        "a message in one frame"
    );
    Ok(())
}

pub(in crate::websocket) async fn violations_of_the_protocol_end_the_connection(harness: H) -> CaseResult {
    for violation in VIOLATIONS {
        let server = Server::start().await?;
        let connection = server
            .connect(&client_of(&harness), &format!("/violation/{violation}"))
            .await?;
        let received = soon(&harness, violation, connection.next()).await?;
        check_error!(received, ErrorKind::Protocol, "{violation}");
        soon(&harness, "a close frame", server.sees(|seen| seen.close.is_some())).await?;
        check_eq!(
            server.close_frame().map(|frame| frame.0),
            Some(1002),
            "the close code after a {violation}"
        );
    }
    Ok(())
}
