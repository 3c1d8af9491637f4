//! oauth2-mock-server: token requests, and the use and verification of tokens.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use networking_conformance::{CaseResult, check, check_eq, check_error};
use networking_http::jwt::{JwksConfig, JwtPolicy, KeySource};
use networking_http::layer::Credentials;
use networking_http::oauth2::OAuth2Credentials;
use networking_spi::http::{
    HttpClientExt, HttpExtended, JwtAlgorithm, OAuth2Grant, OAuth2Request, RequestOptions, StatusCode, header,
};
use networking_spi::{ErrorKind, NetworkError, Result};
use serde_json::Value;
use url::Url;

use super::backend::{Client, Live};
use super::clock::AheadClock;

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) async fn client_credentials_open_the_door(live: Arc<Live>) -> CaseResult {
    let tenant = Tenant::of(&live, "door");
    let anonymous = live.client(&tenant.url)?;
    check_eq!(anonymous.get("protected").await?.status, 401, "without a token");
    let token = anonymous.authenticate_oauth2(tenant.request(3600)).await?;
    check_eq!(token.expires_in, Some(Duration::from_secs(3600)), "the lifetime");
    let answer = anonymous.get("protected").bearer(token.access_token.expose()).await?;
    check_eq!(answer.status, 200, "with the token");

    let client = tenant.client(&live, 3600, &Arc::default())?;
    check_eq!(
        client.get("protected").await?.status,
        200,
        "the client requests its token"
    );
    Ok(())
}

pub(crate) async fn many_requests_share_a_token(live: Arc<Live>) -> CaseResult {
    let tenant = Tenant::of(&live, "share");
    let client = tenant.client(&live, 3600, &Arc::default())?;
    let tokens = try_join_all((0..20).map(|_| token_in_use(&client))).await?;
    check!(
        tokens.iter().all(|token| *token == tokens[0]),
        "different tokens were used"
    );
    check_eq!(tenant.grants(&live).await?["client_credentials"], 1, "token requests");
    Ok(())
}

pub(crate) async fn tokens_are_renewed_early(live: Arc<Live>) -> CaseResult {
    let tenant = Tenant::of(&live, "renewal");
    let clock = Arc::new(AheadClock::default());
    // Renewed in the background, 60 s before it expires.
    let client = tenant.client(&live, 3600, &clock)?;
    let first = token_in_use(&client).await?;
    clock.advance(3500);
    check_eq!(token_in_use(&client).await?, first, "too early");
    clock.advance(50);
    check_eq!(token_in_use(&client).await?, first, "no request waits for the renewal");
    let mut second = first.clone();
    while second == first {
        second = token_in_use(&client).await?;
    }
    check_eq!(tenant.grants(&live).await?["client_credentials"], 2, "token requests");
    // An expired token is not used.
    clock.advance(3600);
    check!(token_in_use(&client).await? != second, "an expired token was used");
    check_eq!(tenant.grants(&live).await?["client_credentials"], 3, "token requests");
    Ok(())
}

pub(crate) async fn a_refused_token_is_replaced(live: Arc<Live>) -> CaseResult {
    let tenant = Tenant::of(&live, "refused");
    let client = tenant.client(&live, 3600, &Arc::default())?;
    let first = token_in_use(&client).await?;
    tenant.rotate(&live).await?;
    check!(token_in_use(&client).await? != first, "the refused token was used");
    check_eq!(tenant.grants(&live).await?["client_credentials"], 2, "token requests");
    Ok(())
}

pub(crate) async fn codes_are_exchanged_with_pkce(live: Arc<Live>) -> CaseResult {
    let tenant = Tenant::of(&live, "pkce");
    let client = live.client(&tenant.url)?;
    let token = client
        .authenticate_oauth2(tenant.code(&client, VERIFIER).await?)
        .await?;
    check!(token.id_token.is_some(), "the id token is missing");
    let refresh_token = token.refresh_token.expect("the server always gives one");
    let refreshed = client
        .authenticate_oauth2(
            tenant
                .request(60)
                .with_grant(OAuth2Grant::RefreshToken { refresh_token }),
        )
        .await?;
    check!(
        refreshed.access_token != token.access_token,
        "the refreshed token is the same"
    );

    let other = "another-verifier-that-has-the-length-it-needs";
    let error = check_error!(
        client.authenticate_oauth2(tenant.code(&client, other).await?).await,
        ErrorKind::Authentication,
        "a wrong verifier"
    );
    check!(
        error.context().any(|pair| pair == ("error", "invalid_request")),
        "the server's reason is missing in {error}"
    );
    Ok(())
}

pub(crate) async fn tokens_verify_until_they_expire(live: Arc<Live>) -> CaseResult {
    let tenant = Tenant::of(&live, "verify");
    let clock = Arc::new(AheadClock::default());
    let client = tenant.verifier(&live, "orders", &clock)?;
    let token = tenant.token_for(&client, "orders").await?;
    let claims = client.authenticate_jwt(&token, JwtAlgorithm::Es256).await?;
    check_eq!(claims.issuer(), Some(tenant.issuer().as_str()), "the issuer");

    let foreign = tenant.token_for(&client, "payments").await?;
    let error = check_error!(
        client.authenticate_jwt(&foreign, JwtAlgorithm::Es256).await,
        ErrorKind::Authentication,
        "a token for another audience"
    );
    check!(
        error.context().any(|pair| pair == ("reason", "audience")),
        "another reason: {error}"
    );

    let (head, signature) = token.rsplit_once('.').expect("a token has three parts");
    let turned: String = signature.chars().rev().collect();
    check_error!(
        client
            .authenticate_jwt(&format!("{head}.{turned}"), JwtAlgorithm::Es256)
            .await,
        ErrorKind::Authentication,
        "a forged signature"
    );
    check_error!(
        client.authenticate_jwt(&token, JwtAlgorithm::Rs256).await,
        ErrorKind::Authentication,
        "another algorithm than expected"
    );
    clock.advance(3600 + 120);
    let error = check_error!(
        client.authenticate_jwt(&token, JwtAlgorithm::Es256).await,
        ErrorKind::Authentication,
        "an expired token"
    );
    check!(
        error.context().any(|pair| pair == ("reason", "expired")),
        "another reason: {error}"
    );
    Ok(())
}

pub(crate) async fn replaced_keys_are_fetched(live: Arc<Live>) -> CaseResult {
    let tenant = Tenant::of(&live, "keys");
    let clock = Arc::new(AheadClock::default());
    let client = tenant.verifier(&live, "orders", &clock)?;
    let old = tenant.token_for(&client, "orders").await?;
    client.authenticate_jwt(&old, JwtAlgorithm::Es256).await?;
    tenant.rotate(&live).await?;
    let new = tenant.token_for(&client, "orders").await?;
    let error = check_error!(
        client.authenticate_jwt(&new, JwtAlgorithm::Es256).await,
        ErrorKind::Authentication,
        "keys are not fetched for every token"
    );
    check!(
        error.context().any(|pair| pair == ("reason", "unknown_key")),
        "another reason: {error}"
    );
    // After the cooldown, the keys are fetched.
    clock.advance(31);
    client.authenticate_jwt(&new, JwtAlgorithm::Es256).await?;
    check_error!(
        client.authenticate_jwt(&old, JwtAlgorithm::Es256).await,
        ErrorKind::Authentication,
        "the old key was removed"
    );
    Ok(())
}

/// A tenant of the server that only one case uses.
struct Tenant {
    url: Url,
}

impl Tenant {
    fn of(live: &Live, case: &str) -> Self {
        let url = live.servers().oauth2.join(&format!("{}/", live.tenant(case)));
        Self {
            url: url.expect("a path"),
        }
    }

    fn at(&self, path: &str) -> Url {
        self.url.join(path).expect("a path")
    }

    fn issuer(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }

    fn request(&self, lifetime: u32) -> OAuth2Request {
        let mut request = OAuth2Request::client_credentials(self.at("token"), "the client", "s3cret");
        request.extra.insert("lifetime".to_owned(), lifetime.to_string());
        request
    }

    /// A client with credentials.
    fn client(&self, live: &Live, lifetime: u32, clock: &Arc<AheadClock>) -> Result<Client> {
        let credentials =
            OAuth2Credentials::new(self.request(lifetime)).with_renewal(Duration::from_secs(60), Duration::ZERO);
        live.builder()?
            .base_url(&self.url)
            .credentials(Credentials::oauth2(credentials)?)
            .clock(Arc::clone(clock) as _)
            .build()
    }

    /// A client that verifies tokens.
    fn verifier(&self, live: &Live, audience: &str, clock: &Arc<AheadClock>) -> Result<Client> {
        let policy = JwtPolicy::new([JwtAlgorithm::Es256, JwtAlgorithm::Rs256])
            .with_issuer(self.issuer())
            .with_audience(audience);
        live.builder()?
            .base_url(&self.url)
            .jwt(KeySource::Jwks(JwksConfig::new(self.at("jwks"))), policy)
            .clock(Arc::clone(clock) as _)
            .build()
    }

    async fn token_for(&self, client: &Client, audience: &str) -> Result<String> {
        let token = client
            .authenticate_oauth2(self.request(3600).with_audience(audience))
            .await?;
        Ok(token.access_token.expose().to_owned())
    }

    /// The request that exchanges the authorization code with this verifier.
    async fn code(&self, client: &Client, verifier: &str) -> Result<OAuth2Request> {
        let redirect_uri: Url = "http://127.0.0.1/callback".parse().expect("a URL");
        let back = client
            .get("authorize")
            .query_pair("response_type", "code")
            .query_pair("client_id", "app")
            .query_pair("redirect_uri", redirect_uri.as_str())
            .query_pair("code_challenge", CHALLENGE)
            .query_pair("code_challenge_method", "S256")
            .options(RequestOptions::new().with_follow_redirects(false))
            .await?;
        let code = back
            .headers
            .get(header::LOCATION)
            .and_then(|location| location.to_str().ok()?.parse::<Url>().ok())
            .and_then(|url| {
                url.query_pairs()
                    .find(|(name, _)| name == "code")
                    .map(|(_, code)| code.into_owned())
            })
            .ok_or_else(|| NetworkError::new(ErrorKind::Protocol, "live", "there is no code"))?;
        let mut request = self.request(60).with_grant(OAuth2Grant::AuthorizationCode {
            code: code.into(),
            redirect_uri,
            pkce_verifier: Some(verifier.into()),
        });
        "app".clone_into(&mut request.client_id);
        request.client_secret = None;
        Ok(request)
    }

    async fn rotate(&self, live: &Live) -> Result<()> {
        let changed = live.client(&self.url)?.post("control/rotate").await?;
        changed.error_for_status().map(|_| ())
    }

    async fn grants(&self, live: &Live) -> Result<Value> {
        live.client(&self.url)?.get("control/grants").await?.json().await
    }
}

/// The id of the token that the client sends.
async fn token_in_use(client: &Client) -> Result<String> {
    let response = client.get("protected").await?;
    if response.status != StatusCode::OK {
        return Err(NetworkError::new(ErrorKind::Status, "live", "the token was refused"));
    }
    Ok(response.json::<Value>().await?["jti"].to_string())
}
