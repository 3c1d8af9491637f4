//! The task that receives messages, and reconnects after a disconnect.

use std::sync::Arc;

use networking_spi::error::context;
use networking_spi::websocket::{
    CloseFrame, UnreadPolicy, WebSocketClient, WebSocketConnection, WebSocketMessage, WebSocketRequest,
};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use tokio::time::{Instant, sleep, timeout};

use super::{OpenHook, ReconnectEvent, ReconnectPolicy, Shared};
use crate::marks::given_up;
use crate::websocket::error::{unread, unread_close};
use crate::websocket::{OPERATION, RECEIVE};

pub(super) struct Driver {
    pub(super) client: Arc<dyn WebSocketClient>,
    pub(super) request: WebSocketRequest,
    pub(super) policy: ReconnectPolicy,
    pub(super) hook: Option<OpenHook>,
    pub(super) shared: Arc<Shared>,
}

/// How one connection ended.
enum Disconnect {
    /// By a closing handshake, permanently.
    Closed,
    /// By an error that is not retryable, permanently.
    Failed(NetworkError),
    /// By a transient failure: reconnect.
    Outage(NetworkError),
}

impl Driver {
    pub(super) async fn run(self, first: Arc<dyn WebSocketConnection>) {
        let failure = tokio::select! {
            failure = self.drive(first) => failure,
            () = self.shared.stopped.cancelled() => None,
        };
        let unsent = self.shared.outbox.finish(failure.clone());
        // The failure is set first, so that a receiver that finds the end sees it.
        self.shared.inbox.end();
        // There may be no subscriber.
        let _ = self
            .shared
            .events
            .send(ReconnectEvent::Ended { cause: failure, unsent });
        self.shared.ended.cancel();
    }

    /// Opens a connection, runs the hook and sends the queue.
    pub(super) async fn open(&self) -> Result<Arc<dyn WebSocketConnection>> {
        let fresh = self.client.connect(self.request.clone()).await?;
        let limit = self.request.options.handshake_timeout;
        let late = |_| Err(NetworkError::timeout(OPERATION, Phase::Connect, limit));
        if let Some(hook) = &self.hook {
            timeout(limit, hook(Arc::clone(&fresh))).await.unwrap_or_else(late)?;
        }
        while let Some(message) = self.shared.outbox.next_for(&fresh) {
            // With a timeout: nothing is received yet, and the peer may not read until it has sent.
            if let Err(error) = timeout(limit, fresh.send(message.clone())).await.unwrap_or_else(late) {
                self.shared.outbox.put_back(message, error.send_state());
                return Err(error);
            }
        }
        Ok(fresh)
    }

    /// Runs until the connection ends permanently. Returns the error that ended it, if any.
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
            // `close` stops this task if there is no connection. With a connection, it is handled here.
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

    /// Delivers messages until the connection ends.
    async fn forward(&self, connection: &dyn WebSocketConnection) -> Disconnect {
        let mut frame = None;
        loop {
            match connection.receive().await {
                Ok(Some(WebSocketMessage::Close(sent))) => {
                    if self.is_final(sent.as_ref()) {
                        self.shared.inbox.put(WebSocketMessage::Close(sent));
                        // Complete the closing handshake.
                        while let Ok(Some(_)) = connection.receive().await {}
                        return Disconnect::Closed;
                    }
                    frame = sent;
                }
                Ok(Some(message)) => {
                    if let Err(error) = self.deliver(message).await {
                        let closing = connection.close_with(unread_close());
                        // The end does not depend on the answer of the peer.
                        let _ = timeout(self.request.options.close_timeout, closing).await;
                        return Disconnect::Failed(error);
                    }
                }
                // While closing, a broken connection counts as closed.
                Ok(None) | Err(_) if self.shared.closing.is_cancelled() => return Disconnect::Closed,
                Ok(None) => return Disconnect::Outage(closed_by_peer(frame.as_ref())),
                Err(error) if !error.retryability().is_transient() => return Disconnect::Failed(error),
                Err(error) => return Disconnect::Outage(error),
            }
        }
    }

    fn is_final(&self, frame: Option<&CloseFrame>) -> bool {
        let final_code = |frame: &CloseFrame| self.policy.final_codes.contains(&frame.code);
        self.shared.closing.is_cancelled() || self.policy.max_attempts == Some(0) || frame.is_some_and(final_code)
    }

    async fn deliver(&self, message: WebSocketMessage) -> Result<()> {
        let Shared { inbox, closing, .. } = &*self.shared;
        if message.is_data() && inbox.is_full() {
            let options = &self.request.options;
            if options.unread_policy == UnreadPolicy::Close && !closing.is_cancelled() {
                return Err(unread(options.max_unread));
            }
            tokio::select! {
                () = inbox.room() => {}
                // `close` must not wait until all messages are received.
                () = closing.cancelled() => return Ok(()),
            }
        }
        inbox.put(message);
        Ok(())
    }

    /// Tries to connect until an attempt succeeds or the failure is permanent.
    async fn reopen(
        &self,
        attempts: &mut u32,
        mut cause: NetworkError,
    ) -> Result<Arc<dyn WebSocketConnection>, NetworkError> {
        self.report(ReconnectEvent::Disconnected { cause: cause.clone() });
        loop {
            if self.policy.max_attempts.is_some_and(|most| *attempts >= most) {
                return Err(given_up(cause, *attempts));
            }
            *attempts += 1;
            let attempt = *attempts;
            let delay = self.policy.delay(attempt, &cause);
            tracing::debug!(attempt, ?delay, %cause, "reconnecting a WebSocket");
            self.report(ReconnectEvent::Reconnecting { attempt, delay });
            sleep(delay).await;
            match self.open().await {
                Ok(fresh) => {
                    self.report(ReconnectEvent::Reconnected { attempts: attempt });
                    return Ok(fresh);
                }
                Err(error) => {
                    let is_final = !error.retryability().is_transient();
                    cause = error;
                    self.report(ReconnectEvent::Failed {
                        attempt,
                        cause: cause.clone(),
                    });
                    if is_final {
                        return Err(given_up(cause, attempt));
                    }
                }
            }
        }
    }

    fn report(&self, event: ReconnectEvent) {
        // There may be no subscriber.
        let _ = self.shared.events.send(event);
    }
}

fn closed_by_peer(frame: Option<&CloseFrame>) -> NetworkError {
    let error = NetworkError::new(ErrorKind::ConnectionClosed, RECEIVE, "the peer closed the connection");
    match frame {
        Some(frame) => error
            .with_context("code", frame.code.to_string())
            .with_context(context::REASON, frame.reason.clone()),
        None => error,
    }
}
