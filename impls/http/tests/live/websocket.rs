//! The server of the npm package `ws`.

use std::sync::Arc;
use std::time::Duration;

use networking_conformance::{CaseResult, check, check_eq, check_error};
use networking_http::TransportConfig;
use networking_spi::http::HttpExtended;
use networking_spi::websocket::{
    CloseFrame, WebSocketCompression, WebSocketConnection, WebSocketConnectionExt, WebSocketMessage, WebSocketOptions,
    WebSocketRequest,
};
use networking_spi::{ErrorKind, Result};
use serde_json::Value;

use super::backend::Live;

pub(crate) async fn messages_come_back(live: Arc<Live>) -> CaseResult {
    let connection = connect(&live, "/").await?;
    for message in [
        WebSocketMessage::text("plain"),
        WebSocketMessage::text(""),
        WebSocketMessage::text("größe 水 \u{1F980}"),
        WebSocketMessage::binary(vec![0, 255, 1, 254]),
        WebSocketMessage::binary(Vec::new()),
    ] {
        connection.send(message.clone()).await?;
        check_eq!(connection.next().await?, Some(message), "the echo");
    }
    connection
        .close_with(CloseFrame::new(CloseFrame::NORMAL, "done"))
        .await?;
    check!(!connection.is_open(), "closed");
    Ok(())
}

pub(crate) async fn large_messages_come_back(live: Arc<Live>) -> CaseResult {
    let mut options = WebSocketOptions::default();
    options.max_message_size = 32 << 20;
    options.max_frame_size = 32 << 20;
    let connection = open(&live, request(&live, "/")?.with_options(options)).await?;
    // Lengths at which the frame header changes, and one that exceeds every buffer.
    for length in [125, 126, 65_535, 65_536, 8 << 20] {
        let data: Vec<u8> = (0..length).map(|index: u32| (index % 251) as u8).collect();
        connection.send_binary(data.clone()).await?;
        match connection.next().await? {
            Some(WebSocketMessage::Binary(back)) => check!(back == data, "{length} bytes came back changed"),
            other => check!(
                false,
                "expected {length} bytes, got {:?}",
                other.map(|message| message.len())
            ),
        }
    }
    Ok(())
}

pub(crate) async fn compressed_messages_come_back(live: Arc<Live>) -> CaseResult {
    let noise: Vec<u8> = (0..17_500_u32)
        .flat_map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    for compression in [
        WebSocketCompression::new(),
        WebSocketCompression::new().without_context_takeover(),
        WebSocketCompression::new().with_window_bits(9, 9).with_min_size(0),
        WebSocketCompression::new().with_window_bits(12, 15),
    ] {
        let options = WebSocketOptions::new().with_compression(compression);
        let connection = open(&live, request(&live, "/")?.with_options(options)).await?;
        check!(connection.is_compressed(), "the server declined {compression:?}");
        for _ in 0..3 {
            for message in [
                WebSocketMessage::text(""),
                WebSocketMessage::text("größe 水 \u{1F980}".repeat(1_000)),
                WebSocketMessage::binary(noise.clone()),
                WebSocketMessage::text("x".repeat(1 << 20)),
            ] {
                connection.send(message.clone()).await?;
                let back = connection.next().await?;
                check!(
                    back.as_ref() == Some(&message),
                    "{} bytes came back changed",
                    message.len()
                );
            }
        }
        connection.close().await?;
    }
    Ok(())
}

pub(crate) async fn headers_and_sub_protocols_are_negotiated(live: Arc<Live>) -> CaseResult {
    let wanted = request(&live, "/headers")?
        .with_header("authorization", "Bearer t0ken")?
        .with_protocol("unknown")
        .with_protocol("echo.v1")
        .with_protocol("echo.v2");
    let connection = open(&live, wanted).await?;
    check_eq!(
        connection.protocol().as_deref(),
        Some("echo.v1"),
        "the first protocol that the server supports"
    );
    let Some(WebSocketMessage::Text(headers)) = connection.next().await? else {
        return Err(networking_conformance::Failure::new("no headers"));
    };
    let headers: Value = serde_json::from_str(&headers).unwrap_or_default();
    check_eq!(headers["authorization"], "Bearer t0ken", "a header of the request");
    check_eq!(connect(&live, "/").await?.protocol(), None, "none was offered");
    Ok(())
}

pub(crate) async fn pings_are_answered(live: Arc<Live>) -> CaseResult {
    let connection = connect(&live, "/ping").await?;
    check_eq!(
        connection.next().await?,
        Some(WebSocketMessage::text("pong: live")),
        "the server's ping was answered"
    );
    connection.send(WebSocketMessage::Ping("ours".into())).await?;
    let pong = loop {
        match connection.receive().await? {
            Some(WebSocketMessage::Pong(payload)) => break payload,
            Some(_) => {}
            None => return Err(networking_conformance::Failure::new("closed without a pong")),
        }
    };
    check_eq!(pong, "ours", "the server answered ours");
    Ok(())
}

pub(crate) async fn close_codes_arrive(live: Arc<Live>) -> CaseResult {
    for code in [1000, 1001, 1008, 1011, 3000, 4999] {
        let connection = connect(&live, &format!("/close/{code}")).await?;
        let frame = loop {
            match connection.receive().await? {
                Some(WebSocketMessage::Close(frame)) => break frame,
                Some(_) => {}
                None => break None,
            }
        };
        check_eq!(
            frame,
            Some(CloseFrame::new(code, "as asked")),
            "the server's close frame"
        );
        check_eq!(connection.receive().await?, None, "nothing follows");
        let error = connection.send_text("late").await;
        check_error!(error, ErrorKind::Closed, "sending after {code}");
    }
    Ok(())
}

pub(crate) async fn a_broken_connection_is_an_error(live: Arc<Live>) -> CaseResult {
    let connection = connect(&live, "/drop").await?;
    check_error!(
        connection.next().await,
        ErrorKind::ConnectionClosed,
        "no closing handshake"
    );
    Ok(())
}

pub(crate) async fn refusals_have_their_status(live: Arc<Live>) -> CaseResult {
    for (status, kind) in [
        (401, ErrorKind::Authentication),
        (403, ErrorKind::PermissionDenied),
        (404, ErrorKind::NotFound),
        (503, ErrorKind::Status),
    ] {
        let error = check_error!(
            connect(&live, &format!("/refuse/{status}")).await,
            kind,
            "refused with {status}"
        );
        check_eq!(error.status(), Some(status), "the status");
    }
    let mut nowhere = live.servers().closed.clone();
    nowhere.set_scheme("ws").expect("a scheme like the old one");
    let refused = open(&live, WebSocketRequest::new(nowhere.as_str())?).await;
    check_error!(refused, ErrorKind::ConnectionRefused, "nothing listens");
    Ok(())
}

pub(crate) async fn messages_arrive_in_order_and_whole(live: Arc<Live>) -> CaseResult {
    let connection = connect(&live, "/flood/2000/1000").await?;
    for number in 0..2000_u32 {
        match connection.next().await? {
            Some(WebSocketMessage::Binary(data)) => {
                check_eq!(
                    (data.len(), &data[..4]),
                    (1000, &number.to_be_bytes()[..]),
                    "message {number}"
                );
            }
            other => check!(false, "expected message {number}, got {other:?}"),
        }
    }
    check_eq!(connection.next().await?, None, "closed after the last one");
    Ok(())
}

pub(crate) async fn too_large_messages_are_refused(live: Arc<Live>) -> CaseResult {
    let mut options = WebSocketOptions::default();
    options.max_message_size = 1000;
    options.max_frame_size = 1000;
    options.close_timeout = Duration::from_secs(2);
    let connection = open(&live, request(&live, "/flood/1/1001")?.with_options(options)).await?;
    check_error!(connection.next().await, ErrorKind::TooLarge, "one byte too many");
    Ok(())
}

pub(crate) async fn tls_is_verified(live: Arc<Live>) -> CaseResult {
    let secure = || WebSocketRequest::new(live.servers().websocket_tls.as_str());
    let connection = open(&live, secure()?).await?;
    connection.send_text("secret").await?;
    check_eq!(
        connection.next().await?,
        Some(WebSocketMessage::text("secret")),
        "the echo"
    );
    let distrusting = live.builder_of(TransportConfig::new())?.build()?;
    check_error!(
        distrusting.websocket_connect(secure()?).await,
        ErrorKind::Tls,
        "an unknown authority"
    );
    Ok(())
}

fn request(live: &Live, path: &str) -> Result<WebSocketRequest> {
    let url = live.servers().websocket.join(path).expect("a path");
    WebSocketRequest::new(url.as_str())
}

async fn connect(live: &Live, path: &str) -> Result<Arc<dyn WebSocketConnection>> {
    open(live, request(live, path)?).await
}

async fn open(live: &Live, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
    live.builder()?.build()?.websocket_connect(request).await
}
