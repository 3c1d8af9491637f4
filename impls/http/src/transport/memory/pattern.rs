//! Which URLs a route matches.

use std::collections::BTreeMap;

use matchit::{InsertError, Router};
use networking_spi::{NetworkError, Result};
use url::Url;

/// A path pattern, for one origin or for any.
///
/// Each pattern has its own router, because the last added route that matches is used, not the one with the most specific path.
#[derive(Debug)]
pub(super) struct Pattern {
    /// Scheme, host and port; `None`: any.
    origin: Option<url::Origin>,
    /// The value is the name of the parameter that is empty if this entry matches.
    router: Router<Option<String>>,
}

impl Pattern {
    /// Matches every URL.
    pub(super) fn any() -> Self {
        Self {
            origin: None,
            router: router("/{*path}").expect("the pattern is valid"),
        }
    }

    pub(super) fn parse(pattern: &str) -> Result<Self> {
        let invalid = |message| NetworkError::invalid_input("pattern", format!("{pattern:?} {message}"));
        match pattern
            .chars()
            .find(|at| matches!(at, '?' | '#' | ' ') || at.is_control())
        {
            Some('?') => {
                return Err(invalid(
                    "has a query, but routes match paths; look at the query in the responder",
                ));
            }
            Some('#') => return Err(invalid("has a fragment, which is not sent")),
            Some(_) => {
                return Err(invalid(
                    "has a space or control character, which paths have only percent-encoded",
                ));
            }
            None => {}
        }
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
        if !path.starts_with('/') {
            return Err(invalid("must start with / or a URL"));
        }
        let router = router(path).map_err(|error| invalid("is not a path pattern").with_source(error))?;
        Ok(Self { origin, router })
    }

    /// The parameters, if the URL matches.
    pub(super) fn matches(&self, url: &Url) -> Option<BTreeMap<String, String>> {
        if self.origin.as_ref().is_some_and(|origin| *origin != url.origin()) {
            return None;
        }
        let matched = self.router.at(url.path()).ok()?;
        let empty = matched.value.iter().map(|name| (name.clone(), String::new()));
        let params = matched
            .params
            .iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(params.chain(empty).collect())
    }
}

/// A router with one pattern. In `matchit`, `{*rest}` matches at least one character. Here it also matches an empty or absent
/// rest.
fn router(path: &str) -> Result<Router<Option<String>>, InsertError> {
    let mut router = Router::new();
    router.insert(path, None)?;
    if let Some((before, name)) = path.strip_suffix('}').and_then(|path| path.rsplit_once("/{*")) {
        router.insert(format!("{before}/"), Some(name.to_owned()))?;
        if !before.is_empty() {
            router.insert(before, Some(name.to_owned()))?;
        }
    }
    Ok(router)
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
    fn a_url_matches_only_its_host() {
        assert_eq!(matched("https://a.test/x", "https://a.test:443/x"), Some(vec![]));
        assert_eq!(matched("https://a.test/x", "http://a.test/x"), None);
        assert_eq!(matched("https://a.test", "https://a.test/"), Some(vec![]));
    }

    #[test]
    fn invalid_patterns_are_refused() {
        for pattern in [
            "users",
            "",
            "/{*rest}/x",
            "http://[bad/x",
            "/users?id=7",
            "https://a.test?id=7",
            "/users?",
            "/users#top",
            "https://a.test/users#",
            "/two words",
            " /users",
            "/users\n",
        ] {
            let error = Pattern::parse(pattern).unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidInput, Some("pattern")),
                "{pattern}"
            );
        }
    }
}
