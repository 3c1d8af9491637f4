//! Keys, each bound to the algorithms it may be used with.

use std::fmt;
use std::slice;
use std::sync::Arc;

use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::{Algorithm, DecodingKey};
use networking_spi::http::JwtAlgorithm;
use networking_spi::{NetworkError, Result};
use serde_json::Value;
use simple_asn1::ASN1Block;

use super::public_key::{self, Curve};
use super::{OPERATION, es512, jwk};

/// A key that verifies tokens signed with one algorithm. A JSON Web Key without `alg` verifies all algorithms of its type.
/// Clones share the key; `Debug` does not show it.
#[derive(Clone)]
pub struct JwtKey {
    id: Option<String>,
    algorithms: Algorithms,
    material: Arc<Material>,
}

#[derive(Clone, Copy)]
pub(super) enum Algorithms {
    One(JwtAlgorithm),
    Family(&'static [JwtAlgorithm]),
}

pub(super) enum Material {
    Library(DecodingKey),
    /// An uncompressed point, for ES512, which the library does not have.
    P521(Vec<u8>),
}

impl Material {
    /// An uncompressed point.
    pub(super) fn on_curve(curve: Curve, point: Vec<u8>) -> Result<Self> {
        match curve {
            Curve::P256 | Curve::P384 => Ok(Self::Library(DecodingKey::from_ec_der(&point))),
            Curve::P521 => es512::require(OPERATION).map(|()| Self::P521(point)),
        }
    }
}

pub(super) const RSA: &[JwtAlgorithm] = &[
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
        let material = Material::Library(DecodingKey::from_secret(secret));
        Ok(Self::new(None, Algorithms::One(algorithm), material))
    }

    /// A public key, or a certificate with one, in PEM: RSA of at least 2048 bits (`RS*`, `PS*`), elliptic curve (`ES256`: P-256,
    /// `ES384`: P-384, `ES512`: P-521) or Ed25519 (`EdDSA`).
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for the field `algorithm` if it is an HMAC algorithm, and for the
    /// field `pem` if the text is a private key, or not a public key of the algorithm's type and curve, or a key with which no
    /// token can be verified; [`Unsupported`](networking_spi::ErrorKind::Unsupported) for `ES512` in a build without the feature
    /// `aws-lc-rs`.
    pub fn pem(algorithm: JwtAlgorithm, pem: &str) -> Result<Self> {
        let wrong = |message| NetworkError::invalid_input("pem", message);
        let other_type = |_| wrong("is not a public key of the algorithm's type");
        if let JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512 = algorithm {
            return Err(not_for("a public key"));
        }
        if is_private(pem) {
            return Err(wrong("is a private key; tokens are verified with its public key"));
        }
        let (pem, curve) = (pem.as_bytes(), curve_of(algorithm));
        let material = if let Some(curve) = curve {
            let key = DecodingKey::from_ec_pem(pem).map_err(other_type)?;
            let point = key.try_get_as_bytes().map_err(other_type)?;
            Material::on_curve(curve, curve.encoded_point(point).map_err(wrong)?)?
        } else if algorithm == JwtAlgorithm::EdDsa {
            let key = DecodingKey::from_ed_pem(pem).map_err(other_type)?;
            public_key::ed25519(key.try_get_as_bytes().map_err(other_type)?).map_err(wrong)?;
            Material::Library(key)
        } else {
            let key = DecodingKey::from_rsa_pem(pem).map_err(other_type)?;
            let numbers = rsa_numbers(key.try_get_as_bytes().map_err(other_type)?);
            let (n, e) = numbers.ok_or_else(|| wrong("is not a public key of the algorithm's type"))?;
            let (n, e) = public_key::rsa(&n, &e).map_err(wrong)?;
            Material::Library(DecodingKey::from_rsa_raw_components(&n, &e))
        };
        Ok(Self::new(None, Algorithms::One(algorithm), material))
    }

    /// A JSON Web Key (RFC 7517), asymmetric or symmetric. It verifies only its `alg`; without `alg`, all algorithms that fit its
    /// type and curve. Numbers may have leading zeros, and base64url may have padding.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for the field `jwk`: a key of an unknown type, curve or algorithm;
    /// a private key; a key that is not for verifying signatures (`use`, `key_ops`), or whose `alg` does not fit its type; an RSA
    /// key of fewer than 2048 bits, or with an even modulus or exponent; a point that is not on the curve; a symmetric key
    /// without `alg`. For the field `secret`: a symmetric key shorter than the algorithm's hash.
    /// [`Unsupported`](networking_spi::ErrorKind::Unsupported) for the curve P-521 in a build without the feature `aws-lc-rs`.
    pub fn jwk(jwk: &Value) -> Result<Self> {
        jwk::read(jwk)
    }

    pub(super) fn new(id: Option<String>, algorithms: Algorithms, material: Material) -> Self {
        Self {
            id,
            algorithms,
            material: Arc::new(material),
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
        match (&*self.material, to_library(algorithm)) {
            (Material::Library(key), Some(algorithm)) => (provider.verifier_factory)(&algorithm, key)
                .is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok()),
            (Material::P521(point), None) => es512::verify(point, message, signature),
            _ => false,
        }
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

const fn curve_of(algorithm: JwtAlgorithm) -> Option<Curve> {
    match algorithm {
        JwtAlgorithm::Es256 => Some(Curve::P256),
        JwtAlgorithm::Es384 => Some(Curve::P384),
        JwtAlgorithm::Es512 => Some(Curve::P521),
        _ => None,
    }
}

/// Whether the first section of a PEM is a private key of any kind.
fn is_private(pem: &str) -> bool {
    let label = pem
        .split_once("-----BEGIN ")
        .and_then(|(_, rest)| rest.split_once("-----"));
    label.is_some_and(|(label, _)| label.ends_with("PRIVATE KEY"))
}

/// The modulus and the exponent of an `RSAPublicKey` (RFC 8017, appendix A.1.1).
fn rsa_numbers(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let blocks = simple_asn1::from_der(der).ok()?;
    let [ASN1Block::Sequence(_, numbers)] = &blocks[..] else {
        return None;
    };
    let [ASN1Block::Integer(_, n), ASN1Block::Integer(_, e)] = &numbers[..] else {
        return None;
    };
    Some((n.to_biguint()?.to_bytes_be(), e.to_biguint()?.to_bytes_be()))
}

/// `None` for ES512, which the library does not have.
pub(super) const fn to_library(algorithm: JwtAlgorithm) -> Option<Algorithm> {
    Some(match algorithm {
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
        JwtAlgorithm::Es512 => return None,
        JwtAlgorithm::EdDsa => Algorithm::EdDSA,
    })
}
