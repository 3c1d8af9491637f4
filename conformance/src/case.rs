//! One case, and what every harness says of itself.

use std::fmt;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use networking_spi::NetworkError;

/// What every harness says of itself. The domains' harness traits add how to make clients.
///
/// A fresh harness is made for each case, so that cases cannot disturb each other.
pub trait Harness: Send + Sync + 'static {
    /// The backend's name in reports (`reqwest`).
    fn backend(&self) -> &'static str;

    /// The runtime that cases run in.
    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::MultiThread
    }

    /// Cases that are known to fail, and why. One that passes all the same is a failure: the list must be true.
    fn known_failures(&self) -> Vec<KnownFailure> {
        Vec::new()
    }
}

/// The runtime that a case runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseRuntime {
    /// Real time, two worker threads. For backends that do I/O.
    MultiThread,
    /// One thread with a paused clock that advances when everything is idle. For backends that live in memory.
    PausedClock,
}

/// A case that is known to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownFailure {
    /// The case's id.
    pub case: &'static str,
    /// Why it fails.
    pub reason: &'static str,
}

impl KnownFailure {
    /// A case that is known to fail.
    pub const fn new(case: &'static str, reason: &'static str) -> Self {
        Self { case, reason }
    }
}

/// Whether a case can be run against a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// It can.
    Yes,
    /// The backend declares that it lacks this capability.
    Unsupported(&'static str),
    /// The harness cannot bring about what the case needs.
    Skipped(&'static str),
}

impl Applies {
    /// `Yes` if the backend declares the capability.
    pub const fn capability(declared: bool, name: &'static str) -> Self {
        if declared { Self::Yes } else { Self::Unsupported(name) }
    }

    /// `Yes` if the harness can bring it about.
    pub const fn environment(available: bool, what: &'static str) -> Self {
        if available { Self::Yes } else { Self::Skipped(what) }
    }

    /// The first that is not `Yes`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match self {
            Self::Yes => other,
            no => no,
        }
    }
}

/// The result of a case: any error fails it.
pub type CaseResult = Result<(), Failure>;

/// Why a clause does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(pub String);

impl Failure {
    /// A failure.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        let mut message = format!("unexpected error: {error}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message.push_str(", caused by: ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self(message)
    }
}

/// One clause, made testable.
pub struct Case<H: ?Sized> {
    /// The id, unique and never reused (`http::status::is_not_an_error`).
    pub id: &'static str,
    /// The clause it tests (`HTTP-3`).
    pub clause: &'static str,
    /// Whether it can be run against the harness' backend.
    pub applies: fn(&H) -> Applies,
    /// Runs it.
    pub run: fn(Arc<H>) -> BoxFuture<'static, CaseResult>,
}

impl<H: ?Sized> fmt::Debug for Case<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("id", &self.id)
            .field("clause", &self.clause)
            .finish_non_exhaustive()
    }
}

/// Fails the case unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Failure::new(format!($($message)+)));
        }
    };
}

/// Fails the case unless both sides are equal.
#[macro_export]
macro_rules! check_eq {
    ($left:expr, $right:expr, $($message:tt)+) => {
        match (&$left, &$right) {
            (left, right) => {
                if left != right {
                    return Err($crate::Failure::new(format!(
                        "{}: got {left:?}, expected {right:?}",
                        format_args!($($message)+),
                    )));
                }
            }
        }
    };
}

/// Fails the case unless the result is an error of this [`ErrorKind`](networking_spi::ErrorKind); gives the error.
#[macro_export]
macro_rules! check_error {
    ($result:expr, $kind:expr, $($message:tt)+) => {
        match $result {
            Err(error) if error.is_a($kind) => error,
            Err(error) => {
                return Err($crate::Failure::new(format!(
                    "{}: expected an error of kind {}, got {error}",
                    format_args!($($message)+),
                    $kind,
                )));
            }
            Ok(_) => {
                return Err($crate::Failure::new(format!(
                    "{}: expected an error of kind {}, got success",
                    format_args!($($message)+),
                    $kind,
                )));
            }
        }
    };
}
