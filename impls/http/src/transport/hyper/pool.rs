//! Connections that wait for their next request.

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

use super::connection::{Lease, Peer, Sender, origin};
use super::counted::Counted;
use super::error;
use super::gauge::{Connecting, Gauges};
use super::upload::Upload;
use crate::connect::config::TransportConfig;
use crate::connect::connector::{Connector, Opened};

/// The connections of one [variant](crate::transport::variants) of the transport, by origin.
pub(super) struct Pool {
    connector: Connector,
    pub(super) gauges: Arc<Gauges>,
    max_idle_per_origin: usize,
    idle_timeout: Duration,
    /// How long a connection may take to come to rest after a response that was not read to its end.
    pub(super) settle_timeout: Duration,
    origins: Mutex<Origins>,
    itself: Weak<Self>,
}

#[derive(Default)]
struct Origins {
    by_name: HashMap<Box<str>, Origin, RandomState>,
    /// A task closes what was idle for too long.
    tended: bool,
}

#[derive(Default)]
struct Origin {
    /// The latest used last: the others may grow old.
    idle: Vec<Idle>,
    shared: Option<Shared>,
}

struct Idle {
    sender: http1::SendRequest<Upload>,
    peer: Arc<Peer>,
    since: Instant,
}

/// An HTTP/2 connection, for any number of requests at once.
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
        gauges.watch(&pool);
        pool
    }

    /// A connection for one exchange: one that waits, or a new one.
    pub(super) async fn lease(self: &Arc<Self>, url: &Url) -> Result<Lease> {
        while let Some(mut lease) = self.take(url) {
            if lease.settled().await {
                return Ok(lease);
            }
        }
        // Apart: what opening a connection takes is much, and most requests do not need it.
        Box::pin(self.open(url)).await
    }

    fn take(self: &Arc<Self>, url: &Url) -> Option<Lease> {
        let mut origins = self.origins.lock();
        let origin = origins.by_name.get_mut(origin(url))?;
        if let Some(shared) = &origin.shared {
            if !shared.sender.is_closed() {
                let (sender, peer) = (shared.sender.clone(), Arc::clone(&shared.peer));
                drop(origins);
                return Some(Lease::new(Sender::Http2(sender), peer, Arc::clone(self), true));
            }
            origin.shared = None;
        }
        let now = Instant::now();
        while let Some(idle) = origin.idle.pop() {
            if !idle.sender.is_closed() && now < idle.since + self.idle_timeout {
                drop(origins);
                return Some(Lease::new(
                    Sender::Http1(idle.sender),
                    idle.peer,
                    Arc::clone(self),
                    true,
                ));
            }
        }
        None
    }

    async fn open(self: &Arc<Self>, url: &Url) -> Result<Lease> {
        let mut connecting = Some(Connecting::enter(&self.gauges));
        let opened = self
            .connector
            .connect(url, async |opened: Opened| {
                let open = connecting.take().expect("a connection is opened once").opened();
                let io = TokioIo::new(Counted {
                    stream: opened.stream,
                    _open: open,
                });
                let (sender, task) = shake(io, opened.http2).await?;
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

    /// The first use of a new connection. One that can be shared goes into the pool at once.
    fn adopt(self: &Arc<Self>, sender: Sender, peer: Arc<Peer>) -> Lease {
        if let Sender::Http2(sender) = &sender
            && self.max_idle_per_origin > 0
        {
            let mut origins = self.origins.lock();
            let origin = origins.by_name.entry(peer.origin.clone()).or_default();
            // Of several opened at the same time one is enough for later requests.
            if origin.shared.as_ref().is_none_or(|shared| shared.sender.is_closed()) {
                origin.shared = Some(Shared {
                    sender: sender.clone(),
                    peer: Arc::clone(&peer),
                });
            }
            self.tend(origins);
        }
        Lease::new(sender, peer, Arc::clone(self), false)
    }

    /// Takes a connection back. Those beyond the limit are closed; HTTP/2 ones are here already.
    pub(super) fn put(&self, sender: Sender, peer: &Arc<Peer>) {
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
        self.tend(origins);
    }

    /// How many connections wait for a request.
    pub(super) fn idle(&self) -> u64 {
        let origins = self.origins.lock();
        let count: usize = origins
            .by_name
            .values()
            .map(|origin| {
                let waiting = origin.idle.iter().filter(|idle| !idle.sender.is_closed()).count();
                let quiet = origin
                    .shared
                    .as_ref()
                    .is_some_and(|shared| !shared.sender.is_closed() && shared.peer.is_quiet());
                waiting + usize::from(quiet)
            })
            .sum();
        count as u64
    }

    /// Starts the task that closes old connections, unless there is one.
    fn tend(&self, mut origins: MutexGuard<'_, Origins>) {
        if origins.tended {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            origins.tended = true;
            // A runtime that shuts down drops the task at once, and that takes the lock.
            drop(origins);
            runtime.spawn(tend(Tending(Weak::clone(&self.itself)), self.idle_timeout));
        }
    }

    /// Gives this HTTP/2 connection to no further request.
    pub(super) fn forget(&self, peer: &Arc<Peer>) {
        let mut origins = self.origins.lock();
        if let Some(origin) = origins.by_name.get_mut(&peer.origin) {
            origin.shared.take_if(|shared| Arc::ptr_eq(&shared.peer, peer));
        }
    }

    /// Closes what has been idle for too long or is closed anyway. When to look again; `None` when nothing is left.
    fn sweep(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut origins = self.origins.lock();
        let mut next = None;
        origins.by_name.retain(|_, origin| {
            origin
                .idle
                .retain(|idle| !idle.sender.is_closed() && now < idle.since + self.idle_timeout);
            if let Some(shared) = &origin.shared {
                let old = shared.peer.is_quiet() && now >= *shared.peer.quiet_since.lock() + self.idle_timeout;
                if old || shared.sender.is_closed() {
                    origin.shared = None;
                }
            }
            let oldest = origin.idle.first().map(|idle| idle.since + self.idle_timeout);
            let quiet = origin.shared.as_ref().map(|shared| {
                let since = if shared.peer.is_quiet() {
                    *shared.peer.quiet_since.lock()
                } else {
                    now
                };
                since + self.idle_timeout
            });
            let soonest = [oldest, quiet].into_iter().flatten().min();
            next = [next, soonest].into_iter().flatten().min();
            soonest.is_some()
        });
        if next.is_none() {
            origins.tended = false;
        }
        next
    }
}

/// Ends with the pool, or when nothing is left in it.
async fn tend(mut tending: Tending, idle_timeout: Duration) {
    let mut next = Instant::now() + idle_timeout;
    loop {
        sleep_until(next).await;
        let Some(pool) = tending.0.upgrade() else { return };
        let Some(soonest) = pool.sweep() else {
            // The sweep said so already, and there may be another task by now.
            tending.0 = Weak::new();
            return;
        };
        next = soonest;
    }
}

/// The pool that a task tends. When the task is dropped with its runtime, another one can take over.
struct Tending(Weak<Pool>);

impl Drop for Tending {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.origins.lock().tended = false;
        }
    }
}

/// Starts to speak HTTP. The connection then lives in a task of its own, until it is closed.
async fn shake(io: TokioIo<Counted>, http2: bool) -> Result<(Sender, AbortHandle)> {
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

/// Requests get the error too; between requests nobody does.
async fn logged(connection: impl Future<Output = hyper::Result<()>>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended");
    }
}
