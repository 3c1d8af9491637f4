//! WebSocket round trips against raw tokio-tungstenite: same loopback server, same messages, same checks.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use networking_impls::http::HttpClientBuilder;
use networking_spi::http::HttpExtended;
use networking_spi::websocket::{WebSocketConnection, WebSocketConnectionExt, WebSocketMessage, WebSocketRequest};
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
    [(125, "125 B", 10_000), (64 << 10, "64 KiB", 3_000)]
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
        .collect()
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
                    let echo = connection.next_data().await.expect("a whole message");
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
    let client: Arc<dyn HttpExtended> = Arc::new(HttpClientBuilder::new().build().expect("the defaults are valid"));
    let request = WebSocketRequest::new(&format!("ws://{address}/")).expect("a WebSocket URL");
    client.websocket_connect(request).await.expect("a connection")
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
