//! Sends messages over the current connection, or queues them during an outage.

use std::collections::VecDeque;
use std::sync::Arc;

use networking_spi::websocket::{WebSocketConnection, WebSocketMessage};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use parking_lot::Mutex;

use super::{ReconnectPolicy, absent};
use crate::websocket::SEND;

pub(super) struct Outbox {
    state: Mutex<State>,
    max_messages: usize,
    max_bytes: usize,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<dyn WebSocketConnection>>,
    queue: VecDeque<WebSocketMessage>,
    queued_bytes: usize,
    /// Queued messages that a connection took and may not have sent.
    lost: usize,
    protocol: Option<String>,
    finished: bool,
    failure: Option<NetworkError>,
}

/// How a message is sent.
pub(super) enum Route {
    Direct(Arc<dyn WebSocketConnection>, WebSocketMessage),
    Queued,
}

impl Outbox {
    pub(super) fn new(policy: &ReconnectPolicy) -> Self {
        Self {
            state: Mutex::default(),
            max_messages: policy.queue_messages,
            max_bytes: policy.queue_bytes,
        }
    }

    /// Selects the connection for a message, or queues it.
    pub(super) fn route(&self, message: WebSocketMessage) -> Result<Route> {
        let mut state = self.state.lock();
        if state.finished {
            return Err(match &state.failure {
                Some(failure) => failure.clone().with_operation(SEND),
                None => NetworkError::closed(SEND, "the connection"),
            });
        }
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.is_open()) {
            return Ok(Route::Direct(Arc::clone(connection), message));
        }
        if self.max_messages == 0 || !message.is_data() {
            return Err(absent());
        }
        let bytes = state.queued_bytes.saturating_add(message.len());
        if state.queue.len() == self.max_messages || bytes > self.max_bytes {
            return Err(
                NetworkError::new(ErrorKind::Exhausted, SEND, "the queue for the next connection is full")
                    .with_send_state(SendState::NotSent),
            );
        }
        state.queued_bytes = bytes;
        state.queue.push_back(message);
        Ok(Route::Queued)
    }

    /// The next queued message for a new connection. When the queue is empty, the connection becomes the current one.
    pub(super) fn next_for(&self, fresh: &Arc<dyn WebSocketConnection>) -> Option<WebSocketMessage> {
        let mut state = self.state.lock();
        let Some(message) = state.queue.pop_front() else {
            state.protocol = fresh.protocol();
            state.connection = Some(Arc::clone(fresh));
            return None;
        };
        state.queued_bytes -= message.len();
        Some(message)
    }

    /// Returns a message whose sending failed to the queue, unless it may have been sent: no message is sent twice.
    pub(super) fn put_back(&self, message: WebSocketMessage, sent: SendState) {
        let mut state = self.state.lock();
        if sent == SendState::NotSent {
            state.queued_bytes += message.len();
            state.queue.push_front(message);
        } else {
            state.lost += 1;
        }
    }

    pub(super) fn disconnect(&self) {
        self.state.lock().connection = None;
    }

    /// Ends sending, and returns the number of queued messages that were not sent, or may not have been.
    pub(super) fn finish(&self, failure: Option<NetworkError>) -> usize {
        let mut state = self.state.lock();
        state.connection = None;
        state.finished = true;
        state.failure = failure;
        state.queued_bytes = 0;
        std::mem::take(&mut state.queue).len() + state.lost
    }

    pub(super) fn connection(&self) -> Option<Arc<dyn WebSocketConnection>> {
        self.state.lock().connection.clone()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection().is_some_and(|connection| connection.is_open())
    }

    pub(super) fn is_finished(&self) -> bool {
        self.state.lock().finished
    }

    pub(super) fn failure(&self) -> Option<NetworkError> {
        self.state.lock().failure.clone()
    }

    pub(super) fn protocol(&self) -> Option<String> {
        self.state.lock().protocol.clone()
    }
}
