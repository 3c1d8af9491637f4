//! The server of the rows of speed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::TokioIo;

/// A server that answers `/N` with N bytes, of at most 1 MiB. It has a thread of its own.
pub(super) fn serve() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let address = listener.local_addr().expect("a bound socket has an address");
    let zeros = Bytes::from(vec![0_u8; 1 << 20]);
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the system gives a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime with I/O");
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).expect("a TCP socket");
                let zeros = zeros.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let size: usize = request.uri().path()[1..].parse().expect("the path is a size");
                    let body = zeros.slice(..size);
                    async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
                });
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
            }
        });
    });
    address
}
