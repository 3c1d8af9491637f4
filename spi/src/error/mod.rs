//! The error type of all contracts.

pub mod context;
mod convert;
mod kind;
mod result;
mod retry;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use convert::url_problem;
pub use kind::{ErrorKind, Phase};
pub use result::ResultExt;
pub use retry::{Retryability, SendState};

/// A boxed source error.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The result of every operation in this crate.
pub type Result<T, E = NetworkError> = std::result::Result<T, E>;

/// The error of every operation.
///
/// It is opaque and one pointer wide. `Display` prints the operation, the message and the context. It does not print the
/// source (see [`source`](StdError::source)), and it never prints a secret.
///
/// Cloning increments one reference count. Clones share everything, including the source: `source()` of each clone is the
/// same error, which can be downcast to its concrete type. A `with_*` method changes only the error that it is called on.
/// If there are clones, it first copies the fields and the context; the source stays shared.
///
/// ```
/// use std::time::Duration;
/// use networking_spi::error::context;
/// use networking_spi::{ErrorKind, NetworkError, Phase, Retryability, SendState};
///
/// let error = NetworkError::new(ErrorKind::Timeout, "http.request", "no connection within 250 ms")
///     .with_phase(Phase::Connect)
///     .with_retryability(Retryability::Now)
///     .with_send_state(SendState::NotSent)
///     .with_context(context::HOST, "api.example.com");
///
/// assert!(error.is_a(ErrorKind::Timeout));
/// assert!(error.is_a(ErrorKind::Connection), "a connect timeout is both");
/// assert_eq!(error.get(context::HOST), Some("api.example.com"));
/// assert_eq!(
///     error.to_string(),
///     "http.request: timeout (connect): no connection within 250 ms {host: api.example.com}",
/// );
/// ```
#[derive(Clone)]
pub struct NetworkError(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    operation: Cow<'static, str>,
    message: Cow<'static, str>,
    phase: Option<Phase>,
    retryability: Retryability,
    send_state: SendState,
    status: Option<u16>,
    attempts: u32,
    context: Vec<(Cow<'static, str>, String)>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl NetworkError {
    /// An error of `kind` in `operation` (lower case with dots: `kafka.produce_message`). `Display` omits an empty operation.
    ///
    /// `kind` decides the initial retryability and send state:
    ///
    /// * [`retryability`](Self::retryability) is [`Now`](Retryability::Now) for `Connection`, `ConnectionRefused`,
    ///   `ConnectionClosed`, `Dns`, `Timeout`, `TruncatedBody`, `RateLimited`, `CircuitOpen` and `Exhausted`, and
    ///   [`Never`](Retryability::Never) for the others.
    /// * [`send_state`](Self::send_state) is [`NotSent`](SendState::NotSent) for `InvalidInput`, `Unsupported`,
    ///   `ConnectionRefused`, `Dns`, `DestinationDenied`, `CircuitOpen`, `Exhausted` and `Encode`,
    ///   [`Sent`](SendState::Sent) for `Status`, and [`MaybeSent`](SendState::MaybeSent) for the others.
    pub fn new(
        kind: ErrorKind,
        operation: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let retryability = match kind {
            ErrorKind::Connection
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionClosed
            | ErrorKind::Dns
            | ErrorKind::Timeout
            | ErrorKind::TruncatedBody
            | ErrorKind::RateLimited
            | ErrorKind::CircuitOpen
            | ErrorKind::Exhausted => Retryability::Now,
            _ => Retryability::Never,
        };
        let send_state = match kind {
            ErrorKind::InvalidInput
            | ErrorKind::Unsupported
            | ErrorKind::ConnectionRefused
            | ErrorKind::Dns
            | ErrorKind::DestinationDenied
            | ErrorKind::CircuitOpen
            | ErrorKind::Exhausted
            | ErrorKind::Encode => SendState::NotSent,
            ErrorKind::Status => SendState::Sent,
            _ => SendState::MaybeSent,
        };
        Self(Arc::new(Inner {
            kind,
            operation: operation.into(),
            message: message.into(),
            phase: None,
            retryability,
            send_state,
            status: None,
            attempts: 1,
            context: Vec::new(),
            source: None,
        }))
    }

    /// [`ErrorKind::InvalidInput`] naming the invalid field.
    ///
    /// ```
    /// use networking_spi::NetworkError;
    /// let error = NetworkError::invalid_input("retry.max_attempts", "must be at least 1");
    /// assert_eq!(error.field(), Some("retry.max_attempts"));
    /// ```
    pub fn invalid_input(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        // The field says more than an operation could.
        Self::new(ErrorKind::InvalidInput, "", message).with_context(context::FIELD, field)
    }

    /// [`ErrorKind::Unsupported`] naming the capability that is missing.
    pub fn unsupported(operation: impl Into<Cow<'static, str>>, capability: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, operation, "not supported by this backend")
            .with_context(context::CAPABILITY, capability)
    }

    /// [`ErrorKind::Unsupported`] for a capability that a cargo feature adds. The message names the feature.
    ///
    /// ```
    /// use networking_spi::NetworkError;
    /// use networking_spi::error::context;
    ///
    /// let error = NetworkError::not_built("http.request", "decompression", "gzip");
    /// assert_eq!(error.message(), "not built in: enable the cargo feature `gzip`");
    /// assert_eq!(error.get(context::CAPABILITY), Some("decompression"));
    /// assert_eq!(error.get(context::FEATURE), Some("gzip"));
    /// ```
    pub fn not_built(operation: impl Into<Cow<'static, str>>, capability: &'static str, feature: &'static str) -> Self {
        let message = format!("not built in: enable the cargo feature `{feature}`");
        Self::new(ErrorKind::Unsupported, operation, message)
            .with_context(context::CAPABILITY, capability)
            .with_context(context::FEATURE, feature)
    }

    /// [`ErrorKind::Timeout`] in `phase` after `limit`.
    pub fn timeout(operation: impl Into<Cow<'static, str>>, phase: Phase, limit: Duration) -> Self {
        Self::new(ErrorKind::Timeout, operation, format!("no result within {limit:?}")).with_phase(phase)
    }

    /// [`ErrorKind::Closed`]: `what` was closed before this call.
    pub fn closed(operation: impl Into<Cow<'static, str>>, what: &str) -> Self {
        Self::new(ErrorKind::Closed, operation, format!("{what} is closed")).with_send_state(SendState::NotSent)
    }

    /// [`ErrorKind::NotFound`]: there is no `what` with this name. `what` is also the key of the context pair.
    pub fn not_found(operation: impl Into<Cow<'static, str>>, what: &'static str, name: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, operation, format!("no such {what}")).with_context(what, name.to_string())
    }

    /// Replaces the operation. A wrapper uses this to name the operation that its caller called.
    pub fn with_operation(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.fields().operation = operation.into();
        self
    }

    /// Sets the phase of a timeout.
    pub fn with_phase(mut self, phase: Phase) -> Self {
        self.fields().phase = Some(phase);
        self
    }

    /// Sets whether, and after which delay, the call may be retried.
    pub fn with_retryability(mut self, retryability: Retryability) -> Self {
        self.fields().retryability = retryability;
        self
    }

    /// Sets whether the peer may have received the request.
    pub fn with_send_state(mut self, state: SendState) -> Self {
        self.fields().send_state = state;
        self
    }

    /// Sets the status code of the peer's response (HTTP).
    pub fn with_status(mut self, status: u16) -> Self {
        self.fields().status = Some(status);
        self
    }

    /// Sets the number of attempts.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.fields().attempts = attempts;
        self
    }

    /// Adds a context pair. The key is one of [`context`], a [`ContextKey`](context::ContextKey) of the caller, or any
    /// string. `Display` shows the value: it must not be a secret.
    pub fn with_context(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.fields().context.push((key.into(), value.into()));
        self
    }

    /// Sets the underlying error. Later clones of this error share it.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.fields().source = Some(Arc::from(source.into()));
        self
    }

    /// The kind. Prefer [`is_a`](Self::is_a) for decisions: it follows the hierarchy.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the error is of `kind`, or of a kind that belongs to it. A timeout in the phase [`Phase::Connect`] is also
    /// an [`ErrorKind::Connection`] error, and every error with a [`status`](Self::status) is also an
    /// [`ErrorKind::Status`] error.
    pub fn is_a(&self, kind: ErrorKind) -> bool {
        self.0.kind.is_a(kind)
            || (kind == ErrorKind::Connection
                && self.0.kind == ErrorKind::Timeout
                && self.0.phase == Some(Phase::Connect))
            || (kind == ErrorKind::Status && self.0.status.is_some())
    }

    /// The operation that failed (`http.request`); empty for an invalid value that no operation has used yet.
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The message without operation, kind and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The phase in which a time limit was exceeded.
    pub fn phase(&self) -> Option<Phase> {
        self.0.phase
    }

    /// Whether, and after which delay, the call may be retried.
    pub fn retryability(&self) -> Retryability {
        self.0.retryability
    }

    /// Whether the peer may have received the request.
    pub fn send_state(&self) -> SendState {
        self.0.send_state
    }

    /// The status code of the peer's response, if there was one (HTTP).
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The number of attempts; 1 if there was no retry.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The context pairs, in the order in which they were added.
    pub fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.context.iter().map(|(key, value)| (key.as_ref(), value.as_str()))
    }

    /// The value of the first context pair with this key.
    ///
    /// ```
    /// use networking_spi::error::context;
    /// use networking_spi::{ErrorKind, NetworkError};
    ///
    /// let error = NetworkError::new(ErrorKind::Authentication, "http.authenticate_jwt", "the token does not verify")
    ///     .with_context(context::REASON, "expired");
    /// assert_eq!(error.get(context::REASON), Some("expired"));
    /// ```
    pub fn get(&self, key: impl AsRef<str>) -> Option<&str> {
        let key = key.as_ref();
        self.context().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// The field that an [`ErrorKind::InvalidInput`] error names, as a path (`retry.max_attempts`).
    pub fn field(&self) -> Option<&str> {
        self.get(context::FIELD)
    }

    /// Puts `prefix.` before the field that the error names, so that the error of a nested configuration names the whole
    /// path. An error that names no field is returned unchanged. [`ResultExt::in_field`] does the same for a result.
    pub fn in_field(mut self, prefix: &str) -> Self {
        if self.field().is_none() {
            return self;
        }
        for (key, value) in &mut self.fields().context {
            if key == context::FIELD.as_str() {
                *value = format!("{prefix}.{value}");
            }
        }
        self
    }

    /// The fields, to be changed. Clones keep the old values.
    fn fields(&mut self) -> &mut Inner {
        Arc::make_mut(&mut self.0)
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner {
            kind,
            operation,
            message,
            phase,
            status,
            attempts,
            context,
            ..
        } = &*self.0;
        if !operation.is_empty() {
            write!(f, "{operation}: ")?;
        }
        write!(f, "{kind}")?;
        match (phase, status) {
            (Some(phase), _) => write!(f, " ({phase})")?,
            (None, Some(status)) => write!(f, " ({status})")?,
            (None, None) => {}
        }
        write!(f, ": {message}")?;
        if *attempts > 1 {
            write!(f, " after {attempts} attempts")?;
        }
        if !context.is_empty() {
            f.write_str(" {")?;
            for (index, (key, value)) in context.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{key}: {value}")?;
            }
            f.write_str("}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkError")
            .field("kind", &self.0.kind)
            .field("operation", &self.0.operation)
            .field("message", &self.0.message)
            .field("phase", &self.0.phase)
            .field("retryability", &self.0.retryability)
            .field("send_state", &self.0.send_state)
            .field("status", &self.0.status)
            .field("attempts", &self.0.attempts)
            .field("context", &self.0.context)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for NetworkError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // Not the `Arc`: callers downcast the error inside it.
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> NetworkError {
        NetworkError::new(ErrorKind::Connection, "http.request", "no connection")
            .with_context(context::HOST, "a.example")
            .with_source(std::io::Error::from(std::io::ErrorKind::AddrInUse))
    }

    fn is_caused_by<E: StdError + 'static>(error: &NetworkError) -> bool {
        error.source().is_some_and(<dyn StdError>::is::<E>)
    }

    #[test]
    fn a_clone_shares_the_source_and_exposes_its_type() {
        let error = failure();
        let clone = error.clone();
        assert!(Arc::ptr_eq(&error.0, &clone.0));
        let source = |error: &NetworkError| {
            let source = error
                .source()
                .and_then(|source| source.downcast_ref::<std::io::Error>());
            std::ptr::from_ref(source.expect("an I/O error"))
        };
        assert_eq!(source(&error), source(&clone));
        let changed = clone.with_attempts(3);
        assert_eq!(source(&error), source(&changed), "a changed clone shares it too");
    }

    #[test]
    fn changing_a_clone_leaves_the_others_as_they_are() {
        let error = failure();
        let changed = error
            .clone()
            .with_operation("http.stream_request")
            .with_phase(Phase::Connect)
            .with_retryability(Retryability::Never)
            .with_send_state(SendState::Sent)
            .with_status(502)
            .with_attempts(2)
            .with_context(context::URL, "https://a.example/")
            .with_source(std::fmt::Error);
        assert_eq!(
            changed.to_string(),
            "http.stream_request: connection (connect): no connection after 2 attempts {host: a.example, url: https://a.example/}"
        );
        assert!(is_caused_by::<std::fmt::Error>(&changed));
        assert_eq!(
            error.to_string(),
            "http.request: connection: no connection {host: a.example}"
        );
        assert_eq!((error.phase(), error.status(), error.attempts()), (None, None, 1));
        assert_eq!(
            (error.retryability(), error.send_state()),
            (Retryability::Now, SendState::MaybeSent)
        );
        assert!(is_caused_by::<std::io::Error>(&error));
    }

    #[test]
    fn an_error_that_is_not_shared_is_changed_in_place() {
        let error = failure();
        let place = Arc::as_ptr(&error.0);
        assert_eq!(Arc::as_ptr(&error.with_attempts(2).0), place);
    }

    #[test]
    fn context_keys_are_found_whether_they_were_set_as_constants_or_strings() {
        let error = failure()
            .with_context("reason", "reset")
            .with_context("mine", "1")
            .with_context("mine", "2");
        assert_eq!(error.get(context::REASON), Some("reset"));
        assert_eq!(error.get("host"), Some("a.example"));
        assert_eq!(error.get(String::from("mine")), Some("1"), "the first of several");
        assert_eq!(error.get(context::FIELD), None);
        let pairs: Vec<_> = error.context().collect();
        assert_eq!(
            pairs,
            [("host", "a.example"), ("reason", "reset"), ("mine", "1"), ("mine", "2")]
        );
    }

    #[test]
    fn context_keys_are_sorted_and_distinct() {
        assert!(
            context::ALL.windows(2).all(|pair| pair[0] < pair[1]),
            "{:?}",
            context::ALL
        );
    }

    #[test]
    fn only_errors_that_name_a_field_get_a_longer_path() {
        let error = failure();
        let place = Arc::as_ptr(&error.0);
        let unchanged = error.clone().in_field("client");
        assert_eq!(Arc::as_ptr(&unchanged.0), place, "and nothing is copied");
        let result: Result<()> = Err(NetworkError::invalid_input("url", "must be absolute"));
        let error = result.in_field("client").in_operation("http.build").unwrap_err();
        assert_eq!(
            error.to_string(),
            "http.build: invalid_input: must be absolute {field: client.url}"
        );
        assert_eq!(
            Ok::<_, ()>(1),
            Ok::<u8, NetworkError>(1)
                .in_field("a")
                .in_operation("b")
                .map_err(|_| ())
        );
    }
}
