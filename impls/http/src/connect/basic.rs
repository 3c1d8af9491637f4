//! Basic authentication (RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use networking_spi::http::ProxyConfig;
use url::Url;

/// The value of an `Authorization` header, marked sensitive.
pub(crate) fn credentials(username: &str, password: &str) -> HeaderValue {
    let pair = STANDARD.encode(format!("{username}:{password}"));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 fits into a header");
    value.set_sensitive(true);
    value
}

/// The header for the user information in the URL, if it has any.
pub(crate) fn of_url(url: &Url) -> Option<HeaderValue> {
    let (username, password) = in_url(url)?;
    Some(credentials(&username, &password))
}

/// User name and password for a proxy: from the configuration, or else from its URL.
pub(crate) fn of_proxy(proxy: &ProxyConfig) -> Option<(String, String)> {
    match &proxy.username {
        Some(username) => {
            let password = proxy.password.as_ref().map_or("", |password| password.expose());
            Some((username.clone(), password.to_owned()))
        }
        None => in_url(&proxy.url),
    }
}

fn in_url(url: &Url) -> Option<(String, String)> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    Some((decoded(url.username()), decoded(url.password().unwrap_or_default())))
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}
