//! The servers of the examples, on loopback: HTTP, which is also a proxy, and a WebSocket echo.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;

use futures_util::{SinkExt, StreamExt};
use networking_examples::loopback::{Loopback, Request, response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Both servers. Dropping the value stops them.
#[derive(Debug)]
pub(crate) struct Servers {
    http: Loopback,
    websocket: SocketAddr,
    echoing: JoinHandle<()>,
}

impl Servers {
    pub(crate) async fn start() -> io::Result<Self> {
        let tries = Mutex::default();
        let http = Loopback::start(move |request, _| answer(&request, &tries)).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self {
            http,
            websocket: listener.local_addr()?,
            echoing: tokio::spawn(echo(listener)),
        })
    }

    pub(crate) fn http(&self) -> String {
        self.http.url("")
    }

    pub(crate) fn websocket(&self) -> String {
        format!("ws://{}", self.websocket)
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.echoing.abort();
    }
}

/// A URL to which no connection can be opened.
pub(crate) async fn unreachable() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Ok(format!("http://{}/", listener.local_addr()?))
}

fn answer(request: &Request, tries: &Mutex<HashMap<String, u32>>) -> Vec<u8> {
    let line = request.head.lines().next().unwrap_or_default();
    let target = line.rsplit_once(' ').map_or(line, |(target, _)| target);
    let path = target.split('?').next().unwrap_or_default();
    let received = || serde_json::from_slice::<Value>(&request.body).unwrap_or_default();
    let (status, body) = match path {
        "GET /data" => ("200 OK", json!({"items": []})),
        "POST /items" => ("201 Created", received()),
        "GET /users" => ("200 OK", json!([{"id": 1, "name": "Alice"}])),
        "GET /users/1" => ("200 OK", json!({"id": 1, "name": "Alice"})),
        "POST /users" => ("201 Created", json!({"id": 1})),
        "GET /endpoint" => ("200 OK", json!({})),
        "GET /broken" => ("500 Internal Server Error", json!({})),
        "POST /upload" => ("200 OK", parts(&request.body)),
        "POST /oauth/token" => (
            "200 OK",
            json!({"access_token": "t0k3n", "token_type": "Bearer", "expires_in": 3600}),
        ),
        "PUT /items/123" | "POST /flaky-post" | "GET /flaky" => {
            let mut tries = tries.lock().expect("no panic while locked");
            let tries = tries.entry(path.to_owned()).or_default();
            *tries += 1;
            match (*tries, path) {
                (1, _) => ("503 Service Unavailable", json!({})),
                (tries, "GET /flaky") => ("200 OK", json!({"tries": tries})),
                _ => ("200 OK", received()),
            }
        }
        "GET /status" => return text("all systems work"),
        "GET /large" => return text(&"x".repeat(10_000)),
        "GET /protected" => {
            let header = |name| request.header(name).unwrap_or_default();
            return text(&format!("{}, {}", header("authorization"), header("user-agent")));
        }
        // As a proxy, it answers itself.
        proxied if proxied.contains("://") => return text(proxied),
        _ => ("404 Not Found", json!({"error": "no such path"})),
    };
    let body = body.to_string();
    response(
        status,
        &[("content-type", "application/json")],
        body.len(),
        body.as_bytes(),
    )
}

fn text(body: &str) -> Vec<u8> {
    response("200 OK", &[("content-type", "text/plain")], body.len(), body.as_bytes())
}

/// The parts of a form: the file names of files, and the text of other parts.
fn parts(body: &[u8]) -> Value {
    let body = String::from_utf8_lossy(body);
    let boundary = body.lines().next().unwrap_or_default();
    let parameter = |head: &str, name: &str| {
        let (_, rest) = head.split_once(&format!(" {name}=\""))?;
        rest.split('"').next().map(str::to_owned)
    };
    let parts = body.split(boundary).filter_map(|part| {
        let (head, text) = part.split_once("\r\n\r\n")?;
        let value = parameter(head, "filename").unwrap_or_else(|| text.trim_end().to_owned());
        Some((parameter(head, "name")?, Value::String(value)))
    });
    Value::Object(parts.collect())
}

/// Sends back each message.
async fn echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
                return;
            };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() && socket.send(message).await.is_err() {
                    return;
                }
            }
        });
    }
}
