//! httpbin: uploads and downloads of files.

use std::sync::Arc;

use networking_conformance::{CaseResult, Failure, check, check_eq};
use networking_http::{Download, FileSource};
use networking_spi::http::{HttpClientExt, Multipart, Part};
use serde_json::Value;

use super::backend::Live;

pub(crate) async fn forms_with_files_are_understood(live: Arc<Live>) -> CaseResult {
    let folder = tempfile::tempdir().map_err(|error| Failure::new(error.to_string()))?;
    let path = folder.path().join("größe \"1\".txt");
    std::fs::write(&path, "from the disk").map_err(|error| Failure::new(error.to_string()))?;
    let form = Multipart::new()
        .text("note", "blue & green\r\n--not-a-boundary")
        .part("attached", FileSource::new(&path).await?.into_part())
        .part(
            "inline",
            Part::bytes("in memory")
                .with_file_name("a.csv")
                .with_content_type("text/csv")?,
        );
    let echo: Value = live.httpbin()?.post("/post").multipart(form).await?.json().await?;
    check_eq!(echo["form"]["note"], "blue & green\r\n--not-a-boundary", "the text");
    check_eq!(echo["files"]["attached"], "from the disk", "the file");
    check_eq!(echo["files"]["inline"], "in memory", "the bytes");
    let length = echo["headers"]["Content-Length"].as_str().unwrap_or_default();
    check!(
        length.parse().is_ok_and(|length: u64| length > 0),
        "the length is known: {length:?}"
    );
    Ok(())
}

pub(crate) async fn downloads_arrive_whole(live: Arc<Live>) -> CaseResult {
    let client = live.httpbin()?;
    let folder = tempfile::tempdir().map_err(|error| Failure::new(error.to_string()))?;
    let path = folder.path().join("letters");
    let expected = client.get("/range/100000").await?.bytes().await?;
    let done = Download::new("/range/100000?chunk_size=1000", &path)
        .run(&client)
        .await?;
    check_eq!((done.size, done.attempts), (100_000, 1), "bytes and requests");
    let written = std::fs::read(&path).map_err(|error| Failure::new(error.to_string()))?;
    check!(written == expected, "the file is not what the server has");
    let left = std::fs::read_dir(folder.path())
        .map_err(|error| Failure::new(error.to_string()))?
        .count();
    check_eq!(left, 1, "files: only the download is left");
    Ok(())
}
