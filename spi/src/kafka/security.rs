//! Encryption and credentials of a client.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::names::named_enum;
use crate::secret::Secret;
use crate::validate::{self, Validate};

named_enum! {
    "sasl.mechanism",
    /// A SASL mechanism.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum SaslMechanism {
        /// User name and password in plain text. Requires TLS.
        Plain => "PLAIN",
        /// SCRAM with SHA-256 (RFC 5802, RFC 7677).
        ScramSha256 => "SCRAM-SHA-256",
        /// SCRAM with SHA-512.
        ScramSha512 => "SCRAM-SHA-512",
        /// OAuth 2 bearer tokens (RFC 7628).
        OAuthBearer => "OAUTHBEARER",
    }
}

/// Credentials for SASL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SaslConfig {
    /// The mechanism.
    pub mechanism: SaslMechanism,
    /// The user name; for `OAUTHBEARER`, the principal.
    pub username: String,
    /// The password; for `OAUTHBEARER`, the token.
    pub password: Secret,
}

impl SaslConfig {
    /// Credentials.
    pub fn new(mechanism: SaslMechanism, username: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self {
            mechanism,
            username: username.into(),
            password: password.into(),
        }
    }
}

/// TLS settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The trusted CA certificates, in PEM. `None`: those of the operating system.
    pub ca_pem: Option<String>,
    /// The certificate chain of the client, in PEM.
    pub certificate_pem: Option<String>,
    /// The private key of the client, in PEM.
    pub key_pem: Option<Secret>,
    /// Whether certificates for any host name are accepted. Only for tests.
    pub accept_any_hostname: bool,
}

/// Encryption and credentials of a client. The default is plain text without credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KafkaSecurity {
    /// TLS; `None`: plain text.
    pub tls: Option<TlsConfig>,
    /// Credentials; `None`: the client is anonymous, or authenticated by its certificate.
    pub sasl: Option<SaslConfig>,
}

impl KafkaSecurity {
    /// Plain text without credentials.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enables TLS.
    pub fn with_tls(mut self, tls: TlsConfig) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Sets the credentials.
    pub fn with_sasl(mut self, sasl: SaslConfig) -> Self {
        self.sasl = Some(sasl);
        self
    }

    /// Kafka's `security.protocol` for this configuration (for example `SASL_SSL`).
    pub const fn protocol(&self) -> &'static str {
        match (&self.tls, &self.sasl) {
            (None, None) => "PLAINTEXT",
            (Some(_), None) => "SSL",
            (None, Some(_)) => "SASL_PLAINTEXT",
            (Some(_), Some(_)) => "SASL_SSL",
        }
    }
}

impl Validate for KafkaSecurity {
    fn validate(&self) -> Result<()> {
        if let Some(sasl) = &self.sasl {
            validate::not_blank(&sasl.username, "sasl.username")?;
            validate::ensure(!sasl.password.is_empty(), "sasl.password", "must not be empty")?;
            validate::ensure(
                sasl.mechanism != SaslMechanism::Plain || self.tls.is_some(),
                "sasl.mechanism",
                "PLAIN sends the password in plain text, and requires tls",
            )?;
        }
        if let Some(tls) = &self.tls {
            validate::ensure(
                tls.certificate_pem.is_some() == tls.key_pem.is_some(),
                "tls.key_pem",
                "certificate_pem and key_pem must be set together",
            )?;
        }
        Ok(())
    }
}
