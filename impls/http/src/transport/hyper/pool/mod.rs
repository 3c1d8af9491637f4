//! The pool: connections by origin, how requests share them, and how new ones are opened.

mod connection;
mod end;
mod queue;

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use ahash::RandomState;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use url::Url;

use self::connection::{ConnectionState, Peer, Sender, origin};
pub(super) use self::connection::{Failed, Failure, Movement, PooledConnection};
use self::end::{End, EndGuard};
pub(super) use self::queue::OpenSlot;
use self::queue::{Place, Queue};
use super::counted::{Activity, Counted};
use super::error;
use super::gauge::{Connecting, Gauges, IdleConnections};
use super::streams::StreamTasks;
use super::upload::Upload;
use crate::connect::config::{Http2Config, HttpVersion, MAX_HEADERS, TransportConfig};
use crate::connect::connector::{Connector, Opened};

/// The connections of one [variant](crate::transport::variants) of the transport, by origin.
pub(super) struct Pool {
    connector: Connector,
    gauges: Arc<Gauges>,
    version: HttpVersion,
    http1: http1::Builder,
    http2: Http2Config,
    /// The limit of a response head that is announced to peers of HTTP/2, in bytes.
    http2_header_list_size: u32,
    /// The largest size of the interim responses and the head of a response, in bytes.
    max_before_head: u64,
    max_idle_per_origin: usize,
    max_connections_per_origin: usize,
    idle_timeout: Duration,
    /// The longest wait for a connection.
    queue_timeout: Duration,
    /// How long a connection may take to become idle after a response that was not read to its end.
    settle_timeout: Duration,
    origins: Mutex<Origins>,
    /// The task that closes idle connections, to end it with the pool.
    eviction: Mutex<Option<AbortHandle>>,
    itself: Weak<Self>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(task) = self.eviction.get_mut().take() {
            task.abort();
        }
    }
}

#[derive(Default)]
struct Origins {
    by_name: HashMap<Box<str>, Origin, RandomState>,
    /// Whether a task is running that closes connections whose idle timeout has passed.
    evicting: bool,
}

#[derive(Default)]
struct Origin {
    /// Ordered by last use, the most recent at the end, so that the oldest reach their idle timeout.
    idle: Vec<Idle>,
    shared: Vec<Shared>,
    protocol: Protocol,
    /// The connection that is being opened, until it is known how many requests it serves at the same time.
    opening: Option<Opening>,
    queue: Arc<Queue>,
}

/// What an origin speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Protocol {
    /// Unknown until the first connection is open.
    #[default]
    Unknown,
    Http1,
    Http2,
    /// The peer answered HTTP/2 with `HTTP_1_1_REQUIRED`.
    Http1Required,
}

struct Idle {
    sender: http1::SendRequest<Upload>,
    peer: Arc<Peer>,
    since: Instant,
}

/// An HTTP/2 connection, which serves many requests at the same time.
struct Shared {
    sender: http2::SendRequest<Upload>,
    peer: Arc<Peer>,
}

/// The outcome of an attempt to open a connection; `None` until it is known. The sender is dropped when the attempt was given up.
type Opening = watch::Receiver<Option<Result<()>>>;

/// The sender of an [`Opening`], until the outcome is known.
type Outcome = Arc<Mutex<Option<watch::Sender<Option<Result<()>>>>>>;

/// What a request without a connection does next.
enum Turn {
    Use(PooledConnection),
    Open(Ticket),
    /// Wait for a connection that another request opens.
    Join(Opening),
    Wait(Arc<Queue>),
}

/// The right to open a connection.
struct Ticket {
    slot: OpenSlot,
    queue: Arc<Queue>,
    protocol: Protocol,
    outcome: Outcome,
}

/// The number of streams that hyper opens before the peer has announced its limit, which is never this one. The pool opens one.
const UNANNOUNCED: usize = 0x7fff_fff3;

impl Pool {
    pub(super) fn new(connector: Connector, config: &TransportConfig, gauges: &Arc<Gauges>) -> Arc<Self> {
        let mut http1 = http1::Builder::new();
        http1
            .max_headers(MAX_HEADERS)
            .max_buf_size(config.max_response_head as usize)
            // Of trailers, which hyper would limit to 16 KiB. The transport checks their size itself, with an error that names it.
            .max_header_size((config.max_response_head as usize).saturating_mul(4))
            .allow_obsolete_multiline_headers_in_responses(true);
        let pool = Arc::new_cyclic(|itself| Self {
            connector,
            gauges: Arc::clone(gauges),
            version: config.version,
            http1,
            http2: config.http2,
            http2_header_list_size: config.http2_header_list_size(),
            max_before_head: 4 * u64::from(config.max_response_head),
            max_idle_per_origin: config.pool_max_idle_per_host,
            max_connections_per_origin: config.max_connections_per_host.unwrap_or(usize::MAX),
            idle_timeout: config.pool_idle_timeout,
            queue_timeout: config.pool_timeout,
            settle_timeout: config.read_timeout,
            origins: Mutex::default(),
            eviction: Mutex::default(),
            itself: Weak::clone(itself),
        });
        gauges.watch(Arc::downgrade(&pool) as _);
        pool
    }

    /// Opens streams for connections outside the pool.
    #[cfg(feature = "websocket")]
    pub(super) const fn connector(&self) -> &Connector {
        &self.connector
    }

    #[cfg(feature = "websocket")]
    pub(super) const fn max_before_head(&self) -> u64 {
        self.max_before_head
    }

    /// The settings of HTTP/1.1 connections.
    #[cfg(feature = "websocket")]
    pub(super) const fn http1(&self) -> &http1::Builder {
        &self.http1
    }

    /// hyper's settings of one HTTP/2 connection, whose tasks are run by `streams`.
    fn http2(&self, streams: StreamTasks) -> http2::Builder<StreamTasks> {
        let mut http2 = http2::Builder::new(streams);
        http2
            .timer(TokioTimer::new())
            .initial_max_send_streams(UNANNOUNCED)
            .initial_stream_window_size(self.http2.stream_window)
            .initial_connection_window_size(self.http2.connection_window)
            .max_header_list_size(self.http2_header_list_size)
            .keep_alive_interval(self.http2.keepalive_interval)
            .keep_alive_timeout(self.http2.keepalive_timeout);
        http2
    }

    /// Returns a connection for one exchange: an idle one, an HTTP/2 connection with a free stream, or a new one. Waits while the
    /// limit of connections is reached.
    pub(super) async fn acquire(self: &Arc<Self>, url: &Url) -> Result<PooledConnection> {
        let mut waiting: Option<(Place, Instant)> = None;
        loop {
            // Boxed below: the futures are large, and most requests do not need them.
            match self.turn(url, waiting.as_ref().map(|(place, _)| place)) {
                Turn::Use(mut connection) => {
                    if connection.ready().await {
                        return Ok(connection);
                    }
                }
                Turn::Open(ticket) => {
                    drop(waiting);
                    return Box::pin(self.open(url, ticket)).await;
                }
                Turn::Join(opening) => Box::pin(joined(opening)).await?,
                Turn::Wait(queue) => match &waiting {
                    Some((place, deadline)) => {
                        if Box::pin(timeout_at(*deadline, place.turn())).await.is_err() {
                            return Err(queue_timeout(self.queue_timeout));
                        }
                    }
                    // With a place in the queue, it looks again: a connection may have become free before.
                    None => waiting = Some((queue.enter(), Instant::now() + self.queue_timeout)),
                },
            }
        }
    }

    /// What a request does next. `place` is its place in the queue, if it waits.
    fn turn(self: &Arc<Self>, url: &Url, place: Option<&Place>) -> Turn {
        let name = origin(url);
        let now = Instant::now();
        let mut origins = self.origins.lock();
        let origin = match origins.by_name.get_mut(name) {
            Some(origin) => origin,
            None => origins.by_name.entry(name.into()).or_default(),
        };
        let its_turn = origin.queue.is_turn_of(place);
        if its_turn && let Some((sender, peer)) = origin.take(now, self.idle_timeout) {
            return Turn::Use(PooledConnection::new(sender, peer, Arc::clone(self), true));
        }
        if let Some(opening) = origin.opening.as_ref().filter(|opening| is_pending(opening)) {
            return Turn::Join(opening.clone());
        }
        origin.opening = None;
        let slot = if its_turn {
            origin.queue.open(self.max_connections_per_origin)
        } else {
            None
        };
        let Some(slot) = slot else {
            return Turn::Wait(Arc::clone(&origin.queue));
        };
        let alone = match origin.protocol {
            Protocol::Http1 | Protocol::Http1Required => false,
            Protocol::Http2 => true,
            Protocol::Unknown => match self.version {
                HttpVersion::Http1 => false,
                HttpVersion::Http2 => true,
                HttpVersion::Negotiated => url.scheme() == "https",
            },
        };
        let outcome = (alone && self.max_idle_per_origin > 0).then(|| {
            let (sender, receiver) = watch::channel(None);
            origin.opening = Some(receiver);
            sender
        });
        Turn::Open(Ticket {
            slot,
            queue: Arc::clone(&origin.queue),
            protocol: origin.protocol,
            outcome: Arc::new(Mutex::new(outcome)),
        })
    }

    async fn open(self: &Arc<Self>, url: &Url, ticket: Ticket) -> Result<PooledConnection> {
        let Ticket {
            slot,
            queue,
            protocol,
            outcome,
        } = ticket;
        let mut connecting = Some((Connecting::enter(&self.gauges), slot));
        let http1_only = protocol == Protocol::Http1Required;
        let opened = self
            .connector
            .connect(url, http1_only, async |opened: Opened| {
                let (connecting, slot) = connecting.take().expect("a connection is opened once");
                let activity = Arc::<Activity>::default();
                let max_streams = Arc::new(AtomicUsize::new(1));
                let streams = StreamTasks::default();
                let end = Arc::<End>::default();
                let guard = EndGuard {
                    end: Arc::clone(&end),
                    pool: Weak::clone(&self.itself),
                    origin: origin(url).into(),
                };
                let io = TokioIo::new(Counted {
                    stream: opened.stream,
                    activity: Arc::clone(&activity),
                    http2: opened.http2,
                    _open: Some((connecting.opened(), slot)),
                });
                let (sender, task) = if opened.http2 {
                    let http2 = self.http2(streams.clone());
                    let (sender, connection) = http2.handshake(io).await.map_err(error::handshake)?;
                    let driver = Driver {
                        connection,
                        activity: Arc::clone(&activity),
                        max_streams: Arc::clone(&max_streams),
                        queue: Arc::clone(&queue),
                        outcome: Arc::clone(&outcome),
                    };
                    (
                        Sender::Http2(sender),
                        tokio::spawn(logged(driver, guard)).abort_handle(),
                    )
                } else {
                    let (sender, connection) = self.http1.handshake(io).await.map_err(error::handshake)?;
                    (
                        Sender::Http1(sender),
                        tokio::spawn(logged(connection, guard)).abort_handle(),
                    )
                };
                let state = ConnectionState {
                    activity,
                    end,
                    max_streams,
                    queue,
                    streams,
                };
                let authorization = self.connector.proxy_authorization();
                let peer = Peer::new(url, opened.http2, opened.forwarded, authorization, task, state)?;
                Ok((sender, Arc::new(peer)))
            })
            .await;
        match opened {
            Ok((sender, peer)) => Ok(self.adopt(sender, &peer, &outcome)),
            Err(error) => {
                self.gauges.connect_failed();
                report(&outcome, Err(error.clone()));
                Err(error)
            }
        }
    }

    /// Hands out a new connection for its first exchange. An HTTP/2 connection is added to the pool at the same time.
    fn adopt(self: &Arc<Self>, sender: Sender, peer: &Arc<Peer>, outcome: &Outcome) -> PooledConnection {
        let shared = match &sender {
            Sender::Http2(sender) => Some(Shared {
                sender: sender.clone(),
                peer: Arc::clone(peer),
            }),
            Sender::Http1(_) => None,
        };
        // Counts its stream before other requests see the connection.
        let connection = PooledConnection::new(sender, Arc::clone(peer), Arc::clone(self), false);
        let mut origins = self.origins.lock();
        let origin = origins.by_name.entry(peer.origin.clone()).or_default();
        match shared {
            Some(shared) if self.max_idle_per_origin > 0 => {
                origin.protocol = Protocol::Http2;
                if !shared.peer.has_ended() {
                    origin.shared.push(shared);
                }
                self.start_eviction(origins);
                // The driver of the connection reports it when the peer has announced its limit of streams.
            }
            shared => {
                if shared.is_none() && origin.protocol != Protocol::Http1Required {
                    origin.protocol = Protocol::Http1;
                }
                drop(origins);
                report(outcome, Ok(()));
            }
        }
        connection
    }

    /// Returns an HTTP/1.1 connection to the pool, or closes it when the pool is full. HTTP/2 connections are in the pool
    /// while they are used.
    fn put(&self, sender: Sender, peer: &Arc<Peer>) {
        let Sender::Http1(sender) = sender else {
            return;
        };
        if sender.is_closed() || self.max_idle_per_origin == 0 {
            return;
        }
        let idle = Idle {
            sender,
            peer: Arc::clone(peer),
            since: Instant::now(),
        };
        let mut origins = self.origins.lock();
        let waiting = match origins.by_name.get_mut(&peer.origin) {
            Some(origin) => &mut origin.idle,
            None => &mut origins.by_name.entry(peer.origin.clone()).or_default().idle,
        };
        if waiting.len() < self.max_idle_per_origin {
            waiting.push(idle);
        }
        self.start_eviction(origins);
        peer.wake_queue();
    }

    /// Starts the eviction task, unless it is running.
    fn start_eviction(&self, mut origins: MutexGuard<'_, Origins>) {
        if origins.evicting {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            origins.evicting = true;
            // A runtime that is shutting down drops the task immediately, and dropping it takes the lock.
            drop(origins);
            let task = runtime.spawn(evict_idle(Eviction(Weak::clone(&self.itself)), self.idle_timeout));
            *self.eviction.lock() = Some(task.abort_handle());
        }
    }

    /// Removes this HTTP/2 connection from the pool, so that no further request uses it. Requests in flight on it continue.
    fn remove_shared(&self, peer: &Arc<Peer>) {
        let mut origins = self.origins.lock();
        if let Some(origin) = origins.by_name.get_mut(&peer.origin) {
            origin.shared.retain(|shared| !Arc::ptr_eq(&shared.peer, peer));
        }
    }

    /// Removes an HTTP/2 connection that has ended.
    fn remove_ended(&self, name: &str, end: &Arc<End>) {
        let mut origins = self.origins.lock();
        if let Some(origin) = origins.by_name.get_mut(name) {
            origin.shared.retain(|shared| !shared.peer.ends_with(end));
        }
    }

    /// Opens connections to this peer for HTTP/1.1 only, from now on. `false` if only HTTP/2 may be used.
    fn require_http1(&self, peer: &Peer) -> bool {
        if self.version != HttpVersion::Negotiated {
            return false;
        }
        let mut origins = self.origins.lock();
        let origin = origins.by_name.entry(peer.origin.clone()).or_default();
        origin.protocol = Protocol::Http1Required;
        origin.shared.clear();
        true
    }

    /// Closes connections whose idle timeout has passed, and removes closed ones. Returns the time of the next sweep, or `None`
    /// if no connection is left.
    fn sweep(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut origins = self.origins.lock();
        let mut next = None;
        origins.by_name.retain(|_, origin| {
            origin
                .idle
                .retain(|idle| !idle.sender.is_closed() && now < idle.since + self.idle_timeout);
            let mut soonest = origin.idle.first().map(|idle| idle.since + self.idle_timeout);
            origin.shared.retain(|shared| {
                let since = if shared.peer.is_idle() {
                    *shared.peer.idle_since.lock()
                } else {
                    now
                };
                let until = since + self.idle_timeout;
                let keep = now < until && !shared.sender.is_closed();
                if keep {
                    soonest = Some(soonest.map_or(until, |soonest| soonest.min(until)));
                }
                keep
            });
            if soonest.is_none() && !origin.queue.is_unused() {
                soonest = Some(now + self.idle_timeout);
            }
            next = [next, soonest].into_iter().flatten().min();
            soonest.is_some()
        });
        if next.is_none() {
            origins.evicting = false;
        }
        next
    }
}

impl IdleConnections for Pool {
    fn idle(&self) -> u64 {
        let origins = self.origins.lock();
        let count: usize = origins
            .by_name
            .values()
            .map(|origin| {
                let waiting = origin.idle.iter().filter(|idle| !idle.sender.is_closed()).count();
                let is_idle = |shared: &&Shared| !shared.sender.is_closed() && shared.peer.is_idle();
                waiting + origin.shared.iter().filter(is_idle).count()
            })
            .sum();
        count as u64
    }
}

/// Closes idle connections until the pool is dropped or empty.
async fn evict_idle(mut eviction: Eviction, idle_timeout: Duration) {
    let mut next = Instant::now() + idle_timeout;
    loop {
        sleep_until(next).await;
        let Some(pool) = eviction.0.upgrade() else { return };
        let Some(soonest) = pool.sweep() else {
            // The sweep has cleared the flag, and another task may have set it again: the drop must not clear it.
            eviction.0 = Weak::new();
            return;
        };
        next = soonest;
    }
}

/// The pool of an eviction task. When the task is dropped with its runtime, another task can be started.
struct Eviction(Weak<Pool>);

impl Drop for Eviction {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.origins.lock().evicting = false;
        }
    }
}

impl Origin {
    /// A connection that can take a request now. The stream of an HTTP/2 connection is counted when it is handed out, under the
    /// same lock.
    fn take(&mut self, now: Instant, idle_timeout: Duration) -> Option<(Sender, Arc<Peer>)> {
        if !self.shared.is_empty() {
            self.shared.retain(|shared| !shared.sender.is_closed());
            if let Some(shared) = self.shared.iter().find(|shared| shared.peer.has_free_stream()) {
                return Some((Sender::Http2(shared.sender.clone()), Arc::clone(&shared.peer)));
            }
        }
        while let Some(idle) = self.idle.pop() {
            if !idle.sender.is_closed() && now < idle.since + idle_timeout {
                return Some((Sender::Http1(idle.sender), idle.peer));
            }
        }
        None
    }
}

fn is_pending(opening: &Opening) -> bool {
    opening.has_changed().is_ok() && opening.borrow().is_none()
}

/// Waits for a connection that another request opens. If that request was dropped, this is no error.
async fn joined(mut opening: Opening) -> Result<()> {
    match opening.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(Err(error))) => Err(error.clone()),
        _ => Ok(()),
    }
}

fn report(outcome: &Outcome, result: Result<()>) {
    if let Some(sender) = outcome.lock().take() {
        sender.send_replace(Some(result));
    }
}

fn queue_timeout(limit: Duration) -> NetworkError {
    NetworkError::new(
        ErrorKind::Timeout,
        "http.request",
        format!("no connection of the pool was free within {limit:?}"),
    )
    .with_phase(Phase::Queue)
    .with_send_state(SendState::NotSent)
}

/// Drives an HTTP/2 connection, and notes the limit of streams that the peer announces.
struct Driver {
    connection: http2::Connection<TokioIo<Counted>, Upload, StreamTasks>,
    activity: Arc<Activity>,
    max_streams: Arc<AtomicUsize>,
    queue: Arc<Queue>,
    outcome: Outcome,
}

impl Future for Driver {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.activity.register(cx.waker());
        let polled = Pin::new(&mut this.connection).poll(cx);
        let announced = this.connection.current_max_send_streams();
        if announced != UNANNOUNCED {
            this.activity.settle();
            // A peer that allows no stream for now gets one, which hyper holds back.
            let announced = announced.max(1);
            if this.max_streams.swap(announced, SeqCst) != announced {
                this.queue.wake();
            }
            report(&this.outcome, Ok(()));
        }
        polled
    }
}

/// Drives a connection. Its error is reported to the requests on it; between requests it is only logged. `guard` is dropped after
/// the connection.
async fn logged(connection: impl Future<Output = hyper::Result<()>>, guard: EndGuard) {
    let _guard = guard;
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended");
    }
}
