//! oidc-provider: the strict flows.

use std::sync::Arc;
use std::time::Duration;

use networking_conformance::{CaseResult, Failure, check, check_eq, check_error};
use networking_http::CookieJar;
use networking_http::jwt::{JwksConfig, JwtPolicy, KeySource};
use networking_http::layer::{Credentials, RedirectPolicy};
use networking_http::oauth2::OAuth2Credentials;
use networking_spi::http::{
    HttpClientExt, HttpExtended, HttpResponse, JwtAlgorithm, OAuth2Grant, OAuth2Request, OAuth2Token, header,
};
use networking_spi::{ErrorKind, NetworkError, Result};
use serde_json::Value;
use url::Url;

use super::backend::{Client, Live};
use super::clock::AheadClock;

const SECRET: &str = "a secret & more";
const ORDERS: &str = "https://orders.test/ttl/60";
const REDIRECT: &str = "http://127.0.0.1/callback";

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

pub(crate) async fn discovery_leads_to_keys(live: Arc<Live>) -> CaseResult {
    let provider = Provider::discover(&live, "discovery").await?;
    check_eq!(provider.document["issuer"], provider.issuer(), "the issuer");
    let keys: Value = live
        .client(&provider.url)?
        .get(provider.endpoint("jwks_uri")?.as_str())
        .await?
        .json()
        .await?;
    check!(keys["keys"][0]["kid"].is_string(), "the key has no id");
    check!(keys["keys"][0]["d"].is_null(), "the key is not public");
    Ok(())
}

pub(crate) async fn access_tokens_are_verified(live: Arc<Live>) -> CaseResult {
    let provider = Provider::discover(&live, "access").await?;
    let clock = Arc::new(AheadClock::default());
    let policy = provider.policy(ORDERS).with_token_type("at+jwt");
    let client = provider.verifier(&live, policy, &clock)?;
    let token = client.authenticate_oauth2(provider.service(ORDERS)?).await?;
    check_eq!(token.expires_in, Some(Duration::from_secs(60)), "the lifetime");
    check_eq!(token.scopes, ["read"], "the scopes");
    let claims = client
        .authenticate_jwt(token.access_token.expose(), JwtAlgorithm::Rs256)
        .await?;
    check_eq!(claims.claims["client_id"], "service", "the client of the token");

    let foreign = client
        .authenticate_oauth2(provider.service("https://payments.test/")?)
        .await?;
    let refused = client
        .authenticate_jwt(foreign.access_token.expose(), JwtAlgorithm::Rs256)
        .await;
    let error = check_error!(refused, ErrorKind::Authentication, "a token for another audience");
    check!(
        error.context().any(|pair| pair == ("reason", "audience")),
        "another reason: {error}"
    );

    clock.advance(180);
    let refused = client
        .authenticate_jwt(token.access_token.expose(), JwtAlgorithm::Rs256)
        .await;
    let error = check_error!(refused, ErrorKind::Authentication, "an expired token");
    check!(
        error.context().any(|pair| pair == ("reason", "expired")),
        "another reason: {error}"
    );
    Ok(())
}

pub(crate) async fn wrong_secrets_are_refused(live: Arc<Live>) -> CaseResult {
    let provider = Provider::discover(&live, "secret").await?;
    let mut request = provider.service(ORDERS)?;
    request.client_secret = Some("not this one".into());
    let error = check_error!(
        live.client(&provider.url)?.authenticate_oauth2(request).await,
        ErrorKind::Authentication,
        "a wrong secret"
    );
    check_eq!(error.status(), Some(401), "the status");
    check!(
        error.context().any(|pair| pair == ("error", "invalid_client")),
        "the server's reason is missing in {error}"
    );
    Ok(())
}

pub(crate) async fn a_user_signs_in_with_pkce(live: Arc<Live>) -> CaseResult {
    let provider = Provider::discover(&live, "sign-in").await?;
    let client = provider.verifier(&live, provider.policy("app"), &Arc::default())?;
    let token = client
        .authenticate_oauth2(provider.sign_in(&live, VERIFIER).await?)
        .await?;
    let id_token = token.id_token.as_ref().expect("openid was asked for");
    let claims = client.authenticate_jwt(id_token.expose(), JwtAlgorithm::Rs256).await?;
    check_eq!(claims.subject(), Some("ada"), "the user");
    check_eq!(claims.claims["nonce"], "n0nce", "the nonce of the request");
    let user: Value = client
        .get(provider.endpoint("userinfo_endpoint")?.as_str())
        .bearer(token.access_token.expose())
        .await?
        .error_for_status()?
        .json()
        .await?;
    check_eq!(user["sub"], "ada", "the user of the access token");
    Ok(())
}

pub(crate) async fn a_wrong_verifier_is_refused(live: Arc<Live>) -> CaseResult {
    let provider = Provider::discover(&live, "verifier").await?;
    let request = provider
        .sign_in(&live, "another-verifier-that-has-the-length-it-needs")
        .await?;
    let error = check_error!(
        live.client(&provider.url)?.authenticate_oauth2(request).await,
        ErrorKind::Authentication,
        "a wrong verifier"
    );
    check!(
        error.context().any(|pair| pair == ("error", "invalid_grant")),
        "the server's reason is missing in {error}"
    );
    Ok(())
}

pub(crate) async fn refresh_tokens_rotate_and_reuse_is_noticed(live: Arc<Live>) -> CaseResult {
    let provider = Provider::discover(&live, "rotation").await?;
    let client = live.client(&provider.url)?;
    let first = client
        .authenticate_oauth2(provider.sign_in(&live, VERIFIER).await?)
        .await?;
    let second = client.authenticate_oauth2(provider.refresh(&first)?).await?;
    check!(second.refresh_token.is_some(), "the new refresh token is missing");
    check!(
        second.refresh_token != first.refresh_token,
        "the refresh token is the same"
    );
    let third = client.authenticate_oauth2(provider.refresh(&second)?).await?;
    // The reuse of an old token may mean that it was stolen, so the provider revokes all of them.
    for (token, what) in [(&first, "a used refresh token"), (&third, "the newest refresh token")] {
        let error = check_error!(
            client.authenticate_oauth2(provider.refresh(token)?).await,
            ErrorKind::Authentication,
            "{what}"
        );
        check!(
            error.context().any(|pair| pair == ("error", "invalid_grant")),
            "the server's reason is missing in {error}"
        );
    }
    Ok(())
}

pub(crate) async fn a_client_keeps_its_rotating_token(live: Arc<Live>) -> CaseResult {
    let provider = Provider::discover(&live, "keeper").await?;
    let clock = Arc::new(AheadClock::default());
    let credentials = OAuth2Credentials::new(provider.sign_in(&live, VERIFIER).await?)
        .with_renewal(Duration::from_secs(60), Duration::ZERO);
    let client = live
        .builder()?
        .base_url(&provider.url)
        .credentials(Credentials::oauth2(credentials)?)
        .clock(Arc::clone(&clock) as _)
        .build()?;
    let page = provider.endpoint("userinfo_endpoint")?;
    // In each round the access token has expired, and the client must send the latest refresh token.
    for round in 0..5 {
        let user: Value = client.get(page.as_str()).await?.error_for_status()?.json().await?;
        check_eq!(user["sub"], "ada", "round {round}");
        clock.advance(3600);
    }
    Ok(())
}

pub(crate) async fn keys_rotate(live: Arc<Live>) -> CaseResult {
    let provider = Provider::discover(&live, "keys").await?;
    let clock = Arc::new(AheadClock::default());
    let client = provider.verifier(&live, provider.policy(ORDERS), &clock)?;
    let token = async || -> Result<String> {
        let token = client.authenticate_oauth2(provider.service(ORDERS)?).await?;
        Ok(token.access_token.expose().to_owned())
    };
    let first = token().await?;
    let claims = client.authenticate_jwt(&first, JwtAlgorithm::Rs256).await?;
    provider.control(&live, "rotate").await?;
    clock.advance(31);
    let second = token().await?;
    let renewed = client.authenticate_jwt(&second, JwtAlgorithm::Rs256).await?;
    check!(renewed.key_id != claims.key_id, "the key is the same");
    client.authenticate_jwt(&first, JwtAlgorithm::Rs256).await?;

    provider.control(&live, "retire").await?;
    clock.advance(31);
    let third = token().await?;
    client.authenticate_jwt(&third, JwtAlgorithm::Rs256).await?;
    let refused = client.authenticate_jwt(&second, JwtAlgorithm::Rs256).await;
    let error = check_error!(refused, ErrorKind::Authentication, "a key that was retired");
    check!(
        error.context().any(|pair| pair == ("reason", "unknown_key")),
        "another reason: {error}"
    );
    Ok(())
}

/// A tenant of the provider that only one case uses.
struct Provider {
    url: Url,
    document: Value,
}

impl Provider {
    async fn discover(live: &Live, case: &str) -> Result<Self> {
        let url = live
            .servers()
            .oidc
            .join(&format!("{}/", live.tenant(case)))
            .expect("a path");
        let document = live
            .client(&url)?
            .get(".well-known/openid-configuration")
            .await?
            .error_for_status()?
            .json()
            .await?;
        Ok(Self { url, document })
    }

    fn issuer(&self) -> String {
        self.url.as_str().trim_end_matches('/').to_owned()
    }

    fn endpoint(&self, name: &'static str) -> Result<Url> {
        self.document[name]
            .as_str()
            .and_then(|url| url.parse().ok())
            .ok_or_else(|| NetworkError::not_found("live", "endpoint", name))
    }

    async fn control(&self, live: &Live, what: &str) -> Result<()> {
        let changed = live.client(&self.url)?.post(format!("control/{what}")).await?;
        changed.error_for_status().map(|_| ())
    }

    fn policy(&self, audience: &str) -> JwtPolicy {
        JwtPolicy::new([JwtAlgorithm::Rs256])
            .with_issuer(self.issuer())
            .with_audience(audience)
    }

    fn verifier(&self, live: &Live, policy: JwtPolicy, clock: &Arc<AheadClock>) -> Result<Client> {
        live.builder()?
            .base_url(&self.url)
            .jwt(KeySource::Jwks(JwksConfig::new(self.endpoint("jwks_uri")?)), policy)
            .clock(Arc::clone(clock) as _)
            .build()
    }

    /// The request of the client `service` for a token for this resource.
    fn service(&self, resource: &str) -> Result<OAuth2Request> {
        let mut request =
            OAuth2Request::client_credentials(self.endpoint("token_endpoint")?, "service", SECRET).with_scope("read");
        request.extra.insert("resource".to_owned(), resource.to_owned());
        Ok(request)
    }

    /// The token request of the public client `app`.
    fn app(&self, grant: OAuth2Grant) -> Result<OAuth2Request> {
        let mut request =
            OAuth2Request::client_credentials(self.endpoint("token_endpoint")?, "app", "").with_grant(grant);
        request.client_secret = None;
        Ok(request)
    }

    fn refresh(&self, token: &OAuth2Token) -> Result<OAuth2Request> {
        let refresh_token = token.refresh_token.clone().expect("the provider gives one");
        self.app(OAuth2Grant::RefreshToken { refresh_token })
    }

    /// Signs in at the provider's pages as the user `ada`, and returns the request that exchanges the code.
    async fn sign_in(&self, live: &Live, verifier: &str) -> Result<OAuth2Request, Failure> {
        let mut start = self.endpoint("authorization_endpoint")?;
        start.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", "app"),
            ("redirect_uri", REDIRECT),
            ("scope", "openid offline_access"),
            ("prompt", "consent"),
            ("nonce", "n0nce"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        let browser = Browser::new(live)?;
        let mut page = browser.open(start).await?;
        for form in [
            &[("prompt", "login"), ("login", "ada"), ("password", "any")][..],
            &[("prompt", "consent")][..],
        ] {
            if page.as_str().starts_with(REDIRECT) {
                break;
            }
            page = browser.submit(page, form).await?;
        }
        check!(page.as_str().starts_with(REDIRECT), "the user ended up at {page}");
        let code = page
            .query_pairs()
            .find(|(name, _)| name == "code")
            .ok_or_else(|| Failure::new(format!("no code in {page}")))?
            .1
            .into_owned();
        Ok(self.app(OAuth2Grant::AuthorizationCode {
            code: code.into(),
            redirect_uri: REDIRECT.parse().expect("a URL"),
            pkce_verifier: Some(verifier.into()),
        })?)
    }
}

/// A minimal browser for signing in. It keeps cookies, and follows redirects up to the application's page.
struct Browser {
    client: Client,
}

impl Browser {
    fn new(live: &Live) -> Result<Self> {
        let client = live
            .builder()?
            .redirects(RedirectPolicy::none())
            .cookies(CookieJar::new());
        Ok(Self {
            client: client.build()?,
        })
    }

    async fn open(&self, url: Url) -> Result<Url, Failure> {
        let response = self.client.get(url.as_str()).await?;
        self.follow(url, response).await
    }

    async fn submit(&self, url: Url, form: &[(&str, &str)]) -> Result<Url, Failure> {
        let response = self.client.post(url.as_str()).form(form).await?;
        self.follow(url, response).await
    }

    /// Follows redirects to a page with the status 200 or to the application's page, and returns its URL.
    async fn follow(&self, mut url: Url, mut response: HttpResponse) -> Result<Url, Failure> {
        for _ in 0..10 {
            let Some(location) = response.headers.get(header::LOCATION) else {
                check_eq!(response.status, 200, "the page {url}");
                return Ok(url);
            };
            url = url
                .join(location.to_str().unwrap_or_default())
                .map_err(|error| Failure::new(format!("{location:?} is not a location: {error}")))?;
            if url.as_str().starts_with(REDIRECT) {
                return Ok(url);
            }
            response = self.client.get(url.as_str()).await?;
        }
        Err(Failure::new(format!("too many redirects, at {url}")))
    }
}
