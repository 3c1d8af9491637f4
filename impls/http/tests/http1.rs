//! HTTP/1.1 (RFC 9112), over each transport, against servers that write bytes by hand.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use networking_http::{HttpClientBuilder, TransportConfig};
use networking_spi::http::{HttpBody, HttpClientExt, HttpRequest, Method};
use networking_spi::{ErrorKind, SendState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::raw::{RawServer, read_head};
use crate::transports::{Make, over_both, over_hyper};

fn config() -> TransportConfig {
    TransportConfig::new().with_system_roots(false)
}

over_both!(
    methods_with_a_body_announce_that_it_is_empty,
    folded_fields_are_taken,
    many_fields_are_taken,
    coded_bodies_without_bytes_are_empty,
    a_slow_upload_is_no_silence,
);
over_hyper!(
    a_head_above_the_limit_is_too_large,
    an_early_response_is_returned,
    a_stale_connection_is_replaced_for_idempotent_requests,
    a_stale_connection_is_an_error_for_others,
    a_slow_head_and_interim_responses_are_no_silence,
    interim_responses_are_bounded,
);

/// RFC 9110, section 8.6.
async fn methods_with_a_body_announce_that_it_is_empty(make: Make) {
    let (seen, mut heads) = mpsc::unbounded_channel();
    let server = RawServer::answering("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", seen).await;
    let client = make(config());
    for (method, announced) in [
        (Method::POST, true),
        (Method::PUT, true),
        (Method::PATCH, true),
        (Method::GET, false),
        (Method::DELETE, false),
        (Method::HEAD, false),
    ] {
        client
            .request(HttpRequest::new(method.clone(), server.url("/")))
            .await
            .unwrap();
        let head = heads.recv().await.unwrap().to_ascii_lowercase();
        assert_eq!(
            head.contains("\r\ncontent-length: 0\r\n"),
            announced,
            "{method}: {head}"
        );
        assert!(!head.contains("transfer-encoding"), "{method}: {head}");
    }
}

/// RFC 9112, section 5.2.
async fn folded_fields_are_taken(make: Make) {
    let (seen, _heads) = mpsc::unbounded_channel();
    let answer = "HTTP/1.1 200 OK\r\nx-folded: one\r\n  two\r\ncontent-length: 4\r\nconnection: close\r\n\r\nbody";
    let server = RawServer::answering(answer, seen).await;
    let response = make(config()).get(server.url("/")).await.unwrap();
    let folded = response.headers["x-folded"].to_str().unwrap();
    assert_eq!(folded.split_whitespace().collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(response.text().await.unwrap(), "body");
}

/// A server that answers every request with these bytes, and closes the connection.
async fn answering(answer: Vec<u8>) -> RawServer {
    RawServer::start(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
            drain(&mut stream).await;
        }
    })
    .await
}

async fn drain(stream: &mut TcpStream) {
    let mut rest = vec![0; 64 << 10];
    while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
}

fn with_fields(count: usize, size: usize) -> Vec<u8> {
    let mut head = "HTTP/1.1 200 OK\r\nconnection: close\r\n".to_owned();
    for number in 0..count {
        write!(head, "x-{number}: {}\r\n", "v".repeat(size)).unwrap();
    }
    (head + "content-length: 4\r\n\r\nbody").into_bytes()
}

async fn many_fields_are_taken(make: Make) {
    for (count, size) in [(500, 10), (200, 1_000)] {
        let server = answering(with_fields(count, size)).await;
        let response = make(config()).get(server.url("/")).await.unwrap();
        assert_eq!(response.headers.len(), count + 2);
        assert_eq!(response.text().await.unwrap(), "body");
    }
}

async fn a_head_above_the_limit_is_too_large(make: Make) {
    let server = answering(with_fields(300, 1_000)).await;
    let error = make(config()).get(server.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    let larger = config().with_max_response_head(1 << 20);
    make(larger).get(server.url("/")).await.unwrap();
}

async fn coded_bodies_without_bytes_are_empty(make: Make) {
    for rest in [
        "transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "\r\n",
        "content-length: 0\r\n\r\n",
    ] {
        for coding in [
            "gzip",
            "deflate",
            "br",
            "zstd",
            "gzip, br",
            "identity",
            "",
            "aws-chunked",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-encoding: {coding}\r\n{rest}");
            let server = answering(head.into_bytes()).await;
            let client = HttpClientBuilder::over(make(config())).build().unwrap();
            let body = client.get(server.url("/")).await.unwrap().bytes().await.unwrap();
            assert_eq!(body, "", "{coding} {rest:?}");
        }
    }
}

/// A server that answers when it has read the head, reads no body, and closes the connection.
async fn an_early_response_is_returned(make: Make) {
    for size in [100_000, 1_000_000, 50_000_000] {
        let server = RawServer::start(|mut stream| async move {
            read_head(&mut stream).await;
            let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 9\r\nconnection: close\r\n\r\ntoo large";
            let _ = stream.write_all(answer).await;
        })
        .await;
        for round in 0..15 {
            let request = HttpRequest::new(Method::POST, server.url("/")).with_body(vec![b'x'; size]);
            let response = make(config()).request(request).await;
            let response = response.unwrap_or_else(|error| panic!("{size} bytes, round {round}: {error:?}"));
            assert_eq!(response.status, 413);
            assert_eq!(response.text().await.unwrap(), "too large");
        }
    }
}

/// A server that sends interim responses without an end.
async fn interim_responses_are_bounded(make: Make) {
    let server = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".repeat(100);
        while stream.write_all(&interim).await.is_ok() {}
    })
    .await;
    let client = make(config().with_max_response_head(16 << 10));
    let error = client.get(server.url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
}

/// A server that closes each connection when it has read the head of the second request on it.
async fn closing_on_reuse() -> (RawServer, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = RawServer::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody")
                .await;
            read_head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    (server, requests)
}

async fn a_stale_connection_is_replaced_for_idempotent_requests(make: Make) {
    for method in [Method::GET, Method::PUT] {
        let (server, requests) = closing_on_reuse().await;
        let client = make(config());
        for expected in [1, 3, 5] {
            let request = HttpRequest::new(method.clone(), server.url("/")).with_body("x");
            let response = client.request(request).await.unwrap();
            assert_eq!(response.text().await.unwrap(), "body");
            assert_eq!(requests.load(Ordering::SeqCst), expected);
        }
    }
}

async fn a_stale_connection_is_an_error_for_others(make: Make) {
    let (server, requests) = closing_on_reuse().await;
    let client = make(config());
    client
        .post(server.url("/"))
        .body("x")
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    let error = client.post(server.url("/")).body("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionClosed, "{error:?}");
    assert_eq!(error.send_state(), SendState::MaybeSent, "{error:?}");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

/// Nothing is silent for the read timeout, though the head takes longer.
async fn a_slow_head_and_interim_responses_are_no_silence(make: Make) {
    let server = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let _ = stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await;
        }
        for piece in [&b"HTTP/1.1 200 OK\r\n"[..], b"content-length: 4\r\n", b"\r\n", b"body"] {
            tokio::time::sleep(Duration::from_millis(400)).await;
            let _ = stream.write_all(piece).await;
        }
    })
    .await;
    let client = make(config().with_read_timeout(Duration::from_secs(1)));
    assert_eq!(client.get(server.url("/")).await.unwrap().text().await.unwrap(), "body");
}

/// No chunk is late, though all of them take longer than the read timeout.
async fn a_slow_upload_is_no_silence(make: Make) {
    let server = RawServer::start(|mut stream| async move {
        let mut received = Vec::new();
        while !received.ends_with(b"0\r\n\r\n") {
            let _ = stream.read_buf(&mut received).await;
        }
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody")
            .await;
    })
    .await;
    let client = make(config().with_read_timeout(Duration::from_secs(1)));
    let chunks = futures_util::stream::iter(0..5).then(|_| async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        Ok(Bytes::from_static(b"chunk"))
    });
    let body = HttpBody::stream(chunks.boxed(), None);
    let response = client.post(server.url("/")).body(body).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "body");
}
