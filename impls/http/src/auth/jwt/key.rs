//! Keys, each bound to the algorithms it may be used with.

use std::fmt;
use std::slice;
use std::sync::Arc;

use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use networking_spi::http::JwtAlgorithm;
use networking_spi::{NetworkError, Result};
use serde_json::Value;

/// A key that verifies tokens signed with one algorithm. A JSON Web Key without `alg` verifies all algorithms of its type.
/// Clones share the key; `Debug` does not show it.
#[derive(Clone)]
pub struct JwtKey {
    id: Option<String>,
    algorithms: Algorithms,
    key: Arc<DecodingKey>,
}

#[derive(Clone, Copy)]
enum Algorithms {
    One(JwtAlgorithm),
    Family(&'static [JwtAlgorithm]),
}

const RSA: &[JwtAlgorithm] = &[
    JwtAlgorithm::Rs256,
    JwtAlgorithm::Rs384,
    JwtAlgorithm::Rs512,
    JwtAlgorithm::Ps256,
    JwtAlgorithm::Ps384,
    JwtAlgorithm::Ps512,
];

impl JwtKey {
    /// A shared secret for HS256, HS384 or HS512.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for another algorithm, and for a secret shorter than the
    /// algorithm's hash (RFC 7518, section 3.2).
    pub fn hmac(algorithm: JwtAlgorithm, secret: &[u8]) -> Result<Self> {
        check_secret(algorithm, secret)?;
        Ok(Self::new(algorithm, DecodingKey::from_secret(secret)))
    }

    /// A public key in PEM: RSA (`RS*`, `PS*`), elliptic curve (`ES256`, `ES384`) or Ed25519 (`EdDSA`).
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for an HMAC algorithm, and for text that is not a public key
    /// of the algorithm's type.
    pub fn pem(algorithm: JwtAlgorithm, pem: &str) -> Result<Self> {
        let key = match algorithm {
            JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512 => return Err(not_for("a public key")),
            JwtAlgorithm::Es256 | JwtAlgorithm::Es384 => DecodingKey::from_ec_pem(pem.as_bytes()),
            JwtAlgorithm::EdDsa => DecodingKey::from_ed_pem(pem.as_bytes()),
            _ => DecodingKey::from_rsa_pem(pem.as_bytes()),
        };
        key.map(|key| Self::new(algorithm, key))
            .map_err(|_| NetworkError::invalid_input("pem", "is not a public key of the algorithm's type"))
    }

    /// A JSON Web Key (RFC 7517), asymmetric or symmetric. It verifies only its `alg`; without `alg`, all algorithms that fit its
    /// type and curve.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a key of an unknown type or algorithm, a key that is not for
    /// verifying signatures, and a symmetric key that has no `alg` or is shorter than the algorithm's hash.
    pub fn jwk(jwk: &Value) -> Result<Self> {
        let wrong = |message| NetworkError::invalid_input("jwk", message);
        let jwk: Jwk = serde_json::from_value(jwk.clone()).map_err(|_| wrong("is not a key of a known type"))?;
        let common = &jwk.common;
        let for_signatures = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
            && common
                .key_operations
                .as_ref()
                .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !for_signatures {
            return Err(wrong("is not for verifying signatures"));
        }
        let fits: &'static [JwtAlgorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA,
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[JwtAlgorithm::Es256],
                EllipticCurve::P384 => &[JwtAlgorithm::Es384],
                _ => return Err(wrong("has an unknown curve")),
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[JwtAlgorithm::EdDsa],
            AlgorithmParameters::OctetKey(_) => &[JwtAlgorithm::Hs256, JwtAlgorithm::Hs384, JwtAlgorithm::Hs512],
            _ => return Err(wrong("has an unknown type")),
        };
        let symmetric = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
        let algorithms = match common.key_algorithm {
            Some(named) => {
                let named = from_jwk(named).filter(|named| fits.contains(named));
                Algorithms::One(named.ok_or_else(|| wrong("has an algorithm that does not fit its type"))?)
            }
            None if symmetric => return Err(wrong("is symmetric and has no algorithm")),
            None => Algorithms::Family(fits),
        };
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| wrong("has parameters that do not decode"))?;
        if let (Algorithms::One(algorithm), true) = (algorithms, symmetric) {
            let secret = key.try_get_as_bytes().map_err(|_| wrong("has no secret"))?;
            return Ok(Self {
                id: common.key_id.clone(),
                ..Self::hmac(algorithm, secret)?
            });
        }
        Ok(Self {
            id: common.key_id.clone(),
            algorithms,
            key: Arc::new(key),
        })
    }

    fn new(algorithm: JwtAlgorithm, key: DecodingKey) -> Self {
        Self {
            id: None,
            algorithms: Algorithms::One(algorithm),
            key: Arc::new(key),
        }
    }

    /// Sets the key's id. The key then verifies only tokens that name this id or no id.
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The key's id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether a token whose header names `key_id` may be signed with this key.
    pub(super) fn answers_to(&self, key_id: Option<&str>) -> bool {
        match (self.id(), key_id) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        }
    }

    pub(super) fn allows(&self, algorithm: JwtAlgorithm) -> bool {
        self.algorithms().contains(&algorithm)
    }

    pub(super) fn is_symmetric(&self) -> bool {
        matches!(
            self.algorithms(),
            [JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512, ..]
        )
    }

    fn algorithms(&self) -> &[JwtAlgorithm] {
        match &self.algorithms {
            Algorithms::One(algorithm) => slice::from_ref(algorithm),
            Algorithms::Family(algorithms) => algorithms,
        }
    }

    /// Whether `signature` is the signature of `message` by this key.
    pub(super) fn verifies(
        &self,
        provider: &CryptoProvider,
        algorithm: JwtAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        (provider.verifier_factory)(&to_library(algorithm), &self.key)
            .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms())
            .finish_non_exhaustive()
    }
}

/// Fails for a secret shorter than the algorithm's hash, and for an algorithm that does not use secrets.
pub(super) fn check_secret(algorithm: JwtAlgorithm, secret: &[u8]) -> Result<()> {
    let shortest = match algorithm {
        JwtAlgorithm::Hs256 => 32,
        JwtAlgorithm::Hs384 => 48,
        JwtAlgorithm::Hs512 => 64,
        _ => return Err(not_for("an HMAC secret")),
    };
    if secret.len() < shortest {
        return Err(NetworkError::invalid_input(
            "secret",
            format!("must have at least {shortest} bytes"),
        ));
    }
    Ok(())
}

fn not_for(what: &str) -> NetworkError {
    NetworkError::invalid_input("algorithm", format!("is not an algorithm for {what}"))
}

pub(super) const fn to_library(algorithm: JwtAlgorithm) -> Algorithm {
    match algorithm {
        JwtAlgorithm::Hs256 => Algorithm::HS256,
        JwtAlgorithm::Hs384 => Algorithm::HS384,
        JwtAlgorithm::Hs512 => Algorithm::HS512,
        JwtAlgorithm::Rs256 => Algorithm::RS256,
        JwtAlgorithm::Rs384 => Algorithm::RS384,
        JwtAlgorithm::Rs512 => Algorithm::RS512,
        JwtAlgorithm::Ps256 => Algorithm::PS256,
        JwtAlgorithm::Ps384 => Algorithm::PS384,
        JwtAlgorithm::Ps512 => Algorithm::PS512,
        JwtAlgorithm::Es256 => Algorithm::ES256,
        JwtAlgorithm::Es384 => Algorithm::ES384,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    }
}

const fn from_jwk(algorithm: KeyAlgorithm) -> Option<JwtAlgorithm> {
    Some(match algorithm {
        KeyAlgorithm::HS256 => JwtAlgorithm::Hs256,
        KeyAlgorithm::HS384 => JwtAlgorithm::Hs384,
        KeyAlgorithm::HS512 => JwtAlgorithm::Hs512,
        KeyAlgorithm::RS256 => JwtAlgorithm::Rs256,
        KeyAlgorithm::RS384 => JwtAlgorithm::Rs384,
        KeyAlgorithm::RS512 => JwtAlgorithm::Rs512,
        KeyAlgorithm::PS256 => JwtAlgorithm::Ps256,
        KeyAlgorithm::PS384 => JwtAlgorithm::Ps384,
        KeyAlgorithm::PS512 => JwtAlgorithm::Ps512,
        KeyAlgorithm::ES256 => JwtAlgorithm::Es256,
        KeyAlgorithm::ES384 => JwtAlgorithm::Es384,
        KeyAlgorithm::EdDSA => JwtAlgorithm::EdDsa,
        _ => return None,
    })
}
