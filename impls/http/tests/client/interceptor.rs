//! Interceptors.

use std::sync::Arc;

use async_trait::async_trait;
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::http::{
    HttpClientExt, HttpRequest, HttpResponse, Intercepted, Interceptor, Method, RequestHead, RetryPolicy, StatusCode,
};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use parking_lot::Mutex;

type Log = Arc<Mutex<Vec<String>>>;

/// Logs its calls, and acts as configured.
#[derive(Debug)]
struct Spy {
    name: &'static str,
    log: Log,
    acts: Acts,
}

#[derive(Debug, PartialEq, Eq)]
enum Acts {
    Never,
    Responds,
    Refuses,
    Recovers,
    Marks,
}

#[async_trait]
impl Interceptor for Spy {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        self.log.lock().push(format!("{} before", self.name));
        match self.acts {
            Acts::Responds => Ok(Intercepted::Respond(HttpResponse::new(StatusCode::IM_A_TEAPOT))),
            Acts::Refuses => Err(NetworkError::new(ErrorKind::Rejected, "test", "no")),
            Acts::Marks => Ok(Intercepted::Continue(request.with_header("x-mark", self.name)?)),
            Acts::Never | Acts::Recovers => Ok(Intercepted::Continue(request)),
        }
    }

    async fn after(&self, request: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        self.log.lock().push(format!(
            "{} after {} {}",
            self.name,
            request.method,
            response.status.as_u16()
        ));
        Ok(response)
    }

    async fn on_error(&self, request: &RequestHead, error: NetworkError) -> Result<HttpResponse> {
        self.log
            .lock()
            .push(format!("{} error {} {}", self.name, request.url.path(), error.kind()));
        if self.acts == Acts::Recovers {
            Ok(HttpResponse::new(StatusCode::ACCEPTED))
        } else {
            Err(error)
        }
    }
}

fn client(acts: [Acts; 3], reply: Reply) -> (StandardHttpClient<MemoryHttpClient>, MemoryHttpClient, Log) {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", [reply, Reply::ok()]).unwrap();
    let log = Log::default();
    let mut builder = HttpClientBuilder::over(memory.clone());
    for (name, acts) in ["a", "b", "c"].into_iter().zip(acts) {
        builder = builder.interceptor(Arc::new(Spy {
            name,
            log: Arc::clone(&log),
            acts,
        }));
    }
    (builder.build().unwrap(), memory, log)
}

#[tokio::test]
async fn the_first_interceptor_is_the_outermost() {
    let (client, memory, log) = client([Acts::Never, Acts::Marks, Acts::Never], Reply::ok());
    client.get("http://api.test/x").await.unwrap();
    assert_eq!(
        *log.lock(),
        [
            "a before",
            "b before",
            "c before",
            "c after GET 200",
            "b after GET 200",
            "a after GET 200"
        ]
    );
    assert_eq!(memory.received()[0].header("x-mark"), Some("b"));
}

#[tokio::test]
async fn a_response_of_before_is_seen_by_outer_interceptors_only() {
    let (client, memory, log) = client([Acts::Never, Acts::Responds, Acts::Never], Reply::ok());
    assert_eq!(client.get("http://api.test/x").await.unwrap().status, 418);
    assert_eq!(*log.lock(), ["a before", "b before", "a after GET 418"]);
    assert!(memory.received().is_empty());
}

#[tokio::test]
async fn an_error_of_before_is_seen_by_outer_interceptors_only() {
    let (client, memory, log) = client([Acts::Never, Acts::Never, Acts::Refuses], Reply::ok());
    assert_eq!(
        client.get("http://api.test/x").await.unwrap_err().kind(),
        ErrorKind::Rejected
    );
    assert_eq!(
        *log.lock(),
        [
            "a before",
            "b before",
            "c before",
            "b error /x rejected",
            "a error /x rejected"
        ]
    );
    assert!(memory.received().is_empty());
}

#[tokio::test]
async fn an_error_can_become_a_response() {
    let (client, _, log) = client(
        [Acts::Never, Acts::Recovers, Acts::Never],
        Reply::error(ErrorKind::Protocol),
    );
    assert_eq!(client.get("http://api.test/x").await.unwrap().status, 202);
    let expected = [
        "a before",
        "b before",
        "c before",
        "c error /x protocol",
        "b error /x protocol",
        "a after GET 202",
    ];
    assert_eq!(*log.lock(), expected);
}

#[tokio::test(start_paused = true)]
async fn interceptors_see_every_attempt() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/x", [Reply::new(StatusCode::BAD_GATEWAY), Reply::ok()])
        .unwrap();
    let log = Log::default();
    let client = HttpClientBuilder::over(memory)
        .retry(RetryPolicy::new(2))
        .interceptor(Arc::new(Spy {
            name: "a",
            log: Arc::clone(&log),
            acts: Acts::Never,
        }))
        .build()
        .unwrap();
    client.get("http://api.test/x").await.unwrap();
    assert_eq!(
        *log.lock(),
        ["a before", "a after GET 502", "a before", "a after GET 200"]
    );
}

/// Replaces the target of requests.
#[derive(Debug)]
struct Reroute(&'static str);

#[async_trait]
impl Interceptor for Reroute {
    async fn before(&self, mut request: HttpRequest) -> Result<Intercepted> {
        request.target = self.0.into();
        Ok(Intercepted::Continue(request))
    }
}

#[tokio::test]
async fn later_hooks_get_the_request_head_of_their_before_hook() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/{any}", Reply::error(ErrorKind::Protocol))
        .unwrap();
    let log = Log::default();
    let spy = |name| {
        Arc::new(Spy {
            name,
            log: Arc::clone(&log),
            acts: Acts::Never,
        })
    };
    let client = HttpClientBuilder::over(memory)
        .interceptor(spy("a"))
        .interceptor(Arc::new(Reroute("http://api.test/second")))
        .interceptor(spy("b"))
        .interceptor(spy("c"))
        .interceptor(Arc::new(Reroute("http://api.test/third")))
        .interceptor(spy("d"))
        .build()
        .unwrap();
    client.get("http://api.test/first").await.unwrap_err();
    let errors: Vec<String> = log
        .lock()
        .iter()
        .filter(|line| line.contains("error"))
        .cloned()
        .collect();
    assert_eq!(
        errors,
        [
            "d error /third protocol",
            "c error /second protocol",
            "b error /second protocol",
            "a error /first protocol"
        ]
    );
}

/// Fails in one of its hooks, with an error that has this send state.
#[derive(Debug)]
struct FailingHook {
    hook: &'static str,
    state: SendState,
}

impl FailingHook {
    fn error_of_hook(&self) -> NetworkError {
        NetworkError::new(ErrorKind::Exhausted, "test", "failed").with_send_state(self.state)
    }
}

#[async_trait]
impl Interceptor for FailingHook {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        match self.hook {
            "before" => Err(self.error_of_hook()),
            _ => Ok(Intercepted::Continue(request)),
        }
    }

    async fn after(&self, _: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        match self.hook {
            "after" => Err(self.error_of_hook()),
            _ => Ok(response),
        }
    }

    async fn on_error(&self, _: &RequestHead, _: NetworkError) -> Result<HttpResponse> {
        Err(self.error_of_hook())
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_cannot_change_the_send_state() {
    for (hook, state, path, sent, attempts) in [
        ("before", SendState::Sent, "/fine", SendState::NotSent, 2),
        ("after", SendState::NotSent, "/fine", SendState::Sent, 1),
        ("on_error", SendState::NotSent, "/broken", SendState::MaybeSent, 1),
    ] {
        let memory = MemoryHttpClient::new();
        memory.route(Method::POST, "/fine", Reply::ok()).unwrap();
        let broken = Reply::error(ErrorKind::ConnectionClosed);
        memory.route(Method::POST, "/broken", broken).unwrap();
        let client = HttpClientBuilder::over(memory)
            .retry(RetryPolicy::new(2))
            .interceptor(Arc::new(FailingHook { hook, state }))
            .build()
            .unwrap();
        let error = client.post(format!("http://api.test{path}")).await.unwrap_err();
        assert_eq!((error.send_state(), error.attempts()), (sent, attempts), "{hook}");
    }
}
