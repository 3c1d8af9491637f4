//! What a program does with HTTP and WebSocket clients, from the first request to retries, proxies and circuit breakers. Each
//! example is a usage example of the specification and runs against servers in this process. `snippets.rs` has them.
//!
//! ```sh
//! cargo run -p networking-examples --features oauth2,websocket --bin http_usage
//! ```
//!
//! It needs the features `oauth2` and `websocket`.

mod server;
mod snippets;

use server::{Servers, unreachable};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let servers = Servers::start().await?;
    let (http, websocket) = (servers.http(), servers.websocket());
    let unreachable = unreachable().await?;
    let directory = Directory::new()?;
    let image = directory.0.join("image.jpg");
    std::fs::write(&image, b"not really an image")?;

    snippets::basic_requests(&http).await?;
    snippets::default_headers(&http).await?;
    snippets::error_handling(&unreachable).await?;
    snippets::websocket_callbacks(&websocket).await?;
    snippets::quick_start(&http, &websocket).await?;
    snippets::configured_client(&http).await?;
    snippets::status_codes(&http).await?;
    snippets::form_data(&http, &image).await?;
    snippets::interceptors(&http).await?;
    snippets::rate_limiting(&http).await?;
    snippets::request_retries(&http).await?;
    snippets::overridden_headers(&http).await?;
    snippets::proxy(&http).await?;
    snippets::causes_of_errors(&unreachable).await?;
    snippets::api_client(&http).await?;
    snippets::batch_operations(&http).await?;
    snippets::error_retry(&http).await?;
    snippets::file_upload(&http, &image).await?;
    snippets::authentication(&http).await?;
    snippets::client_operations(&http).await?;
    snippets::extended_operations(&http, &websocket).await?;
    snippets::patterns(&http).await?;
    println!("all examples did what they say");
    Ok(())
}

/// A temporary directory. Dropping it removes it.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("networking-http-usage-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A directory that cannot be removed is left to the system.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
