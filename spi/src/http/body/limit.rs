//! Bodies whose chunks are looked at while they are read, and their size limit.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;

use super::{ByteStream, HttpBody};
use crate::error::{ErrorKind, NetworkError, Result, SendState, context};
use crate::http::HttpResponse;

impl HttpBody {
    /// Limits the body to `limit` bytes. A body in memory that is not longer is returned unchanged. Any other body becomes a
    /// stream that can be read only once, and that fails at the first chunk beyond the limit. Then nothing more is read, and
    /// the transfer is aborted.
    ///
    /// ```
    /// use networking_spi::ErrorKind;
    /// use networking_spi::http::HttpBody;
    ///
    /// assert!(HttpBody::from("hello").limited(5).is_ok());
    /// assert_eq!(HttpBody::from("hello").limited(4).unwrap_err().kind(), ErrorKind::TooLarge);
    /// ```
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) with the limit in its context: immediately if the known length is above the limit,
    /// otherwise as an item of the stream.
    pub fn limited(self, limit: u64) -> Result<Self> {
        match self.length() {
            Some(length) if length > limit => Err(response_too_large(limit)),
            // A stream may be longer than it announces.
            Some(_) if self.as_bytes().is_some() => Ok(self),
            _ => Ok(self.limited_while_read(limit)),
        }
    }

    /// Like [`limited`](Self::limited), but a body that announces too many bytes only fails while it is read.
    fn limited_while_read(self, limit: u64) -> Self {
        let mut left = limit;
        self.inspect(move |chunk| {
            let chunk = chunk?;
            left = left
                .checked_sub(chunk.len() as u64)
                .ok_or_else(|| response_too_large(limit))?;
            Ok(chunk)
        })
    }

    /// Passes each chunk, and the first error, through `look`, which may replace them. The stream ends after the first error
    /// that `look` returns; then `look` and the inner stream are dropped. For an empty body, `look` is not called.
    pub fn inspect<F>(self, look: F) -> Self
    where
        F: FnMut(Result<Bytes>) -> Result<Bytes> + Send + 'static,
    {
        self.map_stream(|chunks| Inspected(Some((chunks, look))).boxed())
    }
}

impl HttpResponse {
    /// Limits the body to `limit` bytes, as [`RequestOptions::max_response_size`](crate::http::RequestOptions) does: the response of
    /// a success that announces more fails, and any other one only while its body is read. So redirects are followed, transient
    /// statuses retried, and statuses become errors of their kind, whatever the length of their pages.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) as in [`HttpBody::limited`].
    pub fn limited(mut self, limit: u64) -> Result<Self> {
        self.body = if self.status.is_success() {
            self.body.limited(limit)?
        } else {
            self.body.limited_while_read(limit)
        };
        Ok(self)
    }
}

fn response_too_large(limit: u64) -> NetworkError {
    let message = format!(
        "the response body is longer than {limit} bytes: raise `max_response_size` of the client, or of the request (`u64::MAX` is no limit)"
    );
    NetworkError::new(ErrorKind::TooLarge, "http.body", message)
        .with_send_state(SendState::Sent)
        .with_context(context::LIMIT, limit.to_string())
        .with_context(context::SETTING, "max_response_size")
}

/// `None` after the end or an error.
struct Inspected<F>(Option<(ByteStream, F)>);

/// `poll_next` pins none of its fields.
impl<F> Unpin for Inspected<F> {}

impl<F: FnMut(Result<Bytes>) -> Result<Bytes>> Stream for Inspected<F> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some((chunks, look)) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let next = ready!(chunks.poll_next_unpin(cx)).map(look);
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(next)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::stream;

    use super::super::tests::chunks;
    use super::*;

    #[tokio::test]
    async fn the_size_limit_is_exact() {
        let body = |limit| HttpBody::stream(chunks(&[b"abc", b"de"]), None).limited(limit);
        assert_eq!(body(5).unwrap().collect(usize::MAX).await.unwrap(), "abcde");
        let error = body(4).unwrap().collect(usize::MAX).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(error.get(context::LIMIT), Some("4"));
        assert_eq!(error.send_state(), SendState::Sent);
        assert_eq!(
            HttpBody::from("abcde").limited(4).unwrap_err().kind(),
            ErrorKind::TooLarge
        );
    }

    #[tokio::test]
    async fn a_limit_reads_nothing_after_its_error_and_trusts_no_announced_length() {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"abc"))).boxed();
        let items: Vec<_> = HttpBody::stream(endless, Some(4))
            .limited(4)
            .unwrap()
            .into_stream()
            .collect()
            .await;
        assert_eq!(items.len(), 2, "the first chunk, then the error");
        assert_eq!(items[1].as_ref().unwrap_err().kind(), ErrorKind::TooLarge);

        let length = |body: HttpBody| body.limited(4).map(|body| body.length()).map_err(|error| error.kind());
        assert_eq!(length(HttpBody::stream(chunks(&[b"abcd"]), Some(4))), Ok(Some(4)));
        assert_eq!(length(HttpBody::stream(chunks(&[]), Some(5))), Err(ErrorKind::TooLarge));
        assert!(HttpBody::empty().limited(0).unwrap().is_empty());
        assert_eq!(HttpBody::from("abcd").limited(4).unwrap().as_bytes().unwrap(), "abcd");
    }

    #[tokio::test]
    async fn an_inspected_body_ends_after_the_first_error() {
        let lost = NetworkError::new(ErrorKind::ConnectionClosed, "test", "lost");
        let parts = [Ok(Bytes::from_static(b"a")), Err(lost), Ok(Bytes::from_static(b"b"))];
        let held = Arc::new(());
        let watched = Arc::downgrade(&held);
        let body = HttpBody::stream(stream::iter(parts).boxed(), None).inspect(move |chunk| {
            assert_eq!(Arc::strong_count(&held), 1);
            chunk.map_err(|error| error.with_attempts(2))
        });
        let mut chunks = body.into_stream();
        assert_eq!(chunks.next().await.unwrap().unwrap(), "a");
        assert_eq!(chunks.next().await.unwrap().unwrap_err().attempts(), 2);
        assert!(watched.upgrade().is_none(), "what the closure holds is released");
        assert!(chunks.next().await.is_none());
    }
}
