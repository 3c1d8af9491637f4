//! The files with the reports of a test binary.

use std::io;
use std::path::Path;

use super::junit::junit;
use super::report::{CaseReport, REPORT_DIRECTORY};

/// The longest part of a file's name that comes from a test.
const LONGEST_PART: usize = 150;

/// Writes the reports as JSON and as JUnit XML, if [`REPORT_DIRECTORY`] names a directory. The files are named after the test
/// target and `part`, which keeps the reports of one binary apart.
pub(super) fn write(reports: &[CaseReport], part: &str) -> io::Result<()> {
    // An empty value is the same as none, as for most variables.
    match std::env::var_os(REPORT_DIRECTORY).filter(|directory| !directory.is_empty()) {
        Some(directory) => write_to(Path::new(&directory), reports, part),
        None => Ok(()),
    }
}

fn write_to(directory: &Path, reports: &[CaseReport], part: &str) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let binary = std::env::current_exe()?;
    let binary = binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut name = target(&binary, std::env::var("CARGO_PKG_NAME").ok().as_deref());
    if !part.is_empty() {
        name.push('.');
        name.extend(part.chars().take(LONGEST_PART).map(portable));
    }
    let json = serde_json::to_vec_pretty(reports).map_err(io::Error::other)?;
    std::fs::write(directory.join(format!("{name}.json")), json)?;
    std::fs::write(directory.join(format!("{name}.xml")), junit(reports))
}

/// The name of a test target: `<package>-<target>` under Cargo, so that a later build replaces the files of an earlier one.
/// Without the package, which Cargo tells the tests that it runs, only the name of the file keeps targets apart.
fn target(binary: &str, package: Option<&str>) -> String {
    let is_hash = |hash: &str| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    match (package, binary.rsplit_once('-')) {
        (Some(package), Some((target, hash))) if !package.is_empty() && is_hash(hash) => format!("{package}-{target}"),
        _ => binary.to_owned(),
    }
}

/// A character that every file system takes.
fn portable(character: char) -> char {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' => character,
        _ => '-',
    }
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn files_are_named_after_the_target() {
        for (binary, package, name) in [
            (
                "conformance-998549e99c87a5f1",
                Some("my-client"),
                "my-client-conformance",
            ),
            ("live-suite-00ff49e99c87a5f1", Some("my-client"), "my-client-live-suite"),
            ("conformance-998549e99c87a5f1", None, "conformance-998549e99c87a5f1"),
            ("conformance-998549e99c87a5f1", Some(""), "conformance-998549e99c87a5f1"),
            ("conformance", Some("my-client"), "conformance"),
            ("live-suite", Some("my-client"), "live-suite"),
        ] {
            assert_eq!(target(binary, package), name);
        }
    }
}
