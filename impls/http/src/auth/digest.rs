//! Digest access authentication (RFC 7616).

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_auth::digest::{Algorithm, DigestClient, Qop};
use http_auth::parser::ChallengeParser;
use http_auth::{ChallengeRef, PasswordParams};
use md5::Md5;
use networking_spi::Result;
use networking_spi::http::{HttpRequest, HttpResponse};
use networking_spi::secret::Secret;
use parking_lot::Mutex;
use sha2::{Digest, Sha256, Sha512_256};
use url::{Position, Url};

use crate::chain::Next;
use crate::marks::origin_name;

/// The maximum number of origins whose challenge is kept for later requests.
const MAX_ORIGINS: usize = 64;

/// The longest challenge that is parsed, in bytes.
const MAX_CHALLENGE: usize = 8 << 10;

/// Limits, in bytes and in time, for reading the body of a 401 so that its connection can be reused.
const MAX_DRAIN: usize = 64 << 10;
const DRAIN_TIME: Duration = Duration::from_secs(1);

#[derive(Clone, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: Secret,
}

/// Responds to challenges, and keeps them for later requests.
pub(super) struct Digester {
    user: User,
    /// Ordered by last use, the most recent at the end.
    known: Mutex<VecDeque<(Box<str>, DigestClient)>>,
}

impl Digester {
    pub(super) fn new(user: User) -> Self {
        Self {
            user,
            known: Mutex::default(),
        }
    }

    /// Sends the request, with a response to the origin's last challenge if one is known. If the server challenges the request,
    /// sends it once more with a response to the new challenge.
    pub(super) async fn send(&self, next: &impl Next, mut request: Box<HttpRequest>) -> Result<Box<HttpResponse>> {
        let url = request.target.url()?.clone();
        let second = request.try_clone();
        if let Some(value) = self.answer_known(&url, &request) {
            request.headers.insert(header::AUTHORIZATION, value);
        }
        let response = next.send(request).await?;
        if response.status != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        self.forget(&url);
        let Some(mut second) = second else {
            return Ok(response);
        };
        let Some(value) = self.answer(&url, &second, &response.headers) else {
            return Ok(response);
        };
        if response.body.length().is_some_and(|length| length <= MAX_DRAIN as u64) {
            // After an error or a timeout the connection is closed instead of reused.
            let _ = tokio::time::timeout(DRAIN_TIME, response.body.collect(MAX_DRAIN)).await;
        }
        second.headers.insert(header::AUTHORIZATION, value);
        let response = next.send(Box::new(second)).await?;
        if response.status == StatusCode::UNAUTHORIZED {
            self.forget(&url);
        }
        Ok(response)
    }

    fn answer_known(&self, url: &Url, request: &HttpRequest) -> Option<HeaderValue> {
        let origin = origin_name(url);
        let mut known = self.known.lock();
        let index = known.iter().position(|(name, _)| **name == *origin)?;
        let (name, mut client) = known.remove(index)?;
        // Each response increments the nonce count.
        let value = self.respond(&mut client, url, request)?;
        known.push_back((name, client));
        Some(value)
    }

    fn answer(&self, url: &Url, request: &HttpRequest, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut client = strongest_challenge(headers)?;
        let value = self.respond(&mut client, url, request)?;
        // For `-sess` algorithms, servers disagree on whether the session key uses the client nonce of the first request or of
        // each request. With a new challenge for each request, both are the same.
        if !client.session() {
            let mut known = self.known.lock();
            let origin = origin_name(url);
            known.retain(|(name, _)| **name != *origin);
            if known.len() >= MAX_ORIGINS {
                known.pop_front();
            }
            known.push_back((origin.into(), client));
        }
        Some(value)
    }

    fn forget(&self, url: &Url) {
        let origin = origin_name(url);
        self.known.lock().retain(|(name, _)| **name != *origin);
    }

    fn respond(&self, client: &mut DigestClient, url: &Url, request: &HttpRequest) -> Option<HeaderValue> {
        let body = body_in_memory(request).filter(|_| client.qop() & Qop::AuthInt);
        // For `auth-int` the response covers the hash of the body (RFC 7616, section 3.4.3), which the caller of the library
        // computes.
        let body = body.and_then(|body| hash(client.algorithm(), body));
        let answer = client.respond(&PasswordParams {
            username: &self.user.name,
            password: self.user.password.expose(),
            uri: &url[Position::BeforePath..Position::AfterQuery],
            method: request.method.as_str(),
            body: body.as_deref().map(str::as_bytes),
        });
        let mut value = HeaderValue::from_str(&answer.ok()?).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn body_in_memory(request: &HttpRequest) -> Option<&[u8]> {
    if request.body.is_empty() {
        return Some(&[]);
    }
    request.body.as_bytes().map(|bytes| &bytes[..])
}

fn hash(algorithm: Algorithm, data: &[u8]) -> Option<String> {
    match algorithm {
        Algorithm::Md5 => Some(hex::encode(Md5::digest(data))),
        Algorithm::Sha256 => Some(hex::encode(Sha256::digest(data))),
        Algorithm::Sha512Trunc256 => Some(hex::encode(Sha512_256::digest(data))),
        _ => None,
    }
}

/// The challenge with the strongest algorithm. Challenges of other schemes are skipped.
fn strongest_challenge(headers: &HeaderMap) -> Option<DigestClient> {
    headers
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter(|text| text.len() <= MAX_CHALLENGE)
        .flat_map(|text| ChallengeParser::new(text).map_while(Result::ok))
        .filter(|challenge: &ChallengeRef<'_>| challenge.scheme.eq_ignore_ascii_case("digest"))
        .filter_map(|challenge| DigestClient::try_from(&challenge).ok())
        .reduce(|best, next| {
            if strength(next.algorithm()) > strength(best.algorithm()) {
                next
            } else {
                best
            }
        })
}

fn strength(algorithm: Algorithm) -> u8 {
    match algorithm {
        Algorithm::Sha512Trunc256 => 2,
        Algorithm::Sha256 => 1,
        _ => 0,
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digester")
            .field("known", &self.known.lock().len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CNONCE: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn challenge(algorithm: &str) -> String {
        format!(
            "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
             nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    }

    fn headers(challenges: &[String]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.parse().unwrap());
        }
        headers
    }

    /// RFC 7616, section 3.9.1.
    #[test]
    fn the_rfcs_examples() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let mut client = strongest_challenge(&headers(&[challenge(algorithm)])).unwrap();
            let params = PasswordParams {
                username: "Mufasa",
                password: "Circle of Life",
                uri: "/dir/index.html",
                method: "GET",
                body: None,
            };
            let answer = client.respond_with_testing_cnonce(&params, CNONCE).unwrap();
            for part in [
                format!("response=\"{response}\""),
                format!("algorithm={algorithm}"),
                "nc=00000001".to_owned(),
                "qop=auth".to_owned(),
                "uri=\"/dir/index.html\"".to_owned(),
                "opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"".to_owned(),
            ] {
                assert!(answer.contains(&part), "{part}: {answer}");
            }
        }
    }

    /// RFC 7616, section 3.9.2.
    #[test]
    fn a_hashed_user_name() {
        let challenge = "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
             opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true";
        let mut client = strongest_challenge(&headers(&[challenge.to_owned()])).unwrap();
        let params = PasswordParams {
            username: "J\u{e4}s\u{f8}n Doe",
            password: "Secret, or not?",
            uri: "/doe.json",
            method: "GET",
            body: None,
        };
        let answer = client
            .respond_with_testing_cnonce(&params, "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm")
            .unwrap();
        assert!(answer.contains("userhash=true"), "{answer}");
        assert!(!answer.contains("Doe"), "{answer}");
    }

    #[test]
    fn bodies_are_hashed_by_the_algorithm_of_the_challenge() {
        for (algorithm, empty) in [
            (Algorithm::Md5, "d41d8cd98f00b204e9800998ecf8427e"),
            (
                Algorithm::Sha256,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                Algorithm::Sha512Trunc256,
                "c672b8d1ef56ed28ab87c3622c5114069bdd3ad7b8f9737498d0c01ecef0967a",
            ),
        ] {
            assert_eq!(hash(algorithm, b"").as_deref(), Some(empty), "{algorithm:?}");
        }
    }

    #[test]
    fn the_strongest_challenge_is_chosen_and_others_are_skipped() {
        let chosen = |challenges: &[String]| strongest_challenge(&headers(challenges)).map(|client| client.algorithm());
        assert_eq!(
            chosen(&[
                "Negotiate".to_owned(),
                challenge("MD5"),
                "Basic realm=\"x\"".to_owned(),
                challenge("SHA-256"),
                challenge("MD5"),
            ]),
            Some(Algorithm::Sha256)
        );
        assert_eq!(
            chosen(&[format!("Basic realm=\"x, y\", {}", challenge("MD5"))]),
            Some(Algorithm::Md5)
        );
        for nothing in [
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"x\"",
            "Digest nonce=",
            ",,,",
        ] {
            assert_eq!(chosen(&[nothing.to_owned()]), None, "{nothing}");
        }
        assert_eq!(chosen(&[challenge("WHIRLPOOL")]), None);
        assert_eq!(
            chosen(&[format!("{}, x=\"{}\"", challenge("MD5"), "x".repeat(9_000))]),
            None
        );
    }
}
