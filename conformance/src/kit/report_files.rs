//! The files with the reports of a test binary.

use std::io;
use std::path::Path;

use super::junit::junit;
use super::report::{CaseReport, REPORT_DIRECTORY};

/// The longest part of a file's name that comes from a test.
const LONGEST_PART: usize = 150;

/// Writes the reports as JSON and as JUnit XML, if [`REPORT_DIRECTORY`] names a directory. The files are named after the test
/// binary and `part`, which keeps the reports of one binary apart.
pub(super) fn write(reports: &[CaseReport], part: &str) -> io::Result<()> {
    match std::env::var_os(REPORT_DIRECTORY) {
        Some(directory) => write_to(Path::new(&directory), reports, part),
        None => Ok(()),
    }
}

fn write_to(directory: &Path, reports: &[CaseReport], part: &str) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let binary = std::env::current_exe()?;
    let mut name = binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    if !part.is_empty() {
        name.push('.');
        name.extend(part.chars().take(LONGEST_PART).map(portable));
    }
    let json = serde_json::to_vec_pretty(reports).map_err(io::Error::other)?;
    std::fs::write(directory.join(format!("{name}.json")), json)?;
    std::fs::write(directory.join(format!("{name}.xml")), junit(reports))
}

/// A character that every file system takes.
fn portable(character: char) -> char {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => character,
        _ => '-',
    }
}
