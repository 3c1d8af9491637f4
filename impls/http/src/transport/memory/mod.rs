//! A client without a network, for tests and examples.

mod pattern;
mod received;
mod reply;

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::{HeaderValue, Method, StatusCode, header};
use networking_spi::Result;
use networking_spi::http::{HttpBody, HttpCapabilities, HttpClient, HttpRequest, HttpResponse};
use parking_lot::{Mutex, RwLock};

use self::pattern::Pattern;
pub use self::received::ReceivedRequest;
pub use self::reply::Reply;
use super::{check_scheme, without_wrappers};

/// The maximum number of received requests that are kept. Older ones are removed.
const MAX_RECEIVED: usize = 10_000;

/// The largest accepted request body, in bytes.
const MAX_REQUEST_BODY: usize = 64 << 20;

/// An [`HttpClient`] that answers from routes in memory. It is deterministic, and delays run on tokio's clock.
///
/// A request that matches no route is answered with 404. A later route takes precedence over earlier ones. Like a bare
/// transport, the client returns every status as `Ok` and supports `max_response_size`. Retries, timeouts and so on are added
/// by the wrappers of [`HttpClientBuilder::over`](crate::client::HttpClientBuilder::over).
///
/// Clones share routes and received requests.
///
/// ```
/// use networking_http::{MemoryHttpClient, Reply};
/// use networking_spi::http::{Method, StatusCode};
/// use networking_spi::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), NetworkError> {
/// let http = MemoryHttpClient::new();
/// http.route(Method::GET, "/users/{id}", Reply::ok().with_json(&serde_json::json!({"name": "Ada"}))?)?;
/// http.route(Method::POST, "/users", [Reply::new(StatusCode::SERVICE_UNAVAILABLE), Reply::new(StatusCode::CREATED)])?;
///
/// assert_eq!(http.get("http://api.test/users/7").await?.status, 200);
/// assert_eq!(http.post("http://api.test/users").await?.status, 503);
/// assert_eq!(http.post("http://api.test/users").await?.status, 201);
/// assert_eq!(http.received()[0].param("id"), Some("7"));
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct MemoryHttpClient(Arc<Inner>);

#[derive(Default)]
struct Inner {
    routes: RwLock<Vec<Arc<Route>>>,
    received: Mutex<VecDeque<ReceivedRequest>>,
}

struct Route {
    /// `None`: any method.
    method: Option<Method>,
    pattern: Pattern,
    responder: Responder,
}

impl MemoryHttpClient {
    /// The capabilities of the client.
    pub const CAPABILITIES: HttpCapabilities = {
        let mut capabilities = HttpCapabilities::none();
        capabilities.streaming_download = true;
        capabilities.response_size_limit = true;
        capabilities.trailers = true;
        capabilities
    };

    /// A client without routes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A client that answers every request with `handler`.
    pub fn serving<F, Fut>(handler: F) -> Self
    where
        F: Fn(ReceivedRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        let client = Self::new();
        client.add(None, Pattern::any(), Responder::from_fn(handler));
        client
    }

    /// Answers requests of `method` to `pattern`: a path (`/users/{id}`, `/files/{*rest}`) on any host, or a URL
    /// (`https://api.test/users`) on that host only. A route for GET also answers HEAD. Queries are not matched: the responder finds
    /// them in [`ReceivedRequest::url`].
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) of the field `pattern` for a pattern that is neither, and for one
    /// with a query, a fragment, a space or a control character, which no path has.
    pub fn route(&self, method: Method, pattern: &str, responder: impl Into<Responder>) -> Result<()> {
        self.add(Some(method), Pattern::parse(pattern)?, responder.into());
        Ok(())
    }

    fn add(&self, method: Option<Method>, pattern: Pattern, responder: Responder) {
        self.0.routes.write().push(Arc::new(Route {
            method,
            pattern,
            responder,
        }));
    }

    /// The last 10,000 received requests, the oldest first.
    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.0.received.lock().iter().cloned().collect()
    }

    /// Removes the received requests.
    pub fn clear_received(&self) {
        self.0.received.lock().clear();
    }

    fn record(&self, request: ReceivedRequest) {
        let mut received = self.0.received.lock();
        if received.len() == MAX_RECEIVED {
            received.pop_front();
        }
        received.push_back(request);
    }

    fn find(&self, request: &mut ReceivedRequest) -> Option<Arc<Route>> {
        let routes = self.0.routes.read();
        routes
            .iter()
            .rev()
            .find(|route| {
                let method = route.method.as_ref().is_none_or(|method| {
                    *method == request.method || (request.method == Method::HEAD && *method == Method::GET)
                });
                let params = if method {
                    route.pattern.matches(&request.url)
                } else {
                    None
                };
                params.map(|params| request.params = params).is_some()
            })
            .cloned()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpClient for MemoryHttpClient {
    async fn request(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(Self::CAPABILITIES)?;
        request.take_user_information()?;
        let url = request.target.url()?.clone();
        check_scheme(&url)?;
        let headers = request.headers;
        let limit = request.options.max_response_size;
        let body = request.body.collect(MAX_REQUEST_BODY).await?;
        let mut received = ReceivedRequest::new(request.method, url, headers, body);
        let route = self.find(&mut received);
        self.record(received.clone());

        let (head, url) = (received.method == Method::HEAD, received.url.clone());
        let mut response = match route {
            Some(route) => route.responder.answer(received, head).await?,
            None => HttpResponse::new(StatusCode::NOT_FOUND).with_body(format!("no route for {received}")),
        };
        response.url.get_or_insert(url);
        if let Some(length) = response
            .body
            .length()
            .filter(|_| !response.headers.contains_key(header::CONTENT_LENGTH))
        {
            response
                .headers
                .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if head || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            response.body = HttpBody::empty();
        }
        if let Some(limit) = limit {
            response = response.limited(limit)?;
        }
        Ok(response)
    }

    without_wrappers!();
}

impl fmt::Debug for MemoryHttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryHttpClient")
            .field("routes", &self.0.routes.read().len())
            .field("received", &self.0.received.lock().len())
            .finish()
    }
}

/// How a route answers: with one [`Reply`], with several in order, or with the result of a function.
pub struct Responder(Kind);

enum Kind {
    /// The remaining replies; the last one is repeated.
    Replies(Mutex<VecDeque<Reply>>),
    Function(Handler),
}

type Handler = Box<dyn Fn(ReceivedRequest) -> BoxFuture<'static, Result<HttpResponse>> + Send + Sync>;

impl Responder {
    /// Answers with the result of `handler`.
    pub fn from_fn<F, Fut>(handler: F) -> Self
    where
        F: Fn(ReceivedRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        Self(Kind::Function(Box::new(move |request| Box::pin(handler(request)))))
    }

    /// Answers with each reply once, in order, and then always with the last one. If `replies` is empty, answers with status 200.
    pub fn in_order(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        if replies.is_empty() {
            replies.push_back(Reply::ok());
        }
        Self(Kind::Replies(Mutex::new(replies)))
    }

    async fn answer(&self, request: ReceivedRequest, head: bool) -> Result<HttpResponse> {
        match &self.0 {
            Kind::Function(handler) => handler(request).await,
            Kind::Replies(replies) => {
                let reply = {
                    let mut replies = replies.lock();
                    let next = if replies.len() > 1 {
                        replies.pop_front()
                    } else {
                        replies.front().cloned()
                    };
                    next.unwrap_or_default()
                };
                reply.answer(head).await
            }
        }
    }
}

impl From<Reply> for Responder {
    fn from(reply: Reply) -> Self {
        Self::in_order([reply])
    }
}

impl<const N: usize> From<[Reply; N]> for Responder {
    fn from(replies: [Reply; N]) -> Self {
        Self::in_order(replies)
    }
}

impl From<Vec<Reply>> for Responder {
    fn from(replies: Vec<Reply>) -> Self {
        Self::in_order(replies)
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Replies(replies) => f.debug_tuple("Replies").field(&*replies.lock()).finish(),
            Kind::Function(_) => f.write_str("Function"),
        }
    }
}

/// The request as an [`http::Request`], for handlers that are shared with a real server. Its URI is the path and query.
impl From<ReceivedRequest> for http::Request<Bytes> {
    fn from(request: ReceivedRequest) -> Self {
        let mut converted = Self::new(request.body);
        *converted.method_mut() = request.method;
        // A parsed URL is a valid URI. Handlers of servers expect the path.
        *converted.uri_mut() = request.url[url::Position::BeforePath..url::Position::AfterQuery]
            .parse()
            .unwrap_or_default();
        *converted.headers_mut() = request.headers;
        converted
    }
}
