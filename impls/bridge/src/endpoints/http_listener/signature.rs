//! Signatures of requests.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName};
use networking_spi::secret::Secret;
use networking_spi::{NetworkError, Result};
use sha2::Sha256;

/// The prefix of the signature in its header.
const PREFIX: &str = "sha256=";

/// Requests are signed with HMAC-SHA256 over the body, as GitHub does: the value of the header is `sha256=` and the signature
/// in hexadecimal digits.
///
/// Exhaustive on purpose: a signature scheme with other parameters is another type.
#[derive(Debug, Clone)]
pub struct HmacSha256 {
    /// The name of the header with the signature.
    pub header: String,
    /// The shared secret. Must not be empty.
    pub secret: Secret,
}

impl HmacSha256 {
    /// Signatures in the header that GitHub uses, `x-hub-signature-256`.
    pub fn github(secret: impl Into<Secret>) -> Self {
        Self {
            header: "x-hub-signature-256".to_owned(),
            secret: secret.into(),
        }
    }
}

/// Verifies signatures, in constant time.
pub(super) struct Verifier {
    header: HeaderName,
    key: Hmac<Sha256>,
}

impl Verifier {
    pub(super) fn new(signature: &HmacSha256) -> Result<Self> {
        let header = HeaderName::try_from(&signature.header)
            .map_err(|_| NetworkError::invalid_input("signature.header", "is not a header name"))?;
        let empty = || NetworkError::invalid_input("signature.secret", "must not be empty");
        if signature.secret.is_empty() {
            return Err(empty());
        }
        let key = Hmac::new_from_slice(signature.secret.expose().as_bytes()).map_err(|_| empty())?;
        Ok(Self { header, key })
    }

    pub(super) fn accepts(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        // Two signatures are ambiguous.
        let mut values = headers.get_all(&self.header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let digits = value.to_str().ok().and_then(|text| text.strip_prefix(PREFIX));
        let Some(Ok(expected)) = digits.map(hex::decode) else {
            return false;
        };
        let mut mac = self.key.clone();
        mac.update(body);
        mac.verify_slice(&expected).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// From GitHub's documentation of webhook signatures.
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn accepts(values: &[&str], body: &[u8]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-hub-signature-256", HeaderValue::from_str(value).unwrap());
        }
        Verifier::new(&HmacSha256::github(SECRET))
            .unwrap()
            .accepts(&headers, body)
    }

    #[test]
    fn accepts_the_documented_example_and_nothing_else() {
        assert!(accepts(&[SIGNATURE], BODY));
        assert!(accepts(&[&SIGNATURE.to_uppercase().replace("SHA256", "sha256")], BODY));
        assert!(!accepts(&[SIGNATURE], b"Hello, World?"));
        assert!(!accepts(&[], BODY));
        assert!(!accepts(&[SIGNATURE, SIGNATURE], BODY));
        for wrong in [
            "",
            "sha256=",
            "sha256=75",
            "sha1=757107",
            "757107ea",
            "sha256=zz",
            &SIGNATURE[..SIGNATURE.len() - 2],
        ] {
            assert!(!accepts(&[wrong], BODY), "{wrong}");
        }
    }

    #[test]
    fn a_wrong_configuration_names_its_field() {
        let error = Verifier::new(&HmacSha256::github("")).err().unwrap();
        assert_eq!(error.field(), Some("signature.secret"));
        let header = HmacSha256 {
            header: "not a header".to_owned(),
            secret: "s".into(),
        };
        assert_eq!(Verifier::new(&header).err().unwrap().field(), Some("signature.header"));
        assert!(!format!("{:?}", HmacSha256::github("hunter2")).contains("hunter2"));
    }
}
