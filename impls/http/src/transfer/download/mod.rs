//! Resumable downloads to files.

mod part;
mod range;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderValue, StatusCode, header};
use networking_spi::clock::Clock;
use networking_spi::error::{ResultExt, context};
use networking_spi::http::{HttpBody, HttpClient, HttpRequest, HttpResponse, Method, RequestTarget, RetryPolicy};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use tokio::time::sleep;

use self::part::{Part, Validator};
use self::range::ContentRange;
use super::attempt_policy;
use crate::marks::given_up;
use networking_runtime::clock::TokioClock;

/// A resumable download to a file. It can be resumed within one call, by a later call, and by another process.
///
/// The bytes are written to `<file>.part`, and the validator of the resource to `<file>.part.json`. When the download is complete
/// and verified, the part is renamed to the file. The file is therefore never a partial download, and an existing file is kept
/// until then. A download is resumed with `Range` and `If-Range` headers and a strong validator (a strong `ETag`, or a
/// `Last-Modified` that is strong by RFC 9110, section 8.8.2.2). It starts over if there is no strong validator, if the resource
/// has changed, or if the server does not support ranges.
///
/// It works over any client, and retries by its own policy, in place of the client's: it requests the rest of a body. The client's
/// timeouts apply to each attempt, until its response head.
///
/// Cancel safety: after the future is dropped, the next call resumes with the bytes that were written. Two downloads to the same
/// file at the same time are not supported.
///
/// ```no_run
/// use networking_http::Download;
/// use networking_spi::prelude::*;
///
/// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
/// let done = Download::new("https://example.com/disk.iso", "disk.iso")
///     .with_sha256("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")?
///     .with_max_size(8 << 30)
///     .on_progress(|progress| eprintln!("{} of {:?} bytes", progress.received, progress.total))
///     .run(&http)
///     .await?;
/// println!("{} bytes, {} of them from an earlier call", done.size, done.resumed_from);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[must_use = "a download does nothing until it is run"]
pub struct Download {
    request: Head,
    path: PathBuf,
    retry: RetryPolicy,
    sha256: Option<[u8; 32]>,
    max_size: Option<u64>,
    observer: Option<Arc<dyn Fn(DownloadProgress) + Send + Sync>>,
    clock: Arc<dyn Clock>,
}

/// A request without a body.
#[derive(Clone)]
struct Head {
    target: RequestTarget,
    headers: http::HeaderMap,
    options: networking_spi::http::RequestOptions,
    extensions: http::Extensions,
}

/// The progress of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DownloadProgress {
    /// Bytes in the part, including those of earlier calls. 0 when the download starts over.
    pub received: u64,
    /// The size of the whole file in bytes, if known.
    pub total: Option<u64>,
    /// Bytes in the part when the current attempt started.
    pub resumed_from: u64,
}

/// A finished download.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Downloaded {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Bytes from earlier calls that were kept.
    pub resumed_from: u64,
    /// The number of attempts.
    pub attempts: u32,
}

impl Download {
    /// A download of `target` to `path`: up to 10 attempts, no size limit.
    pub fn new(target: impl Into<RequestTarget>, path: impl Into<PathBuf>) -> Self {
        Self {
            request: Head {
                target: target.into(),
                headers: http::HeaderMap::new(),
                options: networking_spi::http::RequestOptions::default(),
                extensions: http::Extensions::new(),
            },
            path: path.into(),
            retry: RetryPolicy::new(10).with_delays(Duration::from_millis(200), Duration::from_secs(10)),
            sha256: None,
            max_size: None,
            observer: None,
            clock: Arc::new(TokioClock::new()),
        }
    }

    /// A download with the target, headers, options and extensions of `request`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a method other than GET, a body, and headers that the download sets
    /// (`Range`, `If-Range`, `Accept-Encoding`).
    pub fn of(request: HttpRequest, path: impl Into<PathBuf>) -> Result<Self> {
        let refused = |field: &str, message| Err(NetworkError::invalid_input(field, message));
        if request.method != Method::GET {
            return refused("method", "must be GET for a download");
        }
        if !request.body.is_empty() {
            return refused("body", "must be empty for a download");
        }
        for name in [header::RANGE, header::IF_RANGE, header::ACCEPT_ENCODING] {
            if request.headers.contains_key(&name) {
                return refused(&format!("header.{name}"), "is set by the download");
            }
        }
        let mut download = Self::new(request.target, path);
        download.request.headers = request.headers;
        download.request.options = request.options;
        download.request.extensions = request.extensions;
        Ok(download)
    }

    /// Sets the number of attempts and the delays between them. Another attempt follows a retryable error, such as a body that
    /// ended early, and a status that the policy lists. The policy's predicate takes precedence; its budget is not used.
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Sets the SHA-256 that the whole file must have, in hexadecimal.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for text that is not 64 hexadecimal digits.
    pub fn with_sha256(mut self, digest: &str) -> Result<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(digest, &mut bytes).map_err(|error| {
            NetworkError::invalid_input("sha256", "must be 64 hexadecimal digits").with_source(error)
        })?;
        self.sha256 = Some(bytes);
        Ok(self)
    }

    /// Sets the largest accepted size, in bytes.
    pub fn with_max_size(mut self, bytes: u64) -> Self {
        self.max_size = Some(bytes);
        self
    }

    /// Sets the clock that dates in `Retry-After` are compared with. The default is tokio's.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Reports the progress to `observer`: at the start and the end of each body, and in between about every 1 % of a known size
    /// (at least 64 KiB), or every 256 KiB otherwise. The observer must not block.
    pub fn on_progress(mut self, observer: impl Fn(DownloadProgress) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Runs the download.
    ///
    /// # Errors
    /// The errors of [`HttpClient::request`] and [`error_for_status`](networking_spi::http::HttpResponse::error_for_status) with
    /// the path in their context, and in addition:
    /// * [`InvalidInput`](ErrorKind::InvalidInput) for an invalid retry policy or path.
    /// * [`TooLarge`](ErrorKind::TooLarge) if the file is larger than the limit.
    /// * [`Protocol`](ErrorKind::Protocol) for a range that was not requested, a content coding, a body that is longer than
    ///   announced, a resource that changes during each attempt, or an unexpected SHA-256.
    /// * [`TruncatedBody`](ErrorKind::TruncatedBody) if the body of the last attempt ended early.
    /// * [`PermissionDenied`](ErrorKind::PermissionDenied), [`Exhausted`](ErrorKind::Exhausted) and other kinds for errors of the
    ///   file system.
    ///
    /// The part is kept for another call, unless it is too large, longer than announced, or has an unexpected SHA-256.
    pub async fn run(&self, client: &(impl HttpClient + ?Sized)) -> Result<Downloaded> {
        self.retry.validate().in_field("retry")?;
        let mut run = Run {
            download: self,
            part: Part::open(&self.path, &self.request.target).await?,
            attempts: 0,
        };
        loop {
            run.attempts += 1;
            match run.attempt(client).await {
                Ok(Outcome::Complete) => break,
                Ok(Outcome::StartAgain) if run.attempts < self.retry.max_attempts => run.part.discard().await?,
                Ok(Outcome::StartAgain) => {
                    return Err(run.named(protocol(
                        "in each attempt the resource changed, or the server answered with another range",
                    )));
                }
                Err(error) => match run.wait_after(&error) {
                    Some(wait) => sleep(wait).await,
                    None => return Err(run.named(error)),
                },
            }
        }
        let size = run.part.length();
        run.part
            .finish(self.sha256)
            .await
            .map_err(|error| error.with_attempts(run.attempts))?;
        Ok(Downloaded {
            path: self.path.clone(),
            size,
            resumed_from: run.part.kept(),
            attempts: run.attempts,
        })
    }
}

/// One call of [`Download::run`].
struct Run<'d> {
    download: &'d Download,
    part: Part,
    attempts: u32,
}

enum Outcome {
    /// The part is complete.
    Complete,
    /// The part belongs to another version of the resource, or the server does not continue it.
    StartAgain,
}

impl Run<'_> {
    async fn attempt(&mut self, client: &(impl HttpClient + ?Sized)) -> Result<Outcome> {
        let from = self.part.length();
        let request = self.request(client)?;
        let resuming = request.headers.contains_key(header::RANGE);
        let response = client.request(request).await?;
        match response.status {
            StatusCode::OK => {
                check_coding(&response)?;
                let total = announced(&response);
                self.check_size(total.unwrap_or_default()).await?;
                self.part.start(Validator::of(&response, total)).await?;
                self.receive(response.body, total).await
            }
            StatusCode::PARTIAL_CONTENT if resuming => {
                // A server that aligns ranges to blocks, or codes them, sends no range that continues the part.
                let usable = check_coding(&response).and_then(|()| ContentRange::of(&response));
                let Some(range) = usable.ok().filter(|range| range.first == from) else {
                    return Ok(Outcome::StartAgain);
                };
                // A server without support for `If-Range` sends a range of the current version.
                if self.part.differs(&Validator::of(&response, range.total)) {
                    return Ok(Outcome::StartAgain);
                }
                self.check_size(range.total.unwrap_or(range.last + 1)).await?;
                self.part.learn_total(range.total).await?;
                self.receive(response.body, Some(range.last + 1)).await
            }
            StatusCode::RANGE_NOT_SATISFIABLE if resuming => {
                // Either the part is complete, or the resource has changed and is shorter now.
                match ContentRange::unsatisfied(&response) {
                    Some(total) if total == from && !self.part.differs(&Validator::of(&response, Some(total))) => {
                        self.check_size(total).await?;
                        Ok(Outcome::Complete)
                    }
                    _ => Ok(Outcome::StartAgain),
                }
            }
            _ => match attempt_policy::status_error(&response, &self.download.retry, &*self.download.clock) {
                Some(error) => Err(error),
                None => Err(protocol("the status is neither 200 nor 206 for a range request")
                    .with_status(response.status.as_u16())),
            },
        }
    }

    fn request(&self, client: &(impl HttpClient + ?Sized)) -> Result<HttpRequest> {
        let Head {
            target,
            headers,
            options,
            extensions,
        } = &self.download.request;
        let mut request = HttpRequest::new(Method::GET, target.clone());
        request.headers.clone_from(headers);
        request.options = options.clone();
        request.extensions = extensions.clone();
        attempt_policy::prepare(&mut request, client.capabilities());
        request
            .headers
            .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some((from, validator)) = self.part.resume()? {
            request.headers.insert(header::RANGE, from);
            request.headers.insert(header::IF_RANGE, validator);
        }
        Ok(request)
    }

    /// Appends `body`, which ends at the byte `end` of the file.
    async fn receive(&mut self, body: HttpBody, end: Option<u64>) -> Result<Outcome> {
        let mut chunks = body.into_stream();
        let mut progress = DownloadProgress {
            received: self.part.length(),
            total: self.part.total(),
            resumed_from: self.part.length(),
        };
        let mut reported = progress.received;
        self.report(progress);
        let ended = loop {
            let Some(chunk) = chunks.next().await else {
                break Ok(());
            };
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => break Err(error),
            };
            let length = self.part.length() + chunk.len() as u64;
            self.check_size(length).await?;
            if let Some(end) = end.filter(|end| length > *end) {
                self.part.discard().await?;
                return Err(
                    protocol("the body is longer than announced").with_context(context::ANNOUNCED, end.to_string())
                );
            }
            self.part.write(&chunk).await?;
            progress.received = self.part.length();
            if progress.received - reported >= step(progress.total) {
                reported = progress.received;
                self.report(progress);
            }
        };
        if reported != progress.received {
            self.report(progress);
        }
        ended?;
        // A range may end before the file does. Without a total size, the end of the range is the end of the file.
        match progress.total.or(end) {
            Some(total) if progress.received < total => Err(NetworkError::new(
                ErrorKind::TruncatedBody,
                "http.download",
                "the body ended before its announced length",
            )
            .with_send_state(SendState::Sent)
            .with_context("received", progress.received.to_string())
            .with_context(context::ANNOUNCED, total.to_string())),
            _ => Ok(Outcome::Complete),
        }
    }

    fn report(&self, progress: DownloadProgress) {
        if let Some(observer) = &self.download.observer {
            observer(progress);
        }
    }

    async fn check_size(&mut self, size: u64) -> Result<()> {
        match self.download.max_size {
            Some(limit) if size > limit => {
                // Another call would fail in the same way.
                self.part.discard().await?;
                let message = format!("the file has {size} bytes, more than {limit}: raise `max_size` of the download");
                Err(NetworkError::new(ErrorKind::TooLarge, "http.download", message)
                    .with_send_state(SendState::Sent)
                    .with_context(context::LIMIT, limit.to_string())
                    .with_context(context::SETTING, "max_size"))
            }
            _ => Ok(()),
        }
    }

    /// The wait before another attempt; `None` if there is no further attempt.
    fn wait_after(&self, error: &NetworkError) -> Option<Duration> {
        let policy = &self.download.retry;
        let wait = error.retryability().delay();
        let again = attempt_policy::may_retry(error, policy)
            && self.attempts < policy.max_attempts
            && wait.is_none_or(|wait| wait <= policy.max_retry_after);
        again.then(|| {
            wait.unwrap_or_default()
                .max(policy.backoff.delay(self.attempts, fastrand::f64()))
        })
    }

    fn named(&self, error: NetworkError) -> NetworkError {
        let has_path = error.context().any(|(key, _)| key == "path");
        let error = given_up(error.with_operation("http.download"), self.attempts);
        if has_path {
            return error;
        }
        error.with_context(context::PATH, super::file_source::shown(&self.download.path))
    }
}

/// The size that `Content-Length` announces.
fn announced(response: &HttpResponse) -> Option<u64> {
    let length = response.headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.trim().parse().ok()
}

/// Fails for an encoded body: a range of its bytes is not a range of the file. Names that are no codings of HTTP say nothing
/// about the bytes (S3 keeps `aws-chunked` of the upload).
fn check_coding(response: &HttpResponse) -> Result<()> {
    const CODINGS: [&str; 9] = [
        "gzip",
        "x-gzip",
        "deflate",
        "br",
        "zstd",
        "compress",
        "x-compress",
        "dcb",
        "dcz",
    ];

    let values = response.headers.get_all(header::CONTENT_ENCODING).iter();
    let mut names = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    match names.find(|name| CODINGS.iter().any(|coding| coding.eq_ignore_ascii_case(name))) {
        Some(coding) => Err(
            protocol("the body is encoded although the request accepts only `identity`")
                .with_context(context::CODING, coding.to_owned()),
        ),
        None => Ok(()),
    }
}

fn protocol(message: &'static str) -> NetworkError {
    NetworkError::new(ErrorKind::Protocol, "http.download", message).with_send_state(SendState::Sent)
}

/// Bytes between two reports of progress.
fn step(total: Option<u64>) -> u64 {
    total.map_or(256 << 10, |total| (total / 100).max(64 << 10))
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download")
            .field("target", &self.request.target)
            .field("path", &self.path)
            .field("max_size", &self.max_size)
            .finish_non_exhaustive()
    }
}
