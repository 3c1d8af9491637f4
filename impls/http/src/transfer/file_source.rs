//! Files as request bodies.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use networking_spi::error::context;
use networking_spi::http::{BodySource, ByteStream, HttpBody, Part};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

/// The size of chunks, in bytes.
const CHUNK: usize = 64 << 10;

/// A file as a request body, or as a [`Part`] of a form. It is streamed from disk, and opened for each attempt.
///
/// The length is read when the source is created, and sent as `Content-Length`. If the file has another length when it is sent,
/// the body fails.
///
/// ```no_run
/// use networking_http::FileSource;
/// use networking_spi::http::Multipart;
/// use networking_spi::prelude::*;
///
/// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
/// // As the body:
/// http.put("https://example.com/backup.tar").body(FileSource::new("backup.tar").await?).await?;
/// // In a form:
/// let form = Multipart::new()
///     .text("title", "Second quarter")
///     .part("report", FileSource::new("q2.csv").await?.into_part().with_content_type("text/csv")?);
/// http.post("https://example.com/reports").multipart(form).await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct FileSource {
    path: PathBuf,
    length: u64,
}

impl FileSource {
    /// The file at `path`.
    ///
    /// # Errors
    /// Each names the path: [`NotFound`](ErrorKind::NotFound), [`PermissionDenied`](ErrorKind::PermissionDenied),
    /// [`InvalidInput`](ErrorKind::InvalidInput) if it is not a regular file.
    pub async fn new(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let metadata = tokio::fs::metadata(&path)
            .await
            .map_err(|error| file_error("http.file_source", &path, error))?;
        if !metadata.is_file() {
            return Err(
                NetworkError::invalid_input("path", "is not a regular file").with_context(context::PATH, shown(&path))
            );
        }
        let length = metadata.len();
        Ok(Self { path, length })
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file as a part of a form, with its file name.
    pub fn into_part(self) -> Part {
        let name = self
            .path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Part::body(self).with_file_name(name)
    }
}

impl BodySource for FileSource {
    /// The stream fails with an error that names the path if the file cannot be read or has another length.
    fn open(&self) -> ByteStream {
        let Self { path, length } = self.clone();
        stream::once(read(path, length)).try_flatten().boxed()
    }

    fn length(&self) -> Option<u64> {
        Some(self.length)
    }
}

impl From<FileSource> for Part {
    /// Like [`FileSource::into_part`].
    fn from(file: FileSource) -> Self {
        file.into_part()
    }
}

impl From<FileSource> for HttpBody {
    fn from(source: FileSource) -> Self {
        if source.length == 0 {
            Self::empty()
        } else {
            Self::source(Arc::new(source))
        }
    }
}

async fn read(path: PathBuf, announced: u64) -> Result<ByteStream> {
    let failed = |error| file_error("http.request", &path, error);
    let file = File::open(&path).await.map_err(failed)?;
    let length = file.metadata().await.map_err(failed)?.len();
    if length != announced {
        return Err(changed(&path, announced));
    }
    // Bytes that are appended while the file is sent are ignored.
    let chunks = ReaderStream::with_capacity(file.take(announced), CHUNK);
    let state = Some((chunks, announced, path));
    Ok(stream::unfold(state, move |state| async move {
        let (mut chunks, left, path) = state?;
        match chunks.next().await {
            Some(Ok(chunk)) => {
                let left = left.saturating_sub(chunk.len() as u64);
                Some((Ok::<Bytes, _>(chunk), Some((chunks, left, path))))
            }
            Some(Err(error)) => Some((Err(file_error("http.request", &path, error)), None)),
            // The bytes that were read may have been sent.
            None if left > 0 => {
                let error = changed(&path, announced).with_send_state(SendState::MaybeSent);
                Some((Err(error), None))
            }
            None => None,
        }
    })
    .boxed())
}

fn changed(path: &Path, announced: u64) -> NetworkError {
    NetworkError::invalid_input("body.length", "the length of the file has changed")
        .with_context(context::PATH, shown(path))
        .with_context(context::ANNOUNCED, announced.to_string())
}

/// An error of the file system that names the path. None of them is transient.
pub(super) fn file_error(operation: &'static str, path: &Path, error: io::Error) -> NetworkError {
    let (kind, message) = match error.kind() {
        io::ErrorKind::NotFound => (ErrorKind::NotFound, "no such file or directory"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (ErrorKind::PermissionDenied, "no permission for the file")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::Exhausted, "no space for the file"),
        io::ErrorKind::AlreadyExists => (ErrorKind::AlreadyExists, "the file exists already"),
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename => {
            (ErrorKind::InvalidInput, "the path does not name a file")
        }
        _ => (ErrorKind::Internal, "the file cannot be read or written"),
    };
    NetworkError::new(kind, operation, message)
        .with_retryability(Retryability::Never)
        .with_context(context::PATH, shown(path))
        .with_source(error)
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
