//! Dropped calls.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::errors::backend::{Backend, post};
use crate::errors::exchange::{read_request, until_closed};
use crate::raw::RawServer;

pub(crate) async fn closes_its_connection(backend: &Backend) {
    let (taken, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (was_taken, was_closed) = (Arc::clone(&taken), Arc::clone(&closed));
    let server = RawServer::start(move |mut stream| {
        let (taken, closed) = (Arc::clone(&taken), Arc::clone(&closed));
        async move {
            read_request(&mut stream).await;
            taken.notify_one();
            until_closed(&mut stream).await;
            closed.notify_one();
        }
    })
    .await;
    let client = backend.client();
    let request = post(&server.url("/"));
    tokio::select! {
        result = client.request(request) => panic!("the server does not respond: {result:?}"),
        () = was_taken.notified() => {}
    }
    was_closed.notified().await;
    let metrics = client.client_metrics().unwrap();
    assert_eq!((metrics.cancelled, metrics.failures, metrics.in_flight), (1, 0, 0));
}
