//! The addresses of the servers.

use std::path::PathBuf;

use serde::Deserialize;
use url::Url;

/// Set by `cargo xtask live http`.
const VARIABLE: &str = "NETWORKING_LIVE_HTTP";

/// The addresses of all servers, as `cargo xtask live http` sets them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Servers {
    pub(crate) httpbin: Url,
    /// httpbin behind nginx, with TLS and HTTP/2.
    pub(crate) nginx: Url,
    /// Serves files and echoes uploads, with HTTP/2 over TLS only.
    pub(crate) nghttpd: Url,
    /// The same without TLS.
    pub(crate) nghttpd_clear: Url,
    /// Responds with the marker and the body of each request, with HTTP/2 over TLS.
    pub(crate) load: Url,
    /// The log of the requests that it has processed.
    pub(crate) load_log: PathBuf,
    /// The program and arguments that make it reload its configuration.
    pub(crate) load_reload: Vec<String>,
    /// Refuses bodies of more than 1 KiB.
    pub(crate) load_limited: Url,
    /// The same without TLS.
    pub(crate) load_limited_clear: Url,
    /// nghttpd with a log of all frames.
    pub(crate) load_nghttpd: Url,
    pub(crate) load_nghttpd_log: PathBuf,
    /// The file for the results of the runs.
    pub(crate) load_rows: PathBuf,
    pub(crate) proxy: Url,
    pub(crate) proxy_auth: Url,
    pub(crate) socks: Url,
    pub(crate) socks_auth: Url,
    pub(crate) oauth2: Url,
    pub(crate) oidc: Url,
    pub(crate) websocket: Url,
    pub(crate) websocket_tls: Url,
    /// Nothing listens there.
    pub(crate) closed: Url,
    /// The user of the proxies that require credentials.
    pub(crate) user: String,
    pub(crate) password: String,
    /// A PEM file with the root certificate of the servers with TLS.
    authority: PathBuf,
}

impl Servers {
    /// `None` if the servers were not started.
    pub(crate) fn from_environment() -> Result<Option<Self>, String> {
        let Ok(json) = std::env::var(VARIABLE) else {
            return Ok(None);
        };
        serde_json::from_str(&json)
            .map(Some)
            .map_err(|error| format!("{VARIABLE} is not what cargo xtask live http sets: {error}"))
    }

    pub(crate) fn authority(&self) -> String {
        std::fs::read_to_string(&self.authority).expect("the command wrote it")
    }
}
