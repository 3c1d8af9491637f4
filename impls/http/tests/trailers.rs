//! Trailers (RFC 9110, section 6.5), over each transport, against servers that write bytes and frames by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use networking_http::cache::{CacheStatus, HttpCache, MemoryCacheStore};
use networking_http::{HttpClientBuilder, HttpVersion, TransportConfig};
use networking_spi::ErrorKind;
use networking_spi::http::{HeaderMap, HttpClient, HttpClientExt};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use crate::http2::frames::FrameServer;
use crate::raw::{RawServer, read_head};
use crate::transports::{Make, over_both};

over_both!(
    trailers_of_a_chunked_body_are_known_at_its_end,
    trailers_of_http2_are_known_at_the_end_of_the_body,
    trailers_without_a_body_are_known,
    a_head_that_ends_the_stream_has_no_trailers,
    fields_that_trailers_may_not_have_are_dropped,
    trailers_above_the_limit_are_an_error,
    trailers_that_do_not_arrive_are_an_error,
    a_body_that_was_not_read_has_no_trailers,
    wrappers_keep_trailers,
    whoever_asks_for_trailers_also_names_the_field_to_the_connection,
);

fn config() -> TransportConfig {
    TransportConfig::new().with_system_roots(false)
}

fn http2() -> TransportConfig {
    config().with_version(HttpVersion::Http2)
}

/// A server that answers every request with these bytes. It counts its connections, and keeps them open.
async fn answering(answer: impl Into<Vec<u8>>) -> (RawServer, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, answer) = (Arc::clone(&connections), Arc::new(answer.into()));
    let server = RawServer::start(move |mut stream| {
        count.fetch_add(1, Ordering::SeqCst);
        let answer = Arc::clone(&answer);
        async move { while !read_head(&mut stream).await.is_empty() && stream.write_all(&answer).await.is_ok() {} }
    })
    .await;
    (server, connections)
}

fn chunked(trailers: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n{trailers}\r\n")
}

/// The body of a GET, and the trailers after it.
async fn body_and_trailers(client: &dyn HttpClient, url: &str) -> (String, Option<HeaderMap>) {
    let response = client.get(url).await.unwrap();
    let trailers = response.trailers.clone();
    let body = response.text().await.unwrap();
    (body, trailers.get().cloned())
}

async fn trailers_of_a_chunked_body_are_known_at_its_end(make: Make) {
    let (server, connections) = answering(chunked("X-Sum: 1\r\nx-sum: 2\r\nx-folded:  3 \r\n")).await;
    let client = make(config());
    let url = server.url("/");
    for _ in 0..3 {
        let (body, trailers) = body_and_trailers(&*client, &url).await;
        let trailers = trailers.unwrap();
        assert_eq!(body, "body");
        assert_eq!(trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(trailers["x-folded"], "3");
    }
    let response = client.get(&url).await.unwrap().buffered().await.unwrap();
    assert!(!response.headers.contains_key("x-sum"));
    assert_eq!(response.trailers.get().unwrap()["x-sum"], "1");
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the connection is used again");

    let (server, _) = answering(chunked("")).await;
    let without = body_and_trailers(&*client, &server.url("/")).await;
    assert_eq!(without, ("body".to_owned(), None));
}

async fn trailers_of_http2_are_known_at_the_end_of_the_body(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        while let Some(stream) = connection.request().await {
            connection
                .head(stream, false, &[(":status", "200"), ("x-head", "1")])
                .await;
            connection.data(stream, false, b"bo").await;
            connection.data(stream, false, b"dy").await;
            connection
                .head(stream, true, &[("grpc-status", "0"), ("x-a", "1"), ("x-a", "2")])
                .await;
        }
    })
    .await;
    let client = make(http2());
    for _ in 0..3 {
        let (body, trailers) = body_and_trailers(&*client, &server.url("/")).await;
        let trailers = trailers.unwrap();
        assert_eq!(body, "body");
        assert_eq!(trailers["grpc-status"], "0");
        assert_eq!(trailers.get_all("x-a").iter().count(), 2);
        assert!(!trailers.contains_key("x-head"));
    }
    assert_eq!(server.connections(), 1);
}

/// gRPC: an error without a message.
async fn trailers_without_a_body_are_known(make: Make) {
    const HEADS: [&[(&str, &str)]; 2] = [&[(":status", "200")], &[(":status", "200"), ("content-length", "0")]];
    for head in HEADS {
        let server = FrameServer::start(&[], move |mut connection| async move {
            while let Some(stream) = connection.request().await {
                connection.head(stream, false, head).await;
                connection.head(stream, true, &[("grpc-status", "5")]).await;
            }
        })
        .await;
        let (body, trailers) = body_and_trailers(&*make(http2()), &server.url("/")).await;
        assert_eq!(body, "");
        assert_eq!(trailers.unwrap()["grpc-status"], "5", "{head:?}");
    }
    let (server, _) = answering("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-sum: 0\r\n\r\n").await;
    let (body, trailers) = body_and_trailers(&*make(config()), &server.url("/")).await;
    assert_eq!(body, "");
    assert_eq!(trailers.unwrap()["x-sum"], "0");
}

/// gRPC calls this "Trailers-Only": the one `HEADERS` frame is the head.
async fn a_head_that_ends_the_stream_has_no_trailers(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        while let Some(stream) = connection.request().await {
            let fields = [
                (":status", "200"),
                ("content-type", "application/grpc"),
                ("grpc-status", "12"),
            ];
            connection.head(stream, true, &fields).await;
        }
    })
    .await;
    let response = make(http2())
        .get(server.url("/"))
        .await
        .unwrap()
        .buffered()
        .await
        .unwrap();
    assert_eq!(response.headers["grpc-status"], "12");
    assert!(response.trailers.get().is_none());
}

const FORBIDDEN: [(&str, &str); 8] = [
    ("content-length", "99"),
    ("host", "evil.test"),
    ("set-cookie", "a=b"),
    ("authorization", "Basic eDp5"),
    ("www-authenticate", "Basic"),
    ("content-encoding", "gzip"),
    ("location", "http://evil.test/"),
    ("cache-control", "max-age=99"),
];

async fn fields_that_trailers_may_not_have_are_dropped(make: Make) {
    let lines = FORBIDDEN.map(|(name, value)| format!("{name}: {value}\r\n")).concat();
    let (server, _) = answering(chunked(&format!("{lines}transfer-encoding: gzip\r\nx-sum: 1\r\n"))).await;
    let server2 = FrameServer::start(&[], |mut connection| async move {
        while let Some(stream) = connection.request().await {
            connection.head(stream, false, &[(":status", "200")]).await;
            connection.data(stream, false, b"body").await;
            connection
                .head(stream, true, &[&FORBIDDEN[..], &[("x-sum", "1")]].concat())
                .await;
        }
    })
    .await;
    for (url, config) in [(server.url("/"), config()), (server2.url("/"), http2())] {
        let client = HttpClientBuilder::over(make(config)).build().unwrap();
        let response = client.get(&url).await.unwrap().buffered().await.unwrap();
        let names: Vec<_> = response.trailers.get().unwrap().keys().cloned().collect();
        assert_eq!(names, ["x-sum"]);
        for (name, _) in FORBIDDEN {
            assert!(!response.headers.contains_key(name), "{name}");
        }
    }
}

async fn trailers_above_the_limit_are_an_error(make: Make) {
    let large = format!("x-large: {}\r\n", "v".repeat(200_000));
    let many: Vec<String> = (0..5_000).map(|number| format!("x-{number}: v\r\n")).collect();
    for trailers in [large, many.concat()] {
        let (server, _) = answering(chunked(&trailers)).await;
        let response = make(config().with_max_response_head(64 << 10))
            .get(server.url("/"))
            .await
            .unwrap();
        let trailers = response.trailers.clone();
        let error = response.bytes().await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::TooLarge | ErrorKind::Protocol),
            "{error:?}"
        );
        assert!(trailers.get().is_none());
    }
    let server = FrameServer::start(&[], |mut connection| async move {
        while let Some(stream) = connection.request().await {
            connection.head(stream, false, &[(":status", "200")]).await;
            connection.data(stream, false, b"body").await;
            connection
                .head(stream, true, &[("x-large", &*"v".repeat(10_000))])
                .await;
        }
    })
    .await;
    let client = make(http2().with_max_response_head(8 << 10));
    let response = client.get(server.url("/")).await.unwrap();
    let trailers = response.trailers.clone();
    let error = response.bytes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert!(trailers.get().is_none());
}

async fn trailers_that_do_not_arrive_are_an_error(make: Make) {
    for rest in ["0\r\n", "0\r\nx-sum: 1\r\n", "0\r\nx-su"] {
        let server = RawServer::start(move |mut stream| async move {
            read_head(&mut stream).await;
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n";
            let _ = stream.write_all(format!("{head}{rest}").as_bytes()).await;
        })
        .await;
        let response = make(config()).get(server.url("/")).await.unwrap();
        let trailers = response.trailers.clone();
        let error = response.bytes().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TruncatedBody, "{rest:?}: {error:?}");
        assert!(trailers.get().is_none());
    }
}

async fn a_body_that_was_not_read_has_no_trailers(make: Make) {
    let (server, _) = answering(chunked("x-sum: 1\r\n")).await;
    let client = make(config());
    let response = client.get(server.url("/")).await.unwrap();
    let trailers = response.trailers.clone();
    assert!(trailers.get().is_none());
    drop(response);
    assert!(trailers.get().is_none());
}

/// `hello, hello, hello, hello` in gzip.
const GZIPPED: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0xc0,
    0xa4, 0x00, 0x55, 0xa3, 0x82, 0x77, 0x1a, 0x00, 0x00, 0x00,
];

/// Decompression, the cache, metrics and so on. A stored response has no trailers (RFC 9111, section 3.1).
async fn wrappers_keep_trailers(make: Make) {
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncache-control: max-age=60\r\n".to_vec();
    answer.extend(format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", GZIPPED.len()).as_bytes());
    answer.extend(GZIPPED);
    answer.extend(b"\r\n0\r\nx-sum: 1\r\n\r\n");
    let (server, _) = answering(answer).await;
    let client = HttpClientBuilder::over(make(config()))
        .cache(HttpCache::new(MemoryCacheStore::default()))
        .build()
        .unwrap();
    for (status, sum) in [(CacheStatus::Miss, Some("1")), (CacheStatus::Hit, None)] {
        let response = client.get(server.url("/")).await.unwrap();
        assert_eq!(response.extensions.get(), Some(&status));
        let response = response.buffered().await.unwrap();
        let trailers = response.trailers.get();
        assert_eq!(trailers.map(|trailers| trailers["x-sum"].to_str().unwrap()), sum);
        assert_eq!(response.text().unwrap(), "hello, hello, hello, hello");
    }
}

/// RFC 9110, section 10.1.4.
async fn whoever_asks_for_trailers_also_names_the_field_to_the_connection(make: Make) {
    let (seen, mut heads) = mpsc::unbounded_channel();
    let server = RawServer::answering("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", seen).await;
    let client = make(config());
    for (connection, expected) in [(None, "te"), (Some("x-a"), "x-a, te"), (Some("TE"), "TE")] {
        let mut request = client.get(server.url("/")).header("te", "trailers").header("x-a", "1");
        if let Some(connection) = connection {
            request = request.header("connection", connection);
        }
        request.await.unwrap();
        let head = heads.recv().await.unwrap();
        let options: Vec<_> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
            .map(|(_, value)| value)
            .collect();
        assert_eq!(options.join(", "), expected, "{head}");
        assert!(head.contains("te: trailers\r\n"), "{head}");
    }
}
