//! Errors, and options of requests. The tests run with each transport.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_http::{
    ConfiguredTransport, HttpClientBuilder, HttpVersion, HyperTransport, ReqwestTransport, SystemResolver,
    TransportConfig,
};
use networking_spi::http::{HttpBody, HttpClient, HttpClientExt, ProxyConfig, RequestOptions};
use networking_spi::{ErrorKind, NetworkError, Phase, SendState};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::raw::{RawServer, closed_port, read_head};

fn transport<T: ConfiguredTransport>(config: TransportConfig) -> T {
    T::from_config(config, Arc::new(SystemResolver)).unwrap()
}

fn both(config: TransportConfig) -> (HyperTransport, ReqwestTransport) {
    (transport(config.clone()), transport(config))
}

super::for_each_transport!(
    silence_is_a_read_timeout,
    a_longer_time_limit_replaces_the_default_read_timeout,
    timeouts_of_any_length_are_accepted,
    a_wrong_content_length_is_refused,
    a_handshake_that_stalls_is_a_connect_timeout,
    a_name_that_cannot_be_resolved_is_dns,
    errors_of_the_proxy_have_the_kind_proxy,
    a_request_can_have_its_own_proxy,
    an_invalid_proxy_names_its_field,
    user_information_of_the_url_becomes_basic_credentials,
);

fn proxied(port: u16) -> RequestOptions {
    RequestOptions::new().with_proxy(ProxyConfig::new(format!("http://127.0.0.1:{port}").parse().unwrap()))
}

async fn error_of(client: &impl HttpClient, url: &str, options: RequestOptions) -> NetworkError {
    match client.get(url).options(options).await {
        Ok(response) => response.bytes().await.unwrap_err(),
        Err(error) => error,
    }
}

async fn silence_is_a_read_timeout<T: ConfiguredTransport>() {
    let server = RawServer::start(|mut stream| async move {
        let head = read_head(&mut stream).await;
        if head.starts_with("GET /body") {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n012")
                .await
                .unwrap();
        }
        std::future::pending::<()>().await;
    })
    .await;
    let client = transport::<T>(TransportConfig::new().with_read_timeout(Duration::from_millis(50)));
    for (path, sent) in [("/head", SendState::MaybeSent), ("/body", SendState::Sent)] {
        let error = error_of(&client, &server.url(path), RequestOptions::new()).await;
        assert_eq!(
            (error.kind(), error.phase()),
            (ErrorKind::Timeout, Some(Phase::Read)),
            "{path}"
        );
        assert_eq!(error.send_state(), sent, "{path}");
        assert!(!error.is_a(ErrorKind::Connection), "{path}");
    }
}

/// A response that starts after 90 s, and is then silent for 90 s.
async fn a_longer_time_limit_replaces_the_default_read_timeout<T: ConfiguredTransport>() {
    let (received, mut requests) = mpsc::unbounded_channel();
    let server = RawServer::start(move |mut stream| {
        let received = received.clone();
        async move {
            read_head(&mut stream).await;
            let _ = received.send(());
            for part in ["HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n", "late"] {
                tokio::time::sleep(Duration::from_secs(90)).await;
                let _ = stream.write_all(part.as_bytes()).await;
            }
        }
    })
    .await;
    let url = server.url("/");
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let short = TransportConfig::new().with_read_timeout(Duration::from_secs(59));
    let body = RequestOptions::new().with_timeout(minutes(5));
    let head = RequestOptions::new().with_attempt_timeout(minutes(5));
    let none = RequestOptions::new().without_timeout();
    for (config, options, phase) in [
        (TransportConfig::new(), body.clone(), None),
        (TransportConfig::new(), head.clone(), Some(SendState::Sent)),
        (TransportConfig::new(), none, Some(SendState::MaybeSent)),
        // One that was set applies.
        (short, body, Some(SendState::MaybeSent)),
    ] {
        let client = HttpClientBuilder::over(transport::<T>(config))
            .retries(0)
            .build()
            .unwrap();
        let (result, ()) = tokio::join!(
            async {
                match client.get(&url).options(options).await {
                    Ok(response) => response.text().await,
                    Err(error) => Err(error),
                }
            },
            async {
                requests.recv().await.unwrap();
                tokio::time::pause();
            }
        );
        match (result, phase) {
            (Ok(body), None) => assert_eq!(body, "late"),
            (Err(error), Some(sent)) => {
                assert_eq!(
                    (error.phase(), error.send_state()),
                    (Some(Phase::Read), sent),
                    "{error}"
                );
            }
            (result, phase) => panic!("{result:?}, expected {phase:?}"),
        }
        tokio::time::resume();
    }
}

async fn timeouts_of_any_length_are_accepted<T: ConfiguredTransport>() {
    let server = RawServer::start(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n";
            stream.write_all(head).await.unwrap();
            stream.write_all(&vec![0; 200_000]).await.unwrap();
        }
    })
    .await;
    let config = TransportConfig::new()
        .with_connect_timeout(Duration::MAX)
        .with_read_timeout(Duration::MAX)
        .with_pool(4, Duration::MAX);
    let client = transport::<T>(config);
    for _ in 0..2 {
        let response = client.post(server.url("/")).body("upload").await.unwrap();
        assert_eq!(response.bytes().await.unwrap().len(), 200_000);
    }
}

async fn a_wrong_content_length_is_refused<T: ConfiguredTransport>() {
    let (seen, mut heads) = mpsc::unbounded_channel();
    let server = RawServer::answering("HTTP/1.1 204 No Content\r\n\r\n", seen).await;
    let client = transport::<T>(TransportConfig::new());
    let url = server.url("/");
    for length in ["5", "3", "+4", "", "4, 4"] {
        let request = client.post(&url).header("content-length", length).body("body");
        let error = request.await.unwrap_err();
        assert_eq!(error.field(), Some("headers.content-length"), "{length:?}");
    }
    // The peer would wait for a body, and read the next request as the body.
    let error = client.get(&url).header("content-length", "5").await.unwrap_err();
    assert_eq!(error.field(), Some("headers.content-length"));
    client
        .post(&url)
        .header("content-length", "4")
        .body("body")
        .await
        .unwrap();
    let head = heads.recv().await.unwrap().to_ascii_lowercase();
    assert_eq!(head.matches("content-length: 4").count(), 1, "{head}");
}

#[tokio::test]
async fn a_stream_is_sent_with_a_get_too() {
    let (seen, mut bodies) = mpsc::unbounded_channel();
    let server = RawServer::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut received = Vec::new();
            while !received.ends_with(b"\r\n0\r\n\r\n") {
                assert!(stream.read_buf(&mut received).await.unwrap() > 0);
            }
            let _ = seen.send(String::from_utf8(received).unwrap());
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let client = transport::<HyperTransport>(TransportConfig::new().with_read_timeout(Duration::from_secs(5)));
    let chunk = stream::once(async { Ok(Bytes::from_static(b"query")) });
    let body = HttpBody::stream(chunk.boxed(), None);
    client.get(server.url("/")).body(body).await.unwrap();
    assert!(bodies.recv().await.unwrap().contains("5\r\nquery\r\n"));
}

async fn a_handshake_that_stalls_is_a_connect_timeout<T: ConfiguredTransport>() {
    let server = RawServer::start(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let client = transport::<T>(TransportConfig::new().with_connect_timeout(Duration::from_millis(50)));
    let url = format!("https://{}/", server.address);
    let error = error_of(&client, &url, RequestOptions::new()).await;
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout, Some(Phase::Connect))
    );
    assert_eq!(error.send_state(), SendState::NotSent);
    assert!(error.is_a(ErrorKind::Connection));
}

async fn a_name_that_cannot_be_resolved_is_dns<T: ConfiguredTransport>() {
    let client = transport::<T>(TransportConfig::new());
    let url = format!("http://{}.invalid/", "x".repeat(64));
    let error = error_of(&client, &url, RequestOptions::new()).await;
    assert_eq!((error.kind(), error.send_state()), (ErrorKind::Dns, SendState::NotSent));
}

async fn errors_of_the_proxy_have_the_kind_proxy<T: ConfiguredTransport>() {
    let client = transport::<T>(TransportConfig::new());
    for scheme in ["http", "https"] {
        let url = format!("{scheme}://origin.test/");
        let error = error_of(&client, &url, proxied(closed_port())).await;
        assert_eq!(
            (error.kind(), error.send_state()),
            (ErrorKind::Proxy, SendState::NotSent),
            "{scheme}: refused"
        );
        assert!(error.is_a(ErrorKind::Connection));
    }
    for (answer, message) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "the proxy requires credentials",
        ),
        (
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "the proxy did not open a tunnel",
        ),
    ] {
        let (seen, mut requests) = mpsc::unbounded_channel();
        let proxy = RawServer::answering(answer, seen).await;
        let error = error_of(&client, "https://origin.test/", proxied(proxy.address.port())).await;
        assert_eq!((error.kind(), error.message()), (ErrorKind::Proxy, message));
        assert!(requests.recv().await.unwrap().starts_with("CONNECT origin.test:443 "));
    }
    // The tunnel was opened: the peer has ended the connection.
    let proxy = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    })
    .await;
    let error = error_of(&client, "https://origin.test/", proxied(proxy.address.port())).await;
    assert_eq!(error.kind(), ErrorKind::ConnectionClosed, "{error}");
    let socks = RawServer::start(|mut stream| async move {
        let _ = stream.write_all(b"not socks at all").await;
    })
    .await;
    let options = RequestOptions::new().with_proxy(ProxyConfig::new(
        format!("socks5://127.0.0.1:{}", socks.address.port()).parse().unwrap(),
    ));
    assert_eq!(
        error_of(&client, "http://127.0.0.1:9/", options).await.kind(),
        ErrorKind::Proxy
    );
}

async fn a_request_can_have_its_own_proxy<T: ConfiguredTransport>() {
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (direct_seen, mut direct) = mpsc::unbounded_channel();
    let (proxy_seen, mut through_proxy) = mpsc::unbounded_channel();
    let origin = RawServer::answering(OK, direct_seen).await;
    let proxy = RawServer::answering(OK, proxy_seen).await;
    let client = transport::<T>(TransportConfig::new());
    let credentials = |options: RequestOptions| {
        let config = *options.proxy.clone().unwrap();
        options.with_proxy(config.with_credentials("Aladdin", "open sesame"))
    };
    let url = origin.url("/x");
    client.get(&url).await.unwrap();
    client.get(&url).options(proxied(proxy.address.port())).await.unwrap();
    client
        .get(&url)
        .options(credentials(proxied(proxy.address.port())))
        .await
        .unwrap();
    client.get(&url).await.unwrap();
    assert!(direct.recv().await.unwrap().starts_with("GET /x "));
    assert!(direct.recv().await.unwrap().starts_with("GET /x "));
    assert!(direct.try_recv().is_err());
    let first = through_proxy.recv().await.unwrap();
    assert!(first.starts_with(&format!("GET {url} ")), "{first}");
    assert!(!first.contains("proxy-authorization"));
    let second = through_proxy.recv().await.unwrap();
    assert!(
        second.contains("proxy-authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        "{second}"
    );
}

async fn an_invalid_proxy_names_its_field<T: ConfiguredTransport>() {
    let client = transport::<T>(TransportConfig::new());
    let options = RequestOptions::new().with_proxy(ProxyConfig::new("ftp://127.0.0.1".parse().unwrap()));
    let error = error_of(&client, "http://127.0.0.1:9/", options).await;
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidInput, Some("proxy.url"))
    );
}

async fn user_information_of_the_url_becomes_basic_credentials<T: ConfiguredTransport>() {
    let (seen, mut requests) = mpsc::unbounded_channel();
    let server = RawServer::answering("HTTP/1.1 204 No Content\r\n\r\n", seen).await;
    let url = format!("http://Aladdin:open%20sesame@{}/", server.address);
    transport::<T>(TransportConfig::new()).get(&url).await.unwrap();
    let head = requests.recv().await.unwrap();
    assert!(
        head.contains("authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        "{head}"
    );
}

#[tokio::test]
async fn proxies_of_the_environment_are_ignored() {
    // Set for the child only: see `child_with_proxies_in_the_environment`.
    let port = closed_port();
    let proxy = format!("http://127.0.0.1:{port}");
    run_child(
        "client::transport::child_with_proxies_in_the_environment",
        &[("HTTP_PROXY", &proxy), ("http_proxy", &proxy)],
    );
}

#[tokio::test]
#[ignore = "run by proxies_of_the_environment_are_ignored, with its environment"]
async fn child_with_proxies_in_the_environment() {
    let (seen, _requests) = mpsc::unbounded_channel();
    let server = RawServer::answering("HTTP/1.1 204 No Content\r\n\r\n", seen).await;
    let (hyper, reqwest) = both(TransportConfig::new());
    assert_eq!(hyper.get(server.url("/")).await.unwrap().status, 204);
    assert_eq!(reqwest.get(server.url("/")).await.unwrap().status, 204);
}

#[test]
fn clients_work_without_system_certificates() {
    let nowhere = "/nonexistent/certificates";
    run_child(
        "client::transport::child_without_certificates",
        &[("SSL_CERT_FILE", nowhere), ("SSL_CERT_DIR", nowhere)],
    );
}

#[tokio::test]
#[ignore = "run by clients_work_without_system_certificates, with its environment"]
async fn child_without_certificates() {
    let (seen, _requests) = mpsc::unbounded_channel();
    let server = RawServer::answering("HTTP/1.1 204 No Content\r\n\r\n", seen).await;
    for config in [
        TransportConfig::new(),
        TransportConfig::new().with_verify_tls(false),
        TransportConfig::new().with_version(HttpVersion::Http1),
    ] {
        let (hyper, reqwest) = both(config);
        assert_eq!(hyper.get(server.url("/")).await.unwrap().status, 204);
        assert_eq!(reqwest.get(server.url("/")).await.unwrap().status, 204);
    }
}

/// Runs an ignored test of this binary in a process with other environment variables.
pub(crate) fn run_child(test: &str, environment: &[(&str, &str)]) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored"])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
}

#[test]
fn invalid_settings_name_their_field() {
    let zero = Duration::ZERO;
    let mut keepalive = TransportConfig::new();
    keepalive.tcp_keepalive = Some(zero);
    let proxy = ProxyConfig::new("ftp://127.0.0.1".parse().unwrap());
    for (config, field) in [
        (TransportConfig::new().with_connect_timeout(zero), "connect_timeout"),
        (TransportConfig::new().with_read_timeout(zero), "read_timeout"),
        (TransportConfig::new().with_pool(1, zero), "pool_idle_timeout"),
        (keepalive, "tcp_keepalive"),
        (TransportConfig::new().with_user_agent("line\nfeed"), "user_agent"),
        (TransportConfig::new().with_proxy(proxy), "proxy.url"),
        (
            TransportConfig::new().with_root_certificate("not PEM"),
            "root_certificates",
        ),
    ] {
        for error in [
            HyperTransport::new(config.clone()).unwrap_err(),
            ReqwestTransport::new(config).unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        }
    }
}

#[test]
fn configuration_survives_serialization() {
    let config = TransportConfig::new()
        .with_proxy(ProxyConfig::new("http://127.0.0.1:3128".parse().unwrap()).with_credentials("u", "p"))
        .with_version(HttpVersion::Http2)
        .with_connect_timeout(Duration::from_millis(1_500));
    let text = serde_json::to_string(&config).unwrap();
    assert!(text.contains(r#""connect_timeout":"1s 500ms""#), "{text}");
    assert_eq!(serde_json::from_str::<TransportConfig>(&text).unwrap(), config);
    assert_eq!(
        serde_json::from_str::<TransportConfig>("{}").unwrap(),
        TransportConfig::default()
    );
}
