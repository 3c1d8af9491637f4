//! What `cargo-mutants` wrote, as a score for each file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Deserialize;

use super::survivors::Survivors;
use crate::{Result, workspace};

/// The outcomes of one run.
#[derive(Debug, Deserialize)]
pub(crate) struct Mutants {
    outcomes: Vec<Outcome>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    scenario: Scenario,
    summary: Summary,
}

#[derive(Debug, Deserialize)]
enum Scenario {
    Baseline,
    Mutant(Mutant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum Summary {
    Success,
    CaughtMutant,
    MissedMutant,
    Unviable,
    Failure,
    Timeout,
}

#[derive(Debug, Deserialize)]
struct Mutant {
    /// `<file>:<line>:<column>: <change>`.
    name: String,
    file: String,
    span: Span,
}

#[derive(Debug, Deserialize)]
struct Span {
    start: Position,
}

#[derive(Debug, Deserialize)]
struct Position {
    line: usize,
    column: usize,
}

/// The score of a file. A mutant that does not compile counts nowhere.
#[derive(Debug, Default)]
pub(crate) struct Score {
    pub(crate) file: String,
    caught: usize,
    /// The tests did not end: the mutant waits, or loops, for ever.
    timeout: usize,
    /// No test failed, and the list of survivors has the reason.
    equivalent: usize,
    survived: usize,
    unviable: usize,
}

impl Score {
    /// The share of mutants that a test noticed, of all that compile and change what the program does.
    pub(crate) fn percent(&self) -> f64 {
        percent(self.caught + self.timeout, self.survived)
    }

    /// The same share with the equivalent mutants taken for missed ones.
    fn strict_percent(&self) -> f64 {
        percent(self.caught + self.timeout, self.survived + self.equivalent)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "there are never more than thousands of mutants"
)]
fn percent(noticed: usize, missed: usize) -> f64 {
    if noticed + missed == 0 {
        return 100.0;
    }
    100.0 * noticed as f64 / (noticed + missed) as f64
}

impl Mutants {
    /// Reads the outcomes in an output directory of `cargo mutants`.
    pub(crate) fn read(output: &Path) -> Result<Self> {
        let path = output.join("mutants.out").join("outcomes.json");
        let json = fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let mutants: Self = serde_json::from_slice(&json).map_err(|error| format!("{}: {error}", path.display()))?;
        let baseline_failed = mutants
            .outcomes
            .iter()
            .any(|outcome| matches!(outcome.scenario, Scenario::Baseline) && outcome.summary != Summary::Success);
        if baseline_failed {
            return Err("the tests fail without any change".to_owned());
        }
        Ok(mutants)
    }

    /// The score of each file, sorted by path.
    pub(crate) fn scores(&self, survivors: &Survivors) -> Result<Vec<Score>> {
        let mut scores = BTreeMap::<&str, Score>::new();
        for outcome in &self.outcomes {
            let Scenario::Mutant(mutant) = &outcome.scenario else {
                continue;
            };
            let score = scores.entry(&mutant.file).or_insert_with(|| Score {
                file: mutant.file.clone(),
                ..Score::default()
            });
            match outcome.summary {
                Summary::CaughtMutant => score.caught += 1,
                Summary::Timeout => score.timeout += 1,
                Summary::Unviable | Summary::Failure => score.unviable += 1,
                Summary::MissedMutant | Summary::Success if mutant.is_explained(survivors)? => score.equivalent += 1,
                Summary::MissedMutant | Summary::Success => score.survived += 1,
            }
        }
        Ok(scores.into_values().collect())
    }

    /// The names of the mutants that survived without a reason.
    pub(crate) fn unexplained(&self, survivors: &Survivors) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for outcome in &self.outcomes {
            if let (Scenario::Mutant(mutant), Summary::MissedMutant) = (&outcome.scenario, outcome.summary)
                && !mutant.is_explained(survivors)?
            {
                names.push(mutant.name.clone());
            }
        }
        Ok(names)
    }
}

impl Mutant {
    fn is_explained(&self, survivors: &Survivors) -> Result<bool> {
        let source = workspace::root().join(&self.file);
        let text =
            fs::read_to_string(&source).map_err(|error| format!("{} cannot be read: {error}", source.display()))?;
        let line = text
            .lines()
            .nth(self.span.start.line.saturating_sub(1))
            .unwrap_or_default();
        Ok(survivors.explain(&self.file, line.trim(), self.change()))
    }

    /// The change, without the position in the file.
    fn change(&self) -> &str {
        let Position { line, column } = self.span.start;
        let position = format!("{}:{line}:{column}: ", self.file);
        self.name.strip_prefix(&position).unwrap_or(&self.name)
    }
}

/// The scores as a table.
pub(crate) fn table(scores: &[Score]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header([
        "file",
        "caught",
        "timeout",
        "survived",
        "equivalent",
        "does not compile",
        "score",
        "score with equivalent as survived",
    ]);
    for score in scores {
        table.add_row([
            score.file.clone(),
            score.caught.to_string(),
            score.timeout.to_string(),
            score.survived.to_string(),
            score.equivalent.to_string(),
            score.unviable.to_string(),
            format!("{:.1} %", score.percent()),
            format!("{:.1} %", score.strict_percent()),
        ]);
    }
    table
}
