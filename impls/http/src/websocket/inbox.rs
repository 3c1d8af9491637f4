//! The received messages that the application has not taken yet.

use std::collections::VecDeque;
use std::pin::pin;

use networking_spi::websocket::WebSocketMessage;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// The largest number of pings and pongs that are kept.
const MAX_CONTROL: usize = 64;

/// What a message counts in addition to its payload, in bytes, so that the number of messages is bounded, too.
const OVERHEAD: usize = 64;

/// A queue that is bounded in bytes. It never refuses a message: the reader looks at [`is_full`](Self::is_full) first.
pub(super) struct Inbox {
    state: Mutex<State>,
    limit: usize,
    /// A message has arrived, or the end.
    arrived: Notify,
    /// A message was taken.
    taken: Notify,
}

#[derive(Default)]
struct State {
    messages: VecDeque<WebSocketMessage>,
    bytes: usize,
    /// Pings and pongs among the messages.
    control: usize,
    ended: bool,
}

impl Inbox {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            limit,
            arrived: Notify::new(),
            taken: Notify::new(),
        }
    }

    /// Adds a message. Pings and pongs above their number are dropped.
    pub(super) fn put(&self, message: WebSocketMessage) {
        {
            let mut state = self.state.lock();
            match &message {
                WebSocketMessage::Ping(_) | WebSocketMessage::Pong(_) if state.control == MAX_CONTROL => return,
                WebSocketMessage::Ping(_) | WebSocketMessage::Pong(_) => state.control += 1,
                WebSocketMessage::Close(_) => {}
                data => state.bytes = state.bytes.saturating_add(size(data)),
            }
            state.messages.push_back(message);
        }
        self.arrived.notify_one();
    }

    /// No message follows.
    pub(super) fn end(&self) {
        self.state.lock().ended = true;
        self.arrived.notify_waiters();
    }

    /// The next message; `None` after the end. If the future is dropped, no message is lost.
    pub(super) async fn take(&self) -> Option<WebSocketMessage> {
        loop {
            let mut arrived = pin!(self.arrived.notified());
            // Before looking, so that `end` in between is noticed.
            arrived.as_mut().enable();
            {
                let mut state = self.state.lock();
                if let Some(message) = state.messages.pop_front() {
                    match &message {
                        WebSocketMessage::Ping(_) | WebSocketMessage::Pong(_) => state.control -= 1,
                        WebSocketMessage::Close(_) => {}
                        data => state.bytes -= size(data),
                    }
                    let more = !state.messages.is_empty();
                    drop(state);
                    if more {
                        // The notification may have been for two messages.
                        self.arrived.notify_one();
                    }
                    self.taken.notify_one();
                    return Some(message);
                }
                if state.ended {
                    return None;
                }
            }
            arrived.await;
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.state.lock().bytes >= self.limit
    }

    /// Waits until a message can be added.
    pub(super) async fn room(&self) {
        loop {
            let taken = self.taken.notified();
            if !self.is_full() {
                return;
            }
            taken.await;
        }
    }
}

fn size(message: &WebSocketMessage) -> usize {
    message.len().saturating_add(OVERHEAD)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn data_fills_it_and_control_frames_do_not() {
        let inbox = Inbox::new(2 * (OVERHEAD + 1));
        for number in 0..200 {
            inbox.put(WebSocketMessage::Ping(Bytes::from(vec![number])));
        }
        inbox.put(WebSocketMessage::text("1"));
        assert!(!inbox.is_full());
        inbox.put(WebSocketMessage::text("2"));
        inbox.put(WebSocketMessage::Close(None));
        assert!(inbox.is_full());
        assert!(inbox.room().now_or_never().is_none());
        for number in 0..64 {
            let ping = WebSocketMessage::Ping(Bytes::from(vec![number]));
            assert_eq!(inbox.take().await, Some(ping));
        }
        assert!(inbox.room().now_or_never().is_none());
        assert_eq!(inbox.take().await, Some(WebSocketMessage::text("1")));
        inbox.room().await;
        inbox.end();
        assert_eq!(inbox.take().await, Some(WebSocketMessage::text("2")));
        assert_eq!(inbox.take().await, Some(WebSocketMessage::Close(None)));
        assert_eq!(inbox.take().await, None);
        assert_eq!(inbox.take().await, None);
    }

    #[tokio::test]
    async fn every_waiting_receiver_gets_a_message_or_the_end() {
        let inbox = Arc::new(Inbox::new(1_000));
        let receivers: Vec<_> = (0..4)
            .map(|_| {
                let inbox = Arc::clone(&inbox);
                tokio::spawn(async move { inbox.take().await })
            })
            .collect();
        tokio::task::yield_now().await;
        inbox.put(WebSocketMessage::text("1"));
        inbox.put(WebSocketMessage::text("2"));
        tokio::task::yield_now().await;
        inbox.end();
        let mut received = 0;
        for receiver in receivers {
            received += usize::from(receiver.await.unwrap().is_some());
        }
        assert_eq!(received, 2);
    }
}
