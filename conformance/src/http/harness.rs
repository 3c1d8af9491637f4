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
///     fn capabilities(&self) -> HttpCapabilities {
///         HttpCapabilities::none()
///     }
///
///     fn subject(&self, _origin: &Origin) -> HttpSubject {
///         HttpSubject::new((self.0)())
///     }
/// }
/// ```
pub trait HttpHarness: Harness {
    /// The capabilities that the clients declare. They decide which cases apply, and cases check that they are true.
    fn capabilities(&self) -> HttpCapabilities;

    /// The extended capabilities that the clients declare; `None` if they do not implement [`HttpExtended`].
    fn extended_capabilities(&self) -> Option<HttpExtendedCapabilities> {
        None
    }

    /// Whether the clients use sockets. Otherwise cases about connections are skipped.
    fn network(&self) -> bool {
        true
    }

    /// Whether the clients support TLS.
    fn tls(&self) -> bool {
        true
    }

    /// A fresh client. By default it does not retry, and statuses are not errors. With the capability `base_url`, its
    /// base URL is the [origin's](Origin::base_url). Without [`network`](Self::network), it passes requests to
    /// [`Origin::answer`].
    fn subject(&self, origin: &Origin) -> HttpSubject;
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
    let origin = Origin::start(harness.network()).await?;
    match harness.subject(&origin).extended {
        Some(extended) => Ok((origin, extended)),
        None => Err(Failure::new(
            "the harness declares extended capabilities, but its subject has none",
        )),
    }
}

/// Conditions of cases: one function per capability, and per condition that the harness must produce.
pub(super) mod when {
    use super::{Applies, HttpHarness};

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

    pub(in crate::http) fn network(harness: &dyn HttpHarness) -> Applies {
        Applies::environment(harness.network(), "the backend uses no sockets")
    }

    pub(in crate::http) fn tls(harness: &dyn HttpHarness) -> Applies {
        network(harness).and(Applies::environment(harness.tls(), "the backend does not support TLS"))
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

    pub(in crate::http) fn extended_streaming(harness: &dyn HttpHarness) -> Applies {
        let declared = harness
            .extended_capabilities()
            .is_some_and(|capabilities| capabilities.streaming);
        Applies::capability(declared, "streaming")
    }

    pub(in crate::http) fn extended_jwt(harness: &dyn HttpHarness) -> Applies {
        let declared = harness
            .extended_capabilities()
            .is_some_and(|capabilities| capabilities.jwt);
        Applies::capability(declared, "jwt")
    }

    pub(in crate::http) fn extended_oauth2(harness: &dyn HttpHarness) -> Applies {
        let declared = harness
            .extended_capabilities()
            .is_some_and(|capabilities| capabilities.oauth2);
        Applies::capability(declared, "oauth2")
    }

    pub(in crate::http) fn extended_compression(harness: &dyn HttpHarness) -> Applies {
        let declared = harness
            .extended_capabilities()
            .is_some_and(|capabilities| !capabilities.compression.is_empty());
        Applies::capability(declared, "compression")
    }
}
