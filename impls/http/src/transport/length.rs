//! Keeping a body to the length that it announced.

use http::{HeaderMap, HeaderValue, header};
use networking_spi::http::HttpBody;
use networking_spi::{NetworkError, Result};

/// The length of a request's body, if it is known.
///
/// # Errors
/// The head has a `Content-Length` that is not the body's. The peer would take the next request for the rest of this one.
pub(crate) fn announced(headers: &HeaderMap, body: &HttpBody) -> Result<Option<u64>> {
    let mut length = body.length();
    for value in headers.get_all(header::CONTENT_LENGTH) {
        match parsed(value) {
            Some(value) if length.is_none_or(|length| length == value) => length = Some(value),
            _ => {
                return Err(NetworkError::invalid_input(
                    "headers.content-length",
                    "is not the length of the body",
                ));
            }
        }
    }
    Ok(length)
}

fn parsed(value: &HeaderValue) -> Option<u64> {
    let digits = value.to_str().ok()?;
    // Not a sign, which the parser would take.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    digits.parse().ok()
}

/// What is left of an announced length.
///
/// Sending what does not match it would desynchronise the connection.
#[derive(Debug)]
pub(crate) struct Announced {
    length: Option<u64>,
    left: Option<u64>,
}

impl Announced {
    pub(crate) const fn new(length: Option<u64>) -> Self {
        Self { length, left: length }
    }

    pub(crate) const fn left(&self) -> Option<u64> {
        self.left
    }

    /// Takes up a chunk of this many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<()> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes as u64).ok_or_else(|| wrong(self.length))?;
        }
        Ok(())
    }

    /// The body ended.
    pub(crate) fn end(&self) -> Result<()> {
        match self.left {
            Some(1..) => Err(wrong(self.length)),
            _ => Ok(()),
        }
    }
}

fn wrong(length: Option<u64>) -> NetworkError {
    NetworkError::invalid_input(
        "body.length",
        format!(
            "the stream does not have the {} bytes it announced",
            length.unwrap_or_default()
        ),
    )
}
