//! TLS failures.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::errors::backend::{Backend, ConnectSettings, Failed, failing, post};
use crate::errors::exchange::until_closed;
use crate::raw::RawServer;

pub(crate) async fn handshake_timeout(backend: &Backend) -> Failed {
    let connected = Arc::new(Notify::new());
    let noted = Arc::clone(&connected);
    let server = RawServer::start(move |mut stream| {
        let connected = Arc::clone(&connected);
        async move {
            connected.notify_one();
            until_closed(&mut stream).await;
        }
    })
    .await;
    let settings = ConnectSettings {
        connect_timeout: Duration::from_secs(5),
        ..ConnectSettings::default()
    };
    let client = backend.client_with(settings, |builder| builder);
    let request = post(&format!("https://{}/", server.address));
    let (failed, ()) = tokio::join!(failing(&*client, request), async {
        noted.notified().await;
        tokio::time::pause();
    });
    failed
}

pub(crate) async fn handshake_cut_short(backend: &Backend) -> Failed {
    let server = RawServer::start(|mut stream| async move {
        // Reads the ClientHello first: closing with unread bytes would reset the connection.
        let _ = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 4_096]).await;
    })
    .await;
    failing(&*backend.client(), post(&format!("https://{}/", server.address))).await
}

pub(crate) async fn plaintext_peer(backend: &Backend) -> Failed {
    let server = RawServer::start(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await;
        until_closed(&mut stream).await;
    })
    .await;
    failing(&*backend.client(), post(&format!("https://{}/", server.address))).await
}

pub(crate) async fn untrusted_certificate(backend: &Backend) -> Failed {
    let trusted = Authority::new("trusted");
    handshake(backend, &Authority::new("anybody"), Some(trusted.pem()), localhost()).await
}

pub(crate) async fn wrong_name(backend: &Backend) -> Failed {
    let authority = Authority::new("trusted");
    let params = CertificateParams::new(["other.test".to_owned()]).unwrap();
    handshake(backend, &authority, Some(authority.pem()), params).await
}

pub(crate) async fn expired_certificate(backend: &Backend) -> Failed {
    let authority = Authority::new("trusted");
    let mut params = localhost();
    params.not_before = date_time_ymd(2001, 1, 1);
    params.not_after = date_time_ymd(2002, 1, 1);
    handshake(backend, &authority, Some(authority.pem()), params).await
}

pub(crate) async fn early_certificate(backend: &Backend) -> Failed {
    let authority = Authority::new("trusted");
    let mut params = localhost();
    params.not_before = date_time_ymd(3001, 1, 1);
    params.not_after = date_time_ymd(3002, 1, 1);
    handshake(backend, &authority, Some(authority.pem()), params).await
}

fn localhost() -> CertificateParams {
    CertificateParams::new(["localhost".to_owned()]).unwrap()
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }
}

/// A call to `localhost`, whose certificate `authority` has issued from `params`.
async fn handshake(
    backend: &Backend,
    authority: &Authority,
    root: Option<String>,
    params: CertificateParams,
) -> Failed {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, &authority.0).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = RawServer::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            assert!(
                acceptor.accept(stream).await.is_err(),
                "the client aborts the handshake"
            );
        }
    })
    .await;
    let settings = ConnectSettings {
        root,
        ..ConnectSettings::default()
    };
    let client = backend.client_with(settings, |builder| builder);
    failing(&*client, post(&format!("https://localhost:{}/", server.address.port()))).await
}
