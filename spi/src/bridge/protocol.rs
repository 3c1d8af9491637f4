//! The protocols of endpoints.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{NetworkError, Result};

/// The maximum length of the name of a protocol, in bytes.
const MAX_LENGTH: usize = 64;

const RULE: &str =
    "must have 1 to 64 characters: a lower-case letter, then lower-case letters, digits, '+', '-' and '.'";

/// The protocol of an endpoint.
///
/// Endpoints with their own protocol have a name for it:
///
/// ```
/// use networking_spi::bridge::{BridgeProtocol, ProtocolName};
///
/// const AMQP: BridgeProtocol = BridgeProtocol::Other(ProtocolName::from_static("amqp"));
///
/// assert_eq!(AMQP.to_string(), "amqp");
/// assert_eq!("amqp".parse::<BridgeProtocol>()?, AMQP);
/// assert_eq!("kafka".parse::<BridgeProtocol>()?, BridgeProtocol::Kafka);
/// # Ok::<_, networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum BridgeProtocol {
    /// HTTP.
    Http,
    /// Kafka.
    Kafka,
    /// WebSocket.
    WebSocket,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// In memory, in the same process.
    Memory,
    /// Another one, by its name.
    Other(ProtocolName),
}

impl BridgeProtocol {
    /// Every protocol that has its own variant.
    pub const NAMED: &'static [Self] = &[
        Self::Http,
        Self::Kafka,
        Self::WebSocket,
        Self::Tcp,
        Self::Udp,
        Self::Memory,
    ];

    /// The stable name, which is used in messages, logs, metrics and configuration files.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Http => "http",
            Self::Kafka => "kafka",
            Self::WebSocket => "websocket",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Memory => "memory",
            Self::Other(name) => name.as_str(),
        }
    }

    /// The variant with this name, besides `Other`.
    fn named(name: &str) -> Option<Self> {
        Self::NAMED.iter().find(|protocol| protocol.as_str() == name).cloned()
    }
}

impl fmt::Display for BridgeProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for BridgeProtocol {
    type Err = NetworkError;

    /// The variant with this name, or [`Other`](Self::Other).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a text that is not a [`ProtocolName`].
    fn from_str(text: &str) -> Result<Self> {
        Self::named(text).map_or_else(|| ProtocolName::new(text.to_owned()).map(Self::Other), Ok)
    }
}

impl From<ProtocolName> for BridgeProtocol {
    fn from(name: ProtocolName) -> Self {
        Self::Other(name)
    }
}

impl Serialize for BridgeProtocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for BridgeProtocol {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .map_err(|error: NetworkError| serde::de::Error::custom(error.message()))
    }
}

/// The name of a protocol that [`BridgeProtocol`] has no variant for. It is written like the scheme of a URL (RFC 3986, section
/// 3.1) in lower case: a letter, then letters, digits, `+`, `-` and `.`, up to 64 characters.
///
/// A name of one of the variants (`http`) is not a value of this type, so that each protocol has one representation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProtocolName(Cow<'static, str>);

impl ProtocolName {
    /// A name that is known when the program runs.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) with the field `protocol` for a name that is not valid, or that is the name of
    /// a variant of [`BridgeProtocol`].
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if !is_valid(&name) {
            return Err(NetworkError::invalid_input("protocol", RULE));
        }
        if is_taken(&name) {
            return Err(NetworkError::invalid_input(
                "protocol",
                format!("{name:?} has its own variant"),
            ));
        }
        Ok(Self(Cow::Owned(name)))
    }

    /// A name that is known when the program is compiled.
    ///
    /// # Panics
    /// If [`new`](Self::new) refuses the name. In a constant, this is an error of the compiler.
    pub const fn from_static(name: &'static str) -> Self {
        assert!(is_valid(name), "the name of a protocol is not valid");
        assert!(!is_taken(name), "the protocol has its own variant");
        Self(Cow::Borrowed(name))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProtocolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for ProtocolName {
    type Err = NetworkError;

    /// Like [`new`](Self::new).
    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

const fn is_valid(name: &str) -> bool {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes.len() > MAX_LENGTH || !bytes[0].is_ascii_lowercase() {
        return false;
    }
    let mut index = 1;
    while index < bytes.len() {
        let allowed = matches!(bytes[index], b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
        if !allowed {
            return false;
        }
        index += 1;
    }
    true
}

const fn is_taken(name: &str) -> bool {
    matches!(
        name.as_bytes(),
        b"http" | b"kafka" | b"websocket" | b"tcp" | b"udp" | b"memory"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn names_of_variants_are_taken_and_parse_as_their_variants() {
        for protocol in BridgeProtocol::NAMED {
            let name = protocol.as_str();
            assert!(is_taken(name) && is_valid(name), "{name}");
            assert_eq!(name.parse::<BridgeProtocol>().unwrap(), *protocol);
            let error = ProtocolName::new(name).unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidInput, Some("protocol"))
            );
        }
    }

    const NATS: BridgeProtocol = BridgeProtocol::Other(ProtocolName::from_static("nats"));

    #[test]
    fn other_protocols_round_trip() {
        let longest = "a".repeat(MAX_LENGTH);
        for name in ["amqp", "x", "mqtt-5.0", "coap+tcp", "h2c", "https", longest.as_str()] {
            let protocol: BridgeProtocol = name.parse().unwrap();
            assert!(matches!(&protocol, BridgeProtocol::Other(other) if other.as_str() == name));
            assert_eq!((protocol.as_str(), protocol.to_string().as_str()), (name, name));
            let json = serde_json::to_string(&protocol).unwrap();
            assert_eq!(json, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<BridgeProtocol>(&json).unwrap(), protocol);
            assert_eq!(BridgeProtocol::from(name.parse::<ProtocolName>().unwrap()), protocol);
        }
        assert_eq!("nats".parse::<BridgeProtocol>().unwrap(), NATS);
        assert_eq!(format!("[{NATS:>6}]"), "[  nats]");
    }

    #[test]
    fn invalid_names_are_refused() {
        let long = "a".repeat(MAX_LENGTH + 1);
        for name in [
            "",
            " ",
            "HTTP",
            "Amqp",
            "1wire",
            "-a",
            "+a",
            ".a",
            "a b",
            "a/b",
            "a_b",
            "a:",
            "\u{e4}mqp",
            "a\0",
            "a\n",
            long.as_str(),
        ] {
            let error = name.parse::<BridgeProtocol>().unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidInput, Some("protocol")),
                "{name:?}"
            );
            let json = serde_json::to_string(name).unwrap();
            let error = serde_json::from_str::<BridgeProtocol>(&json).unwrap_err().to_string();
            assert!(error.contains("lower-case letter"), "{error}");
        }
    }

    #[test]
    #[should_panic(expected = "its own variant")]
    fn a_constant_name_cannot_be_that_of_a_variant() {
        let _ = ProtocolName::from_static("http");
    }
}
