//! How the cache handles one request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method, StatusCode, header};
use networking_spi::clock::Clock;
use networking_spi::http::{HttpBody, HttpClient, HttpRequest, HttpResponse};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use url::Url;

use super::control::Directives;
use super::freshness::{self, Freshness, Reuse};
use super::record::{Index, StoredHead};
use super::saving::{Saving, storable_headers};
use super::stats::CacheStatus;
use super::{HttpCache, MAX_REVALIDATIONS, keys};
use crate::chain::{Next, Terminal};
use crate::marks::{WithoutCredentials, same_origin};

/// One request that passes through the cache.
pub(crate) struct Call {
    cache: HttpCache,
    url: Url,
    clock: Arc<dyn Clock>,
    control: Directives,
}

impl Call {
    pub(crate) fn new(cache: HttpCache, url: Url, clock: Arc<dyn Clock>) -> Self {
        Self {
            cache,
            url,
            clock,
            control: Directives::default(),
        }
    }

    /// Returns the response from the cache or from `next`. `inner` is the same client as `next`, for background requests.
    pub(crate) async fn answer<C: HttpClient>(
        mut self,
        request: Box<HttpRequest>,
        next: &impl Next,
        inner: &Arc<C>,
    ) -> Result<Box<HttpResponse>> {
        self.control = Directives::of(&request.headers);
        let only_if_cached = self.control.has("only-if-cached");
        if self.control.has("no-store") || !is_for_cache(&request) {
            if only_if_cached && matches!(request.method, Method::GET | Method::HEAD) {
                return Ok(self.nothing_cached());
            }
            return self.bypass(request, next).await;
        }
        // A hit must fail for options that the inner client would have refused.
        request.options.require(inner.capabilities())?;
        let lookup = self.look_up(&request.headers).await;
        let now = self.clock.now();
        if let Some(stored) = &lookup.stored {
            match stored.freshness.reuse(&self.control, now) {
                Reuse::Fresh => return self.serve(stored, &request, CacheStatus::Hit, now),
                Reuse::Stale => return self.serve(stored, &request, CacheStatus::Stale, now),
                Reuse::Validate => {}
            }
        }
        if only_if_cached {
            return Ok(self.nothing_cached());
        }
        if request.method == Method::HEAD {
            return self.head(request, lookup, next).await;
        }
        if let Some(stored) = &lookup.stored
            && stored.freshness.usable_while_revalidating(&self.control, now)
        {
            let response = self.serve(stored, &request, CacheStatus::Stale, now);
            self.revalidate_in_background(request, lookup, Arc::clone(inner));
            return response;
        }
        self.fetch(request, lookup, next).await
    }

    /// The response to `only-if-cached` without a usable entry (RFC 9111, section 5.2.1.7).
    fn nothing_cached(&self) -> Box<HttpResponse> {
        let mut response = HttpResponse::new(StatusCode::GATEWAY_TIMEOUT);
        response.url = Some(self.url.clone());
        tagged(&self.cache, Box::new(response), CacheStatus::Miss)
    }

    /// Sends a request that the cache does not handle. If its method is unsafe, stored responses are invalidated.
    async fn bypass(self, request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let result = if is_unsafe(&request.method) {
            let mut change = Change {
                cache: self.cache.clone(),
                urls: vec![self.url.clone()],
            };
            let result = next.send(request).await;
            change.urls = invalidated(self.url, &result);
            change.invalidate().await;
            result
        } else {
            next.send(request).await
        };
        result.map(|response| tagged(&self.cache, response, CacheStatus::Bypass))
    }

    async fn look_up(&self, headers: &HeaderMap) -> Lookup {
        let cache = &self.cache;
        let url_key = keys::url_key(&cache.0.config.partition, &self.url);
        let invalidations = cache.invalidation_counter(&url_key).load(Ordering::Acquire);
        let index = cache.load_index(&url_key).await;
        let stored = match &index {
            Some(index) => self.load(keys::response_key(&url_key, index, headers)).await,
            None => None,
        };
        Lookup {
            url_key,
            index,
            invalidations,
            stored,
        }
    }

    async fn load(&self, response_key: String) -> Option<Stored> {
        let record = self.cache.load(&response_key).await?;
        let Some((head, body)) = StoredHead::decode(record) else {
            self.cache.remove(&response_key).await;
            return None;
        };
        Some(Stored {
            freshness: Freshness::of(&head, self.cache.0.config.heuristic_fraction),
            response_key,
            head,
            body,
        })
    }

    /// Returns the stored response as the response to `request`.
    fn serve(
        &self,
        stored: &Stored,
        request: &HttpRequest,
        status: CacheStatus,
        now: SystemTime,
    ) -> Result<Box<HttpResponse>> {
        let mut response = Box::new(HttpResponse::new(stored.head.status));
        response.version = stored.head.version;
        response.headers.clone_from(&stored.head.headers);
        response
            .headers
            .insert(header::AGE, stored.freshness.age(now).as_secs().into());
        response.url = Some(self.url.clone());
        if request.method != Method::HEAD {
            response.body = HttpBody::from(stored.body.clone());
            if let Some(limit) = request.options.max_response_size {
                *response = response.limited(limit)?;
            }
        }
        Ok(tagged(&self.cache, response, status))
    }

    /// Sends the request to the origin, with conditions if a response is stored.
    async fn fetch(&self, request: Box<HttpRequest>, lookup: Lookup, next: &impl Next) -> Result<Box<HttpResponse>> {
        let sent_at = self.clock.now();
        let Some(stored) = &lookup.stored else {
            let headers = request.headers.clone();
            let response = next.send(request).await?;
            return Ok(self.take_in(response, &headers, lookup, sent_at).await);
        };
        let (conditional, is_conditional) = with_conditions(&request, &stored.head.headers);
        let result = next.send(conditional).await;
        let now = self.clock.now();
        let stands_in = || {
            let default = self.cache.0.config.stale_if_error;
            stored.freshness.usable_on_error(&self.control, default, now)
        };
        match result {
            Ok(response) if response.status == StatusCode::NOT_MODIFIED && is_conditional => {
                if confirms(&stored.head.headers, &response.headers) {
                    self.renew(request, lookup, &response.headers, sent_at).await
                } else {
                    // The 304 confirms a response other than the stored one.
                    let headers = request.headers.clone();
                    let response = next.send(request).await?;
                    Ok(self.take_in(response, &headers, lookup, now).await)
                }
            }
            Ok(response) if is_outage(response.status) && stands_in() => {
                drop(response);
                self.serve(stored, &request, CacheStatus::Stale, now)
            }
            Err(error) if is_unavailable(&error) && stands_in() => {
                tracing::debug!(%error, "a stale response is used instead of an error");
                self.serve(stored, &request, CacheStatus::Stale, now)
            }
            Ok(response) => Ok(self.take_in(response, &request.headers, lookup, sent_at).await),
            Err(error) => Err(error),
        }
    }

    /// Updates and returns the stored response after the origin confirmed it with a 304 (RFC 9111, section 4.3.4).
    async fn renew(
        &self,
        request: Box<HttpRequest>,
        mut lookup: Lookup,
        confirmation: &HeaderMap,
        sent_at: SystemTime,
    ) -> Result<Box<HttpResponse>> {
        let Some(mut stored) = lookup.stored.take() else {
            return Err(NetworkError::new(
                ErrorKind::Internal,
                "http.cache",
                "there is no stored response to confirm",
            ));
        };
        self.freshen(&mut stored, confirmation, sent_at);
        let keeps = stored.freshness.is_worth_storing(&stored.head.headers);
        let response_key = stored.response_key.clone();
        match (keeps, self.saving(stored.head.clone(), &request.headers, &lookup)) {
            (true, Some(saving)) => saving.finish(&stored.body).await,
            _ => self.cache.remove(&response_key).await,
        }
        self.serve(&stored, &request, CacheStatus::Revalidated, self.clock.now())
    }

    /// Updates the headers of a stored response (RFC 9111, section 3.2).
    fn freshen(&self, stored: &mut Stored, update: &HeaderMap, sent_at: SystemTime) {
        let received_at = self.clock.now();
        let head = &mut stored.head;
        // The age is counted from the update, even if it has no `Date`.
        head.headers.remove(header::DATE);
        let mut update_headers = storable_headers(update);
        for about_the_body in [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE] {
            update_headers.remove(about_the_body);
        }
        for name in update_headers.keys() {
            head.headers.remove(name);
        }
        for (name, value) in &update_headers {
            head.headers.append(name, value.clone());
        }
        head.initial_age = freshness::initial_age(update, sent_at, received_at);
        head.received_at = received_at;
        stored.freshness = Freshness::of(head, self.cache.0.config.heuristic_fraction);
    }

    /// Handles a response from the origin. If it may be stored, it is stored when its body has been read.
    async fn take_in(
        &self,
        mut response: Box<HttpResponse>,
        request_headers: &HeaderMap,
        lookup: Lookup,
        sent_at: SystemTime,
    ) -> Box<HttpResponse> {
        let saving = self
            .storable(&response, sent_at)
            .and_then(|head| self.saving(head, request_headers, &lookup));
        // When the origin has sent a newer response, the old one is removed if it is still fresh or the newer one is not stored.
        // It is kept for `stale-if-error` if the newer response is a server error.
        if let Some(former) = &lookup.stored
            && !is_outage(response.status)
            && (saving.is_none() || !former.freshness_has_ended(self.clock.now()))
        {
            self.cache.remove(&former.response_key).await;
        }
        if let Some(saving) = saving {
            let body = std::mem::take(&mut response.body);
            response.body = saving.take(body, self.cache.0.config.max_entry_size).await;
        }
        tagged(&self.cache, response, CacheStatus::Miss)
    }

    /// The head to store, if the response may be stored.
    fn storable(&self, response: &HttpResponse, sent_at: SystemTime) -> Option<StoredHead> {
        let was_redirected = response
            .url
            .as_ref()
            .is_some_and(|url| without_fragment(url) != without_fragment(&self.url));
        if was_redirected || response.status.is_redirection() {
            return None;
        }
        let received_at = self.clock.now();
        let head = StoredHead {
            status: response.status,
            version: response.version,
            headers: storable_headers(&response.headers),
            received_at,
            initial_age: freshness::initial_age(&response.headers, sent_at, received_at),
        };
        Freshness::of(&head, self.cache.0.config.heuristic_fraction)
            .is_worth_storing(&head.headers)
            .then_some(head)
    }

    /// How the response is stored. `None` if its `Vary` matches no request.
    fn saving(&self, head: StoredHead, request_headers: &HeaderMap, lookup: &Lookup) -> Option<Saving> {
        let vary = keys::vary(&head.headers)?;
        let known = lookup.index.clone().filter(|index| index.vary == vary);
        let is_new = known.is_none();
        let index = known.unwrap_or_else(|| Index {
            generation: lookup
                .index
                .as_ref()
                .map_or_else(|| fastrand::u64(..), |index| index.generation),
            vary,
        });
        Some(Saving {
            cache: self.cache.clone(),
            url_key: lookup.url_key.clone(),
            response_key: keys::response_key(&lookup.url_key, &index, request_headers),
            index: is_new.then_some(index),
            invalidations: lookup.invalidations,
            head,
        })
    }

    /// Sends a HEAD request that the store cannot answer. Its response updates or invalidates the stored response to a GET (RFC
    /// 9111, section 4.3.5).
    async fn head(&self, request: Box<HttpRequest>, mut lookup: Lookup, next: &impl Next) -> Result<Box<HttpResponse>> {
        let sent_at = self.clock.now();
        let headers = request.headers.clone();
        let response = next.send(request).await?;
        let former = lookup
            .stored
            .take()
            .filter(|former| former.head.status == StatusCode::OK);
        if response.status == StatusCode::OK
            && let Some(mut former) = former
        {
            let is_same = [header::ETAG, header::LAST_MODIFIED]
                .iter()
                .all(|name| response.headers.get(name) == former.head.headers.get(name))
                && has_same_length(&response.headers, &former.head.headers);
            let saving = if is_same && former.head.headers.contains_key(header::ETAG) {
                self.freshen(&mut former, &response.headers, sent_at);
                self.saving(former.head, &headers, &lookup)
            } else {
                None
            };
            match saving {
                Some(saving) => saving.finish(&former.body).await,
                None => self.cache.remove(&former.response_key).await,
            }
        }
        Ok(tagged(&self.cache, response, CacheStatus::Miss))
    }

    fn revalidate_in_background<C: HttpClient>(self, request: Box<HttpRequest>, lookup: Lookup, inner: Arc<C>) {
        let Some(turn) = lookup
            .stored
            .as_ref()
            .and_then(|stored| Revalidation::begin(&self.cache, &stored.response_key))
        else {
            return;
        };
        tokio::spawn(async move {
            let _turn = turn;
            let limit = self.cache.0.config.max_entry_size;
            // The response is stored when its body has been read. An error leaves the stored response unchanged.
            if let Ok(response) = self.fetch(request, lookup, &Terminal(inner)).await {
                let mut chunks = response.into_stream();
                let mut read = 0;
                while let Some(Ok(chunk)) = chunks.next().await {
                    read += chunk.len() as u64;
                    if read > limit {
                        break;
                    }
                }
            }
        });
    }
}

/// The result of a lookup in the store.
struct Lookup {
    url_key: String,
    index: Option<Index>,
    invalidations: u64,
    stored: Option<Stored>,
}

struct Stored {
    response_key: String,
    head: StoredHead,
    body: Bytes,
    freshness: Freshness,
}

impl Stored {
    fn freshness_has_ended(&self, now: SystemTime) -> bool {
        self.freshness.reuse(&Directives::default(), now) != Reuse::Fresh
    }
}

/// A revalidation in the background. While it exists, no other one for the same key starts.
struct Revalidation {
    cache: HttpCache,
    response_key: String,
}

impl Revalidation {
    fn begin(cache: &HttpCache, response_key: &str) -> Option<Self> {
        let mut running = cache.0.revalidating.lock();
        let begins = running.len() < MAX_REVALIDATIONS && running.insert(response_key.to_owned());
        begins.then(|| Self {
            cache: cache.clone(),
            response_key: response_key.to_owned(),
        })
    }
}

impl Drop for Revalidation {
    fn drop(&mut self) {
        self.cache.0.revalidating.lock().remove(&self.response_key);
    }
}

/// The URLs that an unsafe request may have changed. They are invalidated even if the call is cancelled.
struct Change {
    cache: HttpCache,
    urls: Vec<Url>,
}

impl Change {
    async fn invalidate(&mut self) {
        while let Some(url) = self.urls.last() {
            if let Err(error) = self.cache.invalidate(url).await {
                self.cache.store_failed(&error);
            }
            self.urls.pop();
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        if self.urls.is_empty() {
            return;
        }
        // Without a runtime, nothing can be spawned.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let mut rest = Self {
                cache: self.cache.clone(),
                urls: std::mem::take(&mut self.urls),
            };
            runtime.spawn(async move { rest.invalidate().await });
        }
    }
}

/// The request with conditions from the validators of the stored response, and whether there are any.
fn with_conditions(request: &HttpRequest, stored: &HeaderMap) -> (Box<HttpRequest>, bool) {
    let mut conditional = Box::new(HttpRequest::new(request.method.clone(), request.target.clone()));
    conditional.headers.clone_from(&request.headers);
    conditional.options.clone_from(&request.options);
    conditional.extensions.clone_from(&request.extensions);
    let mut is_conditional = false;
    if let Some(etag) = stored.get(header::ETAG).filter(|etag| !etag.is_empty()) {
        conditional.headers.insert(header::IF_NONE_MATCH, etag.clone());
        is_conditional = true;
    }
    if let Some(date) = stored.get(header::LAST_MODIFIED)
        && freshness::date(stored, &header::LAST_MODIFIED).is_some()
    {
        conditional.headers.insert(header::IF_MODIFIED_SINCE, date.clone());
        is_conditional = true;
    }
    (conditional, is_conditional)
}

/// Whether a 304 confirms the stored response (RFC 9111, section 4.3.4). A 304 without validators does, because the conditions
/// came from the stored response.
fn confirms(stored: &HeaderMap, confirmation: &HeaderMap) -> bool {
    let opaque = |tag: &http::HeaderValue| {
        let tag = tag.as_bytes().trim_ascii();
        tag.strip_prefix(b"W/").unwrap_or(tag).to_vec()
    };
    match (confirmation.get(header::ETAG), stored.get(header::ETAG)) {
        (Some(new), Some(old)) => opaque(new) == opaque(old),
        (Some(_), None) => false,
        (None, _) => match confirmation.get(header::LAST_MODIFIED) {
            Some(new) => stored.get(header::LAST_MODIFIED).is_none_or(|old| old == new),
            None => true,
        },
    }
}

/// Whether two heads may describe the same body. A decoded response has no length.
fn has_same_length(one: &HeaderMap, other: &HeaderMap) -> bool {
    match (one.get(header::CONTENT_LENGTH), other.get(header::CONTENT_LENGTH)) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    }
}

fn is_outage(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

fn is_unavailable(error: &NetworkError) -> bool {
    [
        ErrorKind::Connection,
        ErrorKind::Timeout,
        ErrorKind::CircuitOpen,
        ErrorKind::Protocol,
    ]
    .into_iter()
    .any(|kind| error.is_a(kind))
}

fn without_fragment(url: &Url) -> &str {
    let url = url.as_str();
    url.split('#').next().unwrap_or(url)
}

/// Whether a request of this method may change the resource (RFC 9110, section 9.2.1).
fn is_unsafe(method: &Method) -> bool {
    !matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::CONNECT
    )
}

fn is_for_cache(request: &HttpRequest) -> bool {
    let conditions = [
        header::RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::IF_RANGE,
    ];
    matches!(request.method, Method::GET | Method::HEAD)
        && request.body.is_empty()
        && !conditions.iter().any(|name| request.headers.contains_key(name))
        // Through another proxy, the URL may lead to another origin.
        && request.options.proxy.is_none()
        && request.options.verify_tls != Some(false)
        // Keys and tokens have separate caches, which must be able to fetch new ones.
        && request.extensions.get::<WithoutCredentials>().is_none()
}

/// The URLs at which an unsafe request may have changed something (RFC 9111, section 4.4).
fn invalidated(url: Url, result: &Result<Box<HttpResponse>>) -> Vec<Url> {
    match result {
        Ok(response) if response.status.as_u16() < 400 => {
            let named = [header::LOCATION, header::CONTENT_LOCATION]
                .into_iter()
                .filter_map(|name| url.join(response.headers.get(name)?.to_str().ok()?).ok());
            let mut urls: Vec<Url> = response
                .url
                .clone()
                .into_iter()
                .chain(named)
                .filter(|named| same_origin(named, &url) && *named != url)
                .collect();
            urls.push(url);
            urls
        }
        Err(error) if error.send_state() != SendState::NotSent => vec![url],
        _ => Vec::new(),
    }
}

fn tagged(cache: &HttpCache, mut response: Box<HttpResponse>, status: CacheStatus) -> Box<HttpResponse> {
    cache.0.counters.count_status(status);
    response.extensions.insert(status);
    response
}
