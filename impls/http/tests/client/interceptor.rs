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

/// Writes down what it sees, and does what it is told.
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
async fn the_first_is_the_outermost() {
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
async fn who_responds_is_seen_from_outside_only() {
    let (client, memory, log) = client([Acts::Never, Acts::Responds, Acts::Never], Reply::ok());
    assert_eq!(client.get("http://api.test/x").await.unwrap().status, 418);
    assert_eq!(*log.lock(), ["a before", "b before", "a after GET 418"]);
    assert!(memory.received().is_empty());
}

#[tokio::test]
async fn who_refuses_is_seen_from_outside_only() {
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
async fn every_attempt_is_seen() {
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

/// Sends requests elsewhere.
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
async fn hooks_are_told_of_the_request_that_they_were_given() {
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

/// Fails in one of its hooks, with an error that claims that nothing was sent, or that everything was.
#[derive(Debug)]
struct Liar {
    hook: &'static str,
    claims: SendState,
}

impl Liar {
    fn lie(&self) -> NetworkError {
        NetworkError::new(ErrorKind::Exhausted, "test", "out of luck").with_send_state(self.claims)
    }
}

#[async_trait]
impl Interceptor for Liar {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        match self.hook {
            "before" => Err(self.lie()),
            _ => Ok(Intercepted::Continue(request)),
        }
    }

    async fn after(&self, _: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        match self.hook {
            "after" => Err(self.lie()),
            _ => Ok(response),
        }
    }

    async fn on_error(&self, _: &RequestHead, _: NetworkError) -> Result<HttpResponse> {
        Err(self.lie())
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_do_not_decide_what_was_sent() {
    for (hook, claims, path, sent, attempts) in [
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
            .interceptor(Arc::new(Liar { hook, claims }))
            .build()
            .unwrap();
        let error = client.post(&format!("http://api.test{path}")).await.unwrap_err();
        assert_eq!((error.send_state(), error.attempts()), (sent, attempts), "{hook}");
    }
}
