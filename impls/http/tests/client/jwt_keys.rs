//! Keys that verify tokens: the forms in which they are read, and keys that are refused. Headers of tokens that are refused.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use networking_http::jwt::{JwksConfig, JwksResolver, JwtKey, JwtPolicy, JwtSigningKey, JwtVerifier, SignedJwt};
use networking_http::layer::Credentials;
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_runtime::clock::TokioClock;
use networking_spi::error::context;
use networking_spi::http::{HttpClientExt, JwtAlgorithm, Method};
use networking_spi::{ErrorKind, Result};
use serde_json::{Value, json};

/// RFC 7515, appendices A.2 to A.4: tokens, and the public keys that verify them. The payload of the last one is text.
const RS256: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const ES256: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const P256_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const P256_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const ES512: &str = "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn";
const P521_X: &str = "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk";
const P521_Y: &str = "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2";
/// The private key of the last example.
const P521_D: &str = "AY5pb7A0UFiB3RELSD64fTLOSV_jazdF7fLYyuTw8lOfRhWg6Y6rUrPAxerEzgdRhajnu0ferB0d53vM9mE15j2C";
/// RFC 8037, appendix A.4. The payload is text.
const EDDSA: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
const ED25519_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

fn bytes(base64url: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(base64url).unwrap()
}

fn rsa_jwk() -> Value {
    json!({"kty": "RSA", "n": RSA_N, "e": "AQAB"})
}

fn p256_jwk() -> Value {
    json!({"kty": "EC", "crv": "P-256", "x": P256_X, "y": P256_Y})
}

fn p521_jwk() -> Value {
    json!({"kty": "EC", "crv": "P-521", "x": P521_X, "y": P521_Y})
}

fn ed25519_jwk() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": ED25519_X})
}

/// `jwk` with other members. `null` removes one.
fn with(mut jwk: Value, members: &Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        if value.is_null() {
            jwk.as_object_mut().unwrap().remove(name);
        } else {
            jwk[name] = value.clone();
        }
    }
    jwk
}

fn clock() -> Arc<TokioClock> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_300_819_370);
    Arc::new(TokioClock::starting_at(time))
}

/// The reason why the key does not verify the token; `None` if the signature is right.
async fn refusal(key: JwtKey, token: &str, algorithm: JwtAlgorithm) -> Option<String> {
    let verifier = JwtVerifier::with_keys(vec![key], JwtPolicy::new([algorithm]))
        .unwrap()
        .with_clock(clock());
    let error = verifier.verify(token, algorithm).await.err()?;
    assert_eq!(error.kind(), ErrorKind::Authentication, "{error}");
    let reason = error.context().find(|(key, _)| *key == "reason").unwrap().1;
    // The claims are read after the signature was verified.
    (reason != "malformed").then(|| reason.to_owned())
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut der = vec![tag];
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    match (high, low) {
        (0, 0..=0x7f) => der.push(low),
        (0, _) => der.extend([0x81, low]),
        _ => der.extend([0x82, high, low]),
    }
    der.extend(content);
    der
}

fn pem(label: &str, der: &[u8]) -> String {
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        STANDARD.encode(der)
    )
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const EC_KEY: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const SECP256K1: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 10];
const P384: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
const P521: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x23];
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];

fn public_pem(algorithm: &[&[u8]], key: &[u8]) -> String {
    let info = der(SEQUENCE, &[&der(SEQUENCE, algorithm), &der(BIT_STRING, &[&[0], key])]);
    pem("PUBLIC KEY", &info)
}

fn ec_pem(curve: &[u8], x: &[u8], y: &[u8]) -> String {
    public_pem(&[EC_KEY, curve], &[&[4], x, y].concat())
}

fn pkcs1(n: &[u8], e: &[u8]) -> Vec<u8> {
    der(SEQUENCE, &[&der(INTEGER, &[&[0], n]), &der(INTEGER, &[e])])
}

fn p521_private_pem() -> String {
    let point = [&[0, 4], &bytes(P521_X)[..], &bytes(P521_Y)].concat();
    let private = der(
        SEQUENCE,
        &[
            &der(INTEGER, &[&[1]]),
            &der(OCTET_STRING, &[&bytes(P521_D)]),
            &der(0xa1, &[&der(BIT_STRING, &[&point])]),
        ],
    );
    let info = der(
        SEQUENCE,
        &[
            &der(INTEGER, &[&[0]]),
            &der(SEQUENCE, &[EC_KEY, P521]),
            &der(OCTET_STRING, &[&private]),
        ],
    );
    pem("PRIVATE KEY", &info)
}

#[tokio::test(start_paused = true)]
async fn keys_in_every_form_verify_the_vectors_of_the_rfcs() {
    let zeros =
        |base64url: &str, count: usize| URL_SAFE_NO_PAD.encode([&vec![0; count][..], &bytes(base64url)].concat());
    let padded = |base64url: &str| format!("{base64url}{}", "=".repeat((4 - base64url.len() % 4) % 4));
    let (n, x, y) = (bytes(RSA_N), bytes(P256_X), bytes(P256_Y));
    let (x521, y521) = (bytes(P521_X), bytes(P521_Y));
    assert_eq!(y521[0], 0, "a coordinate that has a shorter form");
    let compressed = |x: &[u8], y: &[u8]| [&[2 + (y[y.len() - 1] & 1)], x].concat();
    let jwk = |jwk: &Value| JwtKey::jwk(jwk).unwrap_or_else(|error| panic!("{jwk}: {error}"));
    let from_pem = |algorithm, pem: &str| JwtKey::pem(algorithm, pem).unwrap_or_else(|error| panic!("{pem}: {error}"));
    let (rs256, es256, es512, ed_dsa) = (
        JwtAlgorithm::Rs256,
        JwtAlgorithm::Es256,
        JwtAlgorithm::Es512,
        JwtAlgorithm::EdDsa,
    );
    for (name, key, token, algorithm) in [
        ("RSA", jwk(&rsa_jwk()), RS256, rs256),
        (
            "RSA, `n` with zeros",
            jwk(&with(rsa_jwk(), &json!({"n": zeros(RSA_N, 1)}))),
            RS256,
            rs256,
        ),
        (
            "RSA, `n` with many zeros",
            jwk(&with(rsa_jwk(), &json!({"n": zeros(RSA_N, 100)}))),
            RS256,
            rs256,
        ),
        (
            "RSA, `e` with zeros",
            jwk(&with(rsa_jwk(), &json!({"e": "AAAAAQAB"}))),
            RS256,
            rs256,
        ),
        (
            "RSA, padded",
            jwk(&with(rsa_jwk(), &json!({"n": padded(RSA_N), "alg": "RS256"}))),
            RS256,
            rs256,
        ),
        (
            "RSA, a zero and padding",
            jwk(&with(rsa_jwk(), &json!({"n": padded(&zeros(RSA_N, 1))}))),
            RS256,
            rs256,
        ),
        (
            "RSA, PKCS #1",
            from_pem(rs256, &pem("RSA PUBLIC KEY", &pkcs1(&n, &[1, 0, 1]))),
            RS256,
            rs256,
        ),
        (
            "RSA, PKCS #8",
            from_pem(rs256, &public_pem(&[RSA], &pkcs1(&n, &[1, 0, 1]))),
            RS256,
            rs256,
        ),
        (
            "RSA, text before",
            from_pem(rs256, &format!("Key:\n{}", public_pem(&[RSA], &pkcs1(&n, &[1, 0, 1])))),
            RS256,
            rs256,
        ),
        ("P-256", jwk(&p256_jwk()), ES256, es256),
        (
            "P-256, zeros",
            jwk(&with(
                p256_jwk(),
                &json!({"x": zeros(P256_X, 1), "y": zeros(P256_Y, 4)}),
            )),
            ES256,
            es256,
        ),
        (
            "P-256, padded",
            jwk(&with(p256_jwk(), &json!({"x": padded(P256_X), "y": padded(P256_Y)}))),
            ES256,
            es256,
        ),
        (
            "P-256, use",
            jwk(&with(
                p256_jwk(),
                &json!({"use": "sig", "key_ops": ["sign", "verify"], "ext": true}),
            )),
            ES256,
            es256,
        ),
        ("P-256, PEM", from_pem(es256, &ec_pem(P256, &x, &y)), ES256, es256),
        (
            "P-256, compressed",
            from_pem(es256, &public_pem(&[EC_KEY, P256], &compressed(&x, &y))),
            ES256,
            es256,
        ),
        ("P-521", jwk(&p521_jwk()), ES512, es512),
        (
            "P-521, short",
            jwk(&with(p521_jwk(), &json!({"y": URL_SAFE_NO_PAD.encode(&y521[1..])}))),
            ES512,
            es512,
        ),
        (
            "P-521, zeros",
            jwk(&with(p521_jwk(), &json!({"x": zeros(P521_X, 2), "alg": "ES512"}))),
            ES512,
            es512,
        ),
        ("P-521, PEM", from_pem(es512, &ec_pem(P521, &x521, &y521)), ES512, es512),
        (
            "P-521, compressed",
            from_pem(es512, &public_pem(&[EC_KEY, P521], &compressed(&x521, &y521))),
            ES512,
            es512,
        ),
        ("Ed25519", jwk(&ed25519_jwk()), EDDSA, ed_dsa),
        (
            "Ed25519, padded",
            jwk(&with(ed25519_jwk(), &json!({"x": padded(ED25519_X)}))),
            EDDSA,
            ed_dsa,
        ),
        (
            "Ed25519, PEM",
            from_pem(ed_dsa, &public_pem(&[ED25519], &bytes(ED25519_X))),
            EDDSA,
            ed_dsa,
        ),
    ] {
        assert_eq!(refusal(key.clone(), token, algorithm).await, None, "{name}");
        let (message, signature) = token.rsplit_once('.').unwrap();
        let mut signature = bytes(signature);
        signature[7] ^= 1;
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
        assert_eq!(
            refusal(key.clone(), &forged, algorithm).await.as_deref(),
            Some("signature"),
            "{name}"
        );
        signature.pop();
        let cut = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
        assert_eq!(
            refusal(key, &cut, algorithm).await.as_deref(),
            Some("signature"),
            "{name}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_signed_with_es512() {
    let key = JwtSigningKey::pem(JwtAlgorithm::Es512, &p521_private_pem()).unwrap();
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/", Reply::ok()).unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::signed_jwt(SignedJwt::new(key)).unwrap())
        .build()
        .unwrap();
    client.get("https://a.test/").await.unwrap();
    let received = memory.received();
    let token = received[0]
        .header("authorization")
        .unwrap()
        .strip_prefix("Bearer ")
        .unwrap();
    let policy = JwtPolicy::new([JwtAlgorithm::Es512]).with_audience("https://a.test");
    let verifier = JwtVerifier::with_keys(vec![JwtKey::jwk(&p521_jwk()).unwrap()], policy).unwrap();
    let claims = verifier.verify(token, JwtAlgorithm::Es512).await.unwrap();
    assert_eq!(claims.algorithm, JwtAlgorithm::Es512);
    for other in [JwtAlgorithm::Es256, JwtAlgorithm::Es384] {
        let error = JwtSigningKey::pem(other, &p521_private_pem()).unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("pem")));
    }
}

fn assert_refused(key: Result<JwtKey>, field: &str, what: &str) {
    let error = key.expect_err(what);
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidInput, Some(field)),
        "{what}: {error}"
    );
}

#[test]
fn pem_keys_that_can_never_verify_are_refused() {
    let (n, x, y) = (bytes(RSA_N), bytes(P256_X), bytes(P256_Y));
    let (rs256, es256, es512) = (JwtAlgorithm::Rs256, JwtAlgorithm::Es256, JwtAlgorithm::Es512);
    let changed = |number: &[u8]| {
        let mut number = number.to_vec();
        *number.last_mut().unwrap() ^= 1;
        number
    };
    let rsa = |n: &[u8], e: &[u8]| public_pem(&[RSA], &pkcs1(n, e));
    let good_rsa = rsa(&n, &[1, 0, 1]);
    let good_ec = ec_pem(P256, &x, &y);
    let mut rows = vec![
        ("nothing", rs256, String::new()),
        ("text", rs256, "key".to_owned()),
        (
            "no base64",
            rs256,
            "-----BEGIN PUBLIC KEY-----\n%%%%\n-----END PUBLIC KEY-----".to_owned(),
        ),
        ("no DER", rs256, pem("PUBLIC KEY", b"abc")),
        ("cut", rs256, good_rsa[..good_rsa.len() / 2].to_owned()),
        ("RSA, 1024 bits", rs256, rsa(&n[..128], &[1, 0, 1])),
        ("RSA, 2040 bits", rs256, rsa(&n[1..], &[1, 0, 1])),
        ("RSA, even modulus", rs256, rsa(&changed(&n), &[1, 0, 1])),
        ("RSA, exponent 1", rs256, rsa(&n, &[1])),
        ("RSA, even exponent", rs256, rsa(&n, &[1, 0, 0])),
        ("RSA, negative exponent", rs256, rsa(&n, &[0x81])),
        (
            "RSA, more numbers",
            rs256,
            public_pem(&[RSA], &der(SEQUENCE, &[&der(INTEGER, &[&[1]])[..]; 9])),
        ),
        (
            "RSA, PKCS #1, 1024 bits",
            rs256,
            pem("RSA PUBLIC KEY", &pkcs1(&n[..128], &[1, 0, 1])),
        ),
        ("P-256, off the curve", es256, ec_pem(P256, &x, &changed(&y))),
        ("P-256, zero", es256, ec_pem(P256, &[0; 32], &[0; 32])),
        ("P-256, infinity", es256, public_pem(&[EC_KEY, P256], &[0])),
        (
            "secp256k1",
            es256,
            ec_pem(
                SECP256K1,
                &bytes("eb5mfvncu6xVoGKVzocLBwKb_NstzijZWfKBWxb4F5g"),
                &bytes("SDradyajxGVdpPv8DhEIqP0XtEimhVQZnEfQj_sQ1Lg"),
            ),
        ),
        ("P-384 for ES256", es256, ec_pem(P384, &[1; 48], &[2; 48])),
        (
            "P-521, off the curve",
            es512,
            ec_pem(P521, &bytes(P521_X), &changed(&bytes(P521_Y))),
        ),
        (
            "Ed25519, off the curve",
            JwtAlgorithm::EdDsa,
            public_pem(&[ED25519], &[2; 32]),
        ),
        (
            "Ed25519, small order",
            JwtAlgorithm::EdDsa,
            public_pem(&[ED25519], &[0; 32]),
        ),
        ("Ed25519, short", JwtAlgorithm::EdDsa, public_pem(&[ED25519], &[9; 31])),
        ("a private key", es512, p521_private_pem()),
    ];
    for label in [
        "PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
    ] {
        let content = der(
            SEQUENCE,
            &[
                &der(INTEGER, &[&[0]]),
                &der(SEQUENCE, &[RSA]),
                &der(OCTET_STRING, &[&pkcs1(&n, &[3])]),
            ],
        );
        rows.push((label, rs256, pem(label, &content)));
        rows.push((label, rs256, format!("# key\n{}", pem(label, &pkcs1(&n, &[1, 0, 1])))));
    }
    for other in [JwtAlgorithm::Es256, JwtAlgorithm::Es384, es512, JwtAlgorithm::EdDsa] {
        rows.push(("RSA for another algorithm", other, good_rsa.clone()));
    }
    for other in [
        rs256,
        JwtAlgorithm::Ps512,
        JwtAlgorithm::Es384,
        es512,
        JwtAlgorithm::EdDsa,
    ] {
        rows.push(("P-256 for another algorithm", other, good_ec.clone()));
    }
    for (what, algorithm, pem) in rows {
        assert_refused(JwtKey::pem(algorithm, &pem), "pem", what);
    }
    for algorithm in [JwtAlgorithm::Hs256, JwtAlgorithm::Hs384, JwtAlgorithm::Hs512] {
        assert_refused(JwtKey::pem(algorithm, &good_rsa), "algorithm", "HMAC");
    }
}

#[test]
fn secrets_shorter_than_the_hash_are_refused() {
    for (algorithm, length) in [
        (JwtAlgorithm::Hs256, 32),
        (JwtAlgorithm::Hs384, 48),
        (JwtAlgorithm::Hs512, 64),
    ] {
        for short in [0, 1, length - 1] {
            assert_refused(JwtKey::hmac(algorithm, &vec![7; short]), "secret", "short");
            let jwk = json!({"kty": "oct", "alg": algorithm.as_str(), "k": URL_SAFE_NO_PAD.encode(vec![7; short])});
            assert_refused(JwtKey::jwk(&jwk), "secret", "short");
        }
        JwtKey::hmac(algorithm, &vec![7; length]).unwrap();
        let k = base64::engine::general_purpose::URL_SAFE.encode(vec![7; length]);
        let jwk = json!({"kty": "oct", "alg": algorithm.as_str(), "k": k});
        JwtKey::jwk(&jwk).unwrap();
    }
    for algorithm in [
        JwtAlgorithm::Rs256,
        JwtAlgorithm::Es256,
        JwtAlgorithm::Es512,
        JwtAlgorithm::EdDsa,
    ] {
        assert_refused(JwtKey::hmac(algorithm, &[7; 64]), "algorithm", "asymmetric");
    }
}

#[test]
fn json_keys_that_can_never_verify_are_refused() {
    let zeroed = |base64url: &str, index: usize| {
        let mut bytes = bytes(base64url);
        bytes[index] = 0;
        URL_SAFE_NO_PAD.encode(bytes)
    };
    let oct = json!({"kty": "oct", "k": "A".repeat(86), "alg": "HS256"});
    JwtKey::jwk(&oct).unwrap();
    for jwk in [
        json!(null),
        json!("key"),
        json!([rsa_jwk()]),
        json!({}),
        json!({"kty": 7}),
        with(rsa_jwk(), &json!({"kty": "rsa"})),
        with(rsa_jwk(), &json!({"kty": null})),
        with(rsa_jwk(), &json!({"kid": 7})),
        // Use.
        with(rsa_jwk(), &json!({"use": "enc"})),
        with(rsa_jwk(), &json!({"use": "SIG"})),
        with(rsa_jwk(), &json!({"use": ["sig"]})),
        with(rsa_jwk(), &json!({"key_ops": []})),
        with(rsa_jwk(), &json!({"key_ops": ["sign"]})),
        with(rsa_jwk(), &json!({"key_ops": "verify"})),
        with(rsa_jwk(), &json!({"key_ops": ["encrypt", "wrapKey"], "use": "sig"})),
        with(oct.clone(), &json!({"key_ops": ["sign"]})),
        // Algorithm.
        with(rsa_jwk(), &json!({"alg": "ES256"})),
        with(rsa_jwk(), &json!({"alg": "RSA-OAEP"})),
        with(rsa_jwk(), &json!({"alg": "none"})),
        with(rsa_jwk(), &json!({"alg": 7})),
        with(p256_jwk(), &json!({"alg": "ES384"})),
        with(p521_jwk(), &json!({"alg": "ES256"})),
        with(ed25519_jwk(), &json!({"alg": "HS256"})),
        with(oct.clone(), &json!({"alg": "RS256"})),
        with(oct.clone(), &json!({"alg": "ES256"})),
        with(oct.clone(), &json!({"alg": null})),
        // Private keys.
        with(rsa_jwk(), &json!({"d": "AQAB"})),
        with(rsa_jwk(), &json!({"p": "AQAB"})),
        with(p256_jwk(), &json!({"d": P256_X})),
        with(p521_jwk(), &json!({"d": P521_D})),
        with(ed25519_jwk(), &json!({"d": ED25519_X})),
        // Numbers.
        with(rsa_jwk(), &json!({"n": null})),
        with(rsa_jwk(), &json!({"n": ""})),
        with(rsa_jwk(), &json!({"n": 7})),
        with(rsa_jwk(), &json!({"n": "%"})),
        with(rsa_jwk(), &json!({"n": &RSA_N[..170]})),
        with(rsa_jwk(), &json!({"n": zeroed(RSA_N, 0)})),
        with(rsa_jwk(), &json!({"n": zeroed(RSA_N, 255)})),
        with(rsa_jwk(), &json!({"n": RSA_N.repeat(8)})),
        with(rsa_jwk(), &json!({"e": null})),
        with(rsa_jwk(), &json!({"e": ""})),
        with(rsa_jwk(), &json!({"e": "AQ"})),
        with(rsa_jwk(), &json!({"e": "AAAB"})),
        with(rsa_jwk(), &json!({"e": "AQAA"})),
        with(rsa_jwk(), &json!({"e": RSA_N})),
        with(p256_jwk(), &json!({"crv": null})),
        with(p256_jwk(), &json!({"crv": "P-384"})),
        with(p256_jwk(), &json!({"crv": "secp256k1"})),
        with(p256_jwk(), &json!({"crv": "Ed25519"})),
        with(p256_jwk(), &json!({"y": null})),
        with(p256_jwk(), &json!({"y": ""})),
        with(p256_jwk(), &json!({"x": P256_Y})),
        with(p256_jwk(), &json!({"y": zeroed(P256_Y, 31)})),
        with(p256_jwk(), &json!({"x": "AA", "y": "AA"})),
        with(p256_jwk(), &json!({"x": &P256_X[..40]})),
        with(p521_jwk(), &json!({"y": zeroed(P521_Y, 1)})),
        with(ed25519_jwk(), &json!({"crv": "X25519"})),
        with(ed25519_jwk(), &json!({"crv": "Ed448"})),
        with(ed25519_jwk(), &json!({"x": &ED25519_X[..40]})),
        with(ed25519_jwk(), &json!({"x": format!("AA{ED25519_X}")})),
        with(ed25519_jwk(), &json!({"x": "A".repeat(43)})),
        with(
            ed25519_jwk(),
            &json!({"x": "AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}),
        ),
        with(oct.clone(), &json!({"k": null})),
        with(oct.clone(), &json!({"k": "a b"})),
    ] {
        assert_refused(JwtKey::jwk(&jwk), "jwk", &jwk.to_string());
    }
    let secret = with(oct, &json!({"k": "c2VjcmV0IQ%"}));
    let shown = format!("{:?}", JwtKey::jwk(&secret).unwrap_err());
    assert!(!shown.contains("c2Vj"), "{shown}");
}

#[tokio::test(start_paused = true)]
async fn a_key_set_with_unusable_keys_serves_the_others() {
    let good = with(p256_jwk(), &json!({"kid": "good"})).to_string();
    for other in [
        "null".to_owned(),
        "7".to_owned(),
        "1e999".to_owned(),
        "\"text\"".to_owned(),
        "[]".to_owned(),
        "{}".to_owned(),
        "{\"kty\":\"new\",\"kid\":{\"a\":[1,2]}}".to_owned(),
        // No Unicode text.
        "{\"kty\":\"RSA\",\"kid\":\"\\ud800\"}".to_owned(),
        with(rsa_jwk(), &json!({"n": "%", "kid": "bad"})).to_string(),
        with(rsa_jwk(), &json!({"use": "enc"})).to_string(),
        with(rsa_jwk(), &json!({"d": "AQAB"})).to_string(),
        with(rsa_jwk(), &json!({"key_ops": {}})).to_string(),
        with(p256_jwk(), &json!({"x": P256_Y})).to_string(),
        with(p256_jwk(), &json!({"x5c": 7, "x5t": [], "crv": "P-192"})).to_string(),
        with(ed25519_jwk(), &json!({"x": "AA"})).to_string(),
    ] {
        let memory = MemoryHttpClient::new();
        // The character stands for a byte that is not UTF-8, in a key that is not used.
        let set = format!("\u{feff}{{\"keys\":[\"@\",{other},{good},{other}],\"more\":{other}}}");
        let body: Vec<u8> = set.bytes().map(|byte| if byte == b'@' { 0xe9 } else { byte }).collect();
        let reply = Reply::ok().with_body(body);
        memory.route(Method::GET, "https://id.test/keys", reply).unwrap();
        let config = JwksConfig::new("https://id.test/keys".parse().unwrap());
        let http = Arc::new(HttpClientBuilder::over(memory).build().unwrap());
        let resolver = JwksResolver::with_clock(http, config, clock()).unwrap();
        let verifier = JwtVerifier::new(Arc::new(resolver), JwtPolicy::new([JwtAlgorithm::Es256]))
            .unwrap()
            .with_clock(clock());
        let claims = verifier.verify(ES256, JwtAlgorithm::Es256).await;
        assert_eq!(claims.expect(&set).key_id.as_deref(), Some("good"));
    }
}

/// A token with this header, signed with RFC 7515's key of HS256, which is not needed for its refusal.
async fn verify_header(header: &[u8]) -> (ErrorKind, String) {
    let key = JwtKey::hmac(JwtAlgorithm::Hs256, &[7; 32]).unwrap();
    let verifier = JwtVerifier::with_keys(vec![key], JwtPolicy::new([JwtAlgorithm::Hs256])).unwrap();
    let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
    let error = verifier.verify(&token, JwtAlgorithm::Hs256).await.unwrap_err();
    let reason = error.get(context::REASON).map(str::to_owned);
    (error.kind(), reason.unwrap_or_default())
}

#[tokio::test]
async fn headers_that_are_no_jose_header_are_refused() {
    let deep = format!(
        "{{\"alg\":\"HS256\",\"x\":{}1{}}}",
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    for (header, reason) in [
        (&b""[..], "malformed"),
        (b" ", "malformed"),
        (b"null", "malformed"),
        (b"true", "malformed"),
        (b"7", "malformed"),
        (b"1e999", "malformed"),
        (b"\"HS256\"", "malformed"),
        (b"[]", "malformed"),
        (b"[\"HS256\"]", "malformed"),
        (b"[\"HS256\",null,null,null]", "malformed"),
        (b"[\"HS256\",\"kid\",\"JWT\",null]", "malformed"),
        (b"[{\"alg\":\"HS256\"}]", "malformed"),
        (b"{}", "malformed"),
        (b"{\"alg\":\"HS256\"", "malformed"),
        (b"{\"alg\":\"HS256\"}x", "malformed"),
        (b"{\"alg\":\"HS256\"}{}", "malformed"),
        (b"{\"alg\":\"HS256\",}", "malformed"),
        (b"{'alg':'HS256'}", "malformed"),
        (b"{\"alg\":null}", "malformed"),
        (b"{\"alg\":[\"HS256\"]}", "malformed"),
        (b"{\"alg\":{\"HS256\":null}}", "malformed"),
        (b"{\"ALG\":\"HS256\"}", "malformed"),
        (b"{\"alg\":\"HS256\",\"kid\":7}", "malformed"),
        (b"{\"alg\":\"HS256\",\"typ\":[]}", "malformed"),
        // Not UTF-8, also where the value is not used.
        (b"{\"alg\":\"HS256\xff\"}", "malformed"),
        (b"{\"alg\":\"HS256\",\"x\":\"\xe9\"}", "malformed"),
        (b"{\"alg\":\"HS256\",\"\xe9\":1}", "malformed"),
        (b"\xef\xbb\xbf{\"alg\":\"HS256\"}", "malformed"),
        (b"\xff\xfe{\0\"\0", "malformed"),
        // A name twice.
        (b"{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "malformed"),
        (b"{\"alg\":\"none\",\"alg\":\"HS256\"}", "malformed"),
        (b"{\"alg\":\"HS256\",\"\\u0061lg\":\"HS256\"}", "malformed"),
        (b"{\"alg\":\"HS256\",\"kid\":\"a\",\"kid\":\"b\"}", "malformed"),
        (b"{\"alg\":\"HS256\",\"x\":1,\"x\":1}", "malformed"),
        (b"{\"alg\":\"HS256\",\"crit\":[\"exp\"],\"crit\":[]}", "malformed"),
        // Extensions that must be understood.
        (b"{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", "crit"),
        (b"{\"alg\":\"HS256\",\"crit\":\"exp\"}", "crit"),
        (b"{\"alg\":\"HS256\",\"b64\":false}", "b64"),
        (b"{\"alg\":\"HS256\",\"b64\":\"true\"}", "b64"),
        (b"{\"alg\":\"HS256\",\"b64\":null}", "b64"),
        // Well-formed: the signature is what is wrong.
        (b" {\n\"alg\" :\t\"HS256\" }\r\n", "signature"),
        (b"{\"alg\":\"HS256\",\"b64\":true}", "signature"),
        (b"{\"alg\":\"HS256\",\"kid\":null,\"typ\":null}", "signature"),
        (
            b"{\"alg\":\"HS256\",\"x\":{\"alg\":\"none\",\"a\":1,\"a\":1}}",
            "signature",
        ),
        ("{\"alg\":\"HS256\",\"x\":\"\u{e9}\"}".as_bytes(), "signature"),
        (deep.as_bytes(), "signature"),
    ] {
        let shown = header.escape_ascii();
        let (kind, found) = verify_header(header).await;
        assert_eq!((kind, found.as_str()), (ErrorKind::Authentication, reason), "{shown}");
    }
}
