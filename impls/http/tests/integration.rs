//! Tests of what the contract does not specify: order, timing, configuration, errors of the transports, files, caches, and
//! recordings. Also tests that each case of the suites can fail.

mod bodies;
mod cache;
mod client;
mod errors;
mod framing;
mod http1;
mod http2;
mod http_harness;
mod http_saboteurs;
mod import_order;
mod raw;
mod recording;
mod trailers;
mod transports;
mod websocket;
mod websocket_harness;
mod websocket_saboteurs;
