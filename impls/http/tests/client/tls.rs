//! TLS: which certificates are trusted.

use std::sync::Arc;

use networking_http::{ConfiguredTransport, SystemResolver, TransportConfig};
use networking_spi::http::{HttpClientExt, RequestOptions};
use networking_spi::{ErrorKind, SendState};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::raw::{RawServer, read_head_of};

/// A server with a self-signed certificate for `localhost`, and the certificate in PEM.
async fn server() -> (RawServer, String) {
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
            if let Ok(mut stream) = acceptor.accept(stream).await {
                read_head_of(&mut stream).await;
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        }
    })
    .await;
    (server, certified.cert.pem())
}

fn transport<T: ConfiguredTransport>(config: TransportConfig) -> T {
    T::from_config(config, Arc::new(SystemResolver)).unwrap()
}

super::for_each_transport!(
    an_unknown_certificate_is_a_tls_error,
    a_certificate_can_be_trusted,
    a_request_can_disable_verification,
);

fn url(server: &RawServer, host: &str) -> String {
    format!("https://{host}:{}/", server.address.port())
}

async fn an_unknown_certificate_is_a_tls_error<T: ConfiguredTransport>() {
    let (server, _) = server().await;
    let client = transport::<T>(TransportConfig::new());
    let error = client.post(url(&server, "localhost")).body("x").await.unwrap_err();
    assert_eq!((error.kind(), error.send_state()), (ErrorKind::Tls, SendState::NotSent));
    assert!(!error.retryability().is_retryable());
}

async fn a_certificate_can_be_trusted<T: ConfiguredTransport>() {
    let (server, pem) = server().await;
    let client = transport::<T>(TransportConfig::new().with_root_certificate(pem));
    assert_eq!(client.get(url(&server, "localhost")).await.unwrap().status, 204);
    let error = client.get(url(&server, "127.0.0.1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "the certificate is not for this name");
}

async fn a_request_can_disable_verification<T: ConfiguredTransport>() {
    let (server, _) = server().await;
    let client = transport::<T>(TransportConfig::new());
    let options = RequestOptions::new().with_verify_tls(false);
    assert_eq!(
        client
            .get(url(&server, "127.0.0.1"))
            .options(options)
            .await
            .unwrap()
            .status,
        204
    );
    let error = client.get(url(&server, "127.0.0.1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "other requests are still verified");
}
