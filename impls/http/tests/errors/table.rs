//! The table of errors in the contract, and the comparison of an error with its row.

use std::error::Error;
use std::time::Duration;

use networking_spi::{ErrorKind, NetworkError, Retryability, SendState};

use crate::errors::backend::{Failed, SECRET};

/// The columns of a row.
struct Row {
    kind: &'static str,
    phase_or_status: &'static str,
    retry: &'static str,
    sent: &'static str,
    reason: &'static str,
    case: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    let contract = include_str!("../../../../docs/contract/http.md");
    let (_, errors) = contract.split_once("\n## Errors\n").expect("a section on errors");
    errors
        .lines()
        .take_while(|line| !line.starts_with("## "))
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| {
            let cells: Vec<&'static str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [_, kind, phase_or_status, retry, sent, reason, case] = cells[..] else {
                panic!("not a row of seven columns: {line}");
            };
            Row {
                kind: in_code(kind),
                phase_or_status,
                retry,
                sent,
                reason: in_code(reason),
                case: in_code(case),
            }
        })
}

/// The text between backquotes.
fn in_code(cell: &'static str) -> &'static str {
    cell.split('`').nth(1).unwrap_or_default()
}

/// The cases in the order of the table.
pub(crate) fn cases() -> Vec<&'static str> {
    rows().map(|row| row.case).collect()
}

/// Compares an error with the row of its case.
#[track_caller]
pub(crate) fn check(case: &str, failed: &Failed) {
    let row = rows().find(|row| row.case == case).expect("a row for the case");
    let Failed { error, host } = failed;

    assert_eq!(format!("{:?}", error.kind()), row.kind, "kind: {error:?}");
    let status = error.status().map(|status| status.to_string());
    let phase = error.phase().map(|phase| phase.to_string());
    assert_eq!(status.or(phase).unwrap_or_default(), row.phase_or_status, "{error:?}");
    // The request is not idempotent.
    let repeated = row.retry == "now" && row.sent == "no";
    assert_retry(row.retry, repeated, error);
    let sent = match error.send_state() {
        SendState::NotSent => "no",
        SendState::MaybeSent => "maybe",
        SendState::Sent => "yes",
    };
    assert_eq!(sent, row.sent, "sent: {error:?}");
    assert_eq!(context(error, "reason").unwrap_or_default(), row.reason, "{error:?}");

    assert_eq!(error.attempts(), if repeated { 2 } else { 1 }, "attempts: {error:?}");
    if error.kind() == ErrorKind::InvalidInput {
        assert_eq!(error.field(), Some("url"), "{error:?}");
    } else {
        let host = host.as_deref().expect("every other call has a host");
        let named = context(error, "host").is_some_and(|named| named == host)
            || context(error, "url").is_some_and(|url| url.contains(host));
        assert!(named, "{host} is not named: {error:?}");
    }
    assert_no_secret(error);
}

fn context<'e>(error: &'e NetworkError, wanted: &str) -> Option<&'e str> {
    error.context().find(|(key, _)| *key == wanted).map(|(_, value)| value)
}

#[track_caller]
fn assert_retry(written: &str, repeated: bool, error: &NetworkError) {
    let found = error.retryability();
    match written {
        "never" => assert_eq!(found, Retryability::Never, "{error:?}"),
        "now" if repeated => assert_eq!(found, Retryability::Exhausted(None), "{error:?}"),
        "now" => assert_eq!(found, Retryability::Now, "{error:?}"),
        "after the wait" => assert!(found.delay().is_some_and(|wait| wait > Duration::ZERO), "{error:?}"),
        _ => {
            let seconds = written
                .strip_prefix("after ")
                .and_then(|rest| rest.strip_suffix(" s"))
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or_else(|| panic!("not a wait: {written}"));
            assert_eq!(found, Retryability::After(Duration::from_secs(seconds)), "{error:?}");
        }
    }
}

#[track_caller]
fn assert_no_secret(error: &NetworkError) {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(current) = cause {
        let shown = format!("{current} {current:?} {current:#?}");
        assert!(!shown.contains(SECRET), "{shown}");
        cause = current.source();
    }
}
