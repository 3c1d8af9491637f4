//! Forms, files and their progress.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use networking_http::{FileSource, HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::http::{HttpBody, Jitter, Method, Multipart, Part, RetryPolicy, StatusCode};
use networking_spi::prelude::*;
use networking_spi::{ErrorKind, SendState};
use parking_lot::Mutex;

use crate::bodies::server::{Server, response};

fn quick_retries(attempts: u32) -> RetryPolicy {
    RetryPolicy::new(attempts)
        .with_delays(Duration::from_millis(1), Duration::from_millis(1))
        .with_jitter(Jitter::None)
}

#[tokio::test]
async fn a_file_in_a_form_is_sent_with_its_length_and_again_after_a_503() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("große \"Datei\".bin");
    let content: Vec<u8> = (0..300_000_u32).map(|index| (index % 251) as u8).collect();
    std::fs::write(&path, &content).unwrap();

    let server = Server::start(|_, number| match number {
        0 => response("503 Service Unavailable", &[], 0, b""),
        _ => response("201 Created", &[], 0, b""),
    })
    .await;
    let http: Arc<dyn HttpClient> = Arc::new(HttpClientBuilder::new().retry(quick_retries(3)).build().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let form = Multipart::new()
        .text("title", "Grüße")
        .part("file", FileSource::new(&path).await.unwrap().into_part())
        .with_boundary("BOUND");
    let answer = http
        .put(server.url("/upload"))
        .multipart(form)
        .upload_progress(move |progress| sink.lock().push(progress))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::CREATED);

    let mut expected = b"--BOUND\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n".to_vec();
    expected.extend_from_slice("Grüße\r\n--BOUND\r\n".as_bytes());
    expected.extend_from_slice(
        "Content-Disposition: form-data; name=\"file\"; filename=\"große %22Datei%22.bin\"\r\n".as_bytes(),
    );
    expected.extend_from_slice(b"Content-Type: application/octet-stream\r\n\r\n");
    expected.extend_from_slice(&content);
    expected.extend_from_slice(b"\r\n--BOUND--\r\n");
    let received = server.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(
            request.header("content-type"),
            Some("multipart/form-data; boundary=BOUND")
        );
        assert_eq!(
            request.header("content-length"),
            Some(expected.len().to_string().as_str())
        );
        assert_eq!(request.header("transfer-encoding"), None);
        assert!(request.body == expected);
    }
    let seen = seen.lock();
    let last = |attempt| seen.iter().rfind(|progress| progress.attempt == attempt).unwrap();
    assert!(last(1).is_complete() && last(2).is_complete());
    assert_eq!(
        seen.iter().filter(|progress| progress.sent == 0).count(),
        2,
        "each attempt starts at 0"
    );
}

#[tokio::test]
async fn a_plain_file_is_streamed_as_the_body() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.txt");
    std::fs::write(&path, "one two three").unwrap();
    let http = MemoryHttpClient::new();
    http.route(Method::PUT, "/data", Reply::new(StatusCode::NO_CONTENT))
        .unwrap();
    let source = FileSource::new(&path).await.unwrap();
    http.put("http://files.test/data").body(source).await.unwrap();
    assert_eq!(http.received()[0].body, "one two three");

    std::fs::write(&path, "").unwrap();
    let empty = FileSource::new(&path).await.unwrap();
    http.put("http://files.test/data").body(empty).await.unwrap();
    assert_eq!(http.received()[1].body, "");
}

#[tokio::test]
async fn a_changed_or_missing_file_is_an_error_with_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("report.csv");
    let error = FileSource::new(&path).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("report.csv"), "{error}");
    let error = FileSource::new(directory.path()).await.unwrap_err();
    assert_eq!(error.field(), Some("path"));

    std::fs::write(&path, "1234567890").unwrap();
    let source = FileSource::new(&path).await.unwrap();
    let memory = MemoryHttpClient::new();
    let server = Server::start(|_, _| response("200 OK", &[], 0, b"")).await;
    let real = HttpClientBuilder::new().retry(quick_retries(3)).build().unwrap();
    for content in ["123", "1234567890abc"] {
        std::fs::write(&path, content).unwrap();
        let error = memory
            .put("http://files.test/data")
            .body(source.clone())
            .await
            .unwrap_err();
        assert_eq!(error.field(), Some("body.length"));
        assert!(error.to_string().contains("report.csv"), "{error}");

        let error = real.put(server.url("/data")).body(source.clone()).await.unwrap_err();
        assert!(chain(&error).contains("report.csv"), "{}", chain(&error));
        assert_eq!(error.attempts(), 1, "not retried");
    }
    assert!(server.received().is_empty(), "no complete request was received");
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_sent_is_an_error_with_maybe_sent() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let mut chunks = HttpBody::from(FileSource::new(&path).await.unwrap()).into_stream();
    assert!(chunks.next().await.unwrap().is_ok());
    std::fs::write(&path, "x").unwrap();
    let ends: Vec<_> = chunks
        .filter_map(|chunk| std::future::ready(chunk.err()))
        .collect()
        .await;
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].field(), Some("body.length"));
    assert_eq!(ends[0].send_state(), SendState::MaybeSent);
}

#[tokio::test]
async fn a_form_with_a_stream_is_chunked_and_not_retried() {
    let server = Server::start(|_, _| response("503 Service Unavailable", &[], 0, b"")).await;
    let http = HttpClientBuilder::new().retry(quick_retries(3)).build().unwrap();
    let stream = futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"abc"))]);
    let body = networking_spi::http::HttpBody::stream(Box::pin(stream), None);
    let form = Multipart::new().part("log", Part::body(body).with_file_name("a.log"));
    let answer = http.put(server.url("/")).multipart(form).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let received = server.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].header("transfer-encoding"), Some("chunked"));
}

fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut shown = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        shown.push_str(" > ");
        shown.push_str(&error.to_string());
        next = error.source();
    }
    shown
}
