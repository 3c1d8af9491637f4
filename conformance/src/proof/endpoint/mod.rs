//! Models of a source and a sink in memory, which pass the suites for [endpoints](crate::endpoint), and deliberately broken ones.
//!
//! [`ModelSourceHarness::new`](source::ModelSourceHarness::new) and [`ModelSinkHarness::new`](sink::ModelSinkHarness::new) make
//! correct endpoints, `broken` makes one with the mistake of a saboteur. Against it, the suite must fail in exactly the cases that
//! `caught_by` names.

pub mod sink;
pub mod source;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn trimmed(payload: &Bytes) -> Bytes {
    Bytes::copy_from_slice(payload.trim_ascii())
}

/// Parses JSON and writes it again. Other payloads stay as they are.
fn rewritten(payload: &Bytes) -> Bytes {
    match serde_json::from_slice::<serde_json::Value>(payload) {
        Ok(value) => value.to_string().into(),
        Err(_) => payload.clone(),
    }
}

fn decoded(payload: &Bytes) -> Bytes {
    String::from_utf8_lossy(payload).into_owned().into()
}

/// Keeps only the last value of each name.
fn without_repeated(headers: Vec<(String, Bytes)>) -> Vec<(String, Bytes)> {
    let mut kept: Vec<(String, Bytes)> = Vec::new();
    for (name, value) in headers {
        kept.retain(|(earlier, _)| *earlier != name);
        kept.push((name, value));
    }
    kept
}

fn without_parameters(content_type: &str) -> String {
    let (media_type, _) = content_type.split_once(';').unwrap_or((content_type, ""));
    media_type.to_owned()
}
