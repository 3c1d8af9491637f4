//! The header of a token (RFC 7515, section 4).

use std::collections::HashSet;
use std::fmt;

use networking_spi::Result;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::refused;

/// The parameters of the header that are used. Parameters that contain or locate keys are ignored.
#[derive(Debug, Default)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
}

/// A header as it is sent.
struct Sent {
    header: Header,
    critical: bool,
    /// Whether the payload is sent without base64url (RFC 7797).
    unencoded: bool,
}

impl Header {
    pub(super) fn parse(json: &[u8]) -> Result<Self> {
        let malformed = || refused("malformed", "the header is not a JOSE header");
        // The JSON parser does not check the values that are ignored.
        let json = std::str::from_utf8(json).map_err(|_| malformed())?;
        let sent: Sent = serde_json::from_str(json).map_err(|_| malformed())?;
        if sent.critical {
            return Err(refused("crit", "the token has a critical header that is not supported"));
        }
        if sent.unencoded {
            return Err(refused("b64", "the header says that the claims are not encoded"));
        }
        Ok(sent.header)
    }
}

/// Accepts only an object in which no name occurs twice; derived code would also accept an array.
impl<'de> Deserialize<'de> for Sent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Parameters)
    }
}

struct Parameters;

impl<'de> Visitor<'de> for Parameters {
    type Value = Sent;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sent, A::Error> {
        let (mut header, mut critical, mut unencoded) = (Header::default(), false, false);
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "alg" => header.alg = map.next_value()?,
                "kid" => header.kid = map.next_value()?,
                "typ" => header.typ = map.next_value()?,
                // Present with any value, even `null`.
                "crit" => {
                    map.next_value::<IgnoredAny>()?;
                    critical = true;
                }
                "b64" => unencoded = map.next_value::<Value>()? != true,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            if !names.insert(name) {
                return Err(A::Error::custom("a name occurs twice"));
            }
        }
        if !names.contains("alg") {
            return Err(A::Error::missing_field("alg"));
        }
        Ok(Sent {
            header,
            critical,
            unencoded,
        })
    }
}
