//! Bearer tokens that the client signs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use networking_spi::clock::Clock;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use url::Url;

use super::jwt::SignedJwt;
use crate::marks::origin_name;

/// The maximum number of audiences whose token is kept. When it is reached, all tokens are dropped: a new one costs only a
/// signature.
const MAX_AUDIENCES: usize = 64;

/// Signs tokens, and reuses each for 80 % of its lifetime.
#[derive(Debug)]
pub(super) struct SignedTokens {
    jwt: SignedJwt,
    clock: Arc<dyn Clock>,
    current: Mutex<HashMap<Box<str>, Token>>,
}

struct Token {
    header: HeaderValue,
    renew_at: Duration,
}

impl SignedTokens {
    pub(super) fn new(jwt: SignedJwt, clock: Arc<dyn Clock>) -> Self {
        Self {
            jwt,
            clock,
            current: Mutex::default(),
        }
    }

    /// The `Authorization` header for a request to `url`.
    pub(super) fn header(&self, url: &Url) -> Result<HeaderValue> {
        let origin = origin_name(url);
        let audience = self.jwt.audience.as_deref().unwrap_or(&origin);
        let now = self.clock.elapsed();
        let mut current = self.current.lock();
        if let Some(token) = current.get(audience).filter(|token| now < token.renew_at) {
            return Ok(token.header.clone());
        }
        let token = self.jwt.sign(audience, self.clock.now())?;
        let mut header = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| NetworkError::new(ErrorKind::Internal, "http.jwt", "the token cannot be a header"))?;
        header.set_sensitive(true);
        if current.len() >= MAX_AUDIENCES {
            current.clear();
        }
        current.insert(
            audience.into(),
            Token {
                header: header.clone(),
                renew_at: now + self.jwt.lifetime.mul_f64(0.8),
            },
        );
        Ok(header)
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("renew_at", &self.renew_at)
            .finish_non_exhaustive()
    }
}
