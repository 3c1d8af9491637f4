//! Requests through proxies.

use std::sync::Arc;

use networking_http::{ConfiguredTransport, DnsOverrides, TransportConfig};
use networking_spi::http::{HttpClientExt, ProxyConfig, RequestOptions};
use networking_spi::{ErrorKind, Retryability, SendState};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::raw::{RawServer, read_head_of};

super::for_each_transport!(
    an_http_proxy_tunnels_tls,
    an_https_proxy_forwards,
    an_https_proxy_tunnels_tls,
    a_socks_proxy_gets_addresses,
    a_socks5h_proxy_resolves_names,
    socks_carries_tls_and_credentials,
    an_untrusted_https_proxy_gets_no_request,
);

const OK: &[u8] = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

/// A certificate for `origin.test` and `localhost`, and clients that trust it.
pub(super) struct Pki {
    pub(super) acceptor: TlsAcceptor,
    pub(super) pem: String,
    pub(super) der: Vec<u8>,
}

impl Pki {
    pub(super) fn new() -> Self {
        let names = ["origin.test".to_owned(), "localhost".to_owned()];
        let certified = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            pem: certified.cert.pem(),
            der: certified.cert.der().to_vec(),
        }
    }

    /// An origin over TLS.
    pub(super) async fn origin(&self) -> RawServer {
        let acceptor = self.acceptor.clone();
        RawServer::start(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    read_head_of(&mut stream).await;
                    let _ = stream.write_all(OK).await;
                    let _ = stream.shutdown().await;
                }
            }
        })
        .await
    }

    /// A client that trusts the certificate, and resolves `origin.test` to loopback.
    fn client<T: ConfiguredTransport>(&self) -> T {
        let names = DnsOverrides::new().with("origin.test", [[127, 0, 0, 1]]);
        let config = TransportConfig::new().with_root_certificate(self.pem.clone());
        T::from_config(config, Arc::new(names)).unwrap()
    }
}

fn through(url: &str) -> RequestOptions {
    let proxy = ProxyConfig::new(url.parse().unwrap()).with_credentials("Aladdin", "open sesame");
    RequestOptions::new().with_proxy(proxy)
}

/// An HTTP proxy. It connects every CONNECT to `origin`, responds to other requests itself, and sends request heads to `seen`.
async fn serve_http(mut stream: impl AsyncRead + AsyncWrite + Unpin, origin: u16, seen: UnboundedSender<String>) {
    let head = read_head_of(&mut stream).await;
    let tunnel = head.starts_with("CONNECT ");
    let _ = seen.send(head);
    if tunnel {
        let mut origin = TcpStream::connect(("127.0.0.1", origin)).await.unwrap();
        stream
            .write_all(b"HTTP/1.1 200 Connection established\r\nvia: test\r\n\r\n")
            .await
            .unwrap();
        let _ = copy_bidirectional(&mut stream, &mut origin).await;
    } else {
        let _ = stream.write_all(OK).await;
        let _ = stream.shutdown().await;
    }
}

pub(super) async fn http_proxy(origin: u16, tls: Option<TlsAcceptor>) -> (RawServer, UnboundedReceiver<String>) {
    let (seen, requests) = mpsc::unbounded_channel();
    let server = RawServer::start(move |stream| {
        let (seen, tls) = (seen.clone(), tls.clone());
        async move {
            match tls {
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve_http(stream, origin, seen).await;
                    }
                }
                None => serve_http(stream, origin, seen).await,
            }
        }
    })
    .await;
    (server, requests)
}

/// A SOCKS 5 proxy that requires credentials. It connects every request to `origin`, and sends the requested address to `seen`.
pub(super) async fn socks_proxy(origin: u16) -> (RawServer, UnboundedReceiver<String>) {
    let (seen, requests) = mpsc::unbounded_channel();
    let server = RawServer::start(move |mut stream| {
        let seen = seen.clone();
        async move {
            let methods = {
                let mut greeting = [0; 2];
                stream.read_exact(&mut greeting).await.unwrap();
                let mut methods = vec![0; greeting[1].into()];
                stream.read_exact(&mut methods).await.unwrap();
                methods
            };
            assert!(methods.contains(&2), "credentials are offered");
            stream.write_all(&[5, 2]).await.unwrap();
            stream.read_u8().await.unwrap();
            let username = counted(&mut stream).await;
            let password = counted(&mut stream).await;
            let known = (&*username, &*password) == ("Aladdin", "open sesame");
            stream.write_all(&[1, u8::from(!known)]).await.unwrap();
            let mut command = [0; 4];
            stream.read_exact(&mut command).await.unwrap();
            let target = if command[3] == 3 {
                counted(&mut stream).await
            } else {
                let mut address = [0; 4];
                stream.read_exact(&mut address).await.unwrap();
                std::net::Ipv4Addr::from(address).to_string()
            };
            let _ = seen.send(format!("{target}:{}", stream.read_u16().await.unwrap()));
            stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
            let mut origin = TcpStream::connect(("127.0.0.1", origin)).await.unwrap();
            let _ = copy_bidirectional(&mut stream, &mut origin).await;
        }
    })
    .await;
    (server, requests)
}

/// Reads a text with a length prefix.
async fn counted(stream: &mut TcpStream) -> String {
    let mut text = vec![0; stream.read_u8().await.unwrap().into()];
    stream.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

async fn an_http_proxy_tunnels_tls<T: ConfiguredTransport>() {
    let pki = Pki::new();
    let origin = pki.origin().await;
    let (proxy, mut requests) = http_proxy(origin.address.port(), None).await;
    let options = through(&format!("http://{}", proxy.address));
    let client: T = pki.client();
    let response = client.get("https://origin.test:4443/").options(options).await.unwrap();
    assert_eq!(response.status, 204);
    let head = requests.recv().await.unwrap();
    assert!(head.starts_with("CONNECT origin.test:4443 HTTP/1.1\r\n"), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(
        head.contains("proxy-authorization: basic qwxhzgrpbjpvcgvuihnlc2ftzq=="),
        "{head}"
    );
    assert!(head.contains("host: origin.test:4443\r\n"), "{head}");
}

async fn an_https_proxy_forwards<T: ConfiguredTransport>() {
    let pki = Pki::new();
    let (proxy, mut requests) = http_proxy(9, Some(pki.acceptor.clone())).await;
    let options = through(&format!("https://localhost:{}", proxy.address.port()));
    let client: T = pki.client();
    let response = client.get("http://origin.test/path").options(options).await.unwrap();
    assert_eq!(response.status, 204);
    let head = requests.recv().await.unwrap();
    assert!(head.starts_with("GET http://origin.test/path HTTP/1.1\r\n"), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("proxy-authorization: basic "),
        "{head}"
    );
}

async fn an_https_proxy_tunnels_tls<T: ConfiguredTransport>() {
    let pki = Pki::new();
    let origin = pki.origin().await;
    let (proxy, mut requests) = http_proxy(origin.address.port(), Some(pki.acceptor.clone())).await;
    let options = through(&format!("https://localhost:{}", proxy.address.port()));
    let client: T = pki.client();
    let response = client.get("https://origin.test/").options(options).await.unwrap();
    assert_eq!(response.status, 204);
    assert!(requests.recv().await.unwrap().starts_with("CONNECT origin.test:443 "));
}

async fn a_socks_proxy_gets_addresses<T: ConfiguredTransport>() {
    let origin = RawServer::answering(std::str::from_utf8(OK).unwrap(), mpsc::unbounded_channel().0).await;
    let (proxy, mut requests) = socks_proxy(origin.address.port()).await;
    let options = through(&format!("socks5://{}", proxy.address));
    let client: T = Pki::new().client();
    let response = client.get("http://127.0.0.1:81/").options(options).await.unwrap();
    assert_eq!(response.status, 204);
    assert_eq!(requests.recv().await.unwrap(), "127.0.0.1:81");
}

async fn a_socks5h_proxy_resolves_names<T: ConfiguredTransport>() {
    let origin = RawServer::answering(std::str::from_utf8(OK).unwrap(), mpsc::unbounded_channel().0).await;
    let (proxy, mut requests) = socks_proxy(origin.address.port()).await;
    let options = through(&format!("socks5h://{}", proxy.address));
    let client: T = Pki::new().client();
    let response = client.get("http://elsewhere.test/").options(options).await.unwrap();
    assert_eq!(response.status, 204);
    assert_eq!(requests.recv().await.unwrap(), "elsewhere.test:80");
}

async fn socks_carries_tls_and_credentials<T: ConfiguredTransport>() {
    let pki = Pki::new();
    let origin = pki.origin().await;
    let (proxy, mut requests) = socks_proxy(origin.address.port()).await;
    let client: T = pki.client();
    let url = format!("socks5h://{}", proxy.address);
    let response = client.get("https://origin.test/").options(through(&url)).await.unwrap();
    assert_eq!(response.status, 204);
    assert_eq!(requests.recv().await.unwrap(), "origin.test:443");
    // The proxy refuses this password.
    let wrong = ProxyConfig::new(url.parse().unwrap()).with_credentials("Aladdin", "close sesame");
    let options = RequestOptions::new().with_proxy(wrong);
    let error = client.get("https://origin.test/").options(options).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.send_state()),
        (ErrorKind::Proxy, SendState::NotSent)
    );
}

async fn an_untrusted_https_proxy_gets_no_request<T: ConfiguredTransport>() {
    let (proxy, mut requests) = http_proxy(9, Some(Pki::new().acceptor)).await;
    let options = through(&format!("https://localhost:{}", proxy.address.port()));
    let client: T = Pki::new().client();
    let error = client.get("http://origin.test/").options(options).await.unwrap_err();
    assert!(error.is_a(ErrorKind::Connection), "{error:?}");
    assert_eq!(error.send_state(), SendState::NotSent);
    assert!(requests.try_recv().is_err(), "the proxy has received no request");
}

#[tokio::test]
async fn socks_uses_the_resolver_of_the_transport() {
    let origin = RawServer::answering(std::str::from_utf8(OK).unwrap(), mpsc::unbounded_channel().0).await;
    let (proxy, mut requests) = socks_proxy(origin.address.port()).await;
    let client: networking_http::HyperTransport = Pki::new().client();
    let options = through(&format!("socks5://{}", proxy.address));
    client.get("http://origin.test/").options(options).await.unwrap();
    assert_eq!(requests.recv().await.unwrap(), "127.0.0.1:80");
}

#[tokio::test]
async fn proxy_errors_are_retryable_depending_on_their_status() {
    for (answer, status, retryability) in [
        (
            "HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n",
            "401",
            Retryability::Never,
        ),
        (
            "HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n",
            "403",
            Retryability::Never,
        ),
        ("HTTP/1.1 429 No\r\ncontent-length: 0\r\n\r\n", "429", Retryability::Now),
        ("HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n", "502", Retryability::Now),
    ] {
        let proxy = RawServer::answering(answer, mpsc::unbounded_channel().0).await;
        let client: networking_http::HyperTransport = Pki::new().client();
        let options = through(&format!("http://{}", proxy.address));
        let error = client.get("https://origin.test/").options(options).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.retryability()),
            (ErrorKind::Proxy, retryability),
            "{error:?}"
        );
        let found = error
            .context()
            .find(|(key, _)| *key == "proxy_status")
            .map(|(_, value)| value.to_owned());
        assert_eq!(found.as_deref(), Some(status));
    }
}
