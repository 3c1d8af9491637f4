//! Parsing `Set-Cookie` (RFC 6265bis, section 5.6). The parser works on bytes, because names and values may have any bytes but
//! control characters.

use time::{Duration, OffsetDateTime};

use super::date;

/// The longest name and value together, in bytes.
pub(super) const MAX_PAIR: usize = 4 << 10;

/// The longest value of an attribute, in bytes. Attributes with longer values are ignored.
const MAX_ATTRIBUTE: usize = 1 << 10;

/// A `Set-Cookie` header or its equivalent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SetCookie<'t> {
    /// Empty for a cookie without a name.
    pub(super) name: &'t [u8],
    pub(super) value: &'t [u8],
    /// The last `Domain`, without the leading dot. Empty without the attribute.
    pub(super) domain: &'t [u8],
    /// The last `Path`, if it is absolute.
    pub(super) path: Option<&'t [u8]>,
    /// The last valid `Max-Age`, zero if it is negative.
    pub(super) max_age: Option<Duration>,
    /// The last valid `Expires`.
    pub(super) expires: Option<OffsetDateTime>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
}

impl<'t> SetCookie<'t> {
    /// # Errors
    /// The reason why the cookie is ignored.
    pub(super) fn parse(text: &'t [u8]) -> Result<Self, &'static str> {
        if text.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Err("has a control character");
        }
        let mut parts = text.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default();
        let (name, value) = split_at_equals(pair).unwrap_or((b"", pair));
        let (name, value) = (trim(name), trim(value));
        if name.is_empty() && value.is_empty() {
            return Err("has neither a name nor a value");
        }
        if name.len() + value.len() > MAX_PAIR {
            return Err("is too long");
        }
        let mut cookie = Self {
            name,
            value,
            ..Self::default()
        };
        for attribute in parts {
            let (name, value) = split_at_equals(attribute).unwrap_or((attribute, b""));
            let value = trim(value);
            if value.len() <= MAX_ATTRIBUTE {
                cookie.take(trim(name), value);
            }
        }
        Ok(cookie)
    }

    fn take(&mut self, name: &[u8], value: &'t [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("expires") {
            self.expires = date::parse(value).or(self.expires);
        } else if is("max-age") {
            self.max_age = seconds(value).or(self.max_age);
        } else if is("domain") {
            self.domain = value.strip_prefix(b".").unwrap_or(value);
        } else if is("path") {
            self.path = value.starts_with(b"/").then_some(value);
        } else if is("secure") {
            self.secure = true;
        } else if is("httponly") {
            self.http_only = true;
        }
    }

    /// The prefix of the name that puts conditions on the cookie. A server cannot tell a cookie without a name from one whose name
    /// is the beginning of the value, so the value has the prefix then.
    pub(super) fn prefix(&self) -> Option<Prefix> {
        let name = if self.name.is_empty() { self.value } else { self.name };
        let has = |prefix: &str| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        if has("__Host-") {
            Some(Prefix::Host)
        } else if has("__Secure-") {
            Some(Prefix::Secure)
        } else {
            None
        }
    }
}

/// Compared without regard to case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    /// `__Host-`
    Host,
    /// `__Secure-`
    Secure,
}

fn split_at_equals(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let index = text.iter().position(|byte| *byte == b'=')?;
    Some((&text[..index], &text[index + 1..]))
}

/// Without spaces and tabs at the ends.
fn trim(text: &[u8]) -> &[u8] {
    // The text has no line breaks, which this would remove, too.
    text.trim_ascii()
}

/// A number of seconds: digits, possibly after a minus.
fn seconds(text: &[u8]) -> Option<Duration> {
    let negative = text.first() == Some(&b'-');
    let digits = if negative { &text[1..] } else { text };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if negative {
        return Some(Duration::ZERO);
    }
    // There are only digits, so a number that does not parse is too large.
    let seconds = std::str::from_utf8(digits).ok()?.parse().unwrap_or(i64::MAX);
    Some(Duration::seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> SetCookie<'_> {
        SetCookie::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"))
    }

    #[test]
    fn the_name_ends_at_the_first_equals_sign_and_may_be_absent() {
        for (text, name, value) in [
            ("a=b", "a", "b"),
            (" \ta\t = \tb ; c", "a", "b"),
            ("a=b=c=", "a", "b=c="),
            ("a==", "a", "="),
            ("a=", "a", ""),
            ("=b", "", "b"),
            ("b", "", "b"),
            (" \t=\tb c ", "", "b c"),
            ("==b", "", "=b"),
            ("=a=b", "", "a=b"),
            ("b; a=c", "", "b"),
            ("a b=c\td", "a b", "c\td"),
            ("a,b=c,d=e", "a,b", "c,d=e"),
            ("\"a\"=\"b;c\"", "\"a\"", "\"b"),
            ("a=\"b", "a", "\"b"),
            ("a=b%20c", "a", "b%20c"),
            ("a=\\\"", "a", "\\\""),
            ("\u{e4}=\u{2603}", "\u{e4}", "\u{2603}"),
        ] {
            let cookie = parse(text);
            assert_eq!(
                (cookie.name, cookie.value),
                (name.as_bytes(), value.as_bytes()),
                "{text:?}"
            );
        }
        let latin = SetCookie::parse(b"\xe4\xff=\x80\xa0; Path=/\xfc").unwrap();
        assert_eq!(
            (latin.name, latin.value, latin.path),
            (&b"\xe4\xff"[..], &b"\x80\xa0"[..], Some(&b"/\xfc"[..]))
        );
    }

    #[test]
    fn ignored_cookies() {
        for text in ["", " ", "=", "\t = \t", ";", "; a=b", "=; Path=/", ";="] {
            assert!(SetCookie::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        for byte in (0..=0x1f).chain([0x7f]).filter(|byte| *byte != b'\t') {
            for text in ["a?=b", "a=b?c", "?a=b", "a=b?", "a=b; Path=/?", "a=b; x=?"] {
                let bytes: Vec<u8> = text
                    .bytes()
                    .map(|found| if found == b'?' { byte } else { found })
                    .collect();
                assert!(SetCookie::parse(&bytes).is_err(), "{bytes:?}");
            }
        }
    }

    #[test]
    fn sizes_are_limited() {
        for (name, value, fits) in [
            (1, MAX_PAIR - 1, true),
            (1, MAX_PAIR, false),
            (MAX_PAIR, 0, true),
            (MAX_PAIR + 1, 0, false),
            (0, MAX_PAIR, true),
            (0, MAX_PAIR + 1, false),
        ] {
            let text = format!("{}  =  {}", "n".repeat(name), "v".repeat(value));
            assert_eq!(SetCookie::parse(text.as_bytes()).is_ok(), fits, "{name} and {value}");
        }
        let path = format!("/{}", "p".repeat(MAX_ATTRIBUTE - 1));
        let text = format!("a=b; Path= {path} ; Domain={}", "d".repeat(MAX_ATTRIBUTE + 1));
        let cookie = parse(&text);
        assert_eq!((cookie.path, cookie.domain), (Some(path.as_bytes()), &b""[..]));
        let text = format!(
            "a=b; Path=/first; Path={path}x; Max-Age={}5; Secure",
            "0".repeat(MAX_ATTRIBUTE)
        );
        let cookie = parse(&text);
        assert_eq!((cookie.path, cookie.max_age), (Some(&b"/first"[..]), None));
        assert!(cookie.secure, "the attributes after an ignored one are read");
    }

    #[test]
    fn the_last_attribute_counts() {
        let cookie = parse("a=b;PATH=/x;path = /y ;Domain=a.test; DOMAIN=.b.test;secure=no; ;=;HTTPONLY;Expires");
        assert_eq!((cookie.path, cookie.domain), (Some(&b"/y"[..]), &b"b.test"[..]));
        assert!(cookie.secure && cookie.http_only);
        let cookie = parse("a=b; Path=/x; Path=y; Domain=a.test; Domain=");
        assert_eq!((cookie.path, cookie.domain), (None, &b""[..]));
        let cookie = parse("a=b; xsecure; sécure; Secure-ish");
        assert!(!cookie.secure);
        let expires = |text| parse(text).expires;
        assert_eq!(
            expires("a=1; expires=x; EXPIRES = 1 Jan 2026 0:0:0; Path=/; expires=never"),
            date::parse(b"1 Jan 2026 00:00:00")
        );
        assert_eq!(
            expires("expires=1 Jan 2026 00:00:00; Path=/"),
            None,
            "the name of the cookie"
        );
    }

    #[test]
    fn max_age_is_a_number() {
        for (text, seconds) in [
            ("60", Some(60)),
            (" 060 ", Some(60)),
            ("0", Some(0)),
            ("-1", Some(0)),
            ("-0", Some(0)),
            ("99999999999999999999", Some(i64::MAX)),
            ("-99999999999999999999", Some(0)),
            ("", None),
            ("-", None),
            ("--1", None),
            ("+60", None),
            ("60s", None),
            ("6 0", None),
            ("60.0", None),
            ("1e3", None),
            ("0x3c", None),
            ("\"60\"", None),
            ("\u{666}", None),
        ] {
            let header = format!("a=b; Max-Age={text}");
            assert_eq!(parse(&header).max_age, seconds.map(Duration::seconds), "{text:?}");
        }
        assert_eq!(parse("a=b; Max-Age=5; Max-Age=x").max_age, Some(Duration::seconds(5)));
        assert_eq!(parse("a=b; Max-Age=5; max-age=-1").max_age, Some(Duration::ZERO));
    }

    #[test]
    fn prefixes_of_the_name_or_of_a_value_without_name() {
        for (text, prefix) in [
            ("__Host-a=b", Some(Prefix::Host)),
            ("__hOST-=b", Some(Prefix::Host)),
            ("__SECURE-a=b", Some(Prefix::Secure)),
            ("=__Secure-a", Some(Prefix::Secure)),
            ("__host-a", Some(Prefix::Host)),
            ("=__HOST-a=b", Some(Prefix::Host)),
            ("a=__Host-b", None),
            ("__Host=b", None),
            ("_Host-a=b", None),
        ] {
            assert_eq!(parse(text).prefix(), prefix, "{text}");
        }
    }
}
