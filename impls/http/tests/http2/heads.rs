//! Response heads, and what a request's head becomes.

use std::time::Duration;

use bytes::Bytes;
use networking_spi::http::{HttpClientExt, HttpRequest, Method};
use networking_spi::{ErrorKind, Retryability};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::frames::{CONTINUATION, END_HEADERS, END_STREAM, FrameServer, HEADERS, code, encode};
use super::{config, error_of};
use crate::raw::RawServer;
use crate::transports::{Make, over_both, over_hyper};

over_both!(
    a_malformed_head_is_not_retried,
    a_broken_compression_is_not_retried,
    an_answer_in_http1_is_not_retried,
    a_reset_without_a_response_may_have_been_processed,
    a_large_head_is_taken,
);
over_hyper!(
    a_head_above_the_limit_fails_alone,
    an_answer_in_http1_before_a_reset_is_not_retried,
    the_host_of_the_caller_becomes_the_authority
);

async fn assert_protocol(make: Make, server: &FrameServer) {
    let error = error_of(&*make(config()), HttpRequest::new(Method::GET, server.url("/"))).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert_eq!(error.retryability(), Retryability::Never, "{error:?}");
}

async fn a_malformed_head_is_not_retried(make: Make) {
    for fields in [
        &[("content-type", "text/plain")][..],
        &[(":status", "200"), (":status", "200")],
        &[(":status", "two hundred")],
        &[(":status", "200"), ("Upper-Case", "1")],
        &[(":status", "200"), ("connection", "close")],
    ] {
        let fields = fields.to_vec();
        let server = FrameServer::start(&[], move |mut connection| {
            let fields = fields.clone();
            async move {
                while let Some(stream) = connection.request().await {
                    connection.head(stream, true, &fields).await;
                }
            }
        })
        .await;
        assert_protocol(make, &server).await;
    }
}

async fn a_broken_compression_is_not_retried(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        if let Some(stream) = connection.request().await {
            // An index beyond the end of both tables (RFC 7541, section 2.3.3).
            let block = [0xff, 0xff, 0xff, 0xff, 0x07];
            connection.send(HEADERS, END_HEADERS | END_STREAM, stream, &block).await;
            connection.drain().await;
        }
    })
    .await;
    assert_protocol(make, &server).await;
}

async fn an_answer_in_http1_is_not_retried(make: Make) {
    let server = RawServer::start(|mut stream| async move {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let _ = stream.write_all(answer).await;
        let mut rest = [0; 1_024];
        while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
    })
    .await;
    let error = error_of(&*make(config()), HttpRequest::new(Method::GET, server.url("/"))).await;
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert_eq!(error.retryability(), Retryability::Never, "{error:?}");
}

/// The unread request turns the close into a reset.
async fn an_answer_in_http1_before_a_reset_is_not_retried(make: Make) {
    for _ in 0..20 {
        let server = RawServer::start(|mut stream| async move {
            let mut preface = [0; 24];
            stream.read_exact(&mut preface).await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        })
        .await;
        let request = HttpRequest::new(Method::POST, server.url("/")).with_body(vec![b'x'; 200_000]);
        let error = error_of(&*make(config()), request).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
        assert_eq!(error.retryability(), Retryability::Never, "{error:?}");
    }
}

async fn a_reset_without_a_response_may_have_been_processed(make: Make) {
    for (reason, kind, retry) in [
        (code::NO_ERROR, ErrorKind::ConnectionClosed, Retryability::Now),
        (code::INTERNAL_ERROR, ErrorKind::ConnectionClosed, Retryability::Now),
        (code::CANCEL, ErrorKind::ConnectionClosed, Retryability::Now),
        (code::ENHANCE_YOUR_CALM, ErrorKind::ConnectionClosed, Retryability::Now),
        (code::PROTOCOL_ERROR, ErrorKind::Protocol, Retryability::Never),
    ] {
        let server = FrameServer::start(&[], move |mut connection| async move {
            while let Some(stream) = connection.request().await {
                connection.reset(stream, reason).await;
            }
        })
        .await;
        let request = HttpRequest::new(Method::POST, server.url("/")).with_body("once");
        let error = error_of(&*make(config()), request).await;
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(error.retryability(), retry, "{error:?}");
        assert_eq!(error.send_state(), networking_spi::SendState::MaybeSent, "{error:?}");
        assert!(error.get("http2_error").is_some(), "{error:?}");
        assert_eq!(server.connections(), 1);
    }
}

/// 17 fields of 1,000 bytes are above 16 KiB, the default limit of hyper.
async fn a_large_head_is_taken(make: Make) {
    for count in [17, 200] {
        let server = FrameServer::start(&[], move |mut connection| async move {
            while let Some(stream) = connection.request().await {
                large_head(&mut connection, stream, count).await;
                connection.data(stream, true, b"body").await;
            }
        })
        .await;
        let response = make(config()).get(server.url("/")).await.unwrap();
        assert_eq!(response.headers.len(), count);
        assert_eq!(response.text().await.unwrap(), "body");
    }
}

/// A response head with `count` fields of 1,000 bytes, in as many frames as it needs.
async fn large_head(connection: &mut super::frames::Connection, stream: u32, count: usize) {
    let value = "v".repeat(1_000);
    let names: Vec<String> = (0..count).map(|number| format!("x-{number}")).collect();
    let mut fields = vec![(":status", "200")];
    fields.extend(names.iter().map(|name| (name.as_str(), value.as_str())));
    let block = encode(&fields);
    let pieces: Vec<&[u8]> = block.chunks(16_384).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let flags = if number + 1 == pieces.len() { END_HEADERS } else { 0 };
        connection.send(kind, flags, stream, piece).await;
    }
}

/// The head of one response is too large: the other stream of the connection goes on.
async fn a_head_above_the_limit_fails_alone(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        let mut first = None;
        while let Some(stream) = connection.request().await {
            match first {
                None => {
                    connection.head(stream, false, &[(":status", "200")]).await;
                    first = Some(stream);
                }
                Some(first) => {
                    large_head(&mut connection, stream, 300).await;
                    connection.data(stream, true, b"").await;
                    connection.data(first, true, b"body").await;
                }
            }
        }
    })
    .await;
    let client = make(config());
    let first = client.get(server.url("/first")).await.unwrap();
    let error = error_of(&*client, HttpRequest::new(Method::GET, server.url("/second"))).await;
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error:?}");
    assert_eq!(error.retryability(), Retryability::Never, "{error:?}");
    assert_eq!(first.text().await.unwrap(), "body");
    assert_eq!(server.connections(), 1);
}

async fn the_host_of_the_caller_becomes_the_authority(make: Make) {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let server = RawServer::start(move |stream| {
        let seen = seen.clone();
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let authority = request.uri().authority().map(ToString::to_string);
                let _ = seen.send((authority, request.headers().get("host").cloned()));
                let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                body.send_data(Bytes::new(), true).unwrap();
            }
        }
    })
    .await;
    let client = make(config());
    let limit = Duration::from_secs(60);
    let request = client.get(server.url("/")).header("host", "virtual.example:8080");
    tokio::time::timeout(limit, async { request.await })
        .await
        .unwrap()
        .unwrap();
    let (authority, host) = requests.recv().await.unwrap();
    assert_eq!(authority.as_deref(), Some("virtual.example:8080"));
    assert_eq!(host, None, "the authority is not sent twice");

    client.get(server.url("/")).await.unwrap();
    let (authority, _) = requests.recv().await.unwrap();
    assert_eq!(authority, Some(server.address.to_string()));
}
