//! The part of a file that is there, and what it is a part of.

use std::io::{ErrorKind as IoKind, Read, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use networking_spi::http::{HttpResponse, RequestTarget};
use networking_spi::{NetworkError, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::protocol;
use crate::transfer::file_source::{file_error, shown};

/// The largest sidecar that is read: it holds two header values.
const MAX_SIDECAR: u64 = 64 << 10;

/// What identifies the bytes that a part is of.
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

    /// Whether these are certainly two different things. What only one of them has says nothing, and tags go before dates,
    /// which servers of the same thing may disagree on.
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

/// `Last-Modified`, where it cannot stand for two versions: it is then a second older than the response.
fn strong_date(headers: &HeaderMap) -> Option<&str> {
    let modified = text(headers, &header::LAST_MODIFIED)?;
    let date = httpdate::parse_http_date(text(headers, &header::DATE)?).ok()?;
    let age = date.duration_since(httpdate::parse_http_date(modified).ok()?).ok()?;
    (age >= Duration::from_secs(1)).then_some(modified)
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// What is beside a part on disk.
#[derive(Serialize, Deserialize)]
struct Sidecar {
    /// Of the URL, which may hold secrets itself.
    url_sha256: String,
    #[serde(flatten)]
    validator: Validator,
}

/// The part of a file that is there.
pub(super) struct Part {
    target: PathBuf,
    path: PathBuf,
    sidecar: PathBuf,
    url_sha256: String,
    /// Open once something is written.
    file: Option<File>,
    length: u64,
    /// How many of the bytes that were there at first are still there.
    kept: u64,
    validator: Validator,
}

impl Part {
    /// What an earlier call left of `url`; nothing if it cannot be gone on with.
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
            return Err(NetworkError::invalid_input("path", "does not name a file").with_context("path", shown(target)));
        }
        if fs::metadata(target).await.is_ok_and(|metadata| metadata.is_dir()) {
            return Err(NetworkError::invalid_input("path", "is a directory").with_context("path", shown(target)));
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

    /// `None` for a sidecar that is absent or not one of ours: the download then starts again.
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

    /// `Range` and `If-Range` for what is missing; `None` if everything is.
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

    /// Starts with nothing, as a part of `validator`'s file.
    pub(super) async fn start(&mut self, validator: Validator) -> Result<()> {
        self.discard().await?;
        // A new file, not the old one emptied: what a cancelled call still has to write goes to the old one.
        let file = OpenOptions::new().write(true).create_new(true).open(&self.path).await;
        self.file = Some(self.named(file)?);
        self.validator = validator;
        self.write_sidecar().await
    }

    /// Takes over the total that a range told, where the first response did not.
    pub(super) async fn learn_total(&mut self, total: Option<u64>) -> Result<()> {
        if self.validator.total.is_none() && total.is_some() {
            self.validator.total = total;
            self.write_sidecar().await?;
        }
        Ok(())
    }

    /// Without a strong validator the part is of no use to another call, and no sidecar says otherwise.
    async fn write_sidecar(&self) -> Result<()> {
        if self.validator.strong().is_none() {
            return Ok(());
        }
        let sidecar = Sidecar {
            url_sha256: self.url_sha256.clone(),
            validator: self.validator.clone(),
        };
        let json = serde_json::to_vec(&sidecar).map_err(|error| {
            protocol("the validator cannot be written down")
                .with_context("path", shown(&self.sidecar))
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
            // At its place, not at the end: a cancelled call may still be writing the same bytes there.
            let sought = file.seek(SeekFrom::Start(self.length)).await;
            self.named(sought)?;
            self.file = Some(file);
        }
        if let Some(file) = &mut self.file {
            let written = match file.write_all(bytes).await {
                // Not buffered: what is counted is in the file, even if the call is dropped while it waits for more.
                Ok(()) => file.flush().await,
                Err(error) => Err(error),
            };
            self.named(written)?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Forgets everything, on disk too.
    pub(super) async fn discard(&mut self) -> Result<()> {
        self.file = None;
        self.length = 0;
        self.kept = 0;
        self.validator = Validator::default();
        // The sidecar first: a part without one is started again, a sidecar without its part must not be believed.
        remove(&self.sidecar).await?;
        remove(&self.path).await
    }

    /// Checks the part and makes it the file.
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
                    .with_context("path", shown(&self.target))
                    .with_context("expected", hex::encode(expected))
                    .with_context("actual", hex::encode(actual)));
            }
        }
        let renamed = fs::rename(&self.path, &self.target).await;
        renamed.map_err(|error| file_error("http.download", &self.target, error))?;
        remove(&self.sidecar).await
    }

    /// Of the file as it is on disk, whichever call wrote it.
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
