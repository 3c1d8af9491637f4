//! A loopback server that violates the HTTP protocol: it resets, stalls, truncates, announces wrong lengths, and sends
//! bytes that are not HTTP. A seed determines its behaviour for each request, so the correct results of a client are
//! known in advance.
//!
//! ```
//! use networking_conformance::http::hostile::{HostileServer, Plan, Verdict};
//! use networking_spi::prelude::*;
//!
//! # async fn example(client: std::sync::Arc<dyn networking_spi::http::HttpClient>) -> std::io::Result<()> {
//! let server = HostileServer::start(7).await?;
//! for number in 0..1_000 {
//!     let result = match client.get(&server.url(number)).await {
//!         Ok(response) => response.bytes().await,
//!         Err(error) => Err(error),
//!     };
//!     let plan = Plan::new(7, number);
//!     assert!(matches!(plan.judge(&result), Verdict::Correct | Verdict::Classified), "{plan:?}: {result:?}");
//! }
//! # Ok(()) }
//! ```

mod answer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use networking_spi::{ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::answer::{Answer, End};

/// The largest body, in bytes, that clients under test should accept.
pub const BODY_LIMIT: u64 = 1 << 20;

/// The pause between the bytes of a slow body that ends.
const DRIP: Duration = Duration::from_millis(1);

/// The pause between the chunks of a slow body that does not end.
const ENDLESS_DRIP: Duration = Duration::from_millis(100);

/// How the server responds to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Behaviour {
    /// A body with its announced length.
    Honest,
    /// A body in chunks.
    Chunked,
    /// A body in gzip.
    Gzip,
    /// A body that ends when the connection is closed.
    UntilClose,
    /// A body with its announced length. Then the connection is closed without `Connection: close`.
    ClosesAfterwards,
    /// Interim responses (103) before the final one.
    EarlyHints,
    /// A body, one byte at a time.
    Drips,
    /// More bytes than announced. The surplus looks like another response.
    LengthTooShort,
    /// The connection is closed without a response.
    Closes,
    /// The connection is reset without a response.
    Resets,
    /// The connection is reset within the body.
    ResetsInBody,
    /// The connection is closed before the announced length.
    Truncates,
    /// The connection is closed before the last chunk.
    TruncatesChunks,
    /// A chunk that is shorter than announced.
    ChunkTooLong,
    /// A chunk that is longer than announced.
    ChunkTooShort,
    /// A chunk size that is not a number.
    ChunkSizeGarbage,
    /// A chunk size above the range of 64-bit integers.
    ChunkSizeHuge,
    /// Bytes that are not HTTP.
    Garbage,
    /// A head that is too large.
    HugeHead,
    /// Two `Content-Length` headers that differ.
    TwoLengths,
    /// A negative `Content-Length`.
    NegativeLength,
    /// A body that is not gzip although its `Content-Encoding` is.
    GzipGarbage,
    /// A truncated gzip body.
    GzipTruncated,
    /// A gzip body that is larger than [`BODY_LIMIT`] when it is decoded.
    GzipBomb,
    /// No response, on an open connection.
    Stalls,
    /// Half of a head; the connection stays open.
    StallsInHead,
    /// Fewer bytes than announced; the connection stays open.
    LengthTooLong,
    /// A slow body that does not end.
    DripsForEver,
}

impl Behaviour {
    /// Every behaviour.
    pub const ALL: &'static [Self] = &[
        Self::Honest,
        Self::Chunked,
        Self::Gzip,
        Self::UntilClose,
        Self::ClosesAfterwards,
        Self::EarlyHints,
        Self::Drips,
        Self::LengthTooShort,
        Self::Closes,
        Self::Resets,
        Self::ResetsInBody,
        Self::Truncates,
        Self::TruncatesChunks,
        Self::ChunkTooLong,
        Self::ChunkTooShort,
        Self::ChunkSizeGarbage,
        Self::ChunkSizeHuge,
        Self::Garbage,
        Self::HugeHead,
        Self::TwoLengths,
        Self::NegativeLength,
        Self::GzipGarbage,
        Self::GzipTruncated,
        Self::GzipBomb,
        Self::Stalls,
        Self::StallsInHead,
        Self::LengthTooLong,
        Self::DripsForEver,
    ];

    /// The kind of error that a client must report; `None` if the body can be read.
    pub const fn error(self) -> Option<ErrorKind> {
        match self {
            Self::Honest
            | Self::Chunked
            | Self::Gzip
            | Self::UntilClose
            | Self::ClosesAfterwards
            | Self::EarlyHints
            | Self::Drips
            | Self::LengthTooShort => None,
            Self::Closes | Self::Resets | Self::ResetsInBody => Some(ErrorKind::ConnectionClosed),
            Self::Truncates | Self::TruncatesChunks | Self::ChunkTooLong => Some(ErrorKind::TruncatedBody),
            Self::ChunkTooShort
            | Self::ChunkSizeGarbage
            | Self::ChunkSizeHuge
            | Self::Garbage
            | Self::TwoLengths
            | Self::NegativeLength => Some(ErrorKind::Protocol),
            Self::GzipGarbage | Self::GzipTruncated => Some(ErrorKind::Decode),
            Self::HugeHead | Self::GzipBomb => Some(ErrorKind::TooLarge),
            Self::Stalls | Self::StallsInHead | Self::LengthTooLong | Self::DripsForEver => Some(ErrorKind::Timeout),
        }
    }

    /// Whether the server keeps the request open until the client closes the connection.
    pub fn is_endless(self) -> bool {
        self.error() == Some(ErrorKind::Timeout)
    }
}

/// The behaviour for one request, and the body that it sends.
#[derive(Clone, PartialEq, Eq)]
pub struct Plan {
    /// The behaviour.
    pub behaviour: Behaviour,
    /// The body that a client must return, if the body can be read.
    pub body: Bytes,
    seed: u64,
}

/// The verdict on the result of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The correct body.
    Correct,
    /// An error of the right kind, or of a kind that any request can end in: `ConnectionClosed` (of a pooled
    /// connection) or `Timeout`.
    Classified,
    /// A body that is wrong or truncated.
    WrongBody,
    /// An error of another kind.
    Unclassified,
}

impl Plan {
    /// The plan of a server with this seed for request `number`.
    pub fn new(seed: u64, number: u64) -> Self {
        let own = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = fastrand::Rng::with_seed(own);
        let behaviour = Behaviour::ALL[random.usize(..Behaviour::ALL.len())];
        let longest = match behaviour {
            // `Drips` sends one byte at a time, and the responses of `LengthTooShort` must fit into one packet.
            Behaviour::Drips | Behaviour::LengthTooShort => 64,
            _ if random.u8(..16) == 0 => 200_000,
            _ => 4_000,
        };
        let length = random.usize(2..=longest);
        // Repeats a pattern that differs for every request.
        let pattern: Vec<u8> = (0..length.min(251)).map(|_| random.u8(b' '..=b'~')).collect();
        let mut body = pattern.repeat(length.div_ceil(pattern.len()));
        body.truncate(length);
        Self {
            behaviour,
            body: body.into(),
            seed: random.u64(..),
        }
    }

    /// Judges the result of a client that accepts at most [`BODY_LIMIT`] bytes.
    pub fn judge(&self, result: &Result<Bytes>) -> Verdict {
        match result {
            Ok(body) if self.behaviour.error().is_none() && *body == self.body => Verdict::Correct,
            Ok(_) => Verdict::WrongBody,
            Err(error) => {
                let due = [
                    Some(ErrorKind::ConnectionClosed),
                    Some(ErrorKind::Timeout),
                    self.behaviour.error(),
                ];
                if due.contains(&Some(error.kind())) {
                    Verdict::Classified
                } else {
                    Verdict::Unclassified
                }
            }
        }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan")
            .field("behaviour", &self.behaviour)
            .field("length", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// The server. Dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct HostileServer {
    address: SocketAddr,
    stalled: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

impl HostileServer {
    /// Starts a server on a free loopback port.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start(seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (stalls, stalled) = watch::channel(0);
        let stalls = Arc::new(stalls);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let stalls = Arc::clone(&stalls);
                connections.spawn(async move {
                    // Clients close connections at any time, so errors are expected.
                    let _ = serve(stream, seed, &stalls).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            stalled,
            accepting,
        })
    }

    /// The URL of request `number`.
    pub fn url(&self, number: u64) -> String {
        format!("http://{}/{number}", self.address)
    }

    /// Waits until at least `requests` requests are stalled: the server does not complete their responses.
    pub async fn stalled(&self, requests: usize) {
        let mut stalled = self.stalled.clone();
        // The server holds the sender, so this cannot fail.
        let _ = stalled.wait_for(|count| *count >= requests).await;
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut stream: TcpStream, seed: u64, stalls: &watch::Sender<usize>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    while let Some(number) = next_request(&mut stream, &mut received).await? {
        let answer = Answer::to(&Plan::new(seed, number));
        for part in &answer.parts {
            stream.write_all(part).await?;
            if answer.slowly {
                tokio::time::sleep(DRIP).await;
            }
        }
        match answer.end {
            End::Stay => {}
            End::Close => return Ok(()),
            End::Reset => return stream.set_zero_linger(),
            End::Stall => {
                stalls.send_modify(|count| *count += 1);
                let mut rest = [0; 64];
                while stream.read(&mut rest).await? > 0 {}
                return Ok(());
            }
            End::Drip => {
                stalls.send_modify(|count| *count += 1);
                loop {
                    stream.write_all(b"1\r\n.\r\n").await?;
                    tokio::time::sleep(ENDLESS_DRIP).await;
                }
            }
        }
    }
    Ok(())
}

/// The number in the path of the next request; `None` if the client has closed the connection.
async fn next_request(stream: &mut TcpStream, received: &mut Vec<u8>) -> std::io::Result<Option<u64>> {
    loop {
        if let Some(end) = received.windows(4).position(|window| window == b"\r\n\r\n") {
            let head: Vec<u8> = received.drain(..end + 4).collect();
            let path = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            let number = std::str::from_utf8(path)
                .ok()
                .and_then(|path| path.trim_start_matches('/').parse().ok());
            return number.map(Some).ok_or_else(|| std::io::ErrorKind::InvalidData.into());
        }
        if stream.read_buf(received).await? == 0 {
            return Ok(None);
        }
    }
}
