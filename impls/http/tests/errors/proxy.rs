//! Proxies that fail.

use networking_spi::http::{ProxyConfig, RequestOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::errors::backend::{Backend, Failed, SECRET, failing, post};
use crate::errors::exchange::until_closed;
use crate::raw::{RawServer, closed_port, read_head};

/// The client does not resolve this name: the proxy does.
const HTTP: &str = "http://origin.test/";
const HTTPS: &str = "https://origin.test/";
/// An address, because with `socks5` the client would resolve a name.
const BY_ADDRESS: &str = "http://127.0.0.1:9/";

pub(crate) async fn proxy_refused(backend: &Backend) -> Failed {
    through(backend, "http", closed_port(), HTTP).await
}

pub(crate) async fn proxy_refused_for_tunnel(backend: &Backend) -> Failed {
    through(backend, "http", closed_port(), HTTPS).await
}

pub(crate) async fn proxy_407(backend: &Backend) -> Failed {
    answering(backend, "HTTP/1.1 407 Proxy Authentication Required", HTTP).await
}

pub(crate) async fn proxy_407_for_tunnel(backend: &Backend) -> Failed {
    answering(backend, "HTTP/1.1 407 Proxy Authentication Required", HTTPS).await
}

pub(crate) async fn tunnel_refused(backend: &Backend) -> Failed {
    answering(backend, "HTTP/1.1 503 Service Unavailable", HTTPS).await
}

pub(crate) async fn tunnel_cut_short(backend: &Backend) -> Failed {
    let proxy = RawServer::start(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    through(backend, "http", proxy.address.port(), HTTPS).await
}

pub(crate) async fn socks_refused(backend: &Backend) -> Failed {
    through(backend, "socks5", closed_port(), BY_ADDRESS).await
}

/// RFC 1928: no authentication, then reply 5, "connection refused".
pub(crate) async fn socks_failure(backend: &Backend) -> Failed {
    socks(backend, &[&[5, 0], &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]]).await
}

pub(crate) async fn socks_garbage(backend: &Backend) -> Failed {
    socks(backend, &[b"220 mail.test ESMTP\r\n"]).await
}

/// RFC 1929: user name and password are requested, and refused.
pub(crate) async fn socks_credentials(backend: &Backend) -> Failed {
    socks(backend, &[&[5, 2], &[1, 1]]).await
}

/// A SOCKS proxy that sends the next entry of `script` after each message that it receives.
async fn socks(backend: &Backend, script: &'static [&'static [u8]]) -> Failed {
    let proxy = RawServer::start(move |mut stream| async move {
        for reply in script {
            let _ = stream.read(&mut [0; 1_024]).await;
            let _ = stream.write_all(reply).await;
        }
        until_closed(&mut stream).await;
    })
    .await;
    through(backend, "socks5", proxy.address.port(), BY_ADDRESS).await
}

async fn answering(backend: &Backend, status_line: &'static str, url: &str) -> Failed {
    let proxy = RawServer::start(move |mut stream| async move {
        read_head(&mut stream).await;
        let head = format!("{status_line}\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        until_closed(&mut stream).await;
    })
    .await;
    through(backend, "http", proxy.address.port(), url).await
}

async fn through(backend: &Backend, scheme: &str, port: u16, url: &str) -> Failed {
    let proxy = ProxyConfig::new(format!("{scheme}://127.0.0.1:{port}").parse().unwrap());
    let options = RequestOptions::new().with_proxy(proxy.with_credentials("user", SECRET));
    failing(&*backend.client(), post(url).with_options(options)).await
}
