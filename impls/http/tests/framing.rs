//! Where responses of HTTP/1.1 end (RFC 9112, section 6), over each transport, against servers that write bytes by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use networking_http::{HttpVersion, TransportConfig};
use networking_spi::http::{HttpClientExt, HttpRequest, Method};
use networking_spi::{ErrorKind, NetworkError, Retryability, SendState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http2::frames::FrameServer;
use crate::raw::{RawServer, read_head};
use crate::transports::{Make, over_both, over_hyper};

over_both!(
    bytes_after_a_response_are_not_the_next_response,
    equal_lengths_are_one_length,
    a_length_that_is_no_number_is_an_error,
    codings_that_were_not_asked_for_are_an_error,
    a_body_without_a_coding_lasts_until_the_end_of_the_connection,
    a_response_to_head_has_no_framing,
    lengths_of_http2_are_one_number,
);
over_hyper!(
    a_length_beside_a_coding_is_ignored_and_ends_the_connection,
    a_204_that_announces_a_body_ends_the_connection,
);

mod reqwest_alone {
    #[tokio::test]
    async fn a_length_beside_a_coding_is_an_error() {
        super::a_length_beside_a_coding_is_an_error(crate::transports::REQWEST).await;
    }
}

fn config() -> TransportConfig {
    TransportConfig::new().with_system_roots(false)
}

/// What an attacker wants to be taken as the next response.
const SMUGGLED: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";

/// A server that answers the first request with `first`, and every other one with `good`. It keeps its connections open.
struct Server {
    raw: RawServer,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn answering(first: impl Into<Vec<u8>>) -> Self {
        let connections = Arc::new(AtomicUsize::new(0));
        let (count, first) = (Arc::clone(&connections), Arc::new(first.into()));
        let raw = RawServer::start(move |mut stream| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let first = Arc::clone(&first);
            async move {
                let mut answer = if number == 0 { &first[..] } else { GOOD };
                while !read_head(&mut stream).await.is_empty() && stream.write_all(answer).await.is_ok() {
                    answer = GOOD;
                }
            }
        })
        .await;
        Self { raw, connections }
    }

    fn url(&self) -> String {
        self.raw.url("/")
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const GOOD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood";

async fn bytes_after_a_response_are_not_the_next_response(make: Make) {
    let answers = [
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ncontent-length: 100\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (Method::GET, "HTTP/1.1 204 No Content\r\ncontent-length: 44\r\n\r\n"),
        (
            Method::GET,
            "HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n",
        ),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\ncontent-length: 44\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ncontent-length: 44\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        (
            Method::GET,
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\nbody",
        ),
        (Method::GET, "HTTP/1.1 200 OK\r\ncontent-length: 4, 99\r\n\r\nbody"),
        (
            Method::GET,
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 4\r\n\r\nbody",
        ),
        (
            Method::GET,
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ),
    ];
    for (method, answer) in answers {
        for round in 0..5 {
            let server = Server::answering(format!("{answer}{SMUGGLED}")).await;
            let client = make(config());
            // The first response may be refused.
            if let Ok(response) = client.request(HttpRequest::new(method.clone(), server.url())).await {
                let _ = response.bytes().await;
            }
            let second = client.get(server.url()).await.unwrap().text().await.unwrap();
            assert_eq!(second, "good", "round {round}, after {method} {answer}");
        }
    }
}

async fn error_of(make: Make, answer: String) -> NetworkError {
    let server = Server::answering(answer.clone()).await;
    match make(config()).get(server.url()).await {
        Err(error) => error,
        Ok(response) => panic!("{answer} is {:?}", response.bytes().await),
    }
}

async fn equal_lengths_are_one_length(make: Make) {
    for fields in [
        "content-length: 4, 4",
        "content-length: 4\r\ncontent-length: 4",
        "content-length: 4,4 , 4",
        "content-length:4  ",
        "content-length: 004",
    ] {
        let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nbody")).await;
        let client = make(config());
        for expected in ["body", "good"] {
            let response = client.get(server.url()).await.unwrap();
            let length = response.headers["content-length"].to_str().unwrap().to_owned();
            assert_eq!(length.trim_start_matches('0'), "4", "{fields}");
            assert_eq!(response.headers.get_all("content-length").iter().count(), 1, "{fields}");
            assert_eq!(response.text().await.unwrap(), expected, "{fields}");
        }
        assert_eq!(server.connections(), 1, "{fields}");
    }
}

async fn a_length_that_is_no_number_is_an_error(make: Make) {
    for fields in [
        "content-length: 4, 5",
        "content-length: 4\r\ncontent-length: 5",
        "content-length: +4",
        "content-length: -4",
        "content-length: 4 4",
        "content-length: 0x4",
        "content-length: 4.0",
        "content-length: 4,",
        "content-length:",
        "content-length: four",
        "content-length: \u{664}",
        "content-length: 18446744073709551616",
    ] {
        let error = error_of(make, format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\nbody")).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{fields}: {error:?}");
        assert_eq!(error.retryability(), Retryability::Never, "{fields}: {error:?}");
        assert_ne!(error.send_state(), SendState::NotSent, "{fields}: {error:?}");
    }
}

async fn codings_that_were_not_asked_for_are_an_error(make: Make) {
    for head in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, identity",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: identity",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked",
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: gzip, chunked",
        // RFC 9112, section 6.1: HTTP/1.0 has no transfer codings.
        "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked",
        "HTTP/1.0 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked",
    ] {
        let error = error_of(make, format!("{head}\r\n\r\n4\r\nbody\r\n0\r\n\r\n")).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{head}: {error:?}");
        assert_eq!(error.retryability(), Retryability::Never, "{head}: {error:?}");
    }
}

async fn a_body_without_a_coding_lasts_until_the_end_of_the_connection(make: Make) {
    for fields in ["transfer-encoding: identity\r\n", ""] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\nbody{SMUGGLED}");
        let server = RawServer::start(move |mut stream| {
            let answer = answer.clone();
            async move {
                read_head(&mut stream).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
                let _ = stream.read(&mut [0; 64]).await;
            }
        })
        .await;
        let client = make(config());
        for _ in 0..2 {
            let body = client.get(server.url("/")).await.unwrap().text().await.unwrap();
            assert_eq!(body, format!("body{SMUGGLED}"), "{fields}");
        }
    }
}

async fn a_response_to_head_has_no_framing(make: Make) {
    for fields in [
        "content-length: 99",
        "content-length: 4, 5",
        "transfer-encoding: gzip, chunked",
        "content-length: 99\r\netag: \"a\"",
    ] {
        let server = Server::answering(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n")).await;
        let client = make(config());
        let response = client.head(server.url()).await.unwrap();
        assert_eq!(response.bytes().await.unwrap(), "", "{fields}");
        let next = client.get(server.url()).await.unwrap().text().await.unwrap();
        assert_eq!(next, "good", "{fields}");
    }
}

const AMBIGUOUS: &str =
    "HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";

async fn a_length_beside_a_coding_is_ignored_and_ends_the_connection(make: Make) {
    let server = Server::answering(AMBIGUOUS).await;
    let client = make(config());
    let response = client.get(server.url()).await.unwrap();
    assert!(!response.headers.contains_key("content-length"));
    assert_eq!(response.text().await.unwrap(), "body");
    assert_eq!(client.get(server.url()).await.unwrap().text().await.unwrap(), "good");
    assert_eq!(server.connections(), 2);

    // Nor is a connection used again whose response was not read.
    let server = Server::answering(AMBIGUOUS).await;
    drop(client.get(server.url()).await.unwrap());
    assert_eq!(client.get(server.url()).await.unwrap().text().await.unwrap(), "good");
    assert_eq!(server.connections(), 2);
}

async fn a_204_that_announces_a_body_ends_the_connection(make: Make) {
    for (fields, connections) in [
        ("content-length: 4", 2),
        ("transfer-encoding: chunked", 2),
        ("content-length: 0", 1),
    ] {
        let server = Server::answering(format!("HTTP/1.1 204 No Content\r\n{fields}\r\n\r\n")).await;
        let client = make(config());
        assert_eq!(client.get(server.url()).await.unwrap().status, 204);
        assert_eq!(client.get(server.url()).await.unwrap().text().await.unwrap(), "good");
        assert_eq!(server.connections(), connections, "{fields}");
    }
}

async fn a_length_beside_a_coding_is_an_error(make: Make) {
    let error = error_of(make, AMBIGUOUS.to_owned()).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert_eq!(error.get("reason"), Some("ambiguous_framing"), "{error:?}");
}

/// RFC 9113, section 8.1.1.
async fn lengths_of_http2_are_one_number(make: Make) {
    for (lengths, is_valid) in [
        (&["4"][..], true),
        (&["4", "4"], true),
        (&["4", "5"], false),
        (&["5", "4"], false),
        (&["+4"], false),
        (&["four"], false),
    ] {
        let server = FrameServer::start(&[], move |mut connection| async move {
            while let Some(stream) = connection.request().await {
                let mut fields = vec![(":status", "200")];
                fields.extend(lengths.iter().map(|length| ("content-length", *length)));
                connection.head(stream, false, &fields).await;
                connection.data(stream, true, b"body").await;
            }
        })
        .await;
        let client = make(config().with_version(HttpVersion::Http2));
        let body = match client.get(server.url("/")).await {
            Ok(response) => response.text().await,
            Err(error) => Err(error),
        };
        match body {
            Ok(body) => assert!(is_valid && body == "body", "{lengths:?}"),
            Err(error) => {
                assert!(!is_valid, "{lengths:?}: {error:?}");
                assert_eq!(error.retryability(), Retryability::Never, "{lengths:?}: {error:?}");
            }
        }
    }
}
