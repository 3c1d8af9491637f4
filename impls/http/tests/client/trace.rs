//! Propagation of trace contexts.

use std::sync::Arc;
use std::time::Duration;

use networking_http::layer::{TraceContext, TraceContextSource};
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::http::{HttpClient, HttpRequest, Method, RetryPolicy, StatusCode};

use parking_lot::Mutex;

use super::spans::{Spans, prevent_interest_cache};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[derive(Debug)]
struct Fixed(Option<&'static str>);

impl TraceContextSource for Fixed {
    fn current(&self) -> Option<TraceContext> {
        self.0.map(|text| text.parse().unwrap())
    }
}

fn memory() -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE);
    memory.route(Method::GET, "/x", [busy, Reply::ok()]).unwrap();
    memory.route(Method::GET, "/hang", Reply::hang()).unwrap();
    memory
}

fn client(memory: &MemoryHttpClient, source: Option<Fixed>) -> StandardHttpClient<MemoryHttpClient> {
    let mut builder = HttpClientBuilder::over(memory.clone())
        .retry(RetryPolicy::new(2))
        .attempt_timeout(Duration::from_secs(5));
    if let Some(source) = source {
        builder = builder.trace_contexts(Arc::new(source));
    }
    builder.build().unwrap()
}

fn request(context: Option<&str>) -> HttpRequest {
    let mut request = HttpRequest::new(Method::GET, "http://api.test/x?api_key=s3cr3t");
    if let Some(context) = context {
        let context: TraceContext = context.parse().unwrap();
        request.extensions.insert(context.with_state("vendor=1").unwrap());
    }
    request
}

fn parents(memory: &MemoryHttpClient) -> Vec<Option<String>> {
    let received = memory.received();
    received
        .iter()
        .map(|request| request.header("traceparent").map(str::to_owned))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_a_child_of_the_caller_and_has_a_span() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let memory = memory();
    client(&memory, None).request(request(Some(CALLER))).await.unwrap();
    let sent: Vec<TraceContext> = parents(&memory)
        .iter()
        .map(|text| text.as_ref().unwrap().parse().unwrap())
        .collect();
    let caller: TraceContext = CALLER.parse().unwrap();
    assert_eq!(sent.len(), 2);
    assert!(
        sent.iter()
            .all(|sent| sent.trace_id() == caller.trace_id() && sent.is_sampled())
    );
    assert_ne!(sent[0].span_id(), sent[1].span_id());
    assert!(sent.iter().all(|sent| sent.span_id() != caller.span_id()));
    assert!(
        memory
            .received()
            .iter()
            .all(|request| request.header("tracestate") == Some("vendor=1"))
    );

    let attempts = spans.of("http.attempt");
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    for (line, sent) in attempts.iter().zip(&sent) {
        for part in [
            format!(r#"trace_id="{:032x}""#, sent.trace_id()),
            format!(r#"span_id="{:016x}""#, sent.span_id()),
            r#"parent_id="00f067aa0ba902b7""#.to_owned(),
            r#"otel.kind="client" otel.name="GET""#.to_owned(),
            r#"server.address="api.test" server.port=80"#.to_owned(),
            "api_key=[redacted]".to_owned(),
        ] {
            assert!(line.contains(&part), "{part}: {line}");
        }
        assert!(line.contains("http.request{"), "inside the span of the call: {line}");
    }
    let own = |line: &str| line.split("http.attempt{").nth(1).unwrap().to_owned();
    let (first, second) = (own(&attempts[0]), own(&attempts[1]));
    assert!(first.contains("http.response.status_code=503"), "{first}");
    assert!(
        first.contains(r#"error.type="503""#) && !first.contains("resend_count"),
        "{first}"
    );
    assert!(
        second.contains("http.request.resend_count=1") && second.contains("http.response.status_code=200"),
        "{second}"
    );
    assert!(!second.contains("error.type"), "{second}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_records_its_error() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let memory = memory();
    let mut request = HttpRequest::new(Method::GET, "http://api.test/hang");
    request.extensions.insert(TraceContext::root(false));
    client(&memory, None).request(request).await.unwrap_err();
    let attempts = spans.of("http.attempt");
    assert_eq!(attempts.len(), 2);
    assert!(
        attempts.iter().all(|line| line.contains(r#"error.type="timeout""#)),
        "{attempts:?}"
    );
    assert!(
        parents(&memory).iter().flatten().all(|parent| parent.ends_with("-00")),
        "not sampled"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_subscriber_the_context_of_the_caller_is_sent() {
    prevent_interest_cache();
    let memory = memory();
    client(&memory, None).request(request(Some(CALLER))).await.unwrap();
    assert_eq!(parents(&memory), [Some(CALLER.to_owned()), Some(CALLER.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_source_provides_contexts_for_requests_without_one() {
    prevent_interest_cache();
    let other = "00-4bf92f3577b34da6a3ce929d0e0e4736-1111111111111111-00";
    let from_source = memory();
    client(&from_source, Some(Fixed(Some(other))))
        .request(request(None))
        .await
        .unwrap();
    assert_eq!(parents(&from_source), [Some(other.to_owned()), Some(other.to_owned())]);

    let own = memory();
    client(&own, Some(Fixed(Some(other))))
        .request(request(Some(CALLER)))
        .await
        .unwrap();
    assert_eq!(parents(&own)[0].as_deref(), Some(CALLER));

    let silent = memory();
    client(&silent, Some(Fixed(None))).request(request(None)).await.unwrap();
    client(&silent, None).request(request(None)).await.unwrap();
    assert!(parents(&silent).iter().all(Option::is_none));
}

#[tokio::test(start_paused = true)]
async fn a_traceparent_of_the_request_is_kept() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let memory = memory();
    let request = request(Some(CALLER)).with_header("traceparent", "whatever").unwrap();
    client(&memory, Some(Fixed(Some(CALLER))))
        .request(request)
        .await
        .unwrap();
    assert_eq!(parents(&memory)[0].as_deref(), Some("whatever"));
    assert!(spans.of("http.attempt").is_empty());
}

/// Records the name of the span in which the source is called.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<Option<&'static str>>>);

impl TraceContextSource for Asked {
    fn current(&self) -> Option<TraceContext> {
        let name = tracing::Span::current().metadata().map(tracing::Metadata::name);
        self.0.lock().push(name);
        None
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_called_inside_the_span() {
    let _guard = Spans::default().listen();
    let asked = Arc::new(Asked::default());
    let client = HttpClientBuilder::over(memory())
        .retries(0)
        .trace_contexts(Arc::clone(&asked) as _)
        .build()
        .unwrap();
    client.request(request(None)).await.unwrap();
    assert_eq!(*asked.0.lock(), [Some("http.attempt")]);
}
