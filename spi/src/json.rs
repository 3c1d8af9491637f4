//! JSON of bodies, events and messages.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::error::{ErrorKind, NetworkError, Result, SendState, context};

/// Decodes JSON that the peer sent. `what` is named in the message (`the body`).
pub(crate) fn decode<T: DeserializeOwned>(json: &[u8], operation: &'static str, what: &'static str) -> Result<T> {
    serde_json::from_slice(json).map_err(|error| {
        let message = match error.classify() {
            _ if json.trim_ascii().is_empty() => format!("{what} is empty, not JSON"),
            Category::Eof => format!("{what} is JSON that ends too early"),
            Category::Syntax => format!("{what} is not JSON"),
            Category::Data | Category::Io => format!("{what} is not JSON of the expected shape{}", missing(&error)),
        };
        let mut decoding = NetworkError::new(ErrorKind::Decode, operation, message)
            .with_send_state(SendState::Sent)
            .with_context(context::REASON, "json");
        if error.line() > 0 {
            decoding = decoding
                .with_context(context::LINE, error.line().to_string())
                .with_context(context::COLUMN, error.column().to_string());
        }
        decoding.with_source(error)
    })
}

/// The field that is missing. Other texts of the parser may have values of the document, which may be secret.
fn missing(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text
        .strip_prefix("missing field `")
        .and_then(|rest| rest.split_once('`'))
    {
        Some((field, _)) => format!(": it has no `{field}`"),
        None => String::new(),
    }
}

/// Encodes a value as JSON.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, operation: &'static str, what: &'static str) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| {
        NetworkError::new(
            ErrorKind::Encode,
            operation,
            format!("{what} cannot be encoded as JSON"),
        )
        .with_source(error)
    })
}
