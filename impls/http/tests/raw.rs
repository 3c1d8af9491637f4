//! A loopback server that sends the bytes that a test provides.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// A server. Dropping it stops it.
pub(crate) struct RawServer {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl RawServer {
    /// Passes every connection to `serve`.
    pub(crate) async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Arc::new(serve);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serve = Arc::clone(&serve);
                tokio::spawn(async move { serve(stream).await });
            }
        });
        Self { address, accepting }
    }

    /// Reads a request's head, sends it to `seen`, and responds with these bytes.
    pub(crate) async fn answering(answer: &'static str, seen: tokio::sync::mpsc::UnboundedSender<String>) -> Self {
        Self::start(move |mut stream| {
            let seen = seen.clone();
            async move {
                let head = read_head(&mut stream).await;
                let _ = seen.send(head);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    read_head_of(stream).await
}

/// Reads up to the end of a request's head.
pub(crate) async fn read_head_of(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut received = Vec::new();
    while !received.windows(4).any(|window| window == b"\r\n\r\n") {
        if !matches!(stream.read_buf(&mut received).await, Ok(count) if count > 0) {
            break;
        }
    }
    String::from_utf8_lossy(&received).into_owned()
}

/// A loopback port on which nothing listens. A socket of this process is bound to it, so that no other can listen there.
pub(crate) fn closed_port() -> u16 {
    static BOUND: LazyLock<TcpSocket> = LazyLock::new(|| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        socket
    });

    BOUND.local_addr().unwrap().port()
}
