//! Connections that fail, and calls that are dropped.

use std::sync::Arc;

use networking_spi::http::{HttpClientExt, StatusCode};
use networking_spi::{ErrorKind, SendState};
use tokio::sync::Notify;

use super::H;
use crate::closed_port::closed_port;
use crate::http::harness::set_up;
use crate::http::origin::status_of;
use crate::http::server::Server;
use crate::kit::{CaseResult, chain};
use crate::{Failure, check, check_eq, check_error};

pub(in crate::http) async fn a_refused_connection_is_connection_refused(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let url = format!("http://127.0.0.1:{}/", closed_port()?);
    let error = check_error!(
        setup.client.post(&url).body("x").await,
        ErrorKind::ConnectionRefused,
        "a closed port"
    );
    check_eq!(error.send_state(), SendState::NotSent, "the send state");
    check!(
        error.retryability().is_retryable(),
        "a refused connection is not retryable"
    );
    Ok(())
}

pub(in crate::http) async fn unknown_names_are_connection_errors(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    // A label of more than 63 characters is refused without a query on the network.
    let url = format!("http://{}.invalid/", "x".repeat(64));
    match setup.client.get(&url).await {
        Ok(response) => {
            return Err(Failure::new(format!(
                "a request to an invalid name has the response {}",
                response.status
            )));
        }
        Err(error) => {
            let kind = error.is_a(ErrorKind::Connection) || error.is_a(ErrorKind::InvalidInput);
            check!(kind, "expected a DNS or connection error, got {}", chain(&error));
            check_eq!(error.send_state(), SendState::NotSent, "the send state");
        }
    }
    Ok(())
}

pub(in crate::http) async fn a_peer_without_tls_is_a_tls_error(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let server = Server::raw(|mut connection, _| async move {
        connection
            .write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
            .await?;
        connection.closed().await;
        Ok(())
    })
    .await?;
    let url = format!("https://127.0.0.1:{}/", server.address().port());
    let error = check_error!(
        setup.client.get(&url).await,
        ErrorKind::Tls,
        "https to a peer without TLS"
    );
    check_eq!(error.send_state(), SendState::NotSent, "the send state");
    Ok(())
}

pub(in crate::http) async fn closing_without_an_answer_is_a_connection_error(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    for reset in [false, true] {
        let server = Server::raw(move |mut connection, _| async move {
            connection.read_head().await?;
            if reset { connection.reset() } else { Ok(()) }
        })
        .await?;
        let result = setup.client.post(server.url("/")).body("x").await;
        let error = check_error!(
            result,
            ErrorKind::ConnectionClosed,
            "closed without an answer (reset: {reset})"
        );
        check_eq!(
            error.send_state(),
            SendState::MaybeSent,
            "the send state: the peer may have processed the request"
        );
    }
    Ok(())
}

pub(in crate::http) async fn a_non_http_answer_is_a_protocol_error(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let server = Server::raw(|mut connection, _| async move {
        connection.read_head().await?;
        connection
            .write(b"220 mail.example ESMTP at your service, not HTTP\r\n\r\n")
            .await?;
        connection.closed().await;
        Ok(())
    })
    .await?;
    check_error!(
        setup.client.get(server.url("/")).await,
        ErrorKind::Protocol,
        "an answer of another protocol"
    );
    Ok(())
}

pub(in crate::http) async fn dropping_a_call_aborts_it(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let (arrived, closed) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (at_peer, after) = (Arc::clone(&arrived), Arc::clone(&closed));
    let server = Server::raw(move |mut connection, _| {
        let (at_peer, after) = (Arc::clone(&at_peer), Arc::clone(&after));
        async move {
            connection.read_head().await?;
            at_peer.notify_one();
            connection.closed().await;
            after.notify_one();
            Ok(())
        }
    })
    .await?;
    let url = server.url("/");
    let client = Arc::clone(&setup.client);
    let call = tokio::spawn(async move { client.get(&url).await });
    arrived.notified().await;
    call.abort();
    let noticed = tokio::time::timeout(std::time::Duration::from_secs(2), closed.notified()).await;
    check!(noticed.is_ok(), "the connection was not closed");
    Ok(())
}

pub(in crate::http) async fn calls_run_at_the_same_time(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let second = Arc::new(Notify::new());
    let gate = Arc::clone(&second);
    setup.origin.on("/first", move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.notified().await;
            status_of(200)
        }
    });
    setup.origin.on("/second", move |_| {
        second.notify_one();
        async { status_of(201) }
    });
    let (first, second) = (setup.origin.url("/first"), setup.origin.url("/second"));
    // The first call is answered only after the second has arrived.
    let both = async { tokio::join!(setup.client.get(&first), setup.client.get(&second)) };
    let (one, other) = tokio::time::timeout(std::time::Duration::from_secs(10), both)
        .await
        .map_err(|_| Failure::new("the second call waited for the first"))?;
    check_eq!(
        (one?.status, other?.status),
        (StatusCode::OK, StatusCode::CREATED),
        "statuses"
    );
    Ok(())
}
