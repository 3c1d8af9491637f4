//! Client certificates.

use networking_spi::Result;
use networking_spi::secret::Secret;
use networking_spi::validate::{self, Validate};
use serde::{Deserialize, Serialize};

/// A certificate that a client presents to servers that request one (mutual TLS).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ClientIdentity {
    /// The certificate, followed by its intermediates, as PEM.
    pub certificates: String,
    /// The private key of the certificate as PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub private_key: Secret,
}

impl ClientIdentity {
    /// A certificate, followed by its intermediates if there are any, and its private key.
    pub fn from_pem(certificates: impl Into<String>, private_key: impl Into<Secret>) -> Self {
        Self {
            certificates: certificates.into(),
            private_key: private_key.into(),
        }
    }
}

impl Validate for ClientIdentity {
    fn validate(&self) -> Result<()> {
        validate::not_blank(&self.certificates, "certificates")?;
        validate::not_blank(self.private_key.expose(), "private_key")
    }
}
