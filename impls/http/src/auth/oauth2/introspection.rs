//! What an authorization server knows about a token (RFC 7662).

use std::fmt;
use std::time::SystemTime;

use networking_spi::Result;
use serde_json::{Map, Value};

use super::answer::{Answer, scopes, text, time};

/// The state of a token, and its properties (RFC 7662, section 2.2). `Debug` shows the names of the further members only.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct TokenIntrospection {
    /// Whether the token can be used. If not, the server says nothing else about it.
    pub active: bool,
    /// The scopes of the token.
    pub scopes: Vec<String>,
    /// The client to which the token was issued.
    pub client_id: Option<String>,
    /// The name of the user who authorized the token.
    pub username: Option<String>,
    /// The type of the token, usually `Bearer`.
    pub token_type: Option<String>,
    /// `exp`: when the token expires.
    pub expires_at: Option<SystemTime>,
    /// `iat`: when the token was issued.
    pub issued_at: Option<SystemTime>,
    /// `nbf`: when the token starts to be valid.
    pub not_before: Option<SystemTime>,
    /// `sub`: the subject of the token.
    pub subject: Option<String>,
    /// `aud`: the intended recipients.
    pub audience: Vec<String>,
    /// `iss`: the issuer.
    pub issuer: Option<String>,
    /// `jti`: the id of the token.
    pub id: Option<String>,
    /// All members of the response, as the server sent them.
    pub members: Map<String, Value>,
}

impl TokenIntrospection {
    pub(super) fn read(answer: &Answer) -> Result<Self> {
        let members = answer.members()?;
        let active = members.get("active");
        let Some(active) = active.and_then(flag) else {
            return Err(answer.wrong("active", active));
        };
        let string = |name| text(members, name).map(str::to_owned);
        let at = |name| members.get(name).and_then(time);
        Ok(Self {
            active,
            scopes: scopes(members.get("scope"), &[]),
            client_id: string("client_id"),
            username: string("username"),
            token_type: string("token_type"),
            expires_at: at("exp"),
            issued_at: at("iat"),
            not_before: at("nbf"),
            subject: string("sub"),
            audience: match members.get("aud") {
                Some(Value::String(one)) => vec![one.clone()],
                Some(Value::Array(all)) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                _ => Vec::new(),
            },
            issuer: string("iss"),
            id: string("jti"),
            members: members.clone(),
        })
    }
}

impl fmt::Debug for TokenIntrospection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenIntrospection")
            .field("active", &self.active)
            .field("scopes", &self.scopes)
            .field("client_id", &self.client_id)
            .field("username", &self.username)
            .field("token_type", &self.token_type)
            .field("expires_at", &self.expires_at)
            .field("issued_at", &self.issued_at)
            .field("not_before", &self.not_before)
            .field("subject", &self.subject)
            .field("audience", &self.audience)
            .field("issuer", &self.issuer)
            .field("id", &self.id)
            .field("members", &self.members.keys())
            .finish()
    }
}

/// A boolean, also as text. Anything else is not understood as either.
pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Some(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}
