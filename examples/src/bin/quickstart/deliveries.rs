//! Reads the deliveries to send.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The deliveries that are sent without `--input`.
const SAMPLE: &str = include_str!("../../../data/webhooks.jsonl");

/// One webhook delivery.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    /// Its id, sent as `X-GitHub-Delivery`.
    pub(crate) id: String,
    /// The event type.
    pub(crate) event: String,
    /// The payload, byte for byte as in the file.
    pub(crate) payload: Bytes,
}

/// The deliveries of a file, and the problems of its invalid lines.
#[derive(Debug)]
pub(crate) struct Deliveries {
    pub(crate) all: Vec<Delivery>,
    pub(crate) problems: Vec<String>,
}

/// A line of the file. The payload is not parsed, so that it can be verified byte for byte.
#[derive(Deserialize)]
struct Line<'l> {
    event: String,
    #[serde(borrow)]
    payload: &'l RawValue,
}

impl Deliveries {
    /// Reads a file. A line that is not a delivery becomes a problem with its line number; the other lines are still read.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, String> {
        match file {
            None => Ok(Self::parse("the sample", SAMPLE.as_bytes())),
            Some(path) => {
                let bytes = fs::read(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
                let deliveries = Self::parse(&path.display().to_string(), &bytes);
                if deliveries.all.is_empty() && deliveries.problems.is_empty() {
                    return Err(format!("{} has no deliveries", path.display()));
                }
                Ok(deliveries)
            }
        }
    }

    fn parse(name: &str, bytes: &[u8]) -> Self {
        let mut deliveries = Self {
            all: Vec::new(),
            problems: Vec::new(),
        };
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            let number = index + 1;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice::<Line<'_>>(line) {
                Ok(line) if is_header_value(&line.event) => deliveries.all.push(Delivery {
                    id: format!("delivery-{number}"),
                    event: line.event,
                    payload: Bytes::copy_from_slice(line.payload.get().as_bytes()),
                }),
                Ok(line) => {
                    deliveries.problems.push(format!(
                        "{name}, line {number}: event {:?} is not an event name",
                        line.event
                    ));
                }
                Err(error) => {
                    // The line number of the parser is always 1, because it parses one line.
                    let text = error.to_string();
                    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
                    let column = error.column();
                    deliveries
                        .problems
                        .push(format!("{name}, line {number}, column {column}: {text}"));
                }
            }
        }
        deliveries
    }
}

/// Whether the event can be sent as a header value.
fn is_header_value(event: &str) -> bool {
    !event.is_empty() && event.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_kept_byte_for_byte() {
        let deliveries = Deliveries::parse(
            "file",
            b"{\"event\":\"push\",\"payload\":{ \"a\" : 1.0, \"b\":\"\\u00e9\" }}\n",
        );
        assert_eq!(
            deliveries.all[0].payload,
            Bytes::from_static(b"{ \"a\" : 1.0, \"b\":\"\\u00e9\" }")
        );
    }

    #[test]
    fn a_bad_line_is_named_and_the_others_are_kept() {
        let deliveries = Deliveries::parse(
            "file",
            b"{\"event\":\"a\",\"payload\":1}\nnonsense\n\n{\"event\":\"b\",\"payload\":2}",
        );
        let events: Vec<&str> = deliveries.all.iter().map(|delivery| delivery.event.as_str()).collect();
        assert_eq!(events, ["a", "b"]);
        assert_eq!(deliveries.problems.len(), 1);
        assert!(
            deliveries.problems[0].starts_with("file, line 2, column 2: "),
            "{}",
            deliveries.problems[0]
        );
    }

    #[test]
    fn lines_without_event_or_payload_are_bad() {
        let deliveries = Deliveries::parse(
            "file",
            b"{\"event\":\"a\"}\n{\"payload\":1}\n{\"event\":\"\",\"payload\":1}\n\xff\n",
        );
        assert!(deliveries.all.is_empty());
        assert_eq!(deliveries.problems.len(), 4);
    }

    #[test]
    fn the_sample_is_valid() {
        let sample = Deliveries::read(None).unwrap();
        assert!(sample.problems.is_empty(), "{:?}", sample.problems);
        assert_eq!(sample.all.len(), 12);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Deliveries::read(Some(Path::new("no/such/file.jsonl"))).unwrap_err();
        assert!(error.contains("no/such/file.jsonl"), "{error}");
    }
}
