//! A case, its result, and the harness that it runs against.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use networking_spi::NetworkError;

/// The methods that all harnesses have. The harness trait of each domain adds the methods that make clients.
///
/// Each case gets a fresh harness, so that cases do not affect each other. One more harness is made first, to ask for what
/// this trait and `applies` of the [cases](Case) say.
pub trait Harness: Send + Sync + 'static {
    /// The backend's name in reports (`reqwest`).
    fn backend(&self) -> &'static str;

    /// The runtime that cases run in.
    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::MultiThread
    }

    /// How long a case waits for one thing that must happen, such as a response, a message or a rebalance, before it
    /// fails. Measured by the clock of the case's [`runtime`](Self::runtime). Defaults to 5 seconds.
    ///
    /// A long time costs time only when a case fails. A case that waits twice as long in real time for anything else
    /// fails too, and so does one that takes 12 times as long in total (at least 60 seconds) by the clock of its runtime, or half a
    /// minute more in real time. There is no maximum: `Duration::MAX` waits forever.
    ///
    /// With [`CaseRuntime::PausedClock`], the clock advances whenever all tasks are idle, so that even a long time passes at once. It
    /// must be longer than the timers of the backend, whose waits would else not be seen to end.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Cases that are known to fail, and why. A listed case that passes is reported as failed, so that the list stays
    /// accurate. So is an id that no case of the suite has, and one that is listed twice.
    fn known_failures(&self) -> Vec<KnownFailure> {
        Vec::new()
    }
}

/// The runtime that a case runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseRuntime {
    /// A multi-threaded runtime in real time, with two worker threads. For backends that do I/O.
    MultiThread,
    /// A single-threaded runtime in real time. For backends that are used in such runtimes: a backend that blocks the thread,
    /// or that needs a second one, fails. The suite's own servers run on the same thread.
    CurrentThread,
    /// A single-threaded runtime whose clock is paused, and advances automatically when all tasks are idle. For
    /// backends in memory.
    PausedClock,
}

/// A case that is known to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
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
#[must_use]
#[non_exhaustive]
pub enum Applies {
    /// It can be run.
    Yes,
    /// The backend declares that it lacks this capability.
    Unsupported(&'static str),
    /// The harness cannot produce this condition, which the case needs.
    Skipped(&'static str),
    /// It can be run in a process whose environment has these variables. The [runner](crate::runner) and the macros of the
    /// domains run such a case in a child process: the same test binary, with the variables and the name of the one test.
    /// [`Suite::run`](crate::Suite::run) cannot, and reports it as skipped.
    InEnvironment(&'static [(&'static str, &'static str)]),
}

impl Applies {
    /// `Yes` if the backend declares the capability.
    pub const fn capability(declared: bool, name: &'static str) -> Self {
        if declared { Self::Yes } else { Self::Unsupported(name) }
    }

    /// `Yes` if the harness can produce the condition.
    pub const fn environment(available: bool, what: &'static str) -> Self {
        if available { Self::Yes } else { Self::Skipped(what) }
    }

    /// `Yes` if the environment of this process has these variables with these values, and else
    /// [`InEnvironment`](Self::InEnvironment).
    pub fn variables(variables: &'static [(&'static str, &'static str)]) -> Self {
        let is_set = |(name, value): &(&str, &str)| std::env::var_os(name).is_some_and(|set| set == *value);
        if variables.iter().all(is_set) {
            Self::Yes
        } else {
            Self::InEnvironment(variables)
        }
    }

    /// The first of the two that is not `Yes`. What never applies goes before what needs another environment.
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Yes, other) | (Self::InEnvironment(_), other @ (Self::Unsupported(_) | Self::Skipped(_))) => other,
            (no, _) => no,
        }
    }
}

/// The result of a case. Any error fails it.
pub type CaseResult = Result<(), Failure>;

/// Why a clause does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure(pub String);

impl Failure {
    /// A failure with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// A failure that an error explains: `what`, the error, and all its sources.
    ///
    /// ```
    /// use networking_conformance::Failure;
    ///
    /// let error = std::io::Error::other("the cable is unplugged");
    /// assert_eq!(Failure::with_error("no port", &error).to_string(), "no port: the cable is unplugged");
    /// ```
    pub fn with_error(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        Self(format!("{what}: {}", chain(error)))
    }
}

/// The text of an error and of all its sources.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(", caused by: ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<NetworkError> for Failure {
    fn from(error: NetworkError) -> Self {
        Self::with_error("unexpected error", &error)
    }
}

/// The test of one clause.
///
/// Exhaustive on purpose: suites outside this crate write their cases as literals.
pub struct Case<H: ?Sized> {
    /// The id: domain, subject and name (`http::retry::a_stream_is_sent_once`). It is unique and never reused.
    pub id: &'static str,
    /// The clause that it tests (`HTTP-45`).
    pub clause: &'static str,
    /// Whether it can be run against the backend of this harness. The harness is not that of the case, but one that was made
    /// to ask all cases.
    pub applies: fn(&H) -> Applies,
    /// Runs the case.
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

/// Fails the case unless the result is an error of this [`ErrorKind`](networking_spi::ErrorKind). Evaluates to the
/// error. The message of the failure has the error and all its sources.
#[macro_export]
macro_rules! check_error {
    ($result:expr, $kind:expr, $($message:tt)+) => {
        match $result {
            Err(error) if error.is_a($kind) => error,
            Err(error) => {
                return Err($crate::Failure::with_error(
                    format_args!("{}: expected an error of kind {}, got", format_args!($($message)+), $kind),
                    &error,
                ));
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

#[cfg(test)]
mod tests {
    use networking_spi::ErrorKind;

    use super::*;

    fn reset() -> NetworkError {
        let cause = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset by the peer");
        NetworkError::new(ErrorKind::Connection, "http.request", "reading failed").with_source(cause)
    }

    #[test]
    fn failures_have_the_sources_of_errors() {
        let checked = || -> CaseResult {
            check_error!(Err::<(), _>(reset()), ErrorKind::Timeout, "a silent {}", "peer");
            Ok(())
        };
        let failed = checked().unwrap_err();
        let text = failed.to_string();
        assert!(
            text.starts_with("a silent peer: expected an error of kind timeout, got"),
            "{text}"
        );
        assert!(text.ends_with("reading failed, caused by: reset by the peer"), "{text}");
        let unexpected = Failure::from(reset()).to_string();
        assert!(unexpected.starts_with("unexpected error: "), "{unexpected}");
        assert!(unexpected.ends_with(", caused by: reset by the peer"), "{unexpected}");
    }
}
