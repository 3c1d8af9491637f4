//! The keys of the context pairs of a [`NetworkError`](crate::NetworkError).
//!
//! These are the keys that more than one crate sets or reads. A backend may add keys: with
//! [`ContextKey::new`] as a constant, or as a plain string.
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
    /// A key. Names are in lower case.
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// The key as it is shown in messages.
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
    /// The index of the request of a batch that failed, from 0.
    BATCH_INDEX = "batch_index";
    /// The name or id of a bridge.
    BRIDGE = "bridge";
    /// A size in bytes.
    BYTES = "bytes";
    /// The capability that is missing from `capabilities()`.
    CAPABILITY = "capability";
    /// The name of a circuit.
    CIRCUIT = "circuit";
    /// The claim of a token that is missing or wrong.
    CLAIM = "claim";
    /// A content coding.
    CODING = "coding";
    /// The `Content-Range` of a response.
    CONTENT_RANGE = "content-range";
    /// The `Content-Type` of a response.
    CONTENT_TYPE = "content-type";
    /// The error code of an OAuth 2 server (RFC 6749, section 5.2).
    ERROR = "error";
    /// The type of a server-sent event.
    EVENT = "event";
    /// The cargo feature that brings a capability that was not built in.
    FEATURE = "feature";
    /// The configuration field or argument that is wrong, as a path (`retry.max_attempts`).
    FIELD = "field";
    /// A file.
    FILE = "file";
    /// A consumer group.
    GROUP = "group";
    /// The host of the peer, with its port where that is not the default.
    HOST = "host";
    /// The limit that was exceeded.
    LIMIT = "limit";
    /// The method of a request.
    METHOD = "method";
    /// The number of a partition.
    PARTITION = "partition";
    /// The path of a file.
    PATH = "path";
    /// Why, as a short stable name (`expired`, `audience`) or in the words of the peer.
    REASON = "reason";
    /// A setting of a backend, by the backend's name for it.
    SETTING = "setting";
    /// A subject of a schema registry.
    SUBJECT = "subject";
    /// The target of a delivery.
    TARGET = "target";
    /// A topic.
    TOPIC = "topic";
    /// A URL without its secrets.
    URL = "url";
}
