//! Extended operations over a socket.

use std::time::Duration;

use futures_util::TryStreamExt;
use networking_http::{HttpClientBuilder, MemoryHttpClient, TransportConfig};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClientExt, HttpExtended};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::raw::{RawServer, read_head};

#[tokio::test]
async fn unknown_pool_stats_are_none() {
    let gate = std::sync::Arc::new(Notify::new());
    let at_peer = std::sync::Arc::clone(&gate);
    let server = RawServer::start(move |mut stream| {
        let gate = std::sync::Arc::clone(&at_peer);
        async move {
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234")
                .await
                .unwrap();
            gate.notified().await;
            stream.write_all(b"56789").await.unwrap();
        }
    })
    .await;
    let config = TransportConfig::new().with_pool(7, Duration::from_secs(1));
    let client = HttpClientBuilder::reqwest().transport(config).build().unwrap();
    let request = client.get(server.url("/")).into_request().unwrap();
    let mut stream = client.stream_request(request, 4).await.unwrap();
    assert_eq!(stream.chunks.try_next().await.unwrap().unwrap(), "0123");
    let stats = client.connection_pool_stats().unwrap();
    assert_eq!((stats.in_flight, stats.max_idle_per_host), (Some(1), Some(7)));
    assert_eq!(
        (stats.opened, stats.idle, stats.active, stats.closed),
        (None, None, None, None),
        "unknown"
    );
    gate.notify_one();
    assert_eq!(stream.chunks.try_next().await.unwrap().unwrap(), "4567");
    assert_eq!(stream.chunks.try_next().await.unwrap().unwrap(), "89");
    assert!(stream.chunks.try_next().await.unwrap().is_none());
    drop(stream);
    assert_eq!(client.connection_pool_stats().unwrap().in_flight, Some(0));
}

#[tokio::test]
async fn a_transport_without_stats_has_none() {
    let client = HttpClientBuilder::over(MemoryHttpClient::new()).build().unwrap();
    assert!(!client.extended_capabilities().pool_stats);
    assert_eq!(
        client.connection_pool_stats().unwrap_err().kind(),
        ErrorKind::Unsupported
    );
}

#[tokio::test]
async fn decompression_obeys_the_limit_of_the_client() {
    let client = HttpClientBuilder::over(MemoryHttpClient::new())
        .max_response_size(Some(1_000))
        .build()
        .unwrap();
    for compression in client.extended_capabilities().compression {
        let packed = client
            .compress_request(vec![0; 1_000].into(), compression)
            .await
            .unwrap();
        assert_eq!(
            client.decompress_response(packed, compression).await.unwrap().len(),
            1_000,
            "{compression}"
        );
        let packed = client
            .compress_request(vec![0; 1_001].into(), compression)
            .await
            .unwrap();
        let error = client.decompress_response(packed, compression).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{compression}");
    }
}
