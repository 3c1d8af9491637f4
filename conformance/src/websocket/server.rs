//! A loopback server. The path of a connection selects what the server does.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use networking_spi::websocket::{WebSocketClient, WebSocketConnection, WebSocketRequest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

use crate::kit::Failure;

/// The number of messages that `/flood` sends.
pub(super) const FLOOD: usize = 200;

/// The number and the size of the messages that `/torrent` sends.
pub(super) const TORRENT: usize = 1_024;
pub(super) const TORRENT_MESSAGE: usize = 64 << 10;

/// The violations of the protocol that `/violation/` can send, by name.
pub(super) const VIOLATIONS: [&str; 9] = [
    "masked",
    "reserved-bit",
    "reserved-data-opcode",
    "reserved-control-opcode",
    "fragmented-ping",
    "long-ping",
    "continuation-of-nothing",
    "text-within-a-text",
    "close-of-one-byte",
];

/// The wrong answers of `/wrong/`, by name.
pub(super) const WRONG_ANSWERS: [&str; 6] = [
    "no-accept",
    "other-accept",
    "no-upgrade",
    "other-upgrade",
    "no-connection",
    "other-connection",
];

/// The body of a refusal.
pub(super) const REFUSAL: &str = "not today";

/// A loopback server. Dropping it stops it and closes its connections.
pub(super) struct Server {
    address: SocketAddr,
    seen: watch::Sender<Seen>,
    accepting: JoinHandle<()>,
}

/// What the server has received on all connections.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) pings: usize,
    /// The payload of the first pong.
    pub(super) pong: Option<Bytes>,
    /// Code and reason of the first close frame.
    pub(super) close: Option<(u16, String)>,
    /// How many messages `/torrent` has sent.
    pub(super) sent: usize,
    /// How many connections have ended.
    pub(super) ended: usize,
}

impl Server {
    pub(super) async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| Failure::with_error("no port", &error))?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::with_error("no address", &error))?;
        let seen = watch::Sender::default();
        let sender = seen.clone();
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let seen = sender.clone();
                connections.spawn(async move {
                    // Many cases close the connection, so errors are expected.
                    let _ = serve(stream, &seen).await;
                    seen.send_modify(|seen| seen.ended += 1);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            seen,
            accepting,
        })
    }

    pub(super) fn request(&self, path: &str) -> Result<WebSocketRequest, Failure> {
        Ok(WebSocketRequest::new(format!("ws://{}{path}", self.address))?)
    }

    pub(super) async fn connect(
        &self,
        client: &Arc<dyn WebSocketClient>,
        path: &str,
    ) -> Result<Arc<dyn WebSocketConnection>, Failure> {
        Ok(client.connect(self.request(path)?).await?)
    }

    /// Waits until `enough` returns `true` for what the server has received.
    pub(super) async fn sees(&self, mut enough: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        seen.wait_for(|seen| enough(seen))
            .await
            .expect("the server outlives its case");
    }

    pub(super) fn pong(&self) -> Option<Bytes> {
        self.seen.borrow().pong.clone()
    }

    pub(super) fn sent(&self) -> usize {
        self.seen.borrow().sent
    }

    pub(super) fn close_frame(&self) -> Option<(u16, String)> {
        self.seen.borrow().close.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

#[allow(clippy::result_large_err, reason = "the library's callback type")]
async fn serve(stream: TcpStream, seen: &watch::Sender<Seen>) -> Result<(), Error> {
    let mut path = String::new();
    let mut uri = String::new();
    let mut said = None;
    let mut offered = None;
    let mut socket = accept_hdr_async(stream, |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut path);
        uri = request.uri().to_string();
        said = request.headers().get("x-test").cloned();
        offered = request.headers().get(header::SEC_WEBSOCKET_EXTENSIONS).cloned();
        handshake(request, response)
    })
    .await?;
    match path.as_str() {
        "/headers" => {
            let text = said.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default();
            socket.send(Message::text(text)).await?;
            echo(&mut socket, seen).await
        }
        "/offer" => {
            let text = offered
                .as_ref()
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default();
            socket.send(Message::text(text)).await?;
            echo(&mut socket, seen).await
        }
        "/torrent" => {
            for number in (0..251).cycle().take(TORRENT) {
                let message = Bytes::from(vec![number; TORRENT_MESSAGE]);
                socket.send(Message::Binary(message)).await?;
                seen.send_modify(|seen| seen.sent += 1);
            }
            echo(&mut socket, seen).await
        }
        path if let Some(name) = path.strip_prefix("/violation/") => {
            for frame in violation(name) {
                socket.send(Message::Frame(frame)).await?;
            }
            echo(&mut socket, seen).await
        }
        "/bye" => {
            let frame = CloseFrame {
                code: 4000.into(),
                reason: "bye".into(),
            };
            socket.close(Some(frame)).await?;
            echo(&mut socket, seen).await
        }
        "/lost" => {
            socket.next().await;
            Ok(())
        }
        "/long" => {
            let Some(Ok(Message::Text(length))) = socket.next().await else {
                return Ok(());
            };
            let length = length.parse().unwrap_or_default();
            socket.send(Message::Binary(Bytes::from(vec![b'x'; length]))).await?;
            echo(&mut socket, seen).await
        }
        path if path.starts_with("/uri/") => {
            socket.send(Message::text(uri)).await?;
            echo(&mut socket, seen).await
        }
        "/ping" => {
            socket.send(Message::Ping(Bytes::from_static(b"are you there"))).await?;
            echo(&mut socket, seen).await
        }
        "/fragments" => {
            for frame in [
                Frame::message("one|", OpCode::Data(Data::Text), false),
                Frame::ping("now"),
                Frame::message("two|", OpCode::Data(Data::Continue), false),
                Frame::message("three", OpCode::Data(Data::Continue), true),
            ] {
                socket.send(Message::Frame(frame)).await?;
            }
            echo(&mut socket, seen).await
        }
        "/garbled" => {
            let garbled = Frame::message(&b"\xc3\x28"[..], OpCode::Data(Data::Text), true);
            socket.send(Message::Frame(garbled)).await?;
            echo(&mut socket, seen).await
        }
        "/flood" => {
            for number in 0..FLOOD {
                socket.send(Message::text(number.to_string())).await?;
            }
            socket.send(Message::Ping(Bytes::from_static(b"and now"))).await?;
            while let Some(Ok(message)) = socket.next().await {
                if let Message::Pong(payload) = message {
                    seen.send_modify(|seen| seen.pong = Some(payload));
                    break;
                }
            }
            // The connection is dropped without a closing handshake.
            Ok(())
        }
        path if path.starts_with("/close/") => {
            let code = path["/close/".len()..].parse().unwrap_or(1000_u16);
            let frame = CloseFrame {
                code: code.into(),
                reason: "as sent".into(),
            };
            socket.send(Message::Frame(Frame::close(Some(frame)))).await?;
            echo(&mut socket, seen).await
        }
        // Reads nothing, and keeps the connection open.
        "/deaf" => std::future::pending().await,
        _ => echo(&mut socket, seen).await,
    }
}

fn violation(name: &str) -> Vec<Frame> {
    let text = |text: &'static str, fin| Frame::message(text, OpCode::Data(Data::Text), fin);
    let with = |change: fn(&mut FrameHeader)| {
        let mut frame = text("x", true);
        change(frame.header_mut());
        vec![frame]
    };
    match name {
        "masked" => with(|header| header.mask = Some([1, 2, 3, 4])),
        "reserved-bit" => with(|header| header.rsv2 = true),
        "reserved-data-opcode" => with(|header| header.opcode = OpCode::Data(Data::Reserved(3))),
        "reserved-control-opcode" => with(|header| header.opcode = OpCode::Control(Control::Reserved(11))),
        "fragmented-ping" => with(|header| {
            header.opcode = OpCode::Control(Control::Ping);
            header.is_final = false;
        }),
        "long-ping" => vec![Frame::ping(vec![b'x'; 126])],
        "continuation-of-nothing" => with(|header| header.opcode = OpCode::Data(Data::Continue)),
        "text-within-a-text" => vec![text("one", false), text("two", true)],
        "close-of-one-byte" => with(|header| header.opcode = OpCode::Control(Control::Close)),
        _ => Vec::new(),
    }
}

/// Makes an answer wrong.
fn spoil(headers: &mut HeaderMap, how: &str) {
    let (name, other) = match how.split_once('-') {
        Some((_, "accept")) => (header::SEC_WEBSOCKET_ACCEPT, "dGhlIHNhbXBsZSBub25jZQ=="),
        Some((_, "upgrade")) => (header::UPGRADE, "h2c"),
        _ => (header::CONNECTION, "keep-alive"),
    };
    headers.remove(&name);
    if how.starts_with("other-") {
        headers.insert(name, HeaderValue::from_static(other));
    }
}

#[allow(clippy::result_large_err, reason = "the library's callback type")]
fn handshake(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if let Some(status) = request.uri().path().strip_prefix("/refuse/") {
        let mut refusal = ErrorResponse::new(Some(REFUSAL.to_owned()));
        refusal
            .headers_mut()
            .insert("x-reason", HeaderValue::from_static("closed"));
        *refusal.status_mut() = status.parse().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return Err(refusal);
    }
    if request.uri().path() == "/unasked" {
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("chat.v9"));
        return Ok(response);
    }
    if request.uri().path() == "/tokens" {
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("keep-alive, UPGRADE"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("WebSocket"));
    }
    if let Some(how) = request.uri().path().strip_prefix("/wrong/") {
        spoil(response.headers_mut(), how);
    }
    if request.uri().path() == "/extension" {
        let unasked = HeaderValue::from_static("permessage-deflate");
        response.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, unasked);
    }
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL);
    if offered
        .and_then(|value| value.to_str().ok())
        .is_some_and(|offered| offered.split(',').any(|one| one.trim() == "chat.v2"))
    {
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("chat.v2"));
    }
    Ok(response)
}

async fn echo(socket: &mut WebSocketStream<TcpStream>, seen: &watch::Sender<Seen>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        match message? {
            Message::Ping(_) => seen.send_modify(|seen| seen.pings += 1),
            Message::Pong(payload) => seen.send_modify(|seen| {
                seen.pong.get_or_insert(payload);
            }),
            Message::Close(frame) => {
                let frame = frame.map_or((1005, String::new()), |frame| {
                    (frame.code.into(), frame.reason.to_string())
                });
                seen.send_modify(|seen| {
                    seen.close.get_or_insert(frame);
                });
            }
            message if message.is_text() || message.is_binary() => socket.send(message).await?,
            _ => {}
        }
    }
    Ok(())
}
