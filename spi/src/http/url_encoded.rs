//! Queries and forms of serializable values.

use serde::Serialize;

use crate::error::{ErrorKind, NetworkError, Result};

/// Encodes a list of pairs, a map or a struct as `application/x-www-form-urlencoded`.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T, what: &'static str) -> Result<String> {
    serde_html_form::to_string(value).map_err(|error| {
        NetworkError::new(
            ErrorKind::Encode,
            "http.request",
            format!("{what} must be a list of pairs, a map or a struct, and its values texts, numbers, booleans or lists of them"),
        )
        .with_source(error)
    })
}
