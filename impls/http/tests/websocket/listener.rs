//! Callbacks over any connection.

use std::sync::Arc;

use networking_http::websocket::WebSocketListener;
use networking_spi::ErrorKind;
use networking_spi::websocket::{CloseFrame, WebSocketCallbacks, WebSocketMessage};
use tokio::sync::{Semaphore, mpsc};

use super::fake::pair;

/// Callbacks that report what they are called with.
fn reporting() -> (WebSocketCallbacks, mpsc::UnboundedReceiver<String>) {
    let (sender, calls) = mpsc::unbounded_channel();
    let (messages, errors, closes) = (sender.clone(), sender.clone(), sender);
    let callbacks = WebSocketCallbacks::new()
        .on_message(move |message| {
            let messages = messages.clone();
            async move {
                if let WebSocketMessage::Text(text) = message {
                    assert!(text != "panic", "caused by the test");
                    messages.send(text).unwrap();
                }
            }
        })
        .on_error(move |error| {
            let errors = errors.clone();
            async move {
                errors.send(format!("error {}", error.kind())).unwrap();
            }
        })
        .on_close(move |frame| {
            let closes = closes.clone();
            async move {
                let code = frame.map(|frame| frame.code);
                closes.send(format!("close {code:?}")).unwrap();
            }
        });
    (callbacks, calls)
}

async fn all(mut calls: mpsc::UnboundedReceiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(call) = calls.recv().await {
        all.push(call);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn messages_are_delivered_in_order_and_on_close_is_called_once() {
    let (connection, remote) = pair();
    let (callbacks, calls) = reporting();
    for text in ["one", "two", "three"] {
        remote.send_to_client(text);
    }
    remote.close(4000);
    let listener = WebSocketListener::start(connection, Arc::new(callbacks));
    listener.finished().await.unwrap();
    assert_eq!(all(calls).await, ["one", "two", "three", "close Some(4000)"]);
}

#[tokio::test(start_paused = true)]
async fn on_error_is_called_before_on_close() {
    let (connection, remote) = pair();
    let (callbacks, calls) = reporting();
    remote.send_to_client("one");
    remote.fail(ErrorKind::ConnectionClosed);
    let listener = WebSocketListener::start(connection, Arc::new(callbacks));
    let end = listener.finished().await.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::ConnectionClosed);
    assert_eq!(all(calls).await, ["one", "error connection_closed", "close None"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_closes_the_connection_and_is_reported() {
    let (connection, mut remote) = pair();
    let (callbacks, calls) = reporting();
    for text in ["one", "panic", "never delivered"] {
        remote.send_to_client(text);
    }
    let listener = WebSocketListener::start(connection, Arc::new(callbacks));
    let end = listener.finished().await.unwrap_err();
    assert_eq!(end.kind(), ErrorKind::Internal);
    assert_eq!(all(calls).await, ["one", "error internal", "close None"]);
    let WebSocketMessage::Close(Some(frame)) = remote.next_from_client().await else {
        panic!("a close frame is sent")
    };
    assert_eq!(frame.code, CloseFrame::INTERNAL_ERROR);
}

#[tokio::test(start_paused = true)]
async fn on_close_is_called_after_a_panic_in_on_error() {
    let (connection, remote) = pair();
    let (callbacks, calls) = reporting();
    let callbacks = callbacks.on_error(|_| async { panic!("caused by the test") });
    remote.fail(ErrorKind::Protocol);
    let end = WebSocketListener::start(connection, Arc::new(callbacks))
        .finished()
        .await;
    assert_eq!(end.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(all(calls).await, ["close None"]);
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_the_running_callback_and_delivers_nothing_after_it() {
    let (connection, mut remote) = pair();
    let gate = Arc::new(Semaphore::new(0));
    let (sender, mut entered) = mpsc::unbounded_channel();
    let waiting = Arc::clone(&gate);
    let callbacks = WebSocketCallbacks::new().on_message(move |message| {
        let (sender, gate) = (sender.clone(), Arc::clone(&waiting));
        async move {
            sender.send(message).unwrap();
            gate.acquire().await.unwrap().forget();
        }
    });
    remote.send_to_client("one");
    remote.send_to_client("two");
    let listener = WebSocketListener::start(connection, Arc::new(callbacks));
    assert_eq!(entered.recv().await, Some(WebSocketMessage::text("one")));
    listener.stop();
    assert!(!listener.is_finished());
    gate.add_permits(2);
    listener.finished().await.unwrap();
    assert_eq!(entered.recv().await, None, "the second message is not delivered");
    let WebSocketMessage::Close(Some(frame)) = remote.next_from_client().await else {
        panic!("a close frame is sent")
    };
    assert_eq!(frame.code, CloseFrame::NORMAL);
}
