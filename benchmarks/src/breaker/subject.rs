//! Our breaker and the peers behind one trait, so that the same experiments run on all of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use circuitbreaker_rs::{BreakerBuilder, BreakerError, DefaultPolicy};
use failsafe::futures::CircuitBreaker as _;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_spi::circuit_breaker::{
    CancelPolicy, Circuit, CircuitBreaker, CircuitBreakerConfig, CircuitExt, HalfOpenPolicy, OpenPolicy,
    RateThresholds, TripPolicy,
};
use networking_spi::{ErrorKind, NetworkError};
use recloser::{AsyncRecloser, Recloser};
use tower::{Layer, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer};

/// An operation that a circuit breaker guards.
pub(super) type Operation = BoxFuture<'static, Result<(), Trouble>>;

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The dependency is failing.
    Failure,
    /// The caller made a mistake, which says nothing about the health of the dependency.
    Mistake,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl std::error::Error for Trouble {}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reply {
    Success,
    Trouble,
    Rejected,
}

/// A circuit of any breaker.
pub(super) trait Subject {
    /// Runs the operation through the circuit.
    fn call(&self, operation: Operation) -> BoxFuture<'static, Reply>;
}

/// The settings that experiments vary.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The number of consecutive failures that open the circuit.
    pub(super) failures: u32,
    /// If set, the circuit opens instead when half of the last `window` calls failed.
    pub(super) window: Option<u32>,
    pub(super) open: Duration,
    /// The number of probes that a half-open circuit admits.
    pub(super) probes: u32,
    /// A time limit for each call.
    pub(super) timeout: Option<Duration>,
    /// A cancelled call counts as a failure.
    pub(super) cancelled_fails: bool,
}

/// Our breaker and the peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Breaker {
    Ours,
    Recloser,
    Failsafe,
    TowerResilience,
    CircuitbreakerRs,
}

impl Breaker {
    pub(super) const ALL: [Self; 5] = [
        Self::Ours,
        Self::Recloser,
        Self::Failsafe,
        Self::TowerResilience,
        Self::CircuitbreakerRs,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Recloser => "recloser 1.4",
            Self::Failsafe => "failsafe 1.3",
            Self::TowerResilience => "tower-resilience 0.14",
            Self::CircuitbreakerRs => "circuitbreaker-rs 0.1",
        }
    }

    /// Makes a circuit with these settings. Fails with the setting that this breaker lacks.
    pub(super) fn make(self, settings: &Settings) -> Result<Box<dyn Subject>, &'static str> {
        if self != Self::Ours && settings.timeout.is_some() {
            return Err("no timeout");
        }
        if self != Self::Ours && settings.cancelled_fails {
            return Err("no such setting");
        }
        Ok(match self {
            Self::Ours => Box::new(Ours::new(settings)),
            Self::Recloser => Box::new(recloser(settings)),
            Self::Failsafe if settings.window.is_some() => return Err("no count window"),
            Self::Failsafe => Box::new(failsafe(settings)),
            Self::TowerResilience => Box::new(tower_resilience(settings)),
            Self::CircuitbreakerRs => Box::new(circuitbreaker_rs(settings)),
        })
    }
}

struct Ours {
    circuit: Arc<dyn Circuit>,
}

impl Ours {
    fn new(settings: &Settings) -> Self {
        let trip = match settings.window {
            Some(size) => TripPolicy::count_window(size, RateThresholds::new(0.5, size)),
            None => TripPolicy::consecutive(settings.failures),
        };
        let mut config = CircuitBreakerConfig::new()
            .with_trip(trip)
            .with_open(OpenPolicy::fixed(settings.open))
            .with_half_open(HalfOpenPolicy::new(settings.probes, settings.probes));
        if let Some(timeout) = settings.timeout {
            config = config.with_call_timeout(timeout);
        }
        if settings.cancelled_fails {
            config = config.with_on_cancel(CancelPolicy::Failure);
        }
        let breaker = SlidingWindowCircuitBreaker::builder().default_config(config).build();
        let circuit = breaker.and_then(|breaker| breaker.circuit("subject"));
        Self {
            circuit: circuit.expect("the configuration is valid"),
        }
    }
}

impl Subject for Ours {
    fn call(&self, operation: Operation) -> BoxFuture<'static, Reply> {
        let circuit = Arc::clone(&self.circuit);
        let operation = async {
            operation.await.map_err(|trouble| {
                let kind = match trouble {
                    Trouble::Failure => ErrorKind::ConnectionRefused,
                    Trouble::Mistake => ErrorKind::InvalidInput,
                };
                NetworkError::new(kind, "subject", "scripted")
            })
        };
        Box::pin(async move {
            match circuit.call(|| operation).await {
                Ok(()) => Reply::Success,
                Err(error) if error.kind() == ErrorKind::CircuitOpen => Reply::Rejected,
                Err(_) => Reply::Trouble,
            }
        })
    }
}

/// Peers are closures.
impl<F: Fn(Operation) -> BoxFuture<'static, Reply>> Subject for F {
    fn call(&self, operation: Operation) -> BoxFuture<'static, Reply> {
        self(operation)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the peers pass a reference")]
fn is_failure(trouble: &Trouble) -> bool {
    *trouble == Trouble::Failure
}

fn recloser(settings: &Settings) -> impl Subject + use<> {
    let recloser: AsyncRecloser = Recloser::custom()
        .error_rate(0.5)
        .closed_len(settings.window.unwrap_or(settings.failures) as usize)
        .half_open_len(settings.probes as usize)
        .open_wait(settings.open)
        .build()
        .into();
    move |operation: Operation| -> BoxFuture<'static, Reply> {
        let call = recloser.call_with(is_failure, operation);
        Box::pin(async {
            match call.await {
                Ok(()) => Reply::Success,
                Err(recloser::Error::Rejected) => Reply::Rejected,
                Err(recloser::Error::Inner(_)) => Reply::Trouble,
            }
        })
    }
}

fn failsafe(settings: &Settings) -> impl Subject + use<> {
    let backoff = failsafe::backoff::constant(settings.open);
    let policy = failsafe::failure_policy::consecutive_failures(settings.failures, backoff);
    let circuit = failsafe::Config::new().failure_policy(policy).build();
    move |operation: Operation| -> BoxFuture<'static, Reply> {
        let call = circuit.call_with(is_failure, operation);
        Box::pin(async {
            match call.await {
                Ok(()) => Reply::Success,
                Err(failsafe::Error::Rejected) => Reply::Rejected,
                Err(failsafe::Error::Inner(_)) => Reply::Trouble,
            }
        })
    }
}

fn tower_resilience(settings: &Settings) -> impl Subject + use<> {
    let builder = CircuitBreakerLayer::builder()
        .wait_duration_in_open(settings.open)
        .permitted_calls_in_half_open(settings.probes as usize)
        .failure_classifier(|result: &Result<(), Trouble>| result.as_ref().is_err_and(is_failure));
    let builder = match settings.window {
        Some(size) => builder
            .sliding_window_size(size as usize)
            .minimum_number_of_calls(size as usize)
            .failure_rate_threshold(0.5),
        None => builder.consecutive_failures(settings.failures as usize),
    };
    let layer = builder.build().expect("the configuration is valid");
    let service = layer.layer(service_fn(std::convert::identity as fn(Operation) -> Operation));
    move |operation: Operation| -> BoxFuture<'static, Reply> {
        let call = service.clone().oneshot(operation);
        // Not an `async` block, because the compiler could not prove that it is `Send`.
        Box::pin(call.map(|result| match result {
            Ok(()) => Reply::Success,
            Err(CircuitBreakerError::OpenCircuit) => Reply::Rejected,
            Err(_) => Reply::Trouble,
        }))
    }
}

fn circuitbreaker_rs(settings: &Settings) -> impl Subject + use<> {
    let builder = BreakerBuilder::<DefaultPolicy, Trouble>::new()
        .cooldown(settings.open)
        .probe_interval(settings.probes)
        .consecutive_successes(settings.probes.into());
    let circuit = match settings.window {
        Some(size) => builder
            .failure_threshold(0.5)
            .min_throughput(size.into())
            .consecutive_failures(u64::MAX),
        None => builder
            .min_throughput(u64::MAX)
            .consecutive_failures(settings.failures.into()),
    }
    .build();
    move |operation: Operation| -> BoxFuture<'static, Reply> {
        let circuit = circuit.clone();
        Box::pin(async move {
            match circuit.call_async(|| operation).await {
                Ok(()) => Reply::Success,
                Err(BreakerError::Open) => Reply::Rejected,
                Err(_) => Reply::Trouble,
            }
        })
    }
}
