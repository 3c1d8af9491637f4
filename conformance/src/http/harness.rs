//! The harness of an HTTP backend.

use std::sync::Arc;

use networking_spi::http::{HttpCapabilities, HttpClient, HttpExtended, HttpExtendedCapabilities};

use super::Origin;
use super::patient::PatientClient;
use crate::kit::{Applies, Failure, Harness};

/// An HTTP backend under test.
///
/// ```
/// use std::sync::Arc;
/// use networking_conformance::Harness;
/// use networking_conformance::http::{HttpHarness, HttpSubject, Origin};
/// use networking_spi::http::{HttpCapabilities, HttpClient};
///
/// struct MyHarness(fn() -> Arc<dyn HttpClient>);
///
/// impl Harness for MyHarness {
///     fn backend(&self) -> &'static str {
///         "my-backend"
///     }
/// }
///
/// impl HttpHarness for MyHarness {
///     fn capabilities(&self) -> &'static HttpCapabilities {
///         const { &HttpCapabilities::none() }
///     }
///
///     fn subject(&self, _origin: &Origin) -> HttpSubject {
///         HttpSubject::new((self.0)())
///     }
/// }
/// ```
pub trait HttpHarness: Harness {
    /// What the author of the client knows that it supports. The cases of other capabilities are reported as unsupported.
    ///
    /// Write the list out as a constant, and do not ask the client. A case compares the list with what the client says, and
    /// each capability of the list has a case that uses it: a client that loses a feature then fails, in place of passing
    /// with fewer cases.
    ///
    /// ```
    /// use networking_spi::http::HttpCapabilities;
    ///
    /// const SUPPORTED: HttpCapabilities = {
    ///     let mut supported = HttpCapabilities::none();
    ///     supported.timeout = true;
    ///     supported.streaming_download = true;
    ///     supported
    /// };
    /// # let harness = || -> &'static HttpCapabilities { &SUPPORTED };
    /// # harness();
    /// ```
    fn capabilities(&self) -> &'static HttpCapabilities;

    /// The extended operations that the author knows to work, as for [`capabilities`](Self::capabilities); `None` if the
    /// clients do not implement [`HttpExtended`]. A `LazyLock` holds a list with codings.
    fn extended_capabilities(&self) -> Option<&'static HttpExtendedCapabilities> {
        None
    }

    /// Whether the clients use sockets. Otherwise cases about connections are skipped.
    fn network(&self) -> bool {
        true
    }

    /// How the clients verify the certificates of servers. By default they must trust
    /// [`Origin::root_certificate`].
    fn tls(&self) -> Tls {
        Tls::TrustsOrigin
    }

    /// A fresh client. By default it does not retry, statuses are not errors, and it has no cookies. With the capability
    /// `base_url`, its base URL is the [origin's](Origin::base_url). It trusts the
    /// [certificate of the origin's authority](Origin::root_certificate), unless [`tls`](Self::tls) says otherwise. With the
    /// extended capability `jwt`, it verifies tokens with HS256 and [`Origin::token_secret`] alone. Without
    /// [`network`](Self::network), it passes requests to [`Origin::answer`].
    fn subject(&self, origin: &Origin) -> HttpSubject;
}

/// How the clients of a harness verify the certificates of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tls {
    /// They trust [`Origin::root_certificate`].
    TrustsOrigin,
    /// The harness cannot make them trust it, for this reason. Cases that need a trusted certificate are skipped.
    FixedRoots(&'static str),
    /// They do not support TLS. All cases of TLS are skipped.
    Unsupported,
}

/// A client under test.
#[derive(Debug)]
#[non_exhaustive]
pub struct HttpSubject {
    /// The client.
    pub client: Arc<dyn HttpClient>,
    /// The extended operations of the same client.
    pub extended: Option<Arc<dyn HttpExtended>>,
}

impl HttpSubject {
    /// A client without extended operations.
    pub fn new(client: Arc<dyn HttpClient>) -> Self {
        Self { client, extended: None }
    }

    /// A client with extended operations.
    pub fn extended<C: HttpClient + HttpExtended>(client: Arc<C>) -> Self {
        Self {
            client: Arc::clone(&client) as _,
            extended: Some(client),
        }
    }
}

const NO_EXTENDED: &str = "the harness declares extended capabilities, but its subject has none";

/// An origin and a fresh client for it.
pub(super) struct Setup {
    pub(super) origin: Origin,
    pub(super) client: Arc<dyn HttpClient>,
}

pub(super) async fn set_up(harness: &Arc<dyn HttpHarness>) -> Result<Setup, Failure> {
    let origin = Origin::start(harness.network()).await?;
    let client = PatientClient::new(harness.subject(&origin).client, harness.patience());
    Ok(Setup {
        origin,
        client: Arc::new(client),
    })
}

pub(super) async fn set_up_extended(
    harness: &Arc<dyn HttpHarness>,
) -> Result<(Origin, Arc<dyn HttpExtended>), Failure> {
    let (setup, extended) = set_up_both(harness).await?;
    Ok((setup.origin, extended))
}

/// An origin, and a fresh client with its extended operations.
pub(super) async fn set_up_both(harness: &Arc<dyn HttpHarness>) -> Result<(Setup, Arc<dyn HttpExtended>), Failure> {
    let origin = Origin::start(harness.network()).await?;
    let HttpSubject { client, extended } = harness.subject(&origin);
    let extended = extended.ok_or_else(|| Failure::new(NO_EXTENDED))?;
    Ok((Setup { origin, client }, extended))
}

/// Conditions of cases: one function per capability, and per condition that the harness must produce.
pub(super) mod when {
    use networking_spi::http::HttpExtendedCapabilities;

    use super::{Applies, HttpHarness, Tls};

    macro_rules! capabilities {
        ($($name:ident),+ $(,)?) => {$(
            pub(in crate::http) fn $name(harness: &dyn HttpHarness) -> Applies {
                Applies::capability(harness.capabilities().$name, stringify!($name))
            }
        )+};
    }

    capabilities!(
        base_url,
        timeout,
        attempt_timeout,
        total_timeout,
        retry,
        circuit_breaker,
        metrics,
        streaming_upload,
        streaming_download,
        redirect_control,
        response_size_limit,
        raise_for_status,
        decompression,
        trailers,
    );

    fn declared_per_request_tls(harness: &dyn HttpHarness) -> Applies {
        Applies::capability(harness.capabilities().per_request_tls, "per_request_tls")
    }

    fn declared_http2(harness: &dyn HttpHarness) -> Applies {
        Applies::capability(harness.capabilities().http2, "http2")
    }

    fn declared_per_request_proxy(harness: &dyn HttpHarness) -> Applies {
        Applies::capability(harness.capabilities().per_request_proxy, "per_request_proxy")
    }

    pub(in crate::http) fn network(harness: &dyn HttpHarness) -> Applies {
        Applies::environment(harness.network(), "the backend uses no sockets")
    }

    pub(in crate::http) fn tls(harness: &dyn HttpHarness) -> Applies {
        let supported = harness.tls() != Tls::Unsupported;
        network(harness).and(Applies::environment(supported, "the backend does not support TLS"))
    }

    pub(in crate::http) fn trust(harness: &dyn HttpHarness) -> Applies {
        match harness.tls() {
            Tls::FixedRoots(reason) => tls(harness).and(Applies::Skipped(reason)),
            _ => tls(harness),
        }
    }

    pub(in crate::http) fn per_request_tls(harness: &dyn HttpHarness) -> Applies {
        declared_per_request_tls(harness).and(tls(harness))
    }

    pub(in crate::http) fn http2(harness: &dyn HttpHarness) -> Applies {
        declared_http2(harness).and(trust(harness))
    }

    /// The environment of the process has a proxy where nothing listens, and no host is excepted.
    pub(in crate::http) fn proxy_in_environment(harness: &dyn HttpHarness) -> Applies {
        network(harness).and(Applies::variables(&[
            ("HTTP_PROXY", "http://127.0.0.1:9/"),
            ("http_proxy", "http://127.0.0.1:9/"),
            ("NO_PROXY", ""),
            ("no_proxy", ""),
        ]))
    }

    pub(in crate::http) fn per_request_proxy(harness: &dyn HttpHarness) -> Applies {
        declared_per_request_proxy(harness).and(network(harness))
    }

    /// One of the time limits is declared.
    pub(in crate::http) fn any_timeout(harness: &dyn HttpHarness) -> Applies {
        let declared = harness.capabilities();
        let any = declared.timeout || declared.attempt_timeout || declared.total_timeout;
        Applies::capability(any, "timeout")
    }

    pub(in crate::http) fn total_timeout_and_retry(harness: &dyn HttpHarness) -> Applies {
        total_timeout(harness).and(retry(harness))
    }

    pub(in crate::http) fn circuit_breaker_and_limits(harness: &dyn HttpHarness) -> Applies {
        let declared = harness.capabilities();
        circuit_breaker(harness).and(Applies::capability(
            declared.redirect_control || declared.response_size_limit,
            "redirect_control or response_size_limit",
        ))
    }

    pub(in crate::http) fn timeout_and_streaming(harness: &dyn HttpHarness) -> Applies {
        timeout(harness).and(streaming_download(harness))
    }

    pub(in crate::http) fn total_timeout_and_streaming(harness: &dyn HttpHarness) -> Applies {
        total_timeout(harness).and(timeout_and_streaming(harness))
    }

    pub(in crate::http) fn attempt_timeout_and_streaming(harness: &dyn HttpHarness) -> Applies {
        attempt_timeout(harness).and(streaming_download(harness))
    }

    pub(in crate::http) fn network_retry(harness: &dyn HttpHarness) -> Applies {
        network(harness).and(retry(harness))
    }

    pub(in crate::http) fn network_redirects(harness: &dyn HttpHarness) -> Applies {
        network(harness).and(redirect_control(harness))
    }

    pub(in crate::http) fn network_upload(harness: &dyn HttpHarness) -> Applies {
        network(harness).and(streaming_upload(harness))
    }

    pub(in crate::http) fn network_download(harness: &dyn HttpHarness) -> Applies {
        network(harness).and(streaming_download(harness))
    }

    pub(in crate::http) fn retry_and_circuit_breaker(harness: &dyn HttpHarness) -> Applies {
        retry(harness).and(circuit_breaker(harness))
    }

    pub(in crate::http) fn network_metrics(harness: &dyn HttpHarness) -> Applies {
        network(harness).and(metrics(harness))
    }

    pub(in crate::http) fn metrics_and_retry(harness: &dyn HttpHarness) -> Applies {
        metrics(harness).and(retry(harness))
    }

    pub(in crate::http) fn extended(harness: &dyn HttpHarness) -> Applies {
        Applies::capability(harness.extended_capabilities().is_some(), "extended")
    }

    fn operation(harness: &dyn HttpHarness, name: &'static str, is: fn(&HttpExtendedCapabilities) -> bool) -> Applies {
        Applies::capability(harness.extended_capabilities().is_some_and(is), name)
    }

    pub(in crate::http) fn extended_streaming(harness: &dyn HttpHarness) -> Applies {
        operation(harness, "streaming", |declared| declared.streaming)
    }

    pub(in crate::http) fn extended_jwt(harness: &dyn HttpHarness) -> Applies {
        operation(harness, "jwt", |declared| declared.jwt)
    }

    pub(in crate::http) fn extended_oauth2(harness: &dyn HttpHarness) -> Applies {
        operation(harness, "oauth2", |declared| declared.oauth2)
    }

    pub(in crate::http) fn extended_compression(harness: &dyn HttpHarness) -> Applies {
        operation(harness, "compression", |declared| !declared.compression.is_empty())
    }

    pub(in crate::http) fn extended_websocket(harness: &dyn HttpHarness) -> Applies {
        operation(harness, "websocket", |declared| declared.websocket).and(network(harness))
    }

    pub(in crate::http) fn extended_websocket_compression(harness: &dyn HttpHarness) -> Applies {
        let compression = operation(harness, "websocket_compression", |declared| {
            declared.websocket_compression
        });
        extended_websocket(harness).and(compression)
    }

    pub(in crate::http) fn extended_pool_stats(harness: &dyn HttpHarness) -> Applies {
        operation(harness, "pool_stats", |declared| declared.pool_stats).and(network(harness))
    }
}
