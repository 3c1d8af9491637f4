//! Redaction of secrets.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, header};
use networking_spi::http::{HttpResponse, media_type};
use networking_spi::redact::{self, REDACTED};
use serde_json::Value;
use url::{Url, form_urlencoded};

use super::{CassetteConfig, RecordedBody, RecordedHeaders, RecordedRequest, RecordedResponse};

impl CassetteConfig {
    /// The URL as it is recorded.
    pub(super) fn redacted_url(&self, url: &Url) -> String {
        let shown = redact::url(url);
        let Some((path, query)) = shown.split_once('?') else {
            return shown;
        };
        let pairs: Vec<String> = query
            .split('&')
            .map(|pair| match pair.split_once('=') {
                Some((name, _)) if self.is_configured_query(name) => format!("{name}={REDACTED}"),
                _ => pair.to_owned(),
            })
            .collect();
        format!("{path}?{}", pairs.join("&"))
    }

    fn is_configured_query(&self, encoded: &str) -> bool {
        let name = form_urlencoded::parse(encoded.as_bytes())
            .next()
            .map(|(name, _)| name.into_owned())
            .unwrap_or_default();
        self.query.contains(&name)
    }

    pub(super) fn redact_request(&self, request: &mut RecordedRequest, headers: &HeaderMap) {
        self.redact_headers(&mut request.headers, headers);
        self.redact_body(&mut request.body, headers);
        if let Some(filter) = &self.request_filter {
            filter(request);
        }
    }

    pub(super) fn redact_response(&self, recorded: &mut RecordedResponse, response: &HttpResponse) {
        self.redact_headers(&mut recorded.headers, &response.headers);
        self.redact_body(&mut recorded.body, &response.headers);
        if let Some(trailers) = response.trailers.get() {
            self.redact_headers(&mut recorded.trailers, trailers);
        }
        if let Some(filter) = &self.response_filter {
            filter(recorded);
        }
    }

    fn redact_headers(&self, recorded: &mut RecordedHeaders, headers: &HeaderMap) {
        let sensitive: HashSet<&HeaderName> = headers
            .iter()
            .filter(|(name, value)| value.is_sensitive() || redact::is_secret_header(name))
            .map(|(name, _)| name)
            .collect();
        for (name, values) in &mut recorded.0 {
            if self.headers.contains(name) || sensitive.iter().any(|secret| secret.as_str() == name) {
                values.fill(REDACTED.to_owned());
            }
            if name == header::LOCATION.as_str() || name == header::CONTENT_LOCATION.as_str() {
                for value in values {
                    self.redact_reference(value);
                }
            }
        }
    }

    /// Redacts a URL in a header.
    fn redact_reference(&self, reference: &mut String) {
        if let Ok(url) = Url::parse(reference) {
            *reference = self.redacted_url(&url);
            return;
        }
        // Fragments may contain tokens, and are not recorded for absolute URLs either.
        if let Some(fragment) = reference.find('#') {
            reference.truncate(fragment);
        }
        if let Some((path, query)) = reference.split_once('?')
            && let Ok(url) = Url::parse(&format!("http://host.invalid/?{query}"))
            && let Some((_, query)) = self.redacted_url(&url).split_once('?')
        {
            *reference = format!("{path}?{query}");
        }
    }

    fn redact_body(&self, body: &mut RecordedBody, headers: &HeaderMap) {
        let RecordedBody::Text(text) = body else {
            return;
        };
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        if is_form(content_type) {
            *text = self.redacted_form(text);
        } else if let Ok(mut json) = serde_json::from_str(text)
            && self.redact_json(&mut json)
        {
            *text = json.to_string();
        }
    }

    fn redacted_form(&self, form: &str) -> String {
        form.split('&')
            .map(|pair| {
                let name = form_urlencoded::parse(pair.as_bytes())
                    .next()
                    .map(|(name, _)| name.into_owned())
                    .unwrap_or_default();
                match pair.split_once('=') {
                    Some((encoded, _)) if redact::is_secret_name(&name) || self.fields.contains(&name) => {
                        format!("{encoded}={REDACTED}")
                    }
                    _ => pair.to_owned(),
                }
            })
            .collect::<Vec<_>>()
            .join("&")
    }

    /// Returns whether a value was replaced.
    fn redact_json(&self, json: &mut Value) -> bool {
        let mut changed = false;
        match json {
            Value::Array(values) => {
                for value in values {
                    changed |= self.redact_json(value);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    if self.fields.contains(name) && !value.is_null() {
                        *value = Value::from(REDACTED);
                        changed = true;
                    } else {
                        changed |= is_secret_field(name) && redact_texts(value);
                        changed |= self.redact_json(value);
                    }
                }
            }
            _ => {}
        }
        changed
    }
}

fn is_form(content_type: &str) -> bool {
    media_type::without_parameters(content_type).eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// Replaces strings, including those in lists, and returns whether there were any. Numbers are kept (`max_tokens` is not a
/// secret), and the fields of objects are checked by their names.
fn redact_texts(value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            REDACTED.clone_into(text);
            true
        }
        Value::Array(values) => {
            let mut changed = false;
            for value in values {
                changed |= redact_texts(value);
            }
            changed
        }
        _ => false,
    }
}

/// Like [`redact::is_secret_name`], without names that usually mean something else in JSON, such as the code of an error.
fn is_secret_field(name: &str) -> bool {
    redact::is_secret_name(name) && !matches!(name.to_ascii_lowercase().as_str(), "key" | "code" | "auth" | "sig")
}
