//! Spans and attributes of requests, according to OpenTelemetry's semantic conventions for HTTP clients.

use http::{Method, StatusCode};
use networking_spi::http::{HttpRequest, RequestTarget};
use networking_spi::{NetworkError, redact};
use tracing::Span;

/// A span for a request, at the level `INFO`. [`note_status`] or [`note_error`] sets the fields of the outcome. Additional fields
/// are given after the request.
macro_rules! client_span {
    ($name:literal, $request:expr, $($field:tt)+) => {{
        let request: &::networking_spi::http::HttpRequest = $request;
        let (address, port) = $crate::layer::conventions::server_of(request);
        ::tracing::info_span!(
            $name,
            otel.kind = "client",
            otel.name = $crate::layer::conventions::span_name(&request.method),
            otel.status_code = ::tracing::field::Empty,
            http.request.method = $crate::layer::conventions::method_name(&request.method),
            http.request.method_original = $crate::layer::conventions::unknown_method(&request.method),
            server.address = address,
            server.port = port,
            url.full = $crate::layer::conventions::url_of(request),
            http.response.status_code = ::tracing::field::Empty,
            error.type = ::tracing::field::Empty,
            $($field)+
        )
    }};
}

pub(super) use client_span;

const OTHER_METHOD: &str = "_OTHER";

/// The name of a known method, and `_OTHER` for all others, which limits the number of distinct values.
pub(super) fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "CONNECT" => "CONNECT",
        "OPTIONS" => "OPTIONS",
        "TRACE" => "TRACE",
        "PATCH" => "PATCH",
        _ => OTHER_METHOD,
    }
}

/// The span name of a request with this method.
pub(super) fn span_name(method: &Method) -> &'static str {
    match method_name(method) {
        OTHER_METHOD => "HTTP",
        name => name,
    }
}

/// The method if its [name](method_name) is `_OTHER`.
pub(super) fn unknown_method(method: &Method) -> Option<&str> {
    (method_name(method) == OTHER_METHOD).then(|| method.as_str())
}

/// Host and port.
pub(super) fn server_of(request: &HttpRequest) -> (Option<&str>, Option<u16>) {
    match &request.target {
        RequestTarget::Absolute(url) => (url.host_str(), url.port_or_known_default()),
        RequestTarget::Relative(_) => (None, None),
    }
}

/// The URL without its secrets.
pub(super) fn url_of(request: &HttpRequest) -> Option<String> {
    request.target.url().ok().map(redact::url)
}

/// Logs the error of a call. It has the host or the URL, and the span has the URL.
#[cold]
pub(super) fn report_failure(span: &Span, method: &'static str, error: &NetworkError) {
    tracing::error!(parent: span, method, attempts = error.attempts(), %error, "a request failed");
}

pub(super) fn note_status(span: &Span, status: StatusCode) {
    span.record("http.response.status_code", status.as_u16());
    if status.as_u16() >= 400 {
        span.record("error.type", status.as_str());
        span.record("otel.status_code", "ERROR");
    }
}

pub(super) fn note_error(span: &Span, error: &NetworkError) {
    span.record("error.type", error.kind().as_str());
    span.record("otel.status_code", "ERROR");
}
