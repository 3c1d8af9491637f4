//! ES512: ECDSA with P-521 and SHA-512 (RFC 7518, section 3.4). `jsonwebtoken` does not have it, `aws-lc-rs` does.

use networking_spi::Result;

/// # Errors
/// `Unsupported` in a build without it.
#[cfg(feature = "aws-lc-rs")]
#[allow(clippy::unnecessary_wraps, reason = "fails in builds without the feature")]
pub(super) fn require(_operation: &'static str) -> Result<()> {
    Ok(())
}

/// Whether `signature` is the signature of `message` by the key with this point.
#[cfg(feature = "aws-lc-rs")]
pub(super) fn verify(point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};

    UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point)
        .verify(message, signature)
        .is_ok()
}

/// Signs with a private key in PKCS #8. `None` if it is no such key.
#[cfg(feature = "aws-lc-rs")]
pub(super) fn sign(pkcs8: &[u8], message: &[u8]) -> Option<Vec<u8>> {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair};

    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, pkcs8).ok()?;
    let signature = key.sign(&SystemRandom::new(), message).ok()?;
    Some(signature.as_ref().to_vec())
}

#[cfg(not(feature = "aws-lc-rs"))]
pub(super) fn require(operation: &'static str) -> Result<()> {
    Err(networking_spi::NetworkError::not_built(operation, "ES512", "aws-lc-rs"))
}

#[cfg(not(feature = "aws-lc-rs"))]
pub(super) fn verify(_point: &[u8], _message: &[u8], _signature: &[u8]) -> bool {
    false
}

#[cfg(not(feature = "aws-lc-rs"))]
pub(super) fn sign(_pkcs8: &[u8], _message: &[u8]) -> Option<Vec<u8>> {
    None
}
