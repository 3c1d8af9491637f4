//! The downloaded part of a file, and the version that it belongs to.

use std::io::{ErrorKind as IoKind, Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use networking_spi::error::context;
use networking_spi::http::{HttpResponse, RequestTarget};
use networking_spi::{NetworkError, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::protocol;
use crate::transfer::file_source::{file_error, shown};

/// The largest sidecar that is read, in bytes. It contains two header values.
const MAX_SIDECAR: u64 = 64 << 10;

/// Identifies the version of the resource that a part belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Validator {
    etag: Option<String>,
    last_modified: Option<String>,
    total: Option<u64>,
}

impl Validator {
    pub(super) fn of(response: &HttpResponse, total: Option<u64>) -> Self {
        let headers = &response.headers;
        let etag = text(headers, &header::ETAG).filter(|etag| etag.starts_with('"'));
        Self {
            etag: etag.map(str::to_owned),
            last_modified: strong_date(headers).map(str::to_owned),
            total,
        }
    }

    /// The value of `If-Range`.
    fn strong(&self) -> Option<&str> {
        self.etag.as_deref().or(self.last_modified.as_deref())
    }

    /// Whether these are different versions. A field that only one of them has is not compared. Tags take precedence over dates,
    /// because replicas of the same version may have different dates.
    fn differs(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(left: Option<&T>, right: Option<&T>) -> bool {
            matches!((left, right), (Some(left), Some(right)) if left != right)
        }
        let another = match (&self.etag, &other.etag) {
            (Some(left), Some(right)) => left != right,
            _ => differ(self.last_modified.as_ref(), other.last_modified.as_ref()),
        };
        another || differ(self.total.as_ref(), other.total.as_ref())
    }
}

/// `Last-Modified` if it is a strong validator: at least a second older than the response.
fn strong_date(headers: &HeaderMap) -> Option<&str> {
    let modified = text(headers, &header::LAST_MODIFIED)?;
    let date = httpdate::parse_http_date(text(headers, &header::DATE)?).ok()?;
    let age = date.duration_since(httpdate::parse_http_date(modified).ok()?).ok()?;
    (age >= Duration::from_secs(1)).then_some(modified)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// The JSON file next to a part on disk.
#[derive(Serialize, Deserialize)]
struct Sidecar {
    /// A hash of the URL, because the URL may contain secrets.
    url_sha256: String,
    #[serde(flatten)]
    validator: Validator,
}

/// The downloaded part of a file.
pub(super) struct Part {
    target: PathBuf,
    path: PathBuf,
    sidecar: PathBuf,
    url_sha256: String,
    /// Opened by the first write.
    file: Option<File>,
    length: u64,
    /// Bytes of earlier calls that are still in the part.
    kept: u64,
    validator: Validator,
}

impl Part {
    /// The part of an earlier call for `url`, or an empty part if that cannot be resumed.
    pub(super) async fn open(target: &Path, url: &RequestTarget) -> Result<Self> {
        let beside = |extension: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(extension);
            PathBuf::from(name)
        };
        let url = match url {
            RequestTarget::Absolute(url) => url.as_str(),
            RequestTarget::Relative(reference) => reference,
        };
        let mut part = Self {
            target: target.to_owned(),
            path: beside(".part"),
            sidecar: beside(".part.json"),
            url_sha256: hex::encode(Sha256::digest(url)),
            file: None,
            length: 0,
            kept: 0,
            validator: Validator::default(),
        };
        if target.file_name().is_none() {
            return Err(
                NetworkError::invalid_input("path", "does not name a file").with_context(context::PATH, shown(target))
            );
        }
        if fs::metadata(target).await.is_ok_and(|metadata| metadata.is_dir()) {
            return Err(
                NetworkError::invalid_input("path", "is a directory").with_context(context::PATH, shown(target))
            );
        }
        let Some(sidecar) = part.read_sidecar().await? else {
            return Ok(part);
        };
        let length = match fs::metadata(&part.path).await {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == IoKind::NotFound => 0,
            Err(error) => return Err(file_error("http.download", &part.path, error)),
        };
        let whole = sidecar.validator.total.unwrap_or(u64::MAX);
        let usable = sidecar.url_sha256 == part.url_sha256 && sidecar.validator.strong().is_some() && length <= whole;
        if usable {
            part.length = length;
            part.kept = length;
            part.validator = sidecar.validator;
        }
        Ok(part)
    }

    /// `None` for a sidecar that is absent or invalid: the download starts over.
    async fn read_sidecar(&self) -> Result<Option<Sidecar>> {
        match fs::metadata(&self.sidecar).await {
            Ok(metadata) if metadata.len() <= MAX_SIDECAR => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == IoKind::NotFound => return Ok(None),
            Err(error) => return Err(file_error("http.download", &self.sidecar, error)),
        }
        let bytes = fs::read(&self.sidecar)
            .await
            .map_err(|error| file_error("http.download", &self.sidecar, error))?;
        Ok(serde_json::from_slice(&bytes).ok())
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    pub(super) fn kept(&self) -> u64 {
        self.kept
    }

    pub(super) fn total(&self) -> Option<u64> {
        self.validator.total
    }

    pub(super) fn differs(&self, other: &Validator) -> bool {
        self.validator.differs(other)
    }

    /// `Range` and `If-Range` for the missing bytes; `None` if the download starts from 0.
    pub(super) fn resume(&self) -> Result<Option<(HeaderValue, HeaderValue)>> {
        let Some(validator) = self.validator.strong().filter(|_| self.length > 0) else {
            return Ok(None);
        };
        let header = |value: String| {
            HeaderValue::try_from(value).map_err(|_| protocol("the validator of the part is not a header value"))
        };
        Ok(Some((
            header(format!("bytes={}-", self.length))?,
            header(validator.to_owned())?,
        )))
    }

    /// Creates an empty part for the version that `validator` identifies.
    pub(super) async fn start(&mut self, validator: Validator) -> Result<()> {
        self.discard().await?;
        // A new file, not the truncated old one: a cancelled call may still write to the old one.
        let file = OpenOptions::new().write(true).create_new(true).open(&self.path).await;
        self.file = Some(self.named(file)?);
        self.validator = validator;
        self.write_sidecar().await
    }

    /// Stores the total size from a range, if the first response had none.
    pub(super) async fn learn_total(&mut self, total: Option<u64>) -> Result<()> {
        if self.validator.total.is_none() && total.is_some() {
            self.validator.total = total;
            self.write_sidecar().await?;
        }
        Ok(())
    }

    /// Writes the sidecar, unless there is no strong validator: then the part cannot be resumed.
    async fn write_sidecar(&self) -> Result<()> {
        if self.validator.strong().is_none() {
            return Ok(());
        }
        let sidecar = Sidecar {
            url_sha256: self.url_sha256.clone(),
            validator: self.validator.clone(),
        };
        let json = serde_json::to_vec(&sidecar).map_err(|error| {
            protocol("the validator cannot be encoded")
                .with_context(context::PATH, shown(&self.sidecar))
                .with_source(error)
        })?;
        fs::write(&self.sidecar, json)
            .await
            .map_err(|error| file_error("http.download", &self.sidecar, error))
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.file.is_none() {
            let file = OpenOptions::new().write(true).open(&self.path).await;
            let mut file = self.named(file)?;
            // Writes at the position, not at the end: a cancelled call may still be writing the same bytes.
            let sought = file.seek(SeekFrom::Start(self.length)).await;
            self.named(sought)?;
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            let written = match file.write_all(bytes).await {
                // Flushed, so that counted bytes are in the file even if the call is dropped.
                Ok(()) => file.flush().await,
                Err(error) => Err(error),
            };
            self.named(written)?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Removes the part and its sidecar.
    pub(super) async fn discard(&mut self) -> Result<()> {
        self.file = None;
        self.length = 0;
        self.kept = 0;
        self.validator = Validator::default();
        // The sidecar first: a part without a sidecar is ignored, but an old sidecar could be applied to a new part.
        remove(&self.sidecar).await?;
        remove(&self.path).await
    }

    /// Verifies the part, and renames it to the file.
    pub(super) async fn finish(&mut self, expected: Option<[u8; 32]>) -> Result<()> {
        if let Some(file) = self.file.take() {
            let synced = file.sync_all().await;
            self.named(synced)?;
        }
        if let Some(expected) = expected {
            let actual = self.digest().await?;
            if actual != expected {
                self.discard().await?;
                return Err(protocol("the file does not have the expected SHA-256")
                    .with_context(context::PATH, shown(&self.target))
                    .with_context("expected", hex::encode(expected))
                    .with_context("actual", hex::encode(actual)));
            }
        }
        let renamed = fs::rename(&self.path, &self.target).await;
        renamed.map_err(|error| file_error("http.download", &self.target, error))?;
        remove(&self.sidecar).await
    }

    /// The SHA-256 of the part on disk, including bytes of earlier calls.
    async fn digest(&self) -> Result<[u8; 32]> {
        let path = self.path.clone();
        let digest = tokio::task::spawn_blocking(move || {
            let mut file = std::fs::File::open(path)?;
            let mut digest = Sha256::new();
            let mut buffer = vec![0; 256 << 10];
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok(digest.finalize().into()),
                    count => digest.update(&buffer[..count]),
                }
            }
        });
        let digest = digest.await.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        self.named(digest)
    }

    fn named<T>(&self, result: std::io::Result<T>) -> Result<T> {
        result.map_err(|error| file_error("http.download", &self.path, error))
    }
}

async fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path).await {
        Err(error) if error.kind() != IoKind::NotFound => Err(file_error("http.download", path, error)),
        _ => Ok(()),
    }
}
