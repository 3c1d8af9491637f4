//! Digest authentication, against a server that computes the expected responses independently.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, stream};
use http::HeaderValue;
use networking_http::layer::Credentials;
use networking_http::{HttpClientBuilder, MemoryHttpClient, ReceivedRequest, StandardHttpClient};
use networking_spi::http::{BodySource, ByteStream, HttpBody, HttpClientExt, HttpResponse, StatusCode};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

const USER: &str = "Mufasa";
const PASSWORD: &str = "Circle of Life";

/// A server with one valid nonce at a time. It accepts each nonce count once.
struct Server {
    nonce: u32,
    seen: Vec<String>,
    session: bool,
    qop: &'static str,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            nonce: 0,
            seen: Vec::new(),
            session: false,
            qop: "auth",
        }
    }
}

impl Server {
    fn answer(&mut self, request: &ReceivedRequest) -> HttpResponse {
        if request.url.path() == "/moved" {
            let mut response = HttpResponse::new(StatusCode::TEMPORARY_REDIRECT);
            response.headers.insert("location", "/landed".parse().unwrap());
            return if self.is_authorized(request) {
                response
            } else {
                self.challenge()
            };
        }
        if self.is_authorized(request) {
            HttpResponse::new(StatusCode::OK)
        } else {
            self.challenge()
        }
    }

    fn challenge(&self) -> HttpResponse {
        let algorithm = if self.session { "SHA-256-sess" } else { "SHA-256" };
        let mut response = HttpResponse::new(StatusCode::UNAUTHORIZED).with_body("who are you?");
        for challenge in [
            "Basic realm=\"r\"".to_owned(),
            format!(
                "Digest realm=\"r\", qop=\"{}\", algorithm={algorithm}, nonce=\"n{}\"",
                self.qop, self.nonce
            ),
        ] {
            response.headers.append("www-authenticate", challenge.parse().unwrap());
        }
        response
    }

    fn is_authorized(&mut self, request: &ReceivedRequest) -> bool {
        let Some(answer) = request
            .header("authorization")
            .and_then(|value| value.strip_prefix("Digest "))
        else {
            return false;
        };
        let fields: BTreeMap<&str, &str> = answer
            .split(", ")
            .filter_map(|field| field.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        let (nonce, count, cnonce) = (fields["nonce"], fields["nc"], fields["cnonce"]);
        let uri = match request.url.query() {
            Some(query) => format!("{}?{query}", request.url.path()),
            None => request.url.path().to_owned(),
        };
        let mut secret = hash(&format!("{USER}:r:{PASSWORD}"));
        if self.session {
            secret = hash(&format!("{secret}:{nonce}:{cnonce}"));
        }
        let qop = fields["qop"];
        let mut action = format!("{}:{uri}", request.method);
        if qop == "auth-int" {
            let body = hex::encode(Sha256::digest(&request.body));
            action = format!("{action}:{body}");
        }
        let action = hash(&action);
        let expected = hash(&format!("{secret}:{nonce}:{count}:{cnonce}:{qop}:{action}"));
        let fresh = nonce == format!("n{}", self.nonce) && !self.seen.iter().any(|seen| seen == count);
        let right = fresh && fields["uri"] == uri && fields["response"] == expected && fields["username"] == USER;
        if right {
            self.seen.push(count.to_owned());
        }
        right
    }

    fn renew(&mut self) {
        self.nonce += 1;
        self.seen.clear();
    }
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

struct Setup {
    server: Arc<Mutex<Server>>,
    memory: MemoryHttpClient,
    client: StandardHttpClient<MemoryHttpClient>,
}

fn setup(password: &str) -> Setup {
    let server = Arc::new(Mutex::new(Server::default()));
    let shared = Arc::clone(&server);
    let memory = MemoryHttpClient::serving(move |request| {
        let response = shared.lock().answer(&request);
        async move { Ok(response) }
    });
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::digest(USER, password).unwrap())
        .build()
        .unwrap();
    Setup { server, memory, client }
}

impl Setup {
    async fn get(&self, url: &str) -> (u16, usize) {
        self.memory.clear_received();
        let status = self.client.get(url).await.unwrap().status.as_u16();
        (status, self.memory.received().len())
    }
}

#[tokio::test]
async fn only_the_first_request_is_challenged() {
    let setup = setup(PASSWORD);
    assert_eq!(setup.get("https://a.test/x?page=2").await, (200, 2));
    assert_eq!(setup.get("https://a.test/x").await, (200, 1));
    assert_eq!(setup.get("https://a.test/y?%20a=%C3%A4").await, (200, 1));
    assert_eq!(
        setup.server.lock().seen,
        ["00000001", "00000002", "00000003"],
        "the nonce count increases"
    );
    setup.server.lock().renew();
    assert_eq!(setup.get("https://a.test/x").await, (200, 2), "a new nonce");
    assert_eq!(setup.get("https://a.test/x").await, (200, 1));
    assert_eq!(
        setup.get("https://b.test/x").await,
        (401, 2),
        "another host has a separate nonce count"
    );
    assert!(setup.memory.received()[1].headers["authorization"].is_sensitive());
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_per_request() {
    let setup = setup("wrong");
    assert_eq!(setup.get("https://a.test/x").await, (401, 2));
    assert_eq!(setup.get("https://a.test/x").await, (401, 2));
}

#[tokio::test]
async fn a_session_algorithm_is_challenged_for_each_nonce() {
    let setup = setup(PASSWORD);
    setup.server.lock().session = true;
    assert_eq!(setup.get("https://a.test/x").await, (200, 2));
    setup.server.lock().renew();
    assert_eq!(setup.get("https://a.test/x").await, (200, 2));
}

#[tokio::test]
async fn each_hop_within_the_origin_is_authorized() {
    let setup = setup(PASSWORD);
    // The challenge, the redirect, and the target with a digest for its URI.
    assert_eq!(setup.get("https://a.test/moved").await, (200, 3));
}

#[tokio::test]
async fn another_origin_gets_no_credentials() {
    let server = Arc::new(Mutex::new(Server::default()));
    let memory = MemoryHttpClient::serving(move |request| {
        let response = if request.url.host_str() == Some("a.test") {
            let mut response = HttpResponse::new(StatusCode::FOUND);
            response
                .headers
                .insert("location", "https://evil.test/x".parse().unwrap());
            response
        } else {
            server.lock().answer(&request)
        };
        async move { Ok(response) }
    });
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::digest(USER, PASSWORD).unwrap())
        .build()
        .unwrap();
    assert_eq!(client.get("https://a.test/").await.unwrap().status, 401);
    assert!(
        memory
            .received()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[tokio::test]
async fn repeatable_bodies_are_sent_again() {
    let setup = setup(PASSWORD);
    let response = setup.client.post("https://a.test/x").body("payload").await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(setup.memory.received()[1].body, "payload");
    setup.server.lock().renew();
    let body = HttpBody::stream(stream::iter([Ok("part".into())]).boxed(), None);
    let response = setup.client.post("https://a.test/x").body(body).await.unwrap();
    assert_eq!(response.status, 401, "the 401 is the response");
    assert_eq!(response.text().await.unwrap(), "who are you?");
}

/// The `Authorization` headers that a client sends to a server with these challenges, if it has this body.
async fn answers(challenges: &[&[u8]], body: HttpBody) -> Vec<Option<Vec<u8>>> {
    let values: Vec<HeaderValue> = challenges
        .iter()
        .map(|challenge| HeaderValue::from_bytes(challenge).unwrap())
        .collect();
    let memory = MemoryHttpClient::serving(move |_| {
        let mut response = HttpResponse::new(StatusCode::UNAUTHORIZED);
        for value in &values {
            response.headers.append("www-authenticate", value.clone());
        }
        async { Ok(response) }
    });
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::digest(USER, PASSWORD).unwrap())
        .build()
        .unwrap();
    client.post("https://a.test/x").body(body).await.unwrap();
    let received = memory.received();
    let answer = |request: &ReceivedRequest| Some(request.headers.get("authorization")?.as_bytes().to_vec());
    received.iter().map(answer).collect()
}

/// A body that can be sent again, but is not in memory.
#[derive(Debug)]
struct Letters;

impl BodySource for Letters {
    fn open(&self) -> ByteStream {
        stream::iter([Ok("abc".into())]).boxed()
    }

    fn length(&self) -> Option<u64> {
        Some(3)
    }
}

#[tokio::test]
async fn unusual_challenges_are_answered() {
    const GOOD: &str = "Digest realm=\"r\", nonce=\"good\", algorithm=sha-256, qop=\" AUTH \"";
    for challenges in [
        &[GOOD][..],
        &["Basic realm=\"x\"", GOOD],
        &["Basic realm=\"unterminated", GOOD],
        &["Basic realm=\"x, Digest realm=\"r\", nonce=\"good\", qop=\"auth\", algorithm=\"SHA-256\""],
        &["Digest realm=\"r\", nonce=\"other\", algorithm=MD5", GOOD],
        &["Digest realm=\"r\", nonce=\"other\", algorithm=SHA-256", GOOD],
        &[
            "Digest realm=\"r\", nonce=\"other\", algorithm=SHA-3, qop=\"auth\"",
            GOOD,
        ],
        &[
            "Digest realm=\"r\", nonce=\"other\", algorithm=SHA-512-256, qop=\"auth-int\"",
            GOOD,
        ],
        &[
            GOOD,
            "Digest realm=\"r\", nonce=\"other\", algorithm=SHA-256-SESS, qop=\"auth\"",
        ],
        &[
            "Negotiate, NTLM, Digest realm=\"r\", stale=TRUE, x=y, nonce=\"good\", qop=\"auth,auth-new\", algorithm=SHA-256",
        ],
    ] {
        let bytes: Vec<&[u8]> = challenges.iter().map(|challenge| challenge.as_bytes()).collect();
        // A source cannot be hashed, so the challenge that requires this is not answered.
        let answers = answers(&bytes, HttpBody::source(Arc::new(Letters))).await;
        let answer = answers[1].as_ref().unwrap_or_else(|| panic!("{challenges:?}"));
        let answer = String::from_utf8(answer.clone()).unwrap();
        for part in ["realm=\"r\"", "nonce=\"good\"", "qop=auth", "nc=00000001"] {
            assert!(answer.contains(part), "{challenges:?}: {answer}");
        }
    }
}

/// RFC 7616, section 3.3: the credentials were right, and the nonce of the first challenge is no longer valid.
#[tokio::test]
async fn a_stale_nonce_is_replaced_once() {
    for stale_answers in [1, 5] {
        let count = AtomicUsize::new(0);
        let memory = MemoryHttpClient::serving(move |request| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            let stale = if number == 0 { "" } else { ", stale=TRUE" };
            let challenge = format!("Digest realm=\"r\", nonce=\"n{number}\", qop=\"auth\", algorithm=SHA-256{stale}");
            let authorized = request.headers.get("authorization").is_some() && number > stale_answers;
            async move {
                if authorized {
                    return Ok(HttpResponse::new(StatusCode::OK));
                }
                HttpResponse::new(StatusCode::UNAUTHORIZED).with_header("www-authenticate", challenge)
            }
        });
        let client = HttpClientBuilder::over(memory.clone())
            .credentials(Credentials::digest(USER, PASSWORD).unwrap())
            .build()
            .unwrap();
        let status = client.get("https://a.test/x").await.unwrap().status.as_u16();
        assert_eq!(status, if stale_answers == 1 { 200 } else { 401 });
        assert_eq!(memory.received().len(), 3);
    }
}

#[tokio::test]
async fn a_realm_that_is_no_text_is_sent_back() {
    for realm in [
        &b"caf\xe9"[..],
        "caf\u{e9} \u{2603}".as_bytes(),
        b"\x80\xff",
        b"a\tb",
        b"\\\"\\x",
    ] {
        let challenge = [b"Digest realm=\"", realm, b"\", nonce=\"n\", qop=\"auth\""].concat();
        let answers = answers(&[&challenge], HttpBody::empty()).await;
        let expected = [b"realm=\"", realm, b"\""].concat();
        let answer = answers[1].as_ref().unwrap();
        assert!(
            answer.windows(expected.len()).any(|window| window == expected),
            "{}",
            answer.escape_ascii()
        );
    }
}

/// RFC 7616, section 3.4.3.
#[tokio::test]
async fn auth_int_is_used_if_the_server_offers_it() {
    for qop in ["auth-int", "auth, auth-int"] {
        let setup = setup(PASSWORD);
        setup.server.lock().qop = qop;
        assert_eq!(setup.get("https://a.test/x").await, (200, 2), "{qop}");
        let response = setup.client.post("https://a.test/x").body("payload").await.unwrap();
        assert_eq!(response.status, 200, "{qop}");
        let sent = setup.memory.received();
        assert!(sent.iter().skip(1).all(|request| {
            let answer = request.header("authorization").unwrap();
            answer.contains("qop=auth-int")
        }));
        setup.server.lock().renew();
        let body = HttpBody::stream(stream::iter([Ok("part".into())]).boxed(), None);
        let response = setup.client.post("https://a.test/x").body(body).await.unwrap();
        assert_eq!(response.status, 401, "a stream cannot be hashed: {qop}");
    }
}

#[tokio::test]
async fn a_header_of_the_request_is_kept() {
    let setup = setup(PASSWORD);
    let response = setup
        .client
        .get("https://a.test/x")
        .header("authorization", "Bearer mine")
        .await
        .unwrap();
    assert_eq!(response.status, 401);
    assert_eq!(setup.memory.received().len(), 1);
}

#[test]
fn the_password_is_not_shown() {
    let credentials = Credentials::digest(USER, PASSWORD).unwrap();
    assert!(!format!("{credentials:?}").contains("Circle"));
    assert_eq!(Credentials::digest("", "p").unwrap_err().field(), Some("username"));
    assert_eq!(Credentials::digest("a\nb", "p").unwrap_err().field(), Some("username"));
}

/// The second call must not overtake the first one with the nonce that the first one was given.
#[tokio::test]
async fn a_nonce_is_shared_once_the_server_has_accepted_it() {
    let gate = Arc::new(tokio::sync::Notify::new());
    let (issued, waits) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&gate));
    let memory = MemoryHttpClient::serving(move |request| {
        let answered = request.header("authorization").map(str::to_owned);
        let (issued, waits) = (Arc::clone(&issued), Arc::clone(&waits));
        async move {
            match answered {
                Some(answer) if answer.contains("nc=00000001") => {
                    if answer.contains("nonce=\"n0\"") {
                        waits.notified().await;
                    }
                    Ok(HttpResponse::new(StatusCode::OK))
                }
                _ => {
                    let number = issued.fetch_add(1, Ordering::SeqCst);
                    let challenge = format!("Digest realm=\"r\", nonce=\"n{number}\", qop=\"auth\", algorithm=SHA-256");
                    HttpResponse::new(StatusCode::UNAUTHORIZED).with_header("www-authenticate", challenge)
                }
            }
        }
    });
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::digest(USER, PASSWORD).unwrap())
        .build()
        .unwrap();
    let first = async {
        let status = client.get("https://a.test/1").await.unwrap().status;
        assert_eq!(status, 200);
    };
    let second = async {
        while memory.received().len() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(client.get("https://a.test/2").await.unwrap().status, 200);
        gate.notify_one();
    };
    tokio::join!(first, second);
}
