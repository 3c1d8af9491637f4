//! The opening handshake is a request of the HTTP client.

use std::sync::Arc;
use std::time::Duration;

use networking_http::cache::{HttpCache, MemoryCacheStore};
use networking_http::layer::{Credentials, HedgePolicy, RedirectPolicy};
use networking_http::websocket::WebSocketConnector;
use networking_http::{CookieJar, HttpClientBuilder, MemoryHttpClient, ReqwestTransport, TransportConfig};
use networking_spi::http::{
    HttpClient, HttpClientExt, HttpExtended, HttpRequest, HttpResponse, Intercepted, Interceptor, RetryPolicy,
    StatusCode,
};
use networking_spi::websocket::{
    ErrorResponse, WebSocketClient, WebSocketConnectionExt, WebSocketMessage, WebSocketRequest,
};
use networking_spi::{ErrorKind, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::raw::{RawServer, read_head};

/// A text frame with `hi`.
const GREETING: &[u8] = b"\x81\x02hi";

/// The value of a header in a head.
fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Switches protocols after `before`, and sends a greeting in the same write.
async fn greet(stream: &mut TcpStream, head: &str, before: &str) {
    let accept = derive_accept_key(header(head, "sec-websocket-key").expect("a key").as_bytes());
    let mut answer = format!(
        "{before}HTTP/1.1 101 Whatever\r\nupgrade: WebSocket\r\nconnection: keep-alive,  upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\nSet-Cookie: seen=yes\r\n\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(GREETING);
    stream.write_all(&answer).await.unwrap();
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

/// A server that answers handshake number `n` with `answers[n]`, and with 101 after the last of them. It reports the heads.
async fn server(answers: &'static [&'static str]) -> (RawServer, UnboundedReceiver<String>) {
    let (heads, seen) = mpsc::unbounded_channel();
    let number = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let server = RawServer::start(move |mut stream| {
        let (heads, number) = (heads.clone(), Arc::clone(&number));
        async move {
            let head = read_head(&mut stream).await;
            heads.send(head.clone()).unwrap();
            match answers.get(number.fetch_add(1, std::sync::atomic::Ordering::SeqCst)) {
                Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                None => greet(&mut stream, &head, "").await,
            }
        }
    })
    .await;
    (server, seen)
}

fn request(server: &RawServer, path: &str) -> WebSocketRequest {
    WebSocketRequest::new(format!("ws://{}{path}", server.address)).unwrap()
}

async fn greeted(client: &dyn HttpExtended, request: WebSocketRequest) {
    let connection = client.websocket_connect(request).await.unwrap();
    assert_eq!(connection.next().await.unwrap(), Some(WebSocketMessage::text("hi")));
}

#[derive(Debug)]
struct Signs;

#[async_trait::async_trait]
impl Interceptor for Signs {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        Ok(Intercepted::Continue(request.with_header("x-signed", "yes")?))
    }
}

#[tokio::test]
async fn it_has_what_the_client_adds_to_requests() {
    let (server, mut heads) = server(&[]).await;
    let jar = CookieJar::new();
    let client = HttpClientBuilder::new()
        .credentials(Credentials::bearer("t0ken").unwrap())
        .default_header("x-default", "here")
        .interceptor(Arc::new(Signs))
        .user_agent("tests/1")
        .cookies(jar)
        .build()
        .unwrap();
    greeted(&client, request(&server, "/a?b=c#d")).await;
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\n"), "{head}");
    for (name, value) in [
        ("authorization", "Bearer t0ken"),
        ("x-default", "here"),
        ("x-signed", "yes"),
        ("user-agent", "tests/1"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("host", &server.address.to_string()),
    ] {
        assert_eq!(header(&head, name), Some(value), "{name} in {head}");
    }
    let key = header(&head, "sec-websocket-key").unwrap().to_owned();
    assert_eq!(header(&head, "sec-websocket-extensions"), None);
    // The cookie of the first answer is sent, and the key is new.
    greeted(&client, request(&server, "/")).await;
    let head = heads.recv().await.unwrap();
    assert_eq!(header(&head, "cookie"), Some("seen=yes"));
    assert_ne!(header(&head, "sec-websocket-key"), Some(key.as_str()));
}

#[tokio::test]
async fn interim_responses_are_skipped() {
    let server = RawServer::start(|mut stream| async move {
        let head = read_head(&mut stream).await;
        greet(&mut stream, &head, "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n").await;
    })
    .await;
    greeted(&HttpClientBuilder::new().build().unwrap(), request(&server, "/")).await;
}

const MOVED: &str = "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 5\r\n\r\nmoved";
const UNAVAILABLE: &str = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn redirects_are_followed_as_configured() {
    let (moved, mut heads) = server(&[MOVED]).await;
    greeted(&HttpClientBuilder::new().build().unwrap(), request(&moved, "/")).await;
    heads.recv().await.unwrap();
    assert!(heads.recv().await.unwrap().starts_with("GET /elsewhere "));

    let (moved, _heads) = server(&[MOVED]).await;
    let staying = HttpClientBuilder::new()
        .redirects(RedirectPolicy::none())
        .build()
        .unwrap();
    let error = staying.websocket_connect(request(&moved, "/")).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(302)));
    let refusal = ErrorResponse::of(&error).expect("the answer");
    assert_eq!(refusal.headers["location"], "/elsewhere");
    assert_eq!(&refusal.body[..], b"moved");
}

#[tokio::test]
async fn redirects_may_name_websocket_urls() {
    let (target, mut heads) = server(&[]).await;
    let location = format!("ws://{}/there", target.address);
    let moved = RawServer::start(move |mut stream| {
        let location = location.clone();
        async move {
            read_head(&mut stream).await;
            let answer = format!("HTTP/1.1 308 Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await;
    let client = HttpClientBuilder::new()
        .credentials(Credentials::bearer("t0ken").unwrap())
        .build()
        .unwrap();
    greeted(&client, request(&moved, "/")).await;
    let head = heads.recv().await.unwrap();
    assert!(head.starts_with("GET /there "), "{head}");
    assert_eq!(
        header(&head, "authorization"),
        None,
        "another origin gets no credentials"
    );
}

#[tokio::test]
async fn refused_handshakes_are_retried_as_configured() {
    let (busy, mut heads) = server(&[UNAVAILABLE, UNAVAILABLE]).await;
    let policy = RetryPolicy::new(3).with_delays(Duration::from_millis(1), Duration::from_millis(2));
    let client = HttpClientBuilder::new().retry(policy).build().unwrap();
    greeted(&client, request(&busy, "/")).await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        let head = heads.recv().await.unwrap();
        keys.push(header(&head, "sec-websocket-key").unwrap().to_owned());
    }
    keys.dedup();
    assert_eq!(keys.len(), 3, "each attempt has its own key");
}

#[tokio::test]
async fn statuses_are_errors_of_the_handshake_whatever_the_client_raises() {
    for raise in [false, true] {
        let (busy, _heads) = server(&[UNAVAILABLE]).await;
        let client = HttpClientBuilder::new()
            .raise_for_status(raise)
            .retries(0)
            .build()
            .unwrap();
        let error = client.websocket_connect(request(&busy, "/")).await.unwrap_err();
        assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(503)));
        assert!(ErrorResponse::of(&error).is_some());
    }
}

#[tokio::test]
async fn handshakes_are_not_hedged_and_not_cached() {
    const CACHEABLE: &str = "HTTP/1.1 200 OK\r\ncache-control: max-age=1000\r\ncontent-length: 2\r\n\r\nok";
    let (caching, mut heads) = server(&[CACHEABLE]).await;
    let cache = HttpCache::new(MemoryCacheStore::default());
    let plain = HttpClientBuilder::new().cache(cache.clone()).build().unwrap();
    let response = plain.get(caching.url("/")).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "ok");
    let client = HttpClientBuilder::new()
        .cache(cache)
        .hedging(HedgePolicy::after(Duration::from_millis(1)))
        .build()
        .unwrap();
    greeted(&client, request(&caching, "/")).await;
    heads.recv().await.unwrap();
    assert!(header(&heads.recv().await.unwrap(), "upgrade").is_some());
    assert!(heads.try_recv().is_err(), "one handshake");
}

#[tokio::test]
async fn every_network_transport_can_switch_and_others_are_unsupported() {
    let (server, _heads) = server(&[]).await;
    let reqwest: Arc<dyn HttpClient> = Arc::new(ReqwestTransport::new(TransportConfig::new()).unwrap());
    let connection = WebSocketConnector::new(reqwest)
        .connect(request(&server, "/"))
        .await
        .unwrap();
    assert_eq!(connection.next().await.unwrap(), Some(WebSocketMessage::text("hi")));
    let standard = HttpClientBuilder::reqwest().build().unwrap();
    assert!(standard.extended_capabilities().websocket);
    greeted(&standard, request(&server, "/")).await;

    let memory = MemoryHttpClient::serving(|_| async { Ok(HttpResponse::new(StatusCode::OK)) });
    let connector = WebSocketConnector::new(Arc::new(memory));
    let error = connector.connect(request(&server, "/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn answers_that_break_the_protocol_are_protocol_errors() {
    for (what, replaced) in [
        ("another key", ("Sec-WebSocket-Accept: ", "Sec-WebSocket-Accept: x")),
        ("no token", ("keep-alive,  upgrade", "keep-alive")),
        ("another protocol", ("upgrade: WebSocket", "upgrade: h2c")),
        (
            "an extension",
            ("Set-Cookie: seen=yes", "sec-websocket-extensions: x-own"),
        ),
    ] {
        let server = RawServer::start(move |mut stream| async move {
            let head = read_head(&mut stream).await;
            let accept = derive_accept_key(header(&head, "sec-websocket-key").unwrap().as_bytes());
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive,  upgrade\r\n\
                 Sec-WebSocket-Accept: {accept}\r\nSet-Cookie: seen=yes\r\n\r\n"
            );
            let answer = answer.replace(replaced.0, replaced.1);
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let client = HttpClientBuilder::new().build().unwrap();
        let error = client.websocket_connect(request(&server, "/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{what}: {error}");
    }
}

/// The status is known, whatever becomes of the body.
#[tokio::test]
async fn refusals_whose_body_does_not_end_have_their_status() {
    for head in [
        "HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwait\r\n",
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 10\r\n\r\nwait",
        "HTTP/1.1 401 Unauthorized\r\n\r\nwait",
    ] {
        let server = RawServer::start(move |mut stream| async move {
            read_head(&mut stream).await;
            stream.write_all(head.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        })
        .await;
        let client = HttpClientBuilder::new().build().unwrap();
        let error = client.websocket_connect(request(&server, "/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
        assert_eq!(&ErrorResponse::of(&error).unwrap().body[..], b"wait");
    }
}
