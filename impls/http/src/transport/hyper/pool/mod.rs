//! The pool: idle connections by origin, and how new ones are opened.

mod connection;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ahash::RandomState;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use networking_spi::Result;
use parking_lot::{Mutex, MutexGuard};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};
use url::Url;

pub(super) use self::connection::{Failure, PooledConnection};
use self::connection::{Peer, Sender, origin};
use super::counted::Counted;
use super::error;
use super::gauge::{Connecting, Gauges, IdleConnections};
use super::upload::Upload;
use crate::connect::config::TransportConfig;
use crate::connect::connector::{Connector, Opened};

/// The connections of one [variant](crate::transport::variants) of the transport, by origin.
pub(super) struct Pool {
    connector: Connector,
    gauges: Arc<Gauges>,
    max_idle_per_origin: usize,
    idle_timeout: Duration,
    /// How long a connection may take to become idle after a response that was not read to its end.
    settle_timeout: Duration,
    origins: Mutex<Origins>,
    itself: Weak<Self>,
}

#[derive(Default)]
struct Origins {
    by_name: HashMap<Box<str>, Origin, RandomState>,
    /// Whether a task is running that closes connections whose idle timeout has passed.
    evicting: bool,
}

#[derive(Default)]
struct Origin {
    /// Ordered by last use, the most recent at the end. The last one is taken first, so that the others reach their idle timeout.
    idle: Vec<Idle>,
    shared: Option<Shared>,
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

impl Pool {
    pub(super) fn new(connector: Connector, config: &TransportConfig, gauges: &Arc<Gauges>) -> Arc<Self> {
        let pool = Arc::new_cyclic(|itself| Self {
            connector,
            gauges: Arc::clone(gauges),
            max_idle_per_origin: config.pool_max_idle_per_host,
            idle_timeout: config.pool_idle_timeout,
            settle_timeout: config.read_timeout,
            origins: Mutex::default(),
            itself: Weak::clone(itself),
        });
        gauges.watch(Arc::downgrade(&pool) as _);
        pool
    }

    /// Returns a connection for one exchange: a shared or idle one, or a new one.
    pub(super) async fn acquire(self: &Arc<Self>, url: &Url) -> Result<PooledConnection> {
        while let Some(mut connection) = self.take(url) {
            if connection.ready().await {
                return Ok(connection);
            }
        }
        // Boxed: the future that opens a connection is large, and most requests do not need it.
        Box::pin(self.open(url)).await
    }

    fn take(self: &Arc<Self>, url: &Url) -> Option<PooledConnection> {
        let mut origins = self.origins.lock();
        let origin = origins.by_name.get_mut(origin(url))?;
        if let Some(shared) = &origin.shared {
            if !shared.sender.is_closed() {
                let (sender, peer) = (shared.sender.clone(), Arc::clone(&shared.peer));
                drop(origins);
                return Some(PooledConnection::new(
                    Sender::Http2(sender),
                    peer,
                    Arc::clone(self),
                    true,
                ));
            }
            origin.shared = None;
        }
        let now = Instant::now();
        while let Some(idle) = origin.idle.pop() {
            if !idle.sender.is_closed() && now < idle.since + self.idle_timeout {
                drop(origins);
                return Some(PooledConnection::new(
                    Sender::Http1(idle.sender),
                    idle.peer,
                    Arc::clone(self),
                    true,
                ));
            }
        }
        None
    }

    async fn open(self: &Arc<Self>, url: &Url) -> Result<PooledConnection> {
        let mut connecting = Some(Connecting::enter(&self.gauges));
        let opened = self
            .connector
            .connect(url, async |opened: Opened| {
                let open = connecting.take().expect("a connection is opened once").opened();
                let io = TokioIo::new(Counted {
                    stream: opened.stream,
                    _open: open,
                });
                let (sender, task) = handshake(io, opened.http2).await?;
                let authorization = self.connector.proxy_authorization();
                let peer = Peer::new(url, opened.http2, opened.forwarded, authorization, task)?;
                Ok((sender, Arc::new(peer)))
            })
            .await;
        match opened {
            Ok((sender, peer)) => Ok(self.adopt(sender, peer)),
            Err(error) => {
                self.gauges.connect_failed();
                Err(error)
            }
        }
    }

    /// Returns a new connection for its first exchange. An HTTP/2 connection is added to the pool at the same time.
    fn adopt(self: &Arc<Self>, sender: Sender, peer: Arc<Peer>) -> PooledConnection {
        if let Sender::Http2(sender) = &sender
            && self.max_idle_per_origin > 0
        {
            let mut origins = self.origins.lock();
            let origin = origins.by_name.entry(peer.origin.clone()).or_default();
            // If several connections were opened at the same time, the pool keeps only one for later requests.
            if origin.shared.as_ref().is_none_or(|shared| shared.sender.is_closed()) {
                origin.shared = Some(Shared {
                    sender: sender.clone(),
                    peer: Arc::clone(&peer),
                });
            }
            self.start_eviction(origins);
        }
        PooledConnection::new(sender, peer, Arc::clone(self), false)
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
            runtime.spawn(evict_idle(Eviction(Weak::clone(&self.itself)), self.idle_timeout));
        }
    }

    /// Removes this HTTP/2 connection from the pool, so that no further request uses it. Requests in flight on it continue.
    fn remove_shared(&self, peer: &Arc<Peer>) {
        let mut origins = self.origins.lock();
        if let Some(origin) = origins.by_name.get_mut(&peer.origin) {
            origin.shared.take_if(|shared| Arc::ptr_eq(&shared.peer, peer));
        }
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
            if let Some(shared) = &origin.shared {
                let old = shared.peer.is_idle() && now >= *shared.peer.idle_since.lock() + self.idle_timeout;
                if old || shared.sender.is_closed() {
                    origin.shared = None;
                }
            }
            let oldest = origin.idle.first().map(|idle| idle.since + self.idle_timeout);
            let shared_idle = origin.shared.as_ref().map(|shared| {
                let since = if shared.peer.is_idle() {
                    *shared.peer.idle_since.lock()
                } else {
                    now
                };
                since + self.idle_timeout
            });
            let soonest = [oldest, shared_idle].into_iter().flatten().min();
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
                let shared_idle = origin
                    .shared
                    .as_ref()
                    .is_some_and(|shared| !shared.sender.is_closed() && shared.peer.is_idle());
                waiting + usize::from(shared_idle)
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

/// Performs the HTTP handshake, and starts the task that drives the connection until it is closed.
async fn handshake(io: TokioIo<Counted>, http2: bool) -> Result<(Sender, AbortHandle)> {
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new());
        let (sender, connection) = builder.handshake(io).await.map_err(error::handshake)?;
        let task = tokio::spawn(logged(connection)).abort_handle();
        Ok((Sender::Http2(sender), task))
    } else {
        let (sender, connection) = http1::handshake(io).await.map_err(error::handshake)?;
        let task = tokio::spawn(logged(connection)).abort_handle();
        Ok((Sender::Http1(sender), task))
    }
}

/// Drives a connection. Requests in flight get its error as well; between requests the error is only logged.
async fn logged(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended");
    }
}
