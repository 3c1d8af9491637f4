//! JSON Web Tokens (RFC 7519) signed with JWS (RFC 7515): verification of tokens, and signing of the client's tokens.

mod es512;
mod header;
mod jwk;
mod jwks;
mod key;
mod policy;
mod provider;
mod public_key;
mod signed;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use networking_spi::clock::Clock;
use networking_spi::error::context;
use networking_spi::http::{JwtAlgorithm, JwtClaims};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};
use serde_json::{Map, Value};

use self::header::Header;
pub use self::jwks::{JwksConfig, JwksResolver};
pub use self::key::JwtKey;
pub use self::policy::JwtPolicy;
pub use self::signed::{JwtSigningKey, SignedJwt};
use networking_runtime::clock::TokioClock;

pub(super) const OPERATION: &str = "http.authenticate_jwt";

/// Finds the keys with which a token may be verified.
#[async_trait]
pub trait KeyResolver: fmt::Debug + Send + Sync + 'static {
    /// The keys that may verify a token whose header names `key_id`. The verifier skips keys with another id or algorithm.
    ///
    /// # Errors
    /// If the keys cannot be fetched. An unknown key id is not an error: return no keys.
    async fn keys(&self, key_id: Option<String>, algorithm: JwtAlgorithm) -> Result<Vec<JwtKey>>;
}

/// The source of a client's keys.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum KeySource {
    /// Fixed keys.
    Static(Vec<JwtKey>),
    /// A JSON Web Key Set at a URL, fetched through the client, without the client's credentials.
    Jwks(JwksConfig),
    /// Any other resolver.
    Custom(Arc<dyn KeyResolver>),
}

/// Verifies tokens with keys and a policy. Clones share both.
///
/// The caller names the algorithm, and the policy and the key must allow it; the token's `alg` is only compared with it. The
/// header parameters `jku`, `x5u`, `jwk` and `x5c` are ignored. Refused are headers with a `crit` parameter, with `b64` other than
/// `true`, with a parameter twice, and headers that are not a JSON object in UTF-8. The algorithm `none` is not supported, and
/// ES512 needs the feature `aws-lc-rs`.
///
/// ```
/// use networking_http::jwt::{JwtKey, JwtPolicy, JwtVerifier};
/// use networking_spi::http::JwtAlgorithm;
///
/// let key = JwtKey::hmac(JwtAlgorithm::Hs256, b"a secret of at least 32 bytes ....")?.with_id("2026-01");
/// let policy = JwtPolicy::new([JwtAlgorithm::Hs256]).with_issuer("https://id.example.com").with_audience("orders");
/// let verifier = JwtVerifier::with_keys(vec![key], policy)?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct JwtVerifier {
    resolver: Arc<dyn KeyResolver>,
    policy: Arc<JwtPolicy>,
    clock: Arc<dyn Clock>,
}

impl JwtVerifier {
    /// A verifier that asks `resolver` for keys.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field of the policy.
    pub fn new(resolver: Arc<dyn KeyResolver>, policy: JwtPolicy) -> Result<Self> {
        policy.validate()?;
        Ok(Self {
            resolver,
            policy: Arc::new(policy),
            clock: Arc::new(TokioClock::new()),
        })
    }

    /// A verifier with fixed keys.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an empty list, or naming the field of the policy.
    pub fn with_keys(keys: Vec<JwtKey>, policy: JwtPolicy) -> Result<Self> {
        if keys.is_empty() {
            return Err(NetworkError::invalid_input("keys", "must not be empty"));
        }
        Self::new(Arc::new(StaticKeys(keys)), policy)
    }

    /// Sets the clock that `exp`, `nbf` and `iat` are compared with.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Verifies `token`, which must be signed with `algorithm`, and returns its claims.
    ///
    /// Cancel safety: dropping the future has no effect on other calls.
    ///
    /// # Errors
    /// [`Authentication`](ErrorKind::Authentication) with the context `reason` for a token that fails verification;
    /// [`Unsupported`](ErrorKind::Unsupported) in a build without cryptography, and for ES512 in a build without the feature
    /// `aws-lc-rs`; errors of the key resolver.
    pub async fn verify(&self, token: &str, algorithm: JwtAlgorithm) -> Result<JwtClaims> {
        let provider = provider::provider(OPERATION)?;
        if algorithm == JwtAlgorithm::Es512 {
            es512::require(OPERATION)?;
        }
        if token.len() > self.policy.max_token_bytes {
            return Err(refused("too_long", "the token is longer than the policy allows"));
        }
        let parts = Parts::of(token)?;
        let header = Header::parse(&decode(parts.header)?)?;
        if header.alg != algorithm.as_str() {
            return Err(refused("algorithm", "the token has another algorithm than expected"));
        }
        if !self.policy.algorithms.contains(&algorithm) {
            return Err(refused("algorithm", "the policy does not allow the algorithm"));
        }
        self.policy.check_type(header.typ.as_deref())?;
        let signature = decode(parts.signature)?;

        let keys = self.resolver.keys(header.kid.clone(), algorithm).await?;
        let mut known = false;
        let by = keys
            .iter()
            .filter(|key| key.answers_to(header.kid.as_deref()))
            .inspect(|_| known = true)
            .filter(|key| key.allows(algorithm))
            .find(|key| key.verifies(provider, algorithm, parts.signed.as_bytes(), &signature));
        let Some(key) = by else {
            return Err(if known {
                refused("signature", "no key verifies the token with its algorithm")
            } else {
                refused("unknown_key", "the key of the token is not known")
            });
        };

        let claims: Map<String, Value> = serde_json::from_slice(&decode(parts.claims)?)
            .map_err(|_| refused("malformed", "the claims are not a JSON object"))?;
        self.policy.check_claims(&claims, self.clock.now())?;
        Ok(JwtClaims::new(algorithm, key.id().map(str::to_owned), claims))
    }
}

#[derive(Debug)]
pub(super) struct StaticKeys(pub(super) Vec<JwtKey>);

#[async_trait]
impl KeyResolver for StaticKeys {
    async fn keys(&self, _key_id: Option<String>, _algorithm: JwtAlgorithm) -> Result<Vec<JwtKey>> {
        Ok(self.0.clone())
    }
}

/// The parts of a token in compact serialization.
struct Parts<'t> {
    /// Header and claims, as they are signed.
    signed: &'t str,
    header: &'t str,
    claims: &'t str,
    signature: &'t str,
}

impl<'t> Parts<'t> {
    fn of(token: &'t str) -> Result<Self> {
        let parts = token.rsplit_once('.').and_then(|(signed, signature)| {
            let (header, claims) = signed.split_once('.')?;
            (!claims.contains('.')).then_some(Self {
                signed,
                header,
                claims,
                signature,
            })
        });
        parts.ok_or_else(|| refused("malformed", "the token does not have three parts"))
    }
}

fn decode(part: &str) -> Result<Vec<u8>> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| refused("malformed", "a part of the token is not base64url"))
}

/// The error for a token that fails verification. It contains no part of the token.
fn refused(reason: &'static str, message: &'static str) -> NetworkError {
    NetworkError::new(ErrorKind::Authentication, OPERATION, message).with_context(context::REASON, reason)
}
