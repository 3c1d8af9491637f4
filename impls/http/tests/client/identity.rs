//! Client certificates, and configured root certificates.

use std::sync::Arc;

use networking_http::{ClientIdentity, ConfiguredTransport, SystemResolver, TransportConfig};
use networking_spi::ErrorKind;
use networking_spi::http::HttpClientExt;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::raw::{RawServer, read_head_of};

super::for_each_transport!(
    a_client_certificate_is_sent,
    system_roots_can_be_disabled,
    an_invalid_identity_names_its_field,
);

/// A certificate authority that clients and servers trust.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for a name, and its key.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    fn identity(&self) -> ClientIdentity {
        let (certificate, key) = self.issue("client.test");
        ClientIdentity::from_pem(certificate.pem(), key.serialize_pem())
    }

    /// A server for `localhost`. It requires a client certificate if `demanding` is set.
    async fn server(&self, demanding: bool) -> RawServer {
        let (certificate, key) = self.issue("localhost");
        let builder = ServerConfig::builder();
        let builder = if demanding {
            let mut roots = RootCertStore::empty();
            roots.add(self.0.der().clone()).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let config = builder
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        RawServer::start(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    read_head_of(&mut stream).await;
                    let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                    let _ = stream.shutdown().await;
                }
            }
        })
        .await
    }
}

fn client<T: ConfiguredTransport>(config: TransportConfig) -> T {
    T::from_config(config, Arc::new(SystemResolver)).unwrap()
}

async fn a_client_certificate_is_sent<T: ConfiguredTransport>() {
    let authority = Authority::new();
    let server = authority.server(true).await;
    let url = format!("https://localhost:{}/", server.address.port());
    let trusting = || TransportConfig::new().with_root_certificate(authority.0.pem());

    let known: T = client(trusting().with_client_identity(authority.identity()));
    assert_eq!(known.get(&url).await.unwrap().status, 204);

    let anonymous: T = client(trusting());
    let error = anonymous.get(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");

    let untrusted: T = client(trusting().with_client_identity(Authority::new().identity()));
    let error = untrusted.get(&url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
}

async fn system_roots_can_be_disabled<T: ConfiguredTransport>() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = authority.server(false).await;
    let url = format!("https://localhost:{}/", server.address.port());
    let only = |pem: String| {
        TransportConfig::new()
            .with_system_roots(false)
            .with_root_certificate(pem)
    };
    let trusting: T = client(only(authority.0.pem()));
    assert_eq!(trusting.get(&url).await.unwrap().status, 204);
    for config in [only(other.0.pem()), TransportConfig::new().with_system_roots(false)] {
        let distrusting: T = client(config);
        assert_eq!(distrusting.get(&url).await.unwrap_err().kind(), ErrorKind::Tls);
    }
}

async fn an_invalid_identity_names_its_field<T: ConfiguredTransport>() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("client.test");
    let (_, foreign_key) = authority.issue("other.test");
    let (certificate, key) = (certificate.pem(), key.serialize_pem());
    for (identity, field) in [
        (ClientIdentity::from_pem("", key.clone()), "certificates"),
        (ClientIdentity::from_pem("no PEM", key.clone()), "certificates"),
        (ClientIdentity::from_pem(certificate.clone(), ""), "private_key"),
        (ClientIdentity::from_pem(certificate.clone(), "no PEM"), "private_key"),
        (
            ClientIdentity::from_pem(certificate, foreign_key.serialize_pem()),
            "private_key",
        ),
    ] {
        let config = TransportConfig::new().with_client_identity(identity);
        let error = T::from_config(config, Arc::new(SystemResolver)).unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some(&*format!("client_identity.{field}")))
        );
    }
    let shown = format!(
        "{:?}",
        TransportConfig::new().with_client_identity(authority.identity())
    );
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}
