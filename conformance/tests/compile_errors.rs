//! A macro of a suite whose argument is wrong is one compile error, which says what to do.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// The most builds of this crate that are tried.
const BUILDS: usize = 8;

/// The builds of this crate beside this test binary, the newest first. One of them is the one that the binary is linked with.
fn builds() -> Vec<(PathBuf, SystemTime)> {
    let binary = std::env::current_exe().expect("the path of this binary");
    let directory = binary.parent().expect("a directory");
    let files = std::fs::read_dir(directory)
        .expect("the directory of this binary")
        .flatten();
    let mut builds: Vec<(PathBuf, SystemTime)> = files
        .filter(|file| {
            let name = file.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libnetworking_conformance-") && name.ends_with(".rlib")
        })
        .filter_map(|file| Some((file.path(), file.metadata().ok()?.modified().ok()?)))
        .collect();
    builds.sort_by_key(|(_, modified)| std::cmp::Reverse(*modified));
    builds.truncate(BUILDS);
    builds
}

/// What the compiler prints for a test file with this content. Fails if no build of this crate can be used.
fn errors(source: &str) -> String {
    let mut printed = String::new();
    for (build, _) in builds() {
        let directory = build.parent().expect("a directory").to_owned();
        let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args([
                "--test",
                "--edition",
                "2024",
                "--crate-name",
                "fixture",
                "--emit",
                "metadata",
                "-",
            ])
            .arg("--extern")
            .arg(format!("networking_conformance={}", build.display()))
            .arg("-L")
            .arg(format!("dependency={}", directory.display()))
            .arg("--out-dir")
            .arg(std::env::temp_dir())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the compiler starts");
        let mut input = compiler.stdin.take().expect("it is piped");
        input.write_all(source.as_bytes()).expect("the compiler reads");
        drop(input);
        let output = compiler.wait_with_output().expect("the compiler ends");
        assert!(!output.status.success(), "it compiles");
        printed = String::from_utf8_lossy(&output.stderr).into_owned();
        // Builds with other features, and builds whose dependencies have changed, cannot be used.
        let unusable = ["E0463", "E0460", "E0514", "E0432", "E0433", "E0464", "E0519"];
        if !unusable.iter().any(|code| printed.contains(&format!("error[{code}]"))) {
            return printed;
        }
    }
    panic!("no build of this crate can be used: {printed}");
}

#[test]
fn a_factory_of_something_else_is_one_error() {
    let printed = errors(
        "pub struct NoHarness;
        impl NoHarness { pub fn new() -> Self { Self } }
        networking_conformance::circuit_breaker_conformance!(NoHarness::new);",
    );
    let codes: Vec<&str> = printed.lines().filter(|line| line.starts_with("error[")).collect();
    let [only] = codes[..] else { panic!("{printed}") };
    assert!(
        only.starts_with("error[E0277]: `NoHarness` is not a harness of this suite")
            && only.contains("CircuitBreakerHarness"),
        "{printed}"
    );
    for advice in [
        "pass a closure or function that makes your harness, or an `Arc` of it: `|| Arc::new(MyHarness::new())`",
        "`MyHarness` implements `Harness` and the harness trait of the suite",
    ] {
        assert!(printed.contains(advice), "{printed}");
    }
}

#[test]
fn a_harness_in_place_of_a_factory_is_one_error() {
    let printed = errors(
        "pub struct NoFactory;
        networking_conformance::circuit_breaker_conformance!(NoFactory);",
    );
    let codes: Vec<&str> = printed.lines().filter(|line| line.starts_with("error[")).collect();
    let [only] = codes[..] else { panic!("{printed}") };
    assert!(only.starts_with("error[E0618]: expected function"), "{printed}");
}
