//! Content codings of HTTP bodies. The record batches of Kafka have their own codings:
//! [`KafkaCompression`](crate::kafka::KafkaCompression).

use crate::names::named_enum;

named_enum! {
    "compression",
    /// A content coding of an HTTP body.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum CompressionType {
        /// No compression.
        #[default]
        None => "none",
        /// gzip, RFC 1952.
        Gzip => "gzip",
        /// Deflate in the zlib format, RFC 1950: the coding `deflate` of HTTP (RFC 9110, section 8.4.1.2).
        Deflate => "deflate",
        /// Brotli, RFC 7932.
        Brotli => "brotli",
        /// Zstandard, RFC 8878.
        Zstd => "zstd",
    }
}

impl CompressionType {
    /// The token in `Content-Encoding`; `None` for no compression.
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
