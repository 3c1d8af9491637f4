//! Basic authentication (RFC 7617).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use networking_spi::http::ProxyConfig;
use percent_encoding::percent_decode_str;
use url::Url;

/// The value of an `Authorization` header, marked sensitive.
pub(crate) fn credentials(username: &str, password: &str) -> HeaderValue {
    encoded(username.as_bytes(), password.as_bytes())
}

/// Removes the user information of a URL.
pub(crate) fn remove_from_url(url: &mut Url) {
    if has_user_information(url) {
        // Neither fails for a URL that has user information.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
}

fn has_user_information(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

fn encoded(username: &[u8], password: &[u8]) -> HeaderValue {
    let pair = STANDARD.encode([username, b":", password].concat());
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).expect("base64 fits into a header");
    value.set_sensitive(true);
    value
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
    has_user_information(url).then(|| (decoded(url.username()), decoded(url.password().unwrap_or_default())))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
