//! `HttpListenerSource`, with clients over loopback sockets.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use networking_bridge::{HmacSha256, HttpListenerSource};
use networking_conformance::Harness;
use networking_conformance::endpoint::source::{
    PeerOutcome, PeerOutcomes, SourceHarness, SourcePeer, SourceProfile, SourceSubject,
};
use networking_conformance::endpoint::{Carries, Content, Sent};
use networking_spi::bridge::{BridgeMessage, BridgeProtocol};
use networking_spi::{ErrorKind, NetworkError, Result};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BACKLOG: usize = 8;
const SECRET: &str = "hunter2-of-the-webhook";

pub(crate) struct Listener;

impl Harness for Listener {
    fn backend(&self) -> &'static str {
        "http_listener"
    }
}

#[async_trait]
impl SourceHarness for Listener {
    fn profile(&self) -> SourceProfile {
        let mut content = Content::all();
        content.key = Carries::FieldValues;
        content.headers = Carries::FieldValues;
        content.header_order = false;
        SourceProfile::new(BridgeProtocol::Http, content, PeerOutcomes::Reported, BACKLOG)
            // Requests of different connections have none.
            .with_order(false)
            .with_secret(SECRET)
    }

    async fn source(&self) -> Result<SourceSubject> {
        let listener = HttpListenerSource::builder(([127, 0, 0, 1], 0))
            .path("/hooks")
            .id_header("x-delivery")
            .key_header("x-key")
            .signature(HmacSha256::github(SECRET))
            .backlog(BACKLOG)
            .build()?;
        let listener = Arc::new(listener);
        let peer = Clients {
            listener: Arc::clone(&listener),
            outcomes: Arc::default(),
            next: AtomicU64::new(0),
        };
        Ok(SourceSubject::new(listener, Arc::new(peer)))
    }
}

/// Clients with one connection for each request.
struct Clients {
    listener: Arc<HttpListenerSource>,
    outcomes: Arc<Mutex<HashMap<Sent, PeerOutcome>>>,
    next: AtomicU64,
}

#[async_trait]
impl SourcePeer for Clients {
    async fn send(&self, message: BridgeMessage) -> Result<Sent> {
        let address = self
            .listener
            .local_addr()
            .ok_or_else(|| NetworkError::closed("test.send", "the listener"))?;
        let mut stream = TcpStream::connect(address).await.map_err(|error| {
            NetworkError::new(ErrorKind::ConnectionRefused, "test.send", "cannot connect").with_source(error)
        })?;
        let sent = Sent(self.next.fetch_add(1, Ordering::SeqCst));
        let outcomes = Arc::clone(&self.outcomes);
        let request = request(&message);
        tokio::spawn(async move {
            // The server may respond and close before it has read everything.
            let _ = stream.write_all(&request).await;
            let mut response = Vec::new();
            let _ = stream.read_to_end(&mut response).await;
            let outcome = if response.starts_with(b"HTTP/1.1 202 ") {
                PeerOutcome::Acknowledged
            } else {
                PeerOutcome::Refused(String::from_utf8_lossy(&response).into_owned())
            };
            outcomes.lock().unwrap().insert(sent, outcome);
        });
        Ok(sent)
    }

    async fn outcome(&self, sent: Sent) -> PeerOutcome {
        let outcomes = self.outcomes.lock().unwrap();
        outcomes.get(&sent).cloned().unwrap_or(PeerOutcome::Pending)
    }

    fn arrived(&self) -> Option<usize> {
        usize::try_from(self.listener.counters().requests).ok()
    }
}

fn request(message: &BridgeMessage) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&message.payload);
    let signature = hex::encode(mac.finalize().into_bytes());
    let mut head = String::from("POST /hooks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    let _ = write!(
        head,
        "x-delivery: {}\r\nx-hub-signature-256: sha256={signature}\r\n",
        message.id
    );
    let _ = write!(head, "content-length: {}\r\n", message.payload.len());
    if let Some(content_type) = &message.content_type {
        let _ = write!(head, "content-type: {content_type}\r\n");
    }
    let mut request = head.into_bytes();
    let key = message.key.iter().map(|key| ("x-key", key));
    let fields = message.headers.iter().map(|(name, value)| (name.as_str(), value));
    for (name, value) in key.chain(fields) {
        request.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(&message.payload);
    request
}
