//! How requests share connections.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use networking_spi::http::{HttpClientExt, HttpRequest, Method};
use networking_spi::{ErrorKind, Phase, Retryability, SendState};
use tokio::sync::Notify;

use super::frames::{FrameServer, MAX_STREAMS};
use super::{config, error_of};
use crate::transports::{Make, over_both, over_hyper};

over_both!(unread_bodies_hold_up_no_other_request);
over_hyper!(
    simultaneous_first_requests_share_one_handshake,
    one_stream_at_a_time_is_enough_for_many_requests,
    further_connections_are_opened_up_to_the_limit,
    waiting_for_a_stream_has_a_limit_and_sends_nothing,
    a_slow_response_does_not_condemn_its_connection,
);

async fn unread_bodies_hold_up_no_other_request(make: Make) {
    let server = crate::raw::RawServer::start(|stream| async move {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let size = if request.uri().path() == "/large" { 3 << 20 } else { 5 };
            tokio::spawn(async move {
                let mut body = respond.send_response(http::Response::new(()), false).unwrap();
                body.send_data(vec![b'x'; size].into(), true).unwrap();
            });
        }
    })
    .await;
    let client = make(config());
    let mut unread = Vec::new();
    for _ in 0..6 {
        unread.push(client.get(server.url("/large")).await.unwrap());
    }
    let small = async { client.get(server.url("/small")).await.unwrap().bytes().await.unwrap() };
    let small = tokio::time::timeout(Duration::from_secs(60), small)
        .await
        .expect("the connection is starved");
    assert_eq!(small.len(), 5);
    for response in unread {
        assert_eq!(response.bytes().await.unwrap().len(), 3 << 20);
    }
}

async fn simultaneous_first_requests_share_one_handshake(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move { connection.serve(b"done").await }).await;
    let client = make(config());
    let requests = (0..20).map(|_| async { client.get(server.url("/")).await.unwrap().text().await.unwrap() });
    assert!(join_all(requests).await.iter().all(|body| body == "done"));
    assert_eq!(server.connections(), 1);
}

async fn one_stream_at_a_time_is_enough_for_many_requests(make: Make) {
    let server = FrameServer::start(&[(MAX_STREAMS, 1)], |mut connection| async move {
        connection.serve(b"done").await;
    })
    .await;
    let client = make(config().with_max_connections_per_host(1));
    let requests = (0..20).map(|_| async { client.get(server.url("/")).await.unwrap().text().await.unwrap() });
    assert!(join_all(requests).await.iter().all(|body| body == "done"));
    assert_eq!(server.connections(), 1);
}

async fn further_connections_are_opened_up_to_the_limit(make: Make) {
    let server = FrameServer::start(&[(MAX_STREAMS, 1)], |mut connection| async move {
        // Each connection answers only when the test has seen the others.
        while let Some(stream) = connection.request().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
            connection.head(stream, true, &[(":status", "204")]).await;
        }
    })
    .await;
    let client = make(config().with_max_connections_per_host(3));
    let requests = (0..20).map(|_| async { client.get(server.url("/")).await.unwrap().bytes().await.unwrap() });
    join_all(requests).await;
    assert_eq!(server.connections(), 3);
}

/// The wait for a stream is no time of the peer: the read timeout does not count it.
async fn waiting_for_a_stream_has_a_limit_and_sends_nothing(make: Make) {
    let server = FrameServer::start(&[(MAX_STREAMS, 1)], |mut connection| async move {
        let stream = connection.request().await.unwrap();
        connection.head(stream, false, &[(":status", "200")]).await;
        connection.drain().await;
    })
    .await;
    let config = config()
        .with_max_connections_per_host(1)
        .with_pool_timeout(Duration::from_secs(5))
        .with_read_timeout(Duration::from_secs(3));
    let client = make(config);
    let held = client.get(server.url("/held")).await.unwrap();
    tokio::time::pause();
    let error = error_of(
        &*client,
        HttpRequest::new(Method::POST, server.url("/")).with_body("once"),
    )
    .await;
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert_eq!(error.phase(), Some(Phase::Queue), "{error:?}");
    assert_eq!(error.send_state(), SendState::NotSent, "{error:?}");
    assert_ne!(error.retryability(), Retryability::Never, "{error:?}");
    drop(held);
}

/// One resource is slow; the connection is fine, as other responses on it show.
async fn a_slow_response_does_not_condemn_its_connection(make: Make) {
    let arrived = Arc::new(Notify::new());
    let noted = Arc::clone(&arrived);
    let server = FrameServer::start(&[], move |mut connection| {
        let arrived = Arc::clone(&arrived);
        async move {
            connection.request().await.unwrap();
            arrived.notify_one();
            while let Some(stream) = connection.request().await {
                connection.head(stream, true, &[(":status", "204")]).await;
            }
        }
    })
    .await;
    let client = make(config().with_read_timeout(Duration::from_secs(2)));
    let slow = {
        let (client, url) = (Arc::clone(&client), server.url("/slow"));
        tokio::spawn(async move { client.get(&url).await.unwrap_err() })
    };
    noted.notified().await;
    while !slow.is_finished() {
        client.get(server.url("/")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(slow.await.unwrap().phase(), Some(Phase::Read));
    client.get(server.url("/")).await.unwrap();
    assert_eq!(server.connections(), 1);
}
