//! An extension trait for results.

use std::borrow::Cow;

use super::Result;

/// Adds the operation or the outer field to the error in a [`Result`].
///
/// ```
/// use networking_spi::error::ResultExt;
/// use networking_spi::http::RetryPolicy;
/// use networking_spi::validate::Validate;
///
/// let error = RetryPolicy::new(0)
///     .validate()
///     .in_field("retry")
///     .in_operation("http.configure_retry_policy")
///     .unwrap_err();
/// assert_eq!(error.field(), Some("retry.max_attempts"));
/// assert_eq!(error.operation(), "http.configure_retry_policy");
/// ```
pub trait ResultExt: Sized {
    /// Calls [`NetworkError::in_field`](super::NetworkError::in_field) on the error, if there is one.
    ///
    /// # Errors
    /// The same error with a longer path.
    fn in_field(self, prefix: &str) -> Self;

    /// Calls [`NetworkError::with_operation`](super::NetworkError::with_operation) on the error, if there is one.
    ///
    /// # Errors
    /// The same error with this operation.
    fn in_operation(self, operation: impl Into<Cow<'static, str>>) -> Self;
}

impl<T> ResultExt for Result<T> {
    fn in_field(self, prefix: &str) -> Self {
        self.map_err(|error| error.in_field(prefix))
    }

    fn in_operation(self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.map_err(|error| error.with_operation(operation))
    }
}
