//! Redirects that fail.

use futures_util::{StreamExt, stream};
use networking_spi::http::HttpBody;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::errors::backend::{Backend, Failed, failing, post};
use crate::raw::{RawServer, read_head};

/// A server that redirects `/N` to `target(N)`.
async fn redirecting(target: fn(u32) -> String) -> RawServer {
    RawServer::start(move |mut stream| async move {
        let head = read_head(&mut stream).await;
        let number = head
            .split([' ', '?'])
            .nth(1)
            .and_then(|path| path.trim_start_matches('/').parse().ok())
            .unwrap_or_default();
        let answer = format!(
            "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
            target(number)
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await
}

pub(crate) async fn redirect_loop(backend: &Backend) -> Failed {
    let server = redirecting(|number| format!("/{}", (number + 1) % 3)).await;
    failing(&*backend.client(), post(&server.url("/0"))).await
}

pub(crate) async fn endless_redirects(backend: &Backend) -> Failed {
    let server = redirecting(|number| format!("/{}", number + 1)).await;
    failing(&*backend.client(), post(&server.url("/0"))).await
}

pub(crate) async fn bad_location(backend: &Backend) -> Failed {
    let server = redirecting(|_| "ftp://127.0.0.1/".to_owned()).await;
    failing(&*backend.client(), post(&server.url("/0"))).await
}

pub(crate) async fn redirected_stream(backend: &Backend) -> Failed {
    let server = RawServer::start(|mut stream| async move {
        let mut received = Vec::new();
        while !received.ends_with(b"0\r\n\r\n") {
            if !matches!(stream.read_buf(&mut received).await, Ok(count) if count > 0) {
                return;
            }
        }
        let answer = "HTTP/1.1 307 Temporary Redirect\r\nlocation: /1\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let once = stream::iter([Ok("only once".into())]).boxed();
    let request = post(&server.url("/0")).with_body(HttpBody::stream(once, None));
    failing(&*backend.client(), request).await
}
