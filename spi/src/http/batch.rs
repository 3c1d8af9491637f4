//! Many requests at a time, but not too many.

use std::fmt;
use std::future::Future;

use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{HttpClient, HttpRequest, HttpResponse};
use crate::error::{NetworkError, Result};

/// Sends many requests over one client, so many at a time.
///
/// A handler reads each response, and its request counts as running until the handler is done: a response whose body nobody
/// reads holds its connection. [`HttpResponse::buffered`] is the handler for those who want the responses themselves.
///
/// Requests are taken from their iterator as their turn comes. Dropping the future or the stream aborts what is running,
/// and sends nothing more.
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
pub struct Batch<'c, C: ?Sized> {
    client: &'c C,
    concurrency: usize,
}

impl<'c, C: HttpClient + ?Sized> Batch<'c, C> {
    /// Up to `concurrency` requests over `client` at a time.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a concurrency of zero.
    pub fn new(client: &'c C, concurrency: usize) -> Result<Self> {
        if concurrency == 0 {
            return Err(NetworkError::invalid_input("concurrency", "must be at least 1"));
        }
        Ok(Self { client, concurrency })
    }

    /// The results in the order of the requests, errors among them.
    pub async fn run<T, F, Fut>(&self, requests: impl IntoIterator<Item = HttpRequest>, handler: F) -> Vec<Result<T>>
    where
        F: Fn(HttpResponse) -> Fut,
        Fut: Future<Output = Result<T>>,
    {
        let running = stream::iter(requests).map(|request| self.one(request, &handler));
        running.buffered(self.concurrency).collect().await
    }

    /// The results in the order of the requests; the first error, of whichever request, aborts the others.
    ///
    /// # Errors
    /// The first error, with the index of its request in the context as `batch_index`.
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
                Err(error) => Err(error.with_context("batch_index", index.to_string())),
            })
            .try_collect()
            .await?;
        done.sort_unstable_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, value)| value).collect())
    }

    /// The results as they come, each with the index of its request. Nothing is sent before the stream is polled, and
    /// nothing more while it is not.
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
