//! Compression codings shared by HTTP and Kafka.

use crate::names::named_enum;

named_enum! {
    "compression",
    /// A compression coding.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum CompressionType {
        /// No compression.
        #[default]
        None => "none",
        /// gzip, RFC 1952.
        Gzip => "gzip",
        /// zlib-wrapped deflate, RFC 1950: what HTTP calls `deflate` (RFC 9110, section 8.4.1.2).
        Deflate => "deflate",
        /// Brotli, RFC 7932.
        Brotli => "brotli",
        /// Zstandard, RFC 8878.
        Zstd => "zstd",
    }
}

impl CompressionType {
    /// The token of HTTP's `Content-Encoding`, `None` for the identity coding.
    pub const fn content_coding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Deflate => Some("deflate"),
            Self::Brotli => Some("br"),
            Self::Zstd => Some("zstd"),
        }
    }
}
