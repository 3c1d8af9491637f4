//! JSON Web Keys (RFC 7517).

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use jsonwebtoken::DecodingKey;
use networking_spi::http::JwtAlgorithm;
use networking_spi::{NetworkError, Result};
use serde_json::{Map, Value};

use super::key::{Algorithms, JwtKey, Material, RSA, check_secret};
use super::public_key::{self, Curve};

/// Padding is accepted, although RFC 7515 has none.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Members that only private keys have.
const PRIVATE: [&str; 7] = ["d", "p", "q", "dp", "dq", "qi", "oth"];

pub(super) fn read(jwk: &Value) -> Result<JwtKey> {
    let members = Members(jwk.as_object().ok_or_else(|| wrong("is not a JSON object"))?);
    let kind = members.required("kty")?;
    if kind != "oct"
        && let Some(name) = PRIVATE.into_iter().find(|name| members.0.contains_key(*name))
    {
        return Err(wrong(format!("is a private key: remove `{name}`")));
    }
    members.check_use()?;
    let id = members.text("kid")?.map(str::to_owned);
    let (material, fits) = match kind {
        "RSA" => {
            let (n, e) = public_key::rsa(&members.bytes("n")?, &members.bytes("e")?).map_err(wrong)?;
            (Material::Library(DecodingKey::from_rsa_raw_components(&n, &e)), RSA)
        }
        "EC" => {
            let (curve, algorithm): (_, &'static [_]) = match members.required("crv")? {
                "P-256" => (Curve::P256, &[JwtAlgorithm::Es256]),
                "P-384" => (Curve::P384, &[JwtAlgorithm::Es384]),
                "P-521" => (Curve::P521, &[JwtAlgorithm::Es512]),
                _ => return Err(wrong("has an unknown curve (`crv`)")),
            };
            let point = curve.point(&members.bytes("x")?, &members.bytes("y")?).map_err(wrong)?;
            (Material::on_curve(curve, point)?, algorithm)
        }
        "OKP" => {
            if members.required("crv")? != "Ed25519" {
                return Err(wrong("has an unknown curve (`crv`)"));
            }
            let key = members.bytes("x")?;
            public_key::ed25519(&key).map_err(wrong)?;
            let algorithm: &'static [_] = &[JwtAlgorithm::EdDsa];
            (Material::Library(DecodingKey::from_ed_der(&key)), algorithm)
        }
        "oct" => return members.secret(id),
        _ => return Err(wrong("has an unknown type (`kty`)")),
    };
    let algorithms = match members.algorithm()? {
        Some(algorithm) if fits.contains(&algorithm) => Algorithms::One(algorithm),
        Some(_) => return Err(wrong("has an algorithm (`alg`) that does not fit its type")),
        None => Algorithms::Family(fits),
    };
    Ok(JwtKey::new(id, algorithms, material))
}

fn wrong(message: impl Into<String>) -> NetworkError {
    NetworkError::invalid_input("jwk", message.into())
}

struct Members<'j>(&'j Map<String, Value>);

impl<'j> Members<'j> {
    fn text(&self, name: &str) -> Result<Option<&'j str>> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong(format!("has a `{name}` that is not a string"))),
        }
    }

    fn required(&self, name: &str) -> Result<&'j str> {
        self.text(name)?.ok_or_else(|| wrong(format!("has no `{name}`")))
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        // The cause is omitted, because it may contain a part of a secret.
        BASE64URL
            .decode(self.required(name)?)
            .map_err(|_| wrong(format!("has a `{name}` that is not base64url")))
    }

    fn algorithm(&self) -> Result<Option<JwtAlgorithm>> {
        let name = self.text("alg")?;
        name.map(|name| {
            name.parse()
                .map_err(|_| wrong("has an algorithm (`alg`) that is not supported"))
        })
        .transpose()
    }

    /// `use` and `key_ops` (RFC 7517, sections 4.2 and 4.3).
    fn check_use(&self) -> Result<()> {
        let for_signatures = self.text("use")?.is_none_or(|name| name == "sig");
        let verifies = match self.0.get("key_ops") {
            None | Some(Value::Null) => true,
            Some(Value::Array(operations)) => operations.iter().any(|operation| operation == "verify"),
            Some(_) => return Err(wrong("has a `key_ops` that is not a list")),
        };
        if for_signatures && verifies {
            Ok(())
        } else {
            Err(wrong("is not for verifying signatures (`use` or `key_ops`)"))
        }
    }

    fn secret(&self, id: Option<String>) -> Result<JwtKey> {
        let algorithm = match self.algorithm()? {
            Some(algorithm @ (JwtAlgorithm::Hs256 | JwtAlgorithm::Hs384 | JwtAlgorithm::Hs512)) => algorithm,
            Some(_) => return Err(wrong("has an algorithm (`alg`) that does not fit its type")),
            None => return Err(wrong("is symmetric and has no algorithm (`alg`)")),
        };
        let secret = self.bytes("k")?;
        check_secret(algorithm, &secret)?;
        let material = Material::Library(DecodingKey::from_secret(&secret));
        Ok(JwtKey::new(id, Algorithms::One(algorithm), material))
    }
}
