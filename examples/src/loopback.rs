//! A server for the examples: HTTP/1.1 on loopback, one request per connection.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{self, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The largest request, in bytes.
const MAX_REQUEST: usize = 64 << 20;

/// A received request.
///
/// Exhaustive on purpose: it is plain data that examples read.
#[derive(Debug)]
pub struct Request {
    /// The request line and the header fields.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

/// The server. Dropping it stops it.
#[derive(Debug)]
#[must_use = "it stops when it is dropped"]
pub struct Loopback {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Loopback {
    /// Starts a server on a free port. `respond` is called with each request and its number, from 0. The bytes that it returns
    /// are sent, and the connection is closed.
    ///
    /// # Errors
    /// If no port can be bound.
    pub async fn start(respond: impl Fn(Request, usize) -> Vec<u8> + Send + Sync + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let respond = Arc::new(respond);
        let accepting = tokio::spawn(async move {
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                let respond = Arc::clone(&respond);
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, |request| respond(request, number)).await {
                        eprintln!("loopback server: {error}");
                    }
                });
                number += 1;
            }
        });
        Ok(Self { address, accepting })
    }

    /// The URL of a path on this server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A response with `content-length: length` and the bytes of `body`, which may be fewer.
pub fn response(status: &str, headers: &[(&str, &str)], length: usize, body: &[u8]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
    if !status.starts_with("204") {
        out.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
    }
    for (name, value) in headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}

async fn serve(mut stream: TcpStream, respond: impl FnOnce(Request) -> Vec<u8>) -> io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if bytes.len() > MAX_REQUEST || stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let mut request = Request {
        head: String::from_utf8_lossy(&bytes[..end]).into_owned(),
        body: bytes.split_off(end),
    };
    let length = request.header("content-length").map_or(Ok(0), str::parse::<usize>);
    let length = length
        .ok()
        .filter(|length| *length <= MAX_REQUEST)
        .ok_or(io::ErrorKind::InvalidData)?;
    while request.body.len() < length {
        if stream.read_buf(&mut request.body).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    stream.write_all(&respond(request)).await?;
    stream.shutdown().await
}
