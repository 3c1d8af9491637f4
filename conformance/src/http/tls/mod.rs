//! The TLS of the origin: an authority that clients trust, and certificates of it and of others.

mod provider;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use networking_spi::clock::{Clock, SystemClock};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::version::TLS13;

use crate::kit::Failure;

/// The certificate of a server at `localhost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificate {
    /// Issued by the authority that clients trust.
    Trusted,
    /// Issued by another authority.
    Untrusted,
    /// Signed with its own key.
    SelfSigned,
    /// No longer valid, otherwise as `Trusted`.
    Expired,
    /// Not yet valid, otherwise as `Trusted`.
    Early,
    /// For another name, otherwise as `Trusted`.
    OtherName,
}

/// The application protocols that a server selects from (RFC 7301), in its order of preference.
pub(super) type Protocols = &'static [&'static str];

type Authority = CertifiedIssuer<'static, KeyPair>;

/// The authority that clients trust. One for the process, so that harnesses can keep their clients.
static AUTHORITY: LazyLock<(Authority, String)> = LazyLock::new(|| {
    let authority = authority("Conformance test authority").expect("the parameters are valid");
    let pem = authority.pem();
    (authority, pem)
});

/// The certificate of the authority that clients trust, as PEM.
pub(super) fn root_certificate() -> &'static str {
    &AUTHORITY.1
}

/// Accepts TLS connections with this certificate.
pub(super) fn acceptor(certificate: Certificate, protocols: Protocols) -> Result<TlsAcceptor, Failure> {
    let failure = |error: &dyn std::error::Error| Failure::new(format!("no TLS server: {error}"));
    let (chain, key) = issue(certificate).map_err(|error| failure(&error))?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider::provider()))
        .with_protocol_versions(&[&TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![chain], key))
        .map_err(|error| failure(&error))?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn issue(certificate: Certificate) -> Result<(CertificateDer<'static>, KeyPair), rcgen::Error> {
    const DAY: Duration = Duration::from_secs(86_400);
    let name = match certificate {
        Certificate::OtherName => "other.test",
        _ => "localhost",
    };
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Some verifiers refuse certificates of servers that are valid for more than 825 days.
    let now = SystemClock::new().now();
    (params.not_before, params.not_after) = match certificate {
        Certificate::Expired => (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1)),
        Certificate::Early => (date_time_ymd(3001, 1, 1), date_time_ymd(3002, 1, 1)),
        _ => ((now - DAY).into(), (now + 30 * DAY).into()),
    };
    let key = KeyPair::generate()?;
    let signed = match certificate {
        Certificate::SelfSigned => params.self_signed(&key)?,
        Certificate::Untrusted => params.signed_by(&key, &*authority("Another authority")?)?,
        _ => params.signed_by(&key, &AUTHORITY.0)?,
    };
    Ok((signed.der().clone(), key))
}

fn authority(name: &str) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}
