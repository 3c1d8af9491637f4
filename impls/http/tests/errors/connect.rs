//! Connections that cannot be opened.

use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::errors::backend::{Backend, ConnectSettings, Failed, failing, post};
use crate::raw::closed_port;

pub(crate) async fn unknown_name(backend: &Backend) -> Failed {
    // Resolvers refuse a label of more than 63 characters without a query, so this needs no network.
    let url = format!("http://{}.invalid/", "x".repeat(64));
    failing(&*backend.client(), post(&url)).await
}

pub(crate) async fn denied_destination(backend: &Backend) -> Failed {
    let settings = ConnectSettings {
        guarded: true,
        ..ConnectSettings::default()
    };
    let url = format!("http://localhost:{}/", closed_port());
    failing(&*backend.client_with(settings, |builder| builder), post(&url)).await
}

pub(crate) async fn refused(backend: &Backend) -> Failed {
    let url = format!("http://127.0.0.1:{}/", closed_port());
    failing(&*backend.client(), post(&url)).await
}

/// Connects to a listener that accepts no connection and whose backlog is full: the system does not answer.
pub(crate) async fn connect_timeout(backend: &Backend) -> Failed {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    for _ in 0..2 {
        queue.push(TcpStream::connect(address).await.unwrap());
    }
    let client = backend.client_with(
        ConnectSettings {
            connect_timeout: Duration::from_secs(5),
            ..ConnectSettings::default()
        },
        |builder| builder,
    );
    tokio::time::pause();
    failing(&*client, post(&format!("http://{address}/"))).await
}
