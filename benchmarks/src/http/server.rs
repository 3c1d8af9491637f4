//! The servers of the benchmarks. Each runs in its own thread, so that the server and its client have a core each.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::thread;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A server that responds to `/N` with N bytes, at most 1 MiB.
pub(super) fn serve() -> SocketAddr {
    let zeros = Bytes::from(vec![0_u8; 1 << 20]);
    serve_with(move |request| {
        let size: usize = request.uri().path()[1..].parse().expect("the path is a size");
        let body = zeros.slice(..size);
        async move { Response::new(Full::new(body)) }
    })
}

/// A server that sends the responses of `answer`.
pub(super) fn serve_with<A, F, B>(answer: A) -> SocketAddr
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    serve_sockets(move |socket| {
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answered = answer(request);
            async move { Ok::<_, Infallible>(answered.await) }
        });
        async move {
            // Clients may disconnect at any time, so errors are ignored.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
        }
    })
}

/// A server that passes each connection to `serve`.
pub(super) fn serve_sockets<S, F>(serve: S) -> SocketAddr
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener
        .set_nonblocking(true)
        .expect("a socket can be made non-blocking");
    let address = listener.local_addr().expect("a bound socket has an address");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be built");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a runtime with I/O");
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).expect("a TCP socket");
                tokio::spawn(serve(socket));
            }
        });
    });
    address
}
