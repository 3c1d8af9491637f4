//! Requests that the peer did not process (RFC 9113, sections 6.8 and 8.7) are sent again by the transport, whatever the method.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use networking_http::HttpVersion;
use networking_spi::http::{HttpBody, HttpClient, HttpClientExt, HttpRequest, Method, Version};
use networking_spi::{ErrorKind, Retryability, SendState};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::frames::{Connection, DATA, END_STREAM, FrameServer, HEADERS, code};
use super::{config, error_of};
use crate::raw::{RawServer, read_head_of};
use crate::transports::{HYPER, Make, over_both, over_hyper};

over_both!(
    a_refused_request_is_sent_again,
    a_request_above_the_last_stream_of_a_goaway_is_sent_again,
    a_request_that_is_always_refused_was_not_sent,
);
over_hyper!(
    the_reason_of_a_goaway_does_not_matter,
    a_stream_that_was_not_read_is_sent_again,
    a_stream_that_was_read_is_not_sent_again,
    recycled_connections_lose_nothing,
    connections_that_end_at_once_are_replaced,
    a_peer_that_requires_http1_gets_it,
    http1_is_not_used_if_only_http2_is_allowed,
);

fn post(url: String) -> HttpRequest {
    HttpRequest::new(Method::POST, url).with_body("once")
}

async fn a_refused_request_is_sent_again(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        if connection.number == 0 {
            let stream = connection.request().await.unwrap();
            connection.reset(stream, code::REFUSED_STREAM).await;
        }
        connection.serve(b"done").await;
    })
    .await;
    let response = make(config()).request(post(server.url("/"))).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "done");
}

async fn a_request_above_the_last_stream_of_a_goaway_is_sent_again(make: Make) {
    assert_sent_again_after_goaway(make, code::NO_ERROR).await;
}

async fn the_reason_of_a_goaway_does_not_matter(make: Make) {
    assert_sent_again_after_goaway(make, code::ENHANCE_YOUR_CALM).await;
}

async fn assert_sent_again_after_goaway(make: Make, reason: u32) {
    let server = FrameServer::start(&[], move |mut connection| async move {
        if connection.number == 0 {
            connection.request().await.unwrap();
            connection.go_away(0, reason).await;
            return connection.drain().await;
        }
        connection.serve(b"done").await;
    })
    .await;
    let response = make(config()).request(post(server.url("/"))).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "done");
    assert_eq!(server.connections(), 2);
}

/// The number of attempts is limited, and the error says that nothing was processed.
async fn a_request_that_is_always_refused_was_not_sent(make: Make) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = FrameServer::start(&[], move |mut connection| {
        let count = Arc::clone(&count);
        async move {
            while let Some(stream) = connection.request().await {
                count.fetch_add(1, Ordering::SeqCst);
                connection.reset(stream, code::REFUSED_STREAM).await;
            }
        }
    })
    .await;
    let error = error_of(&*make(config()), post(server.url("/"))).await;
    assert_eq!(error.kind(), ErrorKind::ConnectionClosed, "{error:?}");
    assert_eq!(error.send_state(), SendState::NotSent, "{error:?}");
    assert_eq!(error.retryability(), Retryability::Now, "{error:?}");
    assert_eq!(error.get("http2_error"), Some("REFUSED_STREAM"), "{error:?}");
    let sent = requests.load(Ordering::SeqCst);
    assert!((2..=21).contains(&sent), "sent {sent} times");
}

/// A server that refuses the first request of its first connection at once, and reads the others.
async fn refusing(wait_for_body: bool) -> FrameServer {
    FrameServer::start(&[], move |mut connection| async move {
        if connection.number == 0 {
            let stream = if wait_for_body {
                connection.request().await.unwrap()
            } else {
                connection.frame().await.unwrap().stream
            };
            connection.reset(stream, code::REFUSED_STREAM).await;
        }
        connection.serve(b"done").await;
    })
    .await
}

/// A body that can be read once, and has not been asked for its first byte, is still whole.
async fn a_stream_that_was_not_read_is_sent_again(make: Make) {
    let server = refusing(false).await;
    let (ready, go) = tokio::sync::oneshot::channel::<()>();
    let chunks = stream::once(async move {
        go.await.unwrap();
        Ok("once".into())
    });
    let client = make(config());
    let request = HttpRequest::new(Method::POST, server.url("/")).with_body(HttpBody::stream(chunks.boxed(), None));
    let sending = tokio::spawn(async move { client.request(request).await });
    while server.connections() < 2 && !sending.is_finished() {
        tokio::task::yield_now().await;
    }
    ready.send(()).unwrap();
    match sending.await.unwrap() {
        Ok(response) => assert_eq!(response.text().await.unwrap(), "done"),
        Err(error) => assert_eq!(error.send_state(), SendState::NotSent, "{error:?}"),
    }
}

async fn a_stream_that_was_read_is_not_sent_again(make: Make) {
    let server = refusing(true).await;
    let chunks = stream::iter([Ok("on".into()), Ok("ce".into())]);
    let request = HttpRequest::new(Method::POST, server.url("/")).with_body(HttpBody::stream(chunks.boxed(), None));
    let error = error_of(&*make(config()), request).await;
    assert_eq!(error.send_state(), SendState::NotSent, "{error:?}");
    assert_eq!(error.kind(), ErrorKind::ConnectionClosed, "{error:?}");
}

/// What nginx does after `keepalive_requests`: it announces the end of the connection while further requests are on their way.
async fn recycled_connections_lose_nothing(make: Make) {
    assert_recycled_connections_lose_nothing(&make(config()), 200).await;
}

/// The task of a connection ends on one thread while another thread sends. A lost request reaches the read timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_end_on_another_thread_lose_nothing() {
    let client = HYPER(config().with_read_timeout(Duration::from_secs(20)));
    assert_recycled_connections_lose_nothing(&client, 5_000).await;
}

async fn assert_recycled_connections_lose_nothing(client: &Arc<dyn HttpClient>, requests: usize) {
    const PER_CONNECTION: usize = 10;
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    let server = FrameServer::start(&[], move |mut connection| {
        let count = Arc::clone(&count);
        async move {
            let (mut opened, mut left, mut last) = (0, PER_CONNECTION, 0);
            while left > 0 {
                let Some(frame) = connection.frame().await else {
                    return;
                };
                if frame.kind == HEADERS && opened < PER_CONNECTION {
                    (opened, last) = (opened + 1, frame.stream);
                    if opened == PER_CONNECTION {
                        connection.go_away(last, code::NO_ERROR).await;
                    }
                }
                if matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0 && frame.stream <= last {
                    left -= 1;
                    count.fetch_add(1, Ordering::SeqCst);
                    connection.head(frame.stream, false, &[(":status", "200")]).await;
                    connection.data(frame.stream, true, b"done").await;
                }
            }
            connection.drain().await;
        }
    })
    .await;
    let bodies: Vec<_> = stream::iter(0..requests)
        .map(|_| {
            let (client, url) = (Arc::clone(client), server.url("/"));
            async move { client.request(post(url)).await.unwrap().text().await.unwrap() }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    assert!(bodies.iter().all(|body| body == "done"));
    assert_eq!(
        answered.load(Ordering::SeqCst),
        requests,
        "no request was processed twice"
    );
    let _ = client.get(server.url("/")).await;
}

/// What an old worker of nginx does during a reload: it accepts a connection, and ends it before the first request.
async fn connections_that_end_at_once_are_replaced(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        if connection.number < 5 {
            return connection.go_away(0, code::NO_ERROR).await;
        }
        connection.serve(b"done").await;
    })
    .await;
    let response = make(config()).request(post(server.url("/"))).await.unwrap();
    assert_eq!(response.text().await.unwrap(), "done");
}

/// A server over TLS that offers both protocols, and resets every stream of HTTP/2.
async fn requiring_http1() -> (RawServer, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = RawServer::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let mut connection = Connection::open(stream, 0, &[]).await.unwrap();
                while let Some(stream) = connection.request().await {
                    connection.reset(stream, code::HTTP_1_1_REQUIRED).await;
                }
            } else {
                while !read_head_of(&mut stream).await.is_empty() {
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
                    stream.write_all(answer).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        }
    })
    .await;
    (server, certified.cert.pem())
}

async fn a_peer_that_requires_http1_gets_it(make: Make) {
    let (server, root) = requiring_http1().await;
    let client = make(
        config()
            .with_version(HttpVersion::Negotiated)
            .with_root_certificate(root),
    );
    let url = format!("https://localhost:{}/", server.address.port());
    for _ in 0..3 {
        let response = client.request(HttpRequest::new(Method::DELETE, &*url)).await.unwrap();
        assert_eq!(response.version, Version::HTTP_11);
        assert_eq!(response.text().await.unwrap(), "done");
    }
}

async fn http1_is_not_used_if_only_http2_is_allowed(make: Make) {
    let (server, root) = requiring_http1().await;
    let client = make(config().with_root_certificate(root));
    let url = format!("https://localhost:{}/", server.address.port());
    let error = error_of(&*client, HttpRequest::new(Method::DELETE, url)).await;
    assert_eq!(error.retryability(), Retryability::Never, "{error:?}");
    assert_eq!(error.get("http2_error"), Some("HTTP_1_1_REQUIRED"), "{error:?}");
}
