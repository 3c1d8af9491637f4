//! `cargo xtask conformance [--json]`: runs every suite against every implementation, and merges the reports.

use std::fs;
use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use networking_conformance::report::{CaseReport, Counts, Outcome, REPORT_DIRECTORY};

use crate::{Result, workspace};

/// Options of the command.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Prints the counts as JSON on the last line.
    #[arg(long)]
    json: bool,
}

/// Runs every suite and writes `target/conformance/report.json`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let directory = workspace::target_directory()?.join("conformance");
    let parts = directory.join("parts");
    if parts.exists() {
        fs::remove_dir_all(&parts).map_err(|error| format!("{} cannot be removed: {error}", parts.display()))?;
    }
    let ran = run_suites(&parts);

    let reports = read_parts(&parts)?;
    let report = directory.join("report.json");
    let json = serde_json::to_vec_pretty(&reports).map_err(|error| error.to_string())?;
    fs::write(&report, json).map_err(|error| format!("{} cannot be written: {error}", report.display()))?;
    eprintln!("{} cases in {}", reports.len(), report.display());
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

fn read_parts(parts: &Path) -> Result<Vec<CaseReport>> {
    let mut reports = Vec::<CaseReport>::new();
    let entries =
        fs::read_dir(parts).map_err(|error| format!("no suite wrote a report to {}: {error}", parts.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let json = fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let part: Vec<CaseReport> =
            serde_json::from_slice(&json).map_err(|error| format!("{} is not a report: {error}", path.display()))?;
        reports.extend(part);
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
