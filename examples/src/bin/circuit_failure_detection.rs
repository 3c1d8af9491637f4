//! The application decides what counts as a failure. All errors of a payment provider have the status 422, which the default
//! classifier counts as a success. Here a declined card is a success, a repeated request is ignored, and maintenance is a
//! failure. Successful responses that are too slow open the circuit, too.
//!
//! ```sh
//! cargo run -p networking-examples --bin circuit_failure_detection
//! ```

use std::sync::Arc;
use std::time::Duration;

use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_spi::circuit_breaker::{
    CircuitBreakerConfig, ErrorClassifier, OpenPolicy, RateThresholds, TripPolicy, default_classifier,
};
use networking_spi::prelude::*;

/// Classifies the provider's errors by their code, and other errors with the default classifier.
#[derive(Debug)]
struct ProviderErrors {
    default: Arc<dyn ErrorClassifier>,
}

impl ErrorClassifier for ProviderErrors {
    fn classify(&self, error: &NetworkError) -> CallOutcome {
        match error.message() {
            "card_declined" => CallOutcome::Success,
            "duplicate_request" => CallOutcome::Ignored,
            "maintenance" => CallOutcome::Failure,
            _ => self.default.classify(error),
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), NetworkError> {
    let slow = Duration::from_millis(20);
    let config = CircuitBreakerConfig::new()
        .with_trip(TripPolicy::count_window(
            8,
            RateThresholds::new(0.5, 4).with_slow_calls(slow, 0.75),
        ))
        .with_open(OpenPolicy::fixed(Duration::from_secs(30)))
        .with_classifier(Arc::new(ProviderErrors {
            default: default_classifier(),
        }));
    let breaker = SlidingWindowCircuitBreaker::builder().default_config(config).build()?;

    for (name, responses) in [
        ("declined cards", ["card_declined"; 6]),
        ("repeated requests", ["duplicate_request"; 6]),
        ("maintenance", ["maintenance"; 6]),
        ("slow responses", ["slow"; 6]),
    ] {
        let circuit = breaker.circuit(name)?;
        let mut rejected = 0;
        for response in responses {
            let result = circuit.call(|| provider(response, slow)).await;
            rejected += usize::from(result.is_err_and(|error| error.kind() == ErrorKind::CircuitOpen));
        }
        let metrics = circuit.metrics();
        let reason = metrics
            .transitions
            .last()
            .map(|transition| transition.reason.to_string());
        println!(
            "{name:<18} {:>2} succeeded {:>2} failed {:>2} ignored {:>2} slow {rejected:>2} rejected -> {} {}",
            metrics.successes,
            metrics.failures,
            metrics.ignored,
            metrics.slow,
            metrics.state,
            reason.map(|reason| format!("({reason})")).unwrap_or_default(),
        );
    }

    // While the circuit is open, the call returns a fallback instead of an error.
    let accepted = breaker
        .call_with_fallback(
            "maintenance",
            || provider("fine", slow),
            |error| async move {
                println!("fallback: {error}");
                Ok("queued for later")
            },
        )
        .await?;
    println!("payment: {accepted}");
    Ok(())
}

async fn provider(response: &'static str, slow: Duration) -> Result<&'static str, NetworkError> {
    match response {
        "fine" => Ok("accepted"),
        "slow" => {
            tokio::time::sleep(slow).await;
            Ok("accepted")
        }
        code => Err(NetworkError::new(ErrorKind::Status, "payments.charge", code).with_status(422)),
    }
}
