//! Keeping a body to the length that it announced.

use networking_spi::{NetworkError, Result};

/// What is left of an announced length.
///
/// Sending what does not match it would desynchronise the connection.
#[derive(Debug)]
pub(in crate::http) struct Announced {
    length: Option<u64>,
    left: Option<u64>,
}

impl Announced {
    pub(in crate::http) const fn new(length: Option<u64>) -> Self {
        Self { length, left: length }
    }

    pub(in crate::http) const fn left(&self) -> Option<u64> {
        self.left
    }

    /// Takes up a chunk of this many bytes.
    pub(in crate::http) fn take(&mut self, bytes: usize) -> Result<()> {
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(bytes as u64).ok_or_else(|| wrong(self.length))?;
        }
        Ok(())
    }

    /// The body ended.
    pub(in crate::http) fn end(&self) -> Result<()> {
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
