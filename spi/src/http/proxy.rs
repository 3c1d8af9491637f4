//! Proxies of requests, made of text.

use url::Url;

use super::ProxyConfig;
use super::target;
use crate::error::{NetworkError, Result};
use crate::validate;

impl TryFrom<&str> for ProxyConfig {
    type Error = NetworkError;

    /// A proxy at this URL. Its credentials may be in the URL.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `proxy.url`. The message has no credentials.
    fn try_from(text: &str) -> Result<Self> {
        let url = Url::parse(text).map_err(|error| target::invalid(text, error).in_field("proxy"))?;
        let proxy = Self::new(url);
        validate::nested(&proxy, "proxy")?;
        Ok(proxy)
    }
}

impl TryFrom<String> for ProxyConfig {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self> {
        text.as_str().try_into()
    }
}

impl TryFrom<&String> for ProxyConfig {
    type Error = NetworkError;

    fn try_from(text: &String) -> Result<Self> {
        text.as_str().try_into()
    }
}

impl From<Url> for ProxyConfig {
    fn from(url: Url) -> Self {
        Self::new(url)
    }
}

impl From<&Url> for ProxyConfig {
    fn from(url: &Url) -> Self {
        Self::new(url.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_made_of_text_and_its_errors_show_no_credentials() {
        let proxy = ProxyConfig::try_from("http://ada:hunter2@proxy.example.com:8080").unwrap();
        assert_eq!(proxy.url.port(), Some(8080));
        for text in [
            "http://ada:hunter2@proxy.example.com:99999",
            "ada:hunter2@proxy.example.com",
            "ftp://ada:hunter2@proxy.example.com",
            "/hunter2@x?hunter2",
            "",
        ] {
            let error = ProxyConfig::try_from(text).unwrap_err();
            assert_eq!(error.field(), Some("proxy.url"), "{text}");
        }
        let error = ProxyConfig::try_from("http://ada:hunter2@proxy.example.com:99999").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
