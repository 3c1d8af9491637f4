//! Extended operations that depend on connections: WebSocket and statistics.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compress, Compression, FlushCompress};
use networking_spi::http::{HttpExtended, HttpRequest, Method};
use networking_spi::websocket::{WebSocketCompression, WebSocketMessage, WebSocketOptions, WebSocketRequest};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::{BOUND, H};
use crate::http::harness::{set_up_both, set_up_extended};
use crate::http::server::{RawConnection, Server};
use crate::kit::CaseResult;
use crate::{Failure, check, check_eq};

/// A server that accepts WebSocket connections, and compression if it is offered and the server is `willing`. It sends each text that
/// it receives back, compressed if the connection is. The receiver gets the heads of the requests.
async fn echo(willing: bool) -> Result<(Server, mpsc::UnboundedReceiver<String>), Failure> {
    let (seen, heads) = mpsc::unbounded_channel();
    let server = Server::raw(move |mut connection, _| {
        let seen = seen.clone();
        async move {
            let head = connection.read_head().await?;
            let head = String::from_utf8_lossy(&head).into_owned();
            let compressed = willing && header(&head, "sec-websocket-extensions").contains("permessage-deflate");
            connection.write(accepted(&head, compressed).as_bytes()).await?;
            let _ = seen.send(head);
            loop {
                let text = read_text(&mut connection).await?;
                connection.write(&frame(&text, compressed)).await?;
            }
        }
    });
    Ok((server.await?, heads))
}

fn header(head: &str, wanted: &str) -> String {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let values = fields.filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
    values.map(|(_, value)| value.trim()).collect::<Vec<_>>().join(", ")
}

/// RFC 6455, section 4.2.2.
fn accepted(head: &str, compressed: bool) -> String {
    let key = header(head, "sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes());
    let extensions = if compressed {
        "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    } else {
        ""
    };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{extensions}\r\n",
        STANDARD.encode(digest)
    )
}

/// Reads one frame with fewer than 126 bytes. A compressed one is not decoded: only texts of fewer bytes than clients compress
/// are sent.
async fn read_text(connection: &mut RawConnection) -> std::io::Result<Vec<u8>> {
    let mut start = [0; 6];
    connection.stream.read_exact(&mut start).await?;
    let mut text = vec![0; usize::from(start[1] & 0x7f)];
    connection.stream.read_exact(&mut text).await?;
    for (byte, mask) in text.iter_mut().zip(start[2..].iter().cycle()) {
        *byte ^= mask;
    }
    // The final frame of an uncompressed text (RFC 6455, section 5.2). Others end the connection.
    if start[0] == 0x81 && start[1] >= 0x80 {
        Ok(text)
    } else {
        Err(std::io::ErrorKind::InvalidData.into())
    }
}

fn frame(text: &[u8], compressed: bool) -> Vec<u8> {
    let (first, payload) = if compressed {
        (0xc1, deflated(text))
    } else {
        (0x81, text.to_vec())
    };
    let length = u8::try_from(payload.len()).expect("cases send short texts");
    [&[first, length], payload.as_slice()].concat()
}

/// RFC 7692, section 7.2.1: without the four bytes that end a flush. Each message has its own window, which is allowed.
fn deflated(text: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(text.len() + 64);
    let mut compress = Compress::new(Compression::fast(), false);
    compress
        .compress_vec(text, &mut packed, FlushCompress::Sync)
        .expect("the buffer is large enough");
    packed.truncate(packed.len() - 4);
    packed
}

/// Sends `text`, and waits for its echo.
async fn exchange(
    client: &dyn HttpExtended,
    server: &Server,
    path: &str,
    options: WebSocketOptions,
    compressed: bool,
) -> CaseResult {
    let url = server.url(path).replacen("http", "ws", 1);
    let request = WebSocketRequest::new(url.as_str())?.with_options(options);
    let talk = async {
        let connection = client.websocket_connect(request).await?;
        check_eq!(
            connection.is_compressed(),
            compressed,
            "whether the connection is compressed"
        );
        for text in ["question", "\u{2713}", ""] {
            connection.send(WebSocketMessage::text(text)).await?;
            let echo = connection.receive().await?;
            check_eq!(
                echo,
                Some(WebSocketMessage::text(text)),
                "the message that was sent back"
            );
        }
        Ok(())
    };
    let ended = tokio::time::timeout(BOUND, talk).await;
    ended.map_err(|_| Failure::new("a message was not sent back in time"))?
}

pub(in crate::http) async fn a_websocket_exchanges_messages(harness: H) -> CaseResult {
    let (_origin, client) = set_up_extended(&harness).await?;
    let (server, mut heads) = echo(true).await?;
    exchange(&*client, &server, "/chat?x=1", WebSocketOptions::new(), false).await?;
    let head = heads.recv().await.ok_or_else(|| Failure::new("no request arrived"))?;
    check_eq!(head.lines().next(), Some("GET /chat?x=1 HTTP/1.1"), "the request line");
    check_eq!(header(&head, "sec-websocket-version"), "13", "the version");
    check_eq!(
        header(&head, "sec-websocket-extensions"),
        "",
        "the extensions, which were not asked for"
    );
    Ok(())
}

pub(in crate::http) async fn websocket_compression_is_negotiated(harness: H) -> CaseResult {
    let (_origin, client) = set_up_extended(&harness).await?;
    for accepts in [true, false] {
        let (server, mut heads) = echo(accepts).await?;
        let options = WebSocketOptions::new().with_compression(WebSocketCompression::new());
        exchange(&*client, &server, "/packed", options, accepts).await?;
        let head = heads.recv().await.ok_or_else(|| Failure::new("no request arrived"))?;
        let offered = header(&head, "sec-websocket-extensions");
        check!(
            offered.contains("permessage-deflate"),
            "compression is not offered: {offered:?}"
        );
    }
    Ok(())
}

pub(in crate::http) async fn pool_statistics_follow_the_calls(harness: H) -> CaseResult {
    let (setup, extended) = set_up_both(&harness).await?;
    setup.origin.hang("/hang");
    let url = setup.origin.url("/hang");
    let call = setup.client.request(HttpRequest::new(Method::GET, url.as_str()));
    let look = async {
        setup.origin.arrival("/hang", 1).await;
        extended.connection_pool_stats()
    };
    let stats = tokio::select! {
        result = call => {
            let outcome = result.map(|response| response.status);
            return Err(Failure::new(format!("a call without a response ended: {outcome:?}")));
        }
        stats = look => stats?,
    };
    let known = [stats.opened, stats.in_flight, stats.active, stats.reused, stats.idle];
    check!(known.iter().any(Option::is_some), "no value is known: {stats:?}");
    check_eq!(stats.in_flight.unwrap_or(1), 1, "requests in flight during a call");
    check_eq!(stats.active.unwrap_or(1), 1, "connections in use during a call");
    check_eq!(stats.opened.unwrap_or(1), 1, "connections that were opened for a call");
    Ok(())
}
