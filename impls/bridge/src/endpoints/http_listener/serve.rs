//! Connections and requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use networking_spi::bridge::BridgeMessage;
use networking_spi::validate::Validate;
use networking_spi::{NetworkError, Result, redact};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::response::{self, ListenerResponse};
use super::{Queued, Shared};
use crate::deadline;
use crate::endpoints::is_of_one_hop;

/// The wait after a connection could not be accepted, usually because no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// The maximum size of the request line and the header fields, in bytes.
const MAX_HEAD: usize = 64 << 10;

/// Accepts connections until the listener stops, then waits until all are closed.
pub(super) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let next = async {
            // The permit first: connections beyond the limit wait in the operating system's queue.
            let permit = Arc::clone(&shared.connection_permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let accepted = tokio::select! {
            biased;
            () = shared.stopping.cancelled() => break,
            accepted = next => accepted,
        };
        match accepted {
            (Ok(permit), Ok((stream, _))) => {
                shared.counters.connections.fetch_add(1, Ordering::Relaxed);
                // Otherwise a small response may wait until the peer has acknowledged the previous one.
                let _ = stream.set_nodelay(true);
                let connection = connection(Arc::clone(&shared), stream, permit);
                shared.connections.spawn(connection);
            }
            (_, Err(error)) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
            (Err(_), _) => break,
        }
    }
    drop(listener);
    shared.connections.close();
    shared.connections.wait().await;
    shared.drained.cancel();
}

async fn connection(shared: Arc<Shared>, stream: TcpStream, _permit: OwnedSemaphorePermit) {
    let service = {
        let shared = Arc::clone(&shared);
        service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(handle(&shared, request).await) }
        })
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(shared.settings.header_read_timeout.min(deadline::LONGEST))
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shared.stopping.cancelled() => {
            // The current request is finished, and no other is read.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn handle(shared: &Shared, request: Request<Incoming>) -> ListenerResponse {
    let deadline = deadline::from_now(shared.settings.request_timeout);
    let counters = &shared.counters;
    counters.requests.fetch_add(1, Ordering::Relaxed);
    let (head, body) = request.into_parts();
    let settings = &shared.settings;
    if !settings.paths.is_empty() && !settings.paths.contains(head.uri.path()) {
        return response::refused_unread(StatusCode::NOT_FOUND, "no_such_path");
    }
    if !settings.methods.contains(&head.method) {
        return method_not_allowed(shared);
    }
    let body = match timeout_at(deadline, read(shared, body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(refusal)) => return refusal,
        Err(_) => return response::refused_unread(StatusCode::REQUEST_TIMEOUT, "body_timeout"),
    };
    if let Some(verifier) = &shared.verifier
        && !verifier.accepts(&head.headers, &body)
    {
        counters.rejected_signatures.fetch_add(1, Ordering::Relaxed);
        return response::refused(StatusCode::UNAUTHORIZED, "signature");
    }
    if let Some(faults) = &shared.faults
        && faults.random.lock().f64() < faults.rate
    {
        counters.injected_faults.fetch_add(1, Ordering::Relaxed);
        // Without `Retry-After`, so that clients use their own backoff.
        return response::refused(StatusCode::SERVICE_UNAVAILABLE, "injected_fault");
    }
    let message = match message(shared, head.uri.path(), &head.headers, body) {
        Ok(message) => message,
        Err(error) => return response::rejected(&error),
    };
    enqueue(shared, message, deadline).await
}

/// Queues the message for the bridge, and waits until it is acknowledged or rejected.
async fn enqueue(shared: &Shared, message: BridgeMessage, deadline: Instant) -> ListenerResponse {
    let counters = &shared.counters;
    let (sender, completed) = oneshot::channel();
    match shared.queue.try_send(Queued { message, sender }) {
        Ok(()) => {}
        Err(TrySendError::Full(_)) => {
            counters.overloaded.fetch_add(1, Ordering::Relaxed);
            return response::try_later("overloaded");
        }
        Err(TrySendError::Closed(_)) => return response::try_later("closed"),
    }
    match timeout_at(deadline, completed).await {
        Ok(Ok(Ok(receipt))) => {
            counters.accepted.fetch_add(1, Ordering::Relaxed);
            response::accepted(&receipt)
        }
        Ok(Ok(Err(error))) => response::rejected(&error),
        Ok(Err(_)) => response::try_later("closed"),
        Err(_) => {
            counters.timed_out.fetch_add(1, Ordering::Relaxed);
            response::try_later("timeout")
        }
    }
}

async fn read(shared: &Shared, body: Incoming) -> Result<Bytes, ListenerResponse> {
    let limit = shared.settings.max_body_size;
    let too_large = || response::refused_unread(StatusCode::PAYLOAD_TOO_LARGE, "too_large");
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(response::refused_unread(StatusCode::BAD_REQUEST, "body")),
    }
}

fn message(shared: &Shared, path: &str, headers: &HeaderMap, body: Bytes) -> Result<BridgeMessage> {
    let settings = &shared.settings;
    let given = settings.id_header.as_ref().and_then(|name| headers.get(name));
    let id = if let Some(value) = given {
        let text = value.to_str();
        text.map_err(|_| NetworkError::invalid_input("id", "is not text"))?
            .to_owned()
    } else {
        let number = shared.next_id.fetch_add(1, Ordering::Relaxed);
        format!("{:016x}-{number}", shared.id_prefix)
    };
    let mut message = BridgeMessage::new(id, body, shared.clock.now()).with_origin(path);
    message.validate()?;
    message.key = settings
        .key_header
        .as_ref()
        .and_then(|name| headers.get(name))
        .map(|value| Bytes::copy_from_slice(value.as_bytes()));
    message.content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    message.headers = headers
        .iter()
        .filter(|(name, _)| !is_of_one_hop(name) && !redact::is_secret_header(name))
        .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())))
        .collect();
    Ok(message)
}

fn method_not_allowed(shared: &Shared) -> ListenerResponse {
    let mut response = response::refused_unread(StatusCode::METHOD_NOT_ALLOWED, "method");
    let allowed: Vec<&str> = shared.settings.methods.iter().map(http::Method::as_str).collect();
    if let Ok(value) = HeaderValue::try_from(allowed.join(", ")) {
        response.headers_mut().insert(header::ALLOW, value);
    }
    response
}
