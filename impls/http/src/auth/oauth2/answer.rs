//! The responses of an authorization server, as real servers send them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, StatusCode, header};
use networking_spi::error::context;
use networking_spi::http::{OAuth2Token, media_type};
use networking_spi::secret::Secret;
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::OPERATION;
use super::refusal::{Refusal, text_of_page};
use super::secrets::Secrets;
use crate::marks::host;

/// Longer lifetimes are shortened to 100 years, so that they can be added to any time.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Names whose presence shows that text without a helpful content type is a form.
const FORM_MEMBERS: [&str; 4] = ["access_token", "error", "device_code", "active"];

/// A response.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content: Content,
    /// The error of a status from 400.
    pub(super) failure: Option<NetworkError>,
    content_type: Option<String>,
    host: String,
    /// What the field `WWW-Authenticate` says: RFC 6750, section 3.
    challenge: Option<Refusal>,
    pub(super) secrets: Secrets,
}

/// The body of a response.
pub(super) enum Content {
    /// A JSON object or a form. Of members with the same name, the last one.
    Members(Map<String, Value>),
    Text(String),
}

impl Answer {
    pub(super) fn new(
        url: &Url,
        status: StatusCode,
        headers: &HeaderMap,
        text: &str,
        failure: Option<NetworkError>,
        secrets: Secrets,
    ) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let challenges = headers.get_all(header::WWW_AUTHENTICATE);
        Self {
            status,
            content: Content::new(content_type.unwrap_or_default(), text),
            failure,
            content_type: content_type.map(str::to_owned),
            host: host::of(url).to_owned(),
            challenge: challenges
                .iter()
                .find_map(|value| Refusal::of_challenge(value.to_str().ok()?)),
            secrets,
        }
    }

    /// The members of a response that is not an error.
    pub(super) fn members(&self) -> Result<&Map<String, Value>> {
        if let Some(error) = self.error() {
            return Err(error);
        }
        match &self.content {
            Content::Members(members) => Ok(members),
            Content::Text(text) if text.is_empty() => Err(self.protocol("the response is empty")),
            // The text is omitted, because it could contain a part of a token.
            Content::Text(_) => Err(self.protocol("the response is neither JSON nor a form")),
        }
    }

    /// The error that the response is, with all that the server says about it.
    pub(super) fn error(&self) -> Option<NetworkError> {
        let refusal = self.refusal();
        if let Some(failure) = &self.failure {
            let refuses = refusal.as_ref().is_some_and(|refusal| refusal.is_refusal(self.status));
            let error = if refuses { self.refused() } else { failure.clone() };
            return Some(match refusal {
                Some(refusal) => refusal.describe(error, &self.secrets),
                None => error,
            });
        }
        if self.status.is_redirection() {
            let error = self.failed(ErrorKind::Redirect, "the server responded with a redirect");
            return Some(error);
        }
        let refusal = refusal.filter(|refusal| refusal.explicit)?;
        Some(refusal.describe(self.refused(), &self.secrets))
    }

    pub(super) fn refusal(&self) -> Option<Refusal> {
        let in_body = match &self.content {
            Content::Members(members) => Refusal::of_members(members),
            Content::Text(text) if self.failure.is_some() => text_of_page(text).map(Refusal::of_text),
            Content::Text(_) => None,
        };
        if in_body.is_some() || self.failure.is_none() {
            return in_body;
        }
        let unknown = || match &self.content {
            Content::Members(members) => Refusal::of_unknown(members),
            Content::Text(_) => None,
        };
        self.challenge.clone().or_else(unknown)
    }

    fn refused(&self) -> NetworkError {
        self.failed(ErrorKind::Authentication, "the server refused the request")
    }

    fn failed(&self, kind: ErrorKind, message: &'static str) -> NetworkError {
        NetworkError::new(kind, OPERATION, message)
            .with_status(self.status.as_u16())
            .with_send_state(SendState::Sent)
            .with_context(context::HOST, &self.host)
    }

    pub(super) fn protocol(&self, message: &'static str) -> NetworkError {
        let error = self.failed(ErrorKind::Protocol, message);
        let error = match &self.content_type {
            Some(content_type) => error.with_context(context::CONTENT_TYPE, self.secrets.text(content_type)),
            None => error,
        };
        match self.refusal() {
            Some(refusal) => refusal.describe(error, &self.secrets),
            None => error,
        }
    }

    /// The error for a member that is missing or cannot be used. Its value is omitted.
    pub(super) fn wrong(&self, field: &'static str, value: Option<&Value>) -> NetworkError {
        let message = match value {
            None | Some(Value::Null) => "a required member of the response is missing",
            Some(Value::String(text)) if text.is_empty() => "a required member of the response is empty",
            Some(_) => "a member of the response has the wrong type or value",
        };
        self.protocol(message).with_context(context::FIELD, field)
    }

    /// A string that must be there.
    pub(super) fn required(&self, field: &'static str) -> Result<&str> {
        let value = self.members()?.get(field);
        match value {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text),
            other => Err(self.wrong(field, other)),
        }
    }

    /// The token of a token endpoint. `requested` are the scopes of the request.
    pub(super) fn token(&self, requested: &[String]) -> Result<OAuth2Token> {
        let members = self.members()?;
        let mut token = OAuth2Token::bearer(self.required("access_token")?);
        if let Some(token_type) = text(members, "token_type") {
            token_type.clone_into(&mut token.token_type);
        }
        token.expires_in = lifetime(members);
        token.refresh_token = text(members, "refresh_token").map(Secret::new);
        token.id_token = text(members, "id_token").map(Secret::new);
        token.issued_token_type = text(members, "issued_token_type").map(str::to_owned);
        token.scopes = scopes(members.get("scope"), requested);
        Ok(token)
    }
}

impl Content {
    fn new(content_type: &str, text: &str) -> Self {
        let around = |c: char| c.is_whitespace() || matches!(c, '\0' | '\u{feff}');
        let trimmed = text.trim_matches(around);
        if trimmed.starts_with('{')
            && let Ok(members) = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(trimmed)
        {
            return Self::Members(members.into_iter().map(|(name, raw)| (name, value(&raw))).collect());
        }
        let media_type = media_type::without_parameters(content_type);
        let declared = media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
        let plain = trimmed.contains('=') && !trimmed.contains(|c: char| c.is_whitespace() || "<>{}".contains(c));
        if plain {
            let pairs = form_urlencoded::parse(trimmed.as_bytes()).into_owned();
            let members: Map<String, Value> = pairs.map(|(name, value)| (name, Value::String(value))).collect();
            if declared || FORM_MEMBERS.iter().any(|name| members.contains_key(*name)) {
                return Self::Members(members);
            }
        }
        Self::Text(trimmed.to_owned())
    }
}

/// Members are read one by one, so that one that cannot be read does not spoil the others.
fn value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| match raw.get().strip_prefix('"') {
        Some(text) => Value::String(text.trim_end_matches('"').to_owned()),
        None => Value::Null,
    })
}

/// A string that is not empty. `null`, `false` and values of other types count as missing.
pub(super) fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    let text = members.get(name)?.as_str()?.trim();
    (!text.is_empty()).then_some(text)
}

/// The lifetime in `expires_in`, or in `expires`, where some servers send it.
pub(super) fn lifetime(members: &Map<String, Value>) -> Option<Duration> {
    // A large `expires` is a time instead of a lifetime.
    let other = || seconds(members.get("expires")?).filter(|life| life.as_secs() < 1_000_000_000);
    members.get("expires_in").and_then(seconds).or_else(other)
}

/// A number of seconds as a number or as a string, at most [`LONGEST`]. Zero and negative numbers mean that it is not known.
pub(super) fn seconds(value: &Value) -> Option<Duration> {
    let seconds = number(value).filter(|seconds| *seconds > 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).map_or(LONGEST, |life| life.min(LONGEST)))
}

/// A time in seconds since 1970.
pub(super) fn time(value: &Value) -> Option<SystemTime> {
    let since = Duration::try_from_secs_f64(number(value)?).ok()?;
    UNIX_EPOCH.checked_add(since)
}

/// A time in whole seconds since 1970.
pub(super) fn number_of_seconds(value: &Value) -> Option<u64> {
    time(value)?
        .duration_since(UNIX_EPOCH)
        .ok()
        .map(|since| since.as_secs())
}

fn number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::String(text) => text.trim().parse().ok()?,
        other => other.as_f64()?,
    };
    (!number.is_nan()).then_some(number)
}

/// Scopes as a string or as a list. The string's separators are spaces; some servers use commas.
pub(super) fn scopes(value: Option<&Value>, requested: &[String]) -> Vec<String> {
    let texts: Vec<&str> = match value {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let commas = matches!(value, Some(Value::String(text)) if !text.trim().contains(char::is_whitespace))
        && !requested.iter().any(|scope| scope.contains(','));
    let separator = |c: char| c.is_whitespace() || (commas && c == ',');
    let all = texts.iter().flat_map(|text| text.split(separator));
    all.filter(|scope| !scope.is_empty()).map(str::to_owned).collect()
}
