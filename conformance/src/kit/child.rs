//! Runs the test of one case in a child process, whose environment has more variables.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::case::Failure;
use super::report::{CaseReport, REPORT_DIRECTORY};

/// Set in the processes that this module starts, so that they start no further ones.
const CHILD: &str = "NETWORKING_CONFORMANCE_CHILD";

/// How much of what the process printed is shown if it has no report.
const SHOWN: usize = 2_000;

/// Whether this process runs the test of one case for another process.
pub(super) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs this test binary with these variables, and with `test` as its only test. Returns the report of the case.
pub(super) fn run(test: &str, case: &str, variables: &[(&str, &str)]) -> Result<CaseReport, Failure> {
    let directory = Directory::new().map_err(|error| Failure::with_error("no directory for a report", &error))?;
    let output = std::env::current_exe().and_then(|binary| {
        Command::new(binary)
            .args(["--include-ignored", "--exact", test])
            .envs(variables.iter().copied())
            .env(CHILD, "1")
            .env(REPORT_DIRECTORY, &directory.0)
            .stdin(Stdio::null())
            .output()
    });
    let output = output.map_err(|error| Failure::with_error("no process for the case", &error))?;
    read(&directory.0, case).ok_or_else(|| {
        Failure::new(format!(
            "the process of the case reported nothing ({}): {}",
            output.status,
            end_of(&output)
        ))
    })
}

/// The report of the case.
fn read(directory: &Path, case: &str) -> Option<CaseReport> {
    let files = std::fs::read_dir(directory).ok()?.flatten().map(|file| file.path());
    files
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .filter_map(|path| serde_json::from_slice::<Vec<CaseReport>>(&std::fs::read(path).ok()?).ok())
        .flatten()
        .find(|report| report.case == case)
}

/// The end of what a process printed.
fn end_of(output: &Output) -> String {
    let printed = [&*output.stdout, &*output.stderr].concat();
    let end = &printed[printed.len().saturating_sub(SHOWN)..];
    String::from_utf8_lossy(end).trim().to_owned()
}

/// A directory that is removed with its contents.
struct Directory(PathBuf);

impl Directory {
    fn new() -> io::Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("networking-conformance-{}-{number}", std::process::id()));
            match std::fs::create_dir(&path) {
                // Left by an earlier process.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(Self(path)),
            }
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // An error is ignored: the result does not depend on it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
