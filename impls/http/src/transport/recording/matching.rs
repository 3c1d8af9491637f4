//! The selection of a recording for a request.

use std::fmt::Write as _;

use serde_json::Value;

use super::{CassetteConfig, RecordedRequest};

/// The maximum number of recordings that an error lists.
const LISTED: usize = 3;

impl CassetteConfig {
    pub(super) fn matches(&self, recorded: &RecordedRequest, actual: &RecordedRequest) -> bool {
        match &self.matcher {
            Some(matcher) => matcher(recorded, actual),
            None => self.differences(recorded, actual).is_empty(),
        }
    }

    /// The differences between a request and a recorded one, the most important first.
    fn differences(&self, recorded: &RecordedRequest, actual: &RecordedRequest) -> Vec<String> {
        let (recorded_path, recorded_query) = split_query(&recorded.url);
        let (path, query) = split_query(&actual.url);
        let mut differences = Vec::new();
        if recorded_path != path {
            differences.push("the URL".to_owned());
        }
        if recorded.method != actual.method {
            differences.push("the method".to_owned());
        }
        if recorded_query != query {
            differences.push("the query".to_owned());
        }
        if self.match_body && !same_body(recorded, actual) {
            differences.push("the body".to_owned());
        }
        for name in &self.match_headers {
            if recorded.headers.get(name) != actual.headers.get(name) {
                differences.push(format!("the header {name}"));
            }
        }
        differences
    }

    /// The recordings with the fewest differences, for an error message. It contains no bodies and no header values.
    pub(super) fn nearest<'r>(
        &self,
        actual: &RecordedRequest,
        recordings: impl Iterator<Item = (&'r RecordedRequest, bool)>,
    ) -> String {
        let mut near: Vec<(usize, usize, String)> = recordings
            .enumerate()
            .map(|(index, (recorded, used))| {
                let mut differences = self.differences(recorded, actual);
                let distance = differences
                    .iter()
                    .map(|difference| match difference.as_str() {
                        "the URL" => 8,
                        "the method" => 4,
                        _ => 1,
                    })
                    .sum();
                if used {
                    differences.push("used already".to_owned());
                }
                let mut shown = format!("#{} {} {}", index + 1, recorded.method, recorded.url);
                if !differences.is_empty() {
                    let _ = write!(shown, " ({})", describe(&differences));
                }
                (distance, index, shown)
            })
            .collect();
        near.sort();
        let listed: Vec<String> = near.into_iter().take(LISTED).map(|(_, _, shown)| shown).collect();
        listed.join("; ")
    }
}

fn describe(differences: &[String]) -> String {
    let (used, parts): (Vec<&String>, Vec<&String>) =
        differences.iter().partition(|difference| *difference == "used already");
    let mut text = parts.iter().map(|part| part.as_str()).collect::<Vec<_>>().join(", ");
    match parts.len() {
        0 => {}
        1 => text.push_str(" differs"),
        _ => text.push_str(" differ"),
    }
    if !used.is_empty() {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str("used already");
    }
    text
}

fn split_query(url: &str) -> (&str, &str) {
    url.split_once('?').unwrap_or((url, ""))
}

fn same_body(recorded: &RecordedRequest, actual: &RecordedRequest) -> bool {
    if recorded.body == actual.body {
        return true;
    }
    let json = |request: &RecordedRequest| serde_json::from_str::<Value>(request.body.as_text()?).ok();
    match (json(recorded), json(actual)) {
        (Some(recorded), Some(actual)) => recorded == actual,
        _ => false,
    }
}
