//! `cargo xtask conformance [--json]`: runs every suite against every implementation, and merges the reports.

mod matrix;

use std::fs;
use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use networking_conformance::report::{CaseReport, Counts, Outcome, REPORT_DIRECTORY, junit};

pub(crate) use self::matrix::{Clauses, ran, render};
use crate::{Result, workspace};

/// The merged report, and the page.
pub(crate) const REPORT: &str = "report.json";
pub(crate) const PAGE: &str = "index.html";

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Prints the counts as JSON on the last line.
    #[arg(long)]
    json: bool,
}

/// The directory of the merged reports.
pub(crate) fn directory() -> Result<PathBuf> {
    Ok(workspace::target_directory()?.join("conformance"))
}

/// Runs every suite and writes `report.json`, `junit.xml` and `index.html` to `target/conformance`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let directory = directory()?;
    let parts = directory.join("parts");
    if parts.exists() {
        fs::remove_dir_all(&parts).map_err(|error| format!("{} cannot be removed: {error}", parts.display()))?;
    }
    let ran = run_suites(&parts);

    let reports = read_parts(&parts)?;
    let json = serde_json::to_vec_pretty(&reports).map_err(|error| error.to_string())?;
    write(&directory.join(REPORT), &json)?;
    write(&directory.join("junit.xml"), junit(&reports).as_bytes())?;
    write(&directory.join(PAGE), render(&reports, &clauses()?).as_bytes())?;
    eprintln!(
        "{} cases in {}, as JSON, JUnit XML and HTML",
        reports.len(),
        directory.display()
    );
    print_counts(&reports, arguments.json)?;
    ran
}

/// Runs the test target `conformance` of every package that has one.
///
/// Makes one call for the whole workspace, so that the features are those of `cargo test --workspace` and nothing is built
/// twice.
fn run_suites(parts: &Path) -> Result<()> {
    let mut command = workspace::cargo();
    command
        .args(["test", "--quiet", "--no-fail-fast", "--workspace", "--test", "conformance"])
        .env(REPORT_DIRECTORY, parts)
        // The table is the output of this command, so the output of the test runner goes to standard error.
        .stdout(std::io::stderr());
    workspace::run(&mut command, "a suite")
}

/// The clauses of every contract in `docs/contract`.
pub(crate) fn clauses() -> Result<Clauses> {
    let directory = workspace::root().join("docs").join("contract");
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", directory.display());
    let mut clauses = Clauses::default();
    for entry in fs::read_dir(&directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        clauses.add(&fs::read_to_string(&path).map_err(unreadable)?);
    }
    Ok(clauses)
}

/// Reads the JSON of one report.
pub(crate) fn read_report(path: &Path) -> Result<Vec<CaseReport>> {
    let json = fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    serde_json::from_slice(&json).map_err(|error| format!("{} is not a report: {error}", path.display()))
}

fn write(path: &Path, contents: &[u8]) -> Result<()> {
    fs::write(path, contents).map_err(|error| format!("{} cannot be written: {error}", path.display()))
}

/// Reads the report of each test binary.
pub(crate) fn read_parts(parts: &Path) -> Result<Vec<CaseReport>> {
    let mut reports = Vec::<CaseReport>::new();
    let entries =
        fs::read_dir(parts).map_err(|error| format!("no suite wrote a report to {}: {error}", parts.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        // Beside it is the same report as JUnit XML.
        if path.extension().is_some_and(|extension| extension == "json") {
            reports.extend(read_report(&path)?);
        }
    }
    reports.sort_by(|a, b| (&a.domain, &a.backend, &a.case).cmp(&(&b.domain, &b.backend, &b.case)));
    Ok(reports)
}

pub(crate) fn print_counts(reports: &[CaseReport], json: bool) -> Result<()> {
    let counts = Counts::of(reports);
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "domain",
        "backend",
        "passed",
        "failed",
        "unsupported",
        "skipped",
        "known failure",
    ]);
    for count in &counts {
        table.add_row([
            count.domain.clone(),
            count.backend.clone(),
            count.passed.to_string(),
            count.failed.to_string(),
            count.unsupported.to_string(),
            count.skipped.to_string(),
            count.known_failure.to_string(),
        ]);
    }
    println!("{table}");
    for report in reports.iter().filter(|report| report.outcome != Outcome::Passed) {
        println!(
            "{:<13} {} {} ({}): {}",
            report.outcome, report.backend, report.case, report.clause, report.reason
        );
    }
    if json {
        println!("{}", serde_json::to_string(&counts).map_err(|error| error.to_string())?);
    }
    Ok(())
}
