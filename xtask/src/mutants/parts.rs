//! The core files of every domain, and the tests that must notice a change in them.

use clap::ValueEnum;

/// A part of the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// The states, the window, permits and counters of the circuit breaker.
    Breaker,
    /// Retry, timeout, redirect and rate limit.
    Layers,
    /// The connection pool.
    Pool,
    /// The coordinator of consumer groups in memory.
    Groups,
    /// The default partitioner.
    Partitioner,
    /// Delivery and routing of the bridge.
    Bridge,
}

impl Part {
    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The files of one part.
pub(crate) struct Core {
    pub(crate) part: Part,
    /// The package whose tests are run.
    pub(crate) package: &'static str,
    /// Only tests whose names contain this. One name, because the suites of conformance take no more.
    pub(crate) only: Option<&'static str>,
    pub(crate) files: &'static [&'static str],
}

/// The arguments of `cargo test`. Saboteurs test the suite and not the package.
pub(crate) const TESTS: &[&str] = &["--tests", "--", "--skip", "saboteur"];

/// All parts.
pub(crate) const CORE: &[Core] = &[
    Core {
        part: Part::Breaker,
        package: "networking-circuit-breaker",
        only: None,
        files: &[
            "impls/circuit-breaker/src/circuit.rs",
            "impls/circuit-breaker/src/counters.rs",
            "impls/circuit-breaker/src/gate.rs",
            "impls/circuit-breaker/src/machine.rs",
            "impls/circuit-breaker/src/window.rs",
        ],
    },
    Core {
        part: Part::Layers,
        package: "networking-http",
        only: None,
        files: &[
            "impls/http/src/layer/rate_limit/gate.rs",
            "impls/http/src/layer/rate_limit/mod.rs",
            "impls/http/src/layer/redirect.rs",
            "impls/http/src/layer/retry.rs",
            "impls/http/src/layer/retry_after.rs",
            "impls/http/src/layer/retry_budget.rs",
            "impls/http/src/layer/timeout.rs",
        ],
    },
    Core {
        part: Part::Pool,
        package: "networking-http",
        only: None,
        files: &[
            "impls/http/src/transport/hyper/pool/connection.rs",
            "impls/http/src/transport/hyper/pool/mod.rs",
        ],
    },
    Core {
        part: Part::Groups,
        package: "networking-kafka",
        only: Some("memory"),
        files: &[
            "impls/kafka/src/memory/group/mod.rs",
            "impls/kafka/src/memory/group/pending.rs",
        ],
    },
    Core {
        part: Part::Partitioner,
        package: "networking-spi",
        only: None,
        files: &["spi/src/kafka/partition.rs"],
    },
    Core {
        part: Part::Bridge,
        package: "networking-bridge",
        only: None,
        files: &[
            "impls/bridge/src/engine/delivery.rs",
            "impls/bridge/src/engine/in_flight.rs",
            "impls/bridge/src/engine/intake.rs",
            "impls/bridge/src/engine/lanes.rs",
            "impls/bridge/src/engine/mod.rs",
            "impls/bridge/src/routing/mod.rs",
            "impls/bridge/src/routing/payload.rs",
            "impls/bridge/src/routing/router.rs",
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn each_core_file_exists() {
        let root = workspace::root();
        for file in CORE.iter().flat_map(|core| core.files) {
            assert!(root.join(file).is_file(), "{file}");
        }
    }
}
