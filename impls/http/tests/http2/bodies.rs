//! Bodies that end, and bodies that do not.

use networking_spi::http::{HttpClientExt, HttpRequest, Method};
use networking_spi::{ErrorKind, Retryability};

use super::frames::{Connection, FrameServer, code};
use super::{config, error_of};
use crate::transports::{Make, over_both, over_hyper};

over_both!(
    a_reset_without_error_does_not_end_a_body,
    a_goaway_and_a_close_do_not_end_a_body,
    a_body_shorter_than_announced_is_truncated,
    a_close_in_the_body_can_be_retried,
    resets_in_the_body_can_be_retried,
    a_broken_protocol_in_the_body_is_not_retried,
    a_body_that_ended_before_a_reset_is_whole,
    trailers_end_a_body,
    statuses_without_a_body_have_none,
    data_after_no_content_is_not_a_body,
);
over_hyper!(uploads_that_the_response_outran_give_their_stream_back);

/// A server that starts a response with these fields, sends `partial`, and then does what `end` does.
async fn partial<F, Fut>(fields: &'static [(&'static str, &'static str)], end: F) -> FrameServer
where
    F: Fn(Connection, u32) -> Fut + Send + Sync + Copy + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    FrameServer::start(&[], move |mut connection| async move {
        if let Some(stream) = connection.request().await {
            connection.head(stream, false, fields).await;
            connection.data(stream, false, b"partial").await;
            end(connection, stream).await;
        }
    })
    .await
}

/// A body that was cut off: the response is incomplete, and the same request may succeed at once.
async fn assert_truncated(make: Make, server: &FrameServer) {
    let error = error_of(&*make(config()), HttpRequest::new(Method::GET, server.url("/"))).await;
    assert!(
        matches!(error.kind(), ErrorKind::TruncatedBody | ErrorKind::ConnectionClosed),
        "{error:?}"
    );
    assert_eq!(error.retryability(), Retryability::Now, "{error:?}");
}

/// RFC 9110, section 15.3.5.
async fn data_after_no_content_is_not_a_body(make: Make) {
    let server = partial(&[(":status", "204")], |mut connection, stream| async move {
        connection.data(stream, true, b"excess").await;
        connection.serve(b"next").await;
    })
    .await;
    let client = make(config());
    let response = client.get(server.url("/")).await.unwrap();
    assert_eq!(response.status, 204);
    assert_eq!(response.bytes().await.unwrap(), "");
    let next = client.get(server.url("/")).await.unwrap();
    assert_eq!(next.text().await.unwrap(), "next");
}

/// A server that gives uploads no window, and answers them at once without a reset: more than its limit of streams are served on one
/// connection.
async fn uploads_that_the_response_outran_give_their_stream_back(make: Make) {
    const INITIAL_WINDOW_SIZE: u16 = 4;
    const MAX_CONCURRENT_STREAMS: u16 = 3;
    const HEADERS: u8 = 1;
    let server = FrameServer::start(
        &[(INITIAL_WINDOW_SIZE, 0), (MAX_CONCURRENT_STREAMS, 2)],
        |mut connection| async move {
            while let Some(frame) = connection.frame().await {
                if frame.kind == HEADERS {
                    connection.head(frame.stream, false, OK).await;
                    connection.data(frame.stream, true, b"early").await;
                }
            }
        },
    )
    .await;
    let client = make(config());
    for round in 0..10 {
        let request = HttpRequest::new(Method::POST, server.url("/")).with_body(vec![b'x'; 200_000]);
        let response = client
            .request(request)
            .await
            .unwrap_or_else(|error| panic!("{round}: {error:?}"));
        assert_eq!(response.text().await.unwrap(), "early");
    }
    assert_eq!(server.connections(), 1);
}

const OK: &[(&str, &str)] = &[(":status", "200")];

async fn a_reset_without_error_does_not_end_a_body(make: Make) {
    let server = partial(OK, |mut connection, stream| async move {
        connection.reset(stream, code::NO_ERROR).await;
        connection.drain().await;
    })
    .await;
    assert_truncated(make, &server).await;
}

async fn a_goaway_and_a_close_do_not_end_a_body(make: Make) {
    for reason in [code::NO_ERROR, code::ENHANCE_YOUR_CALM] {
        let server = FrameServer::start(&[], move |mut connection| async move {
            if let Some(stream) = connection.request().await {
                connection.head(stream, false, OK).await;
                connection.data(stream, false, b"partial").await;
                connection.go_away(stream, reason).await;
            }
        })
        .await;
        assert_truncated(make, &server).await;
    }
}

async fn a_body_shorter_than_announced_is_truncated(make: Make) {
    const ANNOUNCED: &[(&str, &str)] = &[(":status", "200"), ("content-length", "100")];
    let reset = partial(ANNOUNCED, |mut connection, stream| async move {
        connection.reset(stream, code::NO_ERROR).await;
        connection.drain().await;
    })
    .await;
    assert_truncated(make, &reset).await;

    let ended = partial(ANNOUNCED, |mut connection, stream| async move {
        connection.data(stream, true, b"").await;
        connection.drain().await;
    })
    .await;
    assert_truncated(make, &ended).await;
}

async fn a_close_in_the_body_can_be_retried(make: Make) {
    let server = partial(OK, |_, _| async {}).await;
    assert_truncated(make, &server).await;
}

async fn resets_in_the_body_can_be_retried(make: Make) {
    for reason in [
        code::INTERNAL_ERROR,
        code::REFUSED_STREAM,
        code::CANCEL,
        code::ENHANCE_YOUR_CALM,
    ] {
        let server = FrameServer::start(&[], move |mut connection| async move {
            if let Some(stream) = connection.request().await {
                connection.head(stream, false, OK).await;
                connection.data(stream, false, b"partial").await;
                connection.reset(stream, reason).await;
                connection.drain().await;
            }
        })
        .await;
        let error = error_of(&*make(config()), HttpRequest::new(Method::GET, server.url("/"))).await;
        assert_eq!(error.kind(), ErrorKind::TruncatedBody, "{error:?}");
        assert_eq!(error.retryability(), Retryability::Now, "{error:?}");
        assert_eq!(error.get("http2_error"), Some(name(reason)), "{error:?}");
    }
}

fn name(reason: u32) -> &'static str {
    match reason {
        code::INTERNAL_ERROR => "INTERNAL_ERROR",
        code::REFUSED_STREAM => "REFUSED_STREAM",
        code::CANCEL => "CANCEL",
        code::ENHANCE_YOUR_CALM => "ENHANCE_YOUR_CALM",
        _ => unreachable!(),
    }
}

async fn a_broken_protocol_in_the_body_is_not_retried(make: Make) {
    // A reset with PROTOCOL_ERROR says that the request was malformed, and DATA for stream 0 is malformed.
    let reset = partial(OK, |mut connection, stream| async move {
        connection.reset(stream, code::PROTOCOL_ERROR).await;
        connection.drain().await;
    })
    .await;
    let malformed = partial(OK, |mut connection, _| async move {
        connection.data(0, false, b"more").await;
        connection.drain().await;
    })
    .await;
    for server in [reset, malformed] {
        let error = error_of(&*make(config()), HttpRequest::new(Method::GET, server.url("/"))).await;
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
        assert_eq!(error.retryability(), Retryability::Never, "{error:?}");
        assert_eq!(error.get("http2_error"), Some("PROTOCOL_ERROR"), "{error:?}");
    }
}

async fn a_body_that_ended_before_a_reset_is_whole(make: Make) {
    let server = partial(OK, |mut connection, stream| async move {
        connection.data(stream, true, b" and the rest").await;
        connection.reset(stream, code::NO_ERROR).await;
        connection.drain().await;
    })
    .await;
    let body = make(config()).get(server.url("/")).await.unwrap().text().await.unwrap();
    assert_eq!(body, "partial and the rest");
}

async fn trailers_end_a_body(make: Make) {
    let server = partial(OK, |mut connection, stream| async move {
        connection.head(stream, true, &[("x-checksum", "1")]).await;
        connection.drain().await;
    })
    .await;
    let body = make(config()).get(server.url("/")).await.unwrap().text().await.unwrap();
    assert_eq!(body, "partial");
}

async fn statuses_without_a_body_have_none(make: Make) {
    for status in ["204", "304"] {
        let server = FrameServer::start(&[], move |mut connection| async move {
            while let Some(stream) = connection.request().await {
                // A 304 may have the length of the body that it does not have (RFC 9110, section 8.6).
                let fields: &[(&str, &str)] = if status == "304" {
                    &[(":status", "304"), ("content-length", "100")]
                } else {
                    &[(":status", "204")]
                };
                connection.head(stream, true, fields).await;
            }
        })
        .await;
        let response = make(config()).get(server.url("/")).await.unwrap();
        assert_eq!(response.status.as_str(), status);
        assert_eq!(response.bytes().await.unwrap(), "", "{status}");
    }
}
