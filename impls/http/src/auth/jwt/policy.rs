//! Requirements on the type and the claims of a token.

use std::time::{Duration, SystemTime};

use networking_spi::Result;
use networking_spi::error::context;
use networking_spi::http::JwtAlgorithm;
use networking_spi::validate::{self, Validate};
use serde_json::{Map, Value};

use super::refused;

/// The requirements on a token, in addition to a valid signature.
///
/// ```
/// use std::time::Duration;
/// use networking_http::jwt::JwtPolicy;
/// use networking_spi::http::JwtAlgorithm;
///
/// let policy = JwtPolicy::new([JwtAlgorithm::Rs256, JwtAlgorithm::Es256])
///     .with_issuer("https://id.example.com/")
///     .with_audience("orders")
///     .with_required_claim("sub")
///     .with_leeway(Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwtPolicy {
    /// The accepted algorithms; at least one.
    pub algorithms: Vec<JwtAlgorithm>,
    /// `iss` must be one of these. Empty: not checked.
    pub issuers: Vec<String>,
    /// `aud` must contain one of these. Empty: a token that has an `aud` is refused.
    pub audiences: Vec<String>,
    /// Claims that must be present, with any value.
    pub required_claims: Vec<String>,
    /// `typ` must be this (`JWT`, `at+jwt`); case and the prefix `application/` are ignored. `None`: not checked.
    pub token_type: Option<String>,
    /// The tolerated difference between clocks, applied to `exp`, `nbf` and `iat`.
    pub leeway: Duration,
    /// Whether a token without `exp` is refused.
    pub require_expiry: bool,
    /// Whether `nbf` is checked.
    pub check_not_before: bool,
    /// The longest accepted token, in bytes.
    pub max_token_bytes: usize,
}

impl JwtPolicy {
    /// Accepts tokens that are signed with one of these algorithms, have an `exp` and are not longer than 16 KiB. The leeway is
    /// 60 s.
    pub fn new(algorithms: impl IntoIterator<Item = JwtAlgorithm>) -> Self {
        Self {
            algorithms: algorithms.into_iter().collect(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            required_claims: Vec::new(),
            token_type: None,
            leeway: Duration::from_secs(60),
            require_expiry: true,
            check_not_before: true,
            max_token_bytes: 16 << 10,
        }
    }

    /// Adds an accepted issuer.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuers.push(issuer.into());
        self
    }

    /// Adds an accepted audience.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Adds a required claim.
    pub fn with_required_claim(mut self, claim: impl Into<String>) -> Self {
        self.required_claims.push(claim.into());
        self
    }

    /// Sets the required type.
    pub fn with_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.token_type = Some(token_type.into());
        self
    }

    /// Sets the tolerated difference between clocks.
    pub fn with_leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets whether a token without `exp` is refused.
    pub fn with_require_expiry(mut self, require: bool) -> Self {
        self.require_expiry = require;
        self
    }

    /// Sets whether `nbf` is checked.
    pub fn with_check_not_before(mut self, check: bool) -> Self {
        self.check_not_before = check;
        self
    }

    /// Sets the longest accepted token, in bytes.
    pub fn with_max_token_bytes(mut self, bytes: usize) -> Self {
        self.max_token_bytes = bytes;
        self
    }

    pub(super) fn check_type(&self, found: Option<&str>) -> Result<()> {
        let Some(wanted) = &self.token_type else {
            return Ok(());
        };
        match found {
            Some(found) if short_type(found).eq_ignore_ascii_case(short_type(wanted)) => Ok(()),
            _ => Err(refused("type", "the policy does not accept the type of the token")),
        }
    }

    pub(super) fn check_claims(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<()> {
        if let Some(missing) = self.required_claims.iter().find(|name| !claims.contains_key(*name)) {
            return Err(refused("missing_claim", "a required claim is missing").with_context(context::CLAIM, missing));
        }
        self.check_times(claims, now)?;
        if !self.issuers.is_empty() {
            let issuer = claims.get("iss").and_then(Value::as_str);
            if !issuer.is_some_and(|issuer| self.issuers.iter().any(|wanted| wanted == issuer)) {
                return Err(refused("issuer", "the policy does not accept the issuer of the token"));
            }
        }
        let meant_for_us = match claims.get("aud") {
            None => self.audiences.is_empty(),
            Some(Value::String(one)) => self.audiences.contains(one),
            Some(Value::Array(several)) => several
                .iter()
                .filter_map(Value::as_str)
                .any(|one| self.audiences.iter().any(|wanted| wanted == one)),
            Some(_) => false,
        };
        if meant_for_us {
            Ok(())
        } else {
            Err(refused(
                "audience",
                "the policy does not accept the audience of the token",
            ))
        }
    }

    fn check_times(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<()> {
        // A clock before 1970 counts as 1970.
        let now = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64();
        let leeway = self.leeway.as_secs_f64();
        match numeric_date(claims, "exp")? {
            Some(expiry) if now >= expiry + leeway => return Err(refused("expired", "the token has expired")),
            None if self.require_expiry => return Err(refused("missing_claim", "the token has no expiry")),
            _ => {}
        }
        match numeric_date(claims, "nbf")? {
            Some(start) if self.check_not_before && now + leeway < start => {
                return Err(refused("not_yet_valid", "the token is not valid yet"));
            }
            _ => {}
        }
        match numeric_date(claims, "iat")? {
            Some(issued) if now + leeway < issued => {
                Err(refused("not_yet_valid", "the token was issued in the future"))
            }
            _ => Ok(()),
        }
    }
}

impl Validate for JwtPolicy {
    fn validate(&self) -> Result<()> {
        validate::ensure(!self.algorithms.is_empty(), "algorithms", "must not be empty")?;
        validate::ensure(self.max_token_bytes > 0, "max_token_bytes", "must be at least 1")
    }
}

fn short_type(name: &str) -> &str {
    match name.get(..12) {
        Some(prefix) if prefix.eq_ignore_ascii_case("application/") => &name[12..],
        _ => name,
    }
}

/// Seconds since 1970 (RFC 7519, section 2), with or without a fraction.
fn numeric_date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(refused("malformed", "a time is not a number").with_context(context::CLAIM, name)),
        },
    }
}
