//! The TLS configuration of a transport: trusted roots and client certificate.

use std::sync::Arc;

use networking_spi::error::ResultExt;
use networking_spi::{ErrorKind, NetworkError, Result};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_platform_verifier::Verifier;

use super::config::TransportConfig;
use super::identity::ClientIdentity;

/// The rustls configuration of a transport that offers `protocols` (ALPN). `None` without a crypto provider: TLS then fails with
/// [`not_built`].
///
/// Without `verify`, every certificate is accepted, and a warning is logged.
pub(crate) fn client_config(
    config: &TransportConfig,
    verify: bool,
    protocols: &[&[u8]],
) -> Result<Option<Arc<ClientConfig>>> {
    let Some(provider) = provider() else {
        return Ok(None);
    };
    let roots = roots(config)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = if verify {
        verified(builder, roots, config.system_roots, &provider)?
    } else {
        tracing::warn!("TLS certificates are NOT verified: an attacker on the network can read and change all data");
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
    };
    let mut client = match &config.client_identity {
        Some(identity) => with_identity(builder, identity).in_field("client_identity")?,
        None => builder.with_no_client_auth(),
    };
    client.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Some(Arc::new(client)))
}

/// The crypto provider that the process has installed, else the provider of this build.
fn provider() -> Option<Arc<CryptoProvider>> {
    CryptoProvider::get_default().cloned().or_else(built_in)
}

#[cfg(feature = "aws-lc-rs")]
#[allow(clippy::unnecessary_wraps, reason = "other builds have none")]
fn built_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
#[allow(clippy::unnecessary_wraps, reason = "other builds have none")]
fn built_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
fn built_in() -> Option<Arc<CryptoProvider>> {
    None
}

/// The error of TLS in a build without cryptography, if the process has installed no provider.
pub(crate) fn not_built() -> NetworkError {
    NetworkError::not_built("http.request", "tls", "aws-lc-rs")
}

type Unverified = ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn verified(
    builder: Unverified,
    roots: Vec<CertificateDer<'static>>,
    system_roots: bool,
    provider: &Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    if system_roots {
        let own = !roots.is_empty();
        match Verifier::new_with_extra_roots(roots, Arc::clone(provider)) {
            Ok(verifier) => {
                return Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)));
            }
            // On a machine without CA certificates, plain HTTP must work; TLS fails when it is used.
            Err(error) if !own => {
                tracing::warn!(reason = %error, "no CA certificates are trusted");
                return Ok(builder.with_root_certificates(RootCertStore::empty()));
            }
            Err(error) => return Err(unusable(error)),
        }
    }
    let mut store = RootCertStore::empty();
    for certificate in roots {
        store.add(certificate).map_err(|error| {
            NetworkError::invalid_input("root_certificates", "has a certificate that cannot be a root")
                .with_source(error)
        })?;
    }
    Ok(builder.with_root_certificates(store))
}

fn with_identity(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: &ClientIdentity,
) -> Result<ClientConfig> {
    let chain = certificates(&identity.certificates, "certificates")?;
    // The parser's error is omitted, because it could quote the key.
    let key = PrivateKeyDer::from_pem_slice(identity.private_key.expose().as_bytes())
        .map_err(|_| NetworkError::invalid_input("private_key", "is not a private key in PEM"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        NetworkError::invalid_input("private_key", "is not the key of the certificate").with_source(error)
    })
}

fn roots(config: &TransportConfig) -> Result<Vec<CertificateDer<'static>>> {
    let mut roots = Vec::new();
    for pem in &config.root_certificates {
        roots.extend(certificates(pem, "root_certificates")?);
    }
    Ok(roots)
}

fn certificates(pem: &str, field: &str) -> Result<Vec<CertificateDer<'static>>> {
    let parsed: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| NetworkError::invalid_input(field, "is not PEM").with_source(error))?;
    if parsed.is_empty() {
        return Err(NetworkError::invalid_input(field, "has no certificate in it"));
    }
    Ok(parsed)
}

fn unusable(error: rustls::Error) -> NetworkError {
    NetworkError::new(ErrorKind::Tls, "http.build", "TLS cannot be set up on this machine").with_source(error)
}

/// Accepts every certificate (`verify_tls: false`).
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
