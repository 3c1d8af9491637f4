//! Verifying tokens: test vectors of the RFCs, tokens that must be refused, and key sets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use networking_http::jwt::{JwksConfig, JwksResolver, JwtKey, JwtPolicy, JwtVerifier, KeySource};
use networking_http::layer::Credentials;
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_runtime::clock::TokioClock;
use networking_spi::http::{HttpExtended, HttpResponse, JwtAlgorithm, JwtClaims, Method, StatusCode};
use networking_spi::{ErrorKind, NetworkError, Retryability};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// RFC 7515, appendix A: the claims of all three examples; they expire at 1300819380.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const EXPIRY: u64 = 1_300_819_380;
const A1_HEADER: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9";
const A1_SIGNATURE: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const A1_KEY: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const A2_HEADER: &str = "eyJhbGciOiJSUzI1NiJ9";
const A2_SIGNATURE: &str = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const A2_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const A3_HEADER: &str = "eyJhbGciOiJFUzI1NiJ9";
const A3_SIGNATURE: &str = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// RFC 8037, appendix A.4. Its payload is text.
const ED25519: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

const SECRET: &[u8] = b"a secret that has 32 bytes or so";

fn a1_key() -> JwtKey {
    JwtKey::hmac(JwtAlgorithm::Hs256, &URL_SAFE_NO_PAD.decode(A1_KEY).unwrap()).unwrap()
}

fn a2_jwk() -> Value {
    json!({"kty": "RSA", "n": A2_MODULUS, "e": "AQAB"})
}

fn a3_jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})
}

fn at(seconds: u64) -> Arc<TokioClock> {
    Arc::new(TokioClock::starting_at(
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
    ))
}

fn verifier(keys: Vec<JwtKey>, policy: JwtPolicy) -> JwtVerifier {
    JwtVerifier::with_keys(keys, policy)
        .unwrap()
        .with_clock(at(EXPIRY - 10))
}

fn hs256(policy: impl FnOnce(JwtPolicy) -> JwtPolicy) -> JwtVerifier {
    let key = JwtKey::hmac(JwtAlgorithm::Hs256, SECRET).unwrap();
    verifier(
        vec![key],
        policy(JwtPolicy::new([JwtAlgorithm::Hs256]).with_require_expiry(false)),
    )
}

fn sign_with(secret: &[u8], header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

fn sign(header: &Value, claims: &Value) -> String {
    sign_with(SECRET, header, claims)
}

fn reason(result: Result<JwtClaims, NetworkError>) -> String {
    let error = result.expect_err("the token must be refused");
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    let reason = error.context().find(|(key, _)| *key == "reason");
    reason.expect("a reason").1.to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_vectors_of_the_rfcs_verify_and_modified_ones_do_not() {
    let es256 = JwtKey::jwk(&a3_jwk()).unwrap();
    let rs256 = JwtKey::jwk(&a2_jwk()).unwrap();
    for (algorithm, header, signature, key) in [
        (JwtAlgorithm::Hs256, A1_HEADER, A1_SIGNATURE, a1_key()),
        (JwtAlgorithm::Rs256, A2_HEADER, A2_SIGNATURE, rs256),
        (JwtAlgorithm::Es256, A3_HEADER, A3_SIGNATURE, es256),
    ] {
        let verifier = verifier(vec![key.with_id("it")], JwtPolicy::new([algorithm]));
        let claims = verifier
            .verify(&format!("{header}.{CLAIMS}.{signature}"), algorithm)
            .await
            .unwrap();
        assert_eq!((claims.algorithm, claims.issuer()), (algorithm, Some("joe")));
        assert_eq!(claims.claims["http://example.com/is_root"], json!(true));
        assert_eq!(claims.key_id.as_deref(), Some("it"));

        let other_claims = URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"eve","exp":{EXPIRY}}}"#));
        let forged = verifier
            .verify(&format!("{header}.{other_claims}.{signature}"), algorithm)
            .await;
        assert_eq!(reason(forged), "signature");
        let cut = verifier
            .verify(&format!("{header}.{CLAIMS}.{}", &signature[4..]), algorithm)
            .await;
        assert_eq!(reason(cut), "signature");
        let unsigned = verifier.verify(&format!("{header}.{CLAIMS}."), algorithm).await;
        assert_eq!(reason(unsigned), "signature");
    }

    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let verifier = verifier(vec![JwtKey::jwk(&jwk).unwrap()], JwtPolicy::new([JwtAlgorithm::EdDsa]));
    let result = verifier.verify(ED25519, JwtAlgorithm::EdDsa).await;
    assert_eq!(
        reason(result),
        "malformed",
        "the signature is good, the payload is text"
    );
    let forged = ED25519.replace("hgyY", "hgyZ");
    assert_eq!(reason(verifier.verify(&forged, JwtAlgorithm::EdDsa).await), "signature");
}

#[tokio::test(start_paused = true)]
async fn times_are_compared_with_the_injected_clock() {
    let token = format!("{A1_HEADER}.{CLAIMS}.{A1_SIGNATURE}");
    let policy = JwtPolicy::new([JwtAlgorithm::Hs256]).with_leeway(Duration::from_secs(5));
    let verifier = JwtVerifier::with_keys(vec![a1_key()], policy)
        .unwrap()
        .with_clock(at(EXPIRY - 10));
    tokio::time::advance(Duration::from_millis(14_999)).await;
    verifier.verify(&token, JwtAlgorithm::Hs256).await.unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    let result = verifier.verify(&token, JwtAlgorithm::Hs256).await;
    assert_eq!(reason(result), "expired");

    let verifier = hs256(|policy| policy.with_leeway(Duration::from_secs(5)));
    let header = json!({"alg": "HS256"});
    let now = EXPIRY - 10;
    for (claims, expected) in [
        (json!({"nbf": now + 5}), None),
        (json!({"nbf": now + 6}), Some("not_yet_valid")),
        (json!({"iat": now + 5}), None),
        (json!({"iat": now + 6}), Some("not_yet_valid")),
        (json!({"exp": now as f64 - 4.5}), None),
        (json!({"exp": now - 5}), Some("expired")),
        (json!({"exp": "tomorrow"}), Some("malformed")),
        (json!({"exp": null}), Some("malformed")),
        (json!({"exp": -1}), Some("expired")),
    ] {
        let result = verifier.verify(&sign(&header, &claims), JwtAlgorithm::Hs256).await;
        match expected {
            None => assert!(result.is_ok(), "{claims}: {result:?}"),
            Some(expected) => assert_eq!(reason(result), expected, "{claims}"),
        }
    }
    let lenient = hs256(|policy| policy.with_check_not_before(false));
    let token = sign(&header, &json!({"nbf": now + 1_000}));
    lenient.verify(&token, JwtAlgorithm::Hs256).await.unwrap();
    let strict = hs256(|policy| policy.with_require_expiry(true));
    let token = sign(&header, &json!({"sub": "x"}));
    assert_eq!(
        reason(strict.verify(&token, JwtAlgorithm::Hs256).await),
        "missing_claim"
    );
}

#[tokio::test]
async fn the_key_decides_the_algorithm() {
    // Algorithm confusion: a token that is signed with the public modulus as an HMAC secret must be refused.
    let modulus = URL_SAFE_NO_PAD.decode(A2_MODULUS).unwrap();
    let confused = sign_with(&modulus, &json!({"alg": "HS256"}), &json!({"sub": "eve"}));
    let policy = || JwtPolicy::new([JwtAlgorithm::Hs256, JwtAlgorithm::Rs256]).with_require_expiry(false);
    let rsa = verifier(vec![JwtKey::jwk(&a2_jwk()).unwrap()], policy());
    assert_eq!(reason(rsa.verify(&confused, JwtAlgorithm::Hs256).await), "signature");
    assert_eq!(reason(rsa.verify(&confused, JwtAlgorithm::Rs256).await), "algorithm");

    let bound = json!({"kty": "RSA", "n": A2_MODULUS, "e": "AQAB", "alg": "RS512"});
    let bound = verifier(vec![JwtKey::jwk(&bound).unwrap()], policy());
    let token = format!("{A2_HEADER}.{CLAIMS}.{A2_SIGNATURE}");
    assert_eq!(reason(bound.verify(&token, JwtAlgorithm::Rs256).await), "signature");

    let only_es = verifier(
        vec![JwtKey::jwk(&a2_jwk()).unwrap()],
        JwtPolicy::new([JwtAlgorithm::Es256]),
    );
    assert_eq!(reason(only_es.verify(&token, JwtAlgorithm::Rs256).await), "algorithm");
}

#[tokio::test]
async fn dangerous_headers_are_refused_or_ignored() {
    let verifier = hs256(|policy| policy.with_max_token_bytes(600));
    let claims = json!({"sub": "ada"});
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    assert_eq!(reason(verifier.verify(&none, JwtAlgorithm::Hs256).await), "algorithm");
    for (header, expected) in [
        (json!({"alg": "HS256", "crit": ["exp"], "exp": 1}), "crit"),
        (json!({"alg": "HS256", "crit": []}), "crit"),
        (json!({"alg": "HS256", "crit": null}), "crit"),
        (json!({"alg": "HS256", "crit": ["b64"], "b64": false}), "crit"),
        (json!({"alg": "HS384"}), "algorithm"),
        (json!({"alg": 7}), "malformed"),
        (json!({"typ": "JWT"}), "malformed"),
        (json!(["HS256"]), "malformed"),
    ] {
        let result = verifier.verify(&sign(&header, &claims), JwtAlgorithm::Hs256).await;
        assert_eq!(reason(result), expected, "{header}");
    }
    let eves = b"the secret that eve has made up.";
    let jwk = json!({"kty": "oct", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(eves)});
    let header = json!({"alg": "HS256", "jwk": jwk, "jku": "https://eve.test/keys", "x5u": "https://eve.test/x"});
    let forged = sign_with(eves, &header, &claims);
    assert_eq!(reason(verifier.verify(&forged, JwtAlgorithm::Hs256).await), "signature");
    verifier
        .verify(&sign(&header, &claims), JwtAlgorithm::Hs256)
        .await
        .expect("keys in the header are ignored");

    for token in ["", "a.b", "a.b.c.d", "é.é.é", "e30.e30.e30", "=.=.="] {
        assert_eq!(
            reason(verifier.verify(token, JwtAlgorithm::Hs256).await),
            "malformed",
            "{token:?}"
        );
    }
    let long = sign(&json!({"alg": "HS256"}), &json!({"sub": "x".repeat(600)}));
    assert_eq!(reason(verifier.verify(&long, JwtAlgorithm::Hs256).await), "too_long");
}

#[tokio::test]
async fn the_policy_is_checked_claim_by_claim() {
    let verifier = hs256(|policy| {
        policy
            .with_issuer("https://id.test")
            .with_audience("orders")
            .with_audience("stock")
            .with_required_claim("sub")
            .with_token_type("at+jwt")
    });
    let header = json!({"alg": "HS256", "typ": "application/AT+JWT"});
    let good = json!({"iss": "https://id.test", "aud": ["mail", "stock"], "sub": "ada"});
    verifier
        .verify(&sign(&header, &good), JwtAlgorithm::Hs256)
        .await
        .unwrap();
    for (name, value, expected) in [
        ("iss", json!("https://id.test/"), "issuer"),
        ("iss", Value::Null, "issuer"),
        ("aud", json!("mail"), "audience"),
        ("aud", json!([]), "audience"),
        ("aud", json!({"orders": true}), "audience"),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        let result = verifier.verify(&sign(&header, &claims), JwtAlgorithm::Hs256).await;
        assert_eq!(reason(result), expected, "{claims}");
    }
    for (name, expected) in [("iss", "issuer"), ("aud", "audience"), ("sub", "missing_claim")] {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        let result = verifier.verify(&sign(&header, &claims), JwtAlgorithm::Hs256).await;
        assert_eq!(reason(result), expected, "without {name}");
    }
    let other_type = sign(&json!({"alg": "HS256", "typ": "JWT"}), &good);
    assert_eq!(reason(verifier.verify(&other_type, JwtAlgorithm::Hs256).await), "type");

    let no_audience = hs256(|policy| policy);
    let token = sign(&json!({"alg": "HS256"}), &json!({"aud": "somebody else"}));
    assert_eq!(
        reason(no_audience.verify(&token, JwtAlgorithm::Hs256).await),
        "audience"
    );
}

#[test]
fn invalid_keys_are_refused() {
    for (key, field) in [
        (JwtKey::hmac(JwtAlgorithm::Hs256, &[1; 31]), "secret"),
        (JwtKey::hmac(JwtAlgorithm::Hs512, &[1; 63]), "secret"),
        (JwtKey::hmac(JwtAlgorithm::Rs256, &[1; 64]), "algorithm"),
        (JwtKey::pem(JwtAlgorithm::Hs256, "x"), "algorithm"),
        (JwtKey::pem(JwtAlgorithm::Rs256, "x"), "pem"),
        (JwtKey::jwk(&json!({"kty": "oct", "k": A1_KEY})), "jwk"),
        (JwtKey::jwk(&json!({"kty": "oct", "k": "YQ", "alg": "HS256"})), "secret"),
        (
            JwtKey::jwk(&json!({"kty": "RSA", "n": A2_MODULUS, "e": "AQAB", "use": "enc"})),
            "jwk",
        ),
        (
            JwtKey::jwk(&json!({"kty": "RSA", "n": A2_MODULUS, "e": "AQAB", "alg": "HS256"})),
            "jwk",
        ),
    ] {
        let error = key.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
    }
    let shown = format!("{:?}", JwtKey::hmac(JwtAlgorithm::Hs256, SECRET).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(
        JwtVerifier::with_keys(vec![], JwtPolicy::new([JwtAlgorithm::Hs256]))
            .unwrap_err()
            .field(),
        Some("keys")
    );
    assert_eq!(
        JwtVerifier::with_keys(vec![a1_key()], JwtPolicy::new([]))
            .unwrap_err()
            .field(),
        Some("algorithms")
    );
}

#[tokio::test]
async fn a_client_without_keys_verifies_nothing() {
    let client = HttpClientBuilder::over(MemoryHttpClient::new()).build().unwrap();
    let token = format!("{A1_HEADER}.{CLAIMS}.{A1_SIGNATURE}");
    let error = client.authenticate_jwt(&token, JwtAlgorithm::Hs256).await.unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("jwt")));
}

/// A server of key sets whose response can be changed, and a verifier that fetches its keys from it.
struct Fixture {
    memory: MemoryHttpClient,
    verifier: JwtVerifier,
}

const KEYS_URL: &str = "https://id.test/keys";

impl Fixture {
    fn new(reply: Reply) -> Self {
        Self::with_config(reply, JwksConfig::new(KEYS_URL.parse().unwrap()))
    }

    fn with_config(reply: Reply, config: JwksConfig) -> Self {
        let memory = MemoryHttpClient::new();
        memory.route(Method::GET, KEYS_URL, reply).unwrap();
        let clock = at(EXPIRY - 4_000);
        let http = HttpClientBuilder::over(memory.clone()).retries(0).build().unwrap();
        let resolver = JwksResolver::with_clock(Arc::new(http), config, clock.clone()).unwrap();
        let policy =
            JwtPolicy::new([JwtAlgorithm::Es256, JwtAlgorithm::Hs256]).with_leeway(Duration::from_secs(100_000));
        let verifier = JwtVerifier::new(Arc::new(resolver), policy).unwrap().with_clock(clock);
        Self { memory, verifier }
    }

    fn answer(&self, reply: Reply) {
        self.memory.route(Method::GET, KEYS_URL, reply).unwrap();
    }

    fn fetches(&self) -> usize {
        self.memory.received().len()
    }

    async fn verify(&self) -> Result<JwtClaims, NetworkError> {
        let token = format!("{A3_HEADER}.{CLAIMS}.{A3_SIGNATURE}");
        self.verifier.verify(&token, JwtAlgorithm::Es256).await
    }

    /// Verifies a token with this `kid` and an invalid signature.
    async fn verify_named(&self, kid: &str) -> Result<JwtClaims, NetworkError> {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": "ES256", "kid": kid}).to_string());
        let token = format!("{header}.{CLAIMS}.{A3_SIGNATURE}");
        self.verifier.verify(&token, JwtAlgorithm::Es256).await
    }
}

fn key_set(kid: &str) -> Reply {
    let mut jwk = a3_jwk();
    jwk["kid"] = json!(kid);
    let unknown = json!({"kty": "new", "kid": "n"});
    let symmetric = json!({"kty": "oct", "k": A1_KEY, "alg": "HS256"});
    Reply::ok()
        .with_json(&json!({"keys": [unknown, symmetric, jwk]}))
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_key_set_is_cached_for_its_ttl() {
    let fixture = Fixture::new(key_set("1"));
    for _ in 0..3 {
        assert_eq!(fixture.verify().await.unwrap().key_id.as_deref(), Some("1"));
    }
    assert_eq!(fixture.fetches(), 1);
    let symmetric = format!("{A1_HEADER}.{CLAIMS}.{A1_SIGNATURE}");
    let result = fixture.verifier.verify(&symmetric, JwtAlgorithm::Hs256).await;
    assert_eq!(reason(result), "signature", "symmetric keys of a key set are ignored");
    tokio::time::advance(Duration::from_secs(600)).await;
    fixture.answer(key_set("2"));
    assert_eq!(fixture.verify().await.unwrap().key_id.as_deref(), Some("2"));
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_key_causes_one_fetch_per_cooldown() {
    let fixture = Fixture::new(key_set("1"));
    fixture.verify().await.unwrap();
    for kid in ["2", "3", "4"] {
        assert_eq!(reason(fixture.verify_named(kid).await), "unknown_key");
    }
    assert_eq!(fixture.fetches(), 1, "the set was fetched just now");
    tokio::time::advance(Duration::from_secs(30)).await;
    fixture.answer(key_set("2"));
    assert_eq!(
        reason(fixture.verify_named("2").await),
        "signature",
        "the key is known now"
    );
    assert_eq!(reason(fixture.verify_named("3").await), "unknown_key");
    assert_eq!(fixture.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_set_can_be_cached_without_limit() {
    let config = JwksConfig::new(KEYS_URL.parse().unwrap())
        .with_ttl(Duration::MAX)
        .with_refresh_cooldown(Duration::MAX)
        .with_stale_if_error(Duration::MAX);
    let fixture = Fixture::with_config(key_set("1"), config);
    for _ in 0..2 {
        tokio::time::advance(Duration::from_secs(3_600)).await;
        fixture.verify().await.unwrap();
    }
    assert_eq!(reason(fixture.verify_named("2").await), "unknown_key");
    assert_eq!(fixture.fetches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_key_set_is_used_if_fetching_fails() {
    let fixture = Fixture::new(key_set("1"));
    fixture.verify().await.unwrap();
    fixture.answer(Reply::new(StatusCode::BAD_GATEWAY));
    tokio::time::advance(Duration::from_secs(4_199)).await;
    fixture.verify().await.expect("stale");
    fixture
        .verify()
        .await
        .expect("stale, and not fetched again within the cooldown");
    assert_eq!(fixture.fetches(), 2);
    tokio::time::advance(Duration::from_secs(1)).await;
    let error = fixture.verify().await.unwrap_err();
    assert_eq!(error.retryability(), Retryability::After(Duration::from_secs(29)));
    tokio::time::advance(Duration::from_secs(29)).await;
    let error = fixture.verify().await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (ErrorKind::Status, Some(502)));
    assert_eq!(fixture.fetches(), 3);
}

#[tokio::test(start_paused = true)]
async fn concurrent_verifications_share_one_fetch_and_cannot_cancel_it() {
    let (gate, fetches) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (at_server, counted) = (Arc::clone(&gate), Arc::clone(&fetches));
    let memory = MemoryHttpClient::serving(move |_| {
        let gate = Arc::clone(&at_server);
        counted.fetch_add(1, Ordering::SeqCst);
        async move {
            gate.notified().await;
            HttpResponse::new(StatusCode::OK).with_json(&json!({"keys": [a3_jwk()]}))
        }
    });
    let http = Arc::new(HttpClientBuilder::over(memory).build().unwrap());
    let resolver = JwksResolver::new(http, JwksConfig::new(KEYS_URL.parse().unwrap())).unwrap();
    let verifier = JwtVerifier::new(Arc::new(resolver), JwtPolicy::new([JwtAlgorithm::Es256]))
        .unwrap()
        .with_clock(at(EXPIRY - 10));
    let token = format!("{A3_HEADER}.{CLAIMS}.{A3_SIGNATURE}");
    let mut waiting: Vec<_> = (0..10)
        .map(|_| {
            let (verifier, token) = (verifier.clone(), token.clone());
            tokio::spawn(async move { verifier.verify(&token, JwtAlgorithm::Es256).await })
        })
        .collect();
    while fetches.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let first = waiting.remove(0);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.notify_one();
    for verified in waiting {
        verified.await.unwrap().unwrap();
    }
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn responses_without_a_key_set_are_errors() {
    let many: Vec<Value> = (0..101).map(|_| a3_jwk()).collect();
    for (reply, kind) in [
        (Reply::ok().with_body("<html>"), ErrorKind::Protocol),
        (
            Reply::ok().with_json(&json!({"keys": many})).unwrap(),
            ErrorKind::TooLarge,
        ),
        (Reply::ok().with_body(vec![b' '; (256 << 10) + 1]), ErrorKind::TooLarge),
        (
            Reply::new(StatusCode::FOUND)
                .with_header("location", "https://eve.test/keys")
                .unwrap(),
            ErrorKind::Protocol,
        ),
        (Reply::hang(), ErrorKind::Timeout),
    ] {
        let fixture = Fixture::new(reply);
        let error = fixture.verify().await.unwrap_err();
        assert_eq!((error.kind(), error.operation()), (kind, "http.authenticate_jwt"));
        assert_eq!(fixture.fetches(), 1, "redirects are not followed");
    }
}

#[tokio::test]
async fn a_client_fetches_its_keys_without_its_credentials() {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, KEYS_URL, key_set("1")).unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::bearer("t").unwrap())
        .default_header("x-api-key", "k")
        .clock(at(EXPIRY - 10))
        .jwt(
            KeySource::Jwks(JwksConfig::new(KEYS_URL.parse().unwrap())),
            JwtPolicy::new([JwtAlgorithm::Es256]),
        )
        .build()
        .unwrap();
    let token = format!("{A3_HEADER}.{CLAIMS}.{A3_SIGNATURE}");
    let claims = client.authenticate_jwt(&token, JwtAlgorithm::Es256).await.unwrap();
    assert_eq!(claims.issuer(), Some("joe"));
    let request = &memory.received()[0];
    assert_eq!(
        (request.header("authorization"), request.header("x-api-key")),
        (None, None)
    );
}

#[test]
fn insecure_urls_of_key_sets_are_refused() {
    for url in ["http://id.test/keys", "ftp://id.test/keys", "file:///keys"] {
        let keys = KeySource::Jwks(JwksConfig::new(url.parse().unwrap()));
        let built = HttpClientBuilder::over(MemoryHttpClient::new())
            .jwt(keys, JwtPolicy::new([JwtAlgorithm::Es256]))
            .build();
        let error = built.unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("jwt.jwks.url"))
        );
    }
}
