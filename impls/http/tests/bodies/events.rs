//! Server-sent events: connections that end, fail, are refused, and are reopened.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use networking_http::{EventSource, HttpClientBuilder, MemoryHttpClient, Reply, TransportConfig};
use networking_runtime::clock::TokioClock;
use networking_spi::ErrorKind;
use networking_spi::clock::Clock;
use networking_spi::http::{
    EventLimits, HttpBody, HttpRequest, Jitter, Method, RetryPolicy, RetryPredicate, StatusCode,
};
use networking_spi::prelude::*;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::bodies::clock::FixedClock;
use crate::bodies::server::{Server, response};
use crate::raw::RawServer;
use crate::transports::{Make, over_both};

over_both!(an_event_stream_may_be_silent);

fn events(text: &str) -> Reply {
    Reply::ok()
        .with_header("content-type", "text/event-stream")
        .unwrap()
        .with_body(text.to_owned())
}

fn source(replies: Vec<Reply>) -> (MemoryHttpClient, EventSource) {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/events", replies).unwrap();
    let request = HttpRequest::new(Method::GET, "http://sse.test/events");
    let source = EventSource::new(Arc::new(memory.clone()), request)
        .unwrap()
        .with_reconnect(seconds(3))
        .unwrap();
    (memory, source)
}

/// Waits of exactly 1 s, 2 s, 4 s, ... between attempts.
fn seconds(attempts: u32) -> RetryPolicy {
    RetryPolicy::new(attempts)
        .with_delays(Duration::from_secs(1), Duration::from_secs(60))
        .with_jitter(Jitter::None)
}

fn no_content() -> Reply {
    Reply::new(StatusCode::NO_CONTENT)
}

#[tokio::test(start_paused = true)]
async fn the_last_error_after_reconnections_is_exhausted() {
    let (_, mut events) = source(vec![Reply::new(StatusCode::SERVICE_UNAVAILABLE)]);
    let error = events.next().await.unwrap().unwrap_err();
    assert_eq!((error.attempts(), error.status()), (3, Some(503)));
    assert!(!error.retryability().is_retryable(), "{:?}", error.retryability());
}

#[tokio::test(start_paused = true)]
async fn it_reconnects_with_the_last_event_id_until_a_204() {
    let (memory, source) = source(vec![
        events("id: 1\ndata: a\n\nid: 2\ndata: b\n\ndata: cut"),
        events("data: cut off\n\nid: 3\n\n").with_truncated_body(17),
        events("data: c\n\n"),
        no_content(),
    ]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let source = source.on_reconnect(move |reconnect| {
        let kind = reconnect.error.map(NetworkError::kind);
        sink.lock().push((kind, reconnect.delay.as_secs(), reconnect.attempts));
    });
    let all: Vec<_> = source.try_collect().await.unwrap();
    let data: Vec<_> = all
        .iter()
        .map(|event| (event.data.as_str(), event.id.as_str()))
        .collect();
    assert_eq!(data, [("a", "1"), ("b", "2"), ("cut off", "2"), ("c", "2")]);
    let ids: Vec<_> = memory
        .received()
        .iter()
        .map(|request| request.header("last-event-id").map(str::to_owned))
        .collect();
    let two = || Some("2".to_owned());
    assert_eq!(ids, [None, two(), two(), two()]);
    assert_eq!(memory.received()[0].header("accept"), Some("text/event-stream"));
    assert_eq!(
        *seen.lock(),
        [(None, 1, 0), (Some(ErrorKind::TruncatedBody), 1, 0), (None, 1, 0)]
    );
}

#[tokio::test(start_paused = true)]
async fn the_retry_field_delays_a_reconnection_by_at_most_an_hour() {
    for (retry, expected) in [("500", 1), ("5000", 5), ("99999999999999999", 3_600)] {
        let (_, source) = source(vec![events(&format!("retry: {retry}\ndata: a\n\n")), no_content()]);
        let start = Instant::now();
        assert_eq!(source.count().await, 1);
        assert_eq!(start.elapsed().as_secs(), expected, "{retry}");
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_without_an_event_stream_are_bounded_and_an_event_stream_resets_the_count() {
    let down = || Reply::error(ErrorKind::ConnectionRefused);
    let (memory, source) = source(vec![down(), down(), events("data: a\n\n"), down()]);
    let start = Instant::now();
    let items: Vec<_> = source.collect().await;
    assert_eq!(items.len(), 2);
    assert_eq!(items[0].as_ref().unwrap().data, "a");
    let error = items[1].as_ref().unwrap_err();
    assert_eq!((error.kind(), error.attempts()), (ErrorKind::ConnectionRefused, 3));
    assert_eq!(
        memory.received().len(),
        6,
        "three up to the event stream, and three after it"
    );
    assert_eq!(start.elapsed().as_secs(), (1 + 2) + 1 + (1 + 2));

    // Event streams without events are no failures.
    let mut replies = vec![events(": nothing but comments\n\n"); 5];
    replies.extend([events("data: a\n\n"), no_content()]);
    let (memory, source) = self::source(replies);
    let items: Vec<_> = source.try_collect().await.unwrap();
    assert_eq!((items.len(), memory.received().len()), (1, 7));
}

#[tokio::test(start_paused = true)]
async fn permanent_errors_end_the_stream_and_a_503_is_retried() {
    let html = Reply::ok()
        .with_header("content-type", "text/html")
        .unwrap()
        .with_body("data: a\n\n");
    for (reply, kind) in [
        (html, ErrorKind::Protocol),
        (Reply::new(StatusCode::UNAUTHORIZED), ErrorKind::Authentication),
        (Reply::new(StatusCode::CREATED), ErrorKind::Protocol),
        (Reply::error(ErrorKind::Tls), ErrorKind::Tls),
        (events(&format!("data: {}\n\n", "x".repeat(100))), ErrorKind::TooLarge),
    ] {
        let (memory, source) = source(vec![reply]);
        let items: Vec<_> = source.with_limits(EventLimits::new(50, 50)).unwrap().collect().await;
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].as_ref().unwrap_err().kind(), kind);
        assert_eq!(memory.received().len(), 1);
    }
    let (memory, source) = source(vec![
        Reply::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_header("retry-after", "9")
            .unwrap(),
        no_content(),
    ]);
    let start = Instant::now();
    assert_eq!(source.count().await, 0);
    assert_eq!((start.elapsed().as_secs(), memory.received().len()), (9, 2));
}

#[tokio::test(start_paused = true)]
async fn a_date_in_retry_after_is_obeyed_and_the_predicate_decides_about_statuses() {
    let at = httpdate::fmt_http_date(TokioClock::new().now() + Duration::from_secs(30));
    let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE)
        .with_header("retry-after", &at)
        .unwrap();
    let (_, busy_source) = source(vec![busy.clone(), no_content()]);
    let start = Instant::now();
    assert_eq!(busy_source.count().await, 0);
    assert!((20..=31).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());

    for (reply, attempts) in [(Reply::new(StatusCode::NOT_FOUND), 2), (busy, 1)] {
        let (memory, source) = source(vec![reply, no_content()]);
        let source = source
            .with_reconnect(seconds(3).with_predicate(Arc::new(CustomRules)))
            .unwrap();
        source.count().await;
        assert_eq!(memory.received().len(), attempts);
    }
}

/// Retries 404, and does not retry 503.
#[derive(Debug)]
struct CustomRules;

impl RetryPredicate for CustomRules {
    fn on_status(&self, status: StatusCode) -> Option<bool> {
        match status.as_u16() {
            404 => Some(true),
            503 => Some(false),
            _ => None,
        }
    }

    fn on_error(&self, _: &NetworkError) -> Option<bool> {
        None
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_next_future_does_not_cancel_the_attempt() {
    let slow = events("data: a\n\n").with_delay(Duration::from_secs(10));
    let (memory, mut source) = source(vec![slow, no_content()]);
    for _ in 0..9 {
        let wait = tokio::time::timeout(Duration::from_secs(1), source.next()).await;
        assert!(wait.is_err());
    }
    assert_eq!(source.next().await.unwrap().unwrap().data, "a");
    assert_eq!(memory.received().len(), 1);
    assert!(source.next().await.is_none());
    assert!(source.next().await.is_none(), "the stream stays ended");
}

#[test]
fn settings_are_checked() {
    let memory = || Arc::new(MemoryHttpClient::new());
    let request = || HttpRequest::new(Method::GET, "http://sse.test/events");
    let once = request().with_body(HttpBody::stream(Box::pin(futures_util::stream::empty()), None));
    assert_eq!(EventSource::new(memory(), once).unwrap_err().field(), Some("body"));
    let source = || EventSource::new(memory(), request()).unwrap();
    assert_eq!(
        source().with_last_event_id("a\nb").unwrap_err().field(),
        Some("last_event_id")
    );
    let error = source().with_limits(EventLimits::new(0, 1)).unwrap_err();
    assert_eq!(error.field(), Some("limits.max_line_bytes"));
    let error = source().with_reconnect(RetryPolicy::new(0)).unwrap_err();
    assert_eq!(error.field(), Some("reconnect.max_attempts"));
}

#[tokio::test]
async fn over_a_real_connection() {
    let head = [("content-type", "text/event-stream; charset=utf-8")];
    let server = Server::start(move |request, number| {
        if number == 0 {
            let first = b"id: 7\r\ndata: a\r\n\r\ndata: cut off by the connection";
            return response("200 OK", &head, 1_000, first);
        }
        assert_eq!(request.header("last-event-id"), Some("7"));
        response("200 OK", &head, 9, b"data: b\n\n")
    })
    .await;
    let http = HttpClientBuilder::new().max_response_size(Some(1)).build().unwrap();
    let request = HttpRequest::new(Method::GET, server.url("/events").as_str());
    let quick = RetryPolicy::new(3).with_delays(Duration::from_millis(1), Duration::from_millis(1));
    let source = EventSource::new(Arc::new(http), request)
        .unwrap()
        .with_reconnect(quick)
        .unwrap();
    let two: Vec<_> = source.take(2).try_collect().await.unwrap();
    assert_eq!(
        (two[0].data.as_str(), two[1].data.as_str(), two[1].id.as_str()),
        ("a", "b", "7")
    );
}

#[tokio::test(start_paused = true)]
async fn dates_are_compared_with_the_clock_of_the_source() {
    let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE)
        .with_header("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")
        .unwrap();
    let (_, source) = source(vec![busy, no_content()]);
    let begin = Instant::now();
    let events: Vec<_> = source.with_clock(Arc::new(FixedClock)).try_collect().await.unwrap();
    assert_eq!((events.len(), begin.elapsed()), (0, Duration::from_secs(10)));
}

async fn an_event_stream_may_be_silent(make: Make) {
    let server = RawServer::start(|mut stream| async move {
        let _ = stream.read(&mut [0; 4_096]).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: Text/Event-Stream; charset=utf-8\r\n\r\n";
        stream.write_all(head).await.unwrap();
        // Ten times the read timeout.
        tokio::time::sleep(Duration::from_millis(500)).await;
        stream.write_all(b"data: late\n\n").await.unwrap();
    })
    .await;
    let config = TransportConfig::new().with_read_timeout(Duration::from_millis(50));
    let request = HttpRequest::new(Method::GET, server.url("/"));
    let policy = RetryPolicy::new(1);
    let mut source = EventSource::new(make(config), request)
        .unwrap()
        .with_reconnect(policy)
        .unwrap()
        .on_reconnect(|reconnect| panic!("the stream ended: {reconnect:?}"));
    assert_eq!(source.next().await.unwrap().unwrap().data, "late");
}
