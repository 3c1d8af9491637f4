//! Downloads that are interrupted, resumed, started over, and refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use networking_http::layer::InterceptorClient;
use networking_http::{Download, DownloadProgress, HttpClientBuilder, MemoryHttpClient, Reply, Responder};
use networking_runtime::clock::TokioClock;
use networking_spi::ErrorKind;
use networking_spi::clock::Clock;
use networking_spi::http::{
    HttpBody, HttpResponse, Intercepted, Interceptor, Jitter, Method, RetryPolicy, RetryPredicate, StatusCode,
};
use networking_spi::prelude::*;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::bodies::clock::FixedClock;
use crate::bodies::server::{Received, Server, response};

const ETAG: (&str, &str) = ("etag", "\"v1\"");

fn content() -> Vec<u8> {
    (0..500_000_u32).map(|index| (index % 253) as u8).collect()
}

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn policy(attempts: u32) -> RetryPolicy {
    RetryPolicy::new(attempts)
        .with_delays(Duration::from_millis(1), Duration::from_millis(1))
        .with_jitter(Jitter::None)
}

/// The first byte of a request's range.
fn from(request: &Received) -> Option<usize> {
    let range = request.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?;
    Some(range.parse().unwrap())
}

/// The response of a server that supports ranges. It announces the rest of `content`, but sends at most `burst` bytes of it.
fn serve(content: &[u8], request: &Received, burst: usize) -> Vec<u8> {
    let start = from(request).filter(|_| request.header("if-range") == Some(ETAG.1));
    let rest = &content[start.unwrap_or_default()..];
    let sent = &rest[..burst.min(rest.len())];
    match start {
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", content.len() - 1, content.len());
            response(
                "206 Partial Content",
                &[ETAG, ("content-range", &range)],
                rest.len(),
                sent,
            )
        }
        None => response("200 OK", &[ETAG], rest.len(), sent),
    }
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_broken_connection_is_resumed_within_the_call() {
    let whole = content();
    let copy = whole.clone();
    let server = Server::start(move |request, _| serve(&copy, request, 150_000)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    std::fs::write(&path, "a former version").unwrap();
    let seen = Arc::new(Mutex::new(Vec::<DownloadProgress>::new()));
    let sink = Arc::clone(&seen);

    // The standard client would request compressed responses.
    let http: Arc<dyn HttpClient> = Arc::new(HttpClientBuilder::new().max_response_size(Some(1_000)).build().unwrap());
    let done = Download::new(server.url("/disk.img?token=SECRET").as_str(), &path)
        .with_retry(policy(6))
        .with_sha256(&digest(&whole))
        .unwrap()
        .on_progress(move |progress| sink.lock().push(progress))
        .run(&http)
        .await
        .unwrap();

    assert_eq!((done.size, done.attempts, done.resumed_from), (500_000, 4, 0));
    assert!(std::fs::read(&path).unwrap() == whole);
    assert_eq!(files(directory.path()), ["disk.img"]);
    let received = server.received();
    assert_eq!(
        received.iter().map(from).collect::<Vec<_>>(),
        [None, Some(150_000), Some(300_000), Some(450_000)]
    );
    assert!(
        received
            .iter()
            .all(|request| request.header("accept-encoding") == Some("identity"))
    );
    let seen = seen.lock();
    assert!(seen.windows(2).all(|pair| pair[0].received <= pair[1].received));
    assert!(seen.iter().all(|progress| progress.total == Some(500_000)));
    assert_eq!(seen.last().unwrap().received, 500_000);
    assert_eq!(seen.last().unwrap().resumed_from, 450_000);
}

#[tokio::test]
async fn a_later_call_resumes_a_failed_one() {
    let whole = content();
    let copy = whole.clone();
    let server = Server::start(move |request, number| serve(&copy, request, [200_000, usize::MAX][number])).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("disk.img");
    let http = HttpClientBuilder::new().build().unwrap();
    let url = server.url("/disk.img?token=SECRET");
    let download = Download::new(url.as_str(), &path).with_retry(policy(1));

    let error = download.run(&http).await.unwrap_err();
    assert!(error.retryability().is_retryable(), "{error:?}");
    assert!(error.to_string().contains("disk.img"), "{error}");
    assert_eq!(files(directory.path()), ["disk.img.part", "disk.img.part.json"]);
    let sidecar = std::fs::read_to_string(directory.path().join("disk.img.part.json")).unwrap();
    assert!(!sidecar.contains("SECRET"), "{sidecar}");

    let done = download.with_sha256(&digest(&whole)).unwrap().run(&http).await.unwrap();
    assert_eq!((done.resumed_from, done.attempts), (200_000, 1));
    assert!(std::fs::read(&path).unwrap() == whole);
    assert_eq!(files(directory.path()), ["disk.img"]);
}

#[tokio::test]
async fn a_dropped_call_is_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let memory = MemoryHttpClient::new();
    let reached = Arc::new(tokio::sync::Notify::new());
    let signal = Arc::clone(&reached);
    let answer = Responder::from_fn(move |request| {
        let signal = Arc::clone(&signal);
        async move {
            if request.header("range") == Some("bytes=5-") {
                return HttpResponse::new(StatusCode::PARTIAL_CONTENT)
                    .with_body("56789")
                    .with_header("content-range", "bytes 5-9/10")?
                    .with_header("etag", "\"a\"");
            }
            // Sends five bytes, and then nothing.
            let chunks = futures_util::stream::unfold(0, move |step| {
                let signal = Arc::clone(&signal);
                async move {
                    if step == 0 {
                        return Some((Ok(bytes::Bytes::from_static(b"01234")), 1));
                    }
                    signal.notify_one();
                    std::future::pending().await
                }
            });
            HttpResponse::new(StatusCode::OK)
                .with_body(HttpBody::stream(Box::pin(chunks), Some(10)))
                .with_header("etag", "\"a\"")
        }
    });
    memory.route(Method::GET, "/file", answer).unwrap();
    let download = Download::new("http://files.test/file", &path);
    tokio::select! {
        _ = download.run(&memory) => panic!("the download cannot finish"),
        () = reached.notified() => {}
    }
    assert!(!path.exists());
    let done = download.run(&memory).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
    assert_eq!((done.resumed_from, done.attempts), (5, 1));
}

/// Creates a part of `01234` with the validator `"a"`, and then routes `/file` to `replies`.
async fn resumed_with(directory: &Path, replies: Vec<Reply>) -> (MemoryHttpClient, Download) {
    let memory = MemoryHttpClient::new();
    let start = Reply::ok()
        .with_header("etag", "\"a\"")
        .unwrap()
        .with_body("0123456789")
        .with_truncated_body(5);
    memory.route(Method::GET, "/file", start).unwrap();
    let download = Download::new("http://files.test/file", directory.join("file")).with_retry(policy(1));
    download.run(&memory).await.unwrap_err();
    assert_eq!(std::fs::read(directory.join("file.part")).unwrap(), b"01234");
    memory.route(Method::GET, "/file", replies).unwrap();
    memory.clear_received();
    (memory, download.with_retry(policy(2)))
}

fn partial(body: &str, range: &str, etag: &str) -> Reply {
    Reply::new(StatusCode::PARTIAL_CONTENT)
        .with_header("content-range", range)
        .and_then(|reply| reply.with_header("etag", etag))
        .unwrap()
        .with_body(body.to_owned())
}

fn whole(body: &str, etag: &str) -> Reply {
    Reply::ok()
        .with_header("etag", etag)
        .unwrap()
        .with_body(body.to_owned())
}

#[tokio::test]
async fn a_changed_resource_and_a_wrong_range_are_downloaded_from_the_start() {
    let without_range = Reply::new(StatusCode::PARTIAL_CONTENT).with_body("56789");
    let coded = partial("56789", "bytes 5-9/10", "\"a\"")
        .with_header("content-encoding", "gzip")
        .unwrap();
    let unsatisfied = |total: &str| {
        Reply::new(StatusCode::RANGE_NOT_SATISFIABLE)
            .with_header("content-range", total)
            .unwrap()
    };
    for (name, replies, attempts) in [
        ("200 in place of 206", vec![whole("new", "\"b\"")], 1),
        (
            "206 of another version",
            vec![partial("x", "bytes 5-5/6", "\"b\""), whole("new", "\"b\"")],
            2,
        ),
        (
            "206 of another size",
            vec![partial("x", "bytes 5-5/6", "\"a\""), whole("new", "\"b\"")],
            2,
        ),
        (
            "206 of an aligned range",
            vec![partial("456789", "bytes 4-9/10", "\"a\""), whole("new", "\"b\"")],
            2,
        ),
        (
            "206 of a later range",
            vec![partial("6789", "bytes 6-9/10", "\"a\""), whole("new", "\"b\"")],
            2,
        ),
        (
            "206 of items",
            vec![partial("6789", "items 5-9/10", "\"a\""), whole("new", "\"b\"")],
            2,
        ),
        ("206 without a range", vec![without_range, whole("new", "\"b\"")], 2),
        ("206 with a coding", vec![coded, whole("new", "\"b\"")], 2),
        (
            "416 of a shorter resource",
            vec![unsatisfied("bytes */3"), whole("new", "\"b\"")],
            2,
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (memory, download) = resumed_with(directory.path(), replies).await;
        let done = download
            .run(&memory)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(
            (done.size, done.resumed_from, done.attempts),
            (3, 0, attempts),
            "{name}"
        );
        assert_eq!(std::fs::read(directory.path().join("file")).unwrap(), b"new", "{name}");
        let received = memory.received();
        assert_eq!(received[0].header("range"), Some("bytes=5-"), "{name}");
        assert_eq!(received[0].header("if-range"), Some("\"a\""), "{name}");
        if let Some(second) = received.get(1) {
            assert_eq!(second.header("range"), None, "{name}");
        }
        assert_eq!(files(directory.path()), ["file"], "{name}");
    }

    // Another version whose size is that of the part.
    let directory = tempfile::tempdir().unwrap();
    let replies = vec![unsatisfied("bytes */5"), whole("other", "\"b\"")];
    let (memory, download) = resumed_with(directory.path(), replies).await;
    let done = download.run(&memory).await.unwrap();
    assert_eq!((done.size, done.resumed_from, done.attempts), (5, 0, 2));
    assert_eq!(std::fs::read(directory.path().join("file")).unwrap(), b"other");
}

#[tokio::test]
async fn a_complete_part_is_used_unless_the_resource_changed_or_is_too_large() {
    for (limit, etag, expected) in [
        (10, "\"a\"", Ok((10, "0123456789"))),
        (10, "\"b\"", Ok((0, "other"))),
        (9, "\"a\"", Err(ErrorKind::TooLarge)),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let unsatisfied = Reply::new(StatusCode::RANGE_NOT_SATISFIABLE)
            .with_header("content-range", "bytes */10")
            .and_then(|reply| reply.with_header("etag", etag))
            .unwrap();
        let replies = vec![unsatisfied, whole("other", "\"b\"")];
        let (memory, download) = resumed_with(directory.path(), replies).await;
        // All bytes were received, but the part was not renamed.
        std::fs::write(directory.path().join("file.part"), "0123456789").unwrap();
        let done = download.with_max_size(limit).run(&memory).await;
        assert_eq!(
            done.as_ref().map(|done| done.resumed_from).map_err(NetworkError::kind),
            expected.map(|(resumed_from, _)| resumed_from)
        );
        if let Ok((_, content)) = expected {
            let file = std::fs::read_to_string(directory.path().join("file")).unwrap();
            assert_eq!(file, content);
        }
        assert_eq!(memory.received()[0].header("range"), Some("bytes=10-"));
    }
}

#[tokio::test]
async fn without_a_total_size_the_end_of_the_range_is_the_end_of_the_file() {
    // The first response does not announce a size, either.
    let start = |directory: &Path, replies: Vec<Reply>| {
        let memory = MemoryHttpClient::new();
        let start = Responder::from_fn(|_| async {
            let lost = NetworkError::new(ErrorKind::ConnectionClosed, "test", "lost");
            let chunks = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"01234")), Err(lost)]);
            HttpResponse::new(StatusCode::OK)
                .with_body(HttpBody::stream(Box::pin(chunks), None))
                .with_header("etag", "\"a\"")
        });
        memory.route(Method::GET, "/file", start).unwrap();
        let download = Download::new("http://files.test/file", directory.join("file"));
        async move {
            download.clone().with_retry(policy(1)).run(&memory).await.unwrap_err();
            memory.route(Method::GET, "/file", replies).unwrap();
            download.with_retry(policy(2)).run(&memory).await
        }
    };
    let directory = tempfile::tempdir().unwrap();
    let replies = vec![
        partial("567", "bytes 5-9/*", "\"a\""),
        partial("89", "bytes 8-9/*", "\"a\""),
    ];
    let done = start(directory.path(), replies).await.unwrap();
    assert_eq!((done.size, done.attempts), (10, 2));
    assert_eq!(std::fs::read(directory.path().join("file")).unwrap(), b"0123456789");

    let directory = tempfile::tempdir().unwrap();
    let replies = vec![partial("56789", "bytes 5-6/*", "\"a\"")];
    let error = start(directory.path(), replies).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("announced: 7"), "{error}");
    assert!(files(directory.path()).is_empty());
}

#[tokio::test]
async fn equal_strong_tags_identify_the_same_version_regardless_of_dates() {
    let directory = tempfile::tempdir().unwrap();
    let dated = |reply: Reply, modified: &str| {
        let reply = reply.with_header("date", "Sat, 21 Nov 2026 06:00:00 GMT").unwrap();
        reply.with_header("last-modified", modified).unwrap()
    };
    let start = whole("0123456789", "\"a\"").with_truncated_body(5);
    let rest = partial("56789", "bytes 5-9/10", "\"a\"");
    let memory = MemoryHttpClient::new();
    let replies = [
        dated(start, "Sat, 21 Nov 2026 05:00:00 GMT"),
        dated(rest, "Sat, 21 Nov 2026 05:00:07 GMT"),
    ];
    memory.route(Method::GET, "/file", replies).unwrap();
    let path = directory.path().join("file");
    let done = Download::new("http://files.test/file", &path)
        .with_retry(policy(2))
        .run(&memory)
        .await
        .unwrap();
    assert_eq!(done.attempts, 2);
    assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
}

#[tokio::test]
async fn unexpected_responses_are_errors_with_the_cause_and_keep_the_part() {
    let encoded = whole("new", "\"b\"").with_header("content-encoding", "gzip").unwrap();
    for (reply, kind, expected_text) in [
        (encoded, ErrorKind::Protocol, "coding: gzip"),
        (Reply::new(StatusCode::NO_CONTENT), ErrorKind::Protocol, "neither 200"),
        (
            Reply::new(StatusCode::NOT_FOUND),
            ErrorKind::NotFound,
            "files.test/file",
        ),
        (Reply::error(ErrorKind::Tls), ErrorKind::Tls, "path: "),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let (memory, download) = resumed_with(directory.path(), vec![reply]).await;
        let error = download.run(&memory).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(expected_text), "{error}");
        assert!(error.to_string().contains("path: "), "{error}");
        assert_eq!(memory.received().len(), 1, "not retried: {error}");
        assert_eq!(
            std::fs::read(directory.path().join("file.part")).unwrap(),
            b"01234",
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_too_large_or_has_another_digest_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/file", whole("0123456789", "\"a\""))
        .unwrap();
    let download = Download::new("http://files.test/file", &path);
    let error = download.clone().with_max_size(9).run(&memory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("limit: 9"), "{error}");
    assert!(files(directory.path()).is_empty());

    let wrong = download.clone().with_sha256(&digest(b"something else")).unwrap();
    let error = wrong.run(&memory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol);
    assert!(error.to_string().contains("path: "), "{error}");
    assert!(files(directory.path()).is_empty());
    assert_eq!(download.clone().with_sha256("xyz").unwrap_err().field(), Some("sha256"));

    // A body without an announced size that exceeds the limit.
    let endless = Responder::from_fn(|_| async {
        let chunks = futures_util::stream::repeat_with(|| Ok(bytes::Bytes::from(vec![0; 64 << 10])));
        Ok(HttpResponse::new(StatusCode::OK).with_body(HttpBody::stream(Box::pin(chunks), None)))
    });
    memory.route(Method::GET, "/file", endless).unwrap();
    let error = download.with_max_size(1_000_000).run(&memory).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(files(directory.path()).is_empty());
}

#[tokio::test]
async fn without_a_strong_validator_a_download_starts_over() {
    let weak = [("etag", "W/\"a\"")];
    let recent = [
        ("last-modified", "Sat, 21 Nov 2026 05:00:00 GMT"),
        ("date", "Sat, 21 Nov 2026 05:00:00 GMT"),
    ];
    let undated = [("last-modified", "Sat, 21 Nov 2026 05:00:00 GMT")];
    for headers in [&weak[..], &recent, &undated] {
        let directory = tempfile::tempdir().unwrap();
        let memory = MemoryHttpClient::new();
        let with = |reply: Reply| {
            headers
                .iter()
                .fold(reply, |reply, (name, value)| reply.with_header(name, value).unwrap())
        };
        let replies = [
            with(Reply::ok()).with_body("0123456789").with_truncated_body(5),
            with(Reply::ok()).with_body("0123456789"),
        ];
        memory.route(Method::GET, "/file", replies).unwrap();
        let path = directory.path().join("file");
        let download = Download::new("http://files.test/file", &path).with_retry(policy(2));
        let done = download.run(&memory).await.unwrap();
        assert_eq!((done.size, done.attempts), (10, 2), "{headers:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
        assert!(
            memory
                .received()
                .iter()
                .all(|request| request.header("range").is_none())
        );
    }

    let strong = whole("0123456789", "W/\"a\"")
        .with_header("last-modified", "Sat, 21 Nov 2026 05:00:00 GMT")
        .and_then(|reply| reply.with_header("date", "Sat, 21 Nov 2026 05:00:01 GMT"))
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryHttpClient::new();
    memory
        .route(
            Method::GET,
            "/file",
            [strong.with_truncated_body(5), partial("56789", "bytes 5-9/*", "\"x\"")],
        )
        .unwrap();
    let path = directory.path().join("file");
    Download::new("http://files.test/file", &path)
        .with_retry(policy(2))
        .run(&memory)
        .await
        .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"0123456789");
    assert_eq!(
        memory.received()[1].header("if-range"),
        Some("Sat, 21 Nov 2026 05:00:00 GMT")
    );
}

#[tokio::test(start_paused = true)]
async fn retry_after_delays_the_next_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryHttpClient::new();
    let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE)
        .with_header("retry-after", "7")
        .unwrap();
    memory
        .route(Method::GET, "/file", [busy, whole("done", "\"a\"")])
        .unwrap();
    let start = tokio::time::Instant::now();
    let path = directory.path().join("file");
    let done = Download::new("http://files.test/file", &path)
        .run(&memory)
        .await
        .unwrap();
    assert_eq!(done.attempts, 2);
    assert!(start.elapsed() >= Duration::from_secs(7));

    // A date is obeyed, too, also for a status that only this policy lists.
    let clock = TokioClock::new();
    let date = httpdate::fmt_http_date(clock.now() + Duration::from_secs(30));
    let busy = Reply::new(StatusCode::from_u16(520).unwrap())
        .with_header("retry-after", &date)
        .unwrap();
    memory
        .route(Method::GET, "/file", [busy, whole("done", "\"a\"")])
        .unwrap();
    let start = tokio::time::Instant::now();
    Download::new("http://files.test/file", &path)
        .with_retry(policy(2).with_statuses([520]))
        .run(&memory)
        .await
        .unwrap();
    assert!(start.elapsed() >= Duration::from_secs(20), "{:?}", start.elapsed());
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

#[tokio::test]
async fn the_predicate_of_the_policy_decides_about_statuses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let memory = MemoryHttpClient::new();
    let download =
        Download::new("http://files.test/file", &path).with_retry(policy(2).with_predicate(Arc::new(CustomRules)));
    for (status, attempts) in [(404, Some(2)), (503, None)] {
        let refused = Reply::new(StatusCode::from_u16(status).unwrap());
        memory
            .route(Method::GET, "/file", [refused, whole("done", "\"a\"")])
            .unwrap();
        let done = download.run(&memory).await;
        assert_eq!(done.ok().map(|done| done.attempts), attempts, "{status}");
    }
}

/// Refuses requests without a [`Mark`].
#[derive(Debug)]
struct RequiresMark;

#[derive(Clone)]
struct Mark;

#[async_trait::async_trait]
impl Interceptor for RequiresMark {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted, NetworkError> {
        match request.extensions.get::<Mark>() {
            Some(Mark) => Ok(Intercepted::Continue(request)),
            None => Err(NetworkError::new(ErrorKind::Rejected, "test", "no mark")),
        }
    }
}

#[tokio::test]
async fn each_attempt_has_the_extensions_of_the_request() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryHttpClient::new();
    let replies = [
        whole("0123", "\"a\"").with_truncated_body(2),
        partial("23", "bytes 2-3/4", "\"a\""),
    ];
    memory.route(Method::GET, "/file", replies).unwrap();
    let http = InterceptorClient::new(memory, vec![Arc::new(RequiresMark)]);
    let mut request = HttpRequest::new(Method::GET, "http://files.test/file");
    request.extensions.insert(Mark);
    let download = Download::of(request, directory.path().join("file")).unwrap();
    let done = download.with_retry(policy(2)).run(&http).await.unwrap();
    assert_eq!((done.size, done.attempts), (4, 2));
}

#[tokio::test]
async fn invalid_paths_and_requests_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/file", whole("done", "\"a\"")).unwrap();
    let run = async |path: &Path| {
        Download::new("http://files.test/file", path)
            .run(&memory)
            .await
            .unwrap_err()
    };
    for path in [directory.path(), Path::new("")] {
        assert_eq!(run(path).await.field(), Some("path"));
    }
    assert!(memory.received().is_empty());
    let error = run(&directory.path().join("no/such/file")).await;
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no/such/file.part"), "{error}");

    let refused = |request| Download::of(request, "x").unwrap_err().field().map(str::to_owned);
    let get = || HttpRequest::new(Method::GET, "http://files.test/file");
    assert_eq!(
        refused(HttpRequest::new(Method::POST, "http://a.test")).as_deref(),
        Some("method")
    );
    assert_eq!(refused(get().with_body("x")).as_deref(), Some("body"));
    assert_eq!(
        refused(get().with_header("range", "bytes=0-").unwrap()).as_deref(),
        Some("header.range")
    );
}

#[tokio::test]
async fn a_part_of_another_url_or_with_a_broken_sidecar_is_not_used() {
    for sidecar in [None, Some("{not json"), Some("{}")] {
        let directory = tempfile::tempdir().unwrap();
        let (memory, download) = resumed_with(directory.path(), vec![whole("new", "\"b\"")]).await;
        memory.route(Method::GET, "/other", whole("new", "\"b\"")).unwrap();
        let download = match sidecar {
            Some(text) => {
                std::fs::write(directory.path().join("file.part.json"), text).unwrap();
                download
            }
            None => Download::new("http://files.test/other", directory.path().join("file")),
        };
        download.run(&memory).await.unwrap();
        assert_eq!(memory.received()[0].header("range"), None);
        assert_eq!(std::fs::read(directory.path().join("file")).unwrap(), b"new");
    }
}

#[tokio::test(start_paused = true)]
async fn dates_are_compared_with_the_clock_of_the_download() {
    let memory = MemoryHttpClient::new();
    let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE)
        .with_header("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")
        .unwrap();
    memory
        .route(Method::GET, "/x", [busy, Reply::ok().with_body("x")])
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let begin = tokio::time::Instant::now();
    let done = Download::new("http://a.test/x", directory.path().join("x"))
        .with_retry(policy(2))
        .with_clock(Arc::new(FixedClock))
        .run(&memory)
        .await
        .unwrap();
    assert_eq!(done.attempts, 2);
    assert_eq!(begin.elapsed().as_secs(), 10);
}
