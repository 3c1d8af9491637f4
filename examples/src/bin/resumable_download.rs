//! Downloads a file with a progress bar. The connection breaks twice, and the download resumes after the last byte received. With
//! `--output`, it also resumes when the program is interrupted and started again.
//!
//! ```sh
//! cargo run -p networking-examples --features files --bin resumable_download
//! cargo run -p networking-examples --features files,tls --bin resumable_download -- --url https://example.com/disk.iso --output disk.iso
//! ```
//!
//! It needs the feature `files`, and `tls` for https.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use networking_examples::loopback::{Loopback, Request, response};
use networking_impls::http::{Download, HttpClientBuilder};
use networking_spi::http::RetryPolicy;
use networking_spi::prelude::*;
use sha2::{Digest, Sha256};

#[derive(Parser)]
struct Arguments {
    /// The URL to download; defaults to a server in this process that breaks connections.
    #[arg(long)]
    url: Option<String>,
    /// The file to write; defaults to one in a temporary directory.
    #[arg(long)]
    output: Option<PathBuf>,
    /// The expected SHA-256 of the file, in hexadecimal.
    #[arg(long)]
    sha256: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir()?;
    let output = arguments.output.unwrap_or_else(|| directory.path().join("disk.img"));

    let content: Arc<[u8]> = (0..8_000_000_u32).map(|index| (index % 251) as u8).collect();
    let copy = Arc::clone(&content);
    let server = Loopback::start(move |request, number| part(&copy, &request, number)).await?;
    let own_server = arguments.url.is_none();
    let url = arguments.url.unwrap_or_else(|| server.url("/disk.img"));
    let sha256 = arguments
        .sha256
        .or_else(|| own_server.then(|| hex::encode(Sha256::digest(&content))));

    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    )?);
    let shown = bar.clone();
    let mut download = Download::new(url.as_str(), &output)
        .with_retry(RetryPolicy::new(10).with_delays(Duration::from_millis(100), Duration::from_secs(5)))
        .on_progress(move |progress| {
            shown.set_message(format!("from {}", progress.resumed_from));
            shown.set_length(progress.total.unwrap_or_default());
            shown.set_position(progress.received);
        });
    if let Some(sha256) = sha256 {
        download = download.with_sha256(&sha256)?;
    }

    let http: Arc<dyn HttpClient> = Arc::new(HttpClientBuilder::new().build()?);
    let done = download.run(&http).await?;
    bar.finish();
    println!(
        "{}: {} bytes with {} requests, {} bytes from an earlier run",
        done.path.display(),
        done.size,
        done.attempts,
        done.resumed_from
    );

    if own_server {
        if std::fs::read(&output)? != *content {
            return Err("the file differs from the one on the server".into());
        }
        if done.resumed_from == 0 && done.attempts != 3 {
            return Err(format!(
                "there should be 3 requests, because the connection breaks twice; there were {}",
                done.attempts
            )
            .into());
        }
        println!("the file is complete, and no byte was downloaded twice");
    }
    Ok(())
}

/// The response of the server. The first two connections break after 3 MB.
fn part(content: &[u8], request: &Request, number: usize) -> Vec<u8> {
    const ETAG: &str = "\"v1\"";
    let from = request
        .header("range")
        .filter(|_| request.header("if-range") == Some(ETAG))
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
        .filter(|from| *from < content.len());
    let rest = &content[from.unwrap_or_default()..];
    let sent = if number < 2 {
        &rest[..rest.len().min(3_000_000)]
    } else {
        rest
    };
    match from {
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", content.len() - 1, content.len());
            let headers = [("etag", ETAG), ("content-range", &range)];
            response("206 Partial Content", &headers, rest.len(), sent)
        }
        None => response("200 OK", &[("etag", ETAG)], rest.len(), sent),
    }
}
