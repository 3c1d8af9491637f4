//! Proxies from the environment of the process.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use networking_spi::http::ProxyConfig;
use networking_spi::validate::Validate;
use networking_spi::{NetworkError, Result};
use url::Url;

use super::basic;
use super::no_proxy::NoProxy;

/// What the variables say.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) all: Option<ProxyConfig>,
    pub(super) http: Option<ProxyConfig>,
    pub(super) https: Option<ProxyConfig>,
    pub(super) no_proxy: NoProxy,
}

impl Environment {
    /// Reads the variables.
    ///
    /// # Errors
    /// `InvalidInput` whose field is the name of the variable.
    pub(super) fn read<N: AsRef<OsStr>, V: AsRef<OsStr>>(variables: impl IntoIterator<Item = (N, V)>) -> Result<Self> {
        let variables = Variables::new(variables);
        // A CGI program finds the header `Proxy` of its request, which anybody can send, as `HTTP_PROXY`.
        let in_cgi = variables.0.contains_key(CGI);
        let http: &[&str] = if in_cgi {
            &["http_proxy"]
        } else {
            &["http_proxy", "HTTP_PROXY"]
        };
        let no_proxy = match variables.first(&["no_proxy", "NO_PROXY"])? {
            Some((name, text)) => text.parse::<NoProxy>().map_err(|error| wrong(name, error.message()))?,
            None => NoProxy::new(),
        };
        Ok(Self {
            all: variables.proxy(&["all_proxy", "ALL_PROXY"])?,
            http: variables.proxy(http)?,
            https: variables.proxy(&["https_proxy", "HTTPS_PROXY"])?,
            no_proxy,
        })
    }
}

/// Set in every CGI program (RFC 3875, section 4.1.12).
const CGI: &str = "REQUEST_METHOD";

const NAMES: [&str; 9] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    CGI,
];

/// The variables that matter.
struct Variables(BTreeMap<&'static str, OsString>);

impl Variables {
    fn new<N: AsRef<OsStr>, V: AsRef<OsStr>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let known = |(name, value): (N, V)| {
            let name = NAMES.into_iter().find(|known| name.as_ref() == OsStr::new(known))?;
            Some((name, value.as_ref().to_owned()))
        };
        Self(variables.into_iter().filter_map(known).collect())
    }

    /// The first of these variables that is set and not blank.
    fn first(&self, names: &[&'static str]) -> Result<Option<(&'static str, &str)>> {
        for name in names.iter().copied() {
            let Some(value) = self.0.get(name) else { continue };
            let text = value.to_str().ok_or_else(|| wrong(name, "is not UTF-8"))?.trim();
            if !text.is_empty() {
                return Ok(Some((name, text)));
            }
        }
        Ok(None)
    }

    fn proxy(&self, names: &[&'static str]) -> Result<Option<ProxyConfig>> {
        self.first(names)?
            .map(|(name, text)| proxy(text).map_err(|reason| wrong(name, reason)))
            .transpose()
    }
}

fn wrong(variable: &str, reason: impl Into<String>) -> NetworkError {
    NetworkError::invalid_input(variable, reason.into())
}

/// A proxy as a variable spells it: a URL, or `host:port` for an HTTP proxy. The errors do not show it, because it may contain a
/// password.
fn proxy(text: &str) -> Result<ProxyConfig, String> {
    if text.chars().any(|char| char.is_control() || char.is_whitespace()) {
        return Err("must not have spaces or control characters".to_owned());
    }
    let parsed = if text.contains("://") {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    let mut url = parsed.map_err(|error| format!("is not the URL of a proxy: {error}"))?;
    // A `/`, `?` or `#` in a password ends the host, so that the host would be the user name.
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(
            "must not have a path, query or fragment: percent-encode `/`, `?` and `#` in a password".to_owned(),
        );
    }
    let mut proxy = ProxyConfig::new(url.clone());
    proxy.validate().map_err(|error| error.message().to_owned())?;
    if let Some((username, password)) = basic::of_proxy(&proxy) {
        basic::remove_from_url(&mut url);
        proxy = ProxyConfig::new(url).with_credentials(username, password);
    }
    Ok(proxy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Environment {
        Environment::read(variables.iter().copied()).unwrap()
    }

    fn urls(environment: &Environment) -> [Option<&str>; 3] {
        let Environment { all, http, https, .. } = environment;
        [all, http, https].map(|proxy| proxy.as_ref().map(|proxy| proxy.url.as_str()))
    }

    #[test]
    fn each_variable_has_its_scheme_and_lower_case_comes_first() {
        type Row = (&'static [(&'static str, &'static str)], [Option<&'static str>; 3]);

        let rows: &[Row] = &[
            (&[], [None, None, None]),
            (&[("HTTP_PROXY", "http://a:1")], [None, Some("http://a:1/"), None]),
            (
                &[("http_proxy", "http://a:1"), ("HTTP_PROXY", "http://b:1")],
                [None, Some("http://a:1/"), None],
            ),
            (
                &[("https_proxy", "http://a:1"), ("HTTPS_PROXY", "b")],
                [None, None, Some("http://a:1/")],
            ),
            (
                &[("ALL_PROXY", "socks5h://a:1080")],
                [Some("socks5h://a:1080"), None, None],
            ),
            (&[("all_proxy", "https://a")], [Some("https://a/"), None, None]),
            (
                &[("https_proxy", " "), ("HTTPS_PROXY", " b:3128 ")],
                [None, None, Some("http://b:3128/")],
            ),
            (&[("HTTP_PROXY", "")], [None, None, None]),
            (
                &[("Http_Proxy", "http://a:1"), ("FTP_PROXY", "x y")],
                [None, None, None],
            ),
            (
                &[("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "http://evil.test")],
                [None, None, None],
            ),
            (
                &[
                    ("REQUEST_METHOD", ""),
                    ("HTTP_PROXY", "e"),
                    ("http_proxy", "a"),
                    ("HTTPS_PROXY", "b"),
                ],
                [None, Some("http://a/"), Some("http://b/")],
            ),
        ];
        for (variables, expected) in rows {
            assert_eq!(urls(&read(variables)), *expected, "{variables:?}");
        }
    }

    #[test]
    fn credentials_leave_the_url() {
        for (text, username, password) in [
            ("http://bob:p%40ss@a:1", "bob", "p@ss"),
            ("bob:pass@a:1", "bob", "pass"),
            ("http://token@a:1", "token", ""),
            ("http://bob:p@ss@a:1", "bob", "p@ss"),
            ("http://:pass@a:1", "", "pass"),
        ] {
            let proxy = read(&[("HTTPS_PROXY", text)]).https.unwrap();
            assert_eq!(proxy.url.as_str(), "http://a:1/", "{text}");
            assert_eq!(proxy.username.as_deref(), Some(username), "{text}");
            assert_eq!(proxy.password.unwrap().expose(), password, "{text}");
        }
    }

    #[test]
    fn a_wrong_value_names_its_variable_and_shows_no_password() {
        for (name, text, expected) in [
            (
                "HTTPS_PROXY",
                "http://bob:hunter2@a:99999",
                "is not the URL of a proxy: invalid port number",
            ),
            (
                "https_proxy",
                "http://bob:hun/ter2@a",
                "is not the URL of a proxy: invalid port number",
            ),
            ("ALL_PROXY", "http://bob:12/hunter2@a:1", "must not have a path"),
            ("ALL_PROXY", "http://bob:12#hunter2@a:1", "must not have a path"),
            ("ALL_PROXY", "http://a/proxy.pac", "must not have a path"),
            (
                "http_proxy",
                "ftp://bob:hunter2@a",
                "must be an http, https, socks5 or socks5h URL",
            ),
            (
                "http_proxy",
                "socks4://bob:hunter2@a",
                "must be an http, https, socks5 or socks5h URL",
            ),
            ("HTTP_PROXY", "http://", "is not the URL of a proxy: empty host"),
            ("HTTP_PROXY", "socks5://", "must have a host"),
            ("HTTP_PROXY", "http://a b", "must not have spaces"),
            ("NO_PROXY", "a.test,10.0.0.0/64", "10.0.0.0/64 is not a network"),
            ("no_proxy", "bob:hunter2@a.test", "an entry that "),
        ] {
            let error = Environment::read([(name, text)]).err().unwrap();
            assert_eq!(error.field(), Some(name), "{text}");
            assert!(error.message().starts_with(expected), "{text}: {error}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_text_is_an_error() {
        use std::os::unix::ffi::OsStrExt;

        let wrong = OsStr::from_bytes(b"http://\xff");
        let error = Environment::read([(OsStr::new("ALL_PROXY"), wrong)]).err().unwrap();
        assert_eq!((error.field(), error.message()), (Some("ALL_PROXY"), "is not UTF-8"));
        assert!(Environment::read([(OsStr::new("OTHER"), wrong)]).is_ok());
    }
}
