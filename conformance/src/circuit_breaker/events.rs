//! Events of subscribers.

use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, SystemTime};

use futures_core::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use networking_spi::circuit_breaker::{
    CircuitBreaker, CircuitEvent, CircuitEventKind, CircuitMode, CircuitState, TransitionReason,
};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, check_close, config};
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq};

pub(super) async fn state_changes_in_order(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut events = scene.breaker.subscribe()?;
    scene.half_open(&harness).await?;
    scene.succeed(1)?;
    let seen: Vec<_> = waiting(&mut events)
        .into_iter()
        .filter_map(|event| match event.kind {
            CircuitEventKind::StateChanged { from, to, reason } => Some((event.circuit.to_string(), from, to, reason)),
            _ => None,
        })
        .collect();
    let expected = [
        (
            CircuitState::Closed,
            CircuitState::Open,
            TransitionReason::ConsecutiveFailures,
        ),
        (
            CircuitState::Open,
            CircuitState::HalfOpen,
            TransitionReason::OpenTimeElapsed,
        ),
        (
            CircuitState::HalfOpen,
            CircuitState::Closed,
            TransitionReason::ProbesSucceeded,
        ),
    ]
    .map(|(from, to, reason)| (NAME.to_owned(), from, to, reason));
    check_eq!(seen, expected, "the events");
    Ok(())
}

pub(super) async fn operations_are_reported(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut events = scene.breaker.subscribe()?;
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    scene.trip()?;
    scene.rejection("while open")?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    let kinds: Vec<_> = waiting(&mut events).into_iter().map(|event| event.kind).collect();
    let times = |wanted: fn(&CircuitEventKind) -> bool| kinds.iter().filter(|kind| wanted(kind)).count();
    check_eq!(
        [
            times(|kind| *kind == CircuitEventKind::Configured),
            times(|kind| matches!(kind, CircuitEventKind::Rejected { .. })),
            times(|kind| *kind == CircuitEventKind::Reset),
            times(|kind| matches!(kind, CircuitEventKind::ModeChanged { .. })),
        ],
        [1, 1, 1, 0],
        "configurations, rejections, resets and changes of mode in {kinds:?}"
    );
    Ok(())
}

pub(super) async fn mode_changes_are_reported(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut events = scene.breaker.subscribe()?;
    for _ in 0..2 {
        // The second time, it changes nothing.
        scene.breaker.force_circuit_open(NAME)?;
    }
    scene.rejection("when forced open")?;
    scene.breaker.force_circuit_closed(NAME)?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    let forced = config().with_mode(CircuitMode::ForcedOpen);
    scene.breaker.configure_circuit_breaker(NAME, forced)?;
    let kinds: Vec<_> = waiting(&mut events).into_iter().map(|event| event.kind).collect();
    let modes: Vec<_> = kinds
        .iter()
        .filter_map(|kind| match kind {
            CircuitEventKind::ModeChanged { from, to } => Some((*from, *to)),
            _ => None,
        })
        .collect();
    let expected = [
        (CircuitMode::Automatic, CircuitMode::ForcedOpen),
        (CircuitMode::ForcedOpen, CircuitMode::ForcedClosed),
        (CircuitMode::ForcedClosed, CircuitMode::Automatic),
        (CircuitMode::Automatic, CircuitMode::ForcedOpen),
    ];
    check_eq!(modes, expected, "changes of mode");
    let reasons: Vec<_> = kinds
        .iter()
        .filter_map(|kind| match kind {
            CircuitEventKind::StateChanged { to, reason, .. } => Some((*to, *reason)),
            _ => None,
        })
        .collect();
    let expected = [
        (CircuitState::Open, TransitionReason::Forced),
        (CircuitState::Closed, TransitionReason::Forced),
        (CircuitState::Open, TransitionReason::Configured),
    ];
    check_eq!(reasons, expected, "changes of state by changes of mode");
    check!(
        kinds.contains(&CircuitEventKind::Rejected { retry_after: None }),
        "a rejection while forced open is not reported without a delay: {kinds:?}"
    );
    Ok(())
}

pub(super) async fn metrics_only_rejections_are_reported(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_mode(CircuitMode::MetricsOnly))?;
    scene.trip()?;
    let mut events = scene.breaker.subscribe()?;
    scene.succeed(2)?;
    let rejected = rejections(&waiting(&mut events));
    check_eq!(
        rejected.len(),
        2,
        "events of calls that automatic mode would have rejected"
    );
    for (_, retry_after) in rejected {
        check_close(retry_after.unwrap_or_default(), OPEN_TIME, "the delay in the event")?;
    }
    Ok(())
}

pub(super) async fn times_and_delays_are_real(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut events = scene.breaker.subscribe()?;
    scene.trip()?;
    scene.rejection("at the beginning of the open time")?;
    harness.advance(OPEN_TIME / 2).await;
    scene.rejection("in the middle of the open time")?;
    let seen = waiting(&mut events);
    let opened = scene.circuit.metrics().transitions.last().map(|last| last.at);
    let changed = seen
        .iter()
        .find(|event| matches!(event.kind, CircuitEventKind::StateChanged { .. }))
        .map(|event| event.at);
    let (Some(opened), Some(changed)) = (opened, changed) else {
        return Err(Failure::new(
            "a circuit that has opened shows no transition, or no event",
        ));
    };
    check_close(
        changed
            .duration_since(opened)
            .unwrap_or_else(|earlier| earlier.duration()),
        Duration::ZERO,
        "the difference of the times of a change of state, in the event and in the metrics",
    )?;
    let rejected = rejections(&seen);
    check_eq!(rejected.len(), 2, "events of rejections");
    for ((at, retry_after), since) in rejected.into_iter().zip([Duration::ZERO, OPEN_TIME / 2]) {
        check_close(
            at.duration_since(changed).unwrap_or_default(),
            since,
            "the time between a change of state and a rejection, by their events",
        )?;
        check_close(
            retry_after.unwrap_or_default(),
            OPEN_TIME.saturating_sub(since),
            "the delay in the event of a rejection",
        )?;
    }
    Ok(())
}

/// The times and delays of the rejections among some events.
fn rejections(events: &[CircuitEvent]) -> Vec<(SystemTime, Option<Duration>)> {
    events
        .iter()
        .filter_map(|event| match event.kind {
            CircuitEventKind::Rejected { retry_after } => Some((event.at, retry_after)),
            _ => None,
        })
        .collect()
}

pub(super) async fn every_subscriber_gets_all(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut first = scene.breaker.subscribe()?;
    let mut second_stream = scene.breaker.subscribe()?;
    scene.half_open(&harness).await?;
    let mut late = scene.breaker.subscribe()?;
    scene.succeed(1)?;
    let (first, second) = (waiting(&mut first), waiting(&mut second_stream));
    check!(!first.is_empty(), "the first subscriber received no events");
    check_eq!(
        first,
        second,
        "the events of the second subscriber, compared with those of the first"
    );
    check_eq!(
        waiting(&mut late).len(),
        1,
        "events of a subscriber that subscribed before the last event"
    );
    let mut after = scene.breaker.subscribe()?;
    check_eq!(
        waiting(&mut after).len(),
        0,
        "events of a subscriber that subscribed after the last event"
    );
    drop(second_stream);
    scene.breaker.reset_circuit_breaker(NAME)?;
    check_eq!(
        waiting(&mut after).len(),
        1,
        "events of the next operation, when another subscriber has left"
    );
    Ok(())
}

pub(super) async fn a_lagging_subscriber_is_notified(harness: Arc<Dyn>) -> CaseResult {
    let Some(capacity) = harness.event_capacity() else {
        return Err(Failure::new("no event capacity"));
    };
    let scene = Scene::new(&harness, config())?;
    let mut events = scene.breaker.subscribe()?;
    let sent = capacity * 2 + 10;
    for _ in 0..sent {
        scene.breaker.configure_circuit_breaker(NAME, config())?;
    }
    let waiting = waiting(&mut events);
    let Some(CircuitEventKind::Lagged { missed }) = waiting.first().map(|event| event.kind.clone()) else {
        return Err(Failure::new(
            "the first event of a lagging subscriber is not the number of dropped events",
        ));
    };
    check_eq!(
        waiting[0].circuit.len(),
        0,
        "the length of the circuit's name in a `Lagged` event"
    );
    check_eq!(
        missed + waiting.len() as u64 - 1,
        sent as u64,
        "missed and received events"
    );
    check!(
        waiting.len() <= capacity + 1,
        "{} events were kept, more than the capacity",
        waiting.len() - 1
    );
    check!(waiting.len() > 1, "none of the newest events was kept");
    Ok(())
}

pub(super) async fn subscribers_may_call_back(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut events = scene.breaker.subscribe()?;
    let caller = Arc::new(CallsBack {
        breaker: Arc::clone(&scene.breaker),
        states: Mutex::default(),
    });
    let waker = Waker::from(Arc::clone(&caller));
    let polled = events.poll_next_unpin(&mut Context::from_waker(&waker));
    check!(polled.is_pending(), "there was an event before any operation");
    // On another thread, because a breaker that wakes subscribers while it holds its lock never returns from `trip`.
    let runtime = tokio::runtime::Handle::current();
    let (done, returned) = mpsc::channel();
    std::thread::spawn(move || {
        let _entered = runtime.enter();
        let tripped = scene.trip();
        // The receiver was dropped if this took too long.
        let _ = done.send(tripped);
    });
    match returned.recv_timeout(Duration::from_secs(2)) {
        Ok(tripped) => tripped?,
        Err(_) => {
            return Err(Failure::new(
                "the circuit hangs when a subscriber calls the breaker from its waker",
            ));
        }
    }
    let states = caller.states.lock().unwrap_or_else(PoisonError::into_inner).clone();
    check_eq!(
        states.first(),
        Some(&CircuitState::Open),
        "the state that the subscriber saw when it was woken"
    );
    Ok(())
}

pub(super) async fn streams_stay_open(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut events = scene.breaker.subscribe()?;
    scene.half_open(&harness).await?;
    waiting(&mut events);
    harness.advance(OPEN_TIME + MARGIN).await;
    let next = events.next().now_or_never();
    check!(
        next.is_none(),
        "the stream ended or had an event although nothing happened: {next:?}"
    );
    scene.succeed(1)?;
    check_eq!(waiting(&mut events).len(), 1, "events after a pause");
    Ok(())
}

/// The events that are ready now.
pub(super) fn waiting(events: &mut BoxStream<'static, CircuitEvent>) -> Vec<CircuitEvent> {
    let mut ready = Vec::new();
    // Unconstrained, because otherwise the runtime reports `Pending` after a number of polls.
    while let Some(Some(event)) = tokio::task::unconstrained(events.next()).now_or_never() {
        ready.push(event);
    }
    ready
}

/// Queries the breaker and makes it publish an event, each time it is woken.
struct CallsBack {
    breaker: Arc<dyn CircuitBreaker>,
    states: Mutex<Vec<CircuitState>>,
}

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        let Ok(state) = self.breaker.circuit_state(NAME) else {
            return;
        };
        self.states.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        // Publishes another event while the first one is being published.
        let _ = self.breaker.configure_circuit_breaker(NAME, config());
    }
}
