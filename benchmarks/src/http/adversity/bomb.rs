//! Compression bombs: small responses that decode to 256 MiB.

use std::collections::HashMap;
use std::sync::Arc;

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use networking_impls::http::HttpClientBuilder;
use networking_spi::ErrorKind;
use networking_spi::http::HttpClientExt;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::super::server;
use super::process::{self, Used};
use crate::measure::Samples;
use crate::report::{Better, Row};

const BOMB_MIB: usize = 256;
const LIMIT_MIB: u64 = 16;
/// An allowance for the buffers of the decoder, the connection and the runtime.
const SLACK_MIB: u64 = 8;

pub(super) fn rows() -> Vec<Row> {
    let bombs = Arc::new(bombs());
    let address = server::serve_with(move |request| {
        let coding = request.uri().path().trim_start_matches('/');
        let (body, coding) = match bombs.get(coding) {
            Some(bomb) => (bomb.clone(), coding),
            None => (Bytes::from_static(b"harmless"), "identity"),
        };
        let mut response = Response::new(Full::new(body));
        response
            .headers_mut()
            .insert("content-encoding", coding.parse().expect("a header value"));
        async move { response }
    });
    ["gzip", "deflate", "br", "zstd"]
        .into_iter()
        .filter_map(|coding| {
            let used = process::run("bomb", &format!("http://{address}/{coding}"));
            Some(Row::absolute(
                format!("{BOMB_MIB} MiB bomb ({coding}), refused at {LIMIT_MIB} MiB: growth of memory"),
                "MiB",
                Better::Lower,
                &Samples::counted(used.mebibytes()?),
                Some((LIMIT_MIB + SLACK_MIB) as f64),
            ))
        })
        .collect()
}

/// The compressed bombs by their coding. Their decoded bytes are never in memory as a whole.
fn bombs() -> HashMap<&'static str, Bytes> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        HashMap::from([
            (
                "gzip",
                fill(GzipEncoder::new(Vec::new()), GzipEncoder::into_inner).await,
            ),
            (
                "deflate",
                fill(ZlibEncoder::new(Vec::new()), ZlibEncoder::into_inner).await,
            ),
            (
                "br",
                fill(
                    BrotliEncoder::with_quality(Vec::new(), async_compression::Level::Fastest),
                    BrotliEncoder::into_inner,
                )
                .await,
            ),
            (
                "zstd",
                fill(ZstdEncoder::new(Vec::new()), ZstdEncoder::into_inner).await,
            ),
        ])
    })
}

async fn fill<E: AsyncWrite + Unpin>(mut encoder: E, finish: fn(E) -> Vec<u8>) -> Bytes {
    let zeros = vec![0; 1 << 20];
    for _ in 0..BOMB_MIB {
        encoder.write_all(&zeros).await.expect("a vector takes all bytes");
    }
    encoder.shutdown().await.expect("a vector takes all bytes");
    finish(encoder).into()
}

/// Requests the bomb, after a harmless response that sets up the client and its connection.
pub(super) fn child(url: &str) -> Used {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let client = HttpClientBuilder::new()
        .max_response_size(Some(LIMIT_MIB << 20))
        .build()
        .expect("the settings are valid");
    let read = |url: String| runtime.block_on(async { client.get(&url).await?.bytes().await });
    let harmless = url.rsplit_once('/').expect("a path").0;
    read(format!("{harmless}/none")).expect("a harmless body");
    process::measure(|| {
        let error = read(url.to_owned()).expect_err("the body is above the limit");
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    })
}
