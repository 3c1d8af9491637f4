//! `cargo xtask mutants [part]`: changes the core of each domain in many small ways with `cargo-mutants`, and lists the changes
//! that the tests of the deterministic tier do not notice.

mod parts;
mod report;
mod survivors;

use std::fs;
use std::path::Path;
use std::process::Command;

use self::parts::{CORE, Core, Part, TESTS};
use self::report::{Mutants, Score};
use self::survivors::Survivors;
use crate::{Result, workspace};

/// The lowest accepted score of a file, in percent.
const LOWEST_SCORE: f64 = 85.0;

/// After this many seconds a test run has hung. Long, because a busy machine must not make a mutant look caught.
const TEST_TIMEOUT: &str = "120";

/// The exit codes of `cargo mutants` after a whole run: all mutants were caught, some were missed, some timed out.
const RAN: [i32; 3] = [0, 2, 3];

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The part; defaults to all parts.
    #[arg(value_name = "PART")]
    part: Option<Part>,
    /// Only this file, as a path from the root of the workspace.
    #[arg(long, value_name = "PATH")]
    file: Option<String>,
    /// Only every N-th mutant, starting with K, which is at least 0 and below N.
    #[arg(long, value_name = "K/N")]
    shard: Option<String>,
    /// Prints the scores of the last run again, without a run.
    #[arg(long, conflicts_with = "shard")]
    report: bool,
}

/// Runs `cargo mutants` for the chosen parts, prints a score for each file, and fails if a file has a low score or if a survivor
/// has no reason.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let survivors = Survivors::read()?;
    let directory = workspace::target_directory()?.join("mutants");
    let parts = CORE
        .iter()
        .filter(|core| arguments.part.is_none_or(|part| core.part == part));
    let mut scores = Vec::new();
    let mut unexplained = Vec::new();
    let mut tried = false;
    for core in parts {
        let files: Vec<&str> = core
            .files
            .iter()
            .copied()
            .filter(|file| arguments.file.as_deref().is_none_or(|wanted| wanted == *file))
            .collect();
        if files.is_empty() {
            continue;
        }
        tried = true;
        let output = directory.join(core.part.name());
        if !arguments.report {
            mutate(core, &files, arguments.shard.as_deref(), &output, &directory)?;
        }
        let mutants = Mutants::read(&output)?;
        scores.extend(mutants.scores(&survivors)?);
        unexplained.extend(mutants.unexplained(&survivors)?);
    }
    if !tried {
        return Err(format!(
            "{} is not a core file of this part",
            arguments.file.as_deref().unwrap_or("it")
        ));
    }
    println!("{}", report::table(&scores));
    for mutant in &unexplained {
        println!("survived: {mutant}");
    }
    verdict(&scores, unexplained.len())
}

/// Mutates a copy of the workspace, and runs the tests of the core's package on each mutant.
fn mutate(core: &Core, files: &[&str], shard: Option<&str>, output: &Path, directory: &Path) -> Result<()> {
    fs::create_dir_all(output).map_err(|error| format!("{} cannot be made: {error}", output.display()))?;
    let mut command: Command = workspace::cargo();
    command
        .args([
            "mutants",
            "--minimum-test-timeout",
            TEST_TIMEOUT,
            "--no-shuffle",
            "--colors",
            "never",
            "--output",
        ])
        .arg(output)
        .args(["--test-package", core.package]);
    for file in files {
        command.args(["--file", file]);
    }
    if let Some(shard) = shard {
        command.args(["--shard", shard, "--sharding", "round-robin"]);
    }
    command.arg("--").args(TESTS).args(core.only);
    // The mutants share a build directory, so that only the changed package is compiled again.
    command.env("CARGO_TARGET_DIR", directory.join("build"));
    // A mutant is not debugged, and builds faster so.
    command.env("CARGO_PROFILE_DEV_DEBUG", "none");
    let status = command
        .status()
        .map_err(|error| format!("cargo mutants cannot be run: {error}"))?;
    match status.code() {
        Some(exit) if RAN.contains(&exit) => Ok(()),
        _ => Err(format!(
            "cargo mutants failed ({status}); `cargo install --locked cargo-mutants` installs it"
        )),
    }
}

/// An error if a file has a low score, or if a survivor has no reason.
fn verdict(scores: &[Score], unexplained: usize) -> Result<()> {
    let low: Vec<String> = scores
        .iter()
        .filter(|score| score.percent() < LOWEST_SCORE)
        .map(|score| format!("{} ({:.0} %)", score.file, score.percent()))
        .collect();
    if !low.is_empty() {
        return Err(format!("below {LOWEST_SCORE} %: {}", low.join(", ")));
    }
    if unexplained > 0 {
        return Err(format!(
            "{unexplained} mutants survived without a reason: add a case that fails, or a reason to {}",
            survivors::FILE
        ));
    }
    Ok(())
}
