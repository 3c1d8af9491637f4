//! The secrets of a request, which must not appear in errors.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header;
use networking_spi::redact::{REDACTED, is_secret_name};
use url::form_urlencoded;

/// Parameters whose values are not secret.
const PUBLIC: &[&str] = &[
    "actor_token_type",
    "audience",
    "client_assertion_type",
    "client_id",
    "grant_type",
    "redirect_uri",
    "requested_token_type",
    "resource",
    "response_type",
    "scope",
    "subject_token_type",
    "token_type_hint",
    "username",
];

/// Codes of RFC 6749, 7009, 8628 and 8693. They are shown even if a secret is a part of them.
const CODES: &[&str] = &[
    "access_denied",
    "authorization_pending",
    "expired_token",
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "invalid_token",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_token_type",
];

/// The secret values of a request, in the forms in which a server may repeat them. The longest is first.
#[derive(Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(request: &oauth2::HttpRequest) -> Self {
        let mut found = Vec::new();
        for (name, value) in form_urlencoded::parse(request.body()) {
            // Short values of other parameters, such as numbers, would be found in any text.
            if !PUBLIC.contains(&&*name) && (is_secret_name(&name) || value.len() >= 4) {
                found.push(value.into_owned());
            }
        }
        let basic = request.headers().get(header::AUTHORIZATION);
        if let Some(pair) = basic.and_then(|value| value.to_str().ok()?.strip_prefix("Basic ")) {
            found.push(pair.to_owned());
            let pair = STANDARD.decode(pair).unwrap_or_default();
            if let Some(secret) = pair.split(|byte| *byte == b':').nth(1) {
                // It is form-encoded: RFC 6749, section 2.3.1.
                let decoded = form_urlencoded::parse(&[b"s=", secret].concat())
                    .next()
                    .map(|(_, value)| value.into_owned());
                found.extend(decoded);
            }
        }
        Self::from_values(found)
    }

    pub(super) fn from_values(values: impl IntoIterator<Item = String>) -> Self {
        let mut all = Vec::new();
        for value in values.into_iter().filter(|value| !value.is_empty()) {
            let form: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
            all.push(form.replace('+', "%20"));
            all.push(form);
            // As a part of JSON.
            let json = serde_json::Value::from(value.as_str()).to_string();
            all.push(json[1..json.len() - 1].to_owned());
            // As `text` and `code` change it.
            all.push(value.chars().filter(|c| !c.is_control()).collect());
            all.push(value.chars().filter(|c| is_code_char(*c)).collect());
            all.push(value);
        }
        all.retain(|value: &String| !value.is_empty());
        all.sort_unstable_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        all.dedup();
        Self(all)
    }

    /// The text without the secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.0 {
            if text.contains(secret.as_str()) && !REDACTED.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), REDACTED);
            }
        }
        text
    }

    /// An error code for an error: the characters that RFC 6749, section 5.2, allows, and none of the secrets.
    pub(super) fn code(&self, text: &str) -> String {
        if CODES.contains(&text) {
            return text.to_owned();
        }
        let allowed: String = self.redact(text).chars().filter(|c| is_code_char(*c)).collect();
        self.redact(&allowed).trim().chars().take(200).collect()
    }

    /// A text for an error: one line without control characters, shortened, and without the secrets.
    pub(super) fn text(&self, text: &str) -> String {
        const MOST: usize = 500;
        // Directional marks could change how the rest of a log line looks.
        let hidden = |c: char| {
            let marks = [
                '\u{200b}'..='\u{200f}',
                '\u{2028}'..='\u{202e}',
                '\u{2066}'..='\u{2069}',
            ];
            c == '\u{feff}' || marks.iter().any(|marks| marks.contains(&c))
        };
        let plain: String = self
            .redact(text)
            .chars()
            .map(|c| if c.is_control() || hidden(c) { ' ' } else { c })
            .collect();
        let mut line = String::new();
        for word in plain.split_whitespace() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let line = self.redact(&line);
        if line.chars().count() <= MOST {
            return line;
        }
        let mut short: String = line.chars().take(MOST).collect();
        short.push('…');
        short
    }
}

fn is_code_char(c: char) -> bool {
    (' '..='~').contains(&c) && !matches!(c, '"' | '\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_found() {
        let secrets = Secrets::from_values(["p w&\"x\"\n".to_owned(), "abc".to_owned(), "abcdef".to_owned()]);
        for text in [
            "it is p w&\"x\"\n",
            "p+w%26%22x%22%0A",
            "p%20w%26%22x%22%0A",
            "it is p w&\"x\"",
            "abcdef",
        ] {
            for shown in [secrets.text(text), secrets.code(text)] {
                assert!(shown.contains(REDACTED), "{text}: {shown}");
                assert!(!shown.contains("p w") && !shown.contains("def"), "{text}: {shown}");
            }
        }
        assert_eq!(
            Secrets::from_values(["grant".to_owned()]).code("invalid_grant"),
            "invalid_grant"
        );
        assert_eq!(Secrets::default().text("a\u{202e}b\r\n c"), "a b c");
        assert_eq!(Secrets::default().text(&"x".repeat(600)).chars().count(), 501);
    }
}
