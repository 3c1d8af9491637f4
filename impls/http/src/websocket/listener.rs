//! Callbacks for received messages.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use networking_spi::websocket::{CloseFrame, WebSocketConnection, WebSocketHandler, WebSocketMessage};
use networking_spi::{ErrorKind, NetworkError, Result};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::RECEIVE;

/// A task that receives from a [`WebSocketConnection`] and calls a [`WebSocketHandler`], as that trait specifies. Other code must
/// not receive from the connection; it may send.
///
/// Dropping the listener does not stop the task: it runs until the connection ends or [`stop`](Self::stop) is called.
///
/// ```
/// use std::sync::Arc;
/// use networking_http::websocket::WebSocketListener;
/// use networking_spi::prelude::*;
/// use networking_spi::websocket::{WebSocketCallbacks, WebSocketRequest};
///
/// async fn follow(client: Arc<dyn WebSocketClient>) -> Result<(), NetworkError> {
///     let connection = client.connect(WebSocketRequest::new("wss://example.com/news")?).await?;
///     let callbacks = WebSocketCallbacks::new().on_message(|message| async move { println!("{message:?}") });
///     let listener = WebSocketListener::start(Arc::clone(&connection), Arc::new(callbacks));
///     connection.send_text("subscribe").await?;
///     listener.finished().await
/// }
/// ```
#[derive(Debug)]
pub struct WebSocketListener {
    stop: CancellationToken,
    task: JoinHandle<Result<()>>,
}

impl WebSocketListener {
    /// Starts the task.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(connection: Arc<dyn WebSocketConnection>, handler: Arc<dyn WebSocketHandler>) -> Self {
        let stop = CancellationToken::new();
        let listening = Listening {
            connection,
            handler,
            stop: stop.clone(),
        };
        Self {
            stop,
            task: tokio::spawn(listening.run()),
        }
    }

    /// Asks the task to stop, without waiting. When the running callback has returned, the task closes the connection (1000) and
    /// calls `on_close`. Callbacks may call this.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether `on_close` has returned.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until `on_close` has returned.
    ///
    /// Cancel safety: dropping the future does not stop the task, which can then no longer be stopped.
    ///
    /// # Errors
    /// The error that `on_error` was called with; [`Internal`](ErrorKind::Internal) if a callback panicked;
    /// [`Cancelled`](ErrorKind::Cancelled) if the runtime shut down.
    pub async fn finished(self) -> Result<()> {
        match self.task.await {
            Ok(end) => end,
            Err(_) => Err(NetworkError::new(
                ErrorKind::Cancelled,
                RECEIVE,
                "the runtime of the listener shut down",
            )),
        }
    }
}

struct Listening {
    connection: Arc<dyn WebSocketConnection>,
    handler: Arc<dyn WebSocketHandler>,
    stop: CancellationToken,
}

impl Listening {
    async fn run(self) -> Result<()> {
        let mut frame = None;
        let mut end = self.listen(&mut frame).await;
        if let Err(error) = &end {
            let error = error.clone();
            if let Err(panicked) = guard("on_error", async { self.handler.on_error(error).await }).await {
                end = Err(panicked);
            }
        }
        if let Err(panicked) = guard("on_close", async { self.handler.on_close(frame).await }).await {
            end = end.and(Err(panicked));
        }
        end
    }

    async fn listen(&self, frame: &mut Option<CloseFrame>) -> Result<()> {
        loop {
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => return self.close_as(frame).await,
                received = self.connection.receive() => received?,
            };
            match received {
                None => return Ok(()),
                Some(WebSocketMessage::Close(sent)) => *frame = sent,
                Some(message) if message.is_data() => {
                    if let Err(panicked) = guard("on_message", async { self.handler.on_message(message).await }).await {
                        let why = CloseFrame::new(CloseFrame::INTERNAL_ERROR, "the application failed");
                        // The panic is the error that is reported.
                        let _ = self.connection.close_with(why).await;
                        return Err(panicked);
                    }
                }
                Some(_) => {}
            }
        }
    }

    /// Closes the connection, and skips undelivered messages to find the peer's close frame.
    async fn close_as(&self, frame: &mut Option<CloseFrame>) -> Result<()> {
        self.connection.close_with(CloseFrame::normal()).await?;
        while let Some(message) = self.connection.receive().await? {
            if let WebSocketMessage::Close(sent) = message {
                *frame = sent;
            }
        }
        Ok(())
    }
}

/// Runs a callback, and turns a panic into an error.
async fn guard(callback: &'static str, call: impl Future<Output = ()>) -> Result<()> {
    AssertUnwindSafe(call).catch_unwind().await.map_err(|_| {
        tracing::error!(callback, "a WebSocket callback panicked");
        NetworkError::new(ErrorKind::Internal, RECEIVE, "a callback panicked").with_context("callback", callback)
    })
}
