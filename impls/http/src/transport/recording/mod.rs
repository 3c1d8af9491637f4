//! Recording exchanges to a file, and replaying them, for tests.
//!
//! Record once against the real service, review the file, and keep it next to the test. The test then needs no network:
//!
//! ```no_run
//! use networking_http::recording::{Cassette, CassetteConfig, CassetteMode, RecordingClient};
//! use networking_http::{HttpClientBuilder, TransportConfig, ReqwestTransport};
//! use networking_spi::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), NetworkError> {
//! // CassetteMode::Record, the first time.
//! let cassette = Cassette::open("tests/users.json", CassetteMode::Replay, CassetteConfig::new()).await?;
//! let transport = ReqwestTransport::new(TransportConfig::default())?;
//! let http = HttpClientBuilder::over(RecordingClient::new(transport, cassette.clone())).build()?;
//!
//! assert_eq!(http.get("https://api.example.com/users/7").await?.status, 200);
//! cassette.verify_all_used()?;
//! # Ok(()) }
//! ```
//!
//! | type | purpose |
//! |---|---|
//! | [`Cassette`] | recorded exchanges and their file |
//! | [`RecordingClient`] | records exchanges, or answers from the cassette |
//! | [`ReplayClient`] | answers from the cassette, without a transport |
//!
//! # Contents of the file
//!
//! Readable JSON: method, URL, headers and body of the request; status, headers and body of the response. UTF-8 bodies are text,
//! others are in base64. Secrets are replaced by `[redacted]` before an exchange is recorded, see [`CassetteConfig`]; review the
//! file before you share it. Requests are compared after redaction, so that a test may use other credentials than the recording.

mod cassette;
mod client;
mod config;
mod exchange;
mod file;
mod matching;
mod redaction;

pub use self::cassette::Cassette;
pub use self::client::{RecordingClient, ReplayClient};
pub use self::config::{CassetteConfig, CassetteMode};
pub use self::exchange::{RecordedBody, RecordedExchange, RecordedHeaders, RecordedRequest, RecordedResponse};
