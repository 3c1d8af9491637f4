//! Streamed, truncated and encoded bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use networking_spi::ErrorKind;
use networking_spi::http::{HeaderValue, HttpBody, HttpClientExt, HttpResponse, StatusCode};
use tokio::sync::{Notify, mpsc, watch};

use super::H;
use crate::http::harness::set_up;
use crate::http::server::Server;
use crate::kit::CaseResult;
use crate::{Failure, check, check_eq, check_error};

/// A body that yields `first` immediately, and `second` when `gate` is notified.
pub(super) fn gated(first: &'static str, second: &'static str, gate: Arc<Notify>) -> HttpBody {
    let start = stream::iter([Ok(Bytes::from_static(first.as_bytes()))]);
    let rest = stream::once(async move {
        gate.notified().await;
        Ok(Bytes::from_static(second.as_bytes()))
    });
    HttpBody::stream(start.chain(rest).boxed(), None)
}

pub(in crate::http) async fn a_truncated_body_is_an_error(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let answers: [&'static [u8]; 2] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n0123456789",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n",
    ];
    for answer in answers {
        let server = Server::raw(move |mut connection, _| async move {
            connection.read_head().await?;
            connection.write(answer).await
        })
        .await?;
        let result = match setup.client.get(server.url("/")).await {
            Ok(response) => response.bytes().await,
            Err(error) => Err(error),
        };
        check_error!(result, ErrorKind::TruncatedBody, "a truncated body");
    }
    Ok(())
}

pub(in crate::http) async fn a_download_is_streamed(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let gate = Arc::new(Notify::new());
    let at_origin = Arc::clone(&gate);
    setup.origin.on("/slow", move |_| {
        let body = gated("first", "second", Arc::clone(&at_origin));
        async move { HttpResponse::new(StatusCode::OK).with_body(body) }
    });
    let url = setup.origin.url("/slow");
    let start = async {
        let mut chunks = setup.client.get(&url).await?.into_stream();
        let first = chunks.try_next().await?;
        Ok::<_, networking_spi::NetworkError>((first, chunks))
    };
    let (first, chunks) = tokio::time::timeout(Duration::from_secs(3), start)
        .await
        .map_err(|_| Failure::new("no chunk was returned before the body ended"))??;
    check_eq!(first, Some(Bytes::from_static(b"first")), "the first chunk");
    gate.notify_one();
    let rest: Vec<Bytes> = chunks.try_collect().await?;
    check_eq!(rest.concat(), b"second", "the rest");
    Ok(())
}

pub(in crate::http) async fn a_slow_reader_slows_the_peer_down(harness: H) -> CaseResult {
    const CHUNK: usize = 64 << 10;
    // More than socket buffers and flow-control windows hold, but less than the whole body.
    const BOUND: usize = 32 << 20;
    const BODY: usize = 48 << 20;
    let setup = set_up(&harness).await?;
    let (progress, mut written) = watch::channel(0);
    let server = Server::raw(move |mut connection, _| {
        let progress = progress.clone();
        async move {
            connection.read_head().await?;
            connection
                .write(format!("HTTP/1.1 200 OK\r\ncontent-length: {BODY}\r\n\r\n").as_bytes())
                .await?;
            let chunk = vec![b'x'; CHUNK];
            for _ in 0..BODY / CHUNK {
                connection.write(&chunk).await?;
                progress.send_modify(|written| *written += CHUNK);
            }
            Ok(())
        }
    })
    .await?;
    let response = setup.client.get(server.url("/")).await?;
    // The body is not read: the peer must stop writing.
    // It has stopped when nothing is written in many looks, 1.5 s together. A single one can come before the peer's turn on a busy
    // machine, and after a full window the kernel can take 200 ms to send more, then 400 ms, and so on.
    let mut looks = 0;
    while looks < 50 {
        match tokio::time::timeout(Duration::from_millis(30), written.changed()).await {
            Ok(_) => looks = 0,
            Err(_) => looks += 1,
        }
        check!(*written.borrow() < BOUND, "the peer was not slowed down");
    }
    let mut chunks = response.into_stream();
    check!(chunks.try_next().await?.is_some(), "the body has no chunks");
    Ok(())
}

pub(in crate::http) async fn an_upload_is_streamed(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let (seen, mut at_peer) = mpsc::channel(1);
    let server = Server::raw(move |mut connection, _| {
        let seen = seen.clone();
        async move {
            let mut received = connection.read_head().await?;
            while !contains(&received, b"first") {
                tokio::io::AsyncReadExt::read_buf(&mut connection.stream, &mut received).await?;
            }
            let _ = seen.send(()).await;
            while !contains(&received, b"second") {
                tokio::io::AsyncReadExt::read_buf(&mut connection.stream, &mut received).await?;
            }
            connection
                .write(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")
                .await
        }
    })
    .await?;
    let start = stream::iter([Ok(Bytes::from_static(b"first"))]);
    // The stream yields the second chunk only after the peer has received the first.
    let rest = stream::once(async move {
        at_peer.recv().await;
        Ok(Bytes::from_static(b"second"))
    });
    let url = server.url("/");
    let call = setup
        .client
        .post(&url)
        .body(HttpBody::stream(start.chain(rest).boxed(), None));
    let response = tokio::time::timeout(Duration::from_secs(10), async { call.await })
        .await
        .map_err(|_| Failure::new("no chunk was sent before the body ended"))??;
    check_eq!(response.status, 201, "status");
    Ok(())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

pub(in crate::http) async fn a_failing_upload_fails_the_call(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let chunks = [
        Ok(Bytes::from_static(b"start")),
        Err(networking_spi::NetworkError::new(
            ErrorKind::Rejected,
            "case.body",
            "the source failed",
        )),
    ];
    let body = HttpBody::stream(stream::iter(chunks).boxed(), None);
    let result = setup.client.post(setup.origin.url("/upload")).body(body).await;
    check_error!(result, ErrorKind::Rejected, "an upload whose stream fails");
    check_eq!(setup.origin.hits("/upload"), 0, "complete requests that arrived");
    Ok(())
}

/// `hello, hello, hello, hello` in gzip.
pub(super) const GZIPPED: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0xc0,
    0xa4, 0x00, 0x55, 0xa3, 0x82, 0x77, 0x1a, 0x00, 0x00, 0x00,
];

fn gzipped() -> HttpResponse {
    HttpResponse::new(StatusCode::OK)
        .with_body(GZIPPED)
        .with_header("content-encoding", "gzip")
        .expect("a header")
}

pub(in crate::http) async fn codings_are_decoded_where_declared(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.reply("/packed", vec![gzipped]);
    let response = setup.client.get(setup.origin.url("/packed")).await?;
    if harness.capabilities().decompression {
        let asked = setup.origin.requests("/packed")[0]
            .header("accept-encoding")
            .unwrap_or_default()
            .to_owned();
        check!(asked.contains("gzip"), "gzip is not in Accept-Encoding: {asked:?}");
        check!(
            !response.headers.contains_key("content-encoding"),
            "a decoded body still has its Content-Encoding"
        );
        check!(
            !response.headers.contains_key("content-length"),
            "a decoded body still has the Content-Length of the encoded one"
        );
        check_eq!(
            response.bytes().await?,
            "hello, hello, hello, hello",
            "the decoded body"
        );
    } else {
        check_eq!(
            response.headers.get("content-encoding").map(HeaderValue::as_bytes),
            Some(b"gzip".as_slice()),
            "Content-Encoding"
        );
        check_eq!(response.bytes().await?, GZIPPED, "the body without decoding");
    }
    Ok(())
}

pub(in crate::http) async fn a_corrupt_coding_is_a_decode_error(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.reply(
        "/corrupt",
        vec![|| {
            let mut bytes = GZIPPED.to_vec();
            bytes[14] ^= 0xff;
            HttpResponse::new(StatusCode::OK)
                .with_body(bytes)
                .with_header("content-encoding", "gzip")
                .expect("a header")
        }],
    );
    let result = match setup.client.get(setup.origin.url("/corrupt")).await {
        Ok(response) => response.bytes().await,
        Err(error) => Err(error),
    };
    check_error!(result, ErrorKind::Decode, "a corrupt body");
    Ok(())
}

pub(in crate::http) async fn a_source_is_opened_for_each_call(harness: H) -> CaseResult {
    #[derive(Debug)]
    struct Counted(AtomicUsize);
    impl networking_spi::http::BodySource for Counted {
        fn open(&self) -> networking_spi::http::ByteStream {
            self.0.fetch_add(1, Ordering::SeqCst);
            stream::iter([Ok(Bytes::from_static(b"from a source"))]).boxed()
        }

        fn length(&self) -> Option<u64> {
            Some(13)
        }
    }
    let setup = set_up(&harness).await?;
    let source = Arc::new(Counted(AtomicUsize::new(0)));
    for _ in 0..2 {
        let body = HttpBody::source(Arc::clone(&source) as _);
        setup
            .client
            .post(setup.origin.url("/source"))
            .body(body)
            .await?
            .bytes()
            .await?;
    }
    check_eq!(source.0.load(Ordering::SeqCst), 2, "how often the source was opened");
    check!(
        setup
            .origin
            .requests("/source")
            .iter()
            .all(|request| request.body == "from a source"),
        "a body did not arrive unchanged"
    );
    Ok(())
}
