//! Sends the requests of the protocol with an [`HttpClient`].

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse};
use networking_spi::{NetworkError, Phase, Result, Retryability};
use url::Url;

use super::answer::Answer;
use super::secrets::Secrets;
use crate::marks::WithoutCredentials;

/// The largest accepted response, in bytes.
pub(super) const MAX_ANSWER: usize = 256 << 10;

/// Sends a request, and receives the whole response. Redirects are not followed, because the request contains secrets. A request
/// that the server may have received is not retried, because its grant may be valid only once.
pub(super) async fn send(
    http: &dyn HttpClient,
    url: &Url,
    request: oauth2::HttpRequest,
    limit: Duration,
    operation: &'static str,
) -> Result<Answer> {
    let secrets = Secrets::of(&request);
    let outgoing = outgoing(http, url, request);
    let exchanged = tokio::time::timeout(limit, async {
        let mut response = http.request(outgoing).await?;
        let failure = failure(&response);
        let (status, headers) = (response.status, std::mem::take(&mut response.headers));
        match response.body.collect(MAX_ANSWER).await {
            Ok(body) => {
                let text = text(&headers, body.into()).await;
                Ok(Answer::new(url, status, &headers, &text, failure, secrets))
            }
            // If the body of an error response cannot be read, its status is the error.
            Err(error) => Err(failure.unwrap_or(error)),
        }
    });
    exchanged
        .await
        .unwrap_or_else(|_| Err(NetworkError::timeout(operation, Phase::Total, limit)))
        .map_err(|error| error.with_operation(operation))
}

fn outgoing(http: &dyn HttpClient, url: &Url, request: oauth2::HttpRequest) -> HttpRequest {
    let (head, body) = request.into_parts();
    let mut outgoing = HttpRequest::new(head.method, url.clone()).with_body(body);
    outgoing.headers = head.headers;
    if let Some(credentials) = outgoing.headers.get_mut(header::AUTHORIZATION) {
        credentials.set_sensitive(true);
    }
    outgoing.options.follow_redirects = Some(false);
    outgoing.options.raise_for_status = Some(false);
    outgoing.options.idempotent = Some(false);
    let limits_size = http.capabilities().response_size_limit;
    outgoing.options.max_response_size = limits_size.then_some(MAX_ANSWER as u64);
    outgoing.extensions.insert(WithoutCredentials);
    outgoing
}

/// The error of a response with a status from 400.
fn failure(response: &HttpResponse) -> Option<NetworkError> {
    let error = response.status_error()?;
    match (error.retryability(), retry_date(&response.headers)) {
        // No clock is needed for a date that is relative to the server's own time.
        (Retryability::Now, Some(wait)) => Some(error.with_retryability(Retryability::After(wait))),
        _ => Some(error),
    }
}

fn retry_date(headers: &HeaderMap) -> Option<Duration> {
    let date = |name| httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok();
    date(header::RETRY_AFTER)?.duration_since(date(header::DATE)?).ok()
}

/// The text of a body. Text that is not in its charset is not an error: what can be read of it may explain a refusal.
async fn text(headers: &HeaderMap, body: Vec<u8>) -> String {
    // UTF-16 of ASCII text is also valid UTF-8, with NULs.
    match String::from_utf8(body) {
        Ok(text) if !text.contains('\0') => text,
        unclear => {
            let body = unclear.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes);
            let mut response = HttpResponse::new(StatusCode::OK).with_body(body.clone());
            if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
                response.headers.insert(header::CONTENT_TYPE, content_type.clone());
            }
            let decoded = response.text().await;
            decoded.unwrap_or_else(|_| String::from_utf8_lossy(&body).into_owned())
        }
    }
}
