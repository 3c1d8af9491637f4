//! Tokens that the client signs.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::EncodingKey;
use networking_spi::http::JwtAlgorithm;
use networking_spi::secret::Secret;
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result};
use serde_json::{Map, Value, json};

use super::es512;
use super::key::{check_secret, to_library};
use super::provider::provider;

/// The claims that are set by fields of a [`SignedJwt`].
const OWN_CLAIMS: [&str; 6] = ["iss", "sub", "aud", "iat", "exp", "jti"];

/// A key that signs tokens of one algorithm. Clones share the key; `Debug` does not show it.
#[derive(Clone)]
pub struct JwtSigningKey {
    id: Option<String>,
    algorithm: JwtAlgorithm,
    key: Arc<EncodingKey>,
}

impl JwtSigningKey {
    /// A shared secret for HS256, HS384 or HS512.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for another algorithm, and for a secret shorter than the algorithm's hash
    /// (RFC 7518, section 3.2).
    pub fn hmac(algorithm: JwtAlgorithm, secret: &[u8]) -> Result<Self> {
        check_secret(algorithm, secret)?;
        Ok(Self::new(algorithm, EncodingKey::from_secret(secret)))
    }

    /// A private key in PEM: RSA (`RS*`, `PS*`), elliptic curve in PKCS #8 (`ES256`, `ES384`, `ES512`) or Ed25519
    /// (`EdDSA`).
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an HMAC algorithm, and for text that is not a private key of the algorithm's
    /// type; [`Unsupported`](ErrorKind::Unsupported) in a build without cryptography, and for `ES512` without the feature
    /// `aws-lc-rs`.
    pub fn pem(algorithm: JwtAlgorithm, pem: &str) -> Result<Self> {
        let pem = pem.as_bytes();
        let key = match algorithm {
            JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512 => {
                return Err(NetworkError::invalid_input(
                    "algorithm",
                    "is not an algorithm for a private key",
                ));
            }
            JwtAlgorithm::Es256 | JwtAlgorithm::Es384 | JwtAlgorithm::Es512 => EncodingKey::from_ec_pem(pem),
            JwtAlgorithm::EdDsa => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        };
        // The cause is omitted, because it could contain a part of the key.
        let wrong = || NetworkError::invalid_input("pem", "is not a private key of the algorithm's type");
        let key = Self::new(algorithm, key.map_err(|_| wrong())?);
        // The PEM label may be wrong: a trial signature shows whether the key works.
        key.sign(b"").map_err(|error| match error.kind() {
            ErrorKind::Unsupported => error,
            _ => wrong(),
        })?;
        Ok(key)
    }

    fn new(algorithm: JwtAlgorithm, key: EncodingKey) -> Self {
        Self {
            id: None,
            algorithm,
            key: Arc::new(key),
        }
    }

    /// A key that is not one of its algorithm.
    #[cfg(test)]
    pub(crate) fn unusable() -> Self {
        Self::new(JwtAlgorithm::Rs256, EncodingKey::from_secret(b"secret"))
    }

    /// Sets the key's id, which tokens name in their header (`kid`).
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>> {
        const OPERATION: &str = "http.jwt";
        let provider = provider(OPERATION)?;
        let signature = if let Some(algorithm) = to_library(self.algorithm) {
            (provider.signer_factory)(&algorithm, &self.key)
                .ok()
                .and_then(|signer| signer.try_sign(message).ok())
        } else {
            es512::require(OPERATION)?;
            es512::sign(self.key.as_bytes(), message)
        };
        signature.ok_or_else(|| NetworkError::new(ErrorKind::Internal, OPERATION, "the token could not be signed"))
    }
}

impl PartialEq for JwtSigningKey {
    /// Whether the keys are clones of each other.
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.algorithm == other.algorithm && Arc::ptr_eq(&self.key, &other.key)
    }
}

impl Eq for JwtSigningKey {}

impl fmt::Debug for JwtSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtSigningKey")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The key and the claims of tokens that a client signs: for its requests
/// ([`Credentials::signed_jwt`](crate::layer::Credentials::signed_jwt)), or to request an access token (RFC 7523).
///
/// ```
/// use networking_http::jwt::{JwtSigningKey, SignedJwt};
/// use networking_http::layer::Credentials;
/// use networking_spi::http::JwtAlgorithm;
///
/// let key = JwtSigningKey::hmac(JwtAlgorithm::Hs256, b"a secret of thirty-two bytes ...")?.with_id("2026-01");
/// let jwt = SignedJwt::new(key).with_issuer("billing").with_audience("https://api.example.com");
/// let credentials = Credentials::signed_jwt(jwt)?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignedJwt {
    /// The key.
    pub key: JwtSigningKey,
    /// `iss`.
    pub issuer: Option<String>,
    /// `sub`.
    pub subject: Option<String>,
    /// `aud`. `None`: the origin of the request (`https://api.example.com`), or the URL of the token endpoint.
    pub audience: Option<String>,
    /// The time from `iat` to `exp`: from 1 s to 1 day.
    pub lifetime: Duration,
    /// Further claims.
    pub claims: Map<String, Value>,
}

impl SignedJwt {
    /// Tokens with a lifetime of 5 min and the claims `aud`, `iat`, `exp` and `jti`.
    pub fn new(key: JwtSigningKey) -> Self {
        Self {
            key,
            issuer: None,
            subject: None,
            audience: None,
            lifetime: Duration::from_secs(300),
            claims: Map::new(),
        }
    }

    /// Sets `iss`.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets `sub`.
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Sets `aud`.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Sets the time from `iat` to `exp`.
    pub fn with_lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Adds a claim.
    pub fn with_claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.claims.insert(name.into(), value.into());
        self
    }

    /// A token issued at `now`. The field `audience` takes precedence over the argument.
    pub(crate) fn sign(&self, audience: &str, now: SystemTime) -> Result<Secret> {
        let issued = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = self.claims.clone();
        for (name, value) in [("iss", &self.issuer), ("sub", &self.subject)] {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value.as_str().into());
            }
        }
        claims.insert("aud".to_owned(), self.audience.as_deref().unwrap_or(audience).into());
        claims.insert("iat".to_owned(), issued.into());
        claims.insert("exp".to_owned(), (issued + self.lifetime.as_secs()).into());
        // It must be unique, but need not be secret.
        claims.insert("jti".to_owned(), format!("{:032x}", fastrand::u128(..)).into());
        let mut header = json!({"typ": "JWT", "alg": self.key.algorithm.to_string()});
        if let Some(id) = &self.key.id {
            header["kid"] = id.as_str().into();
        }
        let encode = |json: String| URL_SAFE_NO_PAD.encode(json);
        let message = format!(
            "{}.{}",
            encode(header.to_string()),
            encode(Value::Object(claims).to_string())
        );
        let signature = self.key.sign(message.as_bytes())?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)).into())
    }
}

impl Validate for SignedJwt {
    fn validate(&self) -> Result<()> {
        validate::ensure(
            (Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&self.lifetime),
            "lifetime",
            "must be from 1 s to 1 day",
        )?;
        match OWN_CLAIMS.into_iter().find(|name| self.claims.contains_key(*name)) {
            Some(name) => Err(NetworkError::invalid_input(
                format!("claims.{name}"),
                "is set by a field of the token",
            )),
            None => Ok(()),
        }
    }
}
