//! The files of a store. All functions block.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use networking_spi::clock::Clock;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// The directory of this format. Another format has another name and does not touch these files.
const DIRECTORY: &str = "responses-v1";

/// The start of a file: this constant, the length of the record (8 bytes), its CRC-32 (4 bytes).
const MAGIC: &[u8; 8] = b"nethttp1";
const HEADER: usize = MAGIC.len() + 8 + 4;

/// The space of a file on disk is counted in multiples of this number of bytes.
const BLOCK: u64 = 4096;

/// An unfinished file that is at least this old is left over from a crash.
const ABANDONED: Duration = Duration::from_secs(3600);

/// The precision of the time of the last use. A higher precision would cost a write per read.
const USE_PRECISION: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
    /// The space of the records in bytes, as far as this store knows.
    bytes: AtomicU64,
    /// Bytes written since the last measurement.
    written: AtomicU64,
    measuring: Mutex<()>,
}

impl Files {
    pub(super) fn new(directory: &Path, max_bytes: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            root: directory.join(DIRECTORY),
            max_bytes,
            clock,
            bytes: AtomicU64::new(0),
            written: AtomicU64::new(0),
            measuring: Mutex::new(()),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    pub(super) fn prepare(&self) -> io::Result<()> {
        private_directory(&self.unfinished())?;
        self.make_room()
    }

    pub(super) fn read(&self, key: &str) -> io::Result<Option<Bytes>> {
        let path = self.path(key);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let metadata = file.metadata()?;
        let Some(record) = self.checked(&mut file, metadata.len())? else {
            drop(file);
            self.forget(&path, metadata.len())?;
            return Ok(None);
        };
        let now = self.clock.now();
        let used_long_ago = metadata
            .modified()
            .is_ok_and(|used| now.duration_since(used).is_ok_and(|ago| ago >= USE_PRECISION));
        if used_long_ago {
            // Failure is ignored: the time only decides which record is evicted first.
            let _ = OpenOptions::new()
                .write(true)
                .open(&path)
                .and_then(|file| file.set_modified(now));
        }
        Ok(Some(record))
    }

    /// The record in a file; `None` if it is damaged.
    fn checked(&self, file: &mut File, length: u64) -> io::Result<Option<Bytes>> {
        if length < HEADER as u64 || length > self.max_bytes {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(self.max_bytes).read_to_end(&mut bytes)?;
        let mut bytes = Bytes::from(bytes);
        if bytes.len() < HEADER {
            return Ok(None);
        }
        let header = bytes.split_to(HEADER);
        let good = header == head(&bytes)[..];
        Ok(good.then_some(bytes))
    }

    pub(super) fn write(&self, key: &str, record: &[u8]) -> io::Result<()> {
        let size = on_disk(HEADER as u64 + record.len() as u64);
        if size > self.max_bytes {
            return self.remove(key);
        }
        let path = self.path(key);
        if let Some(parent) = path.parent() {
            private_directory(parent)?;
        }
        let unfinished = self
            .unfinished()
            .join(format!("{}-{:016x}", std::process::id(), fastrand::u64(..)));
        let replaced = fs::metadata(&path).map_or(0, |metadata| on_disk(metadata.len()));
        let written = self
            .write_to(&unfinished, record)
            .and_then(|()| fs::rename(&unfinished, &path));
        if let Err(error) = written {
            let _ = fs::remove_file(&unfinished);
            return Err(error);
        }
        self.subtract(replaced);
        let total = self.bytes.fetch_add(size, Relaxed) + size;
        let written = self.written.fetch_add(size, Relaxed) + size;
        if total > self.max_bytes || written > self.max_bytes / 16 {
            self.make_room()?;
        }
        Ok(())
    }

    fn write_to(&self, path: &Path, record: &[u8]) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = match options.open(path) {
            // The directory was deleted.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                private_directory(&self.unfinished())?;
                options.open(path)?
            }
            result => result?,
        };
        file.write_all(&head(record))?;
        file.write_all(record)?;
        file.set_modified(self.clock.now())
    }

    pub(super) fn remove(&self, key: &str) -> io::Result<()> {
        let path = self.path(key);
        match fs::metadata(&path) {
            Ok(metadata) => self.forget(&path, metadata.len()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) fn clear(&self) -> io::Result<()> {
        let _alone = self.measuring.lock();
        for record in self.records()? {
            self.forget(&record.path, record.length)?;
        }
        self.bytes.store(0, Relaxed);
        Ok(())
    }

    /// Measures the directory. If the records exceed `max_bytes`, removes the least recently used ones until a tenth is free.
    fn make_room(&self) -> io::Result<()> {
        let Some(_alone) = self.measuring.try_lock() else {
            return Ok(());
        };
        self.written.store(0, Relaxed);
        self.remove_abandoned()?;
        let mut records = self.records()?;
        let mut total: u64 = records.iter().map(|record| on_disk(record.length)).sum();
        if total > self.max_bytes {
            records.sort_by_key(|record| record.used);
            let target = self.max_bytes - self.max_bytes / 10;
            for record in &records {
                if total <= target {
                    break;
                }
                remove_file(&record.path)?;
                total -= on_disk(record.length);
            }
        }
        self.bytes.store(total, Relaxed);
        Ok(())
    }

    fn remove_abandoned(&self) -> io::Result<()> {
        let now = self.clock.now();
        for entry in entries(&self.unfinished())? {
            let Ok(metadata) = entry.metadata() else { continue };
            let age = metadata.modified().ok().and_then(|made| now.duration_since(made).ok());
            if age.is_some_and(|age| age >= ABANDONED) {
                remove_file(&entry.path())?;
            }
        }
        Ok(())
    }

    fn records(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for directory in entries(&self.root)? {
            if directory.file_name().len() != 2 {
                continue;
            }
            for entry in entries(&directory.path())? {
                // A file that has disappeared was removed by another store.
                let Ok(metadata) = entry.metadata() else { continue };
                if metadata.is_file() {
                    records.push(Record {
                        path: entry.path(),
                        length: metadata.len(),
                        used: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                    });
                }
            }
        }
        Ok(records)
    }

    fn forget(&self, path: &Path, length: u64) -> io::Result<()> {
        remove_file(path)?;
        self.subtract(on_disk(length));
        Ok(())
    }

    fn subtract(&self, size: u64) {
        let _ = self
            .bytes
            .fetch_update(Relaxed, Relaxed, |bytes| Some(bytes.saturating_sub(size)));
    }

    /// File names are hashes, so that no key can refer to a path outside the directory.
    fn path(&self, key: &str) -> PathBuf {
        let name = hex::encode(Sha256::digest(key.as_bytes()));
        self.root.join(&name[..2]).join(&name[2..])
    }

    fn unfinished(&self) -> PathBuf {
        self.root.join("unfinished")
    }
}

struct Record {
    path: PathBuf,
    length: u64,
    used: SystemTime,
}

fn head(record: &[u8]) -> [u8; HEADER] {
    let mut head = [0; HEADER];
    head[..8].copy_from_slice(MAGIC);
    head[8..16].copy_from_slice(&(record.len() as u64).to_be_bytes());
    head[16..].copy_from_slice(&crc32fast::hash(record).to_be_bytes());
    head
}

fn on_disk(length: u64) -> u64 {
    length.max(1).div_ceil(BLOCK) * BLOCK
}

fn private_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn entries(path: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(entries.filter_map(Result::ok).collect()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
