//! WebSocket connections over TLS and through proxies, for which the conformance suite has no servers.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use networking_http::websocket::WebSocketConnector;
use networking_http::{DnsOverrides, DnsResolver, HyperTransport, ReqwestTransport, SsrfGuard, TransportConfig};
use networking_spi::ErrorKind;
use networking_spi::http::ProxyConfig;
use networking_spi::websocket::{WebSocketClient, WebSocketConnectionExt, WebSocketMessage, WebSocketRequest};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::proxy::{Pki, http_proxy, socks_proxy};
use crate::raw::{RawServer, closed_port, read_head};

/// A `wss` server for `localhost` that sends one message back, and its certificate in PEM.
async fn echo() -> (RawServer, String) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = RawServer::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            // Clients that do not trust the certificate abort the handshake.
            if let Ok(stream) = acceptor.accept(stream).await {
                let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
                let message = socket.next().await.unwrap().unwrap();
                socket.send(message).await.unwrap();
                while let Some(Ok(_)) = socket.next().await {}
            }
        }
    })
    .await;
    (server, certified.cert.pem())
}

fn connector(config: TransportConfig) -> Result<WebSocketConnector, networking_spi::NetworkError> {
    Ok(WebSocketConnector::new(Arc::new(HyperTransport::new(config)?)))
}

fn resolving(config: TransportConfig, resolver: Arc<dyn DnsResolver>) -> WebSocketConnector {
    let transport = HyperTransport::with_resolver(config, resolver).unwrap();
    WebSocketConnector::new(Arc::new(transport))
}

async fn talk(config: TransportConfig, host: &str, port: u16) -> Result<(), networking_spi::NetworkError> {
    talk_to(&connector(config)?, &format!("wss://{host}:{port}/")).await
}

async fn talk_to(connector: &WebSocketConnector, url: &str) -> Result<(), networking_spi::NetworkError> {
    let connection = connector.connect(WebSocketRequest::new(url)?).await?;
    connection.send_text("hello").await?;
    assert_eq!(connection.next().await?, Some(WebSocketMessage::text("hello")));
    Ok(())
}

#[tokio::test]
async fn certificates_are_trusted_as_over_http() {
    let (server, pem) = echo().await;
    let port = server.address.port();
    let trusting = TransportConfig::new().with_root_certificate(pem.clone());
    talk(trusting.clone(), "localhost", port).await.unwrap();
    talk(TransportConfig::new().with_verify_tls(false), "127.0.0.1", port)
        .await
        .unwrap();
    let other_root = rcgen::generate_simple_self_signed(["other.test".to_owned()]).unwrap();
    let distrusting = TransportConfig::new().with_root_certificate(other_root.cert.pem());
    for (config, host) in [(distrusting, "localhost"), (trusting, "127.0.0.1")] {
        assert_eq!(
            talk(config, host, port).await.unwrap_err().kind(),
            ErrorKind::Tls,
            "{host}"
        );
    }
}

#[tokio::test]
async fn an_http_proxy_opens_a_tunnel() {
    let (server, pem) = echo().await;
    let address = server.address;
    let (heads, mut asked) = mpsc::unbounded_channel();
    let proxy = RawServer::start(move |mut stream| {
        let heads = heads.clone();
        async move {
            let head = read_head(&mut stream).await;
            let allowed = head.to_ascii_lowercase().contains("proxy-authorization: basic dtpw");
            heads.send(head).unwrap();
            if !allowed {
                let _ = stream
                    .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
                    .await;
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            let mut peer = TcpStream::connect(address).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut peer).await;
        }
    })
    .await;
    let config = |proxy| {
        TransportConfig::new()
            .with_root_certificate(pem.clone())
            .with_proxy(proxy)
    };
    let open = ProxyConfig::new(proxy.url("/").parse().unwrap());
    let known = open.clone().with_credentials("u", "p");
    talk(config(known), "localhost", address.port()).await.unwrap();
    let head = asked.recv().await.unwrap();
    assert!(
        head.starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", address.port())),
        "{head}"
    );
    let unreachable_proxy = ProxyConfig::new(format!("http://127.0.0.1:{}", closed_port()).parse().unwrap());
    for refused in [open, unreachable_proxy] {
        let error = talk(config(refused), "localhost", address.port()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Proxy);
    }
}

/// A `ws` server that sends one message back.
async fn plain_echo() -> RawServer {
    RawServer::start(|stream| async move {
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let message = socket.next().await.unwrap().unwrap();
        socket.send(message).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await
}

fn through(url: &str) -> ProxyConfig {
    ProxyConfig::new(url.parse().unwrap()).with_credentials("Aladdin", "open sesame")
}

#[tokio::test]
async fn connections_without_tls_get_a_tunnel_too() {
    let server = plain_echo().await;
    let (proxy, mut requests) = http_proxy(server.address.port(), None).await;
    let config = TransportConfig::new().with_proxy(through(&proxy.url("/")));
    let connector = connector(config).unwrap();
    talk_to(&connector, "ws://elsewhere.test/").await.unwrap();
    let head = requests.recv().await.unwrap();
    assert!(head.starts_with("CONNECT elsewhere.test:80 HTTP/1.1\r\n"), "{head}");
}

#[tokio::test]
async fn the_proxy_depends_on_the_scheme_and_the_host() {
    let server = plain_echo().await;
    let (proxy, mut requests) = http_proxy(server.address.port(), None).await;
    let nowhere = format!("http://127.0.0.1:{}", closed_port());
    let config = TransportConfig::new()
        .with_http_proxy(through(&proxy.url("/")))
        .with_https_proxy(through(&nowhere))
        .with_no_proxy("127.0.0.1".parse().unwrap());
    let hyper = HyperTransport::new(config.clone()).unwrap();
    let reqwest = ReqwestTransport::new(config).unwrap();
    for connector in [
        WebSocketConnector::new(Arc::new(hyper)),
        WebSocketConnector::new(Arc::new(reqwest)),
    ] {
        let direct = format!("ws://{}/", server.address);
        talk_to(&connector, &direct).await.unwrap();
        assert!(requests.try_recv().is_err(), "not through the proxy");
        talk_to(&connector, "ws://elsewhere.test/").await.unwrap();
        let head = requests.recv().await.unwrap();
        assert!(head.starts_with("CONNECT elsewhere.test:80 "), "{head}");
        let error = talk_to(&connector, "wss://elsewhere.test/").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Proxy, "{error:?}");
    }
}

#[tokio::test]
async fn an_https_proxy_carries_tls_within_tls() {
    let (server, pem) = echo().await;
    let pki = Pki::new();
    let (proxy, mut requests) = http_proxy(server.address.port(), Some(pki.acceptor.clone())).await;
    let config = TransportConfig::new()
        .with_root_certificate(pem)
        .with_root_certificate(pki.pem.clone())
        .with_proxy(through(&format!("https://localhost:{}", proxy.address.port())));
    talk(config, "localhost", 4443).await.unwrap();
    let head = requests.recv().await.unwrap().to_ascii_lowercase();
    assert!(head.starts_with("connect localhost:4443 http/1.1\r\n"), "{head}");
    assert!(
        head.contains("proxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq=="),
        "{head}"
    );
}

#[tokio::test]
async fn a_socks_proxy_is_given_credentials_and_the_name() {
    let (server, pem) = echo().await;
    let (proxy, mut requests) = socks_proxy(server.address.port()).await;
    let config = TransportConfig::new().with_root_certificate(pem);
    let url = format!("socks5h://{}", proxy.address);
    let known = config.clone().with_proxy(through(&url));
    talk(known, "localhost", 4443).await.unwrap();
    assert_eq!(requests.recv().await.unwrap(), "localhost:4443");
    let wrong = ProxyConfig::new(url.parse().unwrap()).with_credentials("Aladdin", "close sesame");
    let error = talk(config.with_proxy(wrong), "localhost", 4443).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Proxy);
}

#[tokio::test]
async fn the_resolver_and_the_guard_are_used() {
    let server = plain_echo().await;
    let url = format!("ws://origin.test:{}/", server.address.port());
    let names = || Arc::new(DnsOverrides::new().with("origin.test", [[127, 0, 0, 1]]));
    let open = resolving(TransportConfig::new(), names());
    talk_to(&open, &url).await.unwrap();
    let mut config = TransportConfig::new();
    config.ssrf_guard = Some(SsrfGuard::new());
    let guarded = resolving(config, names());
    let literal = format!("ws://{}/", server.address);
    for url in [url, literal] {
        let error = talk_to(&guarded, &url).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DestinationDenied, "{url}");
    }
}
