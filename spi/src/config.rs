//! Reading configurations from files, with errors that say what to change.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::error::{NetworkError, Result};
use crate::redact::REDACTED;

/// Reads a configuration from any format of serde.
///
/// Every configuration of the project refuses unknown keys, whichever way it is deserialized. This function also names the path
/// of the key and the key that was probably meant, in place of a list of all keys. Its errors never show a value of a wrong type,
/// the credentials of a URL, or an excerpt of the file: they may be secrets.
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
/// format is a deserializer, too. The error of a parser for text that is not valid in its format may quote the line, such as that of
/// `toml`: do not log its `Display`.
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
    // The path of a text that ends too early is unknown.
    let path = path.trim_end_matches(".?");
    let path = if path == "?" { ROOT } else { path };
    let place = Place::find(message);
    for (kind, word) in [
        ("unknown field `", "key"),
        ("unknown variant `", "value"),
        ("missing field `", "missing"),
    ] {
        let Some((name, expected)) = message.split_once(kind).and_then(|(_, rest)| rest.split_once('`')) else {
            continue;
        };
        let below = match path {
            ROOT => name.to_owned(),
            path if path == name || path.ends_with(&format!(".{name}")) => path.to_owned(),
            path => format!("{path}.{name}"),
        };
        if word == "missing" {
            // Our own texts go on after the name.
            let details = without_place(expected.lines().next().unwrap_or_default());
            let what = if details.is_empty() {
                "is missing".to_owned()
            } else {
                format!("missing field `{name}`{details}")
            };
            return NetworkError::invalid_input(below, format!("{what}{place}"));
        }
        let expected = expected.lines().next().unwrap_or_default();
        // The names are between backticks.
        let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
        let field = match path {
            _ if word == "key" => below,
            ROOT => WHOLE.to_owned(),
            path => path.to_owned(),
        };
        let problem = match nearest(name, &known) {
            Some(nearest) => format!("unknown {word} `{name}`, did you mean `{nearest}`?"),
            None if known.is_empty() => format!("unknown {word} `{name}`, there are none here"),
            // A value that resembles no known one may be a secret in the wrong place.
            None if word == "value" => format!("unknown value, expected one of `{}`", known.join("`, `")),
            None => format!("unknown {word} `{name}`, expected one of `{}`", known.join("`, `")),
        };
        return NetworkError::invalid_input(field, format!("{problem}{place}"));
    }
    let field = if path == ROOT { WHOLE } else { path };
    if let Some(problem) = wrong_value(message) {
        return NetworkError::invalid_input(field, format!("{problem}{place}"));
    }
    let message = message.lines().rev().find(|line| !line.trim().is_empty());
    let message = without_credentials(without_place(message.unwrap_or("cannot be read")));
    NetworkError::invalid_input(field, format!("{message}{place}"))
}

/// The problem of a value that serde refuses, without the value, which may be a secret: serde's sentences are
/// `invalid type: string "hunter2", expected u32` and `invalid value: ...`.
fn wrong_value(message: &str) -> Option<String> {
    let (_, rest) = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|kind| message.split_once(kind))?;
    // The value may contain the word.
    let (found, expected) = rest.rsplit_once(", expected ")?;
    let found = match found.split_whitespace().next()? {
        "string" | "character" => "a text",
        "integer" | "floating" => "a number",
        "boolean" => "true or false",
        "sequence" => "a list",
        "map" => "an object",
        "null" | "unit" | "Option" => "nothing",
        _ => "another value",
    };
    let expected = without_place(expected.lines().next().unwrap_or_default());
    Some(format!("must be {}, not {found}", described(expected)))
}

/// What serde expected, in the words of a file.
fn described(expected: &str) -> Cow<'_, str> {
    match expected {
        "a duration" => "a time with its unit, such as `30s` or `1m 30s`".into(),
        "a string" | "string" => "a text".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        "a map" | "string or map" => "an object".into(),
        "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" => "a whole number in its range".into(),
        "f32" | "f64" => "a number".into(),
        other
            if ["struct ", "struct variant ", "enum ", "internally tagged enum "]
                .iter()
                .any(|kind| other.starts_with(kind)) =>
        {
            "an object with its settings".into()
        }
        other => other.into(),
    }
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

/// The message without its place, which [`Place`] writes.
fn without_place(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message)
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
const SYNONYMS: [(&str, &str); 14] = [
    ("retries", "attempts"),
    ("tries", "attempts"),
    ("ssl", "tls"),
    ("maximum", ""),
    ("max", ""),
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
        .filter(|(_, candidate)| {
            let candidate = words(candidate);
            is_misspelt(&wanted, &candidate) || same_subject(&wanted, &candidate) || ends_with(&candidate, &wanted)
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether the names differ by typing mistakes. With the same number of words, each word must be similar: `read_timeout` is not a
/// misspelt `total_timeout`.
fn is_misspelt(a: &[char], b: &[char]) -> bool {
    let similar = |a: &[char], b: &[char]| distance(a, b) <= (a.len().max(b.len()) / 3).max(1);
    let is_separator = |char: &char| *char == '_';
    let words = |name: &[char]| name.split(is_separator).count();
    if words(a) != words(b) {
        return similar(a, b);
    }
    a.split(is_separator)
        .zip(b.split(is_separator))
        .all(|(a, b)| similar(a, b))
}

/// Whether the last words of `name` are `end`: `default_headers` for `headers`.
fn ends_with(name: &[char], end: &[char]) -> bool {
    !end.is_empty() && name.strip_suffix(end).is_some_and(|rest| rest.ends_with(&['_']))
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
            ("attempts", Some("max_attempts")),
            ("maximum_attempts", Some("max_attempts")),
            ("max", None),
            ("verifies", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
        assert_eq!(nearest(&"max_attempts".repeat(10), &known), None);
        assert_eq!(nearest("read_timeout", &["total_timeout", "connect_timeout"]), None);
        assert_eq!(
            nearest("total_time", &["read_timeout", "total_timeout"]),
            Some("total_timeout")
        );
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
