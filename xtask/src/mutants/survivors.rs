//! The mutants that no test can notice, each with the reason.

use std::fs;

use serde::Deserialize;

use crate::{Result, workspace};

/// The file that lists them, from the root of the workspace.
pub(crate) const FILE: &str = "xtask/survivors.toml";

/// The list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Survivors {
    survivor: Vec<Survivor>,
}

/// One or several mutants of a line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Survivor {
    /// The path of the file, from the root of the workspace.
    file: String,
    /// The line of the source that is changed, without indentation.
    line: String,
    /// The change, in the words of `cargo-mutants`.
    change: String,
    /// Why no test fails.
    reason: String,
}

impl Survivors {
    /// Reads the list.
    pub(crate) fn read() -> Result<Self> {
        let path = workspace::root().join(FILE);
        let text = fs::read_to_string(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let list: Self = toml::from_str(&text).map_err(|error| format!("{FILE}: {error}"))?;
        match list.survivor.iter().find(|survivor| survivor.reason.trim().is_empty()) {
            Some(survivor) => Err(format!("{FILE}: `{}` has no reason", survivor.change)),
            None => Ok(list),
        }
    }

    /// Whether the list has a reason for a mutant.
    pub(crate) fn explain(&self, file: &str, line: &str, change: &str) -> bool {
        self.survivor
            .iter()
            .any(|survivor| survivor.file == file && survivor.line == line && survivor.change == change)
    }
}
