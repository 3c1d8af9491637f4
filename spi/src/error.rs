//! The one error type of all contracts.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A boxed source error.
pub type BoxError = Box<dyn StdError + Send + Sync + 'static>;

/// The result of every operation in this crate.
pub type Result<T, E = NetworkError> = std::result::Result<T, E>;

/// What went wrong, as far as a caller may want to act on it.
///
/// Kinds form a hierarchy, see [`ErrorKind::parent`]: a DNS failure is also a connection failure.
/// [`NetworkError::is_a`] follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or a configuration value is wrong; the error names the field. Nothing was sent.
    InvalidInput,
    /// The backend cannot do this; its `capabilities()` say so beforehand.
    Unsupported,
    /// No usable connection to the peer.
    Connection,
    /// The peer refused the connection, or no route leads to it.
    ConnectionRefused,
    /// The peer closed or reset a connection that was in use.
    ConnectionClosed,
    /// A name could not be resolved.
    Dns,
    /// The TLS handshake failed: untrusted, expired or wrong certificate, or no common parameters.
    Tls,
    /// The proxy refused, failed, or wants credentials.
    Proxy,
    /// A deadline passed; [`NetworkError::phase`] says in which phase.
    Timeout,
    /// The peer broke the protocol.
    Protocol,
    /// The body ended before its announced length.
    TruncatedBody,
    /// Data could not be decoded (JSON, text, a content coding, a schema).
    Decode,
    /// Data could not be encoded.
    Encode,
    /// A size limit was exceeded.
    TooLarge,
    /// Too many redirects, a redirect loop, or a forbidden redirect.
    Redirect,
    /// The peer answered with an error status; [`NetworkError::status`] has it.
    Status,
    /// The peer, or a local limiter, asks to slow down.
    RateLimited,
    /// Credentials are missing, wrong or expired.
    Authentication,
    /// The credentials are good, the permission is missing.
    PermissionDenied,
    /// The named thing does not exist.
    NotFound,
    /// The named thing exists already.
    AlreadyExists,
    /// The operation conflicts with the current state (a rebalance, a newer generation, a fenced producer).
    Conflict,
    /// The circuit breaker did not let the call through. The operation was never built.
    CircuitOpen,
    /// A bounded local resource is used up (queue, pool, registry).
    Exhausted,
    /// The handle or the client was closed.
    Closed,
    /// The operation was cancelled by its caller or by a shutdown.
    Cancelled,
    /// An interceptor, classifier or callback of the application rejected the call.
    Rejected,
    /// The destination is one that the client's configuration forbids to reach. Nothing was sent.
    DestinationDenied,
    /// A schema is not compatible with its predecessors.
    Incompatible,
    /// The peer reported a failure of its own that fits no other kind.
    Remote,
    /// A bug or a broken invariant in the backend.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::InvalidInput,
        Self::Unsupported,
        Self::Connection,
        Self::ConnectionRefused,
        Self::ConnectionClosed,
        Self::Dns,
        Self::Tls,
        Self::Proxy,
        Self::Timeout,
        Self::Protocol,
        Self::TruncatedBody,
        Self::Decode,
        Self::Encode,
        Self::TooLarge,
        Self::Redirect,
        Self::Status,
        Self::RateLimited,
        Self::Authentication,
        Self::PermissionDenied,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::CircuitOpen,
        Self::Exhausted,
        Self::Closed,
        Self::Cancelled,
        Self::Rejected,
        Self::DestinationDenied,
        Self::Incompatible,
        Self::Remote,
        Self::Internal,
    ];

    /// The wider kind this one belongs to, if any.
    ///
    /// ```
    /// use networking_spi::ErrorKind;
    /// assert_eq!(ErrorKind::Dns.parent(), Some(ErrorKind::Connection));
    /// assert_eq!(ErrorKind::Connection.parent(), None);
    /// ```
    pub const fn parent(self) -> Option<Self> {
        match self {
            Self::ConnectionRefused | Self::ConnectionClosed | Self::Dns | Self::Tls | Self::Proxy => {
                Some(Self::Connection)
            }
            Self::TruncatedBody => Some(Self::Protocol),
            _ => None,
        }
    }

    /// Whether this kind is `other` or belongs to it.
    pub fn is_a(self, other: Self) -> bool {
        let mut kind = Some(self);
        while let Some(current) = kind {
            if current == other {
                return true;
            }
            kind = current.parent();
        }
        false
    }

    /// The stable name used in messages, logs and metrics (`connection_refused`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unsupported => "unsupported",
            Self::Connection => "connection",
            Self::ConnectionRefused => "connection_refused",
            Self::ConnectionClosed => "connection_closed",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::TruncatedBody => "truncated_body",
            Self::Decode => "decode",
            Self::Encode => "encode",
            Self::TooLarge => "too_large",
            Self::Redirect => "redirect",
            Self::Status => "status",
            Self::RateLimited => "rate_limited",
            Self::Authentication => "authentication",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::CircuitOpen => "circuit_open",
            Self::Exhausted => "exhausted",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
            Self::DestinationDenied => "destination_denied",
            Self::Incompatible => "incompatible",
            Self::Remote => "remote",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The phase in which a deadline passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// Waiting for a local resource: a rate-limit permit, a pool slot, a queue slot.
    Queue,
    /// Opening the connection, name resolution and TLS handshake included.
    Connect,
    /// Sending the request.
    Write,
    /// Waiting for the response, or for the next bytes of its body.
    Read,
    /// One attempt as a whole.
    Attempt,
    /// The operation as a whole, all attempts and waits included.
    Total,
}

impl Phase {
    /// The stable name (`connect`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Connect => "connect",
            Self::Write => "write",
            Self::Read => "read",
            Self::Attempt => "attempt",
            Self::Total => "total",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether the same call may succeed when it is made again.
///
/// This speaks of the failure, not of the operation: a caller that retries must also know whether the operation is
/// idempotent, or that it was never sent ([`NetworkError::send_state`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retryability {
    /// The same call fails again.
    #[default]
    Never,
    /// The failure is transient; retry with the usual backoff.
    Now,
    /// The failure is transient, and the peer (or a limiter or breaker) said how long to wait at least.
    After(Duration),
}

impl Retryability {
    /// Whether a retry makes sense at all.
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Never)
    }

    /// The wait that was asked for, if any.
    pub const fn delay(self) -> Option<Duration> {
        match self {
            Self::After(delay) => Some(delay),
            Self::Never | Self::Now => None,
        }
    }
}

/// Whether the peer may have seen the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendState {
    /// No byte of the request left: retrying is safe for every operation.
    NotSent,
    /// It is not known. Treat the request as possibly processed.
    #[default]
    MaybeSent,
    /// The peer answered: it has seen the request.
    Sent,
}

/// The error of every operation.
///
/// It is opaque and cheap to move (one pointer). `Display` prints the operation, the message and the context, never the
/// source (walk [`source`](StdError::source) for that) and never a secret.
///
/// ```
/// use std::time::Duration;
/// use networking_spi::{ErrorKind, NetworkError, Phase, Retryability, SendState};
///
/// let error = NetworkError::new(ErrorKind::Timeout, "http.request", "no connection within 250 ms")
///     .with_phase(Phase::Connect)
///     .with_retryability(Retryability::Now)
///     .with_send_state(SendState::NotSent)
///     .with_context("host", "api.example.com");
///
/// assert!(error.is_a(ErrorKind::Timeout));
/// assert!(error.is_a(ErrorKind::Connection), "a connect timeout is both");
/// assert_eq!(
///     error.to_string(),
///     "http.request: timeout (connect): no connection within 250 ms {host: api.example.com}",
/// );
/// ```
pub struct NetworkError(Box<Inner>);

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
    source: Option<BoxError>,
}

impl NetworkError {
    /// An error of `kind` in `operation` (dotted, lower case: `kafka.produce_message`).
    ///
    /// Retryability starts as what `kind` suggests: connection failures, timeouts and rate limits are transient,
    /// everything else is not. [`send_state`](Self::send_state) starts as not sent for refused connections, DNS, denied
    /// destinations, open circuits, invalid input and unsupported operations, and as unknown otherwise.
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
        Self(Box::new(Inner {
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

    /// [`ErrorKind::InvalidInput`] naming the field that is wrong.
    ///
    /// ```
    /// use networking_spi::NetworkError;
    /// let error = NetworkError::invalid_input("retry.max_attempts", "must be at least 1");
    /// assert_eq!(error.field(), Some("retry.max_attempts"));
    /// ```
    pub fn invalid_input(field: impl Into<String>, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, "validate", message).with_context("field", field)
    }

    /// [`ErrorKind::Unsupported`] naming the capability that is missing.
    pub fn unsupported(operation: impl Into<Cow<'static, str>>, capability: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, operation, "not supported by this backend")
            .with_context("capability", capability)
    }

    /// [`ErrorKind::Timeout`] in `phase` after `limit`.
    pub fn timeout(operation: impl Into<Cow<'static, str>>, phase: Phase, limit: Duration) -> Self {
        Self::new(ErrorKind::Timeout, operation, format!("no result within {limit:?}")).with_phase(phase)
    }

    /// [`ErrorKind::Closed`]: `what` was closed before this call.
    pub fn closed(operation: impl Into<Cow<'static, str>>, what: &str) -> Self {
        Self::new(ErrorKind::Closed, operation, format!("{what} is closed")).with_send_state(SendState::NotSent)
    }

    /// [`ErrorKind::NotFound`]: there is no `what` of that name.
    pub fn not_found(operation: impl Into<Cow<'static, str>>, what: &'static str, name: impl fmt::Display) -> Self {
        Self::new(ErrorKind::NotFound, operation, format!("no such {what}")).with_context(what, name.to_string())
    }

    /// Replaces the operation: wrappers keep the innermost failure and name the call the user made.
    pub fn with_operation(mut self, operation: impl Into<Cow<'static, str>>) -> Self {
        self.0.operation = operation.into();
        self
    }

    /// Sets the phase of a timeout.
    pub fn with_phase(mut self, phase: Phase) -> Self {
        self.0.phase = Some(phase);
        self
    }

    /// Sets whether and when a retry makes sense.
    pub fn with_retryability(mut self, retryability: Retryability) -> Self {
        self.0.retryability = retryability;
        self
    }

    /// Sets whether the peer may have seen the request.
    pub fn with_send_state(mut self, state: SendState) -> Self {
        self.0.send_state = state;
        self
    }

    /// Sets the status code of the peer's answer (HTTP).
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    /// Sets how many attempts were made.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// Adds a context pair. Values are shown in `Display`: never put a secret here.
    pub fn with_context(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.0.context.push((key.into(), value.into()));
        self
    }

    /// Sets the underlying error.
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong. Prefer [`is_a`](Self::is_a) for decisions.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the error is of `kind`, or of one that belongs to it. A timeout while connecting is also a
    /// [`ErrorKind::Connection`] error, and a rate limit that came as a status is also a [`ErrorKind::Status`] error.
    pub fn is_a(&self, kind: ErrorKind) -> bool {
        self.0.kind.is_a(kind)
            || (kind == ErrorKind::Connection
                && self.0.kind == ErrorKind::Timeout
                && self.0.phase == Some(Phase::Connect))
            || (kind == ErrorKind::Status && self.0.status.is_some())
    }

    /// The operation that failed (`http.request`).
    pub fn operation(&self) -> &str {
        &self.0.operation
    }

    /// The message without operation, kind and context.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The phase in which a deadline passed.
    pub fn phase(&self) -> Option<Phase> {
        self.0.phase
    }

    /// Whether and when a retry makes sense.
    pub fn retryability(&self) -> Retryability {
        self.0.retryability
    }

    /// Whether the peer may have seen the request.
    pub fn send_state(&self) -> SendState {
        self.0.send_state
    }

    /// The status code of the peer's answer, if it gave one (HTTP).
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// How many attempts were made; 1 where nothing retried.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The context pairs, in the order in which they were added.
    pub fn context(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.context.iter().map(|(key, value)| (key.as_ref(), value.as_str()))
    }

    /// The field that an [`ErrorKind::InvalidInput`] error names.
    pub fn field(&self) -> Option<&str> {
        self.context().find(|(key, _)| *key == "field").map(|(_, value)| value)
    }

    /// Puts `prefix.` before the field that an [`ErrorKind::InvalidInput`] error names: a nested configuration reports
    /// the whole path.
    pub fn in_field(mut self, prefix: &str) -> Self {
        for (key, value) in &mut self.0.context {
            if key == "field" {
                *value = format!("{prefix}.{value}");
            }
        }
        self
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
        write!(f, "{operation}: {kind}")?;
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
        self.0.source.as_deref().map(|source| source as _)
    }
}
