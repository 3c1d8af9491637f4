//! Queries and forms of serializable values.

use serde::Serialize;
use serde_json::Value;

use crate::error::{ErrorKind, NetworkError, Result};

/// Encodes a list of pairs, a map or a struct as `application/x-www-form-urlencoded`.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T, what: &'static str) -> Result<String> {
    serde_html_form::to_string(value).map_err(|error| {
        let problem = match culprit(value) {
            Some(name) => format!("the value of `{name}` in {what} must be a text, a number, a boolean or a `Vec` of them"),
            None => format!(
                "{what} must be a list of pairs, a map or a struct, and its values texts, numbers, booleans or a `Vec` of them"
            ),
        };
        NetworkError::new(ErrorKind::Encode, "http.request", problem).with_source(error)
    })
}

/// The name of the first value that cannot be encoded.
fn culprit<T: Serialize + ?Sized>(value: &T) -> Option<String> {
    let named: Vec<(String, Value)> = match serde_json::to_value(value).ok()? {
        Value::Object(members) => members.into_iter().collect(),
        _ => return None,
    };
    let is_scalar = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    let nested = named.iter().find(|(_, value)| match value {
        Value::Array(items) => !items.iter().all(is_scalar),
        value => !is_scalar(value) && !value.is_null(),
    });
    // A null of a `Value`, and an array that is no `Vec`, look like values that can be encoded.
    let unusual = || named.iter().find(|(_, value)| value.is_null() || value.is_array());
    nested.or_else(unusual).map(|(name, _)| name.clone())
}
