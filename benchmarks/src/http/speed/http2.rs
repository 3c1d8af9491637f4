//! Requests over HTTP/2 with TLS, compared with raw reqwest: same server, one connection each.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use networking_impls::http::{HyperTransport, TransportConfig};

use super::super::server::serve_http2;
use super::{Load, Round, compare, runtime};
use crate::measure::{Rounds, in_turn};
use crate::report::Row;

/// The sizes of the response and of the request body.
const LOADS: [(usize, Option<usize>, &str, usize); 4] = [
    (0, None, "0 B body", 6_000),
    (1 << 10, None, "1 KiB body", 6_000),
    (1 << 20, None, "1 MiB body", 300),
    (0, Some(1 << 20), "1 MiB upload", 300),
];

/// Requests per second, 99th percentiles, and CPU time.
pub(crate) fn rows(rounds: Rounds) -> Vec<Row> {
    let server = serve_http2();
    let runtime = runtime();
    let root = reqwest::Certificate::from_pem(server.root.as_bytes()).expect("a certificate");
    let raw = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .build()
        .expect("the configuration is valid");
    let config = TransportConfig::default()
        .with_system_roots(false)
        .with_root_certificate(&server.root);
    let ours = HyperTransport::new(config).expect("the configuration is valid");

    let mut rows = Vec::new();
    for (size, upload, name, calls) in LOADS {
        let upload = upload.map(|size| Bytes::from(vec![0_u8; size]));
        for in_flight in [1, 64] {
            let load = Load {
                url: format!("{}/{size}", server.url),
                upload: upload.clone(),
                size,
                calls,
                in_flight,
            };
            let measured: Vec<Vec<Round>> = in_turn(
                rounds,
                &mut [&mut || load.through_reqwest(&runtime, &raw), &mut || {
                    load.through_client(&runtime, &ours)
                }],
            );
            let work = format!("transport over hyper, HTTP/2 with TLS, {name}, {in_flight} in flight");
            rows.extend(compare(&work, &measured[1], "raw reqwest", &measured[0], 1.0));
        }
    }
    assert_eq!(
        server.connections.load(Ordering::Relaxed),
        2,
        "each side has one connection"
    );
    rows
}
