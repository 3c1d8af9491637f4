//! `Cache-Control` (RFC 9111, section 5.2).

use std::fmt::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// The largest number of seconds. Larger numbers count as this one (RFC 9111, section 1.2.2).
pub(super) const MAX_SECONDS: u64 = 1 << 31;

/// The directives of one message in their order, with names in lower case. Of several directives with one name, the first counts
/// (RFC 9111, section 4.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Directives(Vec<(String, Option<String>)>);

impl Directives {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            directives.parse(&String::from_utf8_lossy(value.as_bytes()));
        }
        // RFC 9111, section 5.4: `Pragma` is used only if there is no `Cache-Control`.
        if directives.0.is_empty()
            && headers
                .get_all(header::PRAGMA)
                .iter()
                .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
                .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-cache"))
        {
            directives.0.push(("no-cache".to_owned(), None));
        }
        directives
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// The argument as seconds; `None` if the directive is absent or has no valid argument.
    pub(super) fn seconds(&self, name: &str) -> Option<Duration> {
        let (_, argument) = self.0.iter().find(|(known, _)| known == name)?;
        argument.as_deref().and_then(seconds).map(Duration::from_secs)
    }

    /// The header in a normal form: names in lower case, no arguments other than numbers, numbers up to [`MAX_SECONDS`], and 0
    /// for an invalid `max-age`. The directives in `without` are omitted.
    pub(super) fn normalized(&self, without: &[&str]) -> Option<HeaderValue> {
        let mut text = String::new();
        for (name, argument) in self.0.iter().filter(|(name, _)| !without.contains(&name.as_str())) {
            let number = argument.as_deref().and_then(seconds);
            let number = match (name.as_str(), number, argument) {
                (_, Some(number), _) => Some(number),
                ("max-age", None, _) => Some(0),
                ("max-stale", None, Some(_)) | ("min-fresh", None, _) => continue,
                _ => None,
            };
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(name);
            if let Some(number) = number {
                let _ = write!(text, "={number}");
            }
        }
        (!text.is_empty()).then(|| HeaderValue::from_str(&text).ok()).flatten()
    }

    fn parse(&mut self, text: &str) {
        for directive in split_unquoted(text) {
            let (name, argument) = match directive.split_once('=') {
                Some((name, argument)) => (name, Some(unquoted(argument.trim()))),
                None => (directive, None),
            };
            let name = name.trim().to_ascii_lowercase();
            let is_token = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
            if is_token && !self.has(&name) {
                self.0.push((name, argument));
            }
        }
    }
}

/// The parts between commas outside quoted strings. A quotation mark without a counterpart begins no quoted string, so that it
/// does not hide the directives after it.
fn split_unquoted(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut parts, mut start, mut index, mut balanced) = (Vec::new(), 0, 0, true);
    while index < bytes.len() {
        match bytes[index] {
            b'"' if balanced => match end_of_quoted(bytes, index) {
                Some(end) => index = end,
                None => balanced = false,
            },
            b',' => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
        index += 1;
    }
    parts.push(&text[start..]);
    parts
}

/// The index of the quotation mark that ends the quoted string at `start`.
fn end_of_quoted(bytes: &[u8], start: usize) -> Option<usize> {
    let mut index = start + 1;
    loop {
        match bytes.get(index)? {
            b'"' => return Some(index),
            b'\\' => index += 2,
            _ => index += 1,
        }
    }
}

fn unquoted(argument: &str) -> String {
    match argument
        .strip_prefix('"')
        .and_then(|argument| argument.strip_suffix('"'))
    {
        Some(quoted) => quoted.replace('\\', ""),
        None => argument.to_owned(),
    }
}

/// A non-negative integer, up to [`MAX_SECONDS`].
pub(super) fn seconds(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // There are only digits, so a number that does not parse is too large.
    Some(text.parse().unwrap_or(MAX_SECONDS).min(MAX_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directives(values: &[&'static str]) -> Directives {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_static(value));
        }
        Directives::of(&headers)
    }

    fn normalized(value: &'static str) -> Option<String> {
        let value = directives(&[value]).normalized(&["skipped"])?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn arguments_are_read_in_every_form() {
        let control = directives(&["Max-Age=\"60\" , NO-CACHE=\"set-cookie, no-store\"", "stale-if-error=5"]);
        assert_eq!(control.seconds("max-age"), Some(Duration::from_secs(60)));
        assert_eq!(control.seconds("stale-if-error"), Some(Duration::from_secs(5)));
        assert!(control.has("no-cache") && !control.has("no-store"));
        assert_eq!(directives(&["max-age=-1"]).seconds("max-age"), None);
    }

    #[test]
    fn the_first_of_several_directives_counts() {
        let control = directives(&["max-age=5, MAX-AGE=60", "max-age=0"]);
        assert_eq!(control.seconds("max-age"), Some(Duration::from_secs(5)));
        assert_eq!(normalized("max-age=x, max-age=60").as_deref(), Some("max-age=0"));
    }

    #[test]
    fn a_lone_quotation_mark_hides_no_directive() {
        for value in [
            "max-age=\"60, no-store",
            "a=\"b\", max-age=\"60, no-store",
            "a=\"b\\\", no-store",
            "\", no-store",
        ] {
            let control = directives(&[value]);
            assert!(control.has("no-store"), "{value}");
            assert_eq!(control.seconds("max-age"), None, "{value}");
        }
        assert!(!directives(&["a=\"b\\\", no-store\""]).has("no-store"));
    }

    #[test]
    fn the_normal_form_has_no_quoted_or_invalid_arguments() {
        assert_eq!(
            normalized("Public, ext=\"a, no-store\", skipped").as_deref(),
            Some("public, ext")
        );
        assert_eq!(
            normalized("max-age=99999999999999999999").as_deref(),
            Some("max-age=2147483648")
        );
        assert_eq!(normalized("max-age=1.5").as_deref(), Some("max-age=0"));
        assert_eq!(normalized("max-age").as_deref(), Some("max-age=0"));
        assert_eq!(normalized("max-stale").as_deref(), Some("max-stale"));
        assert_eq!(normalized("max-stale=x, min-fresh=x"), None);
        assert_eq!(normalized(",,= ,\"x\""), None);
    }

    #[test]
    fn pragma_is_ignored_beside_cache_control() {
        let mut headers = HeaderMap::new();
        headers.insert(header::PRAGMA, HeaderValue::from_static("No-Cache"));
        assert!(Directives::of(&headers).has("no-cache"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
        assert!(!Directives::of(&headers).has("no-cache"));
    }
}
