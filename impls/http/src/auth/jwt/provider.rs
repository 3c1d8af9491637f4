//! The implementation of signatures. The features of this crate choose it. `jsonwebtoken` does not, because its choice is
//! ambiguous if another crate enables a second implementation.

use jsonwebtoken::crypto::CryptoProvider;
#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
use networking_spi::NetworkError;
use networking_spi::Result;

#[cfg(feature = "aws-lc-rs")]
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;

/// Returns the implementation.
///
/// # Errors
/// `Unsupported` in a build without cryptography, naming the features that add it.
#[cfg(any(feature = "aws-lc-rs", feature = "ring"))]
#[allow(clippy::unnecessary_wraps, reason = "fails in builds without cryptography")]
pub(super) fn provider(_operation: &'static str) -> Result<&'static CryptoProvider> {
    Ok(&DEFAULT_PROVIDER)
}

#[cfg(not(any(feature = "aws-lc-rs", feature = "ring")))]
pub(super) fn provider(operation: &'static str) -> Result<&'static CryptoProvider> {
    Err(NetworkError::not_built(operation, "jwt", "aws-lc-rs"))
}
