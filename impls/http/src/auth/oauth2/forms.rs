//! The HTTP requests of the protocol, built by the crate `oauth2`.
//!
//! The crate builds a request only while it sends it. It gets a client that returns the request as its "error", so that the
//! request is sent, and its response read, by this crate.

use std::fmt;

use networking_spi::http::{OAuth2Grant, OAuth2Request};
use networking_spi::secret::Secret;
use networking_spi::{NetworkError, Result};
use oauth2::basic::BasicClient;
use oauth2::{
    AccessToken, AuthType, AuthorizationCode, ClientId, ClientSecret, DeviceAuthorizationUrl,
    EmptyExtraDeviceAuthorizationFields, ErrorResponse, IntrospectionUrl, PkceCodeVerifier, RedirectUrl, RefreshToken,
    RequestTokenError, ResourceOwnerPassword, ResourceOwnerUsername, RevocationUrl, StandardRevocableToken, TokenUrl,
};
use url::Url;

use super::{ClientAuthentication, OPERATION, TokenKind};

const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// Builds with any of the crate's request types, which have the same methods but no common trait.
macro_rules! build {
    ($request:expr, $parameters:expr) => {{
        let mut request = $request;
        for (name, value) in $parameters {
            request = request.add_extra_param(name, value);
        }
        take(request.request(&keep))
    }};
}

/// A client as the protocol sees it.
pub(super) struct Party<'a> {
    pub(super) id: &'a str,
    pub(super) secret: Option<&'a Secret>,
    pub(super) authentication: ClientAuthentication,
}

impl Party<'_> {
    fn to_library(&self) -> BasicClient {
        let client = BasicClient::new(ClientId::new(self.id.to_owned())).set_auth_type(match self.authentication {
            ClientAuthentication::Basic => AuthType::BasicAuth,
            ClientAuthentication::Form => AuthType::RequestBody,
        });
        match self.secret {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret.expose().to_owned())),
            None => client,
        }
    }
}

/// The token request of a checked [`OAuth2Request`].
pub(super) fn token(request: &OAuth2Request) -> Result<oauth2::HttpRequest> {
    let party = Party {
        id: &request.client_id,
        secret: request.client_secret.as_ref(),
        authentication: ClientAuthentication::Basic,
    };
    let client = party
        .to_library()
        .set_token_uri(TokenUrl::from_url(request.token_url.clone()));

    let scope = request.scopes.join(" ");
    let mut parameters: Vec<(&str, String)> = Vec::new();
    if !scope.is_empty() {
        parameters.push(("scope", scope));
    }
    if let Some(audience) = &request.audience {
        parameters.push(("audience", audience.clone()));
    }
    parameters.extend(request.extra.iter().map(|(name, value)| (name.as_str(), value.clone())));

    // The crate has no grants of extensions (RFC 6749, section 4.5). Their requests are those of client credentials, with another
    // grant type.
    let extension = |grant_type: &str, parameters: Vec<(&str, String)>| {
        let built = build!(client.exchange_client_credentials(), parameters)?;
        with_grant_type(built, grant_type)
    };
    match &request.grant {
        OAuth2Grant::ClientCredentials => build!(client.exchange_client_credentials(), parameters),
        OAuth2Grant::RefreshToken { refresh_token } => {
            let refresh_token = RefreshToken::new(refresh_token.expose().to_owned());
            build!(client.exchange_refresh_token(&refresh_token), parameters)
        }
        OAuth2Grant::AuthorizationCode {
            code,
            redirect_uri,
            pkce_verifier,
        } => {
            let client = client
                .clone()
                .set_redirect_uri(RedirectUrl::from_url(redirect_uri.clone()));
            let mut exchange = client.exchange_code(AuthorizationCode::new(code.expose().to_owned()));
            if let Some(verifier) = pkce_verifier {
                exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()));
            }
            build!(exchange, parameters)
        }
        OAuth2Grant::Password { username, password } => {
            let username = ResourceOwnerUsername::new(username.clone());
            let password = ResourceOwnerPassword::new(password.expose().to_owned());
            build!(client.exchange_password(&username, &password), parameters)
        }
        OAuth2Grant::JwtBearer { assertion } => {
            parameters.push(("assertion", assertion.expose().to_owned()));
            extension(JWT_BEARER, parameters)
        }
        OAuth2Grant::DeviceCode { device_code } => {
            parameters.push(("device_code", device_code.expose().to_owned()));
            extension(DEVICE_CODE, parameters)
        }
        OAuth2Grant::TokenExchange(exchange) => {
            parameters.push(("subject_token", exchange.subject_token.expose().to_owned()));
            parameters.push(("subject_token_type", exchange.subject_token_type.clone()));
            if let (Some(token), Some(token_type)) = (&exchange.actor_token, &exchange.actor_token_type) {
                parameters.push(("actor_token", token.expose().to_owned()));
                parameters.push(("actor_token_type", token_type.clone()));
            }
            if let Some(requested) = &exchange.requested_token_type {
                parameters.push(("requested_token_type", requested.clone()));
            }
            extension(TOKEN_EXCHANGE, parameters)
        }
        _ => Err(NetworkError::unsupported(OPERATION, "grant")),
    }
}

/// The device authorization request (RFC 8628, section 3.1).
pub(super) fn device(party: &Party<'_>, url: &Url, parameters: Vec<(String, String)>) -> Result<oauth2::HttpRequest> {
    let client = party
        .to_library()
        .set_device_authorization_url(DeviceAuthorizationUrl::from_url(url.clone()));
    let mut request = client.exchange_device_code();
    for (name, value) in parameters {
        request = request.add_extra_param(name, value);
    }
    take(request.request::<_, EmptyExtraDeviceAuthorizationFields>(&keep))
}

/// The introspection request (RFC 7662, section 2.1).
pub(super) fn introspection(
    party: &Party<'_>,
    url: &Url,
    token: &Secret,
    kind: TokenKind,
) -> Result<oauth2::HttpRequest> {
    let client = party
        .to_library()
        .set_introspection_url(IntrospectionUrl::from_url(url.clone()));
    let token = AccessToken::new(token.expose().to_owned());
    take(
        client
            .introspect(&token)
            .set_token_type_hint(kind.hint())
            .request(&keep),
    )
}

/// The revocation request (RFC 7009, section 2.1).
pub(super) fn revocation(party: &Party<'_>, url: &Url, token: &Secret, kind: TokenKind) -> Result<oauth2::HttpRequest> {
    let mut url = url.clone();
    // The crate accepts only HTTPS. The configuration also accepts HTTP, to this machine. The request does not have the URL.
    let _ = url.set_scheme("https");
    let client = party.to_library().set_revocation_url(RevocationUrl::from_url(url));
    let token = token.expose().to_owned();
    let revocation = client.revoke_token(match kind {
        TokenKind::Access => StandardRevocableToken::AccessToken(AccessToken::new(token)),
        TokenKind::Refresh => StandardRevocableToken::RefreshToken(RefreshToken::new(token)),
    });
    let revocation = revocation.map_err(|_| NetworkError::invalid_input("revocation_url", "must be an https URL"))?;
    take(revocation.request(&keep))
}

/// A request that is returned instead of being sent.
struct Kept(Box<oauth2::HttpRequest>);

impl std::error::Error for Kept {}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request is not sent")
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

fn keep(request: oauth2::HttpRequest) -> Result<oauth2::HttpResponse, Kept> {
    Err(Kept(Box::new(request)))
}

fn take<T, E: ErrorResponse>(built: Result<T, RequestTokenError<Kept, E>>) -> Result<oauth2::HttpRequest> {
    match built {
        Err(RequestTokenError::Request(Kept(request))) => Ok(*request),
        // The only other failure is a URL that is not one of HTTP.
        _ => Err(NetworkError::invalid_input("url", "cannot be the target of a request")),
    }
}

fn with_grant_type(request: oauth2::HttpRequest, grant_type: &str) -> Result<oauth2::HttpRequest> {
    const REPLACED: &[u8] = b"grant_type=client_credentials";
    let (head, body) = request.into_parts();
    let Some(rest) = body.strip_prefix(REPLACED) else {
        return Err(NetworkError::unsupported(OPERATION, "grant"));
    };
    let mut form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant_type", grant_type)
        .finish()
        .into_bytes();
    form.extend_from_slice(rest);
    Ok(http::Request::from_parts(head, form))
}
