//! Reading configurations from files, with errors that say what to change.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::error::{NetworkError, Result};
use crate::redact::REDACTED;

/// Reads a configuration from any format of serde.
///
/// Every configuration of the project refuses unknown keys, whichever way it is deserialized. This function also names the path
/// of the key and the key that was probably meant, in place of a list of all keys, and its errors never show the credentials
/// of a URL or an excerpt of the file.
///
/// ```
/// use networking_spi::config;
/// use networking_spi::http::RetryPolicy;
///
/// let mut json = serde_json::Deserializer::from_str(r#"{"max_retries": 3}"#);
/// let error = config::read::<RetryPolicy, _>(&mut json).unwrap_err();
/// assert_eq!(error.field(), Some("max_retries"));
/// assert!(error.to_string().contains("unknown key `max_retries`, did you mean `max_attempts`?"), "{error}");
/// ```
///
/// With other formats: `config::read(toml::Deserializer::parse(text)?)`, or the deserializer of a YAML crate. A `Value` of any
/// format is a deserializer, too.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the path of the key ([`NetworkError::field`]): `retry.max_retries`.
/// The values are not checked: a constructor or [`Validate`](crate::validate::Validate) does that.
pub fn read<'de, T, D>(deserializer: D) -> Result<T>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        explain(&path, &error.into_inner().to_string())
    })
}

/// [`read`] for JSON.
///
/// # Errors
/// As [`read`]. Text after the value is an error, too.
pub fn from_json<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = read(&mut json)?;
    json.end().map_err(|error| explain(ROOT, &error.to_string()))?;
    Ok(value)
}

/// The path of the whole value in `serde_path_to_error`, and the name of the field in errors about it.
const ROOT: &str = ".";
const WHOLE: &str = "config";

/// The error for the message of a format's deserializer. serde has no typed errors; the sentences are those of its default
/// `Error::unknown_field` and `Error::unknown_variant`, which all formats use.
fn explain(path: &str, message: &str) -> NetworkError {
    let place = Place::find(message);
    for (kind, word) in [("unknown field `", "key"), ("unknown variant `", "value")] {
        let Some((name, expected)) = message.split_once(kind).and_then(|(_, rest)| rest.split_once('`')) else {
            continue;
        };
        let expected = expected.lines().next().unwrap_or_default();
        // The names are between backticks.
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let field = match path {
            ROOT if word == "key" => name.to_owned(),
            ROOT => WHOLE.to_owned(),
            path if word == "value" || path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
            path => format!("{path}.{name}"),
        };
        let advice = match nearest(name, &known) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if known.is_empty() => "there are none here".to_owned(),
            None => format!("expected one of `{}`", known.join("`, `")),
        };
        return NetworkError::invalid_input(field, format!("unknown {word} `{name}`, {advice}{place}"));
    }
    let message = message.lines().rev().find(|line| !line.trim().is_empty());
    let message = without_credentials(message.unwrap_or("cannot be read"));
    let place = if message.contains(" column ") {
        Place(None)
    } else {
        place
    };
    let field = if path == ROOT { WHOLE } else { path };
    NetworkError::invalid_input(field, format!("{message}{place}"))
}

/// Line and column in the text, if the format reports them.
struct Place(Option<(usize, usize)>);

impl Place {
    fn find(message: &str) -> Self {
        let number = |text: &str| {
            let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
            text[..end].parse().ok()
        };
        // serde_json and YAML put the place at the end, TOML at the beginning of a message of several lines.
        let found = message.rsplit_once("at line ").and_then(|(_, rest)| {
            let (_, column) = rest.split_once("column ")?;
            Some((number(rest)?, number(column)?))
        });
        Self(found)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

/// Replaces the user information of URLs, which a format may quote.
fn without_credentials(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after
            .find(|char: char| char.is_whitespace() || matches!(char, '"' | '`' | '\''))
            .unwrap_or(after.len());
        rest = match after[..end].rfind('@') {
            Some(at) => {
                out.push_str(REDACTED);
                &after[at..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

/// The longest name that is compared: the work grows with its square.
const MAX_COMPARED: usize = 64;

/// Words that other libraries use for the same setting, and words that are no part of a name here.
const SYNONYMS: [(&str, &str); 13] = [
    ("retries", "attempts"),
    ("tries", "attempts"),
    ("ssl", "tls"),
    ("maximum", "max"),
    ("minimum", "min"),
    ("certs", "certificates"),
    ("cert", "certificates"),
    ("ca", "root"),
    ("seconds", ""),
    ("secs", ""),
    ("sec", ""),
    ("millis", ""),
    ("ms", ""),
];

/// The known name that differs least from `name`, among those that differ by at most a third of it, or in the second of two words.
fn nearest<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let wanted = words(name);
    known
        .iter()
        .map(|candidate| (distance(&wanted, &words(candidate)), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= (name.len().max(candidate.len()) / 3).max(1) || same_subject(&wanted, &words(candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether both names have at most two words, and the same first one.
fn same_subject(a: &[char], b: &[char]) -> bool {
    let split = |name: &[char]| {
        let mut words = name.split(|char| *char == '_').map(<[char]>::to_vec);
        (words.next(), words.nth(1).is_none())
    };
    let ((first, short), (other, other_short)) = (split(a), split(b));
    first == other && short && other_short && !a.is_empty()
}

/// The words of a name in `snake_case`, `kebab-case` or `camelCase`, in lower case, with synonyms replaced and joined by `_`.
fn words(name: &str) -> Vec<char> {
    let mut words = vec![String::new()];
    let mut after_lower = false;
    for char in name.chars() {
        let separator = matches!(char, '_' | '-' | '.' | ' ');
        if separator || (after_lower && char.is_uppercase()) {
            words.push(String::new());
        }
        after_lower = char.is_lowercase();
        if let (false, Some(word)) = (separator, words.last_mut()) {
            word.extend(char.to_lowercase());
        }
    }
    let words = words.iter().map(|word| {
        let synonym = SYNONYMS.iter().find(|(other, _)| other == word);
        synonym.map_or(word.as_str(), |(_, own)| own)
    });
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    words.join("_").chars().collect()
}

/// The number of insertions, deletions, substitutions and swaps of neighbours that turn one into the other (optimal string
/// alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut current = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let substituted = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            current[j] = substituted.min(previous[j] + 1).min(current[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                current[j] = current[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found() {
        let known = [
            "max_attempts",
            "verify_tls",
            "acks",
            "root_certificates",
            "timeout",
            "statuses",
        ];
        for (name, expected) in [
            ("max_retries", Some("max_attempts")),
            ("maxAttempts", Some("max_attempts")),
            ("max-attempts", Some("max_attempts")),
            ("MAX_ATTEMPTS", Some("max_attempts")),
            ("verify_ssl", Some("verify_tls")),
            ("verify_tsl", Some("verify_tls")),
            ("ack", Some("acks")),
            ("ca_certs", Some("root_certificates")),
            ("timeout_seconds", Some("timeout")),
            ("timeoot", Some("timeout")),
            ("status", Some("statuses")),
            ("root_file", Some("root_certificates")),
            ("retry_on_status_codes", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
        assert_eq!(nearest(&"max_attempts".repeat(10), &known), None);
        assert_eq!(nearest("acks", &[]), None);
    }

    #[test]
    fn the_distance_counts_a_swap_once() {
        let distance = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", "acb"), 1);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_quoted_url_loses_its_credentials() {
        for (message, expected) in [
            (
                r#"bad port: "http://bob:p@w@proxy:99999""#,
                r#"bad port: "http://[redacted]@proxy:99999""#,
            ),
            (
                "http://a:b@c and ftp://d@e",
                "http://[redacted]@c and ftp://[redacted]@e",
            ),
            ("http://c/ of bob@example.com", "http://c/ of bob@example.com"),
        ] {
            assert_eq!(without_credentials(message), expected);
        }
    }
}
