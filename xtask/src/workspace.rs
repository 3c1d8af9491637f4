//! Paths of the workspace, and calls of other commands.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest =
        PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into()));
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// The target directory, as cargo reports it.
pub(crate) fn target_directory() -> Result<PathBuf> {
    metadata()?["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| "cargo metadata has no target directory".to_owned())
}

/// The names of the packages that may be published, sorted.
pub(crate) fn publishable() -> Result<Vec<String>> {
    let metadata = metadata()?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let mut names: Vec<String> = packages
        // `publish = false` is an empty list of registries.
        .filter(|package| package["publish"].is_null())
        .filter_map(|package| package["name"].as_str().map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// A cargo command in the root of the workspace.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// The conformance suite of a package as a command, built as `cargo test --workspace` builds it, so that nothing is built twice.
pub(crate) fn suite(package: &str) -> Result<Command> {
    suite_in("Cargo.toml", package)
}

/// Like [`suite`], in the workspace of a manifest whose path is relative to the root.
pub(crate) fn suite_in(workspace: &str, package: &str) -> Result<Command> {
    let metadata = metadata_of(workspace)?;
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    let manifest = packages
        .find(|candidate| candidate["name"] == package)
        .and_then(|found| found["manifest_path"].as_str())
        .ok_or_else(|| format!("the workspace has no package {package}"))?;

    let output = cargo()
        .args(["test", "--manifest-path", workspace])
        .args(["--workspace", "--test", "conformance", "--no-run"])
        .args(["--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cargo test cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("building the suites failed ({})", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let executable = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["manifest_path"] == manifest && message["target"]["name"] == "conformance")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| format!("{package} has no test target `conformance`"))?;

    let mut command = Command::new(executable);
    if let Some(directory) = Path::new(manifest).parent() {
        command.current_dir(directory);
    }
    Ok(command)
}

/// Runs a command and waits for its end. An error message starts with `what`.
pub(crate) fn run(command: &mut Command, what: &str) -> Result<()> {
    let status = command
        .status()
        .map_err(|error| format!("{what} cannot be run: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("{what} failed ({status})"))
    }
}

fn metadata() -> Result<serde_json::Value> {
    metadata_of("Cargo.toml")
}

fn metadata_of(workspace: &str) -> Result<serde_json::Value> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .args(["--manifest-path", workspace])
        .output()
        .map_err(|error| format!("cargo metadata cannot be run: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata printed no JSON: {error}"))
}
