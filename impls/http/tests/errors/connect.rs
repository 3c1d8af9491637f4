//! No connection.

use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::errors::backend::{Backend, Failed, Wires, failing, post};
use crate::raw::closed_port;

pub(crate) async fn unknown_name(backend: &Backend) -> Failed {
    // No resolver asks anyone for a label of more than 63 characters: this needs no network.
    let url = format!("http://{}.invalid/", "x".repeat(64));
    failing(&*backend.client(), post(&url)).await
}

pub(crate) async fn denied_destination(backend: &Backend) -> Failed {
    let wires = Wires {
        guarded: true,
        ..Wires::default()
    };
    let url = format!("http://localhost:{}/", closed_port().await);
    failing(&*backend.client_with(wires, |builder| builder), post(&url)).await
}

pub(crate) async fn refused(backend: &Backend) -> Failed {
    let url = format!("http://127.0.0.1:{}/", closed_port().await);
    failing(&*backend.client(), post(&url)).await
}

/// A listener that accepts nobody and whose queue is full: the system does not answer those who knock.
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
        Wires {
            connect_timeout: Duration::from_secs(5),
            ..Wires::default()
        },
        |builder| builder,
    );
    tokio::time::pause();
    failing(&*client, post(&format!("http://{address}/"))).await
}
