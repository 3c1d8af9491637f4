//! Connections that reconnect, under a paused clock. The test is the peer.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use networking_http::websocket::{ReconnectEvent, ReconnectPolicy, ReconnectingWebSocket};
use networking_spi::websocket::{
    CloseFrame, WebSocketConnection, WebSocketConnectionExt, WebSocketMessage, WebSocketRequest,
};
use networking_spi::{ErrorKind, NetworkError, Retryability, SendState};
use tokio::time::{Instant, advance};

use super::fake::{self, Peer, STUCK, client};

fn error(kind: ErrorKind) -> NetworkError {
    NetworkError::new(kind, "test", "caused by the test")
}

async fn connect(policy: ReconnectPolicy) -> (Arc<ReconnectingWebSocket>, Peer) {
    let (client, peer) = client();
    let request = WebSocketRequest::new("ws://peer.test/").unwrap();
    let connection = ReconnectingWebSocket::builder(client, request)
        .policy(policy)
        .on_open(|fresh| async move { fresh.send_text("hello").await })
        .connect()
        .await
        .unwrap();
    (connection, peer)
}

fn text(text: &str) -> WebSocketMessage {
    WebSocketMessage::text(text)
}

#[tokio::test(start_paused = true)]
async fn messages_continue_on_the_next_connection() {
    let (connection, mut peer) = connect(ReconnectPolicy::new()).await;
    let mut events = connection.events();
    let mut first = peer.accept().await;
    assert_eq!(first.next_from_client().await, text("hello"));
    first.send_to_client("one");
    first.fail(ErrorKind::ConnectionClosed);
    let mut second = peer.accept().await;
    assert_eq!(
        second.next_from_client().await,
        text("hello"),
        "the hook runs for every connection"
    );
    second.send_to_client("two");
    assert_eq!(connection.next().await.unwrap(), Some(text("one")));
    assert_eq!(connection.next().await.unwrap(), Some(text("two")));
    assert!(
        matches!(events.next().await, Some(ReconnectEvent::Disconnected { cause }) if cause.kind() == ErrorKind::ConnectionClosed)
    );
    assert!(matches!(
        events.next().await,
        Some(ReconnectEvent::Reconnecting { attempt: 1, .. })
    ));
    assert!(matches!(
        events.next().await,
        Some(ReconnectEvent::Reconnected { attempts: 1 })
    ));
    connection.send_text("over the second").await.unwrap();
    assert_eq!(second.next_from_client().await, text("over the second"));
}

#[tokio::test(start_paused = true)]
async fn final_close_codes_end_the_connection() {
    let (connection, mut peer) = connect(ReconnectPolicy::new()).await;
    let first = peer.accept().await;
    first.close(CloseFrame::GOING_AWAY);
    let second = peer.accept().await;
    let mut events = connection.events();
    second.close(CloseFrame::NORMAL);
    let received = connection.receive().await.unwrap();
    assert_eq!(
        received,
        Some(WebSocketMessage::Close(Some(CloseFrame::new(1000, "bye")))),
        "only the last close frame is delivered"
    );
    assert_eq!(connection.receive().await.unwrap(), None);
    assert!(!connection.is_open());
    assert_eq!(
        connection.send_text("late").await.unwrap_err().kind(),
        ErrorKind::Closed
    );
    while let Some(event) = events.next().await {
        if let ReconnectEvent::Ended { cause, unsent } = event {
            assert!(cause.is_none());
            assert_eq!(unsent, 0);
        }
    }
    assert!(connection.events().next().await.is_none(), "nothing follows the end");
}

#[tokio::test(start_paused = true)]
async fn other_close_codes_are_transient() {
    let (_connection, mut peer) = connect(ReconnectPolicy::new()).await;
    for code in [
        CloseFrame::GOING_AWAY,
        CloseFrame::INTERNAL_ERROR,
        CloseFrame::SERVICE_RESTART,
        CloseFrame::TRY_AGAIN_LATER,
        CloseFrame::BAD_GATEWAY,
        4_000,
    ] {
        peer.accept().await.close(code);
    }
    peer.accept().await;
}

/// A queued message whose sending failed is sent on the next connection, unless it may have been sent.
#[tokio::test(start_paused = true)]
async fn queued_messages_are_lost_only_if_they_may_have_been_sent() {
    for (text, attempts_until_lost) in [(fake::FAILS, 1), (fake::REFUSED, 3)] {
        let policy = ReconnectPolicy::new().with_queue(2, 100).with_max_attempts(3);
        let (connection, mut peer) = connect(policy).await;
        let mut events = connection.events();
        peer.accept().await.fail(ErrorKind::ConnectionClosed);
        assert!(matches!(events.next().await, Some(ReconnectEvent::Disconnected { .. })));
        connection.send_text(text).await.unwrap();
        let mut attempts = 0;
        loop {
            match events.next().await.expect("an end") {
                ReconnectEvent::Failed { .. } => attempts += 1,
                ReconnectEvent::Reconnected { .. } => {
                    assert_eq!(attempts, attempts_until_lost, "{text}: the queue is empty");
                    connection.close().await.unwrap();
                }
                ReconnectEvent::Ended { unsent, .. } => {
                    assert_eq!(unsent, 1, "{text}");
                    break;
                }
                _ => {}
            }
        }
        assert_eq!(attempts, attempts_until_lost, "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn errors_that_are_not_retryable_are_final() {
    let (connection, mut peer) = connect(ReconnectPolicy::new()).await;
    peer.accept().await.fail(ErrorKind::TooLarge);
    assert_eq!(connection.receive().await.unwrap_err().kind(), ErrorKind::TooLarge);

    let (connection, mut peer) = connect(ReconnectPolicy::new()).await;
    peer.set_outcomes([
        Err(error(ErrorKind::ConnectionRefused)),
        Err(error(ErrorKind::Authentication)),
    ]);
    peer.accept().await.fail(ErrorKind::ConnectionClosed);
    let end = connection.receive().await.unwrap_err();
    assert_eq!((end.kind(), end.attempts()), (ErrorKind::Authentication, 2));
    let again = connection.receive().await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Authentication, "every call returns the error");
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_until_a_connection_is_stable() {
    let policy = ReconnectPolicy::new()
        .with_max_attempts(2)
        .with_stable_after(Duration::from_secs(60));
    let (connection, mut peer) = connect(policy).await;
    let first = peer.accept().await;
    first.fail(ErrorKind::ConnectionClosed);
    // The second connection is not stable, so the count continues.
    peer.accept().await.fail(ErrorKind::ConnectionClosed);
    let third = peer.accept().await;
    // The third one is stable, so the count is reset.
    advance(Duration::from_secs(61)).await;
    peer.set_outcomes([
        Err(error(ErrorKind::ConnectionRefused)),
        Err(error(ErrorKind::ConnectionRefused)),
    ]);
    third.fail(ErrorKind::ConnectionClosed);
    let end = connection.receive().await.unwrap_err();
    assert_eq!((end.kind(), end.attempts()), (ErrorKind::ConnectionRefused, 2));
}

#[tokio::test(start_paused = true)]
async fn the_wait_of_the_server_is_obeyed() {
    let (connection, mut peer) = connect(ReconnectPolicy::new()).await;
    let asked = Duration::from_secs(300);
    peer.set_outcomes([Err(
        error(ErrorKind::RateLimited).with_retryability(Retryability::After(asked))
    )]);
    let begun = Instant::now();
    peer.accept().await.fail(ErrorKind::ConnectionClosed);
    peer.accept().await;
    assert!(begun.elapsed() >= asked, "{:?}", begun.elapsed());
    drop(connection);
}

#[tokio::test(start_paused = true)]
async fn without_a_queue_sending_fails_during_an_outage() {
    let (connection, mut peer) = connect(ReconnectPolicy::new()).await;
    let mut events = connection.events();
    peer.accept().await.fail(ErrorKind::ConnectionClosed);
    assert!(matches!(events.next().await, Some(ReconnectEvent::Disconnected { .. })));
    let refused = connection.send_text("now").await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionClosed);
    assert_eq!(refused.send_state(), SendState::NotSent);
    assert!(refused.retryability().is_retryable());
    assert!(connection.is_open());
    assert!(!connection.is_connected());
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_sent_in_order_and_bounded() {
    let (connection, mut peer) = connect(ReconnectPolicy::new().with_queue(3, 10)).await;
    let mut events = connection.events();
    peer.accept().await.fail(ErrorKind::ConnectionClosed);
    assert!(matches!(events.next().await, Some(ReconnectEvent::Disconnected { .. })));
    connection.send_text("12345").await.unwrap();
    let bytes = connection.send_text("123456").await.unwrap_err();
    assert_eq!(
        (bytes.kind(), bytes.send_state()),
        (ErrorKind::Exhausted, SendState::NotSent)
    );
    connection.send_text("1").await.unwrap();
    connection.send_text("2").await.unwrap();
    let messages = connection.send_text("").await.unwrap_err();
    assert_eq!(messages.kind(), ErrorKind::Exhausted);
    let ping = connection.send(WebSocketMessage::Ping(bytes::Bytes::new())).await;
    assert_eq!(
        ping.unwrap_err().kind(),
        ErrorKind::ConnectionClosed,
        "pings are not queued"
    );
    let mut second = peer.accept().await;
    for expected in ["hello", "12345", "1", "2"] {
        assert_eq!(second.next_from_client().await, text(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_accept_the_queue_is_dropped() {
    let (connection, mut peer) = connect(ReconnectPolicy::new().with_queue(2, 100)).await;
    let mut events = connection.events();
    peer.accept().await.fail(ErrorKind::ConnectionClosed);
    assert!(matches!(events.next().await, Some(ReconnectEvent::Disconnected { .. })));
    connection.send_text(STUCK).await.unwrap();
    connection.send_text("next").await.unwrap();
    let mut stuck = peer.accept().await;
    assert_eq!(stuck.next_from_client().await, text("hello"));
    let mut third = peer.accept().await;
    for expected in ["hello", "next"] {
        assert_eq!(third.next_from_client().await, text(expected));
    }
    assert_eq!(stuck.sent.recv().await, None, "it was dropped");
}

#[tokio::test(start_paused = true)]
async fn closing_ends_an_outage() {
    let (connection, mut peer) = connect(ReconnectPolicy::new().with_queue(1, 10)).await;
    let mut events = connection.events();
    peer.set_outcomes((0..100).map(|_| Err(error(ErrorKind::ConnectionRefused))));
    peer.accept().await.fail(ErrorKind::ConnectionClosed);
    assert!(matches!(events.next().await, Some(ReconnectEvent::Disconnected { .. })));
    connection.send_text("never").await.unwrap();
    connection.close_with(CloseFrame::new(1000, "")).await.unwrap();
    assert_eq!(connection.receive().await.unwrap(), None);
    let mut unsent = None;
    while let Some(event) = events.next().await {
        if let ReconnectEvent::Ended { unsent: left, .. } = event {
            unsent = Some(left);
        }
    }
    assert_eq!(unsent, Some(1), "the message that was never sent is reported");
}

#[tokio::test(start_paused = true)]
async fn a_failing_hook_is_a_failed_attempt() {
    let (client, mut peer) = client();
    let request = WebSocketRequest::new("ws://peer.test/").unwrap();
    let runs = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let connection = ReconnectingWebSocket::builder(client, request)
        .on_open(move |_| {
            let run = counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                match run {
                    // The first run after the outage fails, and the second never completes.
                    1 => Err(error(ErrorKind::ConnectionClosed)),
                    2 => std::future::pending().await,
                    _ => Ok(()),
                }
            }
        })
        .connect()
        .await
        .unwrap();
    let mut events = connection.events();
    peer.accept().await.fail(ErrorKind::ConnectionClosed);
    for _ in 0..2 {
        let mut failed = peer.accept().await;
        assert_eq!(
            failed.sent.recv().await,
            None,
            "a connection whose hook failed is dropped"
        );
    }
    peer.accept().await.send_to_client("at last");
    assert_eq!(connection.next().await.unwrap(), Some(text("at last")));
    let mut failures = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            ReconnectEvent::Failed { cause, .. } => failures.push(cause.kind()),
            ReconnectEvent::Reconnected { attempts } => {
                assert_eq!(attempts, 3);
                break;
            }
            _ => {}
        }
    }
    assert_eq!(failures, [ErrorKind::ConnectionClosed, ErrorKind::Timeout]);
}

#[tokio::test(start_paused = true)]
async fn dropping_it_drops_the_connection_and_the_task() {
    let (connection, mut peer) = connect(ReconnectPolicy::new()).await;
    let mut remote = peer.accept().await;
    assert_eq!(remote.next_from_client().await, text("hello"));
    drop(connection);
    assert_eq!(remote.sent.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_first_connection_that_fails_is_an_error() {
    let (client, peer) = client();
    peer.set_outcomes([Err(error(ErrorKind::ConnectionRefused))]);
    let request = WebSocketRequest::new("ws://peer.test/").unwrap();
    let refused = ReconnectingWebSocket::builder(Arc::clone(&client), request.clone())
        .connect()
        .await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    let second = Duration::from_secs(1);
    let mistaken = ReconnectingWebSocket::builder(client, request)
        .policy(ReconnectPolicy::new().with_delays(2 * second, second))
        .connect()
        .await;
    assert_eq!(mistaken.unwrap_err().field(), Some("policy.backoff.maximum"));
}
