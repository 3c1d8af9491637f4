//! A port to which connections are refused.

use std::io;
use std::net::Ipv4Addr;
use std::sync::OnceLock;

use tokio::net::TcpSocket;

use crate::kit::Failure;

/// A loopback port on which nothing listens. A socket of this process is bound to it, so that no other can listen there.
pub(crate) fn closed_port() -> Result<u16, Failure> {
    static BOUND: OnceLock<TcpSocket> = OnceLock::new();

    let failure = |error: io::Error| Failure::with_error("no port", &error);
    let bound = if let Some(bound) = BOUND.get() {
        bound
    } else {
        let socket = TcpSocket::new_v4().map_err(failure)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).map_err(failure)?;
        BOUND.get_or_init(|| socket)
    };
    Ok(bound.local_addr().map_err(failure)?.port())
}
