//! The circuit breaker's cases can fail: each saboteur is caught by exactly its cases, each case catches a saboteur,
//! and the model without a saboteur passes every case.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_conformance::circuit_breaker::{CircuitBreakerHarness, suite};
use networking_conformance::proof::circuit_breaker::{ModelBreaker, Saboteur};
use networking_conformance::{CaseRuntime, Harness, Outcome};
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig};

struct Model {
    saboteur: Option<Saboteur>,
    capabilities: &'static CircuitBreakerCapabilities,
}

const ALL: &CircuitBreakerCapabilities = &CircuitBreakerCapabilities::all();
const NONE: &CircuitBreakerCapabilities = &CircuitBreakerCapabilities::none();

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
    fn capabilities(&self) -> &'static CircuitBreakerCapabilities {
        self.capabilities
    }

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
        let model = ModelBreaker::new(config).with_capabilities(*self.capabilities);
        match self.saboteur {
            Some(saboteur) => model.with_saboteur(saboteur),
            None => model,
        }
    }
}

mod model_without_saboteur {
    networking_conformance::circuit_breaker_conformance!(|| {
        std::sync::Arc::new(super::Model {
            saboteur: None,
            capabilities: super::ALL,
        })
    });
}

mod model_without_capabilities {
    networking_conformance::circuit_breaker_conformance!(|| {
        std::sync::Arc::new(super::Model {
            saboteur: None,
            capabilities: super::NONE,
        })
    });
}

/// A correct breaker passes with any set of capabilities: no case needs one that it does not name.
#[test]
fn each_capability_can_be_absent_and_present_alone() {
    macro_rules! sets {
        ($($name:ident),+ $(,)?) => {
            [$((
                stringify!($name),
                const {
                    let mut all_but_one = CircuitBreakerCapabilities::all();
                    all_but_one.$name = false;
                    let mut only_one = CircuitBreakerCapabilities::none();
                    only_one.$name = true;
                    &[all_but_one, only_one]
                },
            )),+]
        };
    }
    let sets: [(&str, &'static [CircuitBreakerCapabilities; 2]); _] = sets![
        count_window,
        time_window,
        slow_call_rate,
        metrics_only,
        events,
        probe_limits,
        probe_leases,
        overrides,
    ];
    assert_eq!(sets.map(|(name, _)| name), CircuitBreakerCapabilities::NAMES);
    let suite = suite();
    for capabilities in sets.iter().flat_map(|(_, sets)| sets.iter()) {
        let factory = suite.factory(move || {
            Arc::new(Model {
                saboteur: None,
                capabilities,
            })
        });
        suite.run(&factory).assert_conformant();
    }
}

/// What the author states decides, not what the breaker says: a breaker that loses a feature and its declaration fails.
#[test]
fn a_lost_feature_is_found() {
    struct Lost(Model);

    impl Harness for Lost {
        fn backend(&self) -> &'static str {
            "lost"
        }

        fn runtime(&self) -> CaseRuntime {
            CaseRuntime::PausedClock
        }
    }

    #[async_trait]
    impl CircuitBreakerHarness for Lost {
        fn capabilities(&self) -> &'static CircuitBreakerCapabilities {
            ALL
        }

        fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker> {
            self.0.breaker(config)
        }

        fn bounded_breaker(&self, config: CircuitBreakerConfig, max: usize) -> Option<Arc<dyn CircuitBreaker>> {
            self.0.bounded_breaker(config, max)
        }

        fn event_capacity(&self) -> Option<usize> {
            None
        }

        async fn advance(&self, time: Duration) {
            self.0.advance(time).await;
        }
    }

    let suite = suite();
    let factory = suite.factory(|| {
        Arc::new(Lost(Model {
            saboteur: None,
            capabilities: NONE,
        }))
    });
    let report = suite.run_id("breaker::declared::breaker_and_harness_agree", &factory);
    assert_eq!(report.outcome, Outcome::Failed);
    for name in CircuitBreakerCapabilities::NAMES {
        assert!(report.reason.contains(name), "{name}: {}", report.reason);
    }
    let report = suite.run_id("breaker::mode::forced_open_stays_open", &factory);
    assert_eq!(report.outcome, Outcome::Failed, "{}", report.reason);
}

#[test]
fn a_call_without_its_time_limit_says_what_the_case_waited_for() {
    let suite = suite();
    let factory = suite.factory(|| {
        Arc::new(Model {
            saboteur: Some(Saboteur::NoConfiguredTimeout),
            capabilities: ALL,
        })
    });
    let report = suite.run_id("breaker::call::configured_timeout_applies", &factory);
    assert_eq!(report.reason, "waited 5s for the time limit of a call");
}

#[test]
fn each_saboteur_is_caught_by_exactly_its_cases() {
    suite().assert_catches(Saboteur::ALL.iter().copied(), Saboteur::caught_by, |saboteur| {
        Arc::new(Model {
            saboteur: Some(saboteur),
            capabilities: ALL,
        })
    });
}

#[test]
fn each_case_catches_a_saboteur() {
    suite().assert_every_case_catches(Saboteur::ALL.iter().flat_map(|saboteur| saboteur.caught_by()).copied());
}
