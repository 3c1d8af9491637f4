//! A server that closes connections in place of a response.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::server::{RawConnection, Server};
use crate::kit::Failure;

/// Answers requests for `/fine`, and keeps the connection. It closes the connection of any other request when it has read
/// the request, and counts these requests.
pub(super) struct Closing {
    server: Server,
    lost: Arc<AtomicUsize>,
}

impl Closing {
    /// A server that closes connections with a reset if `reset`.
    pub(super) async fn start(reset: bool) -> Result<Self, Failure> {
        let lost = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&lost);
        let server = Server::raw(move |connection, _| speak(connection, reset, Arc::clone(&count))).await?;
        Ok(Self { server, lost })
    }

    pub(super) fn url(&self, path: &str) -> String {
        self.server.url(path)
    }

    /// How many requests have arrived that got no response.
    pub(super) fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

async fn speak(mut connection: RawConnection, reset: bool, lost: Arc<AtomicUsize>) -> std::io::Result<()> {
    loop {
        let head = connection.read_head().await?;
        let target = head.split(|byte| *byte == b' ').nth(1);
        if target != Some(b"/fine") {
            lost.fetch_add(1, Ordering::SeqCst);
            return if reset { connection.reset() } else { Ok(()) };
        }
        connection
            .write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await?;
    }
}
