//! Checks of configuration values. Each failure is an [`InvalidInput`](crate::ErrorKind::InvalidInput) error that names
//! the field.

use std::time::Duration;

use crate::error::{NetworkError, Result, ResultExt};

/// A configuration that can be checked before it is used.
pub trait Validate {
    /// Checks every field.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the first field that is invalid.
    fn validate(&self) -> Result<()>;
}

/// Checks a nested configuration. The error names the whole path of the field (`retry.max_attempts`).
///
/// ```
/// use networking_spi::http::RetryPolicy;
/// use networking_spi::validate;
///
/// let error = validate::nested(&RetryPolicy::new(0), "retry").unwrap_err();
/// assert_eq!(error.field(), Some("retry.max_attempts"));
/// ```
///
/// # Errors
/// The error of `value`, with `field.` before the field that it names.
pub fn nested(value: &(impl Validate + ?Sized), field: &str) -> Result<()> {
    value.validate().in_field(field)
}

/// Fails with `message` unless `ok` is true.
pub fn ensure(ok: bool, field: &str, message: &'static str) -> Result<()> {
    if ok {
        Ok(())
    } else {
        Err(NetworkError::invalid_input(field, message))
    }
}

/// Fails if the string is empty or has only whitespace.
pub fn not_blank(value: &str, field: &str) -> Result<()> {
    ensure(!value.trim().is_empty(), field, "must not be empty")
}

/// Fails if the duration is zero.
pub fn positive(value: Duration, field: &str) -> Result<()> {
    ensure(!value.is_zero(), field, "must be longer than zero")
}

/// Fails if the value is not in 0.0 ..= 1.0, or is NaN.
pub fn share(value: f64, field: &str) -> Result<()> {
    ensure((0.0..=1.0).contains(&value), field, "must be between 0.0 and 1.0")
}

/// Fails if the name is blank, is longer than `max` bytes, or has control characters.
pub fn name(value: &str, max: usize, field: &str) -> Result<()> {
    not_blank(value, field)?;
    ensure(value.len() <= max, field, "is too long")?;
    ensure(
        !value.chars().any(char::is_control),
        field,
        "must not have control characters",
    )
}
