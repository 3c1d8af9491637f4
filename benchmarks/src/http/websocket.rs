//! WebSocket round trips against raw tokio-tungstenite: same loopback server, same messages, same checks.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use networking_impls::http::HttpClientBuilder;
use networking_spi::http::HttpExtended;
use networking_spi::websocket::{
    WebSocketCompression, WebSocketConnection, WebSocketConnectionExt, WebSocketMessage, WebSocketOptions,
    WebSocketRequest,
};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::server::serve_sockets;
use crate::measure::{Rounds, alternate, per_second, time};
use crate::report::{Better, Row};

/// All rows about WebSocket connections.
pub(super) fn rows(rounds: Rounds) -> Vec<Row> {
    let address = serve();
    // Client and server have a core each.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let ours = runtime.block_on(connect(address));
    let mut raw = runtime.block_on(connect_raw(address));
    let mut rows: Vec<_> = [(125, "125 B", 10_000), (64 << 10, "64 KiB", 3_000)]
        .into_iter()
        .map(|(size, name, trips)| {
            let load = Load { size, trips };
            let (our_samples, raw_samples) = alternate(
                rounds,
                || load.through_connection(&runtime, &*ours),
                || load.through_tungstenite(&runtime, &mut raw),
            );
            Row::against(
                format!("WebSocket echo, {name} messages"),
                "round trips/s",
                Better::Higher,
                "raw tokio-tungstenite",
                (&our_samples, &raw_samples),
                Some(0.95),
            )
        })
        .collect();
    rows.extend(compressed_rows(rounds, &runtime));
    rows
}

/// The same with compressed messages, against yawc: tungstenite has no compression. Both talk to a server on yawc.
fn compressed_rows(rounds: Rounds, runtime: &Runtime) -> Vec<Row> {
    let address = serve_compressed();
    let options = WebSocketOptions::new().with_compression(WebSocketCompression::new());
    let ours = runtime.block_on(connect_with(address, options));
    assert!(ours.is_compressed(), "the server accepts the offer");
    let mut peer = runtime.block_on(connect_yawc(address));
    [(20, "1 KiB", 5_000), (1_300, "64 KiB", 300)]
        .into_iter()
        .map(|(entries, name, trips)| {
            let text = json(entries);
            let (our_samples, peer_samples) = alternate(
                rounds,
                || texts_through_connection(runtime, &*ours, &text, trips),
                || texts_through_yawc(runtime, &mut peer, &text, trips),
            );
            Row::against(
                format!("WebSocket echo, {name} of JSON, compressed"),
                "round trips/s",
                Better::Higher,
                "yawc",
                (&our_samples, &peer_samples),
                Some(0.95),
            )
        })
        .collect()
}

/// A list of `entries` prices.
fn json(entries: usize) -> String {
    let entries: Vec<_> = (0..entries)
        .map(|index| serde_json::json!({ "symbol": format!("S{index}"), "price": index * 7_919 % 10_007, "at": index }))
        .collect();
    serde_json::Value::from(entries).to_string()
}

fn texts_through_connection(runtime: &Runtime, connection: &dyn WebSocketConnection, text: &str, trips: usize) -> f64 {
    let ((), elapsed) = time(|| {
        runtime.block_on(async {
            for _ in 0..trips {
                connection.send_text(text).await.expect("a sent message");
                let echo = connection.next().await.expect("a whole message");
                assert_eq!(echo.map(|echo| echo.len()), Some(text.len()), "the echo is whole");
            }
        });
    });
    per_second(trips as u64, elapsed)
}

fn texts_through_yawc(runtime: &Runtime, socket: &mut yawc::TcpWebSocket, text: &str, trips: usize) -> f64 {
    let ((), elapsed) = time(|| {
        runtime.block_on(async {
            for _ in 0..trips {
                socket
                    .send(yawc::Frame::text(text.to_owned()))
                    .await
                    .expect("a sent message");
                let echo = socket.next().await.expect("a whole message");
                assert_eq!(echo.payload().len(), text.len(), "the echo is whole");
            }
        });
    });
    per_second(trips as u64, elapsed)
}

/// `trips` identical round trips, one at a time.
struct Load {
    size: usize,
    trips: usize,
}

impl Load {
    fn through_connection(&self, runtime: &Runtime, connection: &dyn WebSocketConnection) -> f64 {
        let message = Bytes::from(vec![7; self.size]);
        let ((), elapsed) = time(|| {
            runtime.block_on(async {
                for _ in 0..self.trips {
                    connection
                        .send(WebSocketMessage::Binary(message.clone()))
                        .await
                        .expect("a sent message");
                    let echo = connection.next().await.expect("a whole message");
                    assert_eq!(echo.map(|echo| echo.len()), Some(self.size), "the echo is whole");
                }
            });
        });
        per_second(self.trips as u64, elapsed)
    }

    fn through_tungstenite(&self, runtime: &Runtime, socket: &mut WebSocketStream<TcpStream>) -> f64 {
        let message = Bytes::from(vec![7; self.size]);
        let ((), elapsed) = time(|| {
            runtime.block_on(async {
                for _ in 0..self.trips {
                    socket
                        .send(Message::Binary(message.clone()))
                        .await
                        .expect("a sent message");
                    let echo = socket
                        .next()
                        .await
                        .expect("an open connection")
                        .expect("a whole message");
                    assert_eq!(echo.len(), self.size, "the echo is whole");
                }
            });
        });
        per_second(self.trips as u64, elapsed)
    }
}

async fn connect(address: SocketAddr) -> Arc<dyn WebSocketConnection> {
    connect_with(address, WebSocketOptions::new()).await
}

async fn connect_with(address: SocketAddr, options: WebSocketOptions) -> Arc<dyn WebSocketConnection> {
    let client: Arc<dyn HttpExtended> = Arc::new(HttpClientBuilder::new().build().expect("the defaults are valid"));
    let request = WebSocketRequest::new(format!("ws://{address}/")).expect("a WebSocket URL");
    let request = request.with_options(options);
    client.websocket_connect(request).await.expect("a connection")
}

async fn connect_yawc(address: SocketAddr) -> yawc::TcpWebSocket {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a TCP socket");
    let url = format!("ws://{address}/").parse().expect("a URL");
    let stream = yawc::MaybeTlsStream::Plain(stream);
    yawc::WebSocket::handshake(url, stream, compressing())
        .await
        .expect("a handshake")
}

fn compressing() -> yawc::Options {
    yawc::Options::default().with_compression_level(yawc::CompressionLevel::default())
}

/// Starts a server in its own thread that echoes every message, compressed.
fn serve_compressed() -> SocketAddr {
    serve_sockets(|stream| async {
        let service = service_fn(|mut request| async move {
            let (response, upgrade) =
                yawc::WebSocket::upgrade_with_options(&mut request, compressing()).expect("a handshake");
            tokio::spawn(async move {
                let mut socket = upgrade.await.expect("an upgrade");
                while let Some(frame) = socket.next().await {
                    if frame.opcode() == yawc::OpCode::Text && socket.send(frame).await.is_err() {
                        break;
                    }
                }
            });
            Ok::<_, yawc::WebSocketError>(response)
        });
        // Clients may disconnect at any time, so errors are ignored.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
    })
}

async fn connect_raw(address: SocketAddr) -> WebSocketStream<TcpStream> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a TCP socket");
    let (socket, _) = tokio_tungstenite::client_async(format!("ws://{address}/"), stream)
        .await
        .expect("a handshake");
    socket
}

/// Starts a server in its own thread that echoes every binary message.
fn serve() -> SocketAddr {
    serve_sockets(|stream| async {
        let mut socket = tokio_tungstenite::accept_async(stream).await.expect("a handshake");
        while let Some(Ok(message)) = socket.next().await {
            if message.is_binary() && socket.send(message).await.is_err() {
                break;
            }
        }
    })
}
