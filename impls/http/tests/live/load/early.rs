//! nginx responds with 413 when it has read the head of a request whose body is too large.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_conformance::{CaseResult, Failure, Harness, check, check_eq};
use networking_http::HttpVersion;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::http::{HttpBody, HttpClient, HttpClientExt, Version};
use url::Url;

use super::super::backend::Live;
use super::row::Row;

const ROUNDS: usize = 15;
const SIZES: [(usize, &str); 3] = [(100_000, "100 KB"), (1_000_000, "1 MB"), (50_000_000, "50 MB")];

pub(crate) async fn early_responses_over_http2_are_returned(live: Arc<Live>) -> CaseResult {
    early(&live, &live.servers().load_limited, HttpVersion::Http2).await
}

pub(crate) async fn early_responses_over_http1_are_returned(live: Arc<Live>) -> CaseResult {
    early(&live, &live.servers().load_limited_clear, HttpVersion::Http1).await
}

pub(crate) async fn early_responses_over_http1_with_tls_are_returned(live: Arc<Live>) -> CaseResult {
    early(&live, &live.servers().load_limited, HttpVersion::Http1).await
}

/// `ReqwestTransport` does not promise to return an early response, so its failures are only reported.
async fn early(live: &Arc<Live>, url: &Url, version: HttpVersion) -> CaseResult {
    let client = live
        .builder_of(live.config().with_version(version))?
        .base_url(url)
        .build()?;
    let mut failures = Vec::new();
    for (size, name) in SIZES {
        let body = Bytes::from(vec![b'x'; size]);
        for streamed in [false, true] {
            let work = format!(
                "413 to {name} of {} length over {}{}",
                if streamed { "unknown" } else { "known" },
                if version == HttpVersion::Http2 {
                    "HTTP/2"
                } else {
                    "HTTP/1.1"
                },
                if url.scheme() == "https" { " and TLS" } else { "" },
            );
            let mut row = Row::new(live, "nginx", work, ROUNDS);
            let clock = SystemClock::new();
            for _ in 0..ROUNDS {
                if let Err(why) = refused(&client, &body, streamed, version).await {
                    row.fail(why.0);
                }
            }
            row.took(clock.elapsed());
            row.write(live)?;
            if row.failed > 0 {
                failures.push(format!("{}: {} failed: {}", row.work, row.failed, row.note));
            }
        }
    }
    check!(
        failures.is_empty() || live.backend() == "reqwest",
        "{}",
        failures.join("; ")
    );
    Ok(())
}

async fn refused(client: &impl HttpClient, body: &Bytes, streamed: bool, version: HttpVersion) -> Result<(), Failure> {
    let body = if streamed {
        let pieces: Vec<_> = (0..body.len())
            .step_by(64 << 10)
            .map(|start| Ok(body.slice(start..body.len().min(start + (64 << 10)))))
            .collect();
        HttpBody::stream(stream::iter(pieces).boxed(), None)
    } else {
        body.clone().into()
    };
    let response = client.post("/upload").body(body).await?;
    check_eq!(response.status, 413, "the status");
    let expected = if version == HttpVersion::Http2 {
        Version::HTTP_2
    } else {
        Version::HTTP_11
    };
    check_eq!(response.version, expected, "the version");
    let page = response.text().await?;
    check!(page.contains("413 Request Entity Too Large"), "the response: {page:?}");
    Ok(())
}
