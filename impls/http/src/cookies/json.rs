//! Cookies as JSON, in the layout of the crate `cookie_store`, which other programs read and write, too. Text that is not UTF-8 is
//! an object with the member `base64`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::cookie::{Cookie, Domain, Path};
use super::set_cookie::SetCookie;
use super::suffixes;

#[derive(Serialize, Deserialize)]
pub(super) struct Exported {
    /// The name, the value, and the attributes that have no value.
    raw_cookie: Text,
    /// The path, and whether an attribute set it.
    path: (Text, bool),
    domain: ExportedDomain,
    expires: ExportedExpiry,
}

#[derive(Serialize, Deserialize)]
enum ExportedDomain {
    HostOnly(String),
    Suffix(String),
    NotPresent,
    Empty,
}

#[derive(Serialize, Deserialize)]
enum ExportedExpiry {
    AtUtc(#[serde(with = "time::serde::rfc3339")] OffsetDateTime),
    SessionEnd,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Text {
    Utf8(String),
    Bytes { base64: String },
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Utf8(text.to_owned()),
            Err(_) => Self::Bytes {
                base64: STANDARD.encode(bytes),
            },
        }
    }

    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Utf8(text) => Some(text.into_bytes()),
            Self::Bytes { base64 } => STANDARD.decode(base64).ok(),
        }
    }
}

impl From<&Cookie> for Exported {
    fn from(cookie: &Cookie) -> Self {
        // Without a name, the text begins with the equals sign.
        let mut raw = [&*cookie.name, b"=", &*cookie.value].concat();
        if cookie.http_only {
            raw.extend_from_slice(b"; HttpOnly");
        }
        if cookie.secure {
            raw.extend_from_slice(b"; Secure");
        }
        Self {
            raw_cookie: Text::of(&raw),
            path: (Text::of(&cookie.path.bytes), cookie.path.explicit),
            domain: match &cookie.domain {
                Domain::Host(host) => ExportedDomain::HostOnly(host.to_string()),
                Domain::Suffix(domain) => ExportedDomain::Suffix(domain.to_string()),
            },
            expires: match cookie.expires {
                // The layout has whole seconds.
                Some(end) => ExportedExpiry::AtUtc(end.replace_nanosecond(0).unwrap_or(end)),
                None => ExportedExpiry::SessionEnd,
            },
        }
    }
}

impl Exported {
    /// The cookie, or `None` if no host could have set it.
    pub(super) fn into_cookie(self) -> Option<Cookie> {
        let raw = self.raw_cookie.bytes()?;
        let set = SetCookie::parse(&raw).ok()?;
        let cookie = Cookie {
            name: set.name.into(),
            value: set.value.into(),
            domain: match self.domain {
                ExportedDomain::HostOnly(host) if !host.is_empty() => Domain::Host(host.into()),
                ExportedDomain::Suffix(domain) if !domain.is_empty() && !suffixes::is_public(&domain) => {
                    Domain::Suffix(domain.into())
                }
                _ => return None,
            },
            path: Path {
                bytes: self.path.0.bytes().filter(|path| path.starts_with(b"/"))?.into(),
                explicit: self.path.1,
            },
            expires: match self.expires {
                ExportedExpiry::AtUtc(end) => Some(end),
                ExportedExpiry::SessionEnd => None,
            },
            secure: set.secure,
            http_only: set.http_only,
        };
        cookie.check_prefix(&set).ok()?;
        Some(cookie)
    }
}
