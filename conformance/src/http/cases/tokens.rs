//! Verified tokens.

use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use networking_spi::ErrorKind;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::http::JwtAlgorithm;
use ring::hmac;
use serde_json::{Value, json};

use super::H;
use crate::http::harness::set_up_extended;
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq};

/// A token with these claims (RFC 7515, section 3.1).
fn signed(header: &Value, claims: &Value, algorithm: hmac::Algorithm, secret: &[u8]) -> String {
    let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = hmac::sign(&hmac::Key::new(algorithm, secret), signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub(in crate::http) async fn a_verified_token_returns_its_claims(harness: H) -> CaseResult {
    let (origin, client) = set_up_extended(&harness).await?;
    let secret = origin.token_secret();
    let now = SystemClock::new().now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|error| Failure::new(error.to_string()))?.as_secs();
    let header = json!({"alg": "HS256", "typ": "JWT"});
    let ada = json!({"sub": "ada", "exp": now + 3_600, "scope": ["read", "write"], "level": 7});
    let own = |claims: &Value| signed(&header, claims, hmac::HMAC_SHA256, secret);
    let good = own(&ada);
    let claims = client.authenticate_jwt(&good, JwtAlgorithm::Hs256).await;
    let claims = claims.map_err(|error| {
        let hint = "does the harness give the client `Origin::token_secret`?";
        Failure::new(format!(
            "a token with a good signature ({hint}): {}",
            Failure::from(error)
        ))
    })?;
    check_eq!(claims.algorithm, JwtAlgorithm::Hs256, "the algorithm of the signature");
    check_eq!(Value::Object(claims.claims), ada, "the claims");

    let eve = json!({"sub": "eve", "exp": now + 3_600});
    let parts = |token: &str| token.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (ours, forged) = (parts(&good), parts(&own(&eve)));
    let other_secret = signed(&header, &eve, hmac::HMAC_SHA256, b"another secret of 32 bytes or more");
    let other_algorithm = signed(&json!({"alg": "HS512"}), &eve, hmac::HMAC_SHA512, secret);
    let unsigned = signed(&json!({"alg": "none"}), &eve, hmac::HMAC_SHA256, secret);
    let refused = [
        (
            "other claims under its signature",
            [&ours[0], &forged[1], &ours[2]].map(String::as_str).join("."),
        ),
        (
            "another signature",
            [&ours[0], &ours[1], &forged[2]].map(String::as_str).join("."),
        ),
        ("no signature", format!("{}.{}.", ours[0], ours[1])),
        ("the signature of another secret", other_secret),
        ("another algorithm", other_algorithm),
        ("the algorithm `none` and a signature", unsigned.clone()),
        ("the algorithm `none`", parts(&unsigned)[..2].join(".") + "."),
        ("an expiry in the past", own(&json!({"sub": "eve", "exp": now - 3_600}))),
        (
            "a beginning in the future",
            own(&json!({"sub": "eve", "exp": now + 7_200, "nbf": now + 3_600})),
        ),
    ];
    for (what, token) in refused {
        let Err(error) = client.authenticate_jwt(&token, JwtAlgorithm::Hs256).await else {
            return Err(Failure::new(format!("a token with {what} was accepted")));
        };
        check_eq!(error.kind(), ErrorKind::Authentication, "a token with {what}");
    }
    // The algorithm is the caller's choice, not that of the token.
    let otherwise = client.authenticate_jwt(&good, JwtAlgorithm::Rs256).await;
    let kind = otherwise.as_ref().err().map(networking_spi::NetworkError::kind);
    check!(
        matches!(kind, Some(ErrorKind::Authentication | ErrorKind::InvalidInput)),
        "a token of HS256 as RS256: {kind:?}"
    );
    Ok(())
}
