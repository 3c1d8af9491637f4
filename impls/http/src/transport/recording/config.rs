//! The configuration of cassettes: what is recorded, and how recordings are selected.

use std::fmt;
use std::sync::Arc;

use networking_spi::Result;
use networking_spi::validate::{self, Validate};

use super::{RecordedRequest, RecordedResponse};

/// What a [`Cassette`](super::Cassette) does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CassetteMode {
    /// Answers from the file, which must exist. No request is sent.
    Replay,
    /// Sends every request, and replaces the file.
    Record,
    /// Answers from the file if it has a recording; sends and records other requests.
    RecordMissing,
}

type RequestFilter = Arc<dyn Fn(&mut RecordedRequest) + Send + Sync>;
type ResponseFilter = Arc<dyn Fn(&mut RecordedResponse) + Send + Sync>;
type Matcher = Arc<dyn Fn(&RecordedRequest, &RecordedRequest) -> bool + Send + Sync>;

/// The configuration of a [`Cassette`](super::Cassette): what it records, and how it selects recordings.
///
/// The following values are replaced by `[redacted]` before an exchange is recorded:
///
/// * headers: those that hold secrets (`Authorization`, `Cookie`, `Set-Cookie`, API keys, ...), those whose value is marked
///   sensitive, and [`redact_header`](Self::redact_header);
/// * in URLs: user information, parameters whose names indicate a secret (`access_token`, `signature`, ...), and
///   [`redact_query`](Self::redact_query);
/// * in JSON and form bodies: fields whose names indicate a secret, at any depth (in JSON only strings and lists of strings, not
///   numbers), and [`redact_field`](Self::redact_field). A JSON body in which a value is replaced is reformatted;
/// * values that [`filter_request`](Self::filter_request) and [`filter_response`](Self::filter_response) replace.
///
/// By default, a recording matches requests with the same method, URL and body, and is used once, in the order of the file.
///
/// ```
/// use networking_http::recording::CassetteConfig;
///
/// let config = CassetteConfig::new()
///     .redact_header("x-tenant")
///     .redact_field("email")
///     .filter_response(|response| { response.headers.0.remove("date"); })
///     .match_header("accept")
///     .allow_repeats(true);
/// ```
#[derive(Clone)]
#[must_use = "a configuration has no effect unless a cassette is opened with it"]
pub struct CassetteConfig {
    pub(super) headers: Vec<String>,
    pub(super) query: Vec<String>,
    pub(super) fields: Vec<String>,
    pub(super) request_filter: Option<RequestFilter>,
    pub(super) response_filter: Option<ResponseFilter>,
    pub(super) match_body: bool,
    pub(super) match_headers: Vec<String>,
    pub(super) matcher: Option<Matcher>,
    pub(super) allow_repeats: bool,
    pub(super) max_body_size: usize,
    pub(super) max_exchanges: usize,
}

impl Default for CassetteConfig {
    /// At most 1 MiB per body, and at most 1 000 exchanges.
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            query: Vec::new(),
            fields: Vec::new(),
            request_filter: None,
            response_filter: None,
            match_body: true,
            match_headers: Vec::new(),
            matcher: None,
            allow_repeats: false,
            max_body_size: 1 << 20,
            max_exchanges: 1_000,
        }
    }
}

impl CassetteConfig {
    /// The default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Redacts the values of a header in requests and responses.
    pub fn redact_header(mut self, name: impl AsRef<str>) -> Self {
        self.headers.push(name.as_ref().to_ascii_lowercase());
        self
    }

    /// Redacts the values of a query parameter.
    pub fn redact_query(mut self, name: impl Into<String>) -> Self {
        self.query.push(name.into());
        self
    }

    /// Redacts a field of JSON and form bodies, at any depth.
    pub fn redact_field(mut self, name: impl Into<String>) -> Self {
        self.fields.push(name.into());
        self
    }

    /// Changes requests before they are recorded or compared. It runs after the other redactions, and must be deterministic.
    pub fn filter_request(mut self, filter: impl Fn(&mut RecordedRequest) + Send + Sync + 'static) -> Self {
        self.request_filter = Some(Arc::new(filter));
        self
    }

    /// Changes responses before they are recorded, after the other redactions. The caller gets the unchanged response.
    pub fn filter_response(mut self, filter: impl Fn(&mut RecordedResponse) + Send + Sync + 'static) -> Self {
        self.response_filter = Some(Arc::new(filter));
        self
    }

    /// Sets whether bodies must be equal. JSON bodies are compared by value.
    pub fn match_body(mut self, matches: bool) -> Self {
        self.match_body = matches;
        self
    }

    /// Adds a header whose values must be equal.
    pub fn match_header(mut self, name: impl AsRef<str>) -> Self {
        self.match_headers.push(name.as_ref().to_ascii_lowercase());
        self
    }

    /// Replaces the comparison with a function that compares the recorded request (first argument) with the actual request.
    pub fn match_with(
        mut self,
        matcher: impl Fn(&RecordedRequest, &RecordedRequest) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.matcher = Some(Arc::new(matcher));
        self
    }

    /// Sets whether the last matching recording is repeated when all matching ones have been used.
    pub fn allow_repeats(mut self, allow: bool) -> Self {
        self.allow_repeats = allow;
        self
    }

    /// Sets the size of the largest body of requests and responses, in bytes. With a larger body, the request fails with
    /// `TooLarge`.
    pub fn max_body_size(mut self, bytes: usize) -> Self {
        self.max_body_size = bytes;
        self
    }

    /// Sets the maximum number of exchanges in a file. Further exchanges are not recorded, and their requests fail with
    /// `Exhausted`. The whole file is written for each exchange.
    pub fn max_exchanges(mut self, exchanges: usize) -> Self {
        self.max_exchanges = exchanges;
        self
    }
}

impl Validate for CassetteConfig {
    fn validate(&self) -> Result<()> {
        validate::ensure(self.max_body_size > 0, "max_body_size", "must be at least 1")?;
        validate::ensure(self.max_exchanges > 0, "max_exchanges", "must be at least 1")
    }
}

impl fmt::Debug for CassetteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CassetteConfig")
            .field("headers", &self.headers)
            .field("query", &self.query)
            .field("fields", &self.fields)
            .field("match_body", &self.match_body)
            .field("match_headers", &self.match_headers)
            .field("allow_repeats", &self.allow_repeats)
            .field("max_body_size", &self.max_body_size)
            .field("max_exchanges", &self.max_exchanges)
            .finish_non_exhaustive()
    }
}
