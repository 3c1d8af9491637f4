//! The origin server of the cases, on loopback or in process.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_core::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode};
use networking_spi::http::HttpResponse;
use tokio::sync::watch;
use url::Url;

use super::server::Server;
use crate::kit::Failure;

/// Makes the responses of a path.
type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, HttpResponse> + Send + Sync>;

/// The origin server of a case. A clone is a handle of the same server.
///
/// The client of a harness that uses the network sends requests to [`base_url`](Self::base_url). A client in the same
/// process passes them to [`answer`](Self::answer).
#[derive(Clone)]
pub struct Origin(Arc<Inner>);

struct Inner {
    script: Arc<Script>,
    url: Url,
    /// `None` in process.
    server: Option<Server>,
}

/// The responses of the origin, and the requests that it has received.
pub(super) struct Script {
    handlers: std::sync::Mutex<HashMap<String, Handler>>,
    requests: watch::Sender<Vec<Recorded>>,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub(super) struct Recorded {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Recorded {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Origin {
    /// Starts an origin: on a loopback port if `network`, otherwise in process.
    pub(super) async fn start(network: bool) -> Result<Self, Failure> {
        let script = Arc::new(Script {
            handlers: std::sync::Mutex::default(),
            requests: watch::Sender::default(),
        });
        let (server, url) = if network {
            let server = Server::start(Arc::clone(&script)).await?;
            let url = format!("http://{}/", server.address());
            (Some(server), url)
        } else {
            (None, "http://origin.test/".to_owned())
        };
        let url = Url::parse(&url).map_err(|error| Failure::with_error(&url, &error))?;
        Ok(Self(Arc::new(Inner { script, url, server })))
    }

    /// The URL of its root.
    pub fn base_url(&self) -> &Url {
        &self.0.url
    }

    /// Answers a request in process.
    pub async fn answer(&self, request: Request<Bytes>) -> HttpResponse {
        self.0.script.answer(request).await
    }

    /// The URL of a path.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.0.url.as_str().trim_end_matches('/'))
    }

    /// Whether clients reach it through sockets.
    pub(super) fn network(&self) -> bool {
        self.0.server.is_some()
    }

    /// Sets how `path` responds.
    pub(super) fn on<F, Fut>(&self, path: &str, handler: F)
    where
        F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = HttpResponse> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        self.0
            .script
            .handlers
            .lock()
            .expect("no panic while scripting")
            .insert(path.to_owned(), handler);
    }

    /// Makes `path` respond with these responses in order; the last one repeats.
    pub(super) fn reply<F>(&self, path: &str, replies: Vec<F>)
    where
        F: Fn() -> HttpResponse + Send + Sync + 'static,
    {
        let next = std::sync::atomic::AtomicUsize::new(0);
        self.on(path, move |_| {
            let index = next
                .fetch_add(1, std::sync::atomic::Ordering::SeqCst)
                .min(replies.len() - 1);
            let response = replies[index]();
            async move { response }
        });
    }

    /// Makes `path` respond with these statuses in order; the last one repeats.
    pub(super) fn reply_statuses(&self, path: &str, statuses: &[u16]) {
        self.reply(
            path,
            statuses
                .iter()
                .map(|status| {
                    let status = *status;
                    move || status_of(status)
                })
                .collect(),
        );
    }

    /// Makes `path` accept requests without responding.
    pub(super) fn hang(&self, path: &str) {
        self.on(path, |_| std::future::pending());
    }

    /// The requests that have arrived at `path`.
    pub(super) fn requests(&self, path: &str) -> Vec<Recorded> {
        self.0
            .script
            .requests
            .borrow()
            .iter()
            .filter(|request| request.path == path)
            .cloned()
            .collect()
    }

    pub(super) fn hits(&self, path: &str) -> usize {
        self.requests(path).len()
    }

    /// How many requests have arrived at any path.
    pub(super) fn total_hits(&self) -> usize {
        self.0.script.requests.borrow().len()
    }

    /// Waits until `count` requests have arrived at `path`.
    pub(super) async fn arrival(&self, path: &str, count: usize) {
        let mut requests = self.0.script.requests.subscribe();
        let arrived = requests.wait_for(|all| all.iter().filter(|request| request.path == path).count() >= count);
        arrived.await.expect("the origin outlives its case");
    }
}

impl Script {
    pub(super) async fn answer(&self, request: Request<Bytes>) -> HttpResponse {
        let path = request.uri().path().to_owned();
        self.requests.send_modify(|all| {
            all.push(Recorded {
                method: request.method().clone(),
                path: path.clone(),
                query: request.uri().query().map(str::to_owned),
                headers: request.headers().clone(),
                body: request.body().clone(),
            });
        });
        let handler = self
            .handlers
            .lock()
            .expect("no panic while scripting")
            .get(&path)
            .cloned();
        match handler {
            Some(handler) => handler(request).await,
            None => HttpResponse::new(StatusCode::OK).with_body("ok"),
        }
    }
}

/// A response with this status and without a body.
pub(super) fn status_of(status: u16) -> HttpResponse {
    let status = StatusCode::from_u16(status).expect("cases use valid statuses");
    HttpResponse::new(status)
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin")
            .field("url", &self.0.url.as_str())
            .finish_non_exhaustive()
    }
}
