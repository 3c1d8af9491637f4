//! Values of the authentication operations.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::error::Result;
use crate::names::named_enum;
use crate::redact;
use crate::secret::Secret;
use crate::validate::{self, Validate};

/// The grant of a token request (RFC 6749, and its extensions).
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
    /// The name and password of a user (RFC 6749, section 4.3). Only for servers without a better grant: OAuth 2.1 removes it.
    Password {
        /// The name of the user.
        username: String,
        /// The password of the user.
        password: Secret,
    },
    /// One request with the code of a device (RFC 8628, section 3.4). As long as the user has not decided, the server refuses it
    /// with the error code `authorization_pending` or `slow_down`.
    #[serde(rename = "urn:ietf:params:oauth:grant-type:device_code")]
    DeviceCode {
        /// The device code.
        device_code: Secret,
    },
    /// A token in exchange for another one (RFC 8693).
    #[serde(rename = "urn:ietf:params:oauth:grant-type:token-exchange")]
    TokenExchange(TokenExchange),
}

/// The parameters of a token exchange (RFC 8693, section 2.1). The audience and the scopes are in [`OAuth2Request`]; the
/// parameter `resource` is one of its `extra` parameters.
///
/// ```
/// use networking_spi::http::{OAuth2Grant, OAuth2Request, TokenExchange};
///
/// let url = "https://id.example.com/token".parse().unwrap();
/// let request = OAuth2Request::client_credentials(url, "gateway", "secret")
///     .with_grant(OAuth2Grant::TokenExchange(TokenExchange::new("the user's access token")))
///     .with_audience("orders");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TokenExchange {
    /// The token of the party on whose behalf the new token is.
    pub subject_token: Secret,
    /// The type of the subject token, one of [`TokenExchange`]'s constants or another URI.
    pub subject_token_type: String,
    /// The token of the acting party.
    #[serde(default)]
    pub actor_token: Option<Secret>,
    /// The type of the actor token. Set exactly if there is an actor token.
    #[serde(default)]
    pub actor_token_type: Option<String>,
    /// The type of the token to issue; `None` leaves it to the server.
    #[serde(default)]
    pub requested_token_type: Option<String>,
}

impl TokenExchange {
    /// The type of OAuth 2 access tokens.
    pub const ACCESS_TOKEN: &'static str = "urn:ietf:params:oauth:token-type:access_token";
    /// The type of OAuth 2 refresh tokens.
    pub const REFRESH_TOKEN: &'static str = "urn:ietf:params:oauth:token-type:refresh_token";
    /// The type of `OpenID` Connect ID tokens.
    pub const ID_TOKEN: &'static str = "urn:ietf:params:oauth:token-type:id_token";
    /// The type of JSON Web Tokens.
    pub const JWT: &'static str = "urn:ietf:params:oauth:token-type:jwt";

    /// Exchanges an access token.
    pub fn new(subject_token: impl Into<Secret>) -> Self {
        Self {
            subject_token: subject_token.into(),
            subject_token_type: Self::ACCESS_TOKEN.to_owned(),
            actor_token: None,
            actor_token_type: None,
            requested_token_type: None,
        }
    }

    /// Sets the type of the subject token.
    pub fn with_subject_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.subject_token_type = token_type.into();
        self
    }

    /// Sets the token of the acting party, and its type.
    pub fn with_actor(mut self, token: impl Into<Secret>, token_type: impl Into<String>) -> Self {
        self.actor_token = Some(token.into());
        self.actor_token_type = Some(token_type.into());
        self
    }

    /// Sets the type of the token to issue.
    pub fn with_requested_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.requested_token_type = Some(token_type.into());
        self
    }
}

impl Validate for TokenExchange {
    fn validate(&self) -> Result<()> {
        validate::not_blank(self.subject_token.expose(), "subject_token")?;
        validate::not_blank(&self.subject_token_type, "subject_token_type")?;
        if let Some(token) = &self.actor_token {
            validate::not_blank(token.expose(), "actor_token")?;
        }
        validate::ensure(
            self.actor_token.is_some() == self.actor_token_type.is_some(),
            "actor_token_type",
            "must be set exactly if there is an actor token",
        )
    }
}

/// A request for an access token. `Debug` shows no secrets, and only the names of the `extra` parameters.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
#[non_exhaustive]
pub struct OAuth2Request {
    /// The token endpoint.
    pub token_url: Url,
    /// The client id.
    pub client_id: String,
    /// The client secret; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// The grant.
    #[serde(flatten)]
    pub grant: OAuth2Grant,
    /// The requested scopes.
    pub scopes: Vec<String>,
    /// The requested audience, for servers that support this parameter.
    pub audience: Option<String>,
    /// Further parameters of the request.
    pub extra: BTreeMap<String, String>,
}

/// The keys of a request beside those of its grant.
const REQUEST_KEYS: [&str; 7] = [
    "token_url",
    "client_id",
    "client_secret",
    "grant_type",
    "scopes",
    "audience",
    "extra",
];

/// The keys of each grant.
const GRANT_KEYS: [(&str, &[&str]); 7] = [
    ("client_credentials", &[]),
    ("refresh_token", &["refresh_token"]),
    ("authorization_code", &["code", "redirect_uri", "pkce_verifier"]),
    ("urn:ietf:params:oauth:grant-type:jwt-bearer", &["assertion"]),
    ("password", &["username", "password"]),
    ("urn:ietf:params:oauth:grant-type:device_code", &["device_code"]),
    (
        "urn:ietf:params:oauth:grant-type:token-exchange",
        &[
            "subject_token",
            "subject_token_type",
            "actor_token",
            "actor_token_type",
            "requested_token_type",
        ],
    ),
];

/// A request whose keys have been checked. serde cannot refuse the unknown keys of a struct with a flattened field.
#[derive(Deserialize)]
struct CheckedRequest {
    token_url: Url,
    client_id: String,
    #[serde(default)]
    client_secret: Option<Secret>,
    #[serde(flatten)]
    grant: OAuth2Grant,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    audience: Option<String>,
    #[serde(default)]
    extra: BTreeMap<String, String>,
}

impl TryFrom<BTreeMap<String, Value>> for OAuth2Request {
    type Error = serde_json::Error;

    fn try_from(given: BTreeMap<String, Value>) -> Result<Self, Self::Error> {
        let grant = given.get("grant_type").and_then(Value::as_str);
        if let Some((_, of_grant)) = GRANT_KEYS.iter().find(|(name, _)| Some(*name) == grant) {
            let known = || REQUEST_KEYS.iter().chain(*of_grant);
            if let Some(key) = given.keys().find(|key| known().all(|known| known != key)) {
                let known: Vec<&str> = known().copied().collect();
                let known = known.join("`, `");
                return Err(Self::Error::custom(format_args!(
                    "unknown field `{key}`, expected one of `{known}`"
                )));
            }
        }
        let CheckedRequest {
            token_url,
            client_id,
            client_secret,
            grant,
            scopes,
            audience,
            extra,
        } = serde_json::from_value(given.into_iter().collect())?;
        Ok(Self {
            token_url,
            client_id,
            client_secret,
            grant,
            scopes,
            audience,
            extra,
        })
    }
}

impl OAuth2Request {
    /// A request of a client without a secret.
    pub fn new(token_url: Url, client_id: impl Into<String>, grant: OAuth2Grant) -> Self {
        Self {
            token_url,
            client_id: client_id.into(),
            client_secret: None,
            grant,
            scopes: Vec::new(),
            audience: None,
            extra: BTreeMap::new(),
        }
    }

    /// A client-credentials request.
    pub fn client_credentials(token_url: Url, client_id: impl Into<String>, client_secret: impl Into<Secret>) -> Self {
        Self {
            client_secret: Some(client_secret.into()),
            ..Self::new(token_url, client_id, OAuth2Grant::ClientCredentials)
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
    /// Its type, as the server spells it; `Bearer` if the server does not name it.
    pub token_type: String,
    /// The lifetime of the token, from the time of the response; `None` if the server does not say it.
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
    /// The type of the issued token in the response to a token exchange (RFC 8693, section 2.2.1).
    #[serde(default)]
    pub issued_token_type: Option<String>,
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
            issued_token_type: None,
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
