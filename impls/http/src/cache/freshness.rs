//! Whether a stored response may be used (RFC 9111, section 4).
//!
//! `http-cache-semantics` implements the rules. Messages are normalized and times are limited before they are passed to it, so
//! that it does not misread unusual input from peers and does not overflow.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_cache_semantics::{BeforeRequest, CacheOptions, CachePolicy};

use super::control::{Directives, MAX_SECONDS, seconds};
use super::record::StoredHead;

/// The freshness of a stored response.
pub(super) struct Freshness {
    policy: CachePolicy,
    control: Directives,
    lifetime: Duration,
}

/// What a request may do with a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reuse {
    /// Use it.
    Fresh,
    /// Use it although it is stale, because the request allows that.
    Stale,
    /// Validate it with the origin first.
    Validate,
}

impl Freshness {
    pub(super) fn of(head: &StoredHead, heuristic: f32) -> Self {
        // The initial age is expressed as an earlier response time, so that the library never adds ages, which could overflow.
        let origin = head
            .received_at
            .checked_sub(head.initial_age)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let control = Directives::of(&head.headers);
        let policy = CachePolicy::new_options(
            &request(None),
            &response(head.status, normal_response(&head.headers, &control, head.received_at)),
            origin,
            CacheOptions {
                shared: false,
                cache_heuristic: heuristic,
                // `immutable` does not extend the freshness of a response (RFC 8246).
                immutable_min_time_to_live: Duration::ZERO,
                ..CacheOptions::default()
            },
        );
        let lifetime = policy.time_to_live(origin);
        Self {
            policy,
            control,
            lifetime,
        }
    }

    /// Whether the response may be stored and can be used for a later request.
    pub(super) fn is_worth_storing(&self, headers: &HeaderMap) -> bool {
        let usable = !self.lifetime.is_zero()
            || headers.contains_key(header::ETAG)
            || headers.contains_key(header::LAST_MODIFIED)
            || self.control.has("stale-if-error")
            || self.control.has("stale-while-revalidate");
        usable && self.policy.is_storable()
    }

    pub(super) fn age(&self, now: SystemTime) -> Duration {
        self.policy.age(now)
    }

    pub(super) fn reuse(&self, request_control: &Directives, now: SystemTime) -> Reuse {
        // `max-stale` of the request is ignored if the response must be validated.
        let strict = self.must_be_validated();
        let without: &[&str] = if strict { &["max-stale"] } else { &[] };
        let request = request(request_control.normalized(without));
        match self.policy.before_request(&request, now) {
            BeforeRequest::Fresh(_) if self.policy.is_stale(now) => Reuse::Stale,
            BeforeRequest::Fresh(_) => Reuse::Fresh,
            BeforeRequest::Stale { .. } => Reuse::Validate,
        }
    }

    /// Whether the response may be used while a newer one is fetched (RFC 5861, section 3).
    pub(super) fn usable_while_revalidating(&self, request_control: &Directives, now: SystemTime) -> bool {
        let wants_newer = ["no-cache", "max-age", "min-fresh"]
            .into_iter()
            .any(|name| request_control.has(name));
        !wants_newer
            && self
                .control
                .seconds("stale-while-revalidate")
                .is_some_and(|limit| self.usable_for(limit, now))
    }

    /// Whether the response may be used instead of an error (RFC 5861, section 4).
    pub(super) fn usable_on_error(
        &self,
        request_control: &Directives,
        default: Option<Duration>,
        now: SystemTime,
    ) -> bool {
        let limit = request_control
            .seconds("stale-if-error")
            .max(self.control.seconds("stale-if-error"))
            .or(default);
        !request_control.has("no-cache") && limit.is_some_and(|limit| self.usable_for(limit, now))
    }

    fn usable_for(&self, staleness: Duration, now: SystemTime) -> bool {
        !self.must_be_validated() && self.age(now).saturating_sub(self.lifetime) <= staleness
    }

    fn must_be_validated(&self) -> bool {
        self.control.has("must-revalidate") || self.control.has("no-cache")
    }
}

/// The age of a response when it arrives (RFC 9111, section 4.2.3).
pub(super) fn initial_age(headers: &HeaderMap, sent_at: SystemTime, received_at: SystemTime) -> Duration {
    let apparent = date(headers, &header::DATE)
        .and_then(|date| received_at.duration_since(date).ok())
        .unwrap_or_default();
    let said = said_age(headers).unwrap_or_default();
    let delay = received_at.duration_since(sent_at).unwrap_or_default();
    let age = apparent.max(said.saturating_add(delay));
    Duration::from_secs(age.as_secs().min(MAX_SECONDS))
}

/// The first value of `Age`, which may be sent several times or as a list (RFC 9111, section 5.1). `None` if it is not a
/// number; numbers that are too large count as the largest one.
fn said_age(headers: &HeaderMap) -> Option<Duration> {
    let members = headers
        .get_all(header::AGE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let first = members.map(<[u8]>::trim_ascii).find(|member| !member.is_empty())?;
    seconds(std::str::from_utf8(first).ok()?).map(Duration::from_secs)
}

/// A date in any of the forms of RFC 9110, section 5.6.7. If the header was sent several times, or as a list, the first date
/// counts (RFC 9111, section 4.2.1).
pub(super) fn date(headers: &HeaderMap, name: &http::HeaderName) -> Option<SystemTime> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    // Two of the three forms have a comma after the weekday.
    let ends = text.match_indices(',').map(|(index, _)| index).take(2);
    std::iter::once(text.len())
        .chain(ends)
        .find_map(|end| httpdate::parse_http_date(text[..end].trim_end()).ok())
}

/// The response headers that the rules use, in normal form.
fn normal_response(headers: &HeaderMap, control: &Directives, received_at: SystemTime) -> HeaderMap {
    let mut normal = HeaderMap::new();
    let mut put = |name: http::HeaderName, date: SystemTime| {
        // HTTP dates have four-digit years.
        let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
        if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(date.clamp(SystemTime::UNIX_EPOCH, latest))) {
            normal.insert(name, value);
        }
    };
    put(header::DATE, date(headers, &header::DATE).unwrap_or(received_at));
    if let Some(last_modified) = date(headers, &header::LAST_MODIFIED) {
        put(header::LAST_MODIFIED, last_modified);
    }
    if headers.contains_key(header::EXPIRES) {
        // An invalid date counts as a date in the past.
        put(
            header::EXPIRES,
            date(headers, &header::EXPIRES).unwrap_or(SystemTime::UNIX_EPOCH),
        );
    }
    if let Some(control) = control.normalized(&[]) {
        normal.insert(header::CACHE_CONTROL, control);
    }
    normal
}

/// A request without URL and `Vary` headers: they were already used to select the response.
fn request(control: Option<HeaderValue>) -> http::request::Parts {
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.method = Method::GET;
    if let Some(control) = control {
        parts.headers.insert(header::CACHE_CONTROL, control);
    }
    parts
}

fn response(status: StatusCode, headers: HeaderMap) -> http::response::Parts {
    let (mut parts, ()) = http::Response::new(()).into_parts();
    parts.status = status;
    parts.headers = headers;
    parts
}
