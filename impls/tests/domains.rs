//! Domains never depend on each other. These tests check the manifests as `cargo metadata` reads them.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

const DOMAINS: [&str; 4] = [
    "networking-bridge",
    "networking-circuit-breaker",
    "networking-http",
    "networking-kafka",
];

#[test]
fn a_domain_depends_only_on_the_contracts_and_the_runtime() {
    let workspace = Workspace::read();
    for domain in DOMAINS {
        let expected = BTreeSet::from(["networking-runtime", "networking-spi"]);
        assert_eq!(workspace.builds_with(domain), expected, "{domain}");
    }
}

#[test]
fn tests_of_a_domain_use_only_the_contracts_the_conformance_kit_and_the_domain() {
    let workspace = Workspace::read();
    for domain in DOMAINS {
        let allowed = BTreeSet::from(["networking-conformance", "networking-spi", domain]);
        let tests_with = workspace.tests_with(domain);
        assert!(tests_with.is_subset(&allowed), "{domain} is tested with {tests_with:?}");
    }
}

#[test]
fn the_contracts_depend_on_no_other_crate_of_the_workspace() {
    let workspace = Workspace::read();
    assert_eq!(workspace.builds_with("networking-spi"), BTreeSet::new());
    // With its own mocks.
    assert_eq!(
        workspace.tests_with("networking-spi"),
        BTreeSet::from(["networking-spi"])
    );
}

#[test]
fn the_runtime_and_the_conformance_kit_depend_only_on_the_contracts() {
    let workspace = Workspace::read();
    for package in ["networking-runtime", "networking-conformance"] {
        assert_eq!(
            workspace.builds_with(package),
            BTreeSet::from(["networking-spi"]),
            "{package}"
        );
    }
}

#[test]
fn the_facade_depends_on_every_domain() {
    let workspace = Workspace::read();
    let expected: BTreeSet<&str> = DOMAINS
        .into_iter()
        .chain(["networking-runtime", "networking-spi"])
        .collect();
    assert_eq!(workspace.builds_with("networking-impls"), expected);
}

/// The packages of the workspace.
struct Workspace {
    packages: Vec<Value>,
}

impl Workspace {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo metadata can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
        let packages = metadata["packages"].as_array().expect("a list of packages");
        Self {
            packages: packages.clone(),
        }
    }

    /// The crates of the workspace that a package names as normal or build dependencies, for any target.
    fn builds_with(&self, package: &str) -> BTreeSet<&str> {
        self.dependencies(package, |kind| kind.is_none_or(|kind| kind == "build"))
    }

    /// The crates of the workspace that a package names as dev-dependencies, for any target.
    fn tests_with(&self, package: &str) -> BTreeSet<&str> {
        self.dependencies(package, |kind| kind == Some("dev"))
    }

    fn dependencies(&self, package: &str, of_kind: impl Fn(Option<&str>) -> bool) -> BTreeSet<&str> {
        let found = self.packages.iter().find(|candidate| candidate["name"] == package);
        let package = found.unwrap_or_else(|| panic!("{package} is not in the workspace"));
        let names = package["dependencies"]
            .as_array()
            .expect("a list of dependencies")
            .iter();
        names
            .filter(|dependency| of_kind(dependency["kind"].as_str()))
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| self.packages.iter().any(|candidate| candidate["name"] == **name))
            .collect()
    }
}
