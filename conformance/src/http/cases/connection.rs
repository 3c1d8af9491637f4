//! Connections that fail, and calls that are dropped.

use std::sync::Arc;

use futures_util::future::try_join_all;
use networking_spi::http::{HttpClientExt, HttpResponse, Method, ProxyConfig, RequestOptions, StatusCode};
use networking_spi::{ErrorKind, SendState};
use tokio::sync::{Barrier, Notify, mpsc};

use super::{BOUND, H, every_byte};
use crate::closed_port::closed_port;
use crate::http::closing::Closing;
use crate::http::harness::set_up;
use crate::http::origin::{Origin, status_of};
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
    for (reset, reused) in [(false, false), (true, false), (false, true), (true, true)] {
        for method in [Method::POST, Method::PATCH, Method::GET] {
            let server = Closing::start(reset).await?;
            if reused {
                // Leaves a connection that the client may use again.
                let fine = setup.client.get(server.url("/fine")).await?;
                check_eq!(fine.bytes().await?, "ok", "the body of the first response");
            }
            let idempotent = method == Method::GET;
            let what = format!("{method} closed without an answer (reset: {reset}, after a success: {reused})");
            let request = setup.client.build(method, server.url("/lost"));
            let request = if idempotent { request } else { request.body("x") };
            let error = check_error!(request.await, ErrorKind::ConnectionClosed, "{what}");
            check_eq!(
                error.send_state(),
                SendState::MaybeSent,
                "the send state: the peer may have processed the request; {what}"
            );
            // Only an idempotent request may be sent again, and only if its connection was used before (HTTP-1).
            if !(idempotent && reused) {
                check_eq!(server.lost(), 1, "requests for one call; {what}");
            }
        }
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

pub(in crate::http) async fn many_calls_run_at_the_same_time(harness: H) -> CaseResult {
    const CALLS: usize = 24;
    let setup = set_up(&harness).await?;
    let together = Arc::new(Barrier::new(CALLS));
    setup.origin.on("/together", move |_| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            HttpResponse::new(StatusCode::OK).with_body("done")
        }
    });
    let url = setup.origin.url("/together");
    // Each is answered only after all have arrived.
    let calls = (0..CALLS).map(|_| async { setup.client.get(&url).await?.bytes().await });
    let bodies = tokio::time::timeout(BOUND, try_join_all(calls)).await.map_err(|_| {
        let arrived = setup.origin.hits("/together");
        Failure::new(format!("{arrived} of {CALLS} calls ran at the same time"))
    })??;
    check!(
        bodies.iter().all(|body| body == "done"),
        "a body is not the one that was sent"
    );
    Ok(())
}

pub(in crate::http) async fn one_thread_is_enough(harness: H) -> CaseResult {
    let origin = Origin::start(harness.network()).await?;
    origin.on("/single", |_| async {
        HttpResponse::new(StatusCode::OK).with_body(every_byte(256))
    });
    let url = origin.url("/single");
    // The client is made, used and dropped in a runtime with one thread. The origin runs in the runtime of the case.
    let alone = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::new(format!("no runtime: {error}")))?;
        runtime.block_on(async {
            let client = harness.subject(&origin).client;
            let calls = (0..4).map(|_| async { client.post(&url).body(every_byte(256)).await?.bytes().await });
            let bodies = tokio::time::timeout(BOUND, try_join_all(calls)).await;
            let bodies = bodies.map_err(|_| Failure::new("calls in a runtime with one thread do not end"))??;
            check!(
                bodies.iter().all(|body| *body == every_byte(256)),
                "a body is not the one that was sent"
            );
            Ok(())
        })
    });
    alone
        .await
        .map_err(|error| Failure::new(format!("a call in a runtime with one thread: {error}")))?
}

pub(in crate::http) async fn a_request_can_have_its_own_proxy(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let (seen, mut at_proxy) = mpsc::unbounded_channel();
    let server = Server::raw(move |mut connection, _| {
        let seen = seen.clone();
        async move {
            let head = connection.read_head().await?;
            let _ = seen.send(String::from_utf8_lossy(&head).into_owned());
            connection
                .write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nproxy")
                .await
        }
    })
    .await?;
    let url = setup.origin.url("/through?x=1");
    let host = setup.origin.base_url().authority().to_owned();
    let proxy = || ProxyConfig::new(server.url("/").parse().expect("a URL"));
    for (proxy, credentials) in [
        (proxy(), None),
        (
            proxy().with_credentials("ada", "hunter2"),
            Some("Basic YWRhOmh1bnRlcjI="),
        ),
    ] {
        let options = RequestOptions::new().with_proxy(proxy);
        let response = setup.client.get(&url).options(options).await?;
        check_eq!(response.bytes().await?, "proxy", "the response of the proxy");
        let head = at_proxy
            .recv()
            .await
            .ok_or_else(|| Failure::new("no request arrived at the proxy"))?;
        let line = head.lines().next().unwrap_or_default();
        // RFC 9112, section 3.2.2.
        check_eq!(line, format!("GET {url} HTTP/1.1"), "the request line at the proxy");
        let header = |wanted: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            let field = fields.find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            field.map(|(_, value)| value.trim().to_owned())
        };
        check_eq!(header("host").as_deref(), Some(host.as_str()), "Host at the proxy");
        check_eq!(
            header("proxy-authorization").as_deref(),
            credentials,
            "Proxy-Authorization"
        );
    }
    check_eq!(setup.origin.total_hits(), 0, "requests that went past the proxy");
    let direct = setup.client.get(&url).await?;
    check_eq!(direct.bytes().await?, "ok", "the response without a proxy");
    check_eq!(
        setup.origin.requests("/through")[0].header("proxy-authorization"),
        None,
        "credentials of the proxy"
    );
    Ok(())
}

pub(in crate::http) async fn proxies_of_the_environment_are_not_used(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let response = setup.client.get(setup.origin.url("/direct")).await?;
    check_eq!(response.bytes().await?, "ok", "the body");
    check_eq!(setup.origin.hits("/direct"), 1, "requests that arrived");
    Ok(())
}
