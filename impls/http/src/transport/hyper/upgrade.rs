//! Opening handshakes of WebSocket connections, each on a connection outside the pool.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use networking_spi::http::{HttpBody, HttpResponse};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use tokio::task::AbortHandle;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use url::Url;

use super::counted::{Activity, Counted};
use super::download::await_head;
use super::error;
use super::gauge::InFlight;
use super::outgoing;
use super::pool::{Failure, Movement, Pool};
use super::upload::Upload;
use crate::connect::connector::Opened;
use crate::connect::diagnosis::Stage;
use crate::transport::silence::read_timeout;
use crate::transport::upgrade::{CanSwitch, Switched, SwitchedStream};

const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const VERSION: HeaderValue = HeaderValue::from_static("13");

/// Sends an opening handshake. The response has the stream in its extensions if the peer switched protocols; otherwise it is the
/// peer's response.
///
/// Dropping the future closes the connection.
pub(super) async fn request(
    pool: &Pool,
    mut request: Request<Upload>,
    url: &Url,
    in_flight: InFlight,
    read_timeout: Duration,
) -> Result<HttpResponse> {
    let Dedicated {
        mut sender,
        driver,
        activity,
    } = open(pool, url).await?;
    let key = address(&mut request, url)?;
    let progress = request.body().progress();
    activity.expect_head(Some(pool.max_before_head()));
    let flood = Arc::clone(&activity);
    let sent = await_head(
        sender.try_send_request(request),
        read_timeout,
        progress,
        Movement::Connection(activity),
    )
    .await;
    let mut head = sent.map_err(|failure| unanswered(failure, &flood))?;
    flood.expect_head(None);
    let mut response = HttpResponse::new(head.status());
    response.version = head.version();
    response.headers = std::mem::take(head.headers_mut());
    response.url = Some(url.clone());
    response.extensions.insert(CanSwitch);
    if head.status() == StatusCode::SWITCHING_PROTOCOLS {
        response.extensions.insert(switched(head, key).await?);
    } else {
        let length = head.body().size_hint().exact();
        if length != Some(0) {
            let refusal = Refusal {
                incoming: head.into_body(),
                _driver: driver,
                _in_flight: in_flight,
            };
            response.body = HttpBody::stream(refusal.boxed(), length);
        }
    }
    Ok(response)
}

struct Dedicated {
    sender: SendRequest<Upload>,
    driver: Driver,
    activity: Arc<Activity>,
}

/// The task that drives a connection, until it is dropped.
struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn open(pool: &Pool, url: &Url) -> Result<Dedicated> {
    pool.connector()
        .tunnel(url, async |opened: Opened| {
            let activity = Arc::<Activity>::default();
            let io = TokioIo::new(Counted {
                stream: opened.stream,
                activity: Arc::clone(&activity),
                http2: false,
                _open: None,
            });
            let (sender, connection) = pool.http1().handshake(io).await.map_err(error::handshake)?;
            let driving = async move {
                if let Err(error) = connection.with_upgrades().await {
                    tracing::debug!(%error, "a connection ended");
                }
            };
            Ok(Dedicated {
                sender,
                driver: Driver(tokio::spawn(driving).abort_handle()),
                activity,
            })
        })
        .await
}

/// Sets the target and the headers of the handshake, and returns its key.
fn address(request: &mut Request<Upload>, url: &Url) -> Result<HeaderValue> {
    *request.uri_mut() = Uri::from(outgoing::target(url)?);
    let host = outgoing::host(url)?;
    let key = HeaderValue::from_str(&generate_key()).expect("base64 is visible ASCII");
    let headers: &mut HeaderMap = request.headers_mut();
    headers.entry(header::HOST).or_insert(host);
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
    headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
    headers.insert(header::SEC_WEBSOCKET_KEY, key.clone());
    Ok(key)
}

fn unanswered(failure: Failure, activity: &Activity) -> NetworkError {
    match failure {
        Failure::Exchange(failure) if activity.is_flooded() => error::interim_flood().with_source(failure.into_error()),
        Failure::ReadTimeout => read_timeout(SendState::MaybeSent),
        Failure::Exchange(mut failure) => {
            let sent = match failure.take_message() {
                Some(_) => SendState::NotSent,
                None => SendState::MaybeSent,
            };
            error::classify(failure.into_error(), Stage::Head, sent, false)
        }
    }
}

async fn switched(head: Response<Incoming>, key: HeaderValue) -> Result<Switched> {
    let lost = || {
        NetworkError::new(
            ErrorKind::ConnectionClosed,
            "http.request",
            "the connection ended while it switched protocols",
        )
        .with_send_state(SendState::Sent)
    };
    let upgraded: Upgraded = hyper::upgrade::on(head)
        .await
        .map_err(|error| lost().with_source(error))?;
    let parts = upgraded
        .downcast::<TokioIo<Counted>>()
        .expect("the connection was opened over this stream");
    Ok(Switched::new(SwitchedStream {
        stream: parts.io.into_inner().stream,
        first: parts.read_buf,
        key,
    }))
}

/// The body of a response other than 101. The caller limits the time.
struct Refusal {
    incoming: Incoming,
    _driver: Driver,
    _in_flight: InFlight,
}

impl Stream for Refusal {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    Err(_) => continue,
                },
                Some(Err(failure)) => Some(Err(error::classify(failure, Stage::Body, SendState::Sent, false))),
                None => None,
            });
        }
    }
}
