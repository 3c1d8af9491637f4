//! Uploads a file in a multipart form, with a progress bar. The file is streamed from disk. The first attempt fails with 503,
//! and the retry sends the file again from its start.
//!
//! ```sh
//! cargo run -p networking-examples --features files --bin file_upload
//! cargo run -p networking-examples --features files,tls --bin file_upload -- --url https://httpbin.org/post --file report.pdf
//! ```
//!
//! It needs the feature `files`, and `tls` for https.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use networking_examples::loopback::{Loopback, response};
use networking_impls::http::{FileSource, HttpClientBuilder};
use networking_spi::http::{Method, Multipart, RetryPolicy};
use networking_spi::prelude::*;

#[derive(Parser)]
struct Arguments {
    /// The URL to upload to; defaults to a server in this process.
    #[arg(long)]
    url: Option<String>,
    /// The file to upload; defaults to a generated one of about 2 MB.
    #[arg(long)]
    file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir()?;
    let path = match arguments.file {
        Some(path) => path,
        None => generated(directory.path())?,
    };

    let received = Arc::new(Mutex::new(Vec::new()));
    let bodies = Arc::clone(&received);
    let server = Loopback::start(move |request, number| {
        if let Ok(mut bodies) = bodies.lock() {
            bodies.push(request.body);
        }
        match number {
            0 => response("503 Service Unavailable", &[], 0, b""),
            _ => response("201 Created", &[], 0, b""),
        }
    })
    .await?;
    let own_server = arguments.url.is_none();
    let url = arguments.url.unwrap_or_else(|| server.url("/reports"));

    let bar = ProgressBar::new(0).with_style(ProgressStyle::with_template(
        "{msg} {bar:40} {bytes}/{total_bytes} {bytes_per_sec}",
    )?);
    let shown = bar.clone();
    let form = Multipart::new()
        .text("title", "Second quarter")
        .part("report", FileSource::new(&path).await?.into_part());
    // The idempotency key allows the client to retry a POST.
    let request = HttpRequest::new(Method::POST, url.as_str())
        .with_header("idempotency-key", "upload-1")?
        .with_multipart(form)?
        .with_upload_progress(move |progress| {
            shown.set_message(format!("attempt {}", progress.attempt));
            shown.set_length(progress.total.unwrap_or_default());
            shown.set_position(progress.sent);
        });
    println!("{:#}", request.to_curl());

    let http: Arc<dyn HttpClient> = Arc::new(
        HttpClientBuilder::new()
            .retry(RetryPolicy::new(3).with_delays(Duration::from_millis(50), Duration::from_secs(1)))
            .build()?,
    );
    let response = http.request(request).await?.error_for_status()?;
    bar.finish();
    println!("{} for {} bytes", response.status, bar.position());

    if own_server {
        let file = std::fs::read(&path)?;
        let received = received.lock().map_err(|_| "the server failed")?;
        let whole = |body: &Vec<u8>| body.windows(file.len().max(1)).any(|window| window.starts_with(&file));
        if received.len() != 2 || !received.iter().all(whole) {
            return Err(format!(
                "the server should have received the file twice; it received {} requests",
                received.len()
            )
            .into());
        }
        println!("both attempts sent the whole file");
    }
    Ok(())
}

fn generated(directory: &std::path::Path) -> std::io::Result<PathBuf> {
    let path = directory.join("q2 \"final\".csv");
    let rows: Vec<String> = (0..200_000).map(|row| format!("{row};{}", row * 7 % 1_003)).collect();
    std::fs::write(&path, rows.join("\n"))?;
    Ok(path)
}
