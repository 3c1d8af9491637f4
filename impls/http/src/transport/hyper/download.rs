//! Reading responses from hyper.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use http::Request;
use http_body::{Body, Frame};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use networking_spi::error::context;
use networking_spi::http::{HttpBody, Trailers};
use networking_spi::{NetworkError, Result, SendState};
use tokio::time::{Instant, sleep};

use super::error::classify;
use super::gauge::InFlight;
use super::pool::{Failure, Movement, PooledConnection};
use super::upload::{Progress, Upload};
use crate::connect::diagnosis::{Stage, short_body};
use crate::transport::check_head_size;
use crate::transport::silence::{Silence, read_timeout};

/// A body of at most this many bytes that arrived together with the head is returned as bytes, not as a stream.
const SMALL: u64 = 64 << 10;

/// Waits for a response head. Fails if nothing moves for `limit`: neither what `movement` sees, nor the upload, whose pieces hyper
/// takes.
pub(super) async fn await_head<T>(
    response: impl Future<Output = Result<T, TrySendError<Request<Upload>>>>,
    limit: Duration,
    progress: Option<Arc<Progress>>,
    movement: Movement,
) -> Result<T, Failure> {
    let mut response = pin!(response);
    let mut silence = pin!(sleep(limit));
    poll_fn(|cx| {
        if let Poll::Ready(outcome) = response.as_mut().poll(cx) {
            return Poll::Ready(outcome.map_err(Failure::Exchange));
        }
        loop {
            ready!(silence.as_mut().poll(cx));
            let uploaded = progress.as_ref().map(|progress| progress.latest.get());
            let later = uploaded.max(Some(movement.latest())).map(|latest| latest + limit);
            match later {
                Some(later) if later > Instant::now() => silence.as_mut().reset(later),
                _ => return Poll::Ready(Err(Failure::ReadTimeout)),
            }
        }
    })
    .await
}

/// The limits of reading a response.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) silence: Silence,
    /// The largest trailer section, in bytes.
    pub(super) max_head: u32,
}

/// The body of a response, which holds the connection until it ends, and its trailers.
///
/// `bodiless`: the status has no body, whatever the peer sends.
pub(super) async fn body(
    incoming: Incoming,
    connection: PooledConnection,
    in_flight: InFlight,
    limits: Limits,
    bodiless: bool,
) -> (HttpBody, Trailers) {
    let length = incoming.size_hint().exact();
    // Over HTTP/1.1, only a body of unknown length has trailers (RFC 9112, section 7.1.2).
    let trailers = if connection.is_http2() || length.is_none() {
        Trailers::pending()
    } else {
        Trailers::none()
    };
    let no_trailers = length == Some(0) && !connection.is_http2();
    let mut download = Download {
        incoming,
        trailers: trailers.clone(),
        arrived: None,
        exchange: Some((connection, in_flight)),
        limits,
    };
    if no_trailers || bodiless || download.incoming.is_end_stream() {
        download.finish();
        return (HttpBody::empty(), Trailers::none());
    }
    if length.is_some_and(|length| length <= SMALL) {
        let first = poll_fn(|cx| Poll::Ready(download.poll_data(cx))).await;
        match first {
            Poll::Ready(Some(Ok(bytes))) if download.exchange.is_none() => return (bytes.into(), trailers),
            Poll::Ready(None) => return (HttpBody::empty(), trailers),
            Poll::Ready(first) => download.arrived = first,
            Poll::Pending => {}
        }
    }
    (HttpBody::stream(download.boxed(), length), trailers)
}

struct Download {
    incoming: Incoming,
    trailers: Trailers,
    /// The first chunk, if it was read together with the head.
    arrived: Option<Result<Bytes>>,
    /// `None` after the end, or an error.
    exchange: Option<(PooledConnection, InFlight)>,
    limits: Limits,
}

impl Stream for Download {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(arrived) = self.arrived.take() {
            return Poll::Ready(Some(arrived));
        }
        if self.exchange.is_none() {
            return Poll::Ready(None);
        }
        if let Poll::Ready(next) = self.poll_data(cx) {
            return Poll::Ready(next);
        }
        let limit = ready!(self.limits.silence.poll_limit(cx));
        if let Some((connection, _)) = &self.exchange {
            connection.exclude_if_silent(limit);
        }
        let error = self.give_up(read_timeout(SendState::Sent));
        Poll::Ready(Some(Err(error)))
    }
}

impl Download {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        loop {
            match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => {
                    self.limits.silence.end();
                    let data = match frame.into_data() {
                        Ok(data) => data,
                        Err(frame) => match self.end_with(frame) {
                            Ok(()) => continue,
                            Err(error) => return Poll::Ready(Some(Err(error))),
                        },
                    };
                    if self.incoming.is_end_stream() {
                        self.finish();
                    }
                    return Poll::Ready(Some(Ok(data)));
                }
                Some(Err(error)) => {
                    let missing = self.incoming.size_hint().exact().is_some_and(|left| left > 0);
                    let error = classify(error, Stage::Body, SendState::Sent, missing);
                    return Poll::Ready(Some(Err(self.give_up(error))));
                }
                // hyper ends a body of HTTP/2 after a reset without an error, too.
                None if self.is_cut_off() => {
                    let error = short_body().into_error().with_send_state(SendState::Sent);
                    return Poll::Ready(Some(Err(self.give_up(error))));
                }
                None => {
                    self.finish();
                    return Poll::Ready(None);
                }
            }
        }
    }

    /// The trailers have arrived, and after them the end.
    fn end_with(&mut self, frame: Frame<Bytes>) -> Result<()> {
        if let Ok(fields) = frame.into_trailers() {
            if let Err(error) = check_head_size(&fields, self.limits.max_head) {
                return Err(self.give_up(error));
            }
            self.trailers.set(fields);
        }
        Ok(())
    }

    fn is_cut_off(&self) -> bool {
        let http2 = self
            .exchange
            .as_ref()
            .is_some_and(|(connection, _)| connection.is_http2());
        http2 && !self.incoming.is_end_stream()
    }

    /// Ends the exchange, and adds the peer to the error.
    fn give_up(&mut self, error: NetworkError) -> NetworkError {
        match self.exchange.take() {
            Some((connection, _in_flight)) => error.with_context(context::HOST, connection.host()),
            None => error,
        }
    }

    fn finish(&mut self) {
        if let Some((connection, _in_flight)) = self.exchange.take() {
            connection.release();
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some((connection, _in_flight)) = self.exchange.take() {
            connection.release_when_idle();
        }
    }
}
