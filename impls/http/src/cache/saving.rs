//! Storing a response while its body is being read.

use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, header};
use networking_spi::http::{ByteStream, HttpBody, hop_by_hop};

use super::HttpCache;
use super::record::{Index, StoredHead};
use super::stats::Counters;

/// A response that is stored when its body is complete.
pub(super) struct Saving {
    pub(super) cache: HttpCache,
    pub(super) url_key: String,
    pub(super) response_key: String,
    /// The index to store, if the URL has no matching one.
    pub(super) index: Option<Index>,
    /// The URL's invalidation counter when the request was sent.
    pub(super) invalidations: u64,
    pub(super) head: StoredHead,
}

impl Saving {
    /// Stores the response when the returned body has been read to its end. The response is not stored if the body fails, is
    /// dropped, or is longer than `limit` bytes. A body in memory is stored immediately.
    pub(super) async fn take(self, body: HttpBody, limit: u64) -> HttpBody {
        if body.length().is_some_and(|length| length > limit) {
            return body;
        }
        if body.is_empty() {
            self.finish(&[]).await;
            return body;
        }
        if let Some(bytes) = body.as_bytes() {
            self.finish(bytes).await;
            return body;
        }
        let announced = body.length();
        body.map_stream(|chunks| {
            let tee = Tee {
                chunks: Some(chunks),
                saving: Some((self, BytesMut::new())),
                announced,
                limit,
            };
            stream::unfold(tee, Tee::next).boxed()
        })
    }

    /// Stores the response with this body.
    pub(super) async fn finish(self, body: &[u8]) {
        // The response was requested before the URL was invalidated, and may be outdated.
        if self.was_invalidated() {
            return;
        }
        let mut record = self.head.encode();
        record.extend_from_slice(body);
        if let Some(index) = &self.index
            && !self.cache.save(&self.url_key, index.encode()).await
        {
            return;
        }
        let is_stored = self.cache.save(&self.response_key, record.freeze()).await;
        // An invalidation in the meantime may have run before the record was written.
        if self.was_invalidated() {
            self.cache.remove(&self.url_key).await;
        } else if is_stored {
            Counters::count(&self.cache.0.counters.stored);
        }
    }

    fn was_invalidated(&self) -> bool {
        self.cache.invalidation_counter(&self.url_key).load(Ordering::Acquire) != self.invalidations
    }
}

/// Returns chunks and collects copies of them. The chunks themselves are not kept, because they may reference larger buffers.
struct Tee {
    /// `None` after the end or an error.
    chunks: Option<ByteStream>,
    /// `None` when the response will not be stored.
    saving: Option<(Saving, BytesMut)>,
    announced: Option<u64>,
    limit: u64,
}

impl Tee {
    async fn next(mut self) -> Option<(networking_spi::Result<Bytes>, Self)> {
        match self.chunks.as_mut()?.next().await {
            Some(Ok(chunk)) => {
                self.keep(&chunk);
                Some((Ok(chunk), self))
            }
            Some(Err(error)) => {
                self.chunks = None;
                self.saving = None;
                Some((Err(error), self))
            }
            None => {
                self.chunks = None;
                if let Some((saving, body)) = self.saving.take()
                    && self.announced.is_none_or(|length| length == body.len() as u64)
                {
                    saving.finish(&body).await;
                }
                None
            }
        }
    }

    fn keep(&mut self, chunk: &Bytes) {
        if let Some((_, body)) = &mut self.saving {
            if body.len() as u64 + chunk.len() as u64 > self.limit {
                self.saving = None;
            } else {
                body.extend_from_slice(chunk);
            }
        }
    }
}

/// The headers of a response without hop-by-hop fields (RFC 9111, section 3.1), `Age`, which is stored separately, and
/// `Set-Cookie`, which must take effect only once.
pub(super) fn storable_headers(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in hop_by_hop::end_to_end(headers) {
        if !hop_by_hop::is_for_proxy(name) && *name != header::AGE && *name != header::SET_COOKIE {
            kept.append(name, value.clone());
        }
    }
    kept
}
