//! Which URLs a route takes.

use std::collections::BTreeMap;

use networking_spi::{NetworkError, Result};
use url::Url;

/// A path pattern, on one origin or any.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Scheme, host and port; `None`: any.
    origin: Option<url::Origin>,
    segments: Vec<Segment>,
}

#[derive(Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// `{name}`: one segment that is not empty.
    Param(String),
    /// `{*name}`, only at the end: the rest of the path, possibly empty.
    Rest(String),
}

impl Pattern {
    pub(super) fn any() -> Self {
        Self {
            origin: None,
            segments: vec![Segment::Rest("path".to_owned())],
        }
    }

    pub(super) fn parse(pattern: &str) -> Result<Self> {
        let invalid = |message| NetworkError::invalid_input("pattern", format!("{pattern:?} {message}"));
        let (origin, path) = match pattern.split_once("://") {
            None => (None, pattern),
            Some((_, rest)) => {
                let start = rest
                    .find('/')
                    .map_or(pattern.len(), |slash| pattern.len() - rest.len() + slash);
                let url = Url::parse(&pattern[..start]).map_err(|_| invalid("does not start with a URL"))?;
                (Some(url.origin()), &pattern[start..])
            }
        };
        let path = match (path, &origin) {
            ("", Some(_)) => "/",
            _ => path,
        };
        let Some(path) = path.strip_prefix('/') else {
            return Err(invalid("must start with / or a URL"));
        };
        let segments: Vec<Segment> = path.split('/').map(segment).collect();
        if segments
            .iter()
            .rev()
            .skip(1)
            .any(|segment| matches!(segment, Segment::Rest(_)))
        {
            return Err(invalid("has {*...} before its end"));
        }
        Ok(Self { origin, segments })
    }

    /// The parameters, if the URL matches.
    pub(super) fn matches(&self, url: &Url) -> Option<BTreeMap<String, String>> {
        if self.origin.as_ref().is_some_and(|origin| *origin != url.origin()) {
            return None;
        }
        let mut params = BTreeMap::new();
        let mut rest = url.path().strip_prefix('/')?;
        let mut ended = false;
        for segment in &self.segments {
            if let Segment::Rest(name) = segment {
                params.insert(name.clone(), rest.to_owned());
                return Some(params);
            }
            if ended {
                return None;
            }
            let (part, after) = rest.split_once('/').unwrap_or_else(|| {
                ended = true;
                (rest, "")
            });
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Param(name) if !part.is_empty() => {
                    params.insert(name.clone(), part.to_owned());
                }
                _ => return None,
            }
            rest = after;
        }
        ended.then_some(params)
    }
}

fn segment(text: &str) -> Segment {
    match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
        Some(name) => match name.strip_prefix('*') {
            Some(name) => Segment::Rest(name.to_owned()),
            None => Segment::Param(name.to_owned()),
        },
        None => Segment::Literal(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::ErrorKind;

    use super::*;

    fn matched(pattern: &str, url: &str) -> Option<Vec<String>> {
        let params = Pattern::parse(pattern).unwrap().matches(&url.parse().unwrap())?;
        Some(
            params
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        )
    }

    #[test]
    fn paths_match_segment_by_segment() {
        assert_eq!(
            matched("/users/{id}", "http://a.test/users/7?x=1"),
            Some(vec!["id=7".to_owned()])
        );
        assert_eq!(matched("/users/{id}", "http://a.test/users/"), None);
        assert_eq!(matched("/users/{id}", "http://a.test/users/7/posts"), None);
        assert_eq!(matched("/users", "http://a.test/users/"), None);
        assert_eq!(matched("/", "http://a.test"), Some(vec![]));
        assert_eq!(
            matched("/files/{*path}", "http://a.test/files/a/b"),
            Some(vec!["path=a/b".to_owned()])
        );
        assert_eq!(
            matched("/files/{*path}", "http://a.test/files"),
            Some(vec!["path=".to_owned()])
        );
    }

    #[test]
    fn a_url_pins_the_host() {
        assert_eq!(matched("https://a.test/x", "https://a.test:443/x"), Some(vec![]));
        assert_eq!(matched("https://a.test/x", "http://a.test/x"), None);
        assert_eq!(matched("https://a.test", "https://a.test/"), Some(vec![]));
    }

    #[test]
    fn bad_patterns_are_named() {
        for pattern in ["users", "", "/{*rest}/x", "http://[bad/x"] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidInput, Some("pattern")),
                "{pattern}"
            );
        }
    }
}
