//! Close frames.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::validate::{self, Validate};

/// The code and reason with which a connection is closed.
///
/// Exhaustive on purpose: RFC 6455 defines these two values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseFrame {
    /// The status code (RFC 6455, section 7.4, and the registry of IANA). Of a received frame it is the code that the peer
    /// sent, even if a peer must not send it.
    pub code: u16,
    /// A short text, at most [`MAX_REASON`](Self::MAX_REASON) bytes.
    pub reason: String,
}

impl CloseFrame {
    /// 1000: normal closure.
    pub const NORMAL: u16 = 1000;
    /// 1001: the endpoint is going away (a server shuts down, a page is left).
    pub const GOING_AWAY: u16 = 1001;
    /// 1002: a protocol error.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// 1003: a message of a type that the endpoint does not accept.
    pub const UNSUPPORTED_DATA: u16 = 1003;
    /// 1007: a text message was not UTF-8.
    pub const INVALID_DATA: u16 = 1007;
    /// 1008: a message violated the endpoint's policy.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// 1009: a message was too big.
    pub const TOO_BIG: u16 = 1009;
    /// 1010: the server did not accept an extension that the client needs.
    pub const MANDATORY_EXTENSION: u16 = 1010;
    /// 1011: an internal error of the endpoint.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// 1012: the service restarts; the peer may reconnect.
    pub const SERVICE_RESTART: u16 = 1012;
    /// 1013: the endpoint is overloaded; the peer may reconnect later.
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// 1014: a gateway got an invalid answer from its server; the peer may reconnect.
    pub const BAD_GATEWAY: u16 = 1014;
    /// The maximum length of [`reason`](Self::reason), in bytes.
    pub const MAX_REASON: usize = 123;

    /// Normal closure (1000) without a reason.
    pub fn normal() -> Self {
        Self::new(Self::NORMAL, "")
    }

    /// A close frame.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

impl Validate for CloseFrame {
    /// Codes 1000 to 1003, 1007 to 1014, and 3000 to 4999 may be sent.
    fn validate(&self) -> Result<()> {
        validate::ensure(
            matches!(self.code, 1000..=1003 | 1007..=1014 | 3000..=4999),
            "code",
            "must be 1000 to 1003, 1007 to 1014, or 3000 to 4999",
        )?;
        validate::ensure(
            self.reason.len() <= Self::MAX_REASON,
            "reason",
            "must have at most 123 bytes",
        )
    }
}
