//! The file of a cassette. All functions block.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Result};
use serde::{Deserialize, Serialize};

use super::RecordedExchange;

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 256 << 20;

const FORMAT: u32 = 1;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read1 {
    format: u32,
    exchanges: Vec<RecordedExchange>,
}

#[derive(Serialize)]
struct Write1<'e> {
    format: u32,
    exchanges: Vec<&'e RecordedExchange>,
}

/// The exchanges in a file; `None` if it does not exist.
pub(super) fn read(path: &Path) -> Result<Option<Vec<RecordedExchange>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(path, "cannot be read").with_source(error)),
    };
    let mut text = String::new();
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(path, "cannot be read").with_source(error))?;
    if text.len() as u64 > MAX_FILE {
        return Err(wrong(path, "is larger than 256 MiB"));
    }
    let cassette: Read1 =
        serde_json::from_str(&text).map_err(|error| wrong(path, "is not a cassette").with_source(error))?;
    if cassette.format != FORMAT {
        return Err(wrong(path, "has an unknown format version"));
    }
    for (index, exchange) in cassette.exchanges.iter().enumerate() {
        exchange
            .request
            .check()
            .and_then(|()| exchange.response.check())
            .map_err(|error| {
                error
                    .in_field(&format!("exchanges[{index}]"))
                    .with_context(context::FILE, shown(path))
            })?;
    }
    Ok(Some(cassette.exchanges))
}

/// Writes the exchanges to a temporary file, and renames it.
pub(super) fn write(path: &Path, exchanges: &[&RecordedExchange]) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(&Write1 {
        format: FORMAT,
        exchanges: exchanges.to_vec(),
    })
    .map_err(|error| failed(path).with_source(error))?;
    text.push(b'\n');
    let unfinished = unfinished(path);
    let written = prepare(path)
        .and_then(|()| File::create_new(&unfinished))
        .and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&unfinished, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&unfinished);
        failed(path).with_source(error)
    })
}

fn prepare(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => fs::create_dir_all(parent),
        _ => Ok(()),
    }
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}-{:016x}", std::process::id(), fastrand::u64(..)));
    path.with_file_name(name)
}

fn wrong(path: &Path, message: &'static str) -> NetworkError {
    NetworkError::invalid_input("cassette", message).with_context(context::FILE, shown(path))
}

fn failed(path: &Path) -> NetworkError {
    NetworkError::new(ErrorKind::Internal, "http.record", "the cassette cannot be written")
        .with_context(context::FILE, shown(path))
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
