//! Bodies that cannot be read.

use std::time::Duration;

use networking_http::{HttpClientBuilder, MemoryHttpClient};
use networking_spi::compression::CompressionType;
use networking_spi::http::{HttpClient, HttpExtended, HttpResponse, RequestOptions};
use tokio::io::AsyncWriteExt;

use crate::errors::backend::{Backend, ConnectSettings, Failed, failing, host_of, post};
use crate::errors::exchange::{read_request, until_closed};
use crate::raw::RawServer;

const OK: &str = "HTTP/1.1 200 OK\r\n";

/// What the peer does after it has sent its bytes.
#[derive(Clone, Copy)]
enum Then {
    Stay,
    Close,
    Reset,
}

async fn server(answer: Vec<u8>, then: Then) -> RawServer {
    RawServer::start(move |mut stream| {
        let answer = answer.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(&answer).await;
            match then {
                Then::Stay => until_closed(&mut stream).await,
                Then::Close => {}
                Then::Reset => stream.set_zero_linger().unwrap(),
            }
        }
    })
    .await
}

pub(crate) async fn silent_body(backend: &Backend) -> Failed {
    let settings = ConnectSettings {
        read_timeout: Duration::from_secs(5),
        ..ConnectSettings::default()
    };
    stalled_call(&*backend.client_with(settings, |builder| builder)).await
}

pub(crate) async fn slow_attempt_body(backend: &Backend) -> Failed {
    let limit = Duration::from_secs(5);
    stalled_call(&*backend.client_with(ConnectSettings::default(), |builder| builder.timeout(limit))).await
}

pub(crate) async fn slow_body(backend: &Backend) -> Failed {
    let limit = Duration::from_secs(5);
    stalled_call(&*backend.client_with(ConnectSettings::default(), |builder| builder.total_timeout(limit))).await
}

/// A call to a peer that stops sending within the body. The clock is paused from then on, so that timeouts pass immediately.
async fn stalled_call(client: &dyn HttpClient) -> Failed {
    let server = server(format!("{OK}content-length: 10\r\n\r\n012").into(), Then::Stay).await;
    let request = post(&server.url("/"));
    let host = host_of(&request);
    let response = client.request(request).await.unwrap();
    tokio::time::pause();
    let error = response.bytes().await.unwrap_err();
    Failed { error, host }
}

pub(crate) async fn short_body(backend: &Backend) -> Failed {
    answered(backend, "content-length: 10\r\n\r\n012", Then::Close).await
}

pub(crate) async fn missing_chunk(backend: &Backend) -> Failed {
    answered(backend, "transfer-encoding: chunked\r\n\r\n3\r\n012\r\n", Then::Close).await
}

pub(crate) async fn reset_body(backend: &Backend) -> Failed {
    answered(backend, "content-length: 10\r\n\r\n012", Then::Reset).await
}

pub(crate) async fn bad_chunk_size(backend: &Backend) -> Failed {
    answered(
        backend,
        "transfer-encoding: chunked\r\n\r\nthree\r\n012\r\n0\r\n\r\n",
        Then::Stay,
    )
    .await
}

async fn answered(backend: &Backend, answer: &str, then: Then) -> Failed {
    let server = server(format!("{OK}{answer}").into(), then).await;
    failing(&*backend.client(), post(&server.url("/"))).await
}

pub(crate) async fn bad_gzip(backend: &Backend) -> Failed {
    encoded(backend, b"this was never compressed", RequestOptions::new()).await
}

pub(crate) async fn short_gzip(backend: &Backend) -> Failed {
    let whole = gzip(b"0123456789").await;
    encoded(backend, &whole[..whole.len() - 4], RequestOptions::new()).await
}

pub(crate) async fn bomb(backend: &Backend) -> Failed {
    let bomb = gzip(&vec![0; 1 << 20]).await;
    let limit = RequestOptions::new().with_max_response_size(1 << 14);
    encoded(backend, &bomb, limit).await
}

async fn encoded(backend: &Backend, body: &[u8], options: RequestOptions) -> Failed {
    let head = format!("{OK}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    let server = server([head.as_bytes(), body].concat(), Then::Stay).await;
    failing(&*backend.client(), post(&server.url("/")).with_options(options)).await
}

async fn gzip(plain: &[u8]) -> Vec<u8> {
    let codec = HttpClientBuilder::over(MemoryHttpClient::new()).build().unwrap();
    let packed = codec
        .compress_request(plain.to_vec().into(), CompressionType::Gzip)
        .await;
    packed.unwrap().to_vec()
}

pub(crate) async fn bad_json(backend: &Backend) -> Failed {
    unreadable(backend, b"{\"half\": ", HttpResponse::json::<serde_json::Value>).await
}

pub(crate) async fn bad_text(backend: &Backend) -> Failed {
    unreadable(backend, b"na\xefve", HttpResponse::text).await
}

async fn unreadable<T, F>(backend: &Backend, body: &[u8], read: impl FnOnce(HttpResponse) -> F) -> Failed
where
    F: Future<Output = networking_spi::Result<T>>,
{
    let head = format!("{OK}content-length: {}\r\n\r\n", body.len());
    let server = server([head.as_bytes(), body].concat(), Then::Stay).await;
    let request = post(&server.url("/"));
    let host = host_of(&request);
    let response = backend.client().request(request).await.unwrap();
    let Err(error) = read(response).await else {
        panic!("the body cannot be read");
    };
    Failed { error, host }
}

pub(crate) async fn large_body(backend: &Backend) -> Failed {
    limited(backend, "content-length: 11\r\n\r\n0123456789a").await
}

pub(crate) async fn endless_body(backend: &Backend) -> Failed {
    limited(
        backend,
        "transfer-encoding: chunked\r\n\r\n8\r\n01234567\r\n8\r\n01234567\r\n",
    )
    .await
}

/// A call that accepts at most ten bytes.
async fn limited(backend: &Backend, answer: &str) -> Failed {
    let server = server(format!("{OK}{answer}").into(), Then::Stay).await;
    let limit = RequestOptions::new().with_max_response_size(10);
    failing(&*backend.client(), post(&server.url("/")).with_options(limit)).await
}
