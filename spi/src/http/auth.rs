//! Values of the authentication operations.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::error::Result;
use crate::names::named_enum;
use crate::redact;
use crate::secret::Secret;
use crate::validate::{self, Validate};

/// The grant of a token request (RFC 6749).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "grant_type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum OAuth2Grant {
    /// Client credentials (RFC 6749, section 4.4).
    ClientCredentials,
    /// Refreshing an access token (RFC 6749, section 6).
    RefreshToken {
        /// The refresh token.
        refresh_token: Secret,
    },
    /// Authorization code (RFC 6749, section 4.1), with PKCE (RFC 7636) if there is a verifier.
    AuthorizationCode {
        /// The code.
        code: Secret,
        /// The redirect URI of the authorization request.
        redirect_uri: Url,
        /// The PKCE verifier.
        pkce_verifier: Option<Secret>,
    },
    /// A signed assertion about a user or a service (RFC 7523, section 2.1).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:jwt-bearer")]
    JwtBearer {
        /// The signed token.
        assertion: Secret,
    },
}

/// A request for an access token. `Debug` shows no secrets, and only the names of the `extra` parameters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OAuth2Request {
    /// The token endpoint.
    pub token_url: Url,
    /// The client id.
    pub client_id: String,
    /// The client secret; `None` for a public client.
    #[serde(default)]
    pub client_secret: Option<Secret>,
    /// The grant.
    #[serde(flatten)]
    pub grant: OAuth2Grant,
    /// The requested scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The requested audience, for servers that support this parameter.
    #[serde(default)]
    pub audience: Option<String>,
    /// Further parameters of the request.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
}

impl OAuth2Request {
    /// A client-credentials request.
    pub fn client_credentials(token_url: Url, client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self {
            token_url,
            client_id: client_id.into(),
            client_secret: Some(client_secret.into()),
            grant: OAuth2Grant::ClientCredentials,
            scopes: Vec::new(),
            audience: None,
            extra: BTreeMap::new(),
        }
    }

    /// Sets the grant.
    pub fn with_grant(mut self, grant: OAuth2Grant) -> Self {
        self.grant = grant;
        self
    }

    /// Adds a scope.
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Sets the audience.
    pub fn with_audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }
}

impl fmt::Debug for OAuth2Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2Request")
            .field("token_url", &format_args!("{}", redact::url(&self.token_url)))
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret)
            .field("grant", &self.grant)
            .field("scopes", &self.scopes)
            .field("audience", &self.audience)
            .field("extra", &self.extra.keys())
            .finish()
    }
}

impl Validate for OAuth2Request {
    fn validate(&self) -> Result<()> {
        validate::not_blank(&self.client_id, "client_id")?;
        validate::ensure(
            matches!(self.token_url.scheme(), "http" | "https"),
            "token_url",
            "must be an http or https URL",
        )
    }
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OAuth2Token {
    /// The token.
    pub access_token: Secret,
    /// Its type, usually `Bearer`.
    pub token_type: String,
    /// The lifetime of the token, from the time of the response.
    #[serde(default, with = "humantime_serde")]
    pub expires_in: Option<Duration>,
    /// The refresh token, if the server issued one.
    #[serde(default)]
    pub refresh_token: Option<Secret>,
    /// The granted scopes; empty if the server does not list them.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The ID token of an `OpenID` Connect provider. It is not verified.
    #[serde(default)]
    pub id_token: Option<Secret>,
}

impl OAuth2Token {
    /// A bearer token.
    pub fn bearer(access_token: impl Into<Secret>) -> Self {
        Self {
            access_token: access_token.into(),
            token_type: "Bearer".to_owned(),
            expires_in: None,
            refresh_token: None,
            scopes: Vec::new(),
            id_token: None,
        }
    }
}

named_enum! {
    "algorithm",
    /// A JWS signature algorithm (RFC 7518, RFC 8037). The algorithm `none` is not supported.
    ///
    /// Exhaustive on purpose: code that selects a key for an algorithm handles each one.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[allow(missing_docs, reason = "the variants are the registered names")]
    pub enum JwtAlgorithm {
        Hs256 => "HS256",
        Hs384 => "HS384",
        Hs512 => "HS512",
        Rs256 => "RS256",
        Rs384 => "RS384",
        Rs512 => "RS512",
        Ps256 => "PS256",
        Ps384 => "PS384",
        Ps512 => "PS512",
        Es256 => "ES256",
        Es384 => "ES384",
        Es512 => "ES512",
        EdDsa => "EdDSA",
    }
}

/// The claims of a token whose signature, issuer, audience and times were verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JwtClaims {
    /// The algorithm of the signature.
    pub algorithm: JwtAlgorithm,
    /// The id of the key that verified the signature, if the key has one.
    pub key_id: Option<String>,
    /// All claims.
    pub claims: Map<String, Value>,
}

impl JwtClaims {
    /// The claims of a verified token.
    pub const fn new(algorithm: JwtAlgorithm, key_id: Option<String>, claims: Map<String, Value>) -> Self {
        Self {
            algorithm,
            key_id,
            claims,
        }
    }

    /// The claim `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.claims.get("sub")?.as_str()
    }

    /// The claim `iss`.
    pub fn issuer(&self) -> Option<&str> {
        self.claims.get("iss")?.as_str()
    }
}
