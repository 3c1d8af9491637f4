//! Exchanges without a usable response.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use networking_spi::http::{HttpBody, HttpClient};
use networking_spi::{ErrorKind, NetworkError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::errors::backend::{Backend, ConnectSettings, Failed, SECRET, failing, post};
use crate::raw::{RawServer, read_head};

pub(crate) async fn closed_without_answer(backend: &Backend) -> Failed {
    let server = RawServer::start(|mut stream| async move {
        read_request(&mut stream).await;
    })
    .await;
    failing(&*backend.client(), post(&server.url("/"))).await
}

pub(crate) async fn reset_without_answer(backend: &Backend) -> Failed {
    let server = RawServer::start(|mut stream| async move {
        read_request(&mut stream).await;
        stream.set_zero_linger().unwrap();
    })
    .await;
    failing(&*backend.client(), post(&server.url("/"))).await
}

pub(crate) async fn garbage(backend: &Backend) -> Failed {
    answered(backend, b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()).await
}

pub(crate) async fn huge_head(backend: &Backend) -> Failed {
    let head = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-more: and more\r\n".repeat(20_000));
    answered(backend, head.into_bytes()).await
}

pub(crate) async fn bad_length(backend: &Backend) -> Failed {
    answered(backend, b"HTTP/1.1 200 OK\r\ncontent-length: 4, 5\r\n\r\nbody".to_vec()).await
}

pub(crate) async fn foreign_transfer_coding(backend: &Backend) -> Failed {
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    answered(backend, answer.to_vec()).await
}

async fn answered(backend: &Backend, answer: Vec<u8>) -> Failed {
    let server = RawServer::start(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer).await;
            until_closed(&mut stream).await;
        }
    })
    .await;
    failing(&*backend.client(), post(&server.url("/"))).await
}

pub(crate) async fn silent_peer(backend: &Backend) -> Failed {
    let settings = ConnectSettings {
        read_timeout: Duration::from_secs(5),
        ..ConnectSettings::default()
    };
    stalled_call(&*backend.client_with(settings, |builder| builder)).await
}

pub(crate) async fn slow_attempt(backend: &Backend) -> Failed {
    let limit = Duration::from_secs(5);
    stalled_call(&*backend.client_with(ConnectSettings::default(), |builder| builder.attempt_timeout(limit))).await
}

pub(crate) async fn slow_call(backend: &Backend) -> Failed {
    let limit = Duration::from_secs(5);
    stalled_call(&*backend.client_with(ConnectSettings::default(), |builder| builder.total_timeout(limit))).await
}

/// A call to a peer that receives the request and does not respond. The clock is paused from then on, so that timeouts pass
/// immediately.
async fn stalled_call(client: &dyn HttpClient) -> Failed {
    let taken = Arc::new(Notify::new());
    let noted = Arc::clone(&taken);
    let server = RawServer::start(move |mut stream| {
        let taken = Arc::clone(&taken);
        async move {
            read_request(&mut stream).await;
            taken.notify_one();
            until_closed(&mut stream).await;
        }
    })
    .await;
    let request = post(&server.url("/"));
    let (failed, ()) = tokio::join!(failing(client, request), async {
        noted.notified().await;
        tokio::time::pause();
    });
    failed
}

pub(crate) async fn failing_upload(backend: &Backend) -> Failed {
    let server = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        until_closed(&mut stream).await;
    })
    .await;
    let lost = NetworkError::new(ErrorKind::NotFound, "file.read", "the file is gone");
    let chunks = stream::iter([Ok("some bytes".into()), Err(lost)]).boxed();
    let request = post(&server.url("/")).with_body(HttpBody::stream(chunks, None));
    failing(&*backend.client(), request).await
}

/// Reads a complete request: closing with unread bytes would reset the connection.
pub(crate) async fn read_request(stream: &mut TcpStream) {
    let mut received = Vec::new();
    while !received.ends_with(SECRET.as_bytes()) {
        if !matches!(stream.read_buf(&mut received).await, Ok(count) if count > 0) {
            break;
        }
    }
}

pub(crate) async fn until_closed(stream: &mut TcpStream) {
    let mut rest = [0; 1_024];
    while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
}
