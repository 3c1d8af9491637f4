//! What a connection reads while the application does not receive.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use networking_http::HttpClientBuilder;
use networking_spi::ErrorKind;
use networking_spi::http::HttpExtended;
use networking_spi::websocket::{
    UnreadPolicy, WebSocketConnection, WebSocketConnectionExt, WebSocketMessage, WebSocketOptions, WebSocketRequest,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::raw::RawServer;

async fn server<F, Fut>(serve: F) -> RawServer
where
    F: Fn(WebSocketStream<TcpStream>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let serve = Arc::new(serve);
    RawServer::start(move |stream| {
        let serve = Arc::clone(&serve);
        async move { serve(tokio_tungstenite::accept_async(stream).await.unwrap()).await }
    })
    .await
}

async fn open(server: &RawServer, options: WebSocketOptions) -> Arc<dyn WebSocketConnection> {
    let request = WebSocketRequest::new(format!("ws://{}/", server.address)).unwrap();
    let client = HttpClientBuilder::new().build().unwrap();
    client.websocket_connect(request.with_options(options)).await.unwrap()
}

/// The peer floods with small, empty and control messages; each ping is answered, and nothing is lost.
#[tokio::test]
async fn pings_behind_unreceived_messages_are_answered() {
    const ROUNDS: usize = 50;
    const MESSAGES: usize = 100;
    let (done, mut finished) = mpsc::unbounded_channel();
    let server = server(move |mut socket| {
        let done = done.clone();
        async move {
            for round in 0..ROUNDS {
                for number in 0..MESSAGES {
                    socket.send(Message::text(format!("{round} {number}"))).await.unwrap();
                }
                let payload = round.to_string();
                socket.send(Message::Ping(payload.clone().into())).await.unwrap();
                loop {
                    match socket.next().await {
                        Some(Ok(Message::Pong(answer))) if answer == payload => break,
                        Some(Ok(_)) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
            done.send(()).unwrap();
        }
    })
    .await;
    let connection = open(&server, WebSocketOptions::new()).await;
    finished.recv().await.expect("every ping was answered");
    let mut messages = 0;
    let end = loop {
        match connection.next().await {
            Ok(Some(WebSocketMessage::Text(text))) => {
                assert_eq!(text, format!("{} {}", messages / MESSAGES, messages % MESSAGES));
                messages += 1;
            }
            other => break other,
        }
    };
    assert_eq!(messages, ROUNDS * MESSAGES);
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionClosed);
}

/// At the bound the peer is slowed down, and everything arrives when the application receives again.
#[tokio::test]
async fn a_full_inbox_slows_the_peer_down() {
    const MESSAGES: usize = 400;
    const SIZE: usize = 100_000;
    let (progress, mut seen) = mpsc::unbounded_channel();
    let server = server(move |mut socket| {
        let progress = progress.clone();
        async move {
            for _ in 0..MESSAGES {
                socket.send(Message::binary(vec![7; SIZE])).await.unwrap();
                let _ = progress.send(());
            }
            let _ = socket.close(None).await;
            while let Some(Ok(_)) = socket.next().await {}
        }
    })
    .await;
    // The keepalive times are shorter than the pause.
    let options = WebSocketOptions::new()
        .with_unread(10 * SIZE, UnreadPolicy::Wait)
        .with_keepalive(Duration::from_millis(20), Duration::from_millis(20));
    let connection = open(&server, options).await;
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(300), seen.recv())
        .await
        .is_ok_and(|sent| sent.is_some())
    {
        sent += 1;
    }
    // 10 unread messages, and what the sockets hold.
    assert!(sent < MESSAGES, "the peer was never slowed down");
    assert!(connection.is_open(), "the pause is no lost connection");
    let mut received = 0;
    while let Some(message) = connection.next().await.unwrap() {
        assert_eq!(message.len(), SIZE);
        received += 1;
    }
    assert_eq!(received, MESSAGES);
}

/// `close` does not wait for the application to receive.
#[tokio::test]
async fn a_full_inbox_does_not_delay_the_close() {
    let server = server(|mut socket| async move {
        for _ in 0..100 {
            if socket.send(Message::binary(vec![7; 50_000])).await.is_err() {
                return;
            }
        }
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let connection = open(&server, WebSocketOptions::new().with_unread(1, UnreadPolicy::Wait)).await;
    connection.close().await.unwrap();
    assert!(!connection.is_open());
}

/// The keepalive runs while the application only sends.
#[tokio::test]
async fn a_silent_peer_is_noticed_by_an_application_that_does_not_receive() {
    let server = server(|socket| async move {
        // Reads nothing, answers nothing.
        let _socket = socket;
        std::future::pending::<()>().await;
    })
    .await;
    let options = WebSocketOptions::new().with_keepalive(Duration::from_millis(10), Duration::from_millis(10));
    let connection = open(&server, options).await;
    while connection.is_open() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let error = connection.send_text("too late").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
}

/// The closing handshake is complete when the peer has answered, even if it keeps the TCP connection open.
#[tokio::test]
async fn a_close_that_was_answered_succeeds_though_the_socket_stays_open() {
    let server = server(|mut socket| async move {
        while let Some(Ok(_)) = socket.next().await {}
        let _kept = socket;
        std::future::pending::<()>().await;
    })
    .await;
    let mut options = WebSocketOptions::new();
    options.close_timeout = Duration::from_secs(60);
    let connection = open(&server, options).await;
    let closed = tokio::time::timeout(Duration::from_secs(30), connection.close()).await;
    closed.expect("before the close timeout").unwrap();
    assert_eq!(connection.next().await.unwrap(), None);
}

/// Sending on a connection that was lost is not `Closed`, which stands for a closing handshake.
#[tokio::test]
async fn sending_on_a_lost_connection_says_so() {
    for _ in 0..50 {
        let server = server(|mut socket| async move {
            socket.next().await;
        })
        .await;
        let connection = open(&server, WebSocketOptions::new()).await;
        let error = loop {
            if let Err(error) = connection.send_text("hello").await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionClosed, "{error:?}");
    }
}
