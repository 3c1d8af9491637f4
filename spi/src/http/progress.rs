//! Progress of an upload.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::body::Replay;
use super::{BodySource, ByteStream, HttpBody};
use crate::error::Result;

/// The largest chunk that is passed to the transport, in bytes. A body in memory is split, so that its progress can be
/// observed.
const MAX_CHUNK: usize = 64 << 10;

/// The progress of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct UploadProgress {
    /// Bytes passed to the transport in this attempt. This includes bytes that are still in buffers of the transport or of
    /// the operating system.
    pub sent: u64,
    /// The length of the body, if it is known.
    pub total: Option<u64>,
    /// The number of the attempt, from 1. Each attempt starts with `sent` at 0.
    pub attempt: u32,
}

impl UploadProgress {
    /// Whether the whole body was passed to the transport. Always `false` if the length is unknown.
    pub fn is_complete(&self) -> bool {
        self.total == Some(self.sent)
    }
}

pub(super) type Observer = Arc<dyn Fn(UploadProgress) + Send + Sync>;

/// Wraps the body, so that it reports its progress to `observer`. An empty body reports nothing.
pub(super) fn observe(body: HttpBody, observer: Observer) -> HttpBody {
    let length = body.length();
    if body.is_empty() {
        return body;
    }
    match body.into_replay() {
        Ok(body) => HttpBody::source(Arc::new(Observed {
            body,
            observer,
            attempts: AtomicU32::new(0),
        })),
        Err(body) => HttpBody::stream(watch(body, observer, 1), length),
    }
}

struct Observed {
    body: Replay,
    observer: Observer,
    attempts: AtomicU32,
}

impl BodySource for Observed {
    fn open(&self) -> ByteStream {
        let attempt = self.attempts.fetch_add(1, Relaxed).saturating_add(1);
        watch(self.body.to_body(), Arc::clone(&self.observer), attempt)
    }

    fn length(&self) -> Option<u64> {
        self.body.to_body().length()
    }
}

impl fmt::Debug for Observed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

fn watch(body: HttpBody, observer: Observer, attempt: u32) -> ByteStream {
    let total = body.length();
    let state = Watch {
        chunks: body.into_stream(),
        pending: Bytes::new(),
        observer,
        progress: UploadProgress {
            sent: 0,
            total,
            attempt,
        },
        reported: None,
    };
    stream::unfold(Some(state), |state| async move {
        let mut state = state?;
        match state.next().await? {
            Ok(chunk) => Some((Ok(chunk), Some(state))),
            Err(error) => Some((Err(error), None)),
        }
    })
    .boxed()
}

struct Watch {
    chunks: ByteStream,
    /// The part of the last chunk that was not passed to the transport yet.
    pending: Bytes,
    observer: Observer,
    progress: UploadProgress,
    /// The value of `sent` in the last report.
    reported: Option<u64>,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Bytes>> {
        if self.reported.is_none() {
            self.report();
        }
        while self.pending.is_empty() {
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.pending = chunk,
                Some(Err(error)) => return Some(Err(error)),
                None => {
                    if self.reported != Some(self.progress.sent) {
                        self.report();
                    }
                    return None;
                }
            }
        }
        let chunk = self.pending.split_to(self.pending.len().min(MAX_CHUNK));
        self.progress.sent += chunk.len() as u64;
        let since = self.progress.sent - self.reported.unwrap_or_default();
        // A transport that counts the bytes may stop polling before the end of the stream.
        if since >= step(self.progress.total) || self.progress.is_complete() {
            self.report();
        }
        Some(Ok(chunk))
    }

    fn report(&mut self) {
        self.reported = Some(self.progress.sent);
        (self.observer)(self.progress);
    }
}

/// The number of bytes between two reports. For a known length, there are at most about a hundred reports.
fn step(total: Option<u64>) -> u64 {
    total.map_or(256 << 10, |total| (total / 100).max(MAX_CHUNK as u64))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn observed(body: HttpBody) -> (HttpBody, Arc<Mutex<Vec<UploadProgress>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let body = body.with_progress(move |progress| sink.lock().unwrap().push(progress));
        (body, seen)
    }

    #[tokio::test]
    async fn each_attempt_starts_again_and_reports_its_end() {
        let (body, seen) = observed(HttpBody::from(vec![7; 200 << 10]));
        assert_eq!(body.length(), Some(200 << 10));
        for attempt in 1..=2 {
            let bytes = body.try_clone().unwrap().collect(usize::MAX).await.unwrap();
            assert_eq!(bytes.len(), 200 << 10);
            let seen = std::mem::take(&mut *seen.lock().unwrap());
            let sent: Vec<u64> = seen.iter().map(|progress| progress.sent >> 10).collect();
            assert_eq!(sent, [0, 64, 128, 192, 200]);
            assert!(seen.iter().all(|progress| progress.attempt == attempt));
            assert!(seen.last().unwrap().is_complete());
        }
    }

    #[tokio::test]
    async fn long_bodies_are_not_reported_chunk_by_chunk() {
        let chunk = Bytes::from(vec![0; 32 << 10]);
        let chunks = stream::iter((0..1_000).map(move |_| Ok(chunk.clone()))).boxed();
        let (body, seen) = observed(HttpBody::stream(chunks, Some(1_000 * (32 << 10))));
        assert!(body.try_clone().is_none(), "a stream stays a stream");
        body.into_stream().for_each(|_| std::future::ready(())).await;
        let seen = seen.lock().unwrap();
        assert!((90..=102).contains(&seen.len()), "{}", seen.len());
        assert!(seen.windows(2).all(|pair| pair[0].sent < pair[1].sent));
    }

    #[tokio::test]
    async fn an_unknown_length_ends_with_what_was_sent() {
        let chunks = stream::iter([Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"de"))]).boxed();
        let (body, seen) = observed(HttpBody::stream(chunks, None));
        assert_eq!(body.collect(10).await.unwrap(), "abcde");
        let sent: Vec<u64> = seen.lock().unwrap().iter().map(|progress| progress.sent).collect();
        assert_eq!(sent, [0, 5]);
    }
}
