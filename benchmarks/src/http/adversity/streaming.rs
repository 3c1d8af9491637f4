//! Bodies of 1 GiB, down and up, in constant memory.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Method, Request, Response};
use networking_impls::http::HttpClientBuilder;
use networking_spi::http::{HttpBody, HttpClient, HttpExtended, HttpRequest};

use super::super::server;
use super::process::{self, Used};
use crate::measure::{Rounds, Samples, alternate};
use crate::report::{Better, Row};

const TOTAL: u64 = 1 << 30;
const CHUNK: usize = 64 << 10;
static PATTERN: [u8; CHUNK] = [0x5a; CHUNK];
/// The allowed growth of memory: buffers of the connection, and a few chunks in flight.
const GROWTH_MIB: f64 = 8.0;

pub(super) fn rows(rounds: Rounds) -> Vec<Row> {
    let url = format!("http://{}/", serve());
    ["download", "upload"]
        .into_iter()
        .flat_map(|direction| {
            let mut grown = (Vec::new(), Vec::new());
            let (ours, raw) = alternate(
                rounds,
                || throughput(&format!("{direction}-ours"), &url, &mut grown.0),
                || throughput(&format!("{direction}-raw"), &url, &mut grown.1),
            );
            let work = format!("{direction} of 1 GiB as a stream");
            let mut rows = vec![Row::against(
                work.clone(),
                "MiB/s",
                Better::Higher,
                "raw reqwest",
                (&ours, &raw),
                None,
            )];
            for (who, grown, goal) in [("", grown.0, Some(GROWTH_MIB)), (", raw reqwest", grown.1, None)] {
                if !grown.is_empty() {
                    let growth = Samples::of(grown);
                    rows.push(Row::absolute(
                        format!("{work}{who}: growth of memory"),
                        "MiB",
                        Better::Lower,
                        &growth,
                        goal,
                    ));
                }
            }
            rows
        })
        .collect()
}

fn throughput(work: &str, url: &str, grown: &mut Vec<f64>) -> f64 {
    let used = process::run(work, url);
    grown.extend(used.mebibytes());
    (TOTAL >> 20) as f64 / used.seconds
}

/// Starts a server that responds to a GET with 1 GiB, and to a POST with the number of bytes that it received.
fn serve() -> SocketAddr {
    server::serve_with(|request: Request<Incoming>| async move {
        let body: BoxBody<Bytes, Infallible> = if request.method() == Method::GET {
            let frames = chunks().map(|chunk| Ok(Frame::data(chunk)));
            BodyExt::boxed(StreamBody::new(frames))
        } else {
            let mut body = request.into_body();
            let mut count = 0;
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else { break };
                count += frame.data_ref().map_or(0, |data| checked(data));
            }
            Full::new(Bytes::from(count.to_string())).boxed()
        };
        Response::new(body)
    })
}

/// The chunks of a body.
fn chunks() -> impl Stream<Item = Bytes> + Send + Sync + 'static {
    stream::iter((0..TOTAL / CHUNK as u64).map(|_| Bytes::from_static(&PATTERN)))
}

/// Checks the bytes of a piece, and returns its length.
fn checked(piece: &[u8]) -> u64 {
    assert!(
        piece.chunks(CHUNK).all(|part| part == &PATTERN[..part.len()]),
        "the bytes are those that were sent"
    );
    piece.len() as u64
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

fn our_client() -> impl HttpExtended + HttpClient {
    HttpClientBuilder::new().build().expect("the defaults are valid")
}

fn raw_client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .build()
        .expect("the defaults are valid")
}

pub(super) fn download_ours(url: &str) -> Used {
    let (runtime, client) = (runtime(), our_client());
    process::measure(|| {
        runtime.block_on(async {
            let request = HttpRequest::new(Method::GET, url);
            let response = client.stream_request(request, CHUNK).await.expect("a response");
            let sum = response
                .chunks
                .try_fold(0, |sum, chunk| async move { Ok(sum + checked(&chunk)) });
            assert_eq!(sum.await.expect("a whole body"), TOTAL);
        });
    })
}

pub(super) fn download_raw(url: &str) -> Used {
    let (runtime, client) = (runtime(), raw_client());
    process::measure(|| {
        runtime.block_on(async {
            let response = client.get(url).send().await.expect("a response");
            let sum = response
                .bytes_stream()
                .try_fold(0, |sum, chunk| async move { Ok(sum + checked(&chunk)) });
            assert_eq!(sum.await.expect("a whole body"), TOTAL);
        });
    })
}

pub(super) fn upload_ours(url: &str) -> Used {
    let (runtime, client) = (runtime(), our_client());
    process::measure(|| {
        runtime.block_on(async {
            let body = HttpBody::stream(chunks().map(Ok).boxed(), Some(TOTAL));
            let request = HttpRequest::new(Method::POST, url).with_body(body);
            let response = client.request(request).await.expect("a response");
            assert_eq!(response.text().await.expect("a count"), TOTAL.to_string());
        });
    })
}

pub(super) fn upload_raw(url: &str) -> Used {
    let (runtime, client) = (runtime(), raw_client());
    process::measure(|| {
        runtime.block_on(async {
            let body = reqwest::Body::wrap_stream(chunks().map(Ok::<_, Infallible>));
            let request = client.post(url).header("content-length", TOTAL).body(body);
            let response = request.send().await.expect("a response");
            assert_eq!(response.text().await.expect("a count"), TOTAL.to_string());
        });
    })
}
