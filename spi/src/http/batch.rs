//! Many requests with bounded concurrency.

use std::fmt;
use std::future::Future;

use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{HttpClient, HttpRequest, HttpResponse};
use crate::error::{NetworkError, Result, context};

/// Sends many requests over one client with bounded concurrency.
///
/// A handler reads each response. A request counts as running until its handler is done, because a response with an
/// unread body occupies its connection. To get the responses themselves, use [`HttpResponse::buffered`] as the handler.
///
/// A request is taken from the iterator only when it can be sent. Dropping the future or the stream aborts the running
/// requests, and no further ones are sent.
///
/// ```
/// use networking_spi::http::{Batch, HttpRequest, Method};
/// use networking_spi::prelude::*;
///
/// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
/// let users = (1..=100).map(|id| HttpRequest::new(Method::GET, format!("https://api.example.com/users/{id}")));
/// let names: Vec<String> = Batch::new(&http, 8)?
///     .try_run(users, |response| async { response.error_for_status()?.text().await })
///     .await?;
/// # Ok(()) }
/// ```
#[must_use = "a batch sends nothing until it is run"]
pub struct Batch<'c, C: ?Sized> {
    client: &'c C,
    concurrency: usize,
}

impl<'c, C: HttpClient + ?Sized> Batch<'c, C> {
    /// A batch that sends at most `concurrency` requests over `client` at a time.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if `concurrency` is zero.
    pub fn new(client: &'c C, concurrency: usize) -> Result<Self> {
        if concurrency == 0 {
            return Err(NetworkError::invalid_input("concurrency", "must be at least 1"));
        }
        Ok(Self { client, concurrency })
    }

    /// Sends all requests. Returns the results, including errors, in the order of the requests.
    pub async fn run<T, F, Fut>(&self, requests: impl IntoIterator<Item = HttpRequest>, handler: F) -> Vec<Result<T>>
    where
        F: Fn(HttpResponse) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let running = stream::iter(requests).map(|request| self.one(request, &handler));
        running.buffered(self.concurrency).collect().await
    }

    /// Sends the requests until one fails. Returns the results in the order of the requests. The first error aborts the
    /// other requests.
    ///
    /// # Errors
    /// The error that occurs first. Its context has the index of the request, as
    /// [`BATCH_INDEX`](crate::error::context::BATCH_INDEX).
    pub async fn try_run<T, F, Fut>(
        &self,
        requests: impl IntoIterator<Item = HttpRequest>,
        handler: F,
    ) -> Result<Vec<T>>
    where
        F: Fn(HttpResponse) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let mut done: Vec<(usize, T)> = self
            .as_completed(requests, handler)
            .map(|(index, result)| match result {
                Ok(value) => Ok((index, value)),
                Err(error) => Err(error.with_context(context::BATCH_INDEX, index.to_string())),
            })
            .try_collect()
            .await?;
        done.sort_unstable_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, value)| value).collect())
    }

    /// Sends all requests. Returns the results in the order of completion, each with the index of its request. Requests
    /// make progress only while the stream is polled.
    pub fn as_completed<T, F, Fut>(
        &self,
        requests: impl IntoIterator<Item = HttpRequest>,
        handler: F,
    ) -> impl Stream<Item = (usize, Result<T>)>
    where
        F: Fn(HttpResponse) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let client = self.client;
        let handler = std::sync::Arc::new(handler);
        stream::iter(requests.into_iter().enumerate())
            .map(move |(index, request)| {
                let handler = std::sync::Arc::clone(&handler);
                async move {
                    let result = match client.request(request).await {
                        Ok(response) => handler(response).await,
                        Err(error) => Err(error),
                    };
                    (index, result)
                }
            })
            .buffer_unordered(self.concurrency)
    }

    async fn one<T, F, Fut>(&self, request: HttpRequest, handler: &F) -> Result<T>
    where
        F: Fn(HttpResponse) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        handler(self.client.request(request).await?).await
    }
}

impl<C: ?Sized> fmt::Debug for Batch<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
