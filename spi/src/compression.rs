//! Content codings of HTTP bodies. For the compression of Kafka's record batches, see
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
        /// The content coding `deflate`: DEFLATE data in the zlib format, RFC 1950 (RFC 9110, section 8.4.1.2).
        Deflate => "deflate",
        /// Brotli, RFC 7932.
        Brotli => "brotli",
        /// Zstandard, RFC 8878.
        Zstd => "zstd",
    }
}

impl CompressionType {
    /// The token for `Content-Encoding`; `None` for no compression.
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
