//! The live HTTP tier: third-party servers, proxies and authorization servers.

mod certificates;
mod install;
mod servers;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use networking_conformance::report::{Outcome, REPORT_DIRECTORY};
use serde_json::Value;

use self::servers::{LOAD_ROWS, Servers};
use crate::{Result, conformance, workspace};

/// The fields of a result of a run with many requests, as the tests write them.
const LOAD_COLUMNS: [&str; 10] = [
    "server",
    "work",
    "backend",
    "requests",
    "failed",
    "lost",
    "duplicated",
    "connections",
    "millis",
    "note",
];

/// The environment variable that passes the addresses of the servers to the live tests.
const SERVERS: &str = "NETWORKING_LIVE_HTTP";

/// Starts the servers, runs the live tests against them, and stops them.
pub(super) fn run(hold: bool) -> Result<()> {
    let directory = workspace::target_directory()?.join("live").join("http");
    let installed = install::all(&directory)?;
    let servers = Servers::start(&directory, &installed)?;
    let addresses = servers.addresses().to_string();
    if hold {
        println!("{SERVERS}='{addresses}'");
        return super::hold();
    }
    let reports = directory.join("reports");
    let load = directory.join(LOAD_ROWS);
    remove(&load)?;
    let tested = run_tests(&reports, &addresses);
    // Checked first, because a server that exited explains failed cases. It is an error even if all cases passed.
    servers.check_alive()?;
    print_counts(&reports)?;
    print_load(&load)?;
    tested
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{} cannot be removed: {error}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Prints the results of the runs with many requests.
fn print_load(rows: &Path) -> Result<()> {
    let lines = fs::read_to_string(rows).map_err(|error| format!("{} cannot be read: {error}", rows.display()))?;
    let mut rows = Vec::new();
    for line in lines.lines() {
        let row: Value =
            serde_json::from_str(line).map_err(|error| format!("the results of the runs are not JSON: {error}"))?;
        rows.push(LOAD_COLUMNS.map(|column| match &row[column] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            value => value.to_string(),
        }));
    }
    rows.sort();
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(LOAD_COLUMNS);
    table.add_rows(rows);
    println!("{table}");
    Ok(())
}

fn run_tests(reports: &Path, addresses: &str) -> Result<()> {
    if reports.exists() {
        fs::remove_dir_all(reports).map_err(|error| format!("{} cannot be removed: {error}", reports.display()))?;
    }
    let mut suite = workspace::suite("networking-http")?;
    suite.env(SERVERS, addresses).env(REPORT_DIRECTORY, reports);
    workspace::run(&mut suite, "the live HTTP tests")
}

/// Prints how many cases passed, by server and backend.
fn print_counts(reports: &Path) -> Result<()> {
    let cases = conformance::read_parts(reports)?;
    let mut counts = BTreeMap::<(&str, &str), (usize, usize)>::new();
    for case in &cases {
        let (passed, others) = counts.entry((&case.clause, &case.backend)).or_default();
        if case.outcome == Outcome::Passed {
            *passed += 1;
        } else {
            *others += 1;
        }
    }
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["server", "backend", "passed", "not passed"]);
    for ((server, backend), (passed, others)) in counts {
        table.add_row([server, backend, &passed.to_string(), &others.to_string()]);
    }
    println!("{table}");
    for case in cases.iter().filter(|case| case.outcome != Outcome::Passed) {
        println!("{:<13} {} {}: {}", case.outcome, case.backend, case.case, case.reason);
    }
    Ok(())
}
