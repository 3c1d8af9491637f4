//! Batches of requests with bounded concurrency.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::StreamExt;
use networking_http::{MemoryHttpClient, ReceivedRequest, Responder};
use networking_spi::ErrorKind;
use networking_spi::http::{Batch, HttpResponse, Method, StatusCode};
use networking_spi::prelude::*;
use tokio::time::Instant;

/// Counts the requests in flight of [`client`].
#[derive(Default)]
struct Load {
    running: AtomicUsize,
    max_running: AtomicUsize,
}

/// A client whose server responds to `/n` with the body `n` after `10 - n` seconds, with the status 500 for `failing`.
fn client(failing: Option<usize>) -> (Arc<dyn HttpClient>, MemoryHttpClient, Arc<Load>) {
    let memory = MemoryHttpClient::new();
    let load = Arc::new(Load::default());
    let shared = Arc::clone(&load);
    let answer = Responder::from_fn(move |request: ReceivedRequest| {
        let load = Arc::clone(&shared);
        async move {
            let number: usize = request.param("n").unwrap().parse().unwrap();
            let running = load.running.fetch_add(1, SeqCst) + 1;
            load.max_running.fetch_max(running, SeqCst);
            tokio::time::sleep(Duration::from_secs(10 - number as u64)).await;
            load.running.fetch_sub(1, SeqCst);
            let status = if failing == Some(number) { 500 } else { 200 };
            Ok(HttpResponse::new(StatusCode::from_u16(status).unwrap()).with_body(number.to_string()))
        }
    });
    memory.route(Method::GET, "/{n}", answer).unwrap();
    (Arc::new(memory.clone()), memory, load)
}

fn requests() -> impl Iterator<Item = HttpRequest> {
    (0..10).map(|number| HttpRequest::new(Method::GET, format!("http://batch.test/{number}")))
}

async fn text(response: HttpResponse) -> Result<String, NetworkError> {
    response.error_for_status()?.text().await
}

#[tokio::test(start_paused = true)]
async fn results_and_errors_are_in_the_order_of_their_requests() {
    let (http, _, load) = client(Some(4));
    let results = Batch::new(&http, 3).unwrap().run(requests(), text).await;
    assert_eq!(load.max_running.load(SeqCst), 3);
    for (index, result) in results.into_iter().enumerate() {
        match result {
            Ok(text) => assert_eq!(text, index.to_string()),
            Err(error) => assert_eq!((index, error.status()), (4, Some(500))),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_error_ends_the_batch() {
    let (http, memory, _) = client(Some(1));
    let error = Batch::new(&http, 2)
        .unwrap()
        .try_run(requests(), text)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Status);
    assert!(error.to_string().contains("batch_index: 1"), "{error}");
    assert_eq!(memory.received().len(), 2, "no third request was sent");

    let (http, _, _) = client(None);
    let all = Batch::new(&http, 4).unwrap().try_run(requests(), text).await.unwrap();
    assert_eq!(all.concat(), "0123456789");
}

#[tokio::test(start_paused = true)]
async fn results_are_returned_as_they_complete_and_dropping_ends_the_batch() {
    let (http, memory, load) = client(None);
    let batch = Batch::new(&http, 10).unwrap();
    let order: Vec<usize> = batch
        .as_completed(requests(), text)
        .map(|(index, _)| index)
        .collect()
        .await;
    assert_eq!(order, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);

    memory.clear_received();
    let batch = Batch::new(&http, 2).unwrap();
    let start = Instant::now();
    let mut some = Box::pin(batch.as_completed(requests(), HttpResponse::buffered));
    let (index, response) = some.next().await.unwrap();
    assert_eq!((index, start.elapsed().as_secs()), (1, 9));
    assert_eq!(response.unwrap().content(), "1");
    drop(some);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(memory.received().len(), 2);
    assert_eq!(load.max_running.load(SeqCst), 10);
}

#[test]
fn a_concurrency_of_zero_is_refused() {
    let (http, _, _) = client(None);
    assert_eq!(Batch::new(&http, 0).unwrap_err().field(), Some("concurrency"));
}
