//! The task that receives, and opens the next connection when one is lost.

use std::sync::Arc;

use networking_spi::http::HttpExtended;
use networking_spi::websocket::{CloseFrame, WebSocketConnection, WebSocketMessage, WebSocketRequest};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{OpenHook, ReconnectEvent, ReconnectPolicy, Shared};
use crate::websocket::{OPERATION, RECEIVE};

pub(super) struct Driver {
    pub(super) client: Arc<dyn HttpExtended>,
    pub(super) request: WebSocketRequest,
    pub(super) policy: ReconnectPolicy,
    pub(super) hook: Option<OpenHook>,
    pub(super) shared: Arc<Shared>,
    pub(super) inbox: mpsc::Sender<WebSocketMessage>,
}

/// How one connection ended.
enum Disconnect {
    /// For good, by a closing handshake.
    Closed,
    /// For good, by an error.
    Failed(NetworkError),
    /// Worth another attempt.
    Outage(NetworkError),
}

impl Driver {
    pub(super) async fn run(self, first: Arc<dyn WebSocketConnection>) {
        let failure = tokio::select! {
            failure = self.drive(first) => failure,
            () = self.shared.stopped.cancelled() => None,
        };
        let unsent = self.shared.outbox.finish(failure.clone());
        // Whoever finds the inbox closed must find the failure, too.
        drop(self.inbox);
        // Nobody may be there to hear it.
        let _ = self
            .shared
            .events
            .send(ReconnectEvent::Ended { cause: failure, unsent });
        self.shared.ended.cancel();
    }

    /// Opens a connection that is ready for the application: the hook has run, and the queue is sent.
    pub(super) async fn open(&self) -> Result<Arc<dyn WebSocketConnection>> {
        let fresh = self.client.websocket_connect(self.request.clone()).await?;
        let limit = self.request.options.handshake_timeout;
        let late = |_| Err(NetworkError::timeout(OPERATION, Phase::Connect, limit));
        if let Some(hook) = &self.hook {
            timeout(limit, hook(Arc::clone(&fresh))).await.unwrap_or_else(late)?;
        }
        while let Some(message) = self.shared.outbox.next_for(&fresh) {
            // Nobody receives yet, and a peer that waits for that may not read.
            timeout(limit, fresh.send(message)).await.unwrap_or_else(late)?;
        }
        Ok(fresh)
    }

    /// Gives the failure that ended it, if it was one.
    async fn drive(&self, first: Arc<dyn WebSocketConnection>) -> Option<NetworkError> {
        let mut connection = first;
        let mut attempts = 0;
        loop {
            let opened = Instant::now();
            let disconnect = self.forward(&*connection).await;
            self.shared.outbox.disconnect();
            let cause = match disconnect {
                Disconnect::Closed => return None,
                Disconnect::Failed(error) => return Some(error),
                Disconnect::Outage(cause) => cause,
            };
            // Whoever closes has either found no connection, which stops this task, or is seen here.
            if self.shared.closing.is_cancelled() {
                return None;
            }
            if opened.elapsed() >= self.policy.stable_after {
                attempts = 0;
            }
            match self.reopen(&mut attempts, cause).await {
                Ok(fresh) => connection = fresh,
                Err(failure) => return Some(failure),
            }
        }
    }

    /// Hands on what arrives, until the connection is lost.
    async fn forward(&self, connection: &dyn WebSocketConnection) -> Disconnect {
        let mut frame = None;
        loop {
            match connection.receive().await {
                Ok(Some(WebSocketMessage::Close(sent))) => {
                    if self.is_final(sent.as_ref()) {
                        self.deliver(WebSocketMessage::Close(sent)).await;
                        // What follows is the rest of the handshake.
                        while let Ok(Some(_)) = connection.receive().await {}
                        return Disconnect::Closed;
                    }
                    frame = sent;
                }
                Ok(Some(message)) => self.deliver(message).await,
                // The handshake is done as far as it can be when the peer is gone.
                Ok(None) | Err(_) if self.shared.closing.is_cancelled() => return Disconnect::Closed,
                Ok(None) => return Disconnect::Outage(closed_by_peer(frame.as_ref())),
                Err(error) if !error.retryability().is_retryable() => return Disconnect::Failed(error),
                Err(error) => return Disconnect::Outage(error),
            }
        }
    }

    fn is_final(&self, frame: Option<&CloseFrame>) -> bool {
        let final_code = |frame: &CloseFrame| self.policy.final_codes.contains(&frame.code);
        self.shared.closing.is_cancelled() || self.policy.max_attempts == Some(0) || frame.is_some_and(final_code)
    }

    async fn deliver(&self, message: WebSocketMessage) {
        tokio::select! {
            biased;
            permit = self.inbox.reserve() => if let Ok(permit) = permit {
                permit.send(message);
            },
            // Whoever closes cannot be made to receive everything first.
            () = self.shared.closing.cancelled() => {}
        }
    }

    /// Tries until there is a connection, or no hope of one.
    async fn reopen(
        &self,
        attempts: &mut u32,
        mut cause: NetworkError,
    ) -> Result<Arc<dyn WebSocketConnection>, NetworkError> {
        self.report(ReconnectEvent::Disconnected { cause: cause.clone() });
        loop {
            if self.policy.max_attempts.is_some_and(|most| *attempts >= most) {
                return Err(cause.with_attempts(*attempts));
            }
            *attempts += 1;
            let attempt = *attempts;
            let delay = self.policy.delay(attempt, &cause);
            tracing::debug!(attempt, ?delay, %cause, "the WebSocket connection is lost");
            self.report(ReconnectEvent::Reconnecting { attempt, delay });
            sleep(delay).await;
            match self.open().await {
                Ok(fresh) => {
                    self.report(ReconnectEvent::Reconnected { attempts: attempt });
                    return Ok(fresh);
                }
                Err(error) => {
                    let is_final = !error.retryability().is_retryable();
                    cause = error;
                    self.report(ReconnectEvent::Failed {
                        attempt,
                        cause: cause.clone(),
                    });
                    if is_final {
                        return Err(cause.with_attempts(attempt));
                    }
                }
            }
        }
    }

    fn report(&self, event: ReconnectEvent) {
        // Nobody may be there to hear it.
        let _ = self.shared.events.send(event);
    }
}

fn closed_by_peer(frame: Option<&CloseFrame>) -> NetworkError {
    let error = NetworkError::new(ErrorKind::ConnectionClosed, RECEIVE, "the peer closed the connection");
    match frame {
        Some(frame) => error
            .with_context("code", frame.code.to_string())
            .with_context("reason", frame.reason.clone()),
        None => error,
    }
}
