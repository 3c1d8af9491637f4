//! Recorded exchanges and their file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use networking_spi::http::{HttpRequest, HttpResponse};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use parking_lot::Mutex;

use super::file;
use super::{CassetteConfig, CassetteMode, RecordedExchange, RecordedRequest, RecordedResponse};

/// Recorded exchanges and their file. Clones share both.
#[derive(Clone)]
pub struct Cassette(Arc<Inner>);

struct Inner {
    path: PathBuf,
    mode: CassetteMode,
    config: CassetteConfig,
    tape: Mutex<Vec<Entry>>,
    /// Held while the file is written, so that an older state never replaces a newer one.
    writing: tokio::sync::Mutex<()>,
}

struct Entry {
    exchange: Arc<RecordedExchange>,
    uses: u64,
    /// Recorded in this run: written to the file, but not used for replies.
    is_new: bool,
}

impl Cassette {
    /// Opens a cassette. In the mode [`Record`](CassetteMode::Record), the first exchange replaces the file; until then it is
    /// unchanged.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no file to replay; [`InvalidInput`](ErrorKind::InvalidInput), naming the
    /// field, for a file that is not a cassette and for an invalid configuration.
    pub async fn open(path: impl Into<PathBuf>, mode: CassetteMode, config: CassetteConfig) -> Result<Self> {
        config.validate()?;
        let path = path.into();
        let exchanges = if mode == CassetteMode::Record {
            Vec::new()
        } else {
            let file = path.clone();
            match blocking(move || file::read(&file)).await? {
                Some(exchanges) => exchanges,
                None if mode == CassetteMode::RecordMissing => Vec::new(),
                None => return Err(NetworkError::not_found("http.replay", "cassette", path.display())),
            }
        };
        let tape = exchanges
            .into_iter()
            .map(|exchange| Entry {
                exchange: Arc::new(exchange),
                uses: 0,
                is_new: false,
            })
            .collect();
        Ok(Self(Arc::new(Inner {
            path,
            mode,
            config,
            tape: Mutex::new(tape),
            writing: tokio::sync::Mutex::new(()),
        })))
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The mode.
    pub fn mode(&self) -> CassetteMode {
        self.0.mode
    }

    /// All exchanges: those from the file, and those recorded since.
    pub fn exchanges(&self) -> Vec<Arc<RecordedExchange>> {
        self.0
            .tape
            .lock()
            .iter()
            .map(|entry| Arc::clone(&entry.exchange))
            .collect()
    }

    /// The exchanges from the file that no request has used.
    pub fn unused(&self) -> Vec<Arc<RecordedExchange>> {
        let tape = self.0.tape.lock();
        let unused = tape.iter().filter(|entry| entry.uses == 0 && !entry.is_new);
        unused.map(|entry| Arc::clone(&entry.exchange)).collect()
    }

    /// Fails if an exchange from the file was not used. Call it at the end of a test.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) listing the first 10 unused exchanges.
    pub fn verify_all_used(&self) -> Result<()> {
        let unused = self.unused();
        if unused.is_empty() {
            return Ok(());
        }
        let listed: Vec<String> = unused
            .iter()
            .take(10)
            .map(|exchange| format!("{} {}", exchange.request.method, exchange.request.url))
            .collect();
        Err(NetworkError::new(
            ErrorKind::NotFound,
            "http.replay",
            format!("{} recordings were not used", unused.len()),
        )
        .with_context("unused", listed.join("; ")))
    }

    pub(super) fn max_body_size(&self) -> usize {
        self.0.config.max_body_size
    }

    /// A request in the form in which requests are recorded and compared.
    pub(super) fn recorded(&self, request: &HttpRequest, body: &Bytes) -> Result<RecordedRequest> {
        let url = self.0.config.redacted_url(request.target.url()?);
        let mut recorded = RecordedRequest::new(request, url, body);
        self.0.config.redact_request(&mut recorded, &request.headers);
        Ok(recorded)
    }

    /// Returns the next recording for a request, and marks it as used.
    pub(super) fn play(&self, request: &RecordedRequest) -> Option<Result<HttpResponse>> {
        let config = &self.0.config;
        let mut tape = self.0.tape.lock();
        let matching = |entry: &&mut Entry| !entry.is_new && config.matches(&entry.exchange.request, request);
        let next = match tape.iter_mut().filter(|entry| entry.uses == 0).find(matching) {
            None if config.allow_repeats => tape.iter_mut().rev().find(matching),
            next => next,
        };
        let entry = next?;
        entry.uses += 1;
        Some(entry.exchange.response.to_http(request.method == "HEAD"))
    }

    /// The error for a request without a recording.
    pub(super) fn nothing_for(&self, request: &RecordedRequest) -> NetworkError {
        let tape = self.0.tape.lock();
        let recordings = tape
            .iter()
            .filter(|entry| !entry.is_new)
            .map(|entry| (&entry.exchange.request, entry.uses > 0));
        let nearest = match self.0.config.nearest(request, recordings) {
            nearest if nearest.is_empty() => "none".to_owned(),
            nearest => nearest,
        };
        NetworkError::new(
            ErrorKind::NotFound,
            "http.replay",
            format!("no recording is left for {} {}", request.method, request.url),
        )
        .with_send_state(SendState::NotSent)
        .with_context("cassette", self.0.path.display().to_string())
        .with_context("nearest", nearest)
    }

    /// The recorded form of a response, whose body has been read.
    pub(super) fn recorded_response(&self, response: &HttpResponse, body: &Bytes) -> RecordedResponse {
        let mut recorded = RecordedResponse::new(response, body);
        self.0.config.redact_response(&mut recorded, response);
        recorded
    }

    /// Adds an exchange and writes the file.
    pub(super) async fn record(&self, request: RecordedRequest, response: RecordedResponse) -> Result<()> {
        let exchange = RecordedExchange { request, response };
        {
            let mut tape = self.0.tape.lock();
            if tape.len() >= self.0.config.max_exchanges {
                return Err(
                    NetworkError::new(ErrorKind::Exhausted, "http.record", "the cassette is full")
                        .with_context("max_exchanges", self.0.config.max_exchanges.to_string()),
                );
            }
            tape.push(Entry {
                exchange: Arc::new(exchange),
                uses: 0,
                is_new: true,
            });
        }
        let _turn = self.0.writing.lock().await;
        let exchanges = self.exchanges();
        let path = self.0.path.clone();
        blocking(move || {
            let exchanges: Vec<&RecordedExchange> = exchanges.iter().map(Arc::as_ref).collect();
            file::write(&path, &exchanges)
        })
        .await
    }
}

async fn blocking<V: Send + 'static>(work: impl FnOnce() -> Result<V> + Send + 'static) -> Result<V> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|failure| match failure.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        Err(_) => Err(NetworkError::closed("http.record", "the runtime")),
    })
}

impl fmt::Debug for Cassette {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cassette")
            .field("path", &self.0.path)
            .field("mode", &self.0.mode)
            .field("exchanges", &self.0.tape.lock().len())
            .finish_non_exhaustive()
    }
}
