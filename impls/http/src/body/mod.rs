//! Adapters for bodies: deadlines, values that are held until a body ends, re-chunking and codings.
//!
//! An adapter of a stream ends it after the first error, and drops the inner stream, which aborts the transfer.

pub(crate) mod codec;
pub(crate) mod deadline;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use futures_util::{StreamExt, stream};
use networking_spi::http::{ByteStream, HttpBody};
use networking_spi::{NetworkError, Phase, Result, SendState};
use tokio::time::Instant;

use self::deadline::Alarm;

/// Fails the body with a timeout in `phase` when `deadline` passes. A body in memory is returned unchanged.
pub(crate) fn until(body: HttpBody, deadline: Instant, phase: Phase, limit: Duration) -> HttpBody {
    if body.is_empty() || body.as_bytes().is_some() {
        return body;
    }
    body.map_stream(|chunks| {
        let timed = Timed {
            chunks: Some(chunks),
            alarm: Alarm::new(deadline),
            phase,
            limit,
        };
        timed.boxed()
    })
}

struct Timed {
    /// `None` after the end or an error.
    chunks: Option<ByteStream>,
    alarm: Alarm,
    phase: Phase,
    limit: Duration,
}

impl Stream for Timed {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let timed = &mut *self;
        let Some(chunks) = &mut timed.chunks else {
            return Poll::Ready(None);
        };
        // A stream that always has a chunk ready would keep the timer from being polled, so the clock is read.
        if !timed.alarm.has_passed() {
            if let Poll::Ready(next) = chunks.poll_next_unpin(cx) {
                if !matches!(next, Some(Ok(_))) {
                    timed.chunks = None;
                }
                return Poll::Ready(next);
            }
            ready!(timed.alarm.poll(cx));
        }
        timed.chunks = None;
        let error = NetworkError::timeout("http.request", timed.phase, timed.limit);
        Poll::Ready(Some(Err(error.with_send_state(SendState::Sent))))
    }
}

/// The same body, which keeps `held` until it ends or is dropped. With a body in memory, `held` is dropped immediately.
pub(crate) fn holding<G: Send + 'static>(body: HttpBody, held: G) -> HttpBody {
    if body.is_empty() || body.as_bytes().is_some() {
        return body;
    }
    body.inspect(move |chunk| {
        let _held_to_the_end = &held;
        chunk
    })
}

/// The same bytes in chunks of exactly `size` bytes; the last one may be shorter. Reads no more than it needs for the current
/// chunk.
pub(crate) fn rechunk(chunks: ByteStream, size: usize) -> ByteStream {
    let state = Rechunk {
        chunks: Some(chunks),
        buffer: BytesMut::new(),
        pending: Bytes::new(),
    };
    stream::unfold(state, move |mut state| async move {
        let chunk = state.next_chunk(size).await?;
        Some((chunk, state))
    })
    .boxed()
}

struct Rechunk {
    /// `None` after the end or an error.
    chunks: Option<ByteStream>,
    /// The chunk being filled.
    buffer: BytesMut,
    /// The rest of the last inner chunk.
    pending: Bytes,
}

impl Rechunk {
    async fn next_chunk(&mut self, size: usize) -> Option<Result<Bytes>> {
        loop {
            if self.buffer.is_empty() && self.pending.len() >= size {
                return Some(Ok(self.pending.split_to(size)));
            }
            let take = self.pending.len().min(size - self.buffer.len());
            self.buffer.extend_from_slice(&self.pending.split_to(take));
            if self.buffer.len() == size {
                return Some(Ok(self.buffer.split().freeze()));
            }
            match self.chunks.as_mut()?.next().await {
                Some(Ok(chunk)) => self.pending = chunk,
                Some(Err(error)) => {
                    self.chunks = None;
                    self.buffer.clear();
                    return Some(Err(error));
                }
                None => {
                    self.chunks = None;
                    let last = self.buffer.split().freeze();
                    return (!last.is_empty()).then_some(Ok(last));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    fn chunks(parts: &[&'static [u8]]) -> ByteStream {
        stream::iter(
            parts
                .iter()
                .map(|part| Ok(Bytes::from_static(part)))
                .collect::<Vec<_>>(),
        )
        .boxed()
    }

    #[tokio::test]
    async fn rechunk_is_exact_whatever_the_input_chunks() {
        let inputs: [&[&'static [u8]]; 3] = [
            &[b"abcdefghij"],
            &[b"a", b"bcd", b"", b"efghi", b"j"],
            &[b"abc", b"def", b"ghij"],
        ];
        for parts in inputs {
            let sizes: Vec<Bytes> = rechunk(chunks(parts), 4).try_collect().await.unwrap();
            assert_eq!(sizes, ["abcd", "efgh", "ij"], "{parts:?}");
        }
        let none: Vec<Bytes> = rechunk(chunks(&[]), 4).try_collect().await.unwrap();
        assert!(none.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_stops_a_stream_that_never_waits() {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"x"))).boxed();
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut body = until(
            HttpBody::stream(endless, None),
            deadline,
            Phase::Total,
            Duration::from_secs(1),
        )
        .into_stream();
        assert!(body.next().await.unwrap().is_ok());
        tokio::time::advance(Duration::from_secs(1)).await;
        let error = body.next().await.unwrap().unwrap_err();
        assert_eq!(error.phase(), Some(Phase::Total));
        assert!(body.next().await.is_none(), "the stream ends after its error");
    }
}
