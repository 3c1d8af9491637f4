//! The keys of the context pairs of a [`NetworkError`](crate::NetworkError).
//!
//! These are the keys that more than one crate sets or reads. Backends may use other keys: constants made with
//! [`ContextKey::new`], or plain strings.
//!
//! ```
//! use networking_spi::error::context::{self, ContextKey};
//! use networking_spi::{ErrorKind, NetworkError};
//!
//! const TENANT: ContextKey = ContextKey::new("tenant");
//!
//! let error = NetworkError::new(ErrorKind::NotFound, "kafka.topic_metadata", "no such topic")
//!     .with_context(context::TOPIC, "orders")
//!     .with_context(TENANT, "acme")
//!     .with_context("region", "eu-1");
//! assert_eq!(error.get(context::TOPIC), Some("orders"));
//! assert_eq!(error.get(TENANT), Some("acme"));
//! assert_eq!(error.get("region"), Some("eu-1"));
//! assert_eq!(error.get(context::HOST), None);
//! ```

use std::borrow::Cow;
use std::fmt;

/// The name of a context pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContextKey(&'static str);

impl ContextKey {
    /// Creates a key. Write its name in lower case.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The name of the key, as messages show it.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl AsRef<str> for ContextKey {
    fn as_ref(&self) -> &str {
        self.0
    }
}

impl From<ContextKey> for Cow<'static, str> {
    fn from(key: ContextKey) -> Self {
        Self::Borrowed(key.0)
    }
}

impl fmt::Display for ContextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

macro_rules! context_keys {
    ($($(#[$doc:meta])* $constant:ident = $name:literal;)+) => {
        $($(#[$doc])* pub const $constant: ContextKey = ContextKey::new($name);)+

        /// Every key of this module, in alphabetical order.
        pub const ALL: &[ContextKey] = &[$($constant),+];
    };
}

context_keys! {
    /// A local address that could not be bound.
    ADDRESS = "address";
    /// The length in bytes that the peer announced.
    ANNOUNCED = "announced";
    /// The index of the failed request in its batch, from 0.
    BATCH_INDEX = "batch_index";
    /// The name or id of a bridge.
    BRIDGE = "bridge";
    /// A size in bytes.
    BYTES = "bytes";
    /// The capability that is missing from `capabilities()`.
    CAPABILITY = "capability";
    /// A charset.
    CHARSET = "charset";
    /// The name of a circuit.
    CIRCUIT = "circuit";
    /// The claim of a token that is missing or wrong.
    CLAIM = "claim";
    /// A content coding.
    CODING = "coding";
    /// The column at which a document is wrong, from 1.
    COLUMN = "column";
    /// The `Content-Range` of a response.
    CONTENT_RANGE = "content-range";
    /// The `Content-Type` of a response.
    CONTENT_TYPE = "content-type";
    /// The peer's description of its error. Of an OAuth 2 server: `error_description` (RFC 6749, section 5.2).
    DESCRIPTION = "description";
    /// The error code of an OAuth 2 server (RFC 6749, section 5.2).
    ERROR = "error";
    /// The `error_uri` of an OAuth 2 server (RFC 6749, section 5.2).
    ERROR_URI = "error_uri";
    /// The type of a server-sent event.
    EVENT = "event";
    /// The cargo feature that adds a capability which this build lacks.
    FEATURE = "feature";
    /// The invalid configuration field or argument, as a path (`retry.max_attempts`).
    FIELD = "field";
    /// A file.
    FILE = "file";
    /// A consumer group.
    GROUP = "group";
    /// The host of the peer, with the port if it is not the default one.
    HOST = "host";
    /// The HTTP/2 error code of a reset or of the end of a connection, by its name (`REFUSED_STREAM`; RFC 9113, section 7).
    HTTP2_ERROR = "http2_error";
    /// The limit that was exceeded.
    LIMIT = "limit";
    /// The line on which a document is wrong, from 1.
    LINE = "line";
    /// The method of a request.
    METHOD = "method";
    /// The number of a partition.
    PARTITION = "partition";
    /// The path of a file.
    PATH = "path";
    /// The title of the problem that a server reports (RFC 9457, section 3.1.3).
    PROBLEM = "problem";
    /// The reason: a short stable name (`expired`, `audience`), or the peer's text.
    REASON = "reason";
    /// A setting, under the name that the backend or the options give it.
    SETTING = "setting";
    /// The status of a response that is no error status (`200`). Error statuses are
    /// [`NetworkError::status`](crate::NetworkError::status).
    STATUS = "status";
    /// A subject of a schema registry.
    SUBJECT = "subject";
    /// The target of a delivery.
    TARGET = "target";
    /// A topic.
    TOPIC = "topic";
    /// What to do with a transaction, see [`TransactionRemedy`](crate::kafka::TransactionRemedy).
    TRANSACTION = "transaction";
    /// A URL without its secrets.
    URL = "url";
}
