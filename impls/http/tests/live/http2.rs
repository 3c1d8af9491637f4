//! HTTP/2 with nginx and nghttpd.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use networking_conformance::{CaseResult, check, check_eq, check_error};
use networking_http::{HttpVersion, TransportConfig};
use networking_spi::http::{HttpBody, HttpClientExt, HttpExtended, Version};
use networking_spi::{ErrorKind, NetworkError};
use serde_json::Value;

use super::backend::Live;

/// The size in bytes of the file that nghttpd serves.
const LARGE: usize = 8 << 20;

pub(crate) async fn alpn_chooses_the_version(live: Arc<Live>) -> CaseResult {
    let nginx = &live.servers().nginx;
    for (wanted, version, seen) in [
        (HttpVersion::Negotiated, Version::HTTP_2, "HTTP/2.0"),
        (HttpVersion::Http2, Version::HTTP_2, "HTTP/2.0"),
        (HttpVersion::Http1, Version::HTTP_11, "HTTP/1.1"),
    ] {
        let client = live
            .builder_of(live.config().with_version(wanted))?
            .base_url(nginx)
            .build()?;
        let response = client.get("/headers").await?;
        check_eq!(response.version, version, "{wanted:?}");
        let echo: Value = response.json().await?;
        check_eq!(echo["headers"]["X-Live-Protocol"], seen, "as the server saw it");
    }
    let plain = live.httpbin()?.get("/get").await?;
    check_eq!(
        plain.version,
        Version::HTTP_11,
        "without TLS there is nothing to negotiate"
    );
    Ok(())
}

pub(crate) async fn requests_share_a_connection(live: Arc<Live>) -> CaseResult {
    let client = live.client(&live.servers().nginx)?;
    // The client knows the version after the first response.
    client.get("/get").await?.bytes().await?;
    let connections: BTreeSet<String> = stream::iter(0..100)
        .map(|number| {
            let client = client.clone();
            async move {
                let echo: Value = client
                    .get("/headers")
                    .header("x-number", number.to_string())
                    .await?
                    .json()
                    .await?;
                if echo["headers"]["X-Number"].as_str() != Some(&format!("{number}")) {
                    return Err(NetworkError::new(
                        ErrorKind::Internal,
                        "live",
                        "responses were mixed up",
                    ));
                }
                Ok(echo["headers"]["X-Live-Connection"].to_string())
            }
        })
        .buffer_unordered(50)
        .try_collect()
        .await?;
    check_eq!(connections.len(), 1, "connections: {connections:?}");
    // The client's statistics agree with the server, or are unknown.
    let stats = client.connection_pool_stats()?;
    check!(stats.opened.is_none_or(|opened| opened == 1), "{stats:?}");
    Ok(())
}

pub(crate) async fn uploads_run_side_by_side(live: Arc<Live>) -> CaseResult {
    let client = live.client(&live.servers().nginx)?;
    let sent = stream::iter(0..8_u8)
        .map(|number| {
            let client = client.clone();
            async move {
                let body = vec![b'a' + number; 1 << 20];
                let pieces: Vec<Bytes> = body.chunks(10_000).map(Bytes::copy_from_slice).collect();
                let upload = HttpBody::stream(stream::iter(pieces).map(Ok).boxed(), None);
                let echo: Value = client.post("/post").body(upload).await?.json().await?;
                Ok::<_, NetworkError>(echo["data"].as_str().is_some_and(|data| data.as_bytes() == body))
            }
        })
        .buffer_unordered(8)
        .try_collect::<Vec<bool>>()
        .await?;
    check_eq!(sent, vec![true; 8], "each came back as it was sent");
    Ok(())
}

pub(crate) async fn bodies_are_large_both_ways(live: Arc<Live>) -> CaseResult {
    let client = live.client(&live.servers().nghttpd)?;
    let large = client.get("/large.bin").await?;
    check_eq!(large.version, Version::HTTP_2, "the version");
    check!(large.bytes().await? == file(LARGE), "the file arrived changed");
    let body = file(LARGE / 2);
    let back = client.post("/echo").body(body.clone()).await?.bytes().await?;
    check!(back == body, "{} bytes came back, and not those sent", back.len());
    Ok(())
}

pub(crate) async fn a_stream_that_nobody_reads_holds_up_no_other(live: Arc<Live>) -> CaseResult {
    let client = live.client(&live.servers().nghttpd)?;
    // Its window fills up, and the server has to wait.
    let unread = client.get("/large.bin").await?;
    for _ in 0..3 {
        check_eq!(
            client.get("/small.txt").await?.text().await?,
            "small",
            "a small response"
        );
        let large = client.get("/large.bin").await?.bytes().await?;
        check_eq!(large.len(), LARGE, "a large response");
    }
    check!(unread.bytes().await? == file(LARGE), "the first one arrived changed");
    Ok(())
}

pub(crate) async fn more_requests_than_streams_wait_their_turn(live: Arc<Live>) -> CaseResult {
    let client = live.client(&live.servers().nghttpd)?;
    // nghttpd allows 100 streams on a connection.
    let echoed = stream::iter(0..300)
        .map(|number| {
            let client = client.clone();
            async move {
                let body = format!("{number}").repeat(5_000);
                let back = client.post("/echo").body(body.clone()).await?.bytes().await?;
                Ok::<_, NetworkError>(back == body)
            }
        })
        .buffer_unordered(300)
        .try_collect::<Vec<bool>>()
        .await?;
    check!(echoed.iter().all(|same| *same), "an echo is not what was sent");
    check_eq!(echoed.len(), 300, "responses");
    Ok(())
}

pub(crate) async fn prior_knowledge_needs_no_tls(live: Arc<Live>) -> CaseResult {
    let client = live
        .builder_of(live.config().with_version(HttpVersion::Http2))?
        .base_url(&live.servers().nghttpd_clear)
        .build()?;
    let response = client.get("/small.txt").await?;
    check_eq!(response.version, Version::HTTP_2, "the version");
    check_eq!(response.text().await?, "small", "the response");
    let body = file(1 << 20);
    let back = client.put("/echo").body(body.clone()).await?.bytes().await?;
    check!(back == body, "{} bytes came back, and not those sent", back.len());
    Ok(())
}

pub(crate) async fn a_stranger_is_not_trusted(live: Arc<Live>) -> CaseResult {
    let client = live.builder_of(TransportConfig::new())?.build()?;
    for server in [&live.servers().nghttpd, &live.servers().nginx] {
        check_error!(client.get(server.as_str()).await, ErrorKind::Tls, "{server}");
    }
    let careless = live
        .builder_of(TransportConfig::new().with_verify_tls(false))?
        .build()?;
    check_eq!(
        careless.get(live.servers().nginx.as_str()).await?.status,
        200,
        "not verified"
    );
    Ok(())
}

/// The content of the file, or of a file of another length.
fn file(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| u8::try_from(index % 251).unwrap_or_default())
        .collect()
}
