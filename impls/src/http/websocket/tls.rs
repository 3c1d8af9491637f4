//! Trust, as the HTTP transport has it.

use std::sync::Arc;

use networking_spi::{ErrorKind, NetworkError, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use super::OPERATION;
use crate::http::ReqwestConfig;

pub(super) fn connector(config: &ReqwestConfig) -> Result<TlsConnector> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if config.verify_tls {
        let roots = roots(config)?;
        Arc::new(Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).map_err(unusable)?)
    } else {
        Arc::new(AnyCertificate(Arc::clone(&provider)))
    };
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(client)))
}

fn roots(config: &ReqwestConfig) -> Result<Vec<CertificateDer<'static>>> {
    let mut roots = Vec::new();
    for pem in &config.root_certificates {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            roots.push(
                certificate.map_err(|error| {
                    NetworkError::invalid_input("root_certificates", "is not PEM").with_source(error)
                })?,
            );
        }
    }
    Ok(roots)
}

fn unusable(error: rustls::Error) -> NetworkError {
    NetworkError::new(ErrorKind::Tls, OPERATION, "TLS cannot be set up on this machine").with_source(error)
}

/// For servers of one's own: `verify_tls: false`.
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
