//! Interim responses (RFC 9110, section 15.2), and the silence of one stream among others.

use std::time::Duration;

use networking_spi::http::{HttpBody, HttpClientExt, HttpRequest, Method};
use networking_spi::{ErrorKind, Phase};
use tokio::time::sleep;

use super::frames::{Connection, FrameServer};
use super::{config, error_of};
use crate::transports::{Make, over_both, over_hyper};

over_both!(interim_responses_are_skipped, an_interim_response_does_not_end_a_stream);
over_hyper!(
    interim_responses_are_no_silence,
    interim_responses_are_no_silence_after_an_upload,
    the_interim_responses_of_others_are_no_activity,
);

const SECOND: Duration = Duration::from_secs(1);

/// Sends interim responses, for longer than a read timeout of one second, and then the response.
async fn answer_late(connection: &mut Connection, stream: u32) {
    for status in ["100", "102", "103", "103", "199"] {
        sleep(Duration::from_millis(400)).await;
        connection
            .head(stream, false, &[(":status", status), ("link", "</a>")])
            .await;
    }
    connection.head(stream, false, &[(":status", "200")]).await;
    connection.data(stream, true, b"done").await;
}

/// Also 101, which HTTP/2 does not have (RFC 9113, section 8.6): the libraries skip it, and the protocol does not change.
async fn interim_responses_are_skipped(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        while let Some(stream) = connection.request().await {
            for status in ["100", "101", "103"] {
                connection.head(stream, false, &[(":status", status)]).await;
            }
            connection
                .head(stream, false, &[(":status", "200"), ("x-final", "1")])
                .await;
            connection.data(stream, true, b"done").await;
        }
    })
    .await;
    let client = make(config());
    for _ in 0..2 {
        let response = client.get(server.url("/")).await.unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.headers["x-final"], "1");
        assert_eq!(response.text().await.unwrap(), "done");
    }
    assert_eq!(server.connections(), 1);
}

/// RFC 9113, section 8.1.
async fn an_interim_response_does_not_end_a_stream(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        while let Some(stream) = connection.request().await {
            connection.head(stream, true, &[(":status", "103")]).await;
        }
    })
    .await;
    let error = error_of(&*make(config()), HttpRequest::new(Method::GET, server.url("/"))).await;
    assert!(
        matches!(error.kind(), ErrorKind::Protocol | ErrorKind::ConnectionClosed),
        "{error:?}"
    );
}

async fn interim_responses_are_no_silence(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        while let Some(stream) = connection.request().await {
            answer_late(&mut connection, stream).await;
        }
    })
    .await;
    let client = make(config().with_read_timeout(SECOND));
    for _ in 0..2 {
        let response = client.get(server.url("/")).await.unwrap();
        assert_eq!(response.text().await.unwrap(), "done");
    }
    assert_eq!(server.connections(), 1);
}

async fn interim_responses_are_no_silence_after_an_upload(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        while let Some(stream) = connection.request().await {
            answer_late(&mut connection, stream).await;
        }
    })
    .await;
    let client = make(config().with_read_timeout(SECOND));
    let chunks = futures_util::stream::iter([Ok("a".into()), Ok("b".into())]);
    for body in [HttpBody::from("body"), HttpBody::stream(Box::pin(chunks), None)] {
        let response = client.post(server.url("/")).body(body).await.unwrap();
        assert_eq!(response.text().await.unwrap(), "done");
    }
}

/// One stream gets interim responses and a body, the other nothing.
async fn the_interim_responses_of_others_are_no_activity(make: Make) {
    let server = FrameServer::start(&[], |mut connection| async move {
        let first = connection.request().await.unwrap();
        connection.head(first, true, &[(":status", "204")]).await;
        let (silent, busy) = (connection.request().await.unwrap(), connection.request().await.unwrap());
        assert!(silent < busy);
        answer_late(&mut connection, busy).await;
        connection.drain().await;
    })
    .await;
    let client = make(config().with_read_timeout(SECOND));
    client.get(server.url("/")).await.unwrap();
    let request = HttpRequest::new(Method::GET, server.url("/"));
    let url = server.url("/");
    let busy = async { client.get(&url).await.unwrap().text().await.unwrap() };
    let (error, busy) = tokio::join!(error_of(&*client, request), busy);
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error:?}");
    assert_eq!(error.phase(), Some(Phase::Read), "{error:?}");
    assert_eq!(busy, "done");
    assert_eq!(server.connections(), 1);
}
