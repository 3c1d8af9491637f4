//! A loopback HTTP/1.1 server, and a loopback server whose cases read and write raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::ready;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderValue, Request, Response, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use networking_spi::NetworkError;
use networking_spi::http::HttpResponse;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::origin::Script;
use crate::kit::Failure;

/// A loopback server. Dropping it stops it and closes its connections.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(script: Arc<Script>) -> Result<Self, Failure> {
        Self::accept(move |stream, _| serve(stream, Arc::clone(&script))).await
    }

    /// A server that calls `speak` for each connection, with the number of the connection, from 0.
    pub(super) async fn raw<F, Fut>(speak: F) -> Result<Self, Failure>
    where
        F: Fn(RawConnection, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let speak = Arc::new(speak);
        Self::accept(move |stream, number| {
            let speak = Arc::clone(&speak);
            async move {
                // Many cases close the connection, so errors are expected.
                let _ = speak(RawConnection { stream }, number).await;
            }
        })
        .await
    }

    async fn accept<F, Fut>(connection: F) -> Result<Self, Failure>
    where
        F: Fn(TcpStream, usize) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .map_err(|error| Failure::with_error("no port", &error))?;
        let address = listener
            .local_addr()
            .map_err(|error| Failure::with_error("no address", &error))?;
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                connections.spawn(connection(stream, number));
                number += 1;
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, accepting })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, script: Arc<Script>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let script = Arc::clone(&script);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(to_hyper(script.answer(Request::from_parts(parts, body)).await))
        }
    });
    // The client under test may close the connection at any time.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn to_hyper(response: HttpResponse) -> Response<UnsyncBoxBody<Bytes, NetworkError>> {
    let length = response.body.length();
    let body = if let Some(bytes) = response.body.as_bytes() {
        Full::new(bytes.clone()).map_err(|never| match never {}).boxed_unsync()
    } else {
        let trailers = response.trailers;
        let end = stream::once(async move { Ok(trailers.get().cloned()) });
        let end = end.try_filter_map(|fields| ready(Ok(fields.map(Frame::trailers))));
        StreamBody::new(response.body.into_stream().map_ok(Frame::data).chain(end)).boxed_unsync()
    };
    let mut converted = Response::new(body);
    *converted.status_mut() = response.status;
    *converted.headers_mut() = response.headers;
    let allowed = !response.status.is_informational() && response.status != 204 && response.status != 304;
    if let Some(length) = length.filter(|_| allowed) {
        converted
            .headers_mut()
            .entry(header::CONTENT_LENGTH)
            .or_insert(HeaderValue::from(length));
    }
    converted
}

/// A connection of raw bytes.
#[derive(Debug)]
pub(super) struct RawConnection {
    pub(super) stream: TcpStream,
}

impl RawConnection {
    /// Reads until the end of a request's head. The result may contain bytes after the head.
    pub(super) async fn read_head(&mut self) -> std::io::Result<Vec<u8>> {
        let mut received = Vec::new();
        while !received.windows(4).any(|window| window == b"\r\n\r\n") {
            if self.stream.read_buf(&mut received).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(received)
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Waits until the peer has closed its side.
    pub(super) async fn closed(&mut self) {
        let mut rest = [0; 1024];
        while matches!(self.stream.read(&mut rest).await, Ok(count) if count > 0) {}
    }

    /// Closes the connection with a reset.
    pub(super) fn reset(self) -> std::io::Result<()> {
        self.stream.set_zero_linger()
    }
}
