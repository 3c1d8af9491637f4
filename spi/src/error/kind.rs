//! Kinds of errors, and phases of timeouts.

use crate::names::name_enum;

name_enum! {
    /// The kind of an error. Kinds differ where callers may want to act differently.
    ///
    /// Kinds form a hierarchy, see [`ErrorKind::parent`]: a DNS failure is also a connection failure.
    /// [`NetworkError::is_a`](crate::NetworkError::is_a) follows it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum ErrorKind {
        /// An argument or a configuration value is invalid; the error names the field. Nothing was sent.
        InvalidInput => "invalid_input",
        /// The backend does not support the operation or option. Its `capabilities()` declare that beforehand.
        Unsupported => "unsupported",
        /// There is no usable connection to the peer.
        Connection => "connection",
        /// The peer refused the connection, or there is no route to it.
        ConnectionRefused => "connection_refused",
        /// The peer closed or reset a connection that was in use.
        ConnectionClosed => "connection_closed",
        /// A host name could not be resolved.
        Dns => "dns",
        /// The TLS handshake failed: the certificate is untrusted, expired or for another name, or the sides support no
        /// common parameters.
        Tls => "tls",
        /// The proxy refused the connection, failed, or requires credentials.
        Proxy => "proxy",
        /// A time limit was exceeded; [`NetworkError::phase`](crate::NetworkError::phase) has the phase.
        Timeout => "timeout",
        /// The peer violated the protocol.
        Protocol => "protocol",
        /// The body ended before its announced length.
        TruncatedBody => "truncated_body",
        /// Data could not be decoded (JSON, text, a content coding, a schema).
        Decode => "decode",
        /// Data could not be encoded.
        Encode => "encode",
        /// A size limit was exceeded.
        TooLarge => "too_large",
        /// Too many redirects, a redirect loop, or a forbidden redirect.
        Redirect => "redirect",
        /// The peer responded with an error status; [`NetworkError::status`](crate::NetworkError::status) has it.
        Status => "status",
        /// The peer or a local rate limiter limited the rate of requests.
        RateLimited => "rate_limited",
        /// Credentials are missing, wrong or expired.
        Authentication => "authentication",
        /// The credentials are valid, but do not permit the operation.
        PermissionDenied => "permission_denied",
        /// The named resource does not exist.
        NotFound => "not_found",
        /// The named resource already exists.
        AlreadyExists => "already_exists",
        /// The operation conflicts with the current state (a rebalance, a newer generation, a fenced producer).
        Conflict => "conflict",
        /// The circuit breaker rejected the call. The operation was not started.
        CircuitOpen => "circuit_open",
        /// A bounded local resource is exhausted (a queue, a pool, a registry).
        Exhausted => "exhausted",
        /// The handle or the client was closed.
        Closed => "closed",
        /// The caller or a shutdown cancelled the operation.
        Cancelled => "cancelled",
        /// An interceptor, classifier or callback of the application rejected the call.
        Rejected => "rejected",
        /// The client's configuration forbids this destination. Nothing was sent.
        DestinationDenied => "destination_denied",
        /// A schema is not compatible with earlier versions.
        Incompatible => "incompatible",
        /// The peer reported a failure that fits no other kind.
        Remote => "remote",
        /// A bug in the backend, or a panic of application code.
        Internal => "internal",
    }
}

impl ErrorKind {
    /// The more general kind that this one belongs to, if any.
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
}

name_enum! {
    /// The phase in which a time limit was exceeded.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum Phase {
        /// Waiting for a local resource: a rate-limit permit, a connection of the pool, a place in a queue.
        Queue => "queue",
        /// Opening the connection, including name resolution and the TLS handshake.
        Connect => "connect",
        /// Sending the request.
        Write => "write",
        /// Waiting for the response, or for the next bytes of its body.
        Read => "read",
        /// One whole attempt.
        Attempt => "attempt",
        /// The whole operation, including all attempts and waits.
        Total => "total",
    }
}
