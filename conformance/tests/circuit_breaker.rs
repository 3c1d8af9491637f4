//! The circuit breaker's cases can fail: each saboteur is caught by exactly its cases, each case catches a saboteur,
//! and the model without a saboteur passes every case.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_conformance::circuit_breaker::{CircuitBreakerHarness, suite};
use networking_conformance::proof::circuit_breaker::{ModelBreaker, Saboteur};
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerConfig};

struct Model {
    saboteur: Option<Saboteur>,
}

impl Harness for Model {
    fn backend(&self) -> &'static str {
        "model"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl CircuitBreakerHarness for Model {
    fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker> {
        Arc::new(self.model(config))
    }

    fn bounded_breaker(&self, config: CircuitBreakerConfig, max_circuits: usize) -> Option<Arc<dyn CircuitBreaker>> {
        Some(Arc::new(self.model(config).with_max_circuits(max_circuits)))
    }

    fn event_capacity(&self) -> Option<usize> {
        Some(64)
    }

    async fn advance(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

impl Model {
    fn model(&self, config: CircuitBreakerConfig) -> ModelBreaker {
        let model = ModelBreaker::new(config);
        match self.saboteur {
            Some(saboteur) => model.with_saboteur(saboteur),
            None => model,
        }
    }
}

mod model_without_saboteur {
    networking_conformance::circuit_breaker_conformance!(|| std::sync::Arc::new(super::Model { saboteur: None }));
}

#[test]
fn each_saboteur_is_caught_by_exactly_its_cases() {
    suite().assert_catches(Saboteur::ALL.iter().copied(), Saboteur::caught_by, |saboteur| {
        Arc::new(Model {
            saboteur: Some(saboteur),
        })
    });
}

#[test]
fn each_case_catches_a_saboteur() {
    suite().assert_every_case_catches(Saboteur::ALL.iter().flat_map(|saboteur| saboteur.caught_by()).copied());
}
