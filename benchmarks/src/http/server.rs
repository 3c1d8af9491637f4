//! The servers of the benchmarks. Each runs in its own thread, so that the server and its client have a core each.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, rustls};

/// A server that responds to `/N` with N bytes, at most 1 MiB.
pub(super) fn serve() -> SocketAddr {
    let zeros = Bytes::from(vec![0_u8; 1 << 20]);
    serve_with(move |request| {
        let size: usize = request.uri().path()[1..].parse().expect("the path is a size");
        let body = zeros.slice(..size);
        async move { Response::new(Full::new(body)) }
    })
}

/// A server with HTTP/2 over TLS.
pub(super) struct Http2Server {
    /// `https://localhost:port`.
    pub(super) url: String,
    /// The root certificate, in PEM.
    pub(super) root: String,
    /// The connections that were accepted.
    pub(super) connections: Arc<AtomicUsize>,
}

/// A server that reads the whole body of each request, and responds to `/N` with N bytes, at most 1 MiB.
pub(super) fn serve_http2() -> Http2Server {
    let zeros = Bytes::from(vec![0_u8; 1 << 20]);
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).expect("a key");
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(vec![issued.cert.der().clone()], key)
        })
        .expect("a certificate and its key");
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let connections = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&connections);
    let address = serve_sockets(move |socket| {
        let (acceptor, zeros) = (acceptor.clone(), zeros.clone());
        accepted.fetch_add(1, Ordering::Relaxed);
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let size: usize = request.uri().path()[1..].parse().expect("the path is a size");
                let body = zeros.slice(..size);
                async move {
                    let mut upload = request.into_body();
                    while let Some(frame) = upload.frame().await {
                        frame?;
                    }
                    Ok::<_, hyper::Error>(Response::new(Full::new(body)))
                }
            });
            let socket = acceptor.accept(socket).await.expect("a TLS handshake");
            // Clients may disconnect at any time, so errors are ignored.
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(socket), service)
                .await;
        }
    });
    Http2Server {
        url: format!("https://localhost:{}", address.port()),
        root: issued.cert.pem(),
        connections,
    }
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
