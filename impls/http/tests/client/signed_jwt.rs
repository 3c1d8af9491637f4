//! Tokens that the client signs itself.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use networking_http::jwt::{JwtKey, JwtPolicy, JwtSigningKey, JwtVerifier, SignedJwt};
use networking_http::layer::Credentials;
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::http::{HttpClientExt, JwtAlgorithm, Method};
use serde_json::{Value, json};

const SECRET: &[u8] = b"a secret of thirty-two bytes ...";
const SECOND: Duration = Duration::from_secs(1);

fn jwt() -> SignedJwt {
    SignedJwt::new(JwtSigningKey::hmac(JwtAlgorithm::Hs256, SECRET).unwrap().with_id("k1"))
}

fn client(jwt: SignedJwt) -> (StandardHttpClient<MemoryHttpClient>, MemoryHttpClient) {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/{*any}", Reply::ok()).unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::signed_jwt(jwt).unwrap())
        .build()
        .unwrap();
    (client, memory)
}

fn token(memory: &MemoryHttpClient, index: usize) -> String {
    let received = memory.received();
    let value = received[index].header("authorization").unwrap();
    value.strip_prefix("Bearer ").unwrap().to_owned()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_origin_has_a_valid_token() {
    let (client, memory) = client(
        jwt()
            .with_issuer("billing")
            .with_subject("job-7")
            .with_claim("scope", "read"),
    );
    for url in ["https://a.test/1", "https://a.test/2", "https://b.test:8443/1"] {
        client.get(url).await.unwrap();
    }
    assert_eq!(token(&memory, 0), token(&memory, 1), "reused");
    for (index, audience) in [(0, "https://a.test"), (2, "https://b.test:8443")] {
        let token = token(&memory, index);
        assert_eq!(part(&token, 0), json!({"typ": "JWT", "alg": "HS256", "kid": "k1"}));
        let policy = JwtPolicy::new([JwtAlgorithm::Hs256])
            .with_issuer("billing")
            .with_audience(audience);
        let key = JwtKey::hmac(JwtAlgorithm::Hs256, SECRET).unwrap().with_id("k1");
        let verifier = JwtVerifier::with_keys(vec![key], policy).unwrap();
        verifier.verify(&token, JwtAlgorithm::Hs256).await.unwrap();
        let claims = part(&token, 1);
        assert_eq!((&claims["sub"], &claims["scope"]), (&json!("job-7"), &json!("read")));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
    }
    assert_ne!(part(&token(&memory, 0), 1)["jti"], part(&token(&memory, 2), 1)["jti"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_before_it_expires() {
    let (client, memory) = client(jwt().with_audience("them").with_lifetime(SECOND * 100));
    for _ in 0..3 {
        client.get("https://a.test/1").await.unwrap();
        tokio::time::advance(SECOND * 40).await;
    }
    assert_eq!(token(&memory, 0), token(&memory, 1), "at 40 s");
    assert_ne!(token(&memory, 1), token(&memory, 2), "at 80 s");
    let claims = part(&token(&memory, 2), 1);
    assert_eq!(claims["aud"], "them");
    assert_eq!(
        claims["iat"].as_u64().unwrap() - part(&token(&memory, 0), 1)["iat"].as_u64().unwrap(),
        80
    );
}

#[tokio::test]
async fn a_header_of_the_request_takes_precedence() {
    let (client, memory) = client(jwt());
    client
        .get("https://a.test/1")
        .header("authorization", "mine")
        .await
        .unwrap();
    assert_eq!(memory.received()[0].header("authorization"), Some("mine"));
}

#[tokio::test]
async fn private_keys_sign_what_public_keys_verify() {
    let (algorithms, alg) = (
        [JwtAlgorithm::Es256, JwtAlgorithm::EdDsa],
        [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519],
    );
    for (algorithm, alg) in algorithms.into_iter().zip(alg) {
        let pair = rcgen::KeyPair::generate_for(alg).unwrap();
        let key = JwtSigningKey::pem(algorithm, &pair.serialize_pem()).unwrap();
        assert!(!format!("{key:?}").contains("PRIVATE"));
        let (client, memory) = client(SignedJwt::new(key).with_issuer("me").with_audience("them"));
        client.get("https://a.test/1").await.unwrap();
        let public = JwtKey::pem(algorithm, &pair.public_key_pem()).unwrap();
        let policy = JwtPolicy::new([algorithm]).with_issuer("me").with_audience("them");
        let verifier = JwtVerifier::with_keys(vec![public], policy).unwrap();
        verifier.verify(&token(&memory, 0), algorithm).await.unwrap();
        let wrong = if algorithm == JwtAlgorithm::Es256 {
            JwtAlgorithm::EdDsa
        } else {
            JwtAlgorithm::Es256
        };
        assert_eq!(
            JwtSigningKey::pem(wrong, &pair.serialize_pem()).unwrap_err().field(),
            Some("pem")
        );
    }
}

#[test]
fn invalid_settings_name_their_field() {
    for (jwt, field) in [
        (jwt().with_lifetime(Duration::ZERO), "jwt.lifetime"),
        (jwt().with_lifetime(SECOND * 90_000), "jwt.lifetime"),
        (jwt().with_claim("exp", 7), "jwt.claims.exp"),
    ] {
        assert_eq!(Credentials::signed_jwt(jwt).unwrap_err().field(), Some(field));
    }
    let short = JwtSigningKey::hmac(JwtAlgorithm::Hs512, SECRET).unwrap_err();
    assert_eq!(short.field(), Some("secret"));
    for (algorithm, pem) in [
        (JwtAlgorithm::Hs256, ""),
        (JwtAlgorithm::Rs256, "-----BEGIN PRIVATE KEY-----"),
    ] {
        assert!(JwtSigningKey::pem(algorithm, pem).is_err());
    }
}

mod assertions {
    use networking_http::oauth2::{Assertion, OAuth2Credentials};
    use networking_spi::http::{OAuth2Grant, OAuth2Request};
    use url::form_urlencoded;

    use super::*;

    const TOKEN_URL: &str = "https://id.test/token";

    /// The form of the token request.
    async fn token_request(credentials: OAuth2Credentials) -> Vec<(String, String)> {
        let memory = MemoryHttpClient::new();
        memory.route(Method::GET, "/{*any}", Reply::ok()).unwrap();
        let granted = json!({"access_token": "granted", "token_type": "Bearer", "expires_in": 3600});
        let reply = Reply::ok().with_json(&granted).unwrap();
        memory.route(Method::POST, TOKEN_URL, reply).unwrap();
        let client = HttpClientBuilder::over(memory.clone())
            .credentials(Credentials::oauth2(credentials).unwrap())
            .build()
            .unwrap();
        client.get("https://api.test/").await.unwrap();
        let received = memory.received();
        assert_eq!(received[1].header("authorization"), Some("Bearer granted"));
        assert_eq!(received[0].header("authorization"), None);
        form_urlencoded::parse(&received[0].body).into_owned().collect()
    }

    fn public_client() -> OAuth2Request {
        let mut request = OAuth2Request::client_credentials(TOKEN_URL.parse().unwrap(), "me", "");
        request.client_secret = None;
        request
    }

    fn field<'f>(form: &'f [(String, String)], name: &str) -> &'f str {
        form.iter()
            .find(|(known, _)| known == name)
            .map_or("", |(_, value)| value)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_can_authenticate_with_an_assertion() {
        let credentials = OAuth2Credentials::new(public_client()).with_assertion(Assertion::OfClient(jwt()));
        let form = token_request(credentials).await;
        assert_eq!(field(&form, "grant_type"), "client_credentials");
        assert_eq!(
            field(&form, "client_assertion_type"),
            "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        );
        let claims = part(field(&form, "client_assertion"), 1);
        assert_eq!(
            (&claims["iss"], &claims["sub"], &claims["aud"]),
            (&json!("me"), &json!("me"), &json!(TOKEN_URL))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_assertion_can_be_the_grant() {
        let jwt = jwt().with_issuer("service").with_subject("user");
        let form = token_request(OAuth2Credentials::new(public_client()).with_assertion(Assertion::OfGrant(jwt))).await;
        assert_eq!(
            field(&form, "grant_type"),
            "urn:ietf:params:oauth:grant-type:jwt-bearer"
        );
        let claims = part(field(&form, "assertion"), 1);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("service"), &json!("user")));
    }

    #[test]
    fn a_jwt_bearer_grant_is_serialized_and_validated() {
        let grant = OAuth2Grant::JwtBearer {
            assertion: "a.b.c".into(),
        };
        let written = serde_json::to_value(&grant).unwrap();
        assert_eq!(written["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        assert_eq!(serde_json::from_value::<OAuth2Grant>(written).unwrap(), grant);
        let empty = OAuth2Grant::JwtBearer { assertion: "".into() };
        let wrong = OAuth2Credentials::new(public_client().with_grant(empty));
        assert_eq!(
            Credentials::oauth2(wrong).unwrap_err().field(),
            Some("oauth2.request.grant.assertion")
        );
        let secret = OAuth2Request::client_credentials(TOKEN_URL.parse().unwrap(), "me", "secret");
        let both = OAuth2Credentials::new(secret).with_assertion(Assertion::OfClient(jwt()));
        assert_eq!(
            Credentials::oauth2(both).unwrap_err().field(),
            Some("oauth2.request.client_secret")
        );
        let bad = OAuth2Credentials::new(public_client())
            .with_assertion(Assertion::OfGrant(jwt().with_lifetime(Duration::ZERO)));
        assert_eq!(
            Credentials::oauth2(bad).unwrap_err().field(),
            Some("oauth2.assertion.lifetime")
        );
    }
}
