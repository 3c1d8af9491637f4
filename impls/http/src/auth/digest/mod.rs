//! Digest access authentication (RFC 7616), and what of RFC 2617 and RFC 2069 servers still use.
//!
//! The challenges are parsed here, because the existing parsers stop at the first byte that they do not expect, and accept only
//! ASCII: then one broken challenge, or a realm in Latin-1, makes a server unreachable.

mod answer;
mod challenge;

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use networking_spi::Result;
use networking_spi::http::{HttpRequest, HttpResponse};
use networking_spi::secret::Secret;
use parking_lot::Mutex;
use url::{Position, Url};

use self::answer::{Action, Session};
use self::challenge::{Challenge, challenges};
use crate::chain::Next;
use crate::marks::origin_name;

/// The maximum number of origins whose challenge is kept for later requests.
const MAX_ORIGINS: usize = 64;

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
    known: Mutex<VecDeque<(Box<str>, Session)>>,
}

impl Digester {
    pub(super) fn new(user: User) -> Self {
        Self {
            user,
            known: Mutex::default(),
        }
    }

    /// Sends the request, with a response to the origin's last challenge if one is known. If the server challenges the request,
    /// sends it once more with a response to the new challenge. If the server says to that response that only its nonce was stale
    /// (RFC 7616, section 3.3), sends it a last time.
    pub(super) async fn send(&self, next: &impl Next, mut request: Box<HttpRequest>) -> Result<Box<HttpResponse>> {
        let url = request.target.url()?.clone();
        let mut again = request.try_clone();
        if let Some(value) = self.answer_known(&url, &request) {
            request.headers.insert(header::AUTHORIZATION, value);
        }
        let mut response = next.send(request).await?;
        let mut fresh = None;
        for number in 0.. {
            if response.status != StatusCode::UNAUTHORIZED {
                break;
            }
            self.forget(&url);
            let may_answer = match number {
                0 => true,
                1 => is_stale(&response.headers),
                _ => false,
            };
            let Some(mut request) = again.take().filter(|_| may_answer) else {
                break;
            };
            let Some((value, session)) = self.answer(&url, &request, &response.headers) else {
                break;
            };
            fresh = Some(session);
            drain(response).await;
            again = request.try_clone();
            request.headers.insert(header::AUTHORIZATION, value);
            response = next.send(Box::new(request)).await?;
        }
        // Not before the server has accepted it: a nonce may be valid once, and another request could come first.
        if let Some(session) = fresh
            && response.status != StatusCode::UNAUTHORIZED
        {
            self.remember(&url, session);
        }
        Ok(response)
    }

    fn answer_known(&self, url: &Url, request: &HttpRequest) -> Option<HeaderValue> {
        let origin = origin_name(url);
        let mut known = self.known.lock();
        let index = known.iter().position(|(name, _)| **name == *origin)?;
        let (name, mut session) = known.remove(index)?;
        // Each response increments the nonce count.
        let value = session.answer(&self.user, action(url, request))?;
        known.push_back((name, session));
        Some(value)
    }

    fn answer(&self, url: &Url, request: &HttpRequest, headers: &HeaderMap) -> Option<(HeaderValue, Session)> {
        let action = action(url, request);
        let mut session = Session::new(strongest(challenges(headers), action)?);
        let value = session.answer(&self.user, action)?;
        Some((value, session))
    }

    fn remember(&self, url: &Url, session: Session) {
        // For `-sess` algorithms, servers disagree on whether the session key uses the client nonce of the first request or of
        // each request. With a new challenge for each request, both are the same.
        if session.challenge().session {
            return;
        }
        let mut known = self.known.lock();
        let origin = origin_name(url);
        known.retain(|(name, _)| **name != *origin);
        if known.len() >= MAX_ORIGINS {
            known.pop_front();
        }
        known.push_back((origin.into(), session));
    }

    fn forget(&self, url: &Url) {
        let origin = origin_name(url);
        self.known.lock().retain(|(name, _)| **name != *origin);
    }
}

/// Reads a short body, so that its connection can be reused. After an error or a timeout the connection is closed instead.
async fn drain(response: Box<HttpResponse>) {
    if response.body.length().is_some_and(|length| length <= MAX_DRAIN as u64) {
        let _ = tokio::time::timeout(DRAIN_TIME, response.body.collect(MAX_DRAIN)).await;
    }
}

/// Whether the server says that the nonce was stale, and the credentials were right.
fn is_stale(headers: &HeaderMap) -> bool {
    challenges(headers).iter().any(|challenge| challenge.stale)
}

/// What the response to a challenge covers of the request.
fn action<'r>(url: &'r Url, request: &'r HttpRequest) -> Action<'r> {
    let body = if request.body.is_empty() {
        Some(&[][..])
    } else {
        request.body.as_bytes().map(|bytes| &bytes[..])
    };
    Action {
        method: request.method.as_str(),
        uri: &url[Position::BeforePath..Position::AfterQuery],
        body,
    }
}

/// The first of the challenges with the strongest algorithm, among those that can be answered. Of equal algorithms, one with a
/// `qop` is stronger.
fn strongest(challenges: Vec<Challenge>, action: Action<'_>) -> Option<Challenge> {
    let strength = |challenge: &Challenge| (challenge.hash, challenge.qop.is_some());
    challenges
        .into_iter()
        .filter(|challenge| challenge.protection(action).is_some())
        .reduce(|best, next| if strength(&next) > strength(&best) { next } else { best })
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Digester")
            .field("known", &self.known.lock().len())
            .finish_non_exhaustive()
    }
}
