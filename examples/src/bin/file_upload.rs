//! Uploads a file in a form, with a progress bar. The file is streamed from disk; the first attempt is refused, and the
//! retry sends it again from its start.
//!
//! ```sh
//! cargo run -p networking-examples --bin file_upload
//! cargo run -p networking-examples --bin file_upload -- --url https://httpbin.org/post --file report.pdf
//! ```

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
    /// Where to; without it, a server of this process.
    #[arg(long)]
    url: Option<String>,
    /// What; without it, four megabytes made up.
    #[arg(long)]
    file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir()?;
    let path = match arguments.file {
        Some(path) => path,
        None => made_up(directory.path())?,
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
    // A POST is sent again only because we say that this one may be.
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
    let answer = http.request(request).await?.error_for_status()?;
    bar.finish();
    println!("{} for {} bytes", answer.status, bar.position());

    if own_server {
        let file = std::fs::read(&path)?;
        let received = received.lock().map_err(|_| "the server failed")?;
        let whole = |body: &Vec<u8>| body.windows(file.len().max(1)).any(|window| window.starts_with(&file));
        if received.len() != 2 || !received.iter().all(whole) {
            return Err(format!(
                "the server has not received the file twice, but {} requests",
                received.len()
            )
            .into());
        }
        println!("both attempts sent the whole file");
    }
    Ok(())
}

fn made_up(directory: &std::path::Path) -> std::io::Result<PathBuf> {
    let path = directory.join("q2 \"final\".csv");
    let rows: Vec<String> = (0..200_000).map(|row| format!("{row};{}", row * 7 % 1_003)).collect();
    std::fs::write(&path, rows.join("\n"))?;
    Ok(path)
}
