//! The circuit breaker's cost on the success path, against recloser.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;

use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_spi::circuit_breaker::{CallOutcome, Circuit, CircuitBreaker, CircuitState, OperationOutput};

use crate::measure::{Rounds, Samples, alone, alternate, nanos_per_call, time};
use crate::report::{Better, Row};

const CALLS: u64 = 2_000_000;
const BOXED_CALLS: u64 = 500_000;

/// All rows of the domain.
pub(crate) fn run(rounds: Rounds) -> Vec<Row> {
    let breaker = Arc::new(
        SlidingWindowCircuitBreaker::builder()
            .build()
            .expect("the defaults are valid"),
    );
    let circuit = breaker.circuit("benchmark").expect("the name is valid");
    let recloser = recloser::Recloser::default();

    let (ours, theirs) = alternate(rounds, || handle(&*circuit), || recloser_sync(&recloser));
    let (ours_two, theirs_two) = alternate(
        rounds,
        || two_threads(|| handle(&*circuit)),
        || two_threads(|| recloser_sync(&recloser)),
    );
    let boxed = alone(rounds, || execute(&breaker));
    assert_eq!(circuit.state(), CircuitState::Closed, "every call succeeded");
    assert!(
        circuit.metrics().successes >= CALLS * rounds.0 as u64,
        "every call was counted"
    );

    let contention = Samples::ratio(&ours_two, &ours);
    vec![
        Row::against(
            "handle, closed, success, 1 thread",
            "ns/call",
            Better::Lower,
            "recloser sync",
            (&ours, &theirs),
            Some(0.8),
        ),
        Row::against(
            "handle, closed, success, 2 threads",
            "ns/call",
            Better::Lower,
            "recloser sync",
            (&ours_two, &theirs_two),
            Some(0.8),
        ),
        Row::absolute(
            "handle, 2 contended threads over 1 thread",
            "x",
            Better::Lower,
            &contention,
            Some(1.5),
        ),
        Row::absolute(
            "dyn execute_with_circuit_breaker, by name",
            "ns/call",
            Better::Lower,
            &boxed,
            None,
        ),
    ]
}

/// Calls through the object-safe handle, as users hold it.
fn handle(circuit: &dyn Circuit) -> f64 {
    let (admitted, elapsed) = time(|| {
        let mut admitted = 0_u64;
        for call in 0..CALLS {
            if let Ok(permit) = circuit.try_acquire() {
                admitted += u64::from(black_box(call) == call);
                permit.record(CallOutcome::Success);
            }
        }
        admitted
    });
    assert_eq!(admitted, CALLS, "every call was let through");
    nanos_per_call(CALLS, elapsed)
}

fn recloser_sync(recloser: &recloser::Recloser) -> f64 {
    let (admitted, elapsed) = time(|| {
        let mut admitted = 0_u64;
        for call in 0..CALLS {
            let result: Result<u64, recloser::Error<()>> = recloser.call(|| Ok(u64::from(black_box(call) == call)));
            admitted += result.unwrap_or_default();
        }
        admitted
    });
    assert_eq!(admitted, CALLS, "every call was let through");
    nanos_per_call(CALLS, elapsed)
}

/// Two threads that start together; the mean of their values.
fn two_threads(work: impl Fn() -> f64 + Sync) -> f64 {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let threads = [0, 1].map(|_| {
            scope.spawn(|| {
                barrier.wait();
                work()
            })
        });
        threads
            .map(|thread| thread.join().expect("no thread panics"))
            .iter()
            .sum::<f64>()
            / 2.0
    })
}

/// The object-safe form: boxed operation, lookup by name.
fn execute(breaker: &Arc<SlidingWindowCircuitBreaker>) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("the operating system gives a runtime");
    let breaker: Arc<dyn CircuitBreaker> = Arc::clone(breaker) as _;
    let (sum, elapsed) = time(|| {
        runtime.block_on(async {
            let mut sum = 0_u64;
            for _ in 0..BOXED_CALLS {
                let operation = Box::new(|| Box::pin(async { Ok(Box::new(()) as OperationOutput) }) as _);
                let output = breaker.execute_with_circuit_breaker(operation, "benchmark", None).await;
                sum += u64::from(output.is_ok());
            }
            sum
        })
    });
    assert_eq!(sum, BOXED_CALLS, "every call succeeded");
    nanos_per_call(BOXED_CALLS, elapsed)
}
