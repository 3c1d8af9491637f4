//! The schedule of a rate limit, and the calls that wait for their turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use networking_spi::Result;
use networking_spi::validate::Validate;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};

use super::RateLimit;
use crate::layer::per_origin::Evictable;

/// How far the schedule may lag behind the clock while calls wait, in nanoseconds, so that late timers do not lower the rate. It bounds the burst
/// after a time in which no timer ran.
const MAX_LAG_NANOS: u64 = 100_000_000;

/// One limit: a schedule (generic cell rate algorithm), and a line of waiting calls.
///
/// A call takes its turn only when it is due. Until then it has a place in the line, and nothing else: when it is dropped, the
/// calls behind it move up.
#[derive(Debug)]
pub(super) struct Gate {
    origin: Instant,
    /// Nanoseconds between calls.
    interval: u64,
    /// The longest time that a call may be ahead of the schedule, in nanoseconds.
    tolerance: u64,
    max_wait: Option<Duration>,
    max_pause: Duration,
    /// When the next call of the schedule is due, in nanoseconds after `origin`.
    due: Mutex<u64>,
    /// The permit is the first place. Waiting calls get it in order of arrival.
    line: Semaphore,
    /// The calls in the line.
    waiting: AtomicU64,
}

impl Gate {
    pub(super) fn checked(limit: RateLimit) -> Result<Self> {
        limit.validate()?;
        Ok(Self::new(limit))
    }

    pub(super) fn new(limit: RateLimit) -> Self {
        let nanos = limit.period.as_nanos() / u128::from(limit.calls);
        let interval = u64::try_from(nanos).unwrap_or(u64::MAX).max(1);
        let tolerance = interval.saturating_mul(u64::from(limit.burst) - 1);
        Self {
            origin: Instant::now(),
            interval,
            tolerance,
            max_wait: limit.max_wait,
            max_pause: limit.max_pause,
            due: Mutex::new(0),
            line: Semaphore::new(1),
            waiting: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Nanoseconds until the next turn.
    fn wait(&self, due: u64, now: u64) -> u64 {
        due.saturating_sub(self.tolerance).saturating_sub(now)
    }

    fn next_turn(&self) -> Duration {
        Duration::from_nanos(self.wait(*self.due.lock(), self.now()))
    }

    /// The time until a call that arrives now has its turn, if no waiting call is dropped and no pause starts.
    fn expected_wait(&self) -> Duration {
        let behind = self.waiting.load(Ordering::Relaxed).saturating_mul(self.interval);
        let due = (*self.due.lock()).max(self.now());
        Duration::from_nanos(self.wait(due.saturating_add(behind), self.now()))
    }

    /// When the next turn is due after one that is taken now. If its call was late because it had to wait, the schedule counts from
    /// when the turn was due.
    fn after_turn(&self, due: u64, now: u64, late: bool) -> u64 {
        let lag = if late { MAX_LAG_NANOS } else { 0 };
        due.max(now.saturating_sub(lag)).saturating_add(self.interval)
    }

    /// Waits until the next turn is due, also if a pause delays it meanwhile. Returns whether it had to wait.
    async fn until_due(&self) -> bool {
        let mut waited = false;
        loop {
            let wait = self.next_turn();
            if wait.is_zero() {
                return waited;
            }
            sleep(wait).await;
            waited = true;
        }
    }

    /// Schedules no call before the end of the pause. Calls that have had their turn are not affected.
    pub(super) fn pause(&self, asked: Duration) {
        let pause = u64::try_from(asked.min(self.max_pause).as_nanos()).unwrap_or(u64::MAX);
        if pause > 0 {
            let over = self.now().saturating_add(pause).saturating_add(self.tolerance);
            let mut due = self.due.lock();
            *due = (*due).max(over);
        }
    }
}

impl Evictable for Gate {
    fn is_idle(&self) -> bool {
        *self.due.lock() <= self.now()
    }
}

/// The gates that a call has to pass.
pub(super) struct Gates<'g> {
    pub(super) all: Option<&'g Gate>,
    pub(super) host: Option<Arc<Gate>>,
}

impl Gates<'_> {
    fn iter(&self) -> impl Iterator<Item = &Gate> {
        self.host.as_deref().into_iter().chain(self.all)
    }

    /// Takes a turn at every gate, or at none, if no call waits and all turns are due.
    pub(super) fn pass(&self) -> bool {
        let mut places = [None, None];
        for (place, gate) in places.iter_mut().zip(self.iter()) {
            let Ok(first) = gate.line.try_acquire() else {
                return false;
            };
            *place = Some(first);
        }
        self.take([false; 2]).is_zero()
    }

    /// Takes a turn at every gate when all are due. Returns the longest wait otherwise. `late`: for which gates the call had to
    /// wait, so that their schedules count from when the turn was due.
    fn take(&self, late: [bool; 2]) -> Duration {
        // Always locked in the same order: host, then all.
        let mut schedules = [None, None];
        let mut wait = 0;
        for ((schedule, gate), late) in schedules.iter_mut().zip(self.iter()).zip(late) {
            let due = gate.due.lock();
            let now = gate.now();
            wait = wait.max(gate.wait(*due, now));
            *schedule = Some((gate, due, now, late));
        }
        if wait == 0 {
            for (gate, due, now, late) in schedules.iter_mut().flatten() {
                **due = gate.after_turn(**due, *now, *late);
            }
        }
        Duration::from_nanos(wait)
    }

    /// Waits in line, and takes a turn at every gate. Fails at the deadline, and immediately if the turn is expected later. Returns
    /// the wait that was expected; so is the error.
    ///
    /// Cancel safety: a call that is dropped has taken nothing.
    pub(super) async fn wait(&self, deadline: Option<Instant>) -> Result<Duration, Duration> {
        let start = Instant::now();
        let longest = self.iter().filter_map(|gate| gate.max_wait).min();
        let longest = longest.and_then(|longest| start.checked_add(longest));
        let latest = match (longest, deadline) {
            (Some(longest), Some(deadline)) => Some(longest.min(deadline)),
            (longest, deadline) => longest.or(deadline),
        };
        let expected = self.expected_wait();
        let Some(latest) = latest else {
            self.turn().await;
            return Ok(expected);
        };
        if start.checked_add(expected).is_none_or(|turn| turn > latest) {
            return Err(expected);
        }
        tokio::select! {
            biased;
            () = self.turn() => Ok(expected),
            () = sleep_until(latest) => Err(self.expected_wait()),
        }
    }

    /// The time until a call that arrives now has its turn, unless waiting calls are dropped or a pause starts.
    fn expected_wait(&self) -> Duration {
        self.iter().map(Gate::expected_wait).max().unwrap_or_default()
    }

    async fn turn(&self) {
        // In the line of the host first: a call that waits for its host does not hold up the calls to others.
        let place = match &self.host {
            Some(host) => Some(Place::first(host).await),
            None => None,
        };
        let mut host_late = place.as_ref().is_some_and(|place| place.was_behind);
        loop {
            if let Some(host) = &self.host {
                host_late |= host.until_due().await;
            }
            let place = match self.all {
                Some(all) => Some(Place::first(all).await),
                None => None,
            };
            let mut all_late = place.as_ref().is_some_and(|place| place.was_behind);
            // A pause of the host ends this loop, so that the calls to other hosts do not wait for it.
            while self.host.as_ref().is_none_or(|host| host.next_turn().is_zero()) {
                let late = if self.host.is_some() {
                    [host_late, all_late]
                } else {
                    [all_late; 2]
                };
                if self.take(late).is_zero() {
                    return;
                }
                if let Some(all) = self.all {
                    all_late |= all.until_due().await;
                }
            }
        }
    }

    /// Pauses the gate of the host, or, without limits per host, the gate of all calls.
    pub(super) fn pause(&self, asked: Duration) {
        if let Some(gate) = self.host.as_deref().or(self.all) {
            gate.pause(asked);
        }
    }
}

/// A place in the line of a gate.
struct Place<'g> {
    _first: Option<SemaphorePermit<'g>>,
    _counted: Counted<'g>,
    /// Whether other calls were in the line.
    was_behind: bool,
}

impl<'g> Place<'g> {
    /// Takes the last place, and waits until it is the first.
    async fn first(gate: &'g Gate) -> Self {
        let was_behind = gate.waiting.fetch_add(1, Ordering::Relaxed) > 0;
        let counted = Counted(gate);
        Self {
            // The line is never closed.
            _first: gate.line.acquire().await.ok(),
            _counted: counted,
            was_behind,
        }
    }
}

/// Counts a call in the line of a gate.
struct Counted<'g>(&'g Gate);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
