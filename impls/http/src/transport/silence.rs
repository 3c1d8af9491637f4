//! The read timeout.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Extensions;
use networking_spi::http::{HeaderMap, media_type};
use networking_spi::{ErrorKind, NetworkError, Phase, SendState};
use tokio::time::{Instant, Sleep, sleep};

use crate::connect::TransportConfig;
use crate::marks::Patience;

/// The read timeouts of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadTimeouts {
    /// Until the response head.
    pub(super) head: Duration,
    /// In its body.
    pub(super) body: Duration,
}

impl ReadTimeouts {
    /// Those of a request with these extensions over a transport with this configuration. See
    /// [`TransportConfig::read_timeout`].
    pub(super) fn of(config: &TransportConfig, extensions: &Extensions) -> Self {
        let limit = config.read_timeout;
        let patience = extensions
            .get::<Patience>()
            .filter(|_| limit == TransportConfig::DEFAULT_READ_TIMEOUT);
        let at_least = |patience: Option<Duration>| patience.map_or(limit, |patience| limit.max(patience));
        Self {
            head: at_least(patience.map(|patience| patience.head)),
            body: at_least(patience.map(|patience| patience.body)),
        }
    }
}

/// The peer sent nothing within the read timeout.
pub(super) fn read_timeout(sent: SendState) -> NetworkError {
    NetworkError::new(
        ErrorKind::Timeout,
        "http.request",
        "the peer sent no data within the read timeout",
    )
    .with_phase(Phase::Read)
    .with_send_state(sent)
}

/// The time without data while the caller waits for it.
#[derive(Debug)]
pub(super) struct Silence {
    /// `None`: not limited.
    limit: Option<Duration>,
    /// Created at the first wait.
    timer: Option<Pin<Box<Sleep>>>,
    /// When the caller began to wait. `None` if it is not waiting.
    since: Option<Instant>,
}

impl Silence {
    /// The silence in the body of a response with these headers. That of an event stream is not limited: its peer is silent as
    /// long as nothing happens.
    pub(super) fn of(headers: &HeaderMap, limit: Duration) -> Self {
        Self {
            limit: (!media_type::of(headers).eq_ignore_ascii_case("text/event-stream")).then_some(limit),
            timer: None,
            since: None,
        }
    }

    /// Data have arrived.
    pub(super) const fn end(&mut self) {
        self.since = None;
    }

    /// Ready with the limit when nothing has arrived for that time. The timer is reset when it fires, not with each chunk.
    pub(super) fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let until = *self.since.get_or_insert_with(Instant::now) + limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if until <= Instant::now() {
                return Poll::Ready(limit);
            }
            timer.as_mut().reset(until);
        }
    }
}
