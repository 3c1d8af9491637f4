//! The lengths of bodies that messages announce.

use http::{HeaderMap, header};
use networking_spi::http::HttpBody;
use networking_spi::{NetworkError, Result};

/// The length of a request's body, if it is known.
///
/// # Errors
/// `InvalidInput` for a `Content-Length` that differs from the body's length, because the peer could read the next request as a
/// part of the body.
pub(crate) fn announced(headers: &HeaderMap, body: &HttpBody) -> Result<Option<u64>> {
    let mut length = body.length();
    for value in headers.get_all(header::CONTENT_LENGTH) {
        match digits(value.as_bytes()) {
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

/// A number of digits alone: the parser would accept a sign.
pub(super) fn digits(digits: &[u8]) -> Option<u64> {
    let only_digits = digits.iter().all(u8::is_ascii_digit);
    only_digits.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// The remaining bytes of an announced length. A body of another length would desynchronize the connection.
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

    /// Counts a chunk of this many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<()> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes as u64).ok_or_else(|| wrong(self.length))?;
        }
        Ok(())
    }

    /// Checks the length at the end of the body.
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
