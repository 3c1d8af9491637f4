//! Replaces credentials in the output of `Debug`, in logs and in error messages.

use std::fmt;

use http::{HeaderMap, HeaderName};
use url::Url;

/// Printed in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// Secret headers whose names do not match [`is_secret_name`].
const SECRET_HEADERS: &[&str] = &["cookie", "set-cookie"];

/// The value is secret if the name contains one of these words. Separators between words are ignored.
const SECRET_WORDS: &[&str] = &[
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "credential",
    "signature",
    "accesskey",
    "privatekey",
    "encryptionkey",
    "encryptioncustomerkey",
    "subscriptionkey",
    "functionskey",
    "assertion",
    "authorization",
    "session",
    "codeverifier",
    "devicecode",
];

/// Whether the values of this header are secret.
pub fn is_secret_header(name: &HeaderName) -> bool {
    SECRET_HEADERS.contains(&name.as_str()) || is_secret_name(name.as_str())
}

/// Whether the value of a parameter or field with this name is secret (`access_token`, `client-secret`, `apiKey`, ...).
pub fn is_secret_name(name: &str) -> bool {
    let joined = |char: &char| !matches!(char, '-' | '_' | '.' | ' ');
    let name: String = name
        .chars()
        .filter(joined)
        .map(|char| char.to_ascii_lowercase())
        .collect();
    matches!(
        name.as_str(),
        "key" | "sig" | "sas" | "hmac" | "code" | "auth" | "jwt" | "pwd" | "pin" | "otp" | "totp" | "sid" | "ticket"
    ) || SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// Returns the URL without its fragment, and with its user information and the values of secret query parameters replaced.
///
/// ```
/// use networking_spi::redact::url;
/// let full = "https://bob:pw@example.com/a?page=2&api_key=123".parse().unwrap();
/// assert_eq!(url(&full), "https://[redacted]@example.com/a?page=2&api_key=[redacted]");
/// ```
pub fn url(url: &Url) -> String {
    let mut out = format!("{}:", url.scheme());
    if url.has_host() {
        out.push_str("//");
        if !url.username().is_empty() || url.password().is_some() {
            out.push_str(REDACTED);
            out.push('@');
        }
        out.push_str(url.host_str().unwrap_or_default());
        if let Some(port) = url.port() {
            out.push(':');
            out.push_str(&port.to_string());
        }
    }
    match url.path().rsplit_once('@') {
        // `user:password@host` without a scheme is a URL of the scheme `user`.
        Some((_, rest)) if !url.has_host() => {
            out.push_str(REDACTED);
            out.push('@');
            out.push_str(rest);
        }
        _ => out.push_str(url.path()),
    }
    if let Some(query) = url.query() {
        out.push('?');
        out.push_str(&self::query(query));
    }
    out
}

/// Returns a query or a URL-encoded form with the values of secret parameters replaced.
pub fn query(query: &str) -> String {
    let mut out = String::with_capacity(query.len());
    for (index, pair) in query.split('&').enumerate() {
        if index > 0 {
            out.push('&');
        }
        // The name may be percent-encoded.
        let name = url::form_urlencoded::parse(pair.as_bytes()).next();
        match (pair.split_once('='), name) {
            (Some((raw, _)), Some((name, _))) if is_secret_name(&name) => {
                out.push_str(raw);
                out.push('=');
                out.push_str(REDACTED);
            }
            _ => out.push_str(pair),
        }
    }
    out
}

/// Prints a header map with secret values replaced.
///
/// Exhaustive on purpose: it wraps one reference.
#[derive(Clone, Copy)]
pub struct Headers<'a>(pub &'a HeaderMap);

impl fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (name, value) in self.0 {
            if value.is_sensitive() || is_secret_header(name) {
                map.entry(&name.as_str(), &format_args!("{REDACTED}"));
            } else {
                map.entry(&name.as_str(), value);
            }
        }
        map.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_their_words_however_they_are_written() {
        for name in [
            "access_token",
            "Client-Secret",
            "apiKey",
            "x-api-key",
            "AWSAccessKeyId",
            "SharedAccessKey",
            "private_key",
            "passphrase",
            "PWD",
            "otp",
            "sid",
            "device_code",
            "code_verifier",
            "x-amz-server-side-encryption-customer-key",
            "x-goog-encryption-key",
            "ocp-apim-subscription-key",
            "x-functions-key",
            "proxy-authorization",
            "x-auth-token",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "idempotency-key",
            "sec-websocket-key",
            "sort_key",
            "status_code",
            "author",
            "page",
            "",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
        for name in ["cookie", "set-cookie", "authorization"] {
            assert!(is_secret_header(&HeaderName::from_static(name)), "{name}");
        }
    }
}
