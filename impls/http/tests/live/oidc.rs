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
    check!(keys["keys"][0]["kid"].is_string(), "there is a key with a name");
    check!(keys["keys"][0]["d"].is_null(), "and it is public");
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
    check_eq!(claims.claims["client_id"], "service", "whose token it is");

    let foreign = client
        .authenticate_oauth2(provider.service("https://payments.test/")?)
        .await?;
    let refused = client
        .authenticate_jwt(foreign.access_token.expose(), JwtAlgorithm::Rs256)
        .await;
    let error = check_error!(refused, ErrorKind::Authentication, "for somebody else");
    check!(
        error.context().any(|pair| pair == ("reason", "audience")),
        "another reason: {error}"
    );

    clock.advance(180);
    let refused = client
        .authenticate_jwt(token.access_token.expose(), JwtAlgorithm::Rs256)
        .await;
    let error = check_error!(refused, ErrorKind::Authentication, "an old token");
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
    check_eq!(claims.subject(), Some("ada"), "who signed in");
    check_eq!(claims.claims["nonce"], "n0nce", "the nonce of the request");
    let user: Value = client
        .get(provider.endpoint("userinfo_endpoint")?.as_str())
        .bearer(token.access_token.expose())
        .await?
        .error_for_status()?
        .json()
        .await?;
    check_eq!(user["sub"], "ada", "the token opens the user's page");
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
        "a verifier that does not fit"
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
    check!(second.refresh_token.is_some(), "a new refresh token");
    check!(second.refresh_token != first.refresh_token, "which is another one");
    let third = client.authenticate_oauth2(provider.refresh(&second)?).await?;
    // Whoever uses an old one may have stolen it: all of them end.
    for (token, what) in [(&first, "a used refresh token"), (&third, "and with it the newest one")] {
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
    // Each round the token is too old, and the next refresh token has to be the right one.
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
    check!(renewed.key_id != claims.key_id, "another key signs");
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

/// A provider of the case's own.
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
        let changed = live.client(&self.url)?.post(&format!("control/{what}")).await?;
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

    /// A token for the client `service`, to be used at this resource.
    fn service(&self, resource: &str) -> Result<OAuth2Request> {
        let mut request =
            OAuth2Request::client_credentials(self.endpoint("token_endpoint")?, "service", SECRET).with_scope("read");
        request.extra.insert("resource".to_owned(), resource.to_owned());
        Ok(request)
    }

    /// A token for the public client `app`.
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

    /// Goes through the provider's pages as a user called `ada`, and gives the request that exchanges the code.
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

/// As much of a browser as signing in needs: it keeps cookies, and follows redirects up to the application's page.
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
        let response = self.client.post(url.as_str()).form(form.iter().copied()).await?;
        self.follow(url, response).await
    }

    /// The page where redirects end: one that shows something, or the application's.
    async fn follow(&self, mut url: Url, mut response: HttpResponse) -> Result<Url, Failure> {
        for _ in 0..10 {
            let Some(location) = response.headers.get(header::LOCATION) else {
                check_eq!(response.status, 200, "the page {url}");
                return Ok(url);
            };
            url = url
                .join(location.to_str().unwrap_or_default())
                .map_err(|error| Failure::new(format!("{location:?} is no location: {error}")))?;
            if url.as_str().starts_with(REDIRECT) {
                return Ok(url);
            }
            response = self.client.get(url.as_str()).await?;
        }
        Err(Failure::new(format!("redirects without end, at {url}")))
    }
}
