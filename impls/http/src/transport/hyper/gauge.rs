//! Counters of requests and connections, shared by all pools of a transport.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};

use networking_spi::http::ConnectionPoolStats;
use parking_lot::Mutex;

/// Counts the idle connections of a pool.
pub(super) trait IdleConnections: Send + Sync {
    fn idle(&self) -> u64;
}

#[derive(Default)]
pub(super) struct Gauges {
    in_flight: AtomicU64,
    connecting: AtomicU64,
    connect_failures: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    active: AtomicU64,
    reused: AtomicU64,
    /// The pools that are asked for their idle connections.
    pools: Mutex<Vec<Weak<dyn IdleConnections>>>,
}

impl Gauges {
    pub(super) fn snapshot(&self) -> ConnectionPoolStats {
        let mut stats = ConnectionPoolStats::default();
        // Read before `opened`, so that `closed` never exceeds it.
        stats.closed = Some(self.closed.load(Relaxed));
        stats.opened = Some(self.opened.load(Relaxed));
        stats.connecting = Some(self.connecting.load(Relaxed));
        stats.connect_failures = Some(self.connect_failures.load(Relaxed));
        stats.reused = Some(self.reused.load(Relaxed));
        stats.in_flight = Some(self.in_flight.load(Relaxed));
        stats.active = Some(self.active.load(Relaxed));
        let pools: Vec<_> = self.pools.lock().iter().filter_map(Weak::upgrade).collect();
        stats.idle = Some(pools.iter().map(|pool| pool.idle()).sum());
        stats
    }

    pub(super) fn watch(&self, pool: Weak<dyn IdleConnections>) {
        let mut pools = self.pools.lock();
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    pub(super) fn activate(&self) {
        self.active.fetch_add(1, Relaxed);
    }

    pub(super) fn deactivate(&self) {
        self.active.fetch_sub(1, Relaxed);
    }

    pub(super) fn connect_failed(&self) {
        self.connect_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn reuse(&self) {
        self.reused.fetch_add(1, Relaxed);
    }
}

/// A request in flight, from its start to the end of its response body.
pub(super) struct InFlight(Arc<Gauges>);

impl InFlight {
    pub(super) fn enter(gauges: &Arc<Gauges>) -> Self {
        gauges.in_flight.fetch_add(1, Relaxed);
        Self(Arc::clone(gauges))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A connection that is being opened. Dropping it before it is open does not count as a failure.
pub(super) struct Connecting<'g>(&'g Arc<Gauges>);

impl<'g> Connecting<'g> {
    pub(super) fn enter(gauges: &'g Arc<Gauges>) -> Self {
        gauges.connecting.fetch_add(1, Relaxed);
        Self(gauges)
    }

    pub(super) fn opened(self) -> Open {
        self.0.opened.fetch_add(1, Relaxed);
        Open(Arc::clone(self.0))
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.connecting.fetch_sub(1, Relaxed);
    }
}

/// An open connection; dropped together with its socket.
pub(super) struct Open(Arc<Gauges>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.closed.fetch_add(1, Relaxed);
    }
}
