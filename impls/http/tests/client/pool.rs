//! The connection pool of the transport over hyper: which connections are kept and closed, and its statistics.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http_body_util::{BodyExt, Collected, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use networking_http::{HttpVersion, HyperTransport, PoolStatsSource, TransportConfig};
use networking_spi::http::{ConnectionPoolStats, HttpBody, HttpClientExt, RequestOptions, Version};
use networking_spi::{ErrorKind, SendState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::raw::{RawServer, closed_port, read_head};

fn transport(config: TransportConfig) -> HyperTransport {
    HyperTransport::new(config).unwrap()
}

/// Waits until the statistics match, because background tasks close connections.
async fn eventually(client: &HyperTransport, is: impl Fn(&ConnectionPoolStats) -> bool) {
    let settled = async {
        while !is(&client.pool_stats()) {
            tokio::task::yield_now().await;
        }
    };
    // So that the test fails instead of hanging.
    let in_time = tokio::time::timeout(Duration::from_secs(60), settled).await;
    assert!(
        in_time.is_ok(),
        "the statistics do not match: {:?}",
        client.pool_stats()
    );
}

/// A server that keeps connections open and sends this response to each request.
async fn keeping_alive(answer: &'static str) -> RawServer {
    RawServer::start(move |mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    })
    .await
}

#[tokio::test]
async fn statistics_follow_the_lifetime_of_a_connection() {
    let gate = Arc::new(Notify::new());
    let at_server = Arc::clone(&gate);
    let server = RawServer::start(move |mut stream| {
        let gate = Arc::clone(&at_server);
        async move {
            for _ in 0..2 {
                read_head(&mut stream).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234";
                stream.write_all(head).await.unwrap();
                gate.notified().await;
                stream.write_all(b"56789").await.unwrap();
            }
            gate.notified().await;
        }
    })
    .await;
    let client = transport(TransportConfig::new().with_pool(7, Duration::from_secs(90)));
    let mut expected = ConnectionPoolStats::default();
    for figure in [
        &mut expected.opened,
        &mut expected.connecting,
        &mut expected.connect_failures,
        &mut expected.reused,
        &mut expected.in_flight,
        &mut expected.active,
        &mut expected.idle,
        &mut expected.closed,
    ] {
        *figure = Some(0);
    }
    expected.max_idle_per_host = Some(7);
    assert_eq!(client.pool_stats(), expected);

    for reused in 0..2 {
        let response = client.get(server.url("/")).await.unwrap();
        (expected.opened, expected.reused) = (Some(1), Some(reused));
        (expected.in_flight, expected.active, expected.idle) = (Some(1), Some(1), Some(0));
        assert_eq!(client.pool_stats(), expected, "before the end of the body");
        gate.notify_one();
        assert_eq!(response.bytes().await.unwrap(), "0123456789");
        (expected.in_flight, expected.active, expected.idle) = (Some(0), Some(0), Some(1));
        assert_eq!(client.pool_stats(), expected, "after the body");
    }
    gate.notify_one();
    eventually(&client, |stats| stats.closed == Some(1)).await;
    (expected.idle, expected.closed) = (Some(0), Some(1));
    assert_eq!(client.pool_stats(), expected, "the server closed it");
}

#[tokio::test]
async fn failures_are_counted_and_dropped_attempts_are_not() {
    let client = transport(TransportConfig::new());
    let refused = format!("http://127.0.0.1:{}/", closed_port());
    client.get(&refused).await.unwrap_err();
    let stats = client.pool_stats();
    assert_eq!(
        (stats.connect_failures, stats.opened, stats.connecting, stats.in_flight),
        (Some(1), Some(0), Some(0), Some(0))
    );
    let silent = RawServer::start(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let handshake = format!("https://{}/", silent.address);
    {
        let request = client.get(&handshake).into_future();
        tokio::pin!(request);
        tokio::select! {
            outcome = &mut request => panic!("the server does not respond: {outcome:?}"),
            () = eventually(&client, |stats| stats.connecting == Some(1)) => {}
        }
    }
    let stats = client.pool_stats();
    assert_eq!((stats.connecting, stats.connect_failures), (Some(0), Some(1)));
}

#[tokio::test]
async fn a_connection_that_was_closed_in_the_pool_is_replaced() {
    let server = closing_after_one_response().await;
    let client = transport(TransportConfig::new());
    for round in 1..=5 {
        // Not idempotent, and with a body. It can be sent on another connection, because it was not sent yet.
        let response = client.post(server.url("/")).body("x").await.unwrap();
        assert_eq!(response.status, 204, "{round}");
    }
    eventually(&client, |stats| stats.closed == Some(5)).await;
    assert_eq!(client.pool_stats().opened, Some(5));
}

/// A server that closes each connection after its first response, without `Connection: close`.
async fn closing_after_one_response() -> RawServer {
    RawServer::start(|mut stream| async move {
        let mut received = Vec::new();
        while !received.ends_with(b"x") {
            stream.read_buf(&mut received).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    })
    .await
}

#[tokio::test]
async fn the_number_of_idle_connections_is_limited() {
    for kept in [0, 1, 2] {
        let all_connected = Arc::new(tokio::sync::Barrier::new(3));
        let barrier = Arc::clone(&all_connected);
        let server = RawServer::start(move |mut stream| {
            let barrier = Arc::clone(&barrier);
            async move {
                while !read_head(&mut stream).await.is_empty() {
                    barrier.wait().await;
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                }
            }
        })
        .await;
        let client = transport(TransportConfig::new().with_pool(kept, Duration::from_secs(90)));
        let url = server.url("/");
        let (first, second, third) = tokio::join!(client.get(&url), client.get(&url), client.get(&url));
        assert!(first.is_ok() && second.is_ok() && third.is_ok());
        let kept = kept as u64;
        eventually(&client, |stats| {
            stats.idle == Some(kept) && stats.closed == Some(3 - kept)
        })
        .await;
    }
}

#[tokio::test]
async fn idle_connections_are_closed_after_the_idle_timeout() {
    let server = keeping_alive("HTTP/1.1 204 No Content\r\n\r\n").await;
    let client = transport(TransportConfig::new().with_pool(8, Duration::from_secs(30)));
    client.get(server.url("/")).await.unwrap();
    assert_eq!(client.pool_stats().idle, Some(1));
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(31)).await;
    tokio::time::resume();
    eventually(&client, |stats| stats.closed == Some(1)).await;
    assert_eq!(client.pool_stats().idle, Some(0));
}

#[test]
fn idle_connections_are_closed_in_the_next_runtime_too() {
    let client = transport(TransportConfig::new().with_pool(8, Duration::from_secs(30)));
    for round in 1..=2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let server = keeping_alive("HTTP/1.1 204 No Content\r\n\r\n").await;
            client.get(server.url("/")).await.unwrap();
            assert_eq!(client.pool_stats().idle, Some(1));
            if round == 2 {
                tokio::time::pause();
                tokio::time::sleep(Duration::from_secs(31)).await;
                tokio::time::resume();
                eventually(&client, |stats| stats.closed == Some(2)).await;
            }
        });
    }
}

#[tokio::test]
async fn dropping_the_transport_closes_its_connections() {
    let closed = Arc::new(Notify::new());
    let at_server = Arc::clone(&closed);
    let server = RawServer::start(move |mut stream| {
        let closed = Arc::clone(&at_server);
        async move {
            while !read_head(&mut stream).await.is_empty() {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
            closed.notify_one();
        }
    })
    .await;
    let client = transport(TransportConfig::new());
    client.get(server.url("/")).await.unwrap();
    drop(client);
    closed.notified().await;
}

#[tokio::test]
async fn the_connection_of_an_unread_response_is_reused_if_possible() {
    let server = keeping_alive("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let client = transport(TransportConfig::new());
    for _ in 0..3 {
        drop(client.get(server.url("/")).await.unwrap());
        eventually(&client, |stats| stats.idle == Some(1)).await;
    }
    assert_eq!(client.pool_stats().opened, Some(1));

    let stalling = keeping_alive("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello").await;
    drop(client.get(stalling.url("/")).await.unwrap());
    eventually(&client, |stats| stats.closed == Some(1)).await;
    let stats = client.pool_stats();
    assert_eq!((stats.active, stats.in_flight), (Some(0), Some(0)));
}

#[tokio::test]
async fn a_response_before_the_end_of_the_upload_is_returned() {
    let server = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        let mut rest = [0; 1_024];
        while matches!(stream.read(&mut rest).await, Ok(count) if count > 0) {}
    })
    .await;
    let client = transport(TransportConfig::new().with_read_timeout(Duration::from_secs(30)));
    let endless = stream::once(async { Ok(Bytes::from_static(b"start")) }).chain(stream::pending());
    let response = client
        .post(server.url("/"))
        .body(HttpBody::stream(endless.boxed(), None))
        .await
        .unwrap();
    assert_eq!(response.status, 413);
    // The upload never ends, so the connection is closed.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(31)).await;
    tokio::time::resume();
    eventually(&client, |stats| stats.closed == Some(1)).await;
    assert_eq!(client.pool_stats().idle, Some(0));
}

#[tokio::test]
async fn a_connection_whose_peer_does_not_read_the_upload_is_not_reused() {
    let server = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    })
    .await;
    let mut probe = TcpStream::connect(server.address).await.unwrap();
    probe.write_all(b"\r\n\r\n").await.unwrap();
    let mut taken_by_sockets = 0;
    while let Ok(count) = probe.try_write(&[0; 8 << 10]) {
        taken_by_sockets += count;
    }
    let client = transport(TransportConfig::new());
    let url = server.url("/");
    // More than fits into the buffers of the sockets, but hyper accepts all of it.
    let upload = Bytes::from(vec![0; taken_by_sockets + (300 << 10)]);
    client.post(&url).body(upload).await.unwrap();
    let next = tokio::time::timeout(Duration::from_secs(20), client.get(&url).into_future()).await;
    assert_eq!(next.expect("another connection").unwrap().status, 204);
}

#[tokio::test]
async fn streams_of_a_known_length_use_one_connection() {
    let server = RawServer::start(|mut stream| async move {
        let mut received = Vec::new();
        while matches!(stream.read_buf(&mut received).await, Ok(count) if count > 0) {
            if received.ends_with(b"chunk") {
                received.clear();
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            }
        }
    })
    .await;
    let client = transport(TransportConfig::new());
    for _ in 0..3 {
        let chunk = stream::once(async { Ok(Bytes::from_static(b"chunk")) });
        let body = HttpBody::stream(chunk.boxed(), Some(5));
        client.post(server.url("/")).body(body).await.unwrap();
    }
    assert_eq!(client.pool_stats().opened, Some(1));
}

#[tokio::test]
async fn a_slow_upload_is_not_a_read_timeout() {
    let (seen, mut bodies) = mpsc::unbounded_channel();
    let server = RawServer::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut received = Vec::new();
            while !received.ends_with(b"0\r\n\r\n") {
                stream.read_buf(&mut received).await.unwrap();
            }
            let _ = seen.send(received.len());
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let client = transport(TransportConfig::new().with_read_timeout(Duration::from_secs(10)));
    let (started, start) = tokio::sync::oneshot::channel();
    let chunks = stream::unfold((0, Some(started)), |(count, mut started)| async move {
        if let Some(started) = started.take() {
            let _ = started.send(());
        }
        tokio::time::sleep(Duration::from_secs(6)).await;
        (count < 5).then(|| (Ok(Bytes::from_static(b"chunk")), (count + 1, None)))
    });
    let upload = client
        .post(server.url("/"))
        .body(HttpBody::stream(chunks.boxed(), None));
    let (response, ()) = tokio::join!(upload.into_future(), async {
        start.await.unwrap();
        tokio::time::pause();
    });
    assert_eq!(response.unwrap().status, 204);
    assert!(bodies.recv().await.unwrap() > 25);
}

#[tokio::test]
async fn requests_without_verification_have_separate_connections() {
    let server = keeping_alive("HTTP/1.1 204 No Content\r\n\r\n").await;
    let client = transport(TransportConfig::new());
    let lax = || RequestOptions::new().with_verify_tls(false);
    for (options, opened) in [
        (RequestOptions::new(), 1),
        (lax(), 2),
        (RequestOptions::new(), 2),
        (lax(), 2),
    ] {
        client.get(server.url("/")).options(options).await.unwrap();
        assert_eq!(client.pool_stats().opened, Some(opened));
    }
    assert_eq!(
        client.pool_stats().idle,
        Some(2),
        "the statistics cover all connections"
    );
}

/// An HTTP/2 server that responds with the request's body. Responses to `/held` wait for `gate`.
async fn echo(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static, gate: Arc<Notify>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let gate = Arc::clone(&gate);
        async move {
            if request.uri().path() == "/held" {
                gate.notified().await;
            }
            let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let body = request.into_body().collect().await.map(Collected::to_bytes);
            let mut response = Response::new(Full::new(body.unwrap_or_default()));
            response.headers_mut().insert("x-authority", host.parse().unwrap());
            Ok::<_, Infallible>(response)
        }
    });
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

#[tokio::test]
async fn http2_carries_many_requests_on_one_connection() {
    let gate = Arc::new(Notify::new());
    let at_server = Arc::clone(&gate);
    let server = RawServer::start(move |stream: TcpStream| echo(stream, Arc::clone(&at_server))).await;
    let client = transport(
        TransportConfig::new()
            .with_version(HttpVersion::Http2)
            .with_pool(8, Duration::from_secs(30)),
    );
    let echoed = client.post(server.url("/?a=b")).body("ping").await.unwrap();
    assert_eq!(echoed.version, Version::HTTP_2);
    assert_eq!(echoed.headers["x-authority"], server.address.to_string());
    assert_eq!(echoed.bytes().await.unwrap(), "ping");
    let stats = client.pool_stats();
    assert_eq!((stats.opened, stats.active, stats.idle), (Some(1), Some(0), Some(1)));

    let url = server.url("/held");
    let held: Vec<_> = (0..3)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move { client.get(&url).await.unwrap().status })
        })
        .collect();
    eventually(&client, |stats| stats.in_flight == Some(3) && stats.active == Some(1)).await;
    let stats = client.pool_stats();
    assert_eq!((stats.opened, stats.idle), (Some(1), Some(0)));
    for call in held {
        gate.notify_one();
        assert_eq!(call.await.unwrap(), 200);
    }
    eventually(&client, |stats| stats.in_flight == Some(0) && stats.idle == Some(1)).await;
    assert_eq!(client.pool_stats().reused, Some(3));

    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(61)).await;
    tokio::time::resume();
    eventually(&client, |stats| stats.closed == Some(1)).await;
}

#[tokio::test]
async fn a_silent_http2_connection_gets_no_further_requests() {
    let gate = Arc::new(Notify::new());
    let at_server = Arc::clone(&gate);
    let server = RawServer::start(move |stream: TcpStream| echo(stream, Arc::clone(&at_server))).await;
    let client = transport(
        TransportConfig::new()
            .with_version(HttpVersion::Http2)
            .with_read_timeout(Duration::from_secs(30)),
    );
    let held = tokio::spawn({
        let (client, url) = (client.clone(), server.url("/held"));
        async move { client.get(&url).await.unwrap_err().kind() }
    });
    eventually(&client, |stats| stats.active == Some(1)).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(31)).await;
    tokio::time::resume();
    assert_eq!(held.await.unwrap(), ErrorKind::Timeout);
    client.get(server.url("/")).await.unwrap();
    assert_eq!(client.pool_stats().opened, Some(2));
    eventually(&client, |stats| stats.closed == Some(1)).await;
}

#[tokio::test]
async fn http2_is_used_if_tls_negotiates_it() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = RawServer::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                echo(stream, Arc::default()).await;
            }
        }
    })
    .await;
    let url = format!("https://localhost:{}/", server.address.port());
    let trusting = TransportConfig::new().with_root_certificate(certified.cert.pem());
    let client = transport(trusting.clone());
    let large = Bytes::from(vec![7; 3 << 20]);
    let response = client.post(&url).body(large.clone()).await.unwrap();
    assert_eq!(response.version, Version::HTTP_2);
    let chunks: Vec<Bytes> = response.into_stream().try_collect().await.unwrap();
    assert_eq!(chunks.concat(), large);

    let only_http1 = transport(trusting.with_version(HttpVersion::Http1));
    let error = only_http1.get(&url).await.unwrap_err();
    assert_eq!((error.kind(), error.send_state()), (ErrorKind::Tls, SendState::NotSent));
}

#[tokio::test]
async fn the_method_connect_is_refused() {
    let client = transport(TransportConfig::new());
    let error = client
        .build(networking_spi::http::Method::CONNECT, "http://127.0.0.1:9/")
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("method")));
}

#[tokio::test]
async fn a_dropped_transport_leaves_no_task() {
    let server = keeping_alive("HTTP/1.1 204 No Content\r\n\r\n").await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for _ in 0..10 {
        transport(TransportConfig::new()).get(server.url("/")).await.unwrap();
    }
    // The tasks of the connections and of the server end when their sockets do.
    for _ in 0..1_000 {
        if tasks() <= before {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} tasks are left, {before} at the start", tasks());
}
