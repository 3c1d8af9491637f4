//! What a circuit logs.
//!
//! A separate program: `tracing` remembers for all threads whether an event is enabled, and a circuit of another test, which has no
//! subscriber, could be the first that is asked.

use std::io;
use std::sync::{Arc, Mutex};

use networking_circuit_breaker::SlidingWindowCircuitBreaker;
use networking_spi::circuit_breaker::{CircuitBreakerConfig, TripPolicy};
use networking_spi::prelude::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that are logged while `act` runs.
fn logged(act: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn assert_line(line: &str, level: &str, parts: &[&str]) {
    assert!(line.trim_start().starts_with(level), "{line}");
    for part in parts {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
}

#[test]
fn an_opening_is_a_warning_and_any_other_change_is_information() {
    let breaker = SlidingWindowCircuitBreaker::builder()
        .default_config(CircuitBreakerConfig::new().with_trip(TripPolicy::consecutive(1)))
        .build()
        .unwrap();
    let circuit = breaker.circuit("payments").unwrap();
    let lines = logged(|| {
        circuit.try_acquire().unwrap().record(CallOutcome::Success);
        circuit.try_acquire().unwrap().record(CallOutcome::Failure);
        circuit.try_acquire().unwrap_err();
        breaker.reset_circuit_breaker("payments").unwrap();
        breaker.force_circuit_open("payments").unwrap();
    });
    let [opened, closed, mode, forced] = lines.as_slice() else {
        panic!("{lines:#?}");
    };
    assert_line(
        opened,
        "WARN",
        &["circuit opened", "circuit=payments", "from=closed", "reason="],
    );
    assert_line(
        closed,
        "INFO",
        &["circuit state changed", "circuit=payments", "from=open", "to=closed"],
    );
    assert_line(
        mode,
        "INFO",
        &["circuit mode changed", "circuit=payments", "to=forced_open"],
    );
    assert_line(forced, "WARN", &["circuit opened", "circuit=payments", "reason=forced"]);
}
