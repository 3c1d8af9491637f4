//! Bounds how long cases wait for a client.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    ByteStream, HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse,
    RequestTarget, RetryPolicy,
};
use networking_spi::{ErrorKind, NetworkError, Result};

/// A client under test. A call whose response, or a next part of whose body, takes longer than `patience` fails with an
/// error that no case expects, and that says what the case waited for.
#[derive(Debug)]
pub(super) struct PatientClient {
    inner: Arc<dyn HttpClient>,
    patience: Duration,
}

impl PatientClient {
    pub(super) fn new(inner: Arc<dyn HttpClient>, patience: Duration) -> Self {
        Self { inner, patience }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpClient for PatientClient {
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
        let what = match &request.target {
            RequestTarget::Absolute(url) => format!("{} {url}", request.method),
            RequestTarget::Relative(target) => format!("{} {target}", request.method),
        };
        let patience = self.patience;
        let mut response = tokio::time::timeout(patience, self.inner.request(request))
            .await
            .map_err(|_| waited(patience, "the response", &what))??;
        // A body that is there has nothing to wait for.
        if response.body.as_bytes().is_none() {
            let wrap = |body: ByteStream| {
                let parts = stream::unfold(Some(body), move |body| {
                    let what = what.clone();
                    async move {
                        let mut body = body?;
                        match tokio::time::timeout(patience, body.next()).await {
                            Ok(part) => Some((part?, Some(body))),
                            Err(_) => Some((Err(waited(patience, "the next part of the body", &what)), None)),
                        }
                    }
                });
                parts.boxed()
            };
            response.body = response.body.map_stream(wrap);
        }
        Ok(response)
    }

    fn capabilities(&self) -> HttpCapabilities {
        self.inner.capabilities()
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        self.inner.client_metrics()
    }

    fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()> {
        self.inner.configure_retry_policy(policy)
    }

    fn configure_circuit_breaker(&self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<()> {
        self.inner.configure_circuit_breaker(breaker, options)
    }
}

fn waited(patience: Duration, what: &str, request: &str) -> NetworkError {
    let message = format!("the case waited {patience:?} for {what} of {request}");
    NetworkError::new(ErrorKind::Internal, "conformance.wait", message)
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use networking_spi::http::{HttpBody, HttpClientExt};

    use super::*;

    /// Never responds to `/silent`, and never ends the body of any other path.
    #[derive(Debug)]
    struct Hangs;

    #[async_trait]
    impl HttpClient for Hangs {
        async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
            if request.target.url()?.path() == "/silent" {
                std::future::pending::<()>().await;
            }
            let body = stream::iter([Ok("first".into())]).chain(stream::pending());
            Ok(HttpResponse::new(StatusCode::OK).with_body(HttpBody::stream(body.boxed(), None)))
        }

        fn capabilities(&self) -> HttpCapabilities {
            HttpCapabilities::none()
        }

        fn client_metrics(&self) -> Result<HttpClientMetrics> {
            Err(NetworkError::unsupported("http", "metrics"))
        }

        fn configure_retry_policy(&self, _: RetryPolicy) -> Result<()> {
            Err(NetworkError::unsupported("http", "retry"))
        }

        fn configure_circuit_breaker(&self, _: Arc<dyn CircuitBreaker>, _: HttpCircuitOptions) -> Result<()> {
            Err(NetworkError::unsupported("http", "circuit_breaker"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_a_limit_and_a_message() {
        let client = PatientClient::new(Arc::new(Hangs), Duration::from_secs(5));
        let silent = client.get("http://peer.test/silent").await.unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::Internal);
        let expected = "the case waited 5s for the response of GET http://peer.test/silent";
        assert!(silent.to_string().contains(expected), "{silent}");

        let mut response = client.get("http://peer.test/stall").await.unwrap();
        assert_eq!(response.body.chunk().await.unwrap().as_deref(), Some(&b"first"[..]));
        let stalled = response.body.chunk().await.unwrap_err();
        let expected = "the case waited 5s for the next part of the body of GET http://peer.test/stall";
        assert!(stalled.to_string().contains(expected), "{stalled}");
        assert_eq!(response.body.chunk().await.unwrap(), None);
    }
}
