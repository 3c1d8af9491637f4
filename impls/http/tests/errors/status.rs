//! Statuses as errors.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use networking_spi::clock::Clock;
use tokio::io::AsyncWriteExt;

use crate::errors::backend::{Backend, ConnectSettings, Failed, failing, post};
use crate::errors::exchange::{read_request, until_closed};
use crate::raw::RawServer;

/// A clock that always returns 1994-11-06 08:49:37 GMT.
#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

pub(crate) async fn unauthorized(backend: &Backend) -> Failed {
    raised(backend, "401 Unauthorized\r\nwww-authenticate: Basic").await
}

pub(crate) async fn forbidden(backend: &Backend) -> Failed {
    raised(backend, "403 Forbidden").await
}

pub(crate) async fn not_found(backend: &Backend) -> Failed {
    raised(backend, "404 Not Found").await
}

pub(crate) async fn too_many_requests(backend: &Backend) -> Failed {
    raised(backend, "429 Too Many Requests\r\nretry-after: 7").await
}

pub(crate) async fn too_many_requests_until(backend: &Backend) -> Failed {
    raised(
        backend,
        "429 Too Many Requests\r\nretry-after: Sun, 06 Nov 1994 08:51:07 GMT",
    )
    .await
}

pub(crate) async fn not_implemented(backend: &Backend) -> Failed {
    raised(backend, "501 Not Implemented").await
}

pub(crate) async fn unavailable(backend: &Backend) -> Failed {
    raised(backend, "503 Service Unavailable").await
}

async fn raised(backend: &Backend, status: &'static str) -> Failed {
    let server = RawServer::start(move |mut stream| async move {
        read_request(&mut stream).await;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes()).await;
        until_closed(&mut stream).await;
    })
    .await;
    let client = backend.client_with(ConnectSettings::default(), |builder| {
        builder.raise_for_status(true).clock(Arc::new(FixedClock))
    });
    failing(&*client, post(&server.url("/"))).await
}
