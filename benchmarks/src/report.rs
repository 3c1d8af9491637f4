//! The results: a table for people, JSON for programs.

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use serde::Serialize;

use crate::measure::Samples;

/// Whether a higher or a lower value is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// More is better: throughput.
    Higher,
    /// Less is better: time.
    Lower,
}

/// One result.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    work: String,
    unit: &'static str,
    ours: f64,
    peer: Option<String>,
    peer_value: Option<f64>,
    ratio: Option<f64>,
    goal: Option<f64>,
    better: Better,
    #[serde(skip)]
    spread: (f64, Option<f64>),
}

impl Row {
    /// Our value and a peer's. The goal applies to their ratio.
    pub(crate) fn against(
        work: impl Into<String>,
        unit: &'static str,
        better: Better,
        peer: &str,
        (ours, theirs): (&Samples, &Samples),
        goal: Option<f64>,
    ) -> Self {
        Self {
            work: work.into(),
            unit,
            ours: ours.median(),
            peer: Some(peer.to_owned()),
            peer_value: Some(theirs.median()),
            ratio: Some(ours.median() / theirs.median()),
            goal,
            better,
            spread: (ours.spread(), Some(theirs.spread())),
        }
    }

    /// Like [`against`](Self::against), but the ratio is the median of the ratios of each round.
    pub(crate) fn in_pairs(
        work: impl Into<String>,
        unit: &'static str,
        better: Better,
        peer: &str,
        (ours, theirs): (&Samples, &Samples),
        goal: Option<f64>,
    ) -> Self {
        Self {
            ratio: Some(Samples::ratio(ours, theirs).median()),
            ..Self::against(work, unit, better, peer, (ours, theirs), goal)
        }
    }

    /// An absolute value, to which the goal applies.
    pub(crate) fn absolute(
        work: impl Into<String>,
        unit: &'static str,
        better: Better,
        ours: &Samples,
        goal: Option<f64>,
    ) -> Self {
        Self {
            work: work.into(),
            unit,
            ours: ours.median(),
            peer: None,
            peer_value: None,
            ratio: None,
            goal,
            better,
            spread: (ours.spread(), None),
        }
    }

    fn met(&self) -> Option<bool> {
        let value = self.ratio.unwrap_or(self.ours);
        self.goal.map(|goal| match self.better {
            Better::Higher => value >= goal,
            Better::Lower => value <= goal,
        })
    }
}

/// Prints the table.
pub(crate) fn print(rows: &[Row]) {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_header(["work", "unit", "ours", "peer", "value", "ratio", "goal", "met"]);
    for row in rows {
        let sign = if row.better == Better::Higher { ">=" } else { "<=" };
        let with_spread = |value: f64, spread: f64| format!("{} ±{:.0}%", number(value), spread * 50.0);
        table.add_row([
            row.work.clone(),
            row.unit.to_owned(),
            with_spread(row.ours, row.spread.0),
            row.peer.clone().unwrap_or_default(),
            row.peer_value
                .map(|value| with_spread(value, row.spread.1.unwrap_or_default()))
                .unwrap_or_default(),
            row.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            row.goal.map(|goal| format!("{sign} {goal}")).unwrap_or_default(),
            row.met()
                .map(|met| if met { "yes" } else { "NO" })
                .unwrap_or_default()
                .to_owned(),
        ]);
    }
    println!("{table}");
}

/// Prints the rows as JSON on one line. Must be the last output.
pub(crate) fn print_json(rows: &[Row]) {
    println!("{}", serde_json::to_string(rows).expect("rows are plain values"));
}

/// Formats a number for people: thousands in groups, small values with a fraction.
fn number(value: f64) -> String {
    if value < 1000.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}
