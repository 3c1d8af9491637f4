//! Signing in on another device (RFC 8628).

use std::fmt;
use std::time::Duration;

use futures_core::future::BoxFuture;
use networking_spi::clock::Clock;
use networking_spi::error::context;
use networking_spi::http::OAuth2Token;
use networking_spi::redact;
use networking_spi::secret::Secret;
use networking_spi::{ErrorKind, NetworkError, Result};
use serde_json::Value;
use tokio::time::sleep;
use url::Url;

use super::OPERATION;
use super::answer::{Answer, Content, lifetime, seconds, text};
use super::client::OAuth2Client;

/// The lifetime of a code if the server does not say it.
pub(super) const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);

const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// RFC 8628, section 3.2.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// RFC 8628, section 3.5.
const SLOW_DOWN: Duration = Duration::from_secs(5);

/// The longest wait after a failed request, unless the server asks for a longer one.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// What to show to the user, and the wait for the user's decision. Started by [`OAuth2Client::start_device`].
///
/// Show `user_code` and `verification_uri`, or `verification_uri_complete` as a QR code. `Debug` shows neither code.
#[non_exhaustive]
pub struct DeviceAuthorization {
    /// The code that the user enters.
    pub user_code: String,
    /// The page on which the user enters the code; `http` or `https`.
    pub verification_uri: Url,
    /// The page with the code in its URL, if the server has one.
    pub verification_uri_complete: Option<Url>,
    /// The lifetime of the codes since the server's response, at most one day; 10 minutes if the server does not say
    /// it.
    pub expires_in: Duration,
    /// The time between two requests, at least 1 s; 5 s if the server does not say it, or says a time longer than
    /// `expires_in`. It grows by at least 5 s whenever the server asks to slow down.
    pub interval: Duration,
    device_code: Secret,
    scopes: Vec<String>,
    client: OAuth2Client,
    expires_at: Duration,
    next_request: Duration,
    /// Successive requests that failed before there was a decision.
    failures: u32,
    request: Option<BoxFuture<'static, Result<Answer>>>,
    ended: Option<NetworkError>,
}

impl DeviceAuthorization {
    /// Reads the response to the device authorization request (section 3.2).
    pub(super) fn read(answer: &Answer, endpoint: &Url, scopes: Vec<String>, client: OAuth2Client) -> Result<Self> {
        let members = answer.members()?;
        let page = |name: &str| {
            let page = endpoint.join(text(members, name)?).ok()?;
            matches!(page.scheme(), "http" | "https").then_some(page)
        };
        let device_code = Secret::new(answer.required("device_code")?);
        let user_code = answer.required("user_code")?.to_owned();
        // The name in a draft, which servers still use.
        let Some(verification_uri) = page("verification_uri").or_else(|| page("verification_url")) else {
            return Err(answer.wrong("verification_uri", members.get("verification_uri")));
        };
        let expires_in = lifetime(members).unwrap_or(DEFAULT_LIFETIME).min(LONGEST_LIFETIME);
        // A longer one would let the code expire before the first request: some servers mean milliseconds.
        let interval = interval(members.get("interval")).filter(|interval| *interval < expires_in);
        let interval = interval.unwrap_or(DEFAULT_INTERVAL);
        let now = client.clock.elapsed();
        Ok(Self {
            user_code,
            verification_uri,
            verification_uri_complete: page("verification_uri_complete"),
            expires_in,
            interval,
            device_code,
            scopes,
            client,
            expires_at: now.saturating_add(expires_in),
            next_request: now.saturating_add(interval),
            failures: 0,
            request: None,
            ended: None,
        })
    }

    /// Waits until the user has decided, and returns the token (section 3.5). Asks the server every `interval`. After a
    /// connection error, a time limit, status 429 or 5xx it waits longer; a `Retry-After` is obeyed.
    ///
    /// Cancel safety: safe. A request that is under way when the future is dropped is continued by the next call.
    ///
    /// # Errors
    /// [`Authentication`](ErrorKind::Authentication) with the error code in the context: `access_denied` if the user
    /// has refused,
    /// `expired_token` if the code has expired, by the server's response or by the client's clock.
    /// [`Protocol`](ErrorKind::Protocol) naming the member that is missing, and errors of the connection that do not
    /// [pass](NetworkError::retryability). After a refusal every call returns it again at once, and after a token
    /// [`Closed`](ErrorKind::Closed).
    pub async fn token(&mut self) -> Result<OAuth2Token> {
        loop {
            if let Some(error) = &self.ended {
                return Err(error.clone());
            }
            if self.request.is_none() {
                wait_until(&*self.client.clock, self.next_request.min(self.expires_at)).await;
                if self.client.clock.elapsed() >= self.expires_at {
                    return Err(self.end(
                        NetworkError::new(ErrorKind::Authentication, OPERATION, "the device code has expired")
                            .with_context(context::ERROR, "expired_token"),
                    ));
                }
            }
            // Kept here, so that it is not lost if this future is dropped.
            let (client, code) = (&self.client, &self.device_code);
            let request = self
                .request
                .get_or_insert_with(|| client.clone().poll_device(code.clone()));
            let outcome = request.await;
            self.request = None;
            if let Some(result) = self.decide(outcome) {
                return result;
            }
        }
    }

    /// The result for the caller; `None` to ask again.
    fn decide(&mut self, outcome: Result<Answer>) -> Option<Result<OAuth2Token>> {
        let (asked_interval, result) = match outcome {
            Ok(answer) => (asked_interval(&answer), answer.token(&self.scopes)),
            Err(error) => (None, Err(error)),
        };
        let error = match result {
            Ok(token) => {
                self.end(NetworkError::closed(OPERATION, "the device authorization"));
                return Some(Ok(token));
            }
            Err(error) => error,
        };
        let (pause, passes) = match error.get(context::ERROR) {
            Some("authorization_pending") => (self.interval, true),
            Some("slow_down") => {
                let slower = self.interval.saturating_add(SLOW_DOWN);
                self.interval = asked_interval.map_or(slower, |asked| asked.max(slower));
                (self.interval, true)
            }
            _ => (self.backoff(), passes(&error)),
        };
        self.failures = match error.get(context::ERROR) {
            Some("authorization_pending" | "slow_down") => 0,
            _ => self.failures.saturating_add(1),
        };
        let pause = pause.max(error.retryability().delay().unwrap_or_default());
        self.next_request = self.client.clock.elapsed().saturating_add(pause);
        if passes {
            return None;
        }
        Some(Err(match error.kind() {
            ErrorKind::Authentication => self.end(error),
            _ => error,
        }))
    }

    /// Twice as long after each failure (section 3.5).
    fn backoff(&self) -> Duration {
        let doubled = self
            .interval
            .saturating_mul(2_u32.saturating_pow(self.failures.saturating_add(1)));
        doubled.min(LONGEST_BACKOFF.max(self.interval))
    }

    fn end(&mut self, error: NetworkError) -> NetworkError {
        self.ended = Some(error.clone());
        error
    }
}

async fn wait_until(clock: &dyn Clock, time: Duration) {
    loop {
        let wait = time.saturating_sub(clock.elapsed());
        if wait.is_zero() {
            return;
        }
        sleep(wait).await;
    }
}

/// Whether a later request may succeed.
fn passes(error: &NetworkError) -> bool {
    error.retryability().is_transient() || error.status().is_some_and(|status| status == 429 || status >= 500)
}

fn interval(value: Option<&Value>) -> Option<Duration> {
    Some(value.and_then(seconds)?.max(SHORTEST_INTERVAL))
}

/// The interval that some servers send with `slow_down`.
fn asked_interval(answer: &Answer) -> Option<Duration> {
    match &answer.content {
        Content::Members(members) => interval(members.get("interval")),
        Content::Text(_) => None,
    }
}

impl fmt::Debug for DeviceAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAuthorization")
            .field(
                "verification_uri",
                &format_args!("{}", redact::url(&self.verification_uri)),
            )
            .field("expires_in", &self.expires_in)
            .field("interval", &self.interval)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}
