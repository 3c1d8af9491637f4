//! The sliding-window breaker behaves like the model of its contract under random operations.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_core::stream::BoxStream;
use futures_util::{FutureExt, StreamExt};
use networking_circuit_breaker::SlidingWindowCircuitBreaker;
use networking_conformance::proof::circuit_breaker::{ModelBreaker, Saboteur};
use networking_runtime::clock::TokioClock;
use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, CancelPolicy, Circuit, CircuitBreaker, CircuitBreakerConfig, CircuitEvent, CircuitMetrics,
    CircuitMode, HalfOpenPolicy, OpenPolicy, OwnedPermit, RateThresholds, TripPolicy,
};

const NAME: &str = "payments";
const STEPS: usize = 250;
const RUNS: u64 = 400;

/// The model keeps fewer transitions than the breaker.
const COMPARED_TRANSITIONS: usize = 16;

/// The length of every time window, because the contract does not define the buckets of other lengths.
const WINDOW: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn random_operations_have_the_effects_of_the_model() {
    for seed in 0..RUNS {
        if let Err(difference) = compare(seed, None).await {
            panic!("seed {seed}: {difference}");
        }
    }
}

/// The comparison must detect each saboteur: a deliberately broken model.
#[tokio::test(start_paused = true)]
async fn random_operations_find_saboteurs() {
    for saboteur in [
        Saboteur::LateSuccessesClose,
        Saboteur::NoLease,
        Saboteur::WindowNeverSlides,
        Saboteur::RetryAfterIsNotCapped,
        Saboteur::OneProbeTooMany,
        Saboteur::StaleCountsTwice,
        Saboteur::EventsComeTwice,
        Saboteur::SlowProbesClose,
        Saboteur::ConfigurationEndsOverrides,
    ] {
        let mut found = false;
        for seed in 0..RUNS {
            found = compare(seed, Some(saboteur)).await.is_err();
            if found {
                break;
            }
        }
        assert!(found, "{saboteur:?} was not detected");
    }
}

/// One run: the same operations on both, compared after each.
async fn compare(seed: u64, saboteur: Option<Saboteur>) -> Result<(), String> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let config = random_config(&mut rng);
    let mut history = vec![format!("{config:?}")];
    let model = ModelBreaker::new(config.clone()).starting_at(SystemTime::UNIX_EPOCH);
    let model = match saboteur {
        Some(saboteur) => model.with_saboteur(saboteur),
        None => model,
    };
    let tested = SlidingWindowCircuitBreaker::builder()
        .default_config(config)
        .clock(Arc::new(TokioClock::starting_at(SystemTime::UNIX_EPOCH)))
        .event_capacity(64)
        .build()
        .expect("random configurations are valid");
    let mut tested = Subject::new(Arc::new(tested));
    let mut model = Subject::new(Arc::new(model));
    for _ in 0..STEPS {
        let step = Step::random(&mut rng, tested.permits.len());
        history.push(format!("{step:?}"));
        if let Step::Advance(time) = step {
            tokio::time::advance(time).await;
        }
        let results = (tested.apply(&step), model.apply(&step));
        // Reading a circuit makes overdue state changes, so some steps must follow another step without a read.
        if results.0 == results.1 && rng.u8(..3) == 0 {
            continue;
        }
        let observed = (tested.observe(), model.observe());
        if results.0 != results.1 || observed.0 != observed.1 {
            let last = history[history.len().saturating_sub(12)..].join("\n  ");
            return Err(format!(
                "after {} steps\n got      {:?} {:?}\n expected {:?} {:?}\n configuration {}\n last steps\n  {last}",
                history.len() - 1,
                results.0,
                observed.0,
                results.1,
                observed.1,
                history[0],
            ));
        }
    }
    Ok(())
}

#[derive(Debug)]
enum Step {
    Acquire,
    Record(usize, CallRecord),
    Drop(usize),
    Advance(Duration),
    ForceOpen,
    ForceClosed,
    Reset,
    Configure(CircuitBreakerConfig),
}

impl Step {
    fn random(rng: &mut fastrand::Rng, permits: usize) -> Self {
        match rng.u8(..100) {
            45..80 if permits > 0 => Self::Record(rng.usize(..permits), random_record(rng)),
            80..84 if permits > 0 => Self::Drop(rng.usize(..permits)),
            84..96 => Self::Advance(Duration::from_millis(rng.u64(0..400))),
            96 => Self::ForceOpen,
            97 => Self::ForceClosed,
            98 => Self::Reset,
            99 => Self::Configure(random_config(rng)),
            // Most steps acquire a permit. So do steps that need a permit when none is held.
            _ => Self::Acquire,
        }
    }
}

/// A breaker with a handle, permits and a subscription, as a program would hold them.
struct Subject {
    breaker: Arc<dyn CircuitBreaker>,
    circuit: Arc<dyn Circuit>,
    permits: Vec<OwnedPermit>,
    events: BoxStream<'static, CircuitEvent>,
}

impl Subject {
    fn new(breaker: Arc<dyn CircuitBreaker>) -> Self {
        let circuit = breaker.circuit(NAME).expect("the name is valid");
        let events = breaker.subscribe().expect("both publish events");
        Self {
            breaker,
            circuit,
            permits: Vec::new(),
            events,
        }
    }

    /// Applies a step and returns its result, if it has one.
    fn apply(&mut self, step: &Step) -> String {
        match step {
            Step::Acquire => match OwnedPermit::acquire(&self.circuit) {
                Ok(permit) => self.permits.push(permit),
                Err(rejection) => return rejection.to_string(),
            },
            Step::Record(index, record) => self.permits.swap_remove(*index).record(*record),
            Step::Drop(index) => drop(self.permits.swap_remove(*index)),
            Step::Advance(_) => {}
            Step::ForceOpen => return format!("{:?}", self.breaker.force_circuit_open(NAME)),
            Step::ForceClosed => return format!("{:?}", self.breaker.force_circuit_closed(NAME)),
            Step::Reset => return format!("{:?}", self.breaker.reset_circuit_breaker(NAME)),
            Step::Configure(config) => {
                return format!("{:?}", self.breaker.configure_circuit_breaker(NAME, config.clone()));
            }
        }
        String::new()
    }

    fn observe(&mut self) -> (CircuitMetrics, Vec<CircuitEvent>) {
        let mut metrics = self.circuit.metrics();
        let surplus = metrics.transitions.len().saturating_sub(COMPARED_TRANSITIONS);
        metrics.transitions.drain(..surplus);
        let mut events = Vec::new();
        // Unconstrained, because tokio's budget would make the stream pending after a number of polls.
        while let Some(Some(event)) = tokio::task::unconstrained(self.events.next()).now_or_never() {
            events.push(event);
        }
        (metrics, events)
    }
}

fn random_record(rng: &mut fastrand::Rng) -> CallRecord {
    let outcome = match rng.u8(..10) {
        0..4 => CallOutcome::Success,
        4..9 => CallOutcome::Failure,
        _ => CallOutcome::Ignored,
    };
    let record = CallRecord::new(outcome);
    if rng.u8(..8) == 0 {
        record.with_retry_after(random_millis(rng, 1..1_500))
    } else {
        record
    }
}

fn random_config(rng: &mut fastrand::Rng) -> CircuitBreakerConfig {
    let mut rates = RateThresholds::new([0.25, 0.5, 1.0][rng.usize(..3)], rng.u32(1..6));
    if rng.bool() {
        rates = rates.with_slow_calls(random_millis(rng, 1..300), [0.3, 0.8][rng.usize(..2)]);
    }
    let trip = match rng.u8(..3) {
        0 => TripPolicy::consecutive(rng.u32(1..5)),
        1 => TripPolicy::count_window(rng.u32(6..12), rates),
        _ => TripPolicy::time_window(WINDOW, rates),
    };
    let duration = random_millis(rng, 50..500);
    let open = match rng.u8(..2) {
        0 => OpenPolicy::fixed(duration).with_max_duration(duration * 2),
        _ => OpenPolicy::exponential(duration, duration * 5),
    };
    let mut half_open = HalfOpenPolicy::new(rng.u32(1..4), rng.u32(1..4));
    if rng.bool() {
        half_open = half_open.with_probe_lease(random_millis(rng, 50..500));
    }
    let mut config = CircuitBreakerConfig::new()
        .with_trip(trip)
        .with_open(open)
        .with_half_open(half_open);
    if rng.bool() {
        config = config.with_on_cancel(CancelPolicy::Failure);
    }
    if rng.bool() {
        config = config.with_call_timeout(random_millis(rng, 50..800));
    }
    config.with_mode(match rng.u8(..10) {
        0 => CircuitMode::MetricsOnly,
        1 => CircuitMode::ForcedClosed,
        2 => CircuitMode::ForcedOpen,
        _ => CircuitMode::Automatic,
    })
}

fn random_millis(rng: &mut fastrand::Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}
